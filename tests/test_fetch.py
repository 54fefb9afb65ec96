"""Downloads, from a local server that does everything wrong that servers do."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from types import SimpleNamespace

import filelock
import numpy as np
import pytest

from agelib import cli, downloads, fetch, remote
from agelib.datasets.sample import write_sample
from agelib.fetch import fetch_file, look
from agelib.files import DataError
from agelib.manifests import load_manifest
from agelib.remote import RemoteFile

BODY = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
QUICK = {"pause": 0.001, "timeout": 5}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as ``server.host`` says; a request for the first byte is a mere look."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_GET(self):
        host, wanted = self.server.host, self.headers.get("Range")
        host.asked.append((self.path, wanted, self.headers.get("If-Range")))
        self.close_connection = True
        if self.path == "/moved":
            return self.say(302, {"Location": "/file", "Content-Length": "0"})
        if host.states:
            return self.say(host.states.pop(0), {"Content-Length": "0"})
        body, first = host.body, 0
        marks = {key: value for key, value in host.marks.items() if value}
        fresh = self.headers.get("If-Range") in (None, *marks.values())
        if wanted and fresh and host.parts:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            first = int(first)
            if first >= len(body):
                return self.say(416, {"Content-Range": f"bytes */{len(body)}"})
            body = body[first : int(last) + 1 if last else None]
            total, at = len(host.body) + host.lie, first + host.shift
            marks["Content-Range"] = f"bytes {at}-{at + len(body) - 1}/{total}"
        look = wanted == "bytes=0-0"
        whole = body if look and "Content-Range" in marks else body + bytes(0)
        length = len(whole) + (host.lie if "Content-Range" not in marks or not look else 0)
        if host.length:
            marks["Content-Length"] = str(length)
        self.say(206 if "Content-Range" in marks else 200, marks)
        if look:
            return None
        if host.breaks:
            whole = whole[: host.breaks.pop(0)]
        self.send(whole[: max(length, 0)])
        if host.stalls:
            time.sleep(host.stalls.pop(0))
        return host.then()

    def say(self, state, headers):
        self.send_response(state)
        for key, value in (headers | {"Connection": "close"}).items():
            self.send_header(key, value)
        self.end_headers()

    def send(self, data):
        self.server.host.sent += len(data)
        self.wfile.write(data)
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Say nothing: whoever asks for the first byte only does not wait for the rest."""


@pytest.fixture
def host(monkeypatch):
    """A server of one file, and what it will do wrong."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.host = host = SimpleNamespace(
        body=BODY,
        marks={"ETag": '"one"', "Last-Modified": None},
        parts=True,  # whether it sends parts
        length=True,  # whether it says how much it sends
        lie=0,  # added to the length that it says
        shift=0,  # added to the position that it says
        breaks=[],  # bytes after which the next answers break off
        stalls=[],  # seconds that the next answers wait in the end
        states=[],  # refusals to give first
        then=lambda: None,  # done after each answer
        asked=[],
        sent=0,  # bytes, without those of a look
        url=f"http://127.0.0.1:{server.server_port}",
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join()


def file_at(host, body=BODY, *, path="/file", size=None, kind="sha256", checksum=True):
    told = f"{kind}:{hashlib.new(kind, body).hexdigest()}" if checksum else None
    return RemoteFile(host.url + path, "faces.tar.gz", size, told)


def left(folder):
    """What lies in a folder, without the lock."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_file_is_looked_at_fetched_checked_and_not_fetched_again(host, tmp_path, kind):
    file, seen = file_at(host, kind=kind), []
    assert look(file).size == len(BODY) and host.sent == 0
    got = fetch_file(file, tmp_path / "new", progress=lambda *n: seen.append(n))
    assert got.path.read_bytes() == BODY
    assert (got.size, got.received, got.checksum) == (len(BODY), len(BODY), file.checksum)
    assert seen[-1] == (len(BODY), len(BODY)) and seen == sorted(seen)
    assert left(tmp_path / "new") == ["faces.tar.gz"]
    asked = len(host.asked)
    again = fetch_file(file, tmp_path / "new")
    assert (again.checksum, again.received) == (file.checksum, 0)
    assert len(host.asked) == asked
    (tmp_path / "new" / "faces.tar.gz").write_bytes(OTHER)
    with pytest.raises(DataError, match=r"faces\.tar\.gz is not the published .*move it away"):
        fetch_file(file, tmp_path / "new")
    assert got.path.read_bytes() == OTHER


def test_without_a_published_checksum_the_one_got_is_told(host, tmp_path):
    got = fetch_file(file_at(host, checksum=False), tmp_path)
    assert got.checksum == f"sha256:{hashlib.sha256(BODY).hexdigest()}"


def test_broken_connections_are_taken_up_where_they_broke(host, tmp_path, monkeypatch):
    host.breaks = [70_000, 100_000, 1, 50_000]
    got = fetch_file(file_at(host), tmp_path, **QUICK)
    assert got.path.read_bytes() == BODY
    assert host.sent == got.received == len(BODY)
    assert [asked[1:] for asked in host.asked if asked[1] != "bytes=0-0"] == [
        (None, None),
        *((f"bytes={at}-", '"one"') for at in (70_000, 170_000, 170_001, 220_001)),
    ]
    assert left(tmp_path) == ["faces.tar.gz"]


def test_tries_that_bring_something_are_not_counted(host, tmp_path, monkeypatch):
    host.breaks = [30_000] * 8
    monkeypatch.setattr(remote, "_WORTH", 20_000)
    assert fetch_file(file_at(host), tmp_path, tries=2, **QUICK).path.read_bytes() == BODY
    shutil.rmtree(tmp_path)
    host.breaks = [30_000, *[10_000] * 8]
    with pytest.raises(DataError, match=r"sent 50,000 of 300,000 bytes.*after 2 tries"):
        fetch_file(file_at(host), tmp_path, tries=2, **QUICK)
    assert left(tmp_path) == ["faces.tar.gz.partial", "faces.tar.gz.partial.json"]


def test_pauses_grow_between_tries(host, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(remote.time, "sleep", pauses.append)
    host.states = [503] * 9
    with pytest.raises(DataError, match="answers 503 Service Unavailable; gave up after 9 tries"):
        fetch_file(file_at(host), tmp_path, tries=9)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("state", [404, 403, 410])
def test_refusals_are_final(host, tmp_path, state):
    host.states = [state]
    with pytest.raises(DataError, match=rf"/file answers {state} .*with a browser"):
        fetch_file(file_at(host), tmp_path, **QUICK)
    assert len(host.asked) == 1 and left(tmp_path) == []


def test_passing_refusals_and_redirects(host, tmp_path):
    host.states = [500, 429, 502]
    got = fetch_file(file_at(host, path="/moved"), tmp_path, **QUICK)
    assert got.path.read_bytes() == BODY
    assert {path for path, *_ in host.asked} == {"/moved", "/file"}


def test_a_length_too_long_never_ends_as_a_file(host, tmp_path):
    host.lie = 1_000
    with pytest.raises(DataError, match=r"gave up after 3 tries"):
        fetch_file(file_at(host), tmp_path, tries=3, **QUICK)
    assert "faces.tar.gz" not in left(tmp_path)


@pytest.mark.parametrize("lie", [1_000, -1_000])
def test_another_size_than_the_published_one_is_refused_unread(host, tmp_path, lie):
    host.lie = lie
    with pytest.raises(DataError, match=rf"has {300_000 + lie:,} bytes, the published file 300,0"):
        fetch_file(file_at(host, size=len(BODY)), tmp_path, **QUICK)
    assert host.sent == 0 and left(tmp_path) == []


@pytest.mark.parametrize("parts", [True, False])
def test_a_length_too_short_is_found_by_the_checksum(host, tmp_path, parts):
    host.lie, host.parts = -1_000, parts
    with pytest.raises(DataError, match=r"not the published file: 299,000 bytes .*was removed"):
        fetch_file(file_at(host), tmp_path, **QUICK)
    assert left(tmp_path) == []


def test_no_length_at_all(host, tmp_path):
    host.length, host.parts = False, False
    with pytest.raises(DataError, match=r"does not say how large faces\.tar\.gz is"):
        fetch_file(file_at(host), tmp_path, **QUICK)
    host.breaks = [1_000]
    got = fetch_file(file_at(host, size=len(BODY)), tmp_path, **QUICK)
    assert got.path.read_bytes() == BODY
    shutil.rmtree(tmp_path)
    host.body += b"more"
    with pytest.raises(DataError, match=r"sent 300,004 of 300,000 bytes"):
        fetch_file(file_at(host, size=len(BODY)), tmp_path, tries=2, **QUICK)
    assert "faces.tar.gz" not in left(tmp_path)


def test_without_parts_it_starts_afresh(host, tmp_path):
    host.parts, host.breaks = False, [200_000, 200_000]
    got = fetch_file(file_at(host), tmp_path, **QUICK)
    assert got.path.read_bytes() == BODY
    assert host.sent == got.received == 700_000


def test_without_parts_the_same_break_again_and_again_is_no_progress(host, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_WORTH", 1_000)
    host.parts, host.breaks = False, [200_000] * 9
    with pytest.raises(DataError, match=r"sent 200,000 of 300,000.*after 3 tries"):
        fetch_file(file_at(host), tmp_path, tries=3, **QUICK)
    assert len(host.breaks) <= 6


def test_a_server_that_sends_another_part_than_asked_is_not_believed(host, tmp_path):
    host.breaks, host.shift = [100_000], 0
    host.then = lambda: setattr(host, "shift", 7)
    got = fetch_file(file_at(host), tmp_path, **QUICK)
    assert got.path.read_bytes() == BODY  # afresh, after the part was thrown away
    assert got.received == 400_000


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"one"'}, {"ETag": '"two"'}),
        ({"ETag": 'W/"one"'}, {"ETag": 'W/"two"'}),
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {"Last-Modified": "Tue, 02 Jan 2024"}),
        ({}, {}),  # nothing to tell versions by: never taken up
    ],
)
def test_a_file_that_changes_between_tries_is_started_afresh(host, tmp_path, before, after):
    host.marks, host.breaks = before, [100_000]

    def change():
        host.body, host.marks = OTHER, after

    host.then = change
    got = fetch_file(file_at(host, OTHER), tmp_path, **QUICK)
    assert got.path.read_bytes() == OTHER
    assert got.received == 400_000
    assert left(tmp_path) == ["faces.tar.gz"]


@pytest.mark.parametrize("mark", [{"ETag": 'W/"one"'}, {"Last-Modified": "Mon, 01 Jan 2024"}])
def test_weaker_marks_will_do_when_they_stay_the_same(host, tmp_path, mark):
    host.marks, host.breaks = mark, [100_000]
    assert fetch_file(file_at(host), tmp_path, **QUICK).path.read_bytes() == BODY
    assert host.sent == len(BODY)


def test_a_file_that_changes_between_look_and_download(host, tmp_path):
    real = fetch.ask

    def ask_and_change(*arguments, **options):
        offer = real(*arguments, **options)
        host.body, host.marks = OTHER, {"ETag": '"two"'}
        return offer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "ask", ask_and_change)
        got = fetch_file(file_at(host, OTHER), tmp_path, **QUICK)
    assert got.path.read_bytes() == OTHER


def test_a_web_page_in_the_archives_place(host, tmp_path):
    host.body = b"\n<!DOCTYPE html><html>Sign in to the network</html>"
    with pytest.raises(DataError, match=r"/file is a web page, not faces\.tar\.gz"):
        fetch_file(file_at(host, checksum=False), tmp_path, **QUICK)
    assert left(tmp_path) == []


def test_a_wrong_checksum_leaves_nothing(host, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch_file(file_at(host, OTHER), tmp_path, **QUICK)
    for body in (BODY, OTHER):
        assert hashlib.sha256(body).hexdigest() in str(caught.value)
    assert left(tmp_path) == []


def test_a_stalled_connection_is_given_up_and_taken_up(host, tmp_path):
    host.breaks, host.stalls = [100_000], [3]
    started = time.monotonic()
    got = fetch_file(file_at(host), tmp_path, pause=0.001, timeout=0.2)
    assert got.path.read_bytes() == BODY and host.sent == len(BODY)
    assert time.monotonic() - started < 2.5
    shutil.rmtree(tmp_path)
    host.breaks, host.stalls = [1_000] * 2, [0.5] * 2
    with pytest.raises(DataError, match=r"sent nothing for 0\.1 s; gave up after 2 tries"):
        fetch_file(file_at(host), tmp_path, pause=0.001, timeout=0.1, tries=2)


def test_no_network_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(remote.time, "sleep", lambda _: pytest.fail("it waits"))
    for url in ("http://127.0.0.1:1/f", "http://nowhere.invalid/f"):
        with pytest.raises(DataError, match=r"cannot be reached .*HTTPS_PROXY.* as f\.zip"):
            fetch_file(RemoteFile(url, "f.zip"), tmp_path)
    assert left(tmp_path) == []


def test_a_network_lost_half_way_is_waited_for(host, tmp_path, monkeypatch):
    host.breaks = [100_000]
    real, lost = remote.answer, [True, True]

    def answer(file, headers, **options):
        if host.sent and lost:
            lost.pop()
            raise remote.Unreachable("127.0.0.1 cannot be reached")
        return real(file, headers, **options)

    monkeypatch.setattr(remote, "answer", answer)
    assert fetch_file(file_at(host), tmp_path, **QUICK).path.read_bytes() == BODY
    assert not lost


def test_the_proxy_of_the_environment_is_used(host, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", host.url)
    file = RemoteFile("http://nowhere.invalid/file", "faces.tar.gz")
    assert fetch_file(file, tmp_path, **QUICK).path.read_bytes() == BODY
    assert host.asked[0][0] == "http://nowhere.invalid/file"


def test_a_disk_too_small_for_what_is_missing(host, tmp_path, monkeypatch):
    free = SimpleNamespace(free=150_000)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: free)
    with pytest.raises(DataError, match=r"0\.00 GB free, but faces\.tar\.gz needs .*make room"):
        fetch_file(file_at(host), tmp_path, **QUICK)
    assert host.sent == 0
    free.free, host.breaks = 400_000, [200_000]
    with pytest.raises(DataError, match="gave up"):
        fetch_file(file_at(host), tmp_path, tries=1, **QUICK)
    free.free = 150_000  # enough for the rest
    assert fetch_file(file_at(host), tmp_path, **QUICK).path.read_bytes() == BODY


def test_a_disk_that_fills_up_keeps_what_it_took(host, tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))
    try:
        with pytest.raises(DataError, match=r"gz\.partial: File too large; make room and call"):
            fetch_file(file_at(host), tmp_path, **QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = (tmp_path / "faces.tar.gz.partial").stat().st_size
    assert 0 < kept <= 120_000
    got = fetch_file(file_at(host), tmp_path, **QUICK)
    assert got.path.read_bytes() == BODY and got.received == len(BODY) - kept


def test_a_killed_download_goes_on_without_fetching_anything_twice(host, tmp_path):
    host.breaks, host.stalls = [170_000], [30]
    code = (
        "import sys; from agelib.fetch import *; from agelib.remote import RemoteFile; "
        "fetch_file(RemoteFile(sys.argv[1], 'faces.tar.gz'), sys.argv[2])"
    )
    words = [sys.executable, "-c", code, f"{host.url}/file", str(tmp_path)]
    partial = tmp_path / "faces.tar.gz.partial"
    with subprocess.Popen(words) as process:
        until = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size == 170_000):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        with pytest.raises(DataError, match="another process is fetching"):
            fetch_file(file_at(host), tmp_path)
        process.kill()
    got = fetch_file(file_at(host), tmp_path, **QUICK)
    assert got.path.read_bytes() == BODY
    assert (got.received, host.sent) == (130_000, len(BODY))


def test_an_interrupted_download_goes_on_unless_the_file_has_changed(host, tmp_path):
    def stop(done, _):
        if done > 100_000:
            raise KeyboardInterrupt

    for body, mark in ((BODY, '"one"'), (OTHER, '"two"')):
        host.breaks, host.body, host.marks = [150_000], body, {"ETag": mark}
        with pytest.raises(KeyboardInterrupt):
            fetch_file(file_at(host), tmp_path, progress=stop, **QUICK)
        assert "faces.tar.gz" not in left(tmp_path)
    got = fetch_file(file_at(host, OTHER), tmp_path, **QUICK)
    assert got.path.read_bytes() == OTHER


@pytest.mark.parametrize("note", [b"", b"[]", b"{", b'{"url": "elsewhere"}', None])
def test_a_partial_file_of_unknown_origin_is_not_taken_up(host, tmp_path, note):
    (tmp_path / "faces.tar.gz.partial").write_bytes(OTHER[:1000])
    if note is not None:
        (tmp_path / "faces.tar.gz.partial.json").write_bytes(note)
    assert fetch_file(file_at(host), tmp_path, **QUICK).path.read_bytes() == BODY
    assert host.sent == len(BODY)


def test_folders_that_cannot_be_written(host, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"/file: File exists; move away what lies there"):
        fetch_file(file_at(host), tmp_path / "file", **QUICK)
    assert host.asked == []


def test_a_lock_whose_holder_is_gone_holds_nobody_up(host, tmp_path):
    with filelock.FileLock(tmp_path / ".faces.tar.gz.lock"):
        pass
    (tmp_path / ".faces.tar.gz.lock").touch()
    assert fetch_file(file_at(host), tmp_path, **QUICK).received == len(BODY)


# The command


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
    monkeypatch.setattr("builtins.input", lambda prompt: " Yes ")
    assert cli.main(["fetch", "utkface"]) == 0
    assert (offered / "UTKFace.tar.gz").read_bytes() == host.body


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
            assert int(digits, 16) and file.url.startswith("https://")
            assert os.path.basename(file.name) == file.name
