"""What a recipe may ask for: cutmix, weights, training labels, a race head, mirror images."""

import dataclasses
import json
import types

import numpy as np
import pandas as pd
import pytest

from agelib import training
from agelib.backend import keras
from agelib.experiment import Experiment, Recipe
from agelib.models import build, head_of
from agelib.parts import make_parts, predict
from agelib.pipeline import Batches, Images, Mirrored, age_weights
from agelib.protocols import Split
from agelib.relabel import relabelled

SMALL = Experiment(
    number="1.0", name="small", chapter="99-test", architecture="lenet5", labels="per-year-101",
    head="distribution", dataset="sample", protocol="sample-5fold", fold=0, image_size=16,
    color="grey", recipe=Recipe(epochs=2, batch_size=16, optimizer="adam"),
)  # fmt: skip
N = 60


class Drawn:
    """A store of noise; every image differs from its mirror image."""

    size, color = 16, "grey"

    def __init__(self):
        self.pixels = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 1), dtype="uint8")

    def read(self, rows):
        return self.pixels[rows]


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(1)
    races = np.array(["white", "black", "asian", "indian", "other", None], dtype=object)
    catalog = pd.DataFrame({
        "file": [f"{k}.jpg" for k in range(N)],
        "age": pd.array(random.integers(0, 100, N), "Int64"),
        "gender": pd.array(["male", "female"] * (N // 2), "str"),
        "race": races[np.arange(N) % 6],
        "cluster": np.arange(N),
        "usable": True,
    })  # fmt: skip
    rows = np.arange(N)
    split = Split("sample-5fold", 0, rows[:32], rows[32:44], rows[44:], "f" * 64)
    return types.SimpleNamespace(store=Drawn(), catalog=catalog, split=split, manifest="m")


def test_a_description_is_silent_about_younger_fields_at_their_default():
    plain = SMALL.describe()
    assert not {"flip_at_test", "race", "training_labels"} & set(plain)
    assert not {"cutmix", "balance"} & set(plain["recipe"])
    # The fingerprint that this experiment had before there were such fields.
    assert SMALL.fingerprint == "092243a03489aaff"
    changed = SMALL.tweak("1.1", "x", flip_at_test=True, race=0.2, recipe={"cutmix": 0.5})
    again = Experiment.from_description(json.loads(json.dumps(changed.describe())))
    assert again == changed and changed.fingerprint != SMALL.fingerprint


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"cutmix": -1.0}, "cutmix is -1.0"),
        ({"balance": -0.5}, "balance is -0.5"),
        ({"cutmix": 1.0, "mixup": 0.2}, "exclude each other"),
        ({"balance": 0.5, "class_weights": True}, "balance and class_weights exclude each other"),
    ],
)
def test_impossible_recipes_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Recipe(epochs=1, **bad)


def test_cutmix_puts_in_a_box_and_mixes_targets_by_its_area():
    store = Drawn()
    store.pixels = np.repeat(np.arange(N, dtype="uint8"), 256).reshape(N, 16, 16, 1)
    targets = {"age": np.eye(N, dtype="float32"), "other": np.arange(N, dtype="float32")}
    order = np.arange(N)
    batches = Batches(
        Images(store, order), targets, batch_size=N, order=order, cutmix=1.0, state=(3,)
    )
    pixels, mixed = batches[0]
    assert pixels.dtype == np.uint8
    shares, partners = [], 0
    for k, (image, row) in enumerate(zip(pixels[..., 0], mixed["age"], strict=True)):
        foreign = image != k
        if row[k] == 1:
            assert not foreign.any()
            continue
        (other,) = set(np.flatnonzero(row)) - {k}
        assert set(np.unique(image)) <= {k, other}
        # One box: rows and columns of what came in span it completely.
        assert foreign.sum() == foreign.any(0).sum() * foreign.any(1).sum()
        assert row[other] == pytest.approx(foreign.mean(), abs=1e-6)
        assert mixed["other"][k] == pytest.approx(
            (1 - row[other]) * k + row[other] * other, rel=1e-4
        )
        shares.append(row[other])
        partners += 1
    assert partners > N / 2 and np.std(shares) > 0.1
    np.testing.assert_array_equal(batches[0][0], pixels)


def test_weights_come_with_the_batch_in_its_order():
    order = np.array([4, 1, 3])
    weights = np.arange(N, dtype="float32")
    batches = Batches(
        Images(Drawn(), np.arange(N)), np.arange(N), batch_size=2, order=order, weights=weights
    )
    assert [values.tolist() for values in batches[0][1:]] == [[4, 1], [4, 1]]
    assert len(batches) == 2


def test_age_weights_are_the_inverse_root_of_smoothed_counts():
    # Ages far apart are not smoothed together: 100 and 4 images weigh like 1 to 5.
    weights = age_weights(np.repeat([10, 60], [100, 4]), 0.5)
    assert weights.mean() == pytest.approx(1) and weights[-1] / weights[0] == pytest.approx(5)
    # A neighbour two years away counts exp(-1/2) of one's own.
    ages = np.repeat([10, 12, 60], [100, 1, 1])
    weights = age_weights(ages, 1.0)
    near = (1 + 100 * np.exp(-0.5)) / 1
    assert weights[-1] / weights[100] == pytest.approx(near, rel=1e-5)


def clusters():
    catalog = pd.DataFrame({
        "age": pd.array([20, 25, 40, 40, 7, 60, 61, 90], "Int64"),
        "cluster": [0, 0, 2, 2, 4, 5, 5, 7],
        "usable": [True] * 7 + [False],
    })  # fmt: skip
    split = Split(
        "x", 0, np.array([0, 2, 4]), np.array([5]), np.array([], dtype=int), "f" * 64
    )  # fmt: skip
    return catalog, split


@pytest.mark.parametrize(
    ("choice", "rows", "ages"),
    [
        ("kept", [0, 2, 4], [20, 40, 7]),
        ("raw", [0, 1, 2, 3, 4], [20, 25, 40, 40, 7]),
        ("agreed", [2, 4], [40, 7]),
        ("mean", [0, 2, 4], [22, 40, 7]),
    ],
)
def test_training_labels(choice, rows, ages):
    catalog, split = clusters()
    labels, chosen = relabelled(catalog, split, choice)
    assert chosen.tolist() == rows and labels["age"].iloc[chosen].tolist() == ages
    assert labels["age"].dtype == "Int64" and labels["age"].iloc[7] == 90
    assert catalog["age"].tolist() == [20, 25, 40, 40, 7, 60, 61, 90]


def test_unknown_training_labels_are_refused_with_the_choices(data):
    with pytest.raises(ValueError, match="clean.*kept, raw, agreed, mean"):
        make_parts(
            SMALL.tweak("1.1", "x", training_labels="clean"), head_of(SMALL), data.store,
            data.catalog, data.split,
        )  # fmt: skip


def test_training_takes_all_options_together_and_writes_no_race(tmp_path, data):
    everything = SMALL.tweak(
        "1.1", "all", gender=0.5, race=0.2, flip_at_test=True, training_labels="raw",
        recipe={"cutmix": 1.0, "balance": 0.5},
    )  # fmt: skip
    record = training.train(everything, tmp_path, **vars(data))
    assert {"race_loss", "val_race_loss", "gender_accuracy", "val_mae"} <= set(record.history)
    assert not [name for name in record.predictions if "race" in name]
    assert len(record.predictions) == len(data.split.test)
    network = keras.saving.load_model(tmp_path / "model.keras")
    assert set(network.output) == {"age", "gender", "race"}
    # The record's predictions are the mean over image and mirror image.
    pixels = data.store.read(data.split.test)
    twice = [network.predict(x, verbose=0)["age"] for x in (pixels, pixels[:, :, ::-1])]
    np.testing.assert_allclose(
        record.predictions["expected_age"], sum(twice) / 2 @ np.arange(101), atol=2e-3
    )


def test_weights_change_what_is_learnt(tmp_path, data):
    plain = training.train(SMALL, tmp_path / "plain", **vars(data))
    balanced = SMALL.tweak("1.2", "balanced", recipe={"balance": 1.0})
    record = training.train(balanced, tmp_path / "balanced", **vars(data))
    assert record.history["loss"].iloc[0] != plain.history["loss"].iloc[0]
    # Validation is never weighted.
    parts = make_parts(balanced, head_of(balanced), data.store, data.catalog, data.split)
    assert parts["validation"].weights is None and parts["training"].weights.shape == (32,)


@pytest.mark.parametrize("head", ["softmax", "distribution", "coral"])
def test_class_weights_go_by_the_labels_whatever_the_head(tmp_path, data, head):
    # Nobody of age 0: its weight, none, was that of all images with coral and distribution.
    catalog = data.catalog.assign(age=data.catalog["age"] // 10 * 10 + 5)
    some = {**vars(data), "catalog": catalog}
    weighted = SMALL.tweak("1.2", "weighted", head=head, recipe={"class_weights": True})
    part = make_parts(weighted, head_of(weighted), data.store, catalog, data.split)["training"]
    counts = np.bincount(part.labels)
    np.testing.assert_allclose(part.weights, counts.max() / counts[part.labels], rtol=1e-6)
    plain = weighted.tweak("1.3", "plain", recipe={"class_weights": False})
    losses = [
        training.train(one, tmp_path / one.number, **some).history["loss"].iloc[0]
        for one in (weighted, plain)
    ]
    assert losses[0] == pytest.approx(losses[1] * part.weights.mean(), rel=0.2)


def test_class_weights_of_a_soft_max_are_those_of_keras(data):
    weighted = SMALL.tweak("1.2", "weighted", head="softmax", recipe={"class_weights": True})
    head = head_of(weighted)
    part = make_parts(weighted, head, data.store, data.catalog, data.split)["training"]
    counts = np.bincount(part.labels)
    by_class = {k: counts.max() / n for k, n in enumerate(counts) if n}
    network = build(weighted)
    network.compile(keras.optimizers.SGD(0.0), head.loss())
    x, y = part.images.take(slice(None)), part.targets
    assert network.train_on_batch(x, y, sample_weight=part.weights) == pytest.approx(
        network.train_on_batch(x, y, class_weight=by_class), rel=1e-6
    )


def test_a_mirrored_part_predicts_the_mirror_images(data):
    parts = make_parts(SMALL, head_of(SMALL), data.store, data.catalog, data.split)
    pixels = parts["test"].images.take(slice(0, 3))
    np.testing.assert_array_equal(
        Mirrored(parts["test"].images).take(slice(0, 3)), pixels[:, :, ::-1]
    )
    inputs = keras.Input((16, 16, 1))
    left = keras.layers.Flatten()(inputs[:, :, :8] / 255.0)
    outputs = keras.layers.Dense(101, "softmax", kernel_initializer="normal")(left)
    network = keras.Model(inputs, outputs)
    head = head_of(SMALL)
    once = predict(network, parts["test"], data.catalog, head)
    flipped = dataclasses.replace(parts["test"], images=Mirrored(parts["test"].images))
    other = predict(network, flipped, data.catalog, head)
    both = predict(network, parts["test"], data.catalog, head, flip=True)
    mean = (once["expected_age"] + other["expected_age"]) / 2
    np.testing.assert_allclose(both["expected_age"], mean, atol=2e-3)
    assert not np.allclose(once["expected_age"], other["expected_age"])
