"""Means with intervals, by hand and against SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agelib.intervals import codes, difference_interval, mean_intervals


def test_means_by_group_are_pandas_means():
    values = np.array([1.0, 2.0, 6.0, 10.0])
    table = mean_intervals(values, ["b", "b", "a", "a"])
    assert table.index.tolist() == ["a", "b"]
    assert table["value"].tolist() == [8.0, 1.5]
    assert table["n"].tolist() == [2, 2]
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_images_without_a_group_do_not_count():
    table = mean_intervals([1.0, 3.0, 100.0], pd.Series(["a", "a", None]))
    assert table.loc["a", ["value", "n"]].tolist() == [2.0, 2]


def test_categories_keep_their_order_and_empty_ones_are_left_out():
    number, names = codes(pd.Categorical(["old", "young"], ["young", "middle", "old"]))
    assert number.tolist() == [1, 0]
    assert names.tolist() == ["young", "old"]


def test_interval_is_that_of_scipy():
    values = np.random.default_rng(0).exponential(size=400)
    table = mean_intervals(values, resamples=4000)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1)
    low, high = theirs.confidence_interval
    assert table.loc["all", "low"] == pytest.approx(low, abs=0.01)
    assert table.loc["all", "high"] == pytest.approx(high, abs=0.01)


def test_copies_drawn_together_widen_the_interval_as_much_as_they_are_many():
    values = np.random.default_rng(0).normal(size=300)
    alone = mean_intervals(values, resamples=3000).loc["all"]
    copied = mean_intervals(
        np.tile(values, 4), clusters=np.tile(np.arange(300), 4), resamples=3000
    ).loc["all"]
    assert copied["value"] == pytest.approx(alone["value"])
    assert copied["n"] == 1200
    # The same 300 units: four copies of each say nothing more.
    width = alone["high"] - alone["low"]
    assert copied["high"] - copied["low"] == pytest.approx(width, rel=0.06)


def test_a_single_image_or_cluster_has_a_mean_but_no_interval():
    table = mean_intervals([3.0, 1.0, 2.0], ["a", "b", "b"])
    assert table.loc["a", ["value", "n"]].tolist() == [3, 1]
    assert table[["low", "high"]].isna().all(axis=1).tolist() == [True, False]
    assert mean_intervals([3.0]).loc["all", ["low", "high"]].isna().all()
    copies = mean_intervals([3.0, 4.0], clusters=np.array([7, 7])).loc["all"]
    assert copies["value"] == 3.5 and np.isnan(copies["low"]) and np.isnan(copies["high"])
    for a, b in (([3.0], [1.0]), ([3.0], [1.0, 2.0]), ([1.0, 2.0], [3.0])):
        found = difference_interval(a, b)
        assert found["value"] == np.mean(a) - np.mean(b)
        assert np.isnan(found["low"]) and np.isnan(found["high"])


def test_difference_of_two_samples():
    random = np.random.default_rng(0)
    a, b = random.normal(1, 1, 500), random.normal(0, 1, 300)
    found = difference_interval(a, b)
    assert found["value"] == pytest.approx(a.mean() - b.mean())
    half = 1.96 * np.sqrt(a.var() / 500 + b.var() / 300)
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.1)
    assert (found["n"], found["n_other"]) == (500, 300)


@pytest.mark.parametrize(
    ("values", "groups", "message"),
    [
        ([], None, "at least 1"),
        ([1.0, np.nan], None, "1 of 2 values are missing"),
        ([1.0, 2.0], ["a"], "not as many"),
    ],
)
def test_bad_input_is_refused(values, groups, message):
    with pytest.raises(ValueError, match=message):
        mean_intervals(values, groups)


@pytest.mark.parametrize(
    ("a", "b", "clusters", "message"),
    [
        ([], [1.0], None, "0 and 1 images"),
        ([1.0], [np.nan], None, "1 of 2 values are missing"),
        ([1.0], [2.0], [3, None], "1 of 2 images have no cluster"),
    ],
)
def test_bad_differences_are_refused(a, b, clusters, message):
    with pytest.raises(ValueError, match=message):
        difference_interval(a, b, clusters=clusters)
