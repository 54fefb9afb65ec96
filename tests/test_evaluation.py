import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import made_up, regression
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from agelib.bootstrap import weight_blocks
from agelib.evaluation import (
    AGE_METRICS,
    METRICS,
    evaluate,
)
from agelib.files import DataError


def tied(n, k, *, rows):
    """Predictions in which only a few rows of probabilities occur."""
    few = made_up(rows, k).filter(regex=r"^p\d").iloc[np.arange(n) % rows]
    return made_up(n, k).assign(**few.reset_index(drop=True))


def by_scikit_learn(table, k):
    """Every metric by scikit-learn, for any choice of classes that occur."""
    true, predicted = table["true"].to_numpy(), table["predicted"].to_numpy()
    p = table[[f"p{c}" for c in range(k)]].to_numpy()
    values = {
        "accuracy": sk.accuracy_score(true, predicted),
        "one_off_accuracy": np.mean(np.abs(true - predicted) <= 1),
    }
    for average in ("macro", "weighted"):
        scores = sk.precision_recall_fscore_support(
            true, predicted, average=average, zero_division=0
        )
        names = [f"{average}_{name}" for name in ("precision", "recall", "f1")]
        values |= dict(zip(names, scores[:3], strict=True))
    values["gender_accuracy"] = sk.accuracy_score(table["female"], table["p_female"] > 0.5)
    present = [c for c in range(k) if 0 < (true == c).sum() < len(true)]
    if present:
        areas = [sk.roc_auc_score(true == c, p[:, c]) for c in present]
        values["roc_auc"] = np.mean(areas)
    raised = p.clip(5e-6)
    raised /= raised.sum(axis=1, keepdims=True)
    values["log_loss"] = sk.log_loss(true, raised, labels=range(k))
    age, estimate = table["age"], table["expected_age"]
    values["mae"] = sk.mean_absolute_error(age, estimate)
    values["median_error"] = sk.median_absolute_error(age, estimate)
    values["cs5"] = np.mean(np.abs(age - estimate) <= 5)
    values["rmse"] = sk.root_mean_squared_error(age, estimate)
    return values


# Ties, and classes that are missing from the truth, from the predictions or from both.
CASES = {
    "plain": made_up(),
    "odd number": made_up(61, 7),
    "two classes": made_up(40, 2),
    "one class a year": made_up(300, 101, skill=0.1),
    "ties": tied(80, 4, rows=6),
    "all tied": made_up(30, 3).assign(p0=0.5, p1=0.25, p2=0.25),
    "class never true": made_up(true=[0, 0, 1, 1, 3, 3, 3, 0], k=4, skill=0),
    "class never predicted": made_up(50, 4).assign(predicted=lambda t: t.predicted.clip(0, 2)),
    "class in neither": made_up(true=[0, 1] * 20, k=6).assign(predicted=lambda t: t.predicted % 2),
    "one class": made_up(true=[2] * 9, k=4, skill=0),
    "one image": made_up(1, 3),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", CASES)
def test_values_equal_scikit_learn(case):
    table = CASES[case]
    k = sum(c[1:].isdigit() for c in table.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        expected = by_scikit_learn(table, k)
    result = evaluate(table, kind="classification", n_classes=k, resamples=20)
    assert list(result.index) == [name for name in METRICS if name in expected]
    assert list(result.columns) == ["value", "low", "high", "n"]
    assert (result["n"] == len(table)).all()
    for name, value in expected.items():
        assert result.loc[name, "value"] == pytest.approx(value, abs=1e-12), name


def test_macro_auc_equals_scikit_learns_own_average():
    table = made_up(90, 4, decimals=9)
    p = table[["p0", "p1", "p2", "p3"]].to_numpy()
    expected = sk.roc_auc_score(
        table["true"], p / p.sum(axis=1, keepdims=True), multi_class="ovr", average="macro"
    )
    value = evaluate(table, kind="classification", metrics=["roc_auc"], resamples=1)["value"].iloc[
        0
    ]
    assert value == pytest.approx(expected, abs=1e-9)


def test_regression_equals_scikit_learn():
    for n in (59, 60):
        table = regression(n)
        result = evaluate(table, kind="regression", resamples=20)["value"]
        assert tuple(result.index) == AGE_METRICS
        truth, estimate = table["age"], table["predicted"]
        assert result["mae"] == pytest.approx(sk.mean_absolute_error(truth, estimate))
        assert result["median_error"] == pytest.approx(sk.median_absolute_error(truth, estimate))
        assert result["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, estimate))
        assert result["cs5"] == np.mean(np.abs(truth - estimate) <= 5)


def test_an_error_of_exactly_five_years_counts_as_within_five():
    table = pd.DataFrame({"file": list("abc"), "age": [10, 20, 30], "predicted": [15.0, 25.5, 25]})
    assert evaluate(table, kind="regression").loc["cs5", "value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("case", ["plain", "ties", "class never true"])
def test_every_resample_is_what_scikit_learn_says_of_the_drawn_images(case):
    table = CASES[case].sample(frac=1, random_state=0)
    k = sum(c[1:].isdigit() for c in table.columns)
    result = evaluate(table, kind="classification", resamples=15, state=3)
    table = table.sort_values("file", ignore_index=True)
    (weights,) = weight_blocks(len(table), resamples=15, state=3)
    drawn = [
        by_scikit_learn(table.loc[table.index.repeat(column.astype(int))], k)
        for column in weights.T
    ]
    for name, values in pd.DataFrame(drawn).items():
        expected = np.nanpercentile(values, [2.5, 97.5])
        assert result.loc[name, ["low", "high"]].to_numpy(float) == pytest.approx(expected), name


def test_draws_do_not_depend_on_the_size_of_the_blocks_or_on_being_kept(monkeypatch):
    whole = np.concatenate(list(weight_blocks(37, resamples=50, state=5)), axis=1)
    again = np.concatenate(list(weight_blocks(37, resamples=50, state=5)), axis=1)
    assert np.array_equal(whole, again)
    monkeypatch.setattr("agelib.bootstrap._KEPT_ELEMENTS", 0)
    monkeypatch.setattr("agelib.bootstrap._BLOCK_ELEMENTS", 1)
    blocks = list(weight_blocks(37, resamples=50, state=5))
    assert [block.shape for block in blocks] == [(37, 16)] * 3 + [(37, 2)]
    assert np.array_equal(whole, np.concatenate(blocks, axis=1))
    assert (whole.sum(axis=0) == 37).all()
    assert whole.mean() == 1 and 0.8 < whole.var() < 1.1


def test_interval_of_accuracy_matches_theory():
    hits = np.arange(400) < 300
    table = made_up(true=np.zeros(400, int), k=2).assign(predicted=np.where(hits, 0, 1))
    row = evaluate(table, kind="classification", resamples=4000).loc["accuracy"]
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert row["value"] == 0.75
    assert [row["low"], row["high"]] == pytest.approx([0.75 - half, 0.75 + half], abs=0.005)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    # A model right with probability 0.7, measured on 120 images again and again.
    inside, generator = 0, np.random.default_rng(1)
    for state in range(100):
        wrong = (generator.random(120) > 0.7).astype(int)
        table = made_up(true=np.zeros(120, int), k=2).assign(predicted=wrong)
        result = evaluate(
            table, kind="classification", metrics=["accuracy"], state=state, resamples=300
        )
        inside += result.loc["accuracy", "low"] <= 0.7 <= result.loc["accuracy", "high"]
    assert 88 <= inside <= 100


predictions = st.builds(
    made_up,
    st.integers(2, 50),
    st.integers(2, 8),
    state=st.integers(0, 10**6),
    skill=st.floats(0, 6),
)


@settings(max_examples=40, deadline=None)
@given(predictions, st.integers(0, 100))
def test_neither_value_nor_interval_depends_on_the_order_of_the_rows(table, state):
    shuffled = table.sample(frac=1, random_state=state)
    first, second = (evaluate(t, kind="classification", resamples=20) for t in (table, shuffled))
    pd.testing.assert_frame_equal(first, second)


@settings(max_examples=40, deadline=None)
@given(predictions)
def test_metrics_keep_their_bounds_and_order(table):
    result = evaluate(table, kind="classification", resamples=50)
    assert (result["low"] <= result["high"]).all()
    shares = result.drop(index=["log_loss", "mae", "median_error", "rmse"])
    assert shares[["value", "low", "high"]].stack().between(0, 1 + 1e-12).all()
    value, low = result["value"], result["low"]
    assert value["one_off_accuracy"] >= value["accuracy"]
    assert low["one_off_accuracy"] >= low["accuracy"]
    assert value["weighted_recall"] == pytest.approx(value["accuracy"])
    assert value["rmse"] >= value["mae"] - 1e-12


@settings(max_examples=25, deadline=None)
@given(st.builds(made_up, st.integers(30, 80), st.integers(2, 4), state=st.integers(0, 10**6)))
def test_intervals_mostly_hold_their_value(table):
    # Ratios of many classes are biased in resamples; means of single images are not.
    result = evaluate(table, kind="classification", resamples=200)
    inside = (result["low"] <= result["value"]) & (result["value"] <= result["high"])
    assert inside[["accuracy", "one_off_accuracy", "log_loss", "mae", "cs5"]].all()
    assert inside.mean() >= 0.75


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=40))
def test_a_perfect_model_scores_one_everywhere(true):
    p = pd.DataFrame(np.eye(5)[true], columns=[f"p{c}" for c in range(5)])
    table = made_up(true=true).assign(predicted=true, expected_age=np.array(true, float), **p)
    result = evaluate(table, kind="classification", resamples=10)
    zero = ["mae", "median_error", "rmse"]
    assert (result.loc[zero, ["value", "low", "high"]] == 0).all(axis=None)
    assert (result.drop(index=[*zero, "log_loss"])[["value", "low", "high"]] == 1).all(axis=None)
    assert 0 < result.loc["log_loss", "value"] < 1e-4
    assert ("roc_auc" in result.index) == (len(set(true)) > 1)


def test_a_sure_mistake_has_a_finite_log_loss():
    table = made_up(true=[0, 0], k=2).assign(p0=[0.0, 1.0], p1=[1.0, 0.0])
    value = evaluate(table, kind="classification").loc["log_loss", "value"]
    assert value == pytest.approx(-np.log(5e-6) / 2, rel=1e-4)


def test_same_state_same_interval_and_another_state_another():
    table = made_up(80)
    one, again, other = (evaluate(table, kind="classification", state=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert (one["value"] == other["value"]).all() and (one["low"] != other["low"]).any()


def test_a_choice_of_metrics_gives_the_same_numbers_in_the_order_asked():
    table = made_up(50)
    everything = evaluate(table, kind="classification", resamples=30)
    some = evaluate(
        table, kind="classification", resamples=30, metrics=["mae", "roc_auc", "accuracy"]
    )
    assert list(some.index) == ["mae", "roc_auc", "accuracy"]
    pd.testing.assert_frame_equal(some, everything.loc[some.index])


def test_ages_are_scored_only_where_they_are_estimated():
    table = made_up().drop(columns="expected_age")
    assert not set(AGE_METRICS) & set(evaluate(table, kind="classification").index)
    with pytest.raises(ValueError, match="'mae' does not apply.*accuracy"):
        evaluate(table, kind="classification", metrics=["mae"])


def test_it_is_fast_and_leaves_its_input_alone():
    # Ten times what it needs, in time of the processor: how busy the machine is does not count.
    for n, k, limit in ((384, 7, 0.5), (4600, 101, 4.0)):
        table = made_up(n, k, skill=0.3)
        before = table.copy(deep=True)
        start = time.process_time()
        evaluate(table, kind="classification")
        assert time.process_time() - start < limit
        pd.testing.assert_frame_equal(table, before)


BAD = {
    "NaN probability": (lambda t: t.assign(p1=t.p1.where(t.index != 3)), "row 3.*00003.*p1 = nan"),
    "negative probability": (lambda t: t.assign(p0=-0.1), "row 0.*p0 = -0.1"),
    "sum": (lambda t: t.assign(p0=t.p0.where(t.index != 2, 0.9), p1=0.5), "row 0|row 2.*sums to"),
    "label too high": (lambda t: t.assign(true=t.true.where(t.index != 4, 9)), "row 4.*true = 9"),
    "label dropped": (lambda t: t.assign(true=-1), r"true = -1 is no class of 0\.\.4"),
    "label between": (lambda t: t.assign(predicted=1.5), "predicted = 1.5 is no class"),
    "label a word": (lambda t: t.assign(true="21-30"), "true = 21-30 is no class"),
    "label missing": (lambda t: t.assign(predicted=np.nan), "predicted = nan"),
    "age missing": (lambda t: t.assign(age=np.nan), "age = nan is no number of years.*60 of 60"),
    "empty": (lambda t: t.head(0), "empty.*split"),
    "no truth": (lambda t: t.drop(columns="true"), "lack the column true"),
    "no gender": (lambda t: t.drop(columns="female"), "lack the column female"),
    "half a gender": (lambda t: t.assign(female=0.5), "row 0.*female = 0.5 is neither"),
    "a class short": (lambda t: t.drop(columns="p4"), "4 probability columns but 5 classes"),
    "a gap": (lambda t: t.drop(columns="p2"), "4 probability columns"),
    "twice": (lambda t: pd.concat([t, t.head(2)]), "2 rows repeat an image, first '00000.jpg'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_predictions_are_refused_by_file_and_value(case):
    spoil, message = BAD[case]
    with pytest.raises(DataError, match=message):
        evaluate(spoil(made_up()), kind="classification", n_classes=5)


def test_bad_regressions_and_arguments_are_refused():
    table = regression()
    with pytest.raises(DataError, match=r"row 1 \('00001.jpg'\): predicted = inf.*1 of 60"):
        evaluate(table.assign(predicted=[0, np.inf] + [1.0] * 58), kind="regression")
    with pytest.raises(DataError, match="lack the column age"):
        evaluate(table.drop(columns="age"), kind="regression")
    with pytest.raises(ValueError, match="Unknown kind 'ordinal'"):
        evaluate(table, kind="ordinal")
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        evaluate(table, kind="regression", resamples=0)


def test_classes_are_no_years():
    table = pd.DataFrame({"file": ["a"], "age": [5], "true": [0], "predicted": [0], "p0": [1.0]})
    with pytest.raises(DataError, match="evaluate them as 'classification'"):
        evaluate(table, kind="regression")


def test_nullable_ages_of_a_manifest_are_numbers():
    table = regression()
    nullable = table.assign(age=table["age"].astype("Int64"))
    one, two = (evaluate(t, kind="regression", resamples=5) for t in (table, nullable))
    pd.testing.assert_frame_equal(one, two)
    with pytest.raises(DataError, match="age = <NA>"):
        evaluate(nullable.assign(age=nullable["age"].where(table.index != 5)), kind="regression")


def test_rounding_of_101_probabilities_is_no_error():
    p = np.full((1, 101), 1 / 101).round(5)
    table = made_up(true=[50], k=101)
    table[[f"p{c}" for c in range(101)]] = p
    assert p.sum() != 1
    assert evaluate(table, kind="classification").loc["log_loss", "value"] > 4


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.2])
@pytest.mark.parametrize(
    ("name", "told"),
    [("p_female", "is no probability .*train again"), ("female", "is neither 0 nor 1 .*drop the")],
)
def test_an_impossible_gender_is_named(name, told, value):
    table = made_up()
    table[name] = table[name].astype(float).mask(table.index == 3, value)
    with pytest.raises(DataError, match=rf"row 3 \('00003\.jpg'\): {name} = .*{told}"):
        evaluate(table, kind="classification")
