import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scanned import scan
from scipy.sparse.csgraph import connected_components

from agelib import near_duplicates
from agelib.catalog import list_images
from agelib.cleaning import (
    choose_kept,
    exact_groups,
    flag_duplicates,
    settle,
    summary,
)
from agelib.datasets.sample import write_sample
from agelib.datasets.utkface import parse_name
from agelib.near_duplicates import near_duplicate_clusters


def smooth(n, rng, side=32):
    """Thumbnails like faces: strongly alike, yet different."""
    coarse = rng.normal(size=(n, 8, 8)) * 25 + np.linspace(60, 190, 8)
    return np.clip(np.kron(coarse, np.ones((side // 8, side // 8))), 0, 255).astype(np.uint8)


def planted(n, copies, seed):
    """Give n smooth thumbnails and noisy copies of some of them, in random order."""
    rng = np.random.default_rng(seed)
    images = smooth(n, rng).reshape(n, -1).astype(float)
    sources = rng.integers(0, n, copies)
    # The noise spreads the correlations over both sides of the threshold.
    noise = rng.normal(size=(copies, 1024)) * rng.uniform(1, 14, size=(copies, 1))
    images = np.concatenate([images, images[sources] + noise])
    return rng.permutation(np.clip(images, 0, 255).astype(np.uint8))


def brute_force(thumbnails, threshold):
    varied = np.flatnonzero(thumbnails.std(axis=1) > 0)
    related = np.eye(len(thumbnails), dtype=bool)
    if len(varied) > 1:
        correlation = np.corrcoef(thumbnails[varied].astype(float))
        related[np.ix_(varied, varied)] |= correlation > threshold
    labels = connected_components(related, directed=False)[1]
    return np.array([np.flatnonzero(labels == label)[0] for label in labels])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.95, 0.985, 0.995])
def test_clusters_equal_brute_force(seed, threshold):
    thumbnails = planted(250, 120, seed)
    clusters = near_duplicate_clusters(thumbnails, threshold=threshold)
    expected = brute_force(thumbnails, threshold)
    assert 0 < (np.bincount(expected) > 1).sum() < 120
    np.testing.assert_array_equal(clusters, expected)


def test_clusters_do_not_depend_on_the_blocks(monkeypatch):
    thumbnails = planted(150, 80, 5)
    expected = near_duplicate_clusters(thumbnails)
    monkeypatch.setattr(near_duplicates, "_LEAF", 7)
    monkeypatch.setattr(near_duplicates, "_ROOM", 0)
    monkeypatch.setattr(near_duplicates, "_FEWEST", 11)
    np.testing.assert_array_equal(near_duplicate_clusters(thumbnails), expected)


@pytest.mark.parametrize("leaf", [512, 20])
def test_clusters_of_drawn_faces_equal_brute_force(tmp_path, monkeypatch, leaf):
    monkeypatch.setattr(near_duplicates, "_LEAF", leaf)
    faces = write_sample(tmp_path / "faces", n=100)
    thumbnails = scan(faces, list_images(faces), parse_name).thumbnails
    np.testing.assert_array_equal(
        near_duplicate_clusters(thumbnails), brute_force(thumbnails, near_duplicates.THRESHOLD)
    )
    # Lower, where pairs are many and the bound decides little.
    varied = np.flatnonzero(thumbnails.std(axis=1) > 0)
    correlation = np.triu(np.corrcoef(thumbnails[varied].astype(float)), 1)
    for threshold, least in ((0.985, 1), (0.8, 50)):
        expected = set(map(tuple, varied[np.argwhere(correlation > threshold)]))
        assert len(expected) >= least
        blocks = near_duplicates._candidates(thumbnails, np.arange(len(thumbnails)), threshold)
        assert expected <= {tuple(pair) for block in blocks for pair in block}


# A correlation that equals the threshold may be rounded to either side by the brute force.
@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(0, 12), st.just(16)), elements=st.integers(0, 3)))
def test_any_small_arrays_equal_brute_force(thumbnails):
    threshold = 0.6180339
    clusters = near_duplicate_clusters(thumbnails, threshold=threshold)
    np.testing.assert_array_equal(clusters, brute_force(thumbnails, threshold))


def test_constant_images_pair_with_nothing():
    thumbnails = planted(40, 20, 1)
    thumbnails[3] = thumbnails[9] = 128
    clusters = near_duplicate_clusters(thumbnails)
    assert all((clusters == clusters[row]).sum() == 1 for row in (3, 9))


def test_exact_groups_are_numbered_by_first_member():
    groups = exact_groups(np.array([b"b", b"a", b"c", b"a", b"", b"b", b""]))
    assert groups.fillna(-1).tolist() == [0, 1, -1, 1, -1, 0, -1]


def test_byte_identical_files_share_a_cluster_even_when_undecodable():
    thumbnails = np.zeros((4, 1024), dtype=np.uint8)
    exact = exact_groups(np.array([b"a", b"b", b"c", b"a"]))
    clusters = near_duplicate_clusters(thumbnails, exact=exact)
    assert clusters.tolist() == [0, 1, 2, 0]


def catalog_of(rows):
    frame = pd.DataFrame(rows, columns=["file", "age", "gender", "md5", "cluster"])
    frame["age"] = frame["age"].astype("Int64")
    frame["flags"] = ""
    frame["usable"] = frame["age"].notna()
    return frame


def test_flags_state_sizes_and_conflicting_labels():
    catalog = catalog_of(
        [
            ("a", 20, "male", "x", 0),
            ("b", 25, "female", "x", 0),
            ("c", 25, None, "y", 0),
            ("d", 40, "male", "z", 3),
            ("e", None, "male", "z", 3),
        ]
    )
    catalog.loc[1, "flags"] = "name: no race"
    exact = exact_groups(catalog["md5"].to_numpy("S"))
    flagged = flag_duplicates(catalog, catalog["cluster"].to_numpy(), exact)
    conflicts = "near-duplicate: 3 files; age-conflict: 20 25; gender-conflict: female male"
    assert flagged["flags"].tolist() == [
        f"exact-duplicate: 2 files; {conflicts}",
        f"name: no race; exact-duplicate: 2 files; {conflicts}",
        conflicts,
        "exact-duplicate: 2 files",
        "exact-duplicate: 2 files",
    ]
    assert catalog["flags"].tolist()[0] == ""  # the given catalog is left as it was


def test_the_age_nearest_to_the_mean_stays():
    ages = [20, 26, 27, 60, None]
    catalog = catalog_of([(f"{i}", age, "male", f"{i}", 0) for i, age in enumerate(ages)])
    assert choose_kept(catalog).tolist() == [False, False, True, False, False]


def test_ties_favour_neither_age():
    pairs = [(f"{i}{side}", age, "male", "", 2 * i) for i in range(300)
             for side, age in (("a", 20), ("b", 30))]  # fmt: skip
    kept = choose_kept(catalog_of(pairs))
    assert kept.sum() == 300
    assert 120 < kept[::2].sum() < 180
    shuffled = catalog_of(pairs[::-1])
    assert choose_kept(shuffled)[::-1].tolist() == kept.tolist()


def test_a_cluster_without_a_usable_image_keeps_none():
    catalog = catalog_of([("a", None, None, "x", 0), ("b", 3, None, "y", 1)])
    assert choose_kept(catalog).tolist() == [False, True]


def test_settled_and_counted():
    thumbnails = planted(30, 0, 2)
    thumbnails = np.concatenate([thumbnails, thumbnails[:2]])
    md5 = [*map(str, range(31)), "1"]
    rows = [(f"{i:02}", 20 + i % 30, "male", md5[i], i) for i in range(32)]
    exact = exact_groups(np.array(md5, "S"))
    clusters = near_duplicate_clusters(thumbnails, exact=exact)
    catalog = settle(catalog_of(rows), clusters, exact)
    catalog.loc[31, "flags"] += "; corrupt: truncated"
    counts = summary(catalog)
    assert counts["images"] == 32 and counts["kept"] == 30
    assert (counts["clusters"], counts["cluster_files"]) == (2, 4)
    assert (counts["exact_groups"], counts["exact_files"]) == (1, 2)
    assert (counts["age_conflicts"], counts["corrupt"]) == (0, 1)
