"""The command fetch: terms, what it says, and that prepare finds what it brings."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import tarfile

import pytest
from http_host import host as host

from agelib import cli, downloads
from agelib.datasets.sample import write_sample
from agelib.manifests import load_manifest
from agelib.remote import RemoteFile


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive of drawn faces, laid out like UTKFace's."""
    folder = tmp_path_factory.mktemp("drawn")
    faces = write_sample(folder / "faces", n=6)
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for image in sorted(faces.glob("*.jpg")):
            archive.add(image, f"UTKFace/{image.name}")
    return (folder / "a.tar.gz").read_bytes()


@pytest.fixture
def offered(host, archive, tmp_path, monkeypatch):
    """UTKFace's entry with the drawn faces on the local server, and no other data set."""
    host.body = archive
    told = f"sha256:{hashlib.sha256(host.body).hexdigest()}"
    file = RemoteFile(f"{host.url}/file", "UTKFace.tar.gz", None, told)
    real = downloads.get("utkface")
    entry = downloads.Download(real.name, real.title, real.page, real.licence, (file,), real.steps)
    monkeypatch.setattr(downloads, "_DOWNLOADS", (entry, downloads.get("adience")))
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "data"))
    monkeypatch.setattr("agelib.prepare.manifests_dir", lambda: tmp_path / "committed")
    monkeypatch.setattr("agelib.manifests.manifests_dir", lambda: tmp_path / "committed")
    return tmp_path / "data"


def test_what_is_fetched_can_be_prepared(offered, host, capsys):
    assert cli.main(["fetch", "utkface", "--accept-licence"]) == 0
    said = capsys.readouterr()
    size = len(host.body)
    assert f"UTKFace.tar.gz: {size:,} bytes, {size:,} bytes downloaded" in said.out
    assert "(as published)" in said.out and "1. python -m agelib prepare utkface" in said.out
    assert "Non-commercial research only" in said.out and said.err == ""
    assert cli.main(["fetch", "utkface"]) == 0  # in place: nothing to accept
    assert "in place already" in capsys.readouterr().out
    assert cli.main(["prepare", "utkface", "--size", "16"]) == 0
    assert len(load_manifest("utkface")) > 6


def test_nothing_is_asked_of_the_server_before_the_terms_are_accepted(
    offered, host, monkeypatch, capsys
):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert cli.main(["fetch", "utkface"]) == 2
    said = capsys.readouterr()
    assert "terms: Non-commercial research only" in said.out
    assert "agelib: read the terms" in said.err and "--accept-licence" in said.err
    assert host.asked == [] and not offered.exists()


def test_on_a_terminal_it_asks(offered, host, monkeypatch, capsys):
    prompts = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: prompts.append(prompt) or "y")
    assert cli.main(["fetch", "utkface"]) == 2
    said = capsys.readouterr()
    assert "were not accepted; nothing was downloaded" in said.err
    assert f"UTKFace.tar.gz: {len(host.body):,} bytes from 127.0.0.1" in said.out
    assert host.sent == 0 and prompts == ["Do you accept the terms? Type yes: "]

    def end_of_input(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", end_of_input)
    assert cli.main(["fetch", "utkface"]) == 2 and host.sent == 0
    monkeypatch.setattr("builtins.input", lambda prompt: " Yes ")
    assert cli.main(["fetch", "utkface"]) == 0
    assert (offered / "UTKFace.tar.gz").read_bytes() == host.body


@pytest.fixture
def mirrored(offered, host, monkeypatch):
    """The entry with the drawn faces at a second address as well."""
    entry = downloads.get("utkface")
    mirror = {"size": len(host.body), "mirrors": (f"{host.url}/mirror",)}
    file = dataclasses.replace(entry.files[0], **mirror)
    monkeypatch.setattr(downloads, "_DOWNLOADS", (dataclasses.replace(entry, files=(file,)),))
    return offered / "UTKFace.tar.gz"


def test_a_mirror_is_tried_when_the_first_address_refuses(mirrored, host, capsys):
    host.states = [404]
    assert cli.main(["fetch", "utkface", "--accept-licence"]) == 0
    said = capsys.readouterr()
    assert "answers 404" in said.err and "trying 127.0.0.1" in said.err
    assert [path for path, *_ in host.asked][:2] == ["/file", "/mirror"]
    assert mirrored.read_bytes() == host.body and "(as published)" in said.out


def test_a_mirror_of_another_file_is_refused(mirrored, host, capsys):
    host.states, host.body = [404], host.body[:-1] + b"!"
    assert cli.main(["fetch", "utkface", "--accept-licence"]) == 2
    assert "is not the published file" in capsys.readouterr().err
    assert not mirrored.exists()


def test_what_a_mirror_cannot_mend_is_not_tried_twice(mirrored, host, capsys):
    mirrored.parent.write_text("in the way")
    assert cli.main(["fetch", "utkface", "--accept-licence"]) == 2
    assert "trying" not in capsys.readouterr().err


def test_what_needs_a_form_is_explained(offered, host, capsys):
    assert cli.main(["fetch", "adience"]) == 1
    said = capsys.readouterr().out
    assert "cannot be downloaded by a program" in said
    assert [line.strip()[:2] for line in said.splitlines() if line.startswith("  ")] == [
        *("1.", "2.", "3.", "4.")
    ]
    assert "talhassner" in said and "fold_0_data.txt to fold_4_data.txt" in said
    assert str(offered) in said and host.asked == []


def test_the_list_and_unknown_names(capsys):
    assert cli.main(["fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(downloads.names())
    assert cli.main(["fetch", "imagenet"]) == 2
    assert "choose one of utkface, " in capsys.readouterr().err


def test_the_entries_are_well_formed():
    assert len(set(downloads.names())) == len(downloads.names())
    for name in downloads.names():
        entry = downloads.get(name)
        assert entry.page.startswith("https://") and entry.licence and entry.steps
        for file in entry.files:
            kind, _, digits = file.checksum.partition(":")
            assert len(digits) == hashlib.new(kind).digest_size * 2
            assert int(digits, 16)
            assert all(source.url.startswith("https://") for source in file.sources)
            assert file.size or not file.mirrors  # what the first address says is not relied on
            assert os.path.basename(file.name) == file.name
