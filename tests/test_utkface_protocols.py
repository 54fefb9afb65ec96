"""UTKFace's own protocols: exact recipes of P1, P2 and P5, public lists, random parts."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_catalogs import catalog as catalog
from made_catalogs import crossing, make_catalog

from agelib.files import DataError
from agelib.folds import N_FOLDS, assign_folds
from agelib.labels import get_scheme
from agelib.manifests import load_manifest, read_manifest
from agelib.paths import manifests_dir
from agelib.protocols import PARTS, class_counts, split
from agelib.recipes import p1_decades, p2_random, p5_5000


@pytest.fixture(scope="module")
def utkface():
    path = manifests_dir() / "utkface.csv"
    if not path.is_file():
        pytest.skip("the manifest of UTKFace is not in this checkout")
    return read_manifest(path)


def test_p1_takes_the_first_of_each_decade():
    ages = np.repeat([5, 6, 15, 25, 35, 45, 55, 65, 71, 0], 20)
    files = [f"{age:03d}_0_0_{row:04d}.jpg" for row, age in enumerate(ages)]
    files[0] = "005_0_0000.jpg"  # three parts
    files[1] = "005_0_0_00_01.jpg"  # five parts
    catalog = make_catalog(ages, files=files)
    part = p1_decades(catalog)
    # Rows 2-19 have age 5, so 6-year-olds fill up the first decade, and the others lose none.
    assert np.flatnonzero(part == "").tolist() == [0, 1, *range(22, 40), *range(160, 200)]
    draw = np.random.RandomState(1).rand(140)
    expected = np.where(draw < 0.75, "training", np.where(draw < 0.95, "validation", "test"))
    assert part[part != ""].tolist() == expected.tolist()


def test_p1_reads_names_in_folders_and_leaves_out_unusable_images():
    ages = np.repeat([5, 15, 25, 35, 45, 55, 65], 3)
    files = [f"a_b/{age:02d}_0_0_{row:04d}.jpg" for row, age in enumerate(ages)]
    part = p1_decades(make_catalog(ages, files=files))
    assert (part != "").all()
    usable = np.arange(21) != 0
    part = p1_decades(make_catalog(ages, files=files, usable=usable))
    assert np.flatnonzero(part == "").tolist() == [0, *range(5, 21, 3)]


def test_names_of_another_data_set_leave_no_image_out_of_p1_decades():
    ages = [5, 15, 25, 35, 45, 55, 65] * 40
    own = make_catalog(ages, files=[f"photo-{row}.jpg" for row in range(len(ages))])
    assert (own["p1_decades"] != "").all()
    mixed = own.assign(file=own["file"].where(own.index < 70, [f"{a}_0_0_1.jpg" for a in ages]))
    assert (p1_decades(mixed)[:70] == "").all() and (p1_decades(mixed)[70:] != "").all()


@pytest.mark.parametrize("ages", [[], [5, 15, 25]])
def test_p1_without_a_decade_is_empty_and_splitting_says_which(ages):
    catalog = make_catalog(ages)
    assert catalog["p1_decades"].tolist() == [""] * len(ages)
    with pytest.raises(DataError, match=r"p1-decades: no image for training.*61-70"):
        split(catalog, "p1-decades")


def test_p1_is_never_cleaned_and_says_how_it_leaks(catalog):
    one = split(catalog, "p1-decades", cleaned=True)
    assert one.fingerprint == split(catalog, "p1-decades", cleaned=False).fingerprint
    assert sum(one.counts().values()) == (catalog["p1_decades"] != "").sum()
    assert len(one.notes) == 1 and "test images have a duplicate in another part" in one.notes[0]


def test_p2_is_a_shuffle_of_the_usable_images_cut_twice():
    usable = np.arange(1003) % 10 != 4
    catalog = make_catalog([30] * 1003, usable=usable)
    one = split(catalog, "p2-random")
    names = catalog["file"][usable].tolist()
    np.random.RandomState(10).shuffle(names)
    learnt, test = names[: int(0.8 * len(names))], names[int(0.8 * len(names)) :]
    # Keras: the first floor(n * (1 - validation_split)) train.
    cut = math.floor(len(learnt) * (1 - 0.2))
    for part, expected in (
        ("training", learnt[:cut]),
        ("validation", learnt[cut:]),
        ("test", test),
    ):
        assert catalog["file"].iloc[one.parts()[part]].tolist() == sorted(expected)
    assert one.counts() == {"training": 577, "validation": 145, "test": 181}


def test_p2_is_never_cleaned_and_says_how_it_leaks(catalog):
    one = split(catalog, "p2-random", cleaned=True)
    assert one.fingerprint == split(catalog, "p2-random", cleaned=False).fingerprint
    assert sum(one.counts().values()) == catalog["usable"].sum()
    assert len(one.notes) == 1 and "test images have a duplicate in another part" in one.notes[0]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_p5_keeps_the_listed_images_and_parts_no_cluster(data):
    n = data.draw(st.integers(1, 60))
    clusters = data.draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    usable = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    catalog = make_catalog([30] * n, clusters=clusters, usable=usable)
    listed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    part = p5_5000(catalog, catalog["file"][listed].tolist())
    picked = listed & catalog["usable"].to_numpy()
    assert (np.isin(part, ["training", "validation"]) == picked).all()
    apart = ~catalog["cluster"].isin(catalog["cluster"][picked])
    assert ((part == "test") == (catalog["keep"] & apart)).all()
    assert not crossing(catalog, {name: np.flatnonzero(part == name) for name in PARTS})
    for gender in ("male", "female", None):
        of = catalog["gender"].isna() if gender is None else catalog["gender"] == gender
        assert ((part == "validation") & of).sum() <= round((picked & of).sum() / 5)


def test_p5_picks_a_share_by_a_hash_that_no_other_image_changes(catalog):
    one = split(catalog, "utkface-5000")
    learnt = np.sort(np.concatenate([one.training, one.validation]))
    digests = [hashlib.sha256(file.encode()).hexdigest() for file in catalog["file"]]
    picked = [row for row, hexa in enumerate(digests) if int(hexa[:8], 16) / 2**32 < 5000 / 23707]
    assert learnt.tolist() == picked
    assert abs(len(learnt) / len(catalog) - 0.211) < 0.02
    genders = catalog["gender"].fillna("").iloc
    sizes = genders[learnt].value_counts()
    assert genders[one.validation].value_counts().to_dict() == (sizes / 5).round().to_dict()
    half = make_catalog(catalog["age"][::2].tolist(), files=catalog["file"][::2].tolist())
    again = half["file"][half["p5_5000"].isin(["training", "validation"])]
    assert set(again) == set(catalog["file"].iloc[learnt]) & set(half["file"])


def test_p5_is_always_apart_whether_cleaned_or_not(catalog):
    one = split(catalog, "utkface-5000")
    assert one.notes == () and not crossing(catalog, one.parts())
    assert one.fingerprint == split(catalog, "utkface-5000", cleaned=False).fingerprint


@pytest.mark.parametrize("protocol", ["p2-random", "utkface-5000"])
def test_too_few_images_say_so(protocol):
    with pytest.raises(DataError, match=rf"{protocol}: no image for training, validation.* of 0"):
        split(make_catalog([]), protocol)


def write_lists(folder, training, test):
    folder.mkdir(exist_ok=True, parents=True)
    for name, files in (("train", training), ("test", test)):
        table = pd.DataFrame({"filename": files, "age": 30, "database": "utk"})
        table.to_csv(folder / f"utkface_coral_{name}.csv")
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where public lists are looked for."""
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    return tmp_path / "protocols"


@pytest.fixture
def lists(folder, catalog):
    """Lists like the public ones: names without .chip.jpg, two malformed."""
    names = catalog["file"][catalog["age"].between(21, 60)].str.removesuffix(".chip.jpg").tolist()
    random = np.random.RandomState(3)
    random.shuffle(names)
    return write_lists(folder, [*names[200:], "24_0_1_.jpg", "x"], names[:200])


def test_public_lists(catalog, lists):
    one = split(catalog, "utkface-21-60")
    names = pd.read_csv(lists / "utkface_coral_test.csv")["filename"] + ".chip.jpg"
    assert set(catalog["file"].iloc[one.test]) == set(names)
    assert not crossing(catalog, one.parts())
    share = len(one.validation) / (len(one.validation) + len(one.training))
    assert abs(share - 0.1) < 0.02
    theirs = pd.read_csv(lists / "utkface_coral_train.csv")["filename"] + ".chip.jpg"
    ours = set(catalog["file"].iloc[np.append(one.training, one.validation)])
    dropped = catalog["file"].isin(set(theirs) - ours)
    assert catalog["cluster"][dropped].isin(catalog["cluster"].iloc[one.test]).all()
    assert one.notes == (
        f"2 of {len(theirs)} names in utkface_coral_train.csv not found: "
        "24_0_1_.jpg.chip.jpg, x.chip.jpg",
        f"{dropped.sum()} training images dropped: duplicates of test images",
    )


@pytest.mark.usefixtures("lists")
def test_public_lists_uncleaned_keep_everything_and_count_the_leak(catalog):
    cleaned = split(catalog, "utkface-21-60")
    one = split(catalog, "utkface-21-60", cleaned=False)
    assert sum(one.counts().values()) == catalog["age"].between(21, 60).sum()
    assert one.test.tolist() == cleaned.test.tolist()
    assert one.validation.tolist() == cleaned.validation.tolist()
    assert "test images have a duplicate in another part" in one.notes[-1]


def test_public_lists_leave_out_unusable_images_and_shared_names(folder):
    usable = np.arange(40) != 7
    catalog = make_catalog([30] * 40, usable=usable)
    names = catalog["file"].tolist()
    write_lists(folder, names[:31], names[30:])
    one = split(catalog, "utkface-21-60", cleaned=False)
    assert one.test.tolist() == list(range(30, 40))
    assert np.union1d(one.training, one.validation).tolist() == np.delete(range(30), 7).tolist()


def test_missing_and_wrong_lists_say_what_to_do(catalog, folder):
    with pytest.raises(DataError, match=r"utkface_coral_test\.csv is missing; place it there"):
        split(catalog, "utkface-21-60")
    write_lists(folder, ["a.jpg"], ["b.jpg"])
    with pytest.raises(DataError, match=r"none of the 1 names in .*utkface_coral_test.csv"):
        split(catalog, "utkface-21-60")
    for text in ("image,age\na,1\n", "", 'filename\n"a\n', "filename\na,b\nc,d,e\n"):
        (folder / "utkface_coral_test.csv").write_text(text)
        with pytest.raises(DataError, match=r"utkface_coral_test\.csv"):
            split(catalog, "utkface-21-60")


def test_utkface_p1_is_theirs_to_the_file(utkface):
    one = split(utkface, "p1-decades")
    counts = class_counts(utkface, one, get_scheme("decades-7"))
    assert one.counts() == {"training": 6177, "validation": 1629, "test": 384}
    assert counts["training"].tolist() == [869, 869, 889, 890, 862, 910, 888]
    assert counts["validation"].tolist() == [250, 243, 225, 226, 251, 211, 223]
    assert counts["test"].tolist() == [51, 58, 56, 54, 57, 49, 59]
    first = utkface["age"][(utkface["p1_decades"] != "") & (utkface["age"] <= 10)]
    assert first.value_counts().to_dict() == {1: 1014, 10: 156}
    assert (p1_decades(utkface) == utkface["p1_decades"]).all()


def test_utkface_p2_is_the_recipe_and_leaks(utkface):
    one = split(utkface, "p2-random")
    assert one.counts() == {"training": 15_172, "validation": 3793, "test": 4742}
    assert (p2_random(utkface) == utkface["p2_random"]).all()
    names = utkface["file"].tolist()
    np.random.RandomState(10).shuffle(names)
    assert set(utkface["file"].iloc[one.test]) == set(names[int(0.8 * 23_707) :])
    assert one.notes == ("266 of 4742 test images have a duplicate in another part",)


def test_utkface_5000_is_p5s_list_apart_from_its_test(utkface):
    one = split(utkface, "utkface-5000")
    assert one.counts() == {"training": 4000, "validation": 1000, "test": 17_789}
    assert one.notes == () and not crossing(utkface, one.parts())
    learnt = utkface.iloc[np.union1d(one.training, one.validation)]
    # The 5,000 as the reference counts them: genders, and ages by decade.
    assert learnt["gender"].value_counts().to_dict() == {"male": 2584, "female": 2416}
    decades = np.bincount(np.clip((learnt["age"].to_numpy(dtype=int) - 1) // 10, 0, 8))
    assert decades.tolist() == [692, 341, 1664, 917, 423, 460, 241, 154, 108]
    validation = utkface["gender"].iloc[one.validation].value_counts()
    assert validation.to_dict() == {"male": 517, "female": 483}
    outside = ~utkface["cluster"].isin(learnt["cluster"])
    assert one.test.tolist() == np.flatnonzero(utkface["keep"] & outside).tolist()
    assert (p5_5000(utkface, learnt["file"].tolist()) == utkface["p5_5000"]).all()


@pytest.mark.parametrize(
    ("protocol", "start"),
    [
        ("p1-decades", "d1b2d8be97604bfa"),
        ("p2-random", "beb1dc102148e588"),
        ("utkface-5000", "3dacc2615944f976"),
    ],
)
def test_utkface_splits_never_change(utkface, protocol, start):
    assert split(utkface, protocol).fingerprint[:16] == start


def test_utkface_folds_are_apart_complete_and_balanced(utkface):
    assert (assign_folds(utkface) == utkface["fold"]).all()
    splits = [split(utkface, "utkface-5fold", fold=k) for k in range(N_FOLDS)]
    assert not any(crossing(utkface, one.parts()) for one in splits)
    tested = np.sort(np.concatenate([one.test for one in splits]))
    assert tested.tolist() == np.flatnonzero(utkface["keep"]).tolist()
    kept = utkface[utkface["keep"]]
    ages = kept.groupby("fold")["age"]
    assert ages.mean().max() - ages.mean().min() < 0.1
    assert ages.std().max() - ages.std().min() < 0.1
    decades = pd.crosstab(kept["age"] // 10, kept["fold"], normalize="columns")
    assert (decades.max(axis=1) - decades.min(axis=1)).max() < 0.001


def test_larger_training_parts_are_published_by_their_fingerprints(utkface):
    found = [split(utkface, "utkface-5fold-75", fold=k) for k in range(N_FOLDS)]
    assert [one.fingerprint[:8] for one in found] == [
        "1ca8c819", "2751755f", "65919efd", "e7dc69e9", "3fbc957b",
    ]  # fmt: skip
    assert found[0].counts() == {"training": 17_058, "validation": 1137, "test": 4548}
    for one in found:
        ages = [utkface["age"].iloc[rows].mean() for rows in one.parts().values()]
        assert max(ages) - min(ages) < 0.1


def test_utkface_manifest_is_what_the_name_gives(utkface, monkeypatch, tmp_path):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    pd.testing.assert_frame_equal(load_manifest("utkface"), utkface)


def test_random_is_dealt_by_name_and_apart_lacks_only_copies(catalog):
    random, apart = (split(catalog, name) for name in ("utkface-random", "utkface-random-apart"))
    assert (random.test == apart.test).all()
    cluster = catalog["cluster"].to_numpy()
    for part in ("training", "validation"):
        rows, left = getattr(random, part), getattr(apart, part)
        copies = np.isin(cluster[rows], cluster[random.test])
        assert copies.any()
        assert (rows[~copies] == left).all()
    assert sum(random.counts().values()) == catalog["usable"].sum()
    shares = np.array(list(random.counts().values())) / catalog["usable"].sum()
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.05)
    assert any("have a duplicate in another part" in note for note in random.notes)
    assert [note.split(" ", 1)[1] for note in apart.notes] == [
        "images dropped: duplicates of test images"
    ]
    # A name is dealt by itself: other images around it change nothing.
    half = catalog.iloc[::2].reset_index(drop=True)
    tested = set(half["file"].iloc[split(half, "utkface-random").test])
    assert tested == set(catalog["file"].iloc[random.test]) & set(half["file"])
