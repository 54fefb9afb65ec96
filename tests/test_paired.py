"""Two tables of predictions of the same images compared, and those of folds joined."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import made_up, regression

from agelib.evaluation import METRICS, evaluate, paired_difference, pooled
from agelib.files import DataError


def test_paired_difference_is_tighter_than_two_intervals_and_antisymmetric():
    table = regression(300, spread=8)
    better = table.assign(predicted=table["age"] + 0.9 * (table["predicted"] - table["age"]))
    shuffled = better.sample(frac=1, random_state=0)
    result = paired_difference(table, shuffled, metric="mae", kind="regression")
    each = [evaluate(t, kind="regression").loc["mae"] for t in (table, better)]
    assert result["n"] == 300
    assert result["value"] == pytest.approx(each[0]["value"] - each[1]["value"])
    assert 0 < result["low"] < result["value"] < result["high"]
    assert each[0]["low"] < each[1]["high"]
    back = paired_difference(shuffled, table, metric="mae", kind="regression")
    assert back["low"] == pytest.approx(-result["high"])
    same = paired_difference(table, table, metric="cs5", kind="regression")
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "roc_auc"] + ["roc_auc"])
def test_paired_difference_of_every_metric(metric):
    true = np.random.default_rng(9).integers(5, size=120)
    a, b = (made_up(true=true, state=s, skill=skill) for s, skill in ((1, 3), (2, 1)))
    b["female"] = a["female"]
    result = paired_difference(a, b, metric=metric, kind="classification", n_classes=5)
    values = [evaluate(t, kind="classification", resamples=1).loc[metric, "value"] for t in (a, b)]
    assert result["value"] == pytest.approx(values[0] - values[1])
    assert result["low"] <= result["value"] <= result["high"]


def test_a_regression_can_be_compared_with_one_class_a_year():
    years = made_up(40, 90, skill=0.3)
    line = years[["file", "age"]].assign(predicted=years["age"] + 1.0)
    result = paired_difference(line, years, metric="mae", kind="regression", resamples=50)
    error = (years["expected_age"] - years["age"]).abs().mean()
    assert result["value"] == pytest.approx(1 - error)


def test_pairs_must_be_the_same_images_with_the_same_truth():
    table = made_up()
    other = table.iloc[5:].assign(file=lambda t: t["file"].replace("00059.jpg", "new.jpg"))
    with pytest.raises(DataError, match="60 and 55, of which 6 only in the first and 1 only in"):
        paired_difference(table, other, metric="accuracy", kind="classification")
    moved = table.assign(true=(table["true"] + (table.index == 7)) % 5)
    with pytest.raises(DataError, match="disagree about 'true' for 1 of 60 files.*00007"):
        paired_difference(table, moved, metric="accuracy", kind="classification")
    for metric, truth in (("mae", "age"), ("gender_accuracy", "female")):
        other = table.assign(**{truth: table[truth].mask(table.index == 7, 1 - table[truth])})
        with pytest.raises(DataError, match=f"disagree about '{truth}' for 1 of 60 files.*00007"):
            paired_difference(table, other, metric=metric, kind="classification")
        # What another metric is of does not matter to it.
        paired_difference(table, other, metric="accuracy", kind="classification", resamples=5)
    with pytest.raises(DataError, match="of 5 and of 6 classes; compare"):
        paired_difference(table, table.assign(p5=0.0), metric="accuracy", kind="classification")
    with pytest.raises(ValueError, match="'f1' does not apply"):
        paired_difference(table, table, metric="f1", kind="classification")


def test_pooling_joins_folds_once():
    table = made_up(50)
    folds = [table[table.index % 5 == fold] for fold in range(5)]
    pd.testing.assert_frame_equal(pooled(reversed(folds)), table)
    with pytest.raises(DataError, match="10 rows repeat an image, first '00000.jpg'"):
        pooled([*folds, folds[0]])
    with pytest.raises(DataError, match="Predictions 1 have other columns.*p4"):
        pooled([folds[0], folds[1].drop(columns="p4")])
    with pytest.raises(DataError, match="no predictions to pool"):
        pooled([])
