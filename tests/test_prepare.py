import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from agelib import datasets, manifests, paths, prepare
from agelib.datasets.sample import write_sample
from agelib.files import DataError
from agelib.manifests import load_manifest
from agelib.protocols import split
from agelib.recipes import p5_5000
from agelib.store import open_store

SMALL = {"size": 16, "color": "grey"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("faces") / "images", n=20)


def test_a_relative_folder_counts_from_the_collection(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, folder in (
        ("AGELIB_DATASETS", paths.datasets_dir),
        ("AGELIB_RESULTS", paths.results_dir),
    ):
        monkeypatch.setenv(name, "mine/there")
        assert folder() == paths.root() / "mine" / "there"
        monkeypatch.setenv(name, str(tmp_path))
        assert folder() == tmp_path


def test_an_empty_folder_does_not_hide_the_archive(place, faces):
    folder = datasets.images_folder("utkface")
    folder.mkdir(parents=True)
    with tarfile.open(folder.with_name("UTKFace.tar.gz"), "w:gz") as archive:
        archive.add(faces, "UTKFace")
    assert prepare.prepare("utkface", **SMALL).counts["images"] > 20


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Give folders of data sets and of committed manifests, both empty."""
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "data"))
    for module in (prepare, manifests):
        monkeypatch.setattr(module, "manifests_dir", lambda: tmp_path / "committed")
    return tmp_path


def copied(faces, folder):
    folder.mkdir(parents=True)
    for file in sorted(faces.glob("*.jpg")):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def committed(place):
    """Make the manifest of the images in place the committed one."""
    made = prepare.prepare("utkface", **SMALL)
    target = place / "committed" / "utkface.csv"
    target.parent.mkdir()
    made.manifest.rename(target)
    return target


def test_the_sample_is_drawn_cleaned_and_stored(place):
    done = []
    made = prepare.prepare("sample", sample_size=20, progress=lambda *n: done.append(n), **SMALL)
    catalog = load_manifest("sample")
    assert made.manifest == place / "data" / "sample" / "manifest.csv"
    assert made.images == datasets.images_folder("sample")
    assert done[-1] == (len(catalog), len(catalog))
    assert made.counts["images"] == len(catalog) > 20
    assert made.counts["corrupt"] == 3 and made.counts["exact_groups"] == 3
    assert set(catalog.loc[catalog["usable"], "fold"]) == {0, 1, 2, 3, 4}
    with open_store(made.store, catalog=catalog) as store:
        assert store.read(np.flatnonzero(catalog["usable"])).any(axis=(1, 2, 3)).all()

    before = made.store.stat().st_mtime_ns
    again = prepare.prepare("sample", sample_size=20, **SMALL)
    assert again.counts == made.counts
    assert again.store.stat().st_mtime_ns == before


def test_another_sample_size_replaces_manifest_and_store(place):
    prepare.prepare("sample", sample_size=12, **SMALL)
    first = load_manifest("sample")
    made = prepare.prepare("sample", sample_size=14, **SMALL)
    second = load_manifest("sample")
    assert len(second) > len(first)
    open_store(made.store, catalog=second).close()


def test_the_sample_can_be_split_as_p2_and_p5_did(place):
    prepare.prepare("sample", sample_size=100, **SMALL)
    catalog = load_manifest("sample")
    random, apart = split(catalog, "p2-random"), split(catalog, "utkface-5000")
    assert sum(random.counts().values()) == catalog["usable"].sum()
    assert len(apart.training) > 3 * len(apart.validation) > 0
    assert len(apart.test) > 3 * len(apart.training)
    assert random.notes and not apart.notes


def test_a_sample_manifest_of_an_earlier_version_is_renewed(place):
    made = prepare.prepare("sample", sample_size=12, **SMALL)
    catalog = load_manifest("sample")
    catalog.drop(columns=["p2_random", "p5_5000"]).to_csv(made.manifest, index=False)
    prepare.prepare("sample", sample_size=12, **SMALL)
    pd.testing.assert_frame_equal(load_manifest("sample"), catalog)


def test_the_list_of_p5_counts_for_utkface_only(place, faces):
    prepare.prepare("utkface", faces, **SMALL)
    by_hash = load_manifest("utkface")
    assert by_hash["p5_5000"].tolist() == p5_5000(by_hash).tolist()
    listed = by_hash["file"][by_hash["keep"]].head(10).tolist()
    path = place / "data" / "protocols" / "utkface_5000_128px.txt"
    path.parent.mkdir()
    path.write_text("\n".join([*listed, "elsewhere.jpg"]) + "\n", encoding="utf-8")
    prepare.prepare("utkface", faces, **SMALL)
    catalog = load_manifest("utkface")
    learnt = catalog["p5_5000"].isin(["training", "validation"])
    assert catalog["file"][learnt].tolist() == listed
    prepare.prepare("sample", sample_size=12, **SMALL)
    sample = load_manifest("sample")
    assert sample["p5_5000"].tolist() == p5_5000(sample).tolist()

    path.write_bytes(b"elsewhere.jpg\r\n")
    with pytest.raises(DataError, match=r"none of the 1 lines of .*utkface_5000.*hash"):
        prepare.prepare("utkface", faces, **SMALL)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"utkface_5000.* is not a list of file names"):
        prepare.prepare("utkface", faces, **SMALL)
    assert load_manifest("utkface")["p5_5000"].tolist() == catalog["p5_5000"].tolist()


def test_a_missing_or_stale_store_is_built(place):
    prepare.prepare("sample", sample_size=12, **SMALL)
    catalog = load_manifest("sample")
    with prepare.build_missing_store("sample", catalog, size=20, color="rgb") as store:
        assert (store.n, store.size, store.color) == (len(catalog), 20, "rgb")
    prepare.prepare("sample", sample_size=14, **SMALL)
    catalog = load_manifest("sample")
    with prepare.build_missing_store("sample", catalog, size=20, color="rgb") as store:
        assert store.n == len(catalog)


def test_a_store_of_an_archive_names_the_command_that_unpacks_it(place, faces):
    folder = place / "data" / "UTKFace"
    catalog = manifests.read_manifest(prepare.prepare("utkface", faces, **SMALL).manifest)
    folder.unlink()
    wanted = {"catalog": catalog, "size": 20, "color": "rgb"}
    with pytest.raises(DataError, match="none of the .* is in place"):
        prepare.build_missing_store("utkface", **wanted)
    with tarfile.open(folder.with_name("UTKFace.tar.gz"), "w:gz") as archive:
        archive.add(faces, "UTKFace")
    said = r"not unpacked.*UTKFace\.tar\.gz; run `python -m agelib prepare utkface`"
    with pytest.raises(DataError, match=said):
        prepare.build_missing_store("utkface", **wanted)
    prepare.prepare("utkface", **SMALL)
    prepare.build_missing_store("utkface", **wanted).close()


def test_a_folder_is_linked_and_an_archive_unpacked(place, faces):
    made = prepare.prepare("utkface", faces, **SMALL)
    assert made.images.samefile(faces)
    linked = load_manifest("utkface")
    made.images.unlink()
    with tarfile.open(place / "data" / "UTKFace.tar.gz", "w:gz") as archive:
        for file in sorted(faces.glob("*.jpg")):
            archive.add(file, f"UTKFace/{file.name}")
    prepare.prepare("utkface", **SMALL)  # the archive is found where it belongs
    pd.testing.assert_frame_equal(load_manifest("utkface"), linked)
    with pytest.raises(DataError, match="exists beside the given"):
        prepare.prepare("utkface", faces, **SMALL)


def test_nothing_in_place_says_what_is_expected(place):
    with pytest.raises(DataError, match=r"UTKFace\.tar\.gz exists; get it as .*prepare utkface"):
        prepare.prepare("utkface")
    with pytest.raises(DataError, match="no data set 'imagenet'; choose one of utkface, "):
        prepare.prepare("imagenet")


def test_a_committed_manifest_rules(place, faces):
    folder = copied(faces, place / "data" / "UTKFace")
    target = committed(place)
    catalog = manifests.read_manifest(target)
    # Other folds than would be drawn today, and a file nobody knows.
    catalog["fold"] = (catalog["fold"] + 1) % 5 * catalog["usable"] - ~catalog["usable"] * 1
    manifests.save_manifest(catalog, target)
    (folder / "1_0_0_20990101000000000.jpg.chip.jpg").write_bytes(b"extra")
    (place / "data" / "utkface" / "manifest.csv").write_text("left over")

    made = prepare.prepare("utkface", **SMALL)
    assert made.manifest == target and made.counts["not_in_manifest"] == 1
    pd.testing.assert_frame_equal(load_manifest("utkface"), catalog)
    open_store(made.store, catalog=catalog).close()


def test_images_that_differ_from_the_committed_manifest(place, faces):
    folder = copied(faces, place / "data" / "UTKFace")
    target = committed(place)
    first = manifests.read_manifest(target)["file"][0]
    (folder / first).write_bytes((folder / first).read_bytes() + b" ")
    with pytest.raises(DataError, match=rf"1 of \d+ images.*not those.*{first}.*--own"):
        prepare.prepare("utkface", **SMALL)
    (folder / first).unlink()
    with pytest.raises(DataError, match=rf"1 of \d+ images are missing.*{first}.*--own"):
        prepare.prepare("utkface", **SMALL)

    made = prepare.prepare("utkface", own=True, **SMALL)
    assert made.manifest == place / "data" / "utkface" / "manifest.csv"
    assert first not in set(load_manifest("utkface")["file"])
    (place / "data" / "UTKFace").rename(place / "elsewhere")
    with pytest.raises(DataError, match=r"neither the folder"):
        prepare.prepare("utkface", **SMALL)


def test_missing_images_of_the_committed_manifest_are_counted(place, faces):
    folder = copied(faces, place / "data" / "UTKFace")
    files = manifests.read_manifest(committed(place))["file"].tolist()
    n, gone = len(files), round(0.3 * len(files))
    for file in files[:gone]:
        (folder / file).unlink()
    counts = rf"{gone} of {n} images"
    with pytest.raises(DataError, match=rf"{counts} are missing in .*: {files[0]}, .*--own"):
        prepare.prepare("utkface", **SMALL)
    # Of one's own, with a warning.
    made = prepare.prepare("utkface", own=True, **SMALL)
    (note,) = made.notes
    assert note.startswith(f"{gone} of {n} images that the committed manifest names are missing (3")
    assert len(load_manifest("utkface")) == made.counts["images"] == n - gone
    for file in files[gone:]:
        (folder / file).rename(folder / f"1_0_0_{file}")
    expected = rf"none of the {n} images is in place; expected for example .*UTKFace.{files[0]}"
    with pytest.raises(DataError, match=expected):
        prepare.prepare("utkface", **SMALL)
    assert prepare.prepare("utkface", own=True, **SMALL).notes == ()


def test_several_at_once_wait_for_each_other(place):
    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(prepare.prepare, "sample", sample_size=12, **SMALL) for _ in range(3)]
    made = [one.result() for one in work]
    assert made[0].counts == made[1].counts == made[2].counts
    assert made[0].counts["corrupt"] == 3


def test_the_committed_manifest_of_utkface():
    catalog = manifests.read_manifest(paths.manifests_dir() / "utkface.csv")
    assert len(catalog) == 23_707 and catalog["keep"].sum() == 22_743
    assert catalog["exact"].nunique() == 375 and catalog["exact"].notna().sum() == 765
    sizes = catalog.groupby("cluster").size()
    assert (sizes > 1).sum() == 881 and sizes[sizes > 1].sum() == 1_845
    # Folds and parts came after the images: the records' mark of the manifest stays theirs.
    assert manifests.fingerprint(catalog) == "bbafa8642d8e2b8a"
    counts = {
        "p1_decades": [6177, 1629, 384],
        "p2_random": [15_172, 3793, 4742],
        "p5_5000": [4000, 1000, 17_789],
    }
    for column, expected in counts.items():
        parts = catalog[column].value_counts()
        assert parts[["training", "validation", "test"]].tolist() == expected


def test_the_benchmark_runs(place):
    faces = write_sample(place / "faces", n=5, faults=False)
    words = [faces, place / "scratch", "--size", "16", "--rounds", "1", "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, paths.root() / "benchmarks" / "conversion.py", *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "agelib / bare = " in done.stdout
    assert list((place / "scratch").iterdir()) == []
