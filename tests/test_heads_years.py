"""Heads that learn single years: losses and distributions by hand and by their papers."""

import numpy as np
import pytest

from agelib.backend import keras
from agelib.heads import HEADS, Coral, Corn, MeanVariance, OrdinalRegression, SoftOrdinal, make_head
from agelib.labels import get_scheme

YEARS = get_scheme("per-year-101")
QUESTIONS = 100


def value(head, labels, outputs):
    targets = head.targets(np.asarray(labels))
    return float(head.loss()(targets, np.asarray(outputs, "float32")))


def step(age):
    """Answers of one who is surely of this age."""
    return (np.arange(QUESTIONS) < age).astype("float64")


def built(head, units=4):
    features = keras.Input((units,))
    return keras.Model(features, head.output(features))


@pytest.mark.parametrize("name", [name for name in HEADS if name != "years"])
def test_every_head_gives_a_distribution_over_years_and_reads_it(name):
    head = make_head(name, YEARS, {})
    outputs = built(head).predict(np.random.default_rng(0).normal(size=(5, 4)), verbose=0)
    outputs = outputs.astype("float64")
    probabilities = head.distribution(outputs)
    assert probabilities.shape == (5, 101) and probabilities.min() >= -1e-12
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    columns = head.read(outputs, np.array([0, 1, 50, 99, 100]))
    assert [name for name in columns if name[0] == "p" and name[1:].isdigit()] == [
        f"p{k}" for k in range(101)
    ]
    np.testing.assert_allclose(columns["expected_age"], probabilities @ np.arange(101))


@pytest.mark.parametrize("name", ["sord", "mean-variance", "or-cnn", "coral", "corn"])
def test_a_head_learns_and_comes_back_with_a_saved_network(tmp_path, name):
    head = make_head(name, YEARS, {})
    labels = np.tile([10, 30, 60, 90], 8)
    x, y = np.eye(4, dtype="float32")[np.tile(np.arange(4), 8)], head.targets(labels)
    network = built(head)
    network.compile(keras.optimizers.Adam(0.2), head.loss(), metrics=head.metrics())
    before = network.evaluate(x, y, verbose=0, return_dict=True)["mae"]
    network.fit(x, y, epochs=40, batch_size=32, verbose=0)
    network.save(tmp_path / "n.keras")
    again = keras.saving.load_model(tmp_path / "n.keras")
    after = again.evaluate(x, y, verbose=0, return_dict=True)
    assert after["mae"] < min(5, before / 3)
    # The metric and what is read off say the same.
    columns = head.read(again.predict(x, verbose=0).astype("float64"), labels)
    error = np.abs(columns["expected_age"] - labels).mean()
    assert error == pytest.approx(after["mae"], abs=1e-2)


@pytest.mark.parametrize("name", ["or-cnn", "coral", "corn"])
def test_targets_ask_whether_one_is_older_and_mix_like_ages(name):
    head = make_head(name, YEARS, {}, dense_targets=True)
    rows = head.targets(np.array([0, 3, 100]))
    assert rows.shape == (3, QUESTIONS)
    assert rows.sum(1).tolist() == [0, 3, 100] and rows[1, :4].tolist() == [1, 1, 1, 0]
    assert (0.5 * rows[0] + 0.5 * rows[2]).sum() == 50


def test_sord_labels_are_the_soft_max_of_negative_distances():
    row = SoftOrdinal(YEARS).targets(np.array([40]))[0]
    assert row[0] == 40 and row[1:].sum() == pytest.approx(1, abs=1e-5)
    # Two years away the squared distance is 4.
    assert row[1 + 42] / row[1 + 40] == pytest.approx(np.exp(-4), rel=1e-4)


def test_sord_loss_is_the_cross_entropy():
    uniform = np.full((2, 101), 1 / 101)
    assert value(SoftOrdinal(YEARS), [40, 7], uniform) == pytest.approx(np.log(101), rel=1e-4)


def test_mean_variance_loss_by_hand():
    # Half at 20 and half at 30: mean 25, variance 25; the true age is 30.
    row = np.zeros((1, 101))
    row[0, [20, 30]] = 0.5
    expected = np.log(2) + 0.2 / 2 * 5**2 + 0.05 * 25
    assert value(MeanVariance(YEARS), [30], row) == pytest.approx(expected, rel=1e-4)
    only_mean = MeanVariance(YEARS, variance=0.0)
    assert value(only_mean, [30], row) == pytest.approx(np.log(2) + 2.5, rel=1e-4)


def test_or_cnn_and_coral_loss_is_the_sum_of_the_questions():
    # All answers a half: a hundred questions of log 2 each, whatever the age.
    half = np.full((1, QUESTIONS), 0.5)
    for head in (OrdinalRegression(YEARS), Coral(YEARS)):
        assert value(head, [37], half) == pytest.approx(100 * np.log(2), rel=1e-5)
        # Sure and right in all but one question, which is answered with 0.8.
        row = step(37)
        row[50] = 0.8
        assert value(head, [37], [row]) == pytest.approx(-np.log(0.2), rel=1e-3)


def test_corn_loss_follows_its_definition():
    # Shi et al.: each question over those who are older than the one before; all sums divided by
    # the number of questions asked.
    random = np.random.default_rng(0)
    outputs = random.uniform(0.05, 0.95, (6, QUESTIONS))
    ages = np.array([0, 1, 2, 37, 99, 100])
    total, asked = 0.0, 0
    for k in range(QUESTIONS):
        subset = np.flatnonzero(ages > k - 1)
        yes = ages[subset] > k
        f = outputs[subset, k]
        total -= np.log(f[yes]).sum() + np.log(1 - f[~yes]).sum()
        asked += len(subset)
    assert value(Corn(YEARS), ages, outputs) == pytest.approx(total / asked, rel=1e-4)


def test_corn_multiplies_conditional_probabilities():
    row = np.ones((1, QUESTIONS))
    row[0, 30], row[0, 31] = 0.5, 0.4
    row[0, 32:] = 0
    probabilities = Corn(YEARS).distribution(row)[0]
    np.testing.assert_allclose(probabilities[[30, 31, 32]], [0.5, 0.3, 0.2])
    assert Corn(YEARS).read(row, np.array([31]))["expected_age"] == pytest.approx(30.7)


def test_contradicting_answers_are_put_in_order():
    # Older than 20 with 0.4 but older than 21 with 0.7: sum and decision stay.
    row = step(20)[None]
    row[0, 20], row[0, 21] = 0.4, 0.7
    head = OrdinalRegression(YEARS)
    columns = head.read(row, np.array([21]))
    np.testing.assert_allclose(
        [columns["p20"][0], columns["p21"][0], columns["p22"][0]], [0.3, 0.3, 0.4]
    )
    assert columns["expected_age"] == pytest.approx(row.sum())
    assert columns["predicted"].tolist() == [(row > 0.5).sum()] == [21]


def test_coral_has_one_slope_and_answers_that_agree_from_the_start():
    network = built(Coral(YEARS), units=7)
    assert network.count_params() == 7 + QUESTIONS
    outputs = network.predict(np.random.default_rng(0).normal(size=(3, 7)), verbose=0)
    assert (np.diff(outputs, axis=1) <= 0).all()
    logits = np.log(outputs / (1 - outputs)).astype("float64")
    # Questions differ by thresholds alone, the same for everybody.
    np.testing.assert_allclose(logits - logits[:, :1], [logits[0] - logits[0, 0]] * 3, atol=1e-2)


@pytest.mark.parametrize("name", ["sord", "coral"])
def test_unknown_options_and_classes_are_refused(name):
    with pytest.raises(ValueError, match="sigma"):
        make_head(name, YEARS, {"sigma": 2})
    with pytest.raises(ValueError, match="per-year-101"):
        make_head(name, get_scheme("decades-7"), {})
