"""Calibration, conformal sets and abstention against cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agelib import abstention, conformal, uncertainty


def at(*pairs, years=101):
    """Return one distribution from (year, probability) pairs."""
    row = np.zeros(years)
    for year, probability in pairs:
        row[year] = probability
    return row


def calibrated(n, *, state=0, bias=0.0, scale=1.0):
    """Return bell distributions and true years drawn from them, moved and stretched."""
    random = np.random.default_rng(state)
    centre, width = random.uniform(20, 80, n), random.uniform(2, 8, n)
    grid = np.arange(101)
    years = np.exp(-0.5 * ((grid - centre[:, None]) / width[:, None]) ** 2)
    years /= years.sum(axis=1, keepdims=True)
    true = np.rint(centre + bias + scale * width * random.normal(size=n)).clip(0, 100)
    return years, true.astype(int)


def test_pit_by_hand():
    # 20 years: 0.2 below, 0.5 on it: the transform is spread evenly over 0.2 to 0.7.
    years = np.array([at((10, 0.2), (20, 0.5), (30, 0.3))])
    shares = uncertainty.pit_shares(years, np.array([20]), np.array([0.1, 0.2, 0.45, 0.7, 1]))
    assert shares[0] == pytest.approx([0, 0, 0.5, 1, 1])
    # 25 years has no probability: a step at 0.7.
    shares = uncertainty.pit_shares(years, np.array([25]), np.array([0.6, 0.8]))
    assert shares[0].tolist() == [0, 1]


def test_an_age_beyond_all_probability_is_in_the_last_bin():
    years = np.array([at((10, 0.4), (30, 0.6))])
    histogram = uncertainty.pit_histogram(years, np.array([50]), resamples=5)["share"]
    assert histogram.tolist() == [0] * 9 + [1]


def test_a_calibrated_forecast_is_uniform_and_covers_what_it_promises():
    years, true = calibrated(10_000)
    histogram = uncertainty.pit_histogram(years, true, resamples=50)
    assert histogram["share"].to_numpy() == pytest.approx(0.1, abs=0.01)
    assert histogram["share"].sum() == pytest.approx(1)
    coverage = uncertainty.central_coverage(years, true, resamples=50)
    assert coverage["coverage"].to_numpy() == pytest.approx(coverage["level"], abs=0.012)


def test_too_narrow_distributions_and_a_bias_show():
    years, true = calibrated(4000, scale=2)
    histogram = uncertainty.pit_histogram(years, true, resamples=50)["share"]
    assert min(histogram.iloc[0], histogram.iloc[-1]) > 0.2
    assert (
        uncertainty.central_coverage(years, true, resamples=50)["coverage"] < np.arange(0.1, 1, 0.1)
    ).all()
    years, true = calibrated(4000, bias=5)
    histogram = uncertainty.pit_histogram(years, true, resamples=50)["share"]
    assert histogram.iloc[-1] > 2 * histogram.iloc[0]


def test_spread_by_hand():
    years = np.array([at((10, 0.5), (20, 0.5)), at((40, 1.0))])
    assert uncertainty.standard_deviation(years).tolist() == [5, 0]
    assert uncertainty.entropy(years) == pytest.approx([np.log(2), 0])


def test_scores_by_hand():
    years = np.array([at((10, 0.5), (20, 0.5))])
    assert conformal.nonconformity(years, "fixed")[0, [15, 10, 40]].tolist() == [0, 5, 25]
    assert conformal.nonconformity(years, "scaled")[0, [15, 10, 40]].tolist() == [0, 1, 5]
    distance = conformal.nonconformity(years, "distribution")[0, [0, 10, 15, 20, 30]]
    assert distance.tolist() == [0.5, 0.25, 0, 0.25, 0.5]
    with pytest.raises(ValueError, match="'narrow' is unknown"):
        conformal.nonconformity(years, "narrow")


def test_threshold_is_the_order_statistic_with_one_more():
    scores = np.arange(1.0, 10)  # nine of them: the 0.9-th of ten is the largest
    assert conformal.conformal_threshold(scores, 0.9) == 9
    assert conformal.conformal_threshold(scores, 0.5) == 5
    assert conformal.conformal_threshold(scores[:8], 0.9) == np.inf


@pytest.mark.parametrize("level", [0, 1, -0.1, 90, np.nan])
def test_a_level_that_is_no_share_is_refused(level):
    with pytest.raises(ValueError, match=f"level is {level}; give a share"):
        conformal.conformal_threshold(np.arange(9.0), level)


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_what_is_no_number_is_neither_ranked_nor_counted(missing):
    fine, bad = np.arange(3.0), np.array([1.0, missing, 2.0])
    with pytest.raises(ValueError, match="1 of 3 scores are no numbers"):
        conformal.conformal_threshold(bad, 0.5)
    for made in (
        abstention.risk_coverage,
        lambda errors, doubt: abstention.aurc_difference(errors, fine, doubt),
        lambda errors, doubt: abstention.abstention_table(errors, {"doubt": doubt}),
    ):
        with pytest.raises(ValueError, match="1 of 3 errors are no numbers"):
            made(bad, fine)
        with pytest.raises(ValueError, match="1 of 3 uncertainties are no numbers"):
            made(fine, bad)


@settings(max_examples=15, deadline=None)
@given(state=st.integers(0, 1000), kind=st.sampled_from(conformal.SCORES))
def test_intervals_cover_whatever_the_forecast_is_worth(state, kind):
    years, true = calibrated(3000, state=state, bias=6, scale=1.7)
    parts = conformal.halves(np.zeros(3000, int), np.arange(3000))
    scores = conformal.nonconformity(years, kind)
    table = conformal.conformal_intervals(scores, true, parts)
    assert table["covered"].mean() == pytest.approx(0.9, abs=0.03)
    inside = (table["lower"] <= true) & (true <= table["upper"])
    assert (table["covered"] == inside).all()


def test_label_conditional_intervals_cover_each_group_of_ages():
    random = np.random.default_rng(0)
    true = random.integers(0, 100, 6000)
    noise = np.where(true < 50, 2, 10)
    centre = true + noise * random.normal(size=6000)
    scores = np.abs(np.arange(101) - centre[:, None])
    parts = conformal.halves(np.zeros(6000, int), np.arange(6000))
    young = true < 50
    plain = conformal.conformal_intervals(scores, true, parts)["covered"]
    assert plain[young].mean() > 0.97
    assert plain[~young].mean() < 0.85
    groups = (np.arange(101) >= 50).astype(int)
    table = conformal.conformal_intervals(scores, true, parts, label_groups=groups)
    # The hull of a set with gaps covers at least as much.
    assert table["covered"][young].mean() == pytest.approx(0.9, abs=0.04)
    assert table["covered"][~young].mean() >= 0.87


def test_known_groups_have_thresholds_of_their_own():
    scores = np.abs(np.arange(101) - np.full(400, 50.0)[:, None])
    wide = np.arange(400) % 2 == 1
    true = np.where(wide, 60, 51)
    parts = np.where(np.arange(400) < 200, "0a", "0b")
    table = conformal.conformal_intervals(scores, true, parts, known=wide)
    assert table["width"].tolist() == [21 if w else 3 for w in wide]
    with pytest.raises(ValueError, match="not both"):
        conformal.conformal_intervals(scores, true, parts, known=wide, label_groups=np.zeros(101))


def test_halves_keep_clusters_together_and_folds_apart():
    folds, clusters = np.repeat([0, 1], 50), np.arange(100) // 2
    parts = conformal.halves(folds, clusters)
    assert set(parts) == {"0a", "0b", "1a", "1b"}
    assert (parts[::2] == parts[1::2]).all()
    with pytest.raises(ValueError, match="no counterpart"):
        conformal.conformal_intervals(np.zeros((2, 101)), np.zeros(2, int), np.array(["0a"] * 2))


def test_risk_and_its_area_by_hand():
    errors, doubt = np.array([4.0, 0.0, 2.0]), np.array([3.0, 1.0, 2.0])
    curve = abstention.risk_coverage(errors, doubt)
    assert curve["risk"].tolist() == [0, 1, 2]
    area = abstention.aurc_score(errors, doubt)(np.ones((3, 1), np.float32))
    assert area[0, 0] == pytest.approx(1)
    # Without the middle image and with the last one twice: risks of 0, 4 / 2 and 8 / 3.
    area = abstention.aurc_score(errors, doubt)(np.array([[2.0], [1.0], [0.0]]))
    assert area[0, 0] == pytest.approx((0 + 4 / 2 + 8 / 3) / 3)
    # Of equal doubt, the last two share their error of 3: risks of 0, 3 / 2 and 6 / 3.
    area = abstention.aurc_score(errors, doubt.clip(max=2))(np.ones((3, 1), np.float32))
    assert area[0, 0] == pytest.approx((0 + 3 / 2 + 6 / 3) / 3)
    assert abstention.risk_coverage(errors, doubt.clip(max=2))["risk"].tolist() == [0, 1.5, 2]


def test_no_order_risks_the_mean_error_at_every_coverage():
    errors = np.random.default_rng(0).exponential(size=500)
    table = abstention.abstention_table(errors, {"good": errors + 0.1})
    assert table.loc["none"].drop(["low", "high"]).to_numpy() == pytest.approx(errors.mean())
    assert table.loc["good", "aurc"] == table.loc["the error itself", "aurc"]
    assert table.loc["good", "low"] < table.loc["good", "aurc"] < table.loc["good", "high"]
    assert table.loc["good", "50% answered"] == pytest.approx(np.sort(errors)[:250].mean())


def test_a_paired_difference_of_areas_is_narrower_than_either():
    random = np.random.default_rng(0)
    errors = random.exponential(size=400)
    better, worse = errors + random.normal(size=400), errors + 2 * random.normal(size=400)
    gain = abstention.aurc_difference(errors, better, worse)
    table = abstention.abstention_table(errors, {"better": better, "worse": worse})
    assert gain["value"] == pytest.approx(table.loc["better", "aurc"] - table.loc["worse", "aurc"])
    assert gain["high"] < 0
    same = abstention.aurc_difference(errors, better, better)
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
