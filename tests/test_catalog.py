import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scanned import Held, scan

from agelib.catalog import COLUMNS, list_images, require_images
from agelib.datasets.utkface import parse_name
from agelib.files import DataError
from agelib.manifests import SCHEMA
from agelib.reading import FACTS, read_files

DATE = "20170116174525125.jpg.chip.jpg"


def picture(seed=0, size=(40, 40), mode="RGB", kind="JPEG"):
    noise = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize(size).convert(mode).save(out, kind)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    files = {
        f"30_0_0_{DATE}": picture(1),
        f"31_1_2_{DATE}": b"",
        f"32_1_2_{DATE}": picture(2)[:-200],
        f"33_1_2_{DATE}": b"no picture",
        f"34_1_2_{DATE}": picture(3, mode="L"),
        f"35_1_2_{DATE}": picture(4, size=(40, 30)),
        f"36_1_{DATE}": picture(5, mode="RGBA", kind="PNG"),
        f"_1_1_{DATE}": picture(6),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_every_fault_is_flagged_and_none_stops_the_scan(folder):
    catalog, thumbnails = scan(folder, list_images(folder), parse_name, jobs=2)
    assert catalog["flags"].tolist() == [
        "",
        "corrupt: empty file",
        "corrupt: truncated",
        "corrupt: not an image",
        "mode: L",
        "not-square: 40x30",
        "name: no race; mode: RGBA",
        "name: no age",
    ]
    usable = [True, False, False, False, True, True, True, False]
    assert catalog["usable"].tolist() == catalog["keep"].tolist() == usable
    assert catalog["width"].isna().tolist() == [False, True, True, True] + [False] * 4
    assert thumbnails.shape == (8, 1024)
    assert not thumbnails[1:4].any() and thumbnails[0].any()


def test_columns_types_and_digests(folder):
    files = list_images(folder)
    catalog = scan(folder, files, parse_name).catalog
    assert tuple(catalog.columns) == COLUMNS
    assert {name: str(kind) for name, kind in catalog.dtypes.items()} == SCHEMA
    for file, md5, size in catalog[["file", "md5", "size"]].itertuples(index=False):
        data = (folder / file).read_bytes()
        assert (md5, size) == (hashlib.md5(data).hexdigest(), len(data))
    assert catalog["cluster"].tolist() == list(range(8))


def test_an_unreadable_file_is_flagged(folder):
    catalog = scan(folder, [f"30_0_0_{DATE}", f"40_0_0_{DATE}"], parse_name).catalog
    assert catalog["flags"][1].startswith("corrupt: unreadable")
    assert catalog["md5"][1] == ""


def test_files_are_listed_in_byte_order(tmp_path):
    names = ["b.jpg", "B.JPG", "a/c.png", "a.jpg", "ä.jpeg", "10.jpg", "9.jpg", "a-b.jpg"]
    for name in (*names, ".hidden.jpg", "._b.jpg", "notes.txt", "__MACOSX/a.jpg", ".git/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_images(tmp_path) == sorted(names, key=str.encode)


def test_no_folder_and_no_image(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        list_images(tmp_path / "gone")
    with pytest.raises(DataError, match="holds no image"):
        list_images(tmp_path)


def test_missing_images_are_counted_and_named(folder):
    files = list_images(folder)
    require_images(folder, files)
    with pytest.raises(DataError, match=r"none of the 8 images.*expected.*gone.30_0_0"):
        require_images(folder / "gone", files)
    (folder / files[2]).unlink()
    with pytest.raises(DataError, match=rf"1 of 8 images are missing in .*: {files[2]}"):
        require_images(folder, files)


def test_threads_and_progress_do_not_change_the_outcome(tmp_path):
    for index in range(150):
        (tmp_path / f"{index:03}.jpg").write_bytes(picture(index) if index % 9 else b"broken")
    files, seen = list_images(tmp_path), []
    one, many = Held(150), Held(150)
    read_files(tmp_path, files, jobs=1, sink=one)
    read_files(tmp_path, files, jobs=4, sink=many, progress=lambda *done: seen.append(done))
    for name in ("facts", "thumbnails", "images"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))
    assert seen == [(0, 150), (64, 150), (128, 150), (150, 150)]
    assert one.facts["read"].all()
    for row, image in enumerate(one.images):
        assert image.any() == bool(row % 9) and (image != 77).any()


def test_an_error_in_the_sink_is_passed_on(folder):
    class Full(Held):
        def write(self, start, block):
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        read_files(folder, list_images(folder), sink=Full(8))


def test_a_long_reason_is_cut_at_a_letter(tmp_path, monkeypatch):
    def refused(data):
        raise DataError("ä" * 60)

    monkeypatch.setattr("agelib.reading.decode", refused)
    (tmp_path / "30_0_0_20170116174525125.jpg").write_bytes(picture())
    flag = scan(tmp_path, list_images(tmp_path), parse_name).catalog["flags"][0]
    assert flag == "corrupt: " + "ä" * (FACTS["trouble"].itemsize // 2)


def test_links_to_folders_right_below_are_followed_but_not_up_or_inside(tmp_path):
    there, folder = tmp_path / "there", tmp_path / "images"
    for place in (there, folder, folder / "inside"):
        place.mkdir()
        (place / "a.jpg").write_bytes(b"")
    (folder / "linked").symlink_to(there, target_is_directory=True)
    (folder / "itself").symlink_to(folder, target_is_directory=True)
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    (folder / "again").symlink_to(folder / "inside", target_is_directory=True)
    assert list_images(folder) == ["a.jpg", "inside/a.jpg", "linked/a.jpg"]


def test_a_name_with_a_line_break_is_refused(tmp_path):
    (tmp_path / "a\nb.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"'a\\nb\.jpg' has a line break; rename"):
        list_images(tmp_path)


def test_a_folder_that_is_gone_is_said_once(tmp_path):
    with pytest.raises(DataError, match="gone is not there; place the images"):
        read_files(tmp_path / "gone", ["a.jpg"], sink=Held(1))


def test_a_folder_of_100_000_files_is_listed_once(tmp_path, monkeypatch):
    for part in range(3):
        (tmp_path / f"{part}").mkdir()
    expected = sorted(f"{number % 3}/{number:05}.jpg" for number in range(100_000))
    for file in expected:
        os.close(os.open(tmp_path / file, os.O_CREAT))
    scanned, looked = [], []
    real, is_file = os.scandir, Path.is_file
    monkeypatch.setattr(os, "scandir", lambda folder: scanned.append(folder) or real(folder))
    monkeypatch.setattr(Path, "is_file", lambda path: looked.append(path) or is_file(path))
    files = list_images(tmp_path)
    require_images(tmp_path, files)
    assert files == expected
    assert (len(scanned), len(looked)) == (4, 100_000)
    for file in files[:30_000]:
        os.unlink(tmp_path / file)
    first = ", ".join(files[:3])
    with pytest.raises(DataError, match=f"30000 of 100000 images are missing in .*: {first} …"):
        require_images(tmp_path, files)
