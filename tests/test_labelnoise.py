"""The floor that labels set, from copies of a photograph."""

import numpy as np
import pandas as pd
import pytest

from agelib.files import DataError
from agelib.labelnoise import duplicate_gaps, label_floor


def catalog(ages, clusters, usable=None):
    return pd.DataFrame({
        "age": pd.array(ages, "Int64"), "cluster": clusters,
        "usable": True if usable is None else usable,
    })  # fmt: skip


def test_gaps_are_those_of_all_pairs_of_a_cluster():
    gaps = duplicate_gaps(catalog([10, 14, 20, 50, 7, 9], [0, 0, 0, 3, 4, 4], [True] * 5 + [False]))
    assert sorted(gaps["gap"]) == [4, 6, 10] and set(gaps["cluster"]) == {0}
    assert sorted(gaps["age"]) == [12, 15, 17]


def test_the_floor_is_the_mean_gap_over_root_two():
    table = label_floor(catalog([3, 5, 30, 40, 70, 70], [0, 0, 2, 2, 4, 4]))
    assert list(table.index) == ["0-9", "20-39", "60+", "all"]
    assert table.loc["all", "gap"] == 4
    np.testing.assert_allclose(table["floor"], table["gap"] / np.sqrt(2))
    assert table.loc["all", "low"] < table.loc["all", "floor"] < table.loc["all", "high"]
    assert table.drop("all")[["low", "high"]].isna().all(axis=None)  # one cluster each
    assert table.loc["all", ["pairs", "clusters"]].tolist() == [3, 3]


def test_it_recovers_a_known_error():
    random = np.random.default_rng(0)
    truth = np.repeat(random.integers(30, 60, 4000), 2)
    ages = np.rint(truth + random.normal(0, 5, 8000)).astype(int)
    row = label_floor(catalog(ages, np.repeat(np.arange(4000), 2))).loc["all"]
    # The mean absolute value of a Gaussian is its standard deviation times the root of 2 / pi.
    assert row["low"] < 5 * np.sqrt(2 / np.pi) < row["high"]


def test_one_cluster_tells_of_no_spread():
    row = label_floor(catalog([3, 5], [0, 0])).loc["all"]
    assert row["floor"] == pytest.approx(2 / np.sqrt(2)) and row[["low", "high"]].isna().all()


def test_without_copies_there_is_no_floor():
    with pytest.raises(DataError, match="twice"):
        label_floor(catalog([1, 2], [0, 1]))
