"""Protocols: folds that part no copies, whatever the catalog."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_catalogs import catalog as catalog
from made_catalogs import crossing, make_catalog

from agelib.folds import N_FOLDS, assign_folds, deal
from agelib.labels import get_scheme
from agelib.protocols import PARTS, class_counts, split


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_folds_never_part_a_cluster_and_hold_every_image_once(data):
    n = data.draw(st.integers(1, 60))
    ages = data.draw(st.lists(st.integers(0, 116), min_size=n, max_size=n))
    clusters = data.draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    usable = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    catalog = make_catalog(ages, clusters=clusters, usable=usable)
    assert ((catalog["fold"] >= 0) == catalog["usable"]).all()
    assert catalog["fold"].max() < N_FOLDS
    used = catalog[catalog["usable"]]
    assert (used.groupby("cluster")["fold"].nunique() == 1).all()
    sizes = used[used["keep"]]["fold"].value_counts().reindex(range(N_FOLDS), fill_value=0)
    assert sizes.max() - sizes.min() <= 1


@settings(max_examples=30, deadline=None)
@given(state=st.integers(0, 2**32 - 1), n_folds=st.integers(2, 10))
def test_every_age_is_spread_evenly(catalog, state, n_folds):
    kept = catalog[catalog["keep"]]
    table = pd.crosstab(kept["age"], kept["cluster"].map(deal(kept, n_folds, state)))
    # A run of equal ages covers whole rounds but for a part of one at each end.
    assert (table.max(axis=1) - table.min(axis=1)).max() <= 2


def test_folds_repeat_and_depend_on_the_state(catalog):
    assert (assign_folds(catalog) == catalog["fold"]).all()
    kept = catalog[catalog["keep"]]
    assert (deal(kept, N_FOLDS, 0) != deal(kept, N_FOLDS, 1)).any()


def test_folds_are_the_same_on_every_machine():
    folds = assign_folds(make_catalog(list(range(1, 31))))
    assert "".join(map(str, folds)) == "314200421342310142300142313024"


@pytest.mark.parametrize("cleaned", [True, False])
def test_each_image_is_tested_exactly_once(catalog, cleaned):
    splits = [split(catalog, "sample-5fold", fold=k, cleaned=cleaned) for k in range(N_FOLDS)]
    tested = np.sort(np.concatenate([one.test for one in splits]))
    wanted = catalog["keep" if cleaned else "usable"]
    assert tested.tolist() == np.flatnonzero(wanted).tolist()
    for one, following in zip(splits, splits[1:] + splits[:1], strict=True):
        assert one.validation.tolist() == following.test.tolist()
        assert sum(one.counts().values()) == wanted.sum()
        assert not crossing(catalog, one.parts())
        assert abs(len(one.training) / wanted.sum() - 0.6) < 0.02
        assert all(rows.dtype == np.int64 for rows in one.parts().values())


@pytest.mark.parametrize("cleaned", [True, False])
def test_a_larger_training_part_takes_from_validation_alone(catalog, cleaned):
    for fold in range(N_FOLDS):
        usual, larger = (
            split(catalog, name, fold=fold, cleaned=cleaned)
            for name in ("sample-5fold", "utkface-5fold-75")
        )
        np.testing.assert_array_equal(larger.test, usual.test)
        assert np.isin(usual.training, larger.training).all()
        assert np.isin(larger.validation, usual.validation).all()
        assert sum(larger.counts().values()) == sum(usual.counts().values())
        assert abs(len(larger.validation) / len(usual.validation) - 0.25) < 0.05
        assert not crossing(catalog, larger.parts())


def test_notes_say_what_cleaning_left_out(catalog):
    left_out = int((~catalog["keep"]).sum())
    assert split(catalog, "sample-5fold", fold=0).notes == (f"{left_out} duplicates left out",)
    assert split(catalog, "sample-5fold", fold=0, cleaned=False).notes == ()


def test_fingerprint_follows_the_file_names(catalog):
    prints = {split(catalog, "sample-5fold", fold=k).fingerprint for k in range(N_FOLDS)}
    assert len(prints) == N_FOLDS
    again = split(catalog, "sample-5fold", fold=0)
    assert again.fingerprint == split(catalog, "sample-5fold", fold=0).fingerprint
    lines = [f"{part}\0{catalog['file'][row]}" for part in PARTS for row in again.parts()[part]]
    assert again.fingerprint == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_class_counts(catalog):
    one, scheme = split(catalog, "p1-decades"), get_scheme("decades-7")
    counts = class_counts(catalog, one, scheme)
    assert counts.sum().to_dict() == one.counts()
    assert counts.index.tolist() == list(scheme.names)
    assert counts.sum(axis=1).nunique() == 1
    adience = class_counts(catalog, one, get_scheme("adience-8"))
    assert 0 < adience.to_numpy().sum() < counts.to_numpy().sum()
    with pytest.raises(ValueError, match="'age' has no classes"):
        class_counts(catalog, one, get_scheme("age"))


@pytest.mark.parametrize(
    ("protocol", "fold", "message"),
    [
        ("5fold", 0, "no protocol '5fold'; choose one of p1-decades"),
        ("sample-5fold", None, "fold is None, but sample-5fold has folds 0 to 4"),
        ("sample-5fold", 5, "fold is 5"),
        ("sample-5fold", -1, "fold is -1"),
        ("p1-decades", 0, "fold is 0, but p1-decades has no folds"),
    ],
)
def test_unknown_protocols_and_folds_are_refused(catalog, protocol, fold, message):
    with pytest.raises(ValueError, match=message):
        split(catalog, protocol, fold=fold)
