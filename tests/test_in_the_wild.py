"""UTKFace in the wild: three parts, P1's parts of them, and thinned training parts."""

import tarfile

import numpy as np
import pandas as pd
import pytest
from layout import lay_out

from agelib import datasets
from agelib.files import DataError
from agelib.labels import get_scheme
from agelib.manifests import load_manifest
from agelib.prepare import prepare
from agelib.protocols import class_counts, split
from agelib.recipes import p1_decades, p1_imbalanced

DECADES = get_scheme("decades-7")
# Images of P1's folder in the wild, by decade, as its notebook prints them.
P1_WILD = (3492, 1682, 7806, 4345, 2103, 2226, 1183)


def named(ages, part="part1"):
    stamps = range(20170116225209209, 20170116225209209 + len(ages))
    return [f"{part}/{age}_0_1_{stamp}.jpg" for age, stamp in zip(ages, stamps, strict=True)]


def wild_catalog(ages):
    files = sorted(named(ages), key=str.encode)
    years = [int(file.split("/")[1].split("_")[0]) for file in files]
    return pd.DataFrame({"file": files, "age": pd.array(years, dtype="Int64"), "usable": True})


@pytest.fixture(scope="module")
def p1():
    ages = np.repeat([5, 15, 25, 35, 45, 55, 65], P1_WILD).tolist() + [80] * 100
    return wild_catalog(ages)


def test_p1s_imbalanced_parts_have_the_sizes_that_it_prints(p1):
    parts = pd.Series(p1_imbalanced(p1)).value_counts()
    assert parts[["training", "validation", "test"]].tolist() == [17_119, 4_641, 1_077]
    assert parts[""] == 100


def test_p1s_balanced_parts_have_the_sizes_that_it_prints(p1):
    parts = pd.Series(p1_decades(p1)).value_counts()
    assert parts[["training", "validation", "test"]].tolist() == [6_243, 1_646, 392]


def test_p1s_imbalanced_parts_are_drawn_in_the_order_of_the_files(p1):
    part = p1_imbalanced(p1)
    draw = np.random.RandomState(1).rand(sum(P1_WILD))
    used = part[(p1["age"] <= 70).to_numpy()]
    assert (used == np.where(draw < 0.75, "training", np.where(draw < 0.95, "validation", "test"))
            ).all()  # fmt: skip


def test_names_without_four_parts_are_left_out():
    catalog = wild_catalog([20] * 50)
    catalog.loc[3, "file"] = "part1/20_0_20170116225209209.jpg"
    assert p1_imbalanced(catalog)[3] == ""
    assert (p1_imbalanced(catalog) != "").sum() == 49


@pytest.fixture
def wild(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    ages = np.random.RandomState(0).choice([5, 15, 25, 25, 25, 35, 45, 55, 65], 240).tolist()
    files = []
    for number in (1, 2, 3):
        files += named(ages[80 * (number - 1) : 80 * number], f"part{number}")
    lay_out(tmp_path / "away", files, size=32)
    return tmp_path, files


def test_three_archives_make_one_catalog(wild):
    place, files = wild
    for number in (1, 2, 3):
        with tarfile.open(place / f"part{number}.tar.gz", "w:gz") as archive:
            archive.add(place / "away" / f"part{number}", f"part{number}")
    prepare("utkface-wild", size=16)
    catalog = load_manifest("utkface-wild")
    assert catalog["file"].tolist() == sorted(files)
    assert catalog["race"].unique().tolist() == ["black"]
    parts = split(catalog, "p1-decades")
    counts = class_counts(catalog, parts, DECADES).sum(axis=1)
    assert counts.nunique() == 1
    assert split(catalog, "p1-imbalanced").counts()["training"] > parts.counts()["training"]
    assert datasets.get("utkface-wild").five_fold == "utkface-wild-5fold"
    assert sum(split(catalog, "utkface-wild-5fold", fold=0).counts().values()) > 200


def test_a_part_that_comes_later_is_added(wild):
    place, _ = wild
    for number, expected in ((1, 80), (2, 160)):
        with tarfile.open(place / f"part{number}.tar.gz", "w:gz") as archive:
            archive.add(place / "away" / f"part{number}", f"part{number}")
        prepare("utkface-wild", size=16)
        assert len(load_manifest("utkface-wild")) == expected


def test_an_unpacked_folder_is_taken_as_it_is(wild):
    place, files = wild
    prepare("utkface-wild", place / "away", size=16)
    assert len(load_manifest("utkface-wild")) == len(files)


def test_nothing_in_place_names_every_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    with pytest.raises(DataError, match=r"part1\.tar\.gz or .*part2\.tar\.gz or .*part3\.tar\.gz"):
        prepare("utkface-wild")


@pytest.fixture(scope="module")
def chips():
    return load_manifest("utkface")


@pytest.mark.parametrize("fold", [0, 3])
def test_thinned_training_parts(chips, fold):
    whole = split(chips, "utkface-5fold", fold=fold)
    balanced = split(chips, "balanced-folds", fold=fold)
    thinned = split(chips, "thinned-folds", fold=fold)
    smallest = class_counts(chips, whole, DECADES)["training"].min()
    counts = class_counts(chips, balanced, DECADES)
    assert (counts["training"] == smallest).all()
    assert len(balanced.training) == len(thinned.training) == 7 * smallest
    for part in (balanced, thinned):
        assert np.isin(part.training, whole.training).all()
        np.testing.assert_array_equal(part.validation, whole.validation)
        np.testing.assert_array_equal(part.test, whole.test)
    # At random the classes keep their shares.
    shares = class_counts(chips, thinned, DECADES)["training"] / (7 * smallest)
    natural = class_counts(chips, whole, DECADES)["training"]
    assert (shares - natural / natural.sum()).abs().max() < 0.02


def test_thinned_parts_are_published_by_their_fingerprints(chips):
    found = [
        split(chips, name, fold=0).fingerprint[:12] for name in ("balanced-folds", "thinned-folds")
    ]
    assert found == ["791ed19feef8", "9149e18b3a61"]


def test_the_test_part_of_utkface_5000_has_no_copy_of_what_was_learnt(chips):
    parts = split(chips, "utkface-5000")
    cluster = chips["cluster"].to_numpy()
    learnt = np.concatenate([parts.training, parts.validation])
    assert len(learnt) == 5000
    assert not np.isin(cluster[parts.test], cluster[learnt]).any()
