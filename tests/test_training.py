"""Training: learning, resuming, refusing a second process; on drawn stripes, in seconds."""

import dataclasses
import types

import filelock
import numpy as np
import pandas as pd
import pytest
from made_experiments import LENET

from agelib import backend, models, training
from agelib.backend import keras
from agelib.experiment import Experiment, Recipe
from agelib.files import DataError, DivergedError
from agelib.frozen import Frozen
from agelib.protocols import Split
from agelib.records import load_record

N = 96
STRIPES = dataclasses.replace(
    LENET,
    protocol="sample-5fold",
    fold=0,
    image_size=16,
    options={"batch_norm": True},
    recipe=Recipe(epochs=3, batch_size=16, augmentation=("flip", "brightness")),
)


class Drawn:
    """A store whose images grow brighter with age."""

    size, color = 16, "grey"

    def __init__(self, ages):
        noise = np.random.default_rng(0).integers(0, 60, (len(ages), 16, 16, 1))
        self.pixels = (
            (np.asarray(ages)[:, None, None, None] * 2.5 + noise).clip(0, 255).astype("uint8")
        )

    def read(self, rows):
        return self.pixels[rows]


@pytest.fixture(scope="module")
def data():
    ages = np.random.default_rng(1).integers(1, 71, N)
    catalog = pd.DataFrame(
        {"file": [f"{age}_{i}.jpg" for i, age in enumerate(ages)], "age": pd.array(ages, "Int64")}
    )
    rows = np.arange(N)
    split = Split("sample-5fold", 0, rows[:48], rows[48:64], rows[64:], "f" * 64)
    return types.SimpleNamespace(store=Drawn(ages), catalog=catalog, split=split, manifest="m")


def run(experiment, folder, data):
    return training.train(experiment, folder, **vars(data))


def run_and_kill(experiment, folder, data, *, epoch):
    """Train, and stop as a killed process would once the checkpoint of an epoch is written."""
    saved = training.Checkpoints.save

    def killed(self, network, row):
        saved(self, network, row)
        if self.epoch == epoch:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoints, "save", killed)
        run(experiment, folder, data)


def test_a_record_tells_the_run_and_the_saved_network_predicts_the_same(tmp_path, data):
    record = run(STRIPES, tmp_path, data)
    summary = record.summary
    assert summary["split"]["training"] == 48 and summary["epochs"] == 3
    assert summary["parameters"] == models.build(STRIPES).count_params()
    assert list(record.history) == ["accuracy", "loss", "val_accuracy", "val_loss", "seconds"]
    best = record.history["val_accuracy"].idxmax()
    assert summary["best_epoch"] == best
    assert record.metrics.loc["accuracy", "n"] == 32
    matrix = np.array(summary["confusion_matrix"])
    assert matrix.sum() == 32 and matrix.shape == (7, 7)
    assert matrix.trace() / 32 == pytest.approx(record.metrics.loc["accuracy", "value"])
    network = keras.saving.load_model(tmp_path / "model.keras")
    again = network.predict(data.store.read(data.split.test), verbose=0)
    stored = record.predictions[[f"p{k}" for k in range(7)]].to_numpy()
    np.testing.assert_allclose(again, stored, atol=1e-5)
    assert not (tmp_path / "checkpoints").exists()


def test_a_killed_run_ends_where_an_unbroken_one_does(tmp_path, data):
    experiment = dataclasses.replace(STRIPES, architecture="sithungu", options=())  # has dropout
    unbroken = run(experiment, tmp_path / "unbroken", data)
    run_and_kill(experiment, tmp_path / "killed", data, epoch=2)
    assert not (tmp_path / "killed" / "record.json").exists()
    resumed = run(experiment, tmp_path / "killed", data)
    assert resumed.summary["epochs"] == 3
    columns = ["loss", "val_loss", "accuracy", "val_accuracy"]
    pd.testing.assert_frame_equal(resumed.history[columns], unbroken.history[columns])
    pd.testing.assert_frame_equal(resumed.predictions, unbroken.predictions)


def test_a_run_that_went_on_elsewhere_names_both_places(tmp_path, data, monkeypatch):
    run_and_kill(STRIPES, tmp_path, data, epoch=1)
    monkeypatch.setattr(backend, "hardware", lambda devices: "another machine")
    monkeypatch.setattr(backend, "affordable", lambda precision: "mixed_bfloat16")
    summary = run(STRIPES, tmp_path, data).summary
    first, second = summary["hardware"].split(", then ")
    assert first and second == "another machine"
    assert summary["backend"] == backend.name()
    assert summary["precision"] == STRIPES.recipe.precision == "float32"  # as it began
    network = keras.saving.load_model(tmp_path / "model.keras")
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}


def test_killed_between_network_and_record_a_run_concludes_again(tmp_path, data, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    run(STRIPES, tmp_path, data)
    published = load_record(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "write_record", killed)
        run(STRIPES, tmp_path, data)
    # No record of an older run stands beside a newer network.
    assert (tmp_path / "model.keras").exists() and not (tmp_path / "record.json").exists()
    pd.testing.assert_frame_equal(run(STRIPES, tmp_path, data).predictions, published.predictions)


def test_the_random_state_decides(tmp_path, data):
    one = run(STRIPES, tmp_path / "one", data)
    same = run(STRIPES, tmp_path / "same", data)
    other = run(STRIPES.on("sample-5fold", fold=0, state=1), tmp_path / "other", data)
    pd.testing.assert_frame_equal(one.predictions, same.predictions)
    assert not one.predictions.equals(other.predictions)


def test_training_the_same_experiment_twice_at_once_is_refused(tmp_path, data):
    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(RuntimeError, match="another process"),
    ):
        run(STRIPES, tmp_path, data)
    assert not (tmp_path / "record.json").exists()


def test_a_checkpoint_of_another_description_is_not_resumed(tmp_path, data):
    run_and_kill(STRIPES, tmp_path, data, epoch=1)
    changed = STRIPES.tweak("1.1", "slower", recipe={"learning_rate": 1e-4})
    assert run(changed, tmp_path, data).summary["epochs"] == 3


def test_regression_predicts_years_and_learns(tmp_path, data):
    ages = STRIPES.tweak(
        "3.0", "years", labels="age", options={"batch_norm": False},
        recipe={"epochs": 12, "optimizer": "adam", "augmentation": ()},
    )  # fmt: skip
    record = run(ages, tmp_path, data)
    test_ages = data.catalog["age"].to_numpy("float64")[data.split.test]
    constant = np.abs(test_ages - np.median(data.catalog["age"][data.split.training])).mean()
    assert record.metrics.loc["mae", "value"] < 0.6 * constant
    assert "val_mae" in record.history


def test_per_year_classes_give_an_expected_age(tmp_path, data):
    record = run(STRIPES.tweak("4.0", "per year", labels="per-year-101"), tmp_path, data)
    expected = record.predictions["expected_age"]
    assert expected.between(0, 100).all() and expected.nunique() > 1
    assert {"accuracy", "mae", "cs5"} <= set(record.metrics.index)


def test_a_loss_that_is_not_a_number_stops_with_the_remedy(tmp_path, data):
    wild = STRIPES.tweak(
        "5.0", "wild", labels="age", options={"batch_norm": False},
        recipe={"optimizer": "sgd", "learning_rate": 1e30},
    )  # fmt: skip
    with pytest.raises(DivergedError, match="lower the learning rate"):
        run(wild, tmp_path, data)
    assert load_records_is_empty(tmp_path)


def test_a_validation_that_is_no_number_is_divergence(tmp_path, data, monkeypatch):
    evaluate = keras.Model.evaluate

    def lost(self, *words, **how):
        return dict.fromkeys(evaluate(self, *words, **how), np.nan)

    monkeypatch.setattr(keras.Model, "evaluate", lost)
    with pytest.raises(DivergedError, match=r"val_\w+ is nan in epoch 1"):
        run(STRIPES, tmp_path, data)


def load_records_is_empty(folder):
    with pytest.raises(DataError):
        load_record(folder)
    return True


BOTH = STRIPES.tweak(
    "6.0", "both", labels="per-year-101", head="distribution", gender=1.0,
    recipe={"epochs": 6, "ema": 0.9, "schedule": "cosine", "optimizer": "adam", "augmentation": ()},
)  # fmt: skip


@pytest.fixture(scope="module")
def people(data):
    # Every other face is female and has a bright left half; one has no gender.
    gender = pd.array(["male", "female"] * (N // 2), "str")
    gender[5] = None
    store = Drawn(data.catalog["age"])
    store.pixels[1::2, :, :8] = store.pixels[1::2, :, :8] // 4 + 190
    catalog = data.catalog.assign(gender=gender)
    return types.SimpleNamespace(**{**vars(data), "store": store, "catalog": catalog})


def test_age_and_gender_are_learnt_together(tmp_path, people):
    # Without batch normalisation, whose statistics would hardly move in 25 epochs of 3 steps.
    longer = BOTH.tweak("6.1", "longer", options={"batch_norm": False}, recipe={"epochs": 25})
    record = run(longer, tmp_path, people)
    assert {"mae", "gender_accuracy", "val_mae", "val_gender_loss"} <= set(record.history)
    assert record.summary["split"]["training"] == 47  # one has no gender
    assert record.metrics.loc["gender_accuracy", "value"] > 0.9
    assert set(record.predictions["female"]) == {0, 1}
    assert record.predictions["p_female"].between(0, 1).all()
    assert "confusion_matrix" not in record.summary


def test_a_killed_run_with_moving_average_schedule_and_mixup_resumes(tmp_path, people):
    experiment = BOTH.tweak(
        "6.2", "mixed", recipe={"mixup": 0.2, "augmentation": ("flip",), "epochs": 4}
    )
    unbroken = run(experiment, tmp_path / "unbroken", people)
    run_and_kill(experiment, tmp_path / "killed", people, epoch=2)
    resumed = run(experiment, tmp_path / "killed", people)
    pd.testing.assert_frame_equal(resumed.predictions, unbroken.predictions)
    columns = [name for name in unbroken.history if name != "seconds"]
    pd.testing.assert_frame_equal(resumed.history[columns], unbroken.history[columns])


def test_validation_sees_the_moving_average_and_training_goes_on_without_it(tmp_path, people):
    # A momentum near one hardly moves the average: validation stays where it began.
    slow = BOTH.tweak("6.3", "slow", recipe={"ema": 0.9999, "epochs": 3})
    plain = BOTH.tweak("6.4", "plain", recipe={"ema": None, "epochs": 3})
    slow, plain = run(slow, tmp_path / "slow", people), run(plain, tmp_path / "plain", people)
    np.testing.assert_allclose(slow.history["loss"], plain.history["loss"], rtol=1e-4)
    assert slow.history["val_loss"].std() < 0.1 * plain.history["val_loss"].std()


def nested(x, *, trainable):
    inputs = keras.Input(x.shape[1:])
    y = keras.layers.Conv2D(4, 3, name="inner")(inputs)
    y = keras.layers.BatchNormalization()(y)
    trunk = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(y), name="trunk")
    trunk.trainable = trainable
    return keras.layers.Dense(5, "relu", name="dense_5")(trunk(x))


@pytest.fixture
def trunks(monkeypatch):
    monkeypatch.setitem(models.ARCHITECTURES, "nested", nested)
    recipe = {"augmentation": (), "epochs": 3, "optimizer": "adam", "learning_rate": 0.01}
    return STRIPES.tweak(
        "7.0", "all", architecture="nested", options={"batch_norm": None}, recipe=recipe
    )


def with_options(experiment, number, options, **changes):
    return Experiment(**{**vars(experiment), "number": number, "options": options, **changes})


def test_a_frozen_trunk_runs_once_and_gives_the_same_network(tmp_path, data, trunks, monkeypatch):
    frozen = with_options(trunks, "7.1", {"trainable": False})
    record = run(frozen, tmp_path / "cached", data)
    assert record.summary["parameters"] > record.summary["trainable_parameters"] == 4 * 5 + 5 + 42
    network = keras.saving.load_model(tmp_path / "cached" / "model.keras")
    stored = record.predictions[[f"p{k}" for k in range(7)]].to_numpy()
    again = network.predict(data.store.read(data.split.test), verbose=0)
    np.testing.assert_allclose(again, stored, atol=2e-5)
    # Its one pass through the trunk is part of what training took.
    assert record.summary["seconds"] > record.history["seconds"].sum() + 0.01
    monkeypatch.setattr(training, "cacheable", lambda *_: False)
    whole = run(frozen, tmp_path / "whole", data)
    np.testing.assert_allclose(record.history["loss"], whole.history["loss"], rtol=1e-4)


@pytest.mark.parametrize("at_first", [True, False])
def test_a_frozen_trunk_resumes_as_it_began_whatever_memory_is_left(
    tmp_path, data, trunks, monkeypatch, at_first
):
    frozen = with_options(trunks, "7.1", {"trainable": False})
    monkeypatch.setattr(training, "cacheable", lambda *_: at_first)
    unbroken = run(frozen, tmp_path / "unbroken", data)

    def killed(epoch, score):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(frozen, tmp_path / "killed", **vars(data), after_epoch=killed)
    monkeypatch.setattr(training, "cacheable", lambda *_: not at_first)
    resumed = run(frozen, tmp_path / "killed", data)
    pd.testing.assert_frame_equal(resumed.predictions, unbroken.predictions)


def test_the_rest_behind_a_frozen_trunk_keeps_its_outputs_by_task(trunks):
    years = {"labels": "per-year-101", "head": "distribution", "gender": 1.0}
    network = models.build(with_options(trunks, "7.1", {"trainable": False}, **years))
    rest = Frozen(network).rest
    assert {task: tensor.shape for task, tensor in rest.output.items()} == {
        "age": (None, 101),
        "gender": (None, 1),
    }


def test_training_starts_from_another_experiments_weights(tmp_path, data, trunks):
    first = with_options(trunks, "7.1", {"trainable": False})
    run(first, tmp_path / "first", data)
    second = with_options(trunks, "7.2", {"trainable": True}, init=first)
    one_step = second.tweak("7.3", "still", recipe={"learning_rate": 1e-9, "epochs": 1})
    before = load_record(tmp_path / "first").predictions
    record = training.train(
        one_step, tmp_path / "second", **vars(data), init=tmp_path / "first" / "model.keras"
    )
    columns = [f"p{k}" for k in range(7)]
    # Batch normalisation's statistics move a little in an epoch of three steps.
    assert np.abs(record.predictions[columns] - before[columns]).to_numpy().max() < 0.05
    stranger = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    with pytest.raises(DataError, match="no layer in common"):
        training.take_over(models.build(first), stranger)


def test_training_can_be_ended_and_the_record_says_so(tmp_path, data):
    record = training.train(
        STRIPES, tmp_path, **vars(data), after_epoch=lambda epoch, score: epoch == 2
    )
    assert record.summary["pruned"] and record.summary["reduced"] == {"epochs": 3}
    assert len(record.history) == 2


@pytest.mark.parametrize("change", [{"labels": "age"}, {"gender": 1.0}])
def test_class_weights_without_classes_alone_are_refused(tmp_path, people, change):
    weighted = STRIPES.tweak("8.0", "weighted", recipe={"class_weights": True}, **change)
    with pytest.raises(ValueError, match="leave class_weights out"):
        run(weighted, tmp_path, people)
