"""Expected age, median, interval and ensembles from tables of predictions."""

import numpy as np
import pandas as pd
import pytest

from agelib.decisions import decide, ensemble, expected_age, interval, posterior_median
from agelib.evaluation import evaluate
from agelib.files import DataError
from agelib.readoff import YEARS, between_years, read_off


def table(ages, rows, **columns):
    outputs = np.zeros((len(ages), YEARS))
    for row, entries in enumerate(rows):
        for year, share in entries.items():
            outputs[row, year] = share
    about = pd.DataFrame({"file": [f"{k}.jpg" for k in range(len(ages))], "age": ages, **columns})
    years = pd.DataFrame(outputs, columns=[f"p{k}" for k in range(YEARS)])
    return pd.concat([about, years], axis=1)


SKEWED = table([20, 70], [{20: 0.6, 60: 0.4}, {70: 0.5, 80: 0.5}])


def test_the_median_errs_least_and_the_mean_is_the_mean():
    np.testing.assert_allclose(expected_age(SKEWED), [36, 75])
    assert posterior_median(SKEWED).tolist() == [20, 70]
    # No other year has a smaller expected absolute error.
    random = np.random.default_rng(0)
    rows = random.dirichlet(np.full(YEARS, 0.1), 20)
    drawn = table([0] * 20, [dict(enumerate(row)) for row in rows])
    years = np.arange(YEARS)
    costs = rows @ np.abs(years[:, None] - years)
    np.testing.assert_array_equal(posterior_median(drawn), costs.argmin(1))


def test_an_interval_holds_its_level_and_leaves_no_more_than_half_the_rest_on_a_side():
    random = np.random.default_rng(1)
    rows = random.dirichlet(np.full(YEARS, 0.1), 50)
    drawn = table([0] * 50, [dict(enumerate(row)) for row in rows])
    found = interval(drawn, 0.8)
    for row, (low, high) in zip(rows, found[["low", "high"]].to_numpy(), strict=True):
        assert row[low : high + 1].sum() >= 0.8
        assert row[:low].sum() <= 0.1 + 1e-9 and row[high + 1 :].sum() <= 0.1 + 1e-9
    # By hand: 0.05 below 30, 0.05 above 32.
    hand = interval(table([31], [{29: 0.05, 30: 0.3, 31: 0.3, 32: 0.3, 33: 0.05}]), 0.8)
    assert hand[["low", "high"]].to_numpy().tolist() == [[30, 32]]


def test_rounded_probabilities_count_as_shares_of_their_sum():
    assert expected_age(table([10], [{10: 0.49, 20: 0.49}])) == pytest.approx(15)


def test_decisions_are_scored_like_a_regression():
    by_median = evaluate(decide(SKEWED), kind="regression", resamples=10)
    by_mean = evaluate(decide(SKEWED, "expected age"), kind="regression", resamples=10)
    assert by_median.loc["mae", "value"] == 0 and by_mean.loc["mae", "value"] == (16 + 5) / 2
    both = decide(SKEWED.assign(female=[0, 1], p_female=[0.2, 0.4]))
    assert evaluate(both, kind="regression").loc["gender_accuracy", "value"] == 0.5


def test_a_regression_has_the_two_years_it_lies_between():
    np.testing.assert_allclose(between_years(np.array([30.25]))[0, [30, 31]], [0.75, 0.25])
    assert between_years(np.array([-3.0, 140.0])).argmax(1).tolist() == [0, 100]
    years = pd.DataFrame({"file": ["a", "b"], "age": [30, 31], "predicted": [30.25, 10.5]})
    np.testing.assert_allclose(expected_age(years), years["predicted"])
    assert posterior_median(years).tolist() == [30, 10]
    assert read_off(years, "decades-7")["predicted"].tolist() == [2, 0]


def test_an_ensemble_is_the_mean_of_its_members_in_any_order():
    one = table([20, 70], [{20: 1.0}, {60: 1.0}], female=[0, 1], p_female=[0.1, 0.9])
    two = table([20, 70], [{30: 1.0}, {80: 1.0}], female=[0, 1], p_female=[0.3, 0.5])
    mean = ensemble([one, two.iloc[::-1]])
    assert mean["expected_age"].tolist() == [25, 70]
    np.testing.assert_allclose(mean["p_female"], [0.2, 0.7])
    scores = evaluate(mean, kind="classification", resamples=10)
    assert scores.loc["mae", "value"] == 2.5
    assert ensemble([one])["p20"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: interval(SKEWED, 95), ValueError, "95.*between 0 and 1"),
        (lambda: decide(SKEWED, "mode"), ValueError, "mode.*expected age, median"),
        (lambda: expected_age(SKEWED.drop(columns="p3")), DataError, "first p3"),
        (lambda: ensemble([]), ValueError, "at least one"),
        (lambda: ensemble([SKEWED, SKEWED.head(1)]), ValueError, "predictions 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
