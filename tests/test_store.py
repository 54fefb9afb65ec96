import io
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from PIL import Image
from scanned import scan

from agelib.catalog import list_images
from agelib.datasets.utkface import parse_name
from agelib.files import DataError
from agelib.images import load_image, to_array
from agelib.manifests import fingerprint
from agelib.store import OutdatedStore, build_store, open_store, store_path
from agelib.store_writer import new_store

N = 150
MARKS = {"dataset": "faces", "licence": "drawn"}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index in range(N):
        noise = np.random.default_rng(index).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(noise).resize((40, 40)).save(out, "JPEG")
        data = out.getvalue() if index != 70 else b"broken"
        name = f"{index % 90}_{index % 2}_0_20170116174525{index:03}.jpg.chip.jpg"
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def catalog(images):
    return scan(images, list_images(images), parse_name).catalog


@pytest.fixture(scope="module")
def built(images, catalog, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "faces-24-rgb.h5"
    return build_store(catalog, images, path, size=24, color="rgb", **MARKS)


def expected(images, catalog, size, color):
    zeros = np.zeros((size, size, 3 if color == "rgb" else 1), dtype=np.uint8)
    return np.stack([
        zeros if "corrupt" in flags else to_array(load_image(images / file), size, color)
        for file, flags in zip(catalog["file"], catalog["flags"], strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize(("size", "color"), [(24, "rgb"), (16, "grey")])
def test_rows_are_the_catalog_rows(images, catalog, tmp_path, size, color):
    path = tmp_path / "s.h5"
    build_store(catalog, images, path, size=size, color=color, jobs=3, **MARKS)
    with open_store(path, catalog=catalog) as store:
        assert (store.n, store.size, store.color, len(store)) == (N, size, color, N)
        assert store.shape == (N, size, size, 3 if color == "rgb" else 1)
        assert store.chunk[1:] == store.shape[1:]
        assert store.files == catalog["file"].tolist()
        wanted = expected(images, catalog, size, color)
        np.testing.assert_array_equal(store.read(np.arange(N)), wanted)
        rng = np.random.default_rng(0)
        for rows in (rng.permutation(N), rng.integers(0, N, 40), [5], [], [3, 3, 149, 0]):
            np.testing.assert_array_equal(store.read(rows), wanted[np.asarray(rows, dtype=int)])


def test_what_stands_in_the_file(catalog, built):
    with h5py.File(built) as file:
        marks = dict(file.attrs)
        assert marks["manifest"] == fingerprint(catalog)
        assert (marks["agelib_format"], marks["size"], marks["color"]) == (1, 24, "rgb")
        assert marks["dataset"] == "faces" and marks["licence"] == "drawn" and marks["complete"]
        assert file["images"].chunks is not None
        assert file["age"][:].tolist() == catalog["age"].tolist()
        assert set(file["gender"][:].tolist()) == {0, 1}


@pytest.mark.parametrize("rows", [[-1], [N], [0, 10**9]])
def test_rows_outside_are_refused(catalog, built, rows):
    with open_store(built, catalog=catalog) as store, pytest.raises(IndexError):
        store.read(rows)


def test_missing_truncated_and_stale_stores_name_the_remedy(catalog, built, tmp_path):
    path = tmp_path / "faces-24-rgb.h5"
    remedy = "python -m agelib prepare faces --size 24 --color rgb"
    with pytest.raises(OutdatedStore, match=f"does not exist.*{remedy}"):
        open_store(path, catalog=catalog)
    path.write_bytes(built.read_bytes()[:-5000])
    with pytest.raises(OutdatedStore, match=f"truncated.*{remedy}"):
        open_store(path, catalog=catalog)
    changed = catalog.copy()
    changed.loc[3, "md5"] = "0" * 32
    for other in (changed, catalog.iloc[:-1]):
        with pytest.raises(OutdatedStore, match=f"stale.*{remedy}"):
            open_store(built, catalog=other)
    for name, value in (("age", 99), ("gender", "female")):  # labels that were corrected
        corrected = catalog.copy()
        corrected.loc[corrected[name] != value, name] = value
        with pytest.raises(OutdatedStore, match=f"its {name} is not the catalog's.*{remedy}"):
            open_store(built, catalog=corrected)


def test_a_store_that_may_not_be_read_is_no_foreign_file(catalog, built, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Unable to synchronously open file")

    monkeypatch.setattr("agelib.store.h5py.File", refused)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied"):
        open_store(built, catalog=catalog)


def test_foreign_files_are_refused(catalog, built, tmp_path):
    path = tmp_path / "faces-24-rgb.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(DataError, match="not an HDF5 file; move it away"):
        open_store(path, catalog=catalog)
    with h5py.File(path, "w") as file:
        file["weights"] = [1, 2]
    with pytest.raises(DataError, match="not a store of agelib") as caught:
        open_store(path, catalog=catalog)
    assert not isinstance(caught.value, OutdatedStore)
    path.write_bytes(built.read_bytes())
    with h5py.File(path, "a") as file:
        file.attrs["agelib_format"] = 99
    with pytest.raises(OutdatedStore, match="has format 99"):
        open_store(path, catalog=catalog)


def test_a_store_left_unfinished_never_appears(tmp_path):
    how = {"path": tmp_path / "s.h5", "files": ["a", "b", "c"], "size": 8, "color": "grey"}
    with pytest.raises(RuntimeError, match="finish"), new_store(**how):
        pass
    with pytest.raises(KeyboardInterrupt), new_store(**how):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_changed_and_missing_images_are_refused(images, catalog, tmp_path):
    path = tmp_path / "s.h5"
    changed = catalog.copy()
    changed.loc[3, "md5"] = "0" * 32
    with pytest.raises(DataError, match=rf"1 of {N} images .*{changed['file'][3]}.*--own"):
        build_store(changed, images, path, size=8, **MARKS)
    changed.loc[3, "file"] = "gone.jpg"
    with pytest.raises(DataError, match=rf"1 of {N} images are missing.*gone\.jpg"):
        build_store(changed, images, path, size=8, **MARKS)
    assert list(tmp_path.iterdir()) == []


def test_impossible_stores_are_refused(tmp_path):
    for wrong in ({"size": 0}, {"size": 5000}, {"color": "gray"}):
        with (
            pytest.raises(ValueError, match="choose"),
            new_store(tmp_path / "s.h5", ["a"], **{"size": 8, "color": "rgb"} | wrong),
        ):
            pass
    with (
        pytest.raises(DataError, match="GB are free"),
        new_store(tmp_path / "s.h5", range(10**7), size=1024, color="rgb"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_writers_at_once_leave_one_whole_store(images, catalog, tmp_path):
    path, how = tmp_path / "s.h5", {"size": 16, "jobs": 1, **MARKS}
    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(build_store, catalog, images, path, **how) for _ in range(3)]
    assert {one.result() for one in work} == {path}
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]
    with open_store(path, catalog=catalog) as store:
        wanted = expected(images, catalog, 16, "rgb")
        np.testing.assert_array_equal(store.read(np.arange(N)), wanted)


def test_where_stores_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    assert store_path("faces", 32, "grey") == tmp_path / "faces" / "faces-32-grey.h5"


def test_a_full_disk_is_seen_beside_what_another_run_left(tmp_path):
    left = tmp_path / ".unfinished-s.h5"
    left.mkdir()
    (left / "job.txt").write_text("another")
    how = {"size": 1024, "color": "rgb", "resume": True}
    with (
        pytest.raises(DataError, match="GB are free"),
        new_store(tmp_path / "s.h5", [str(n) for n in range(10**7)], **how),
    ):
        pass
