import io
import stat
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from agelib.datasets.archive import unpack
from agelib.files import DataError


def tar_of(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if name.endswith("link.jpg"):
                info.type, info.linkname = content, "../../secret"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


GOOD = [("Faces/a.jpg", b"one"), ("Faces/sub/b.jpg", b"two"), ("./Faces/c.jpg", b"three")]


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_the_top_folder_is_taken_off(tmp_path, make):
    archive = make(tmp_path / "faces", [*GOOD, ("__MACOSX/Faces/._a.jpg", b"junk")])
    folder = unpack(archive, tmp_path / "data" / "Faces")
    assert contents(folder) == {"a.jpg": b"one", "sub/b.jpg": b"two", "c.jpg": b"three"}
    assert [path.name for path in folder.parent.iterdir()] == ["Faces"]


def test_files_at_the_top_stay_there(tmp_path):
    archive = tar_of(tmp_path / "faces.tar", [("a.jpg", b"1"), ("x/b.jpg", b"2")], "w")
    assert contents(unpack(archive, tmp_path / "Faces")) == {"a.jpg": b"1", "x/b.jpg": b"2"}


@pytest.mark.parametrize(
    "name",
    ["../evil.jpg", "Faces/../../evil.jpg", "/evil.jpg", "C:\\evil.jpg", "..\\evil.jpg", "C:e.jpg"],
)
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_paths_that_lead_out_are_refused(tmp_path, make, name):
    archive = make(tmp_path / "faces", [*GOOD, (name, b"evil")])
    inner = tmp_path / "in" / "ner"
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(archive, inner / "Faces")
    assert list(inner.iterdir()) == []
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = tar_of(tmp_path / "faces.tgz", [*GOOD, ("Faces/link.jpg", kind)])
    with pytest.raises(DataError, match=r"'Faces/link.jpg' is a link or a device"):
        unpack(archive, tmp_path / "Faces")
    assert not (tmp_path / "Faces").exists()


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("Faces/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = zip_of(tmp_path / "faces.zip", [*GOOD, (link, "../../secret")])
    with pytest.raises(DataError, match="is a link or a device"):
        unpack(archive, tmp_path / "Faces")


def test_a_broken_archive_leaves_nothing(tmp_path):
    whole = tar_of(tmp_path / "whole.tgz", [("Faces/a.jpg", bytes(range(256)) * 400)] * 1)
    for name, data in {
        "cut.tgz": whole.read_bytes()[:-60],
        "text.tgz": b"not an archive at all",
        "empty.tgz": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=rf"{name} is broken or no archive"):
            unpack(tmp_path / name, tmp_path / "Faces")
        assert sorted(path.suffix for path in tmp_path.iterdir()).count(".tgz") >= 2
        assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    with pytest.raises(DataError, match="is not a file"):
        unpack(tmp_path / "gone.tgz", tmp_path / "Faces")


def test_a_member_twice_is_refused(tmp_path):
    archive = tar_of(tmp_path / "faces.tgz", [*GOOD, GOOD[0]])
    with pytest.raises(DataError, match="appears twice"):
        unpack(archive, tmp_path / "Faces")


def test_a_member_without_a_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr(".", b"x")
        archive.writestr("a.jpg", b"x")
    with pytest.raises(DataError, match=r"faces\.zip"):
        unpack(tmp_path / "faces.zip", tmp_path / "Faces")


def test_a_folder_in_place_is_kept_when_it_is_the_same(tmp_path):
    archive = tar_of(tmp_path / "faces.tgz", GOOD)
    folder = tmp_path / "Faces"
    folder.mkdir()
    unpack(archive, folder)  # an empty folder is filled
    before = (folder / "a.jpg").stat().st_mtime_ns
    assert unpack(archive, folder) == folder
    assert (folder / "a.jpg").stat().st_mtime_ns == before
    (folder / "sub" / "b.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match=r"first difference: b\.jpg"):
        unpack(archive, folder)
    assert (folder / "sub" / "b.jpg").read_bytes() == b"other"


def test_a_file_in_the_way_is_not_touched(tmp_path):
    (tmp_path / "Faces").write_text("mine")
    with pytest.raises(DataError, match="in the way"):
        unpack(tar_of(tmp_path / "faces.tgz", GOOD), tmp_path / "Faces")
    assert (tmp_path / "Faces").read_text() == "mine"


def test_more_than_the_disk_holds_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=10))
    archive = tar_of(tmp_path / "faces.tgz", GOOD)
    with pytest.raises(DataError, match=r"faces\.tgz unpacks to more than the disk has free; make"):
        unpack(archive, tmp_path / "Faces")
    assert [path.name for path in tmp_path.iterdir()] == ["faces.tgz"]


def test_a_folder_that_appears_meanwhile_is_left_alone(tmp_path, monkeypatch):
    def rename(source, target):
        (target / "theirs").mkdir(parents=True)
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr("os.rename", rename)
    archive = tar_of(tmp_path / "faces.tgz", GOOD)
    with pytest.raises(DataError, match=r"Faces appeared meanwhile \(Directory not empty\); try"):
        unpack(archive, tmp_path / "Faces")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Faces", "faces.tgz"]
    assert [path.name for path in (tmp_path / "Faces").iterdir()] == ["theirs"]


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".Faces.partial-abc" / "files").mkdir(parents=True)
    unpack(tar_of(tmp_path / "a.tar.gz", GOOD), tmp_path / "Faces")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Faces", "a.tar.gz"]
