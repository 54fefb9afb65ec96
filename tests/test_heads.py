"""Heads: targets, losses and what is read off, against hand-computed cases."""

import numpy as np
import pytest

from agelib.backend import keras
from agelib.heads import Distribution, Softmax, Years, make_head
from agelib.labels import get_scheme

YEARS, DECADES = get_scheme("per-year-101"), get_scheme("decades-7")


def value(loss, y_true, y_pred):
    loss = keras.losses.get(loss)
    return float(loss(np.asarray(y_true, "float32"), np.asarray(y_pred, "float32")))


def test_softmax_targets_are_classes_or_one_hot_rows():
    labels = np.array([0, 3, 6])
    np.testing.assert_array_equal(Softmax(DECADES).targets(labels), labels)
    rows = Softmax(DECADES, dense_targets=True).targets(labels)
    np.testing.assert_array_equal(rows.argmax(1), labels)
    assert rows.sum() == 3


def test_softmax_over_years_reads_the_expected_age():
    outputs = np.zeros((2, 101))
    outputs[0, [20, 30]] = 0.25, 0.75
    outputs[1, 50] = 1
    columns = Softmax(YEARS).read(outputs, np.array([30, 50]))
    np.testing.assert_allclose(columns["expected_age"], [27.5, 50])
    assert columns["predicted"].tolist() == [30, 50] and columns["p30"][0] == 0.75
    assert "expected_age" not in Softmax(DECADES).read(outputs[:, :7], np.array([0, 1]))


def test_a_list_of_features_gives_the_weighted_mean_of_soft_maxes():
    # P2's AL-ResNet: (global + 0.5 local) / 1.5
    one, two = keras.Input((3,)), keras.Input((4,))
    network = keras.Model([one, two], Softmax(DECADES).output([(one, 1.0), (two, 0.5)]))
    x = [np.ones((2, 3), "float32"), np.ones((2, 4), "float32")]
    parts = [
        keras.Model([one, two], network.get_layer(f"probabilities_{k}").output).predict(
            x, verbose=0
        )
        for k in (0, 1)
    ]
    got = network.predict(x, verbose=0)
    np.testing.assert_allclose(got, (parts[0] + 0.5 * parts[1]) / 1.5, rtol=1e-5)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-5)


def test_distribution_targets_are_the_age_and_a_bell_around_it():
    head = Distribution(YEARS, sigma=2.0)
    row = head.targets(np.array([40]))[0]
    assert row[0] == 40 and row[1:].sum() == pytest.approx(1, abs=1e-5)
    assert row[1:].argmax() == 40
    # exp(-1/2) one standard deviation away
    assert row[1 + 42] / row[1 + 40] == pytest.approx(np.exp(-0.5), rel=1e-4)


def test_distribution_loss_by_hand():
    head = Distribution(YEARS, sigma=2.0)
    target = head.targets(np.array([40]))
    uniform = np.full((1, 101), 1 / 101)
    # cross-entropy log(101), expected age 50, so ten years off
    assert value(head.loss(), target, uniform) == pytest.approx(np.log(101) + 0.2 * 10, rel=1e-4)


@pytest.mark.parametrize(("error", "expected"), [("l1", 0.5 * 4), ("l2", 0.5 * 20)])
def test_years_loss_by_hand(error, expected):
    head = Years(get_scheme("age"), error=error, scale=0.5)
    targets = head.targets(np.array([30.0, 42.0]))
    assert targets.shape == (2, 1)
    assert value(head.loss(), targets, [[32], [36]]) == pytest.approx(expected)


def test_expected_age_error_agrees_for_classes_rows_and_distributions():
    outputs = np.zeros((2, 101), "float32")
    outputs[0, [20, 30]] = 0.5
    outputs[1, 60] = 1
    labels = np.array([22, 57])
    for head in (Softmax(YEARS), Softmax(YEARS, dense_targets=True), Distribution(YEARS)):
        metric = next(m for m in head.metrics() if not isinstance(m, str))
        targets = head.targets(labels)
        for shaped in {targets.shape: targets, (2, 1): targets[:, None]}.values():
            if shaped.ndim > 2:
                continue
            metric.reset_state()
            metric.update_state(shaped, outputs)
            assert float(metric.result()) == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize(
    ("units", "loss"), [(1, "binary_crossentropy"), (2, "categorical_crossentropy")]
)
def test_gender_is_the_share_of_female_whatever_the_units(units, loss):
    head = Softmax(DECADES, gender_units=units, bias=False)
    features = keras.Input((3,))
    output = head.gender_output(features)
    assert output.shape == (None, units) and head.gender_loss() == loss
    targets = head.gender_targets(np.array([0, 1]))
    assert targets[:, -1].tolist() == [0, 1] and targets.shape == (2, units)
    assert keras.Model(features, output).count_params() == 3 * units


@pytest.mark.parametrize(
    ("name", "labels", "options", "message"),
    [
        ("ordinal", "age", {}, "ordinal.*softmax.*corn"),
        ("corn", "age", {}, "needs a classification"),
        ("softmax", "age", {}, "needs a classification"),
        ("distribution", "decades-7", {}, "per-year-101"),
        ("years", "age", {"error": "huber"}, "huber.*l1"),
        ("years", "age", {"sigma": 2}, "sigma"),
        ("years", "age", {"start": 33.0, "bias": False}, "start is 33.0.*bias is False"),
        ("coral", "per-year-101", {"bias": False}, "thresholds are biases; leave bias out"),
        ("", "age", {"gender_units": 3}, "choose 1 or 2"),
    ],
)
def test_heads_that_do_not_fit_are_refused(name, labels, options, message):
    with pytest.raises(ValueError, match=message):
        make_head(name, get_scheme(labels), options)


def test_losses_and_metrics_come_back_with_a_saved_network(tmp_path):
    features = keras.Input((3,))
    head = Distribution(YEARS)
    network = keras.Model(features, head.output(features))
    network.compile("adam", head.loss(), metrics=head.metrics())
    x, y = np.ones((4, 3), "float32"), head.targets(np.array([1, 20, 50, 90]))
    network.fit(x, y, verbose=0)
    network.save(tmp_path / "n.keras")
    again = keras.saving.load_model(tmp_path / "n.keras")
    np.testing.assert_allclose(
        network.evaluate(x, y, verbose=0), again.evaluate(x, y, verbose=0), rtol=1e-5
    )
