"""Leakage tables on a catalog of a few images, counted by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from agelib import leakage
from agelib.protocols import Split

# Rows 0 to 3 are for training, 4 for validation, 5 to 8 for the test.
CATALOG = pd.DataFrame(
    {
        "file": [f"{name}.jpg" for name in "abcdefghi"],
        "age": pd.array([20, 30, 50, 60, 40, 24, 41, 80, 50], dtype="Int64"),
        # e (validation) and g share a photograph; a, b and f another; c and i a third.
        "cluster": [0, 0, 2, 3, 4, 0, 4, 7, 2],
    }
)
SPLIT = Split("theirs", None, np.arange(4), np.array([4]), np.arange(5, 9), "")


def record(expected):
    """Return a record whose expected ages of f, g, h and i are given, in another order."""
    table = CATALOG.iloc[5:][["file", "age"]].assign(expected_age=expected)
    return SimpleNamespace(predictions=table.iloc[::-1].reset_index(drop=True))


def test_twins_are_copies_in_training_only():
    table = leakage.twins(CATALOG, SPLIT).set_index("file")
    assert table["twin"].to_dict() == {"f.jpg": True, "g.jpg": False, "h.jpg": False, "i.jpg": True}
    assert table.loc["f.jpg", "copied"] == 25  # of 20 and 30
    assert np.isnan(table.loc["g.jpg", "copied"])


def test_errors_are_means_over_states_and_copying_has_its_own():
    table = leakage.scored([record([26, 41, 70, 50]), record([20, 41, 70, 56])], CATALOG, SPLIT)
    assert table["file"].tolist() == ["f.jpg", "g.jpg", "h.jpg", "i.jpg"]
    assert table["error"].tolist() == [3, 0, 10, 3]
    assert table["copying"].fillna(-1).tolist() == [1, -1, -1, 0]


def test_worth_is_paired_by_image():
    copies = leakage.scored([record([25, 41, 70, 50])], CATALOG, SPLIT)
    apart = leakage.scored([record([29, 41, 72, 54])], CATALOG, SPLIT)
    table = leakage.worth(copies, apart)
    assert table.loc["with a twin", ["with copies", "apart", "change"]].tolist() == [0.5, 4.5, -4]
    assert table.loc["without", ["with copies", "apart", "change"]].tolist() == [5, 4, 1]
    assert table.loc["all", "change"] == pytest.approx(-1.5)
    assert table["n"].tolist() == [2, 2, 4]
    with pytest.raises(ValueError, match="different test images"):
        leakage.worth(copies, apart.iloc[1:])


def many(ages, errors):
    """Return a table as `scored` gives it, every image alone in its cluster."""
    n = len(ages)
    table = {"file": range(n), "cluster": range(n), "twin": np.arange(n) % 4 == 0}
    return pd.DataFrame(table | {"age": ages, "error": errors})


def test_flattery_tells_an_easy_mix_of_ages_from_a_leak():
    # The young are off by 2 years, the old by 8, under both; theirs has more of the young.
    ours = many(np.repeat([10.0, 70.0], 100), np.repeat([2.0, 8.0], 100))
    theirs = many(np.repeat([10.0, 70.0], [150, 50]), np.repeat([2.0, 8.0], [150, 50]))
    table = leakage.flattery({"theirs": theirs, "ours": ours}, "ours", resamples=200)
    assert table["mae"].tolist() == [3.5, 5]
    assert table["with a twin"].tolist() == [0.25, 0.25]
    assert table.loc["theirs", "difference"] == pytest.approx(-1.5)
    assert table.loc["theirs", "difference high"] < 0
    assert table.loc["theirs", "same ages"] == pytest.approx(0, abs=1e-9)
    assert np.isnan(table.loc["ours", "difference"])


def test_accuracy_by_twin():
    predictions = CATALOG.iloc[5:][["file"]].assign(true=[1, 1, 2, 0], predicted=[1, 0, 2, 0])
    history = pd.DataFrame({"accuracy": [0.5, 0.9]})
    lenet = SimpleNamespace(predictions=predictions, history=history, label="1.0 LeNet-5")
    row = leakage.by_twin([lenet], CATALOG, SPLIT).loc["1.0 LeNet-5"]
    assert row[["in training", "with a twin", "without"]].tolist() == [0.9, 1, 0.5]
    assert row[["difference", "n with", "n without"]].tolist() == [0.5, 2, 2]
    assert row["low"] <= 0.5 <= row["high"]
