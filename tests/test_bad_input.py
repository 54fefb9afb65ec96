"""What comes wrong from outside: a clear message each time, and nothing left half-written."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scanned import scan

from agelib import catalog, photos, prepare
from agelib.datasets.archive import unpack
from agelib.datasets.sample import write_sample
from agelib.files import DataError, writing
from agelib.labels import get_scheme
from agelib.manifests import load_manifest
from agelib.protocols import Split
from agelib.restructure import plan, restructure
from agelib.store import open_store

SMALL = {"size": 16, "color": "grey", "jobs": 2}
NOISE = np.random.default_rng(0).bytes(60_000)


def visible(folder):
    """What a user sees in a folder, at any depth."""
    inside = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(p.as_posix() for p in inside if not any(n.startswith(".") for n in p.parts))


def tar_bytes(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


@contextlib.contextmanager
def no_file_larger_than(size):
    """Fill the disk, as a process sees it: writing beyond a size fails."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def elsewhere():
    """A folder that others may see, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def nobody():
    """Be a user with no rights: the superuser may write everywhere."""
    if not hasattr(os, "geteuid"):
        pytest.skip("rights are other things here")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("faces") / "images", n=20)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folders of data sets and of committed manifests, both empty."""
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "data"))
    monkeypatch.setattr("agelib.prepare.manifests_dir", lambda: tmp_path / "committed")
    monkeypatch.setattr("agelib.manifests.manifests_dir", lambda: tmp_path / "committed")
    return tmp_path / "data"


# Archives


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("damage", ["flipped", "cut", "tail"])
def test_a_damaged_archive_of_any_compression(tmp_path, pack, damage):
    data = pack(tar_bytes({"Faces/a.jpg": NOISE, "Faces/b.jpg": NOISE[::-1]}))
    middle = len(data) // 2
    data = {
        "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        "cut": data[:middle],
        "tail": data[: middle - 1] + NOISE[: len(data) - middle],
    }[damage]
    (tmp_path / "faces.tar.x").write_bytes(data)
    with pytest.raises(DataError, match=r"faces\.tar\.x is broken or no archive .*get the archive"):
        unpack(tmp_path / "faces.tar.x", tmp_path / "Faces")
    assert visible(tmp_path) == ["faces.tar.x"] == os.listdir(tmp_path)


def test_a_zip_with_damaged_contents(tmp_path):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("Faces/a.jpg", NOISE)
    data = bytearray(path.read_bytes())
    data[30_000] ^= 255
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"faces\.zip is broken"):
        unpack(path, tmp_path / "Faces")
    assert os.listdir(tmp_path) == ["faces.zip"]


def test_a_tar_cut_anywhere_is_never_taken_for_a_smaller_one(tmp_path):
    whole = tar_bytes({f"Faces/{name}.jpg": NOISE[:700] for name in "abc"})
    path = tmp_path / "faces.tar"
    # After members, inside and after headers, and one byte off each.
    cuts = {at + off for at in range(0, 3 * 1536 + 1, 512) for off in (-1, 0, 1)}
    for cut in sorted(at for at in cuts if at >= 0):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"faces\.tar is broken"):
            unpack(path, tmp_path / "Faces")
        assert os.listdir(tmp_path) == ["faces.tar"]
    path.write_bytes(whole[: 3 * 1536 + 512])  # one of the two blocks at the end will do
    assert len(os.listdir(unpack(path, tmp_path / "Faces"))) == 3


@pytest.mark.parametrize("members", [{}, {"code/setup.py": b"x"}, {"Faces/a.txt": b"x", "b": b""}])
def test_an_archive_of_something_else(tmp_path, members):
    (tmp_path / "faces.tar").write_bytes(tar_bytes(members))
    first = next(iter(members), "nothing")
    with pytest.raises(DataError, match=rf"holds no image but '{first}'; is it the right"):
        unpack(tmp_path / "faces.tar", tmp_path / "Faces")
    assert os.listdir(tmp_path) == ["faces.tar"]


def test_a_web_page_in_the_archives_place(place):
    place.mkdir()
    (place / "UTKFace.tar.gz").write_bytes(b"<!DOCTYPE html><html>Log in</html>")
    with pytest.raises(DataError, match=r"UTKFace\.tar\.gz is broken or no archive"):
        prepare.prepare("utkface", **SMALL)
    assert visible(place) == ["UTKFace.tar.gz"]


def test_a_member_that_is_a_file_and_a_folder(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_bytes({"F/a.jpg": b"1", "F/a.jpg/b.jpg": b"2"}))
    with pytest.raises(DataError, match=r"'F/a\.jpg/b\.jpg' appears twice"):
        unpack(tmp_path / "a.tar", tmp_path / "Faces")
    assert os.listdir(tmp_path) == ["a.tar"]


@pytest.mark.parametrize(
    "name", ["Faces/..", "Faces/a/../../../b.jpg", "..", "//b.jpg", "\\\\host\\b.jpg", "C:/b.jpg"]
)
def test_more_paths_that_lead_out(tmp_path, name):
    (tmp_path / "a.tar").write_bytes(tar_bytes({"Faces/a.jpg": b"1", name: b"2"}))
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(tmp_path / "a.tar", tmp_path / "in" / "Faces")
    assert visible(tmp_path) == ["a.tar", "in"]


# A full disk


def test_a_disk_that_fills_up_while_unpacking(place):
    place.mkdir()
    (place / "UTKFace.tar.gz").write_bytes(
        tar_bytes({"UTKFace/1.jpg": b"1", "UTKFace/2.jpg": NOISE})
    )
    with (
        no_file_larger_than(20_000),
        pytest.raises(DataError, match="UTKFace: File too large; make room and call it again"),
    ):
        prepare.prepare("utkface", **SMALL)
    assert visible(place) == ["UTKFace.tar.gz"]
    assert [name for name in os.listdir(place) if "partial" in name] == []


@pytest.mark.parametrize("size", [2_000, 20_000])
def test_a_disk_that_fills_up_while_the_store_is_written(place, faces, size):
    """At 20,000 bytes pixels are refused already, at 2,000 HDF5 cannot even close the file."""
    first = prepare.prepare("utkface", faces, **SMALL)
    before = {path: path.read_bytes() for path in (first.manifest, first.store)}
    with (
        no_file_larger_than(size),
        pytest.raises(DataError, match="utkface: File too large; make room and call it again"),
    ):
        prepare.prepare("utkface", faces, size=64)
    assert visible(place / "utkface") == ["manifest.csv", "utkface-16-grey.h5"]
    assert before == {path: path.read_bytes() for path in before}
    made = prepare.prepare("utkface", faces, size=64)
    open_store(made.store, catalog=load_manifest("utkface")).close()


def test_a_disk_that_fills_up_while_the_manifest_is_written(place, faces, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(DataError, match="utkface: No space left on device; make room"):
        prepare.prepare("utkface", faces, **SMALL)
    assert visible(place / "utkface") == []


def test_a_disk_that_fills_up_while_the_sample_is_drawn(place):
    with no_file_larger_than(3_000), pytest.raises(DataError, match="File too large; make room"):
        prepare.prepare("sample", sample_size=12, **SMALL)
    assert visible(place / "sample") == []
    prepare.prepare("sample", sample_size=12, **SMALL)


def test_trouble_that_no_disk_gave_passes():
    for error in (OSError("no number"), RuntimeError("a defect"), KeyError("a")):
        with pytest.raises(type(error)), writing("place"):
            raise error
    with (
        pytest.raises(DataError, match="place: No space left on device; make room"),
        writing("place"),
    ):
        raise RuntimeError("Can't close (errno = 28, error message = 'No space left on device')")
    with pytest.raises(DataError, match="/a: .*; see that the folder can be read"), writing("b"):
        raise OSError(errno.EIO, "Input/output error", "/a")


# A folder that may only be read


def test_read_only_folders(place, elsewhere, faces, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(elsewhere / "data"))
    (elsewhere / "data").mkdir(mode=0o555)
    (elsewhere / "a.tar").write_bytes(tar_bytes({"UTKFace/1.jpg": b"1"}))
    images = elsewhere / "images"
    shutil.copytree(faces, images)
    table = pd.DataFrame({"file": os.listdir(images)[:2], "part": "test", "class_name": "1"})
    remedy = r"data/.*: Permission denied; choose a folder that you may write to \(AGELIB_DATASETS"
    with nobody():
        with pytest.raises(DataError, match=remedy):
            prepare.prepare("sample", sample_size=12, **SMALL)
        with pytest.raises(DataError, match=remedy):
            unpack(elsewhere / "a.tar", elsewhere / "data" / "UTKFace")
        with pytest.raises(DataError, match=r"cannot write into .*: Permission denied"):
            restructure(table, images, elsewhere / "data" / "classes")
    assert os.listdir(elsewhere / "data") == []


def test_images_that_may_not_be_read_are_flagged_and_stop_nothing(elsewhere, faces):
    folder = elsewhere / "images"
    shutil.copytree(faces, folder)
    files = catalog.list_images(folder)
    os.chmod(folder / files[3], 0)
    with nobody():
        none = dict.fromkeys(("age", "gender", "race"), None) | {"note": ""}
        flags = scan(folder, files, lambda _: none, jobs=1).catalog["flags"]
    assert flags[3] == "corrupt: unreadable, Permission denied"
    assert not flags.drop(3).str.contains("unreadable").any()


def test_a_folder_that_cannot_be_listed_is_not_left_out_in_silence(elsewhere, faces):
    folder = elsewhere / "images"
    shutil.copytree(faces, folder / "open")
    shutil.copytree(faces, folder / "closed")
    os.chmod(folder / "closed", 0)
    with nobody():
        with pytest.raises(DataError, match=r"closed cannot be listed \(Permission denied\)"):
            catalog.list_images(folder)
        found = photos.find_photos(folder)
        assert folder / "closed" in found and len(found) > 20
        with pytest.raises(DataError, match="cannot be read"):
            photos.read_photo(folder / "closed")


# Another process


def test_a_store_that_another_process_writes_is_waited_for(place, faces, monkeypatch):
    place.mkdir(parents=True)
    code = (
        "import sys, time, filelock\n"
        "with filelock.FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(place / ".utkface.prepare.lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"

        class Told(io.StringIO):
            def write(self, text):
                assert not (place / "utkface" / "manifest.csv").exists()
                holder.kill()
                return super().write(text)

        monkeypatch.setattr(sys, "stderr", told := Told())
        made = prepare.prepare("utkface", faces, **SMALL)
    assert told.getvalue() == "waiting for another process that prepares utkface\n"
    open_store(made.store, catalog=load_manifest("utkface")).close()


# Names


def picture(seed):
    noise = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((40, 40)).save(out, "JPEG")
    return out.getvalue()


NAMES = [
    "Änne/30_0_0_größe.jpg",
    "30_1_2_名前.jpg",
    "31_1_2_Ελένη und Łukasz.jpg",
    "32_0_1_😀.jpg",
    f"33_0_1_{unicodedata.normalize('NFC', 'é')}.jpg",
    f"33_0_1_{unicodedata.normalize('NFD', 'é')}.jpg",
    '34_0_1_o\'brien, "x"; 100 %.jpg',
    "35_1_0_nom\u202edroite.jpg",
]


def test_names_in_any_letters_go_all_the_way(place, tmp_path):
    members = {f"UTKFace/{name}": picture(seed) for seed, name in enumerate(NAMES)}
    place.mkdir()
    (place / "UTKFace.tar.gz").write_bytes(tar_bytes(members))
    made = prepare.prepare("utkface", **SMALL)
    table = load_manifest("utkface")
    assert table["file"].tolist() == sorted(NAMES, key=str.encode)
    assert table["usable"].all()
    with open_store(made.store, catalog=table) as store:
        assert store.files == table["file"].tolist()
        assert store.read(np.arange(len(NAMES))).any(axis=(1, 2, 3)).all()
    rows = np.arange(len(NAMES))
    split = Split("test", None, rows[:4], rows[4:6], rows[6:], "")
    links = plan(table, split, get_scheme("decades-7"))
    assert restructure(links, made.images, tmp_path / "classes").linked == len(NAMES)


def test_names_that_are_not_utf_8_are_refused_by_name(place):
    (place / "UTKFace").mkdir(parents=True)
    (place / "UTKFace" / os.fsdecode(b"30_0_0_\xe9.jpg")).write_bytes(picture(0))
    with pytest.raises(DataError, match=r"name '30_0_0_\\udce9\.jpg' is not valid UTF-8; rename"):
        prepare.prepare("utkface", **SMALL)
    assert visible(place / "utkface") == []
