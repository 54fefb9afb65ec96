"""Training: from an experiment to its record, resumable, one process at a time."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from agelib import backend
from agelib.backend import keras
from agelib.checkpoints import Checkpoints, only_one
from agelib.confusion import confusion_matrix
from agelib.evaluation import evaluate
from agelib.experiment import Experiment
from agelib.files import DataError, atomic_path
from agelib.labels import LabelScheme, get_scheme
from agelib.models import build, with_augmentation
from agelib.pipeline import Batches, Images, class_weights, epoch_order, without_small_last
from agelib.protocols import Split
from agelib.records import PROBABILITY_DIGITS, Record, write_record
from agelib.store import Store

PREDICTION_BATCH = 256
OPTIMIZERS = {
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
}


@dataclass(frozen=True)
class Part:
    """One part of a split as the network sees it: rows, images, targets."""

    rows: np.ndarray
    images: Images
    targets: np.ndarray


def make_part(store: Store, catalog: pd.DataFrame, rows: np.ndarray, scheme: LabelScheme) -> Part:
    """Return the rows whose age the label scheme takes, with their images and targets.

    Raises
    ------
    DataError
        If the scheme takes none of the rows.
    """
    rows = np.asarray(rows)
    ages = catalog["age"].to_numpy(dtype="float64", na_value=np.nan)[rows]
    if scheme.kind == "regression":
        taken = ~np.isnan(ages)
        targets = ages.astype("float32")
    else:
        targets = scheme.encode(catalog["age"].iloc[rows])
        taken = targets >= 0
    if not taken.any():
        raise DataError(
            f"label scheme {scheme.name!r} takes none of the {len(rows)} images of a part; "
            "choose another scheme or out-of-range rule"
        )
    return Part(rows[taken], Images(store, rows[taken]), targets[taken])


def compile_network(network: keras.Model, experiment: Experiment, scheme: LabelScheme) -> None:
    """Compile the network with the recipe's optimizer and the label scheme's loss."""
    recipe = experiment.recipe
    if recipe.optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise ValueError(f"optimizer {recipe.optimizer!r} is unknown; choose from {known}")
    optimizer = OPTIMIZERS[recipe.optimizer](
        learning_rate=recipe.learning_rate, **dict(recipe.optimizer_options)
    )
    regression = scheme.kind == "regression"
    network.compile(
        optimizer=optimizer,
        loss="mae" if regression else "sparse_categorical_crossentropy",
        metrics=["mae"] if regression else ["accuracy"],
        jit_compile=backend.jit_compile(),
    )


def _reseed(network: keras.Model, state: int, epoch: int) -> None:
    # Dropout and augmentation draw from seed variables; setting them by state and epoch makes a
    # resumed run draw what the unbroken one would have.
    for number, variable in enumerate(network.non_trainable_variables):
        if variable.name == "seed_generator_state":
            words = np.random.SeedSequence([state, epoch, number]).generate_state(2)
            variable.assign(words.astype(variable.dtype))


def _run_epochs(
    experiment: Experiment, checkpoints: Checkpoints, network: keras.Model, parts: dict[str, Part]
) -> None:
    recipe, training, validation = experiment.recipe, parts["training"], parts["validation"]
    regression = get_scheme(experiment.labels).kind == "regression"
    weights = None
    if recipe.class_weights and not regression:
        weights = class_weights(training.targets, get_scheme(experiment.labels).n_classes)
    held_out = Batches(validation.images, validation.targets, batch_size=PREDICTION_BATCH)
    bar = tqdm(
        total=recipe.epochs, initial=checkpoints.epoch, desc=experiment.slug, unit="epoch",
        mininterval=5, leave=False,
    )  # fmt: skip
    with bar:
        for epoch in range(checkpoints.epoch, recipe.epochs):
            _reseed(network, experiment.state, epoch)
            order = epoch_order(len(training.rows), experiment.state, epoch)
            order = without_small_last(order, recipe.batch_size)
            batches = Batches(
                training.images, training.targets, batch_size=recipe.batch_size, order=order
            )
            start = time.perf_counter()
            fit = network.fit(batches, verbose=0, shuffle=False, class_weight=weights)
            seconds = time.perf_counter() - start
            scores = network.evaluate(held_out, verbose=0, return_dict=True)
            row = {key: float(values[-1]) for key, values in fit.history.items()}
            row |= {f"val_{key}": float(value) for key, value in scores.items()}
            if not np.isfinite(row["loss"]):
                raise DataError(
                    f"{experiment.slug}: the loss is {row['loss']} in epoch {epoch + 1}; "
                    "lower the learning rate"
                )
            score = -row["val_mae"] if regression else row["val_accuracy"]
            checkpoints.save(network, row | {"seconds": seconds}, score)
            bar.update()


def predict(
    network: keras.Model, part: Part, catalog: pd.DataFrame, scheme: LabelScheme
) -> pd.DataFrame:
    """Return the network's predictions for a part, one row per image.

    Returns
    -------
    DataFrame
        ``file``, ``age``, then ``true``, ``predicted``, ``p0 …`` for a classification (with
        ``expected_age`` for one class a year), or ``predicted`` in years for a regression.
    """
    batches = Batches(part.images, batch_size=PREDICTION_BATCH)
    outputs = np.asarray(network.predict(batches, verbose=0), dtype="float64")
    table = catalog.iloc[part.rows][["file", "age"]].reset_index(drop=True)
    if scheme.kind == "regression":
        return table.assign(predicted=outputs[:, 0].round(3))
    table = table.assign(true=part.targets, predicted=outputs.argmax(1))
    if scheme.name == "per-year-101":
        table["expected_age"] = (outputs @ np.arange(outputs.shape[1])).round(3)
    columns = [f"p{k}" for k in range(outputs.shape[1])]
    probabilities = pd.DataFrame(outputs.round(PROBABILITY_DIGITS), columns=columns)
    return pd.concat([table, probabilities], axis=1)


def train(
    experiment: Experiment,
    folder: Path,
    *,
    store: Store,
    catalog: pd.DataFrame,
    split: Split,
    manifest: str,
) -> Record:
    """Train the experiment and write its record; an interrupted run goes on where it stopped.

    Parameters
    ----------
    experiment : Experiment
        What to train.
    folder : Path
        Record folder.
    store, catalog, split
        Images, labels and parts.
    manifest : str
        Fingerprint of the manifest, kept in the record.

    Raises
    ------
    RuntimeError
        If another process is training the same experiment.
    """
    with only_one(folder, experiment.slug):
        try:
            return _train_locked(experiment, folder, store, catalog, split, manifest)
        finally:
            keras.backend.clear_session()


def _train_locked(experiment, folder, store, catalog, split, manifest) -> Record:
    scheme = get_scheme(experiment.labels)
    parts = {
        name: make_part(store, catalog, getattr(split, name), scheme)
        for name in ("training", "validation", "test")
    }
    keras.config.set_dtype_policy(experiment.recipe.precision)
    backend.seed(experiment.state)
    checkpoints = Checkpoints(folder / "checkpoints", experiment, split)
    network = checkpoints.restore()
    if network is None:
        measured = parts["training"].images.take(slice(0, 2000))
        bare = build(experiment, images=measured)
        network = with_augmentation(bare, experiment.recipe.augmentation)
        compile_network(network, experiment, scheme)
    _run_epochs(experiment, checkpoints, network, parts)
    checkpoints.load_best(network)
    if experiment.recipe.augmentation:
        network = network.layers[-1]
    predictions = predict(network, parts["test"], catalog, scheme)
    history = pd.DataFrame(checkpoints.history).rename_axis("epoch")
    history.index += 1
    summary = _summary(experiment, network, parts, history, checkpoints.best_epoch)
    summary["split"] |= {"fingerprint": split.fingerprint, "manifest": manifest}
    classes = None if scheme.kind == "regression" else scheme.n_classes
    metrics = evaluate(predictions, kind=scheme.kind, n_classes=classes)
    summary["metrics"] = {
        name: {"value": row.value, "low": row.low, "high": row.high, "n": int(row.n)}
        for name, row in metrics.iterrows()
    }
    if classes is not None:
        summary["confusion_matrix"] = confusion_matrix(predictions, classes).tolist()
    with atomic_path(folder / "model.keras") as temporary:
        network.save(temporary)
    record = write_record(folder, summary, history, predictions)
    checkpoints.clear()
    return record


def _summary(experiment, network, parts, history, best_epoch) -> dict[str, Any]:
    seconds = float(history["seconds"].sum())
    best = history.loc[best_epoch]
    return {
        "experiment": experiment.describe(),
        "reduced": dict(experiment.reduction),
        "validation": {
            key.removeprefix("val_"): float(best[key]) for key in history if key.startswith("val_")
        },
        "best_epoch": int(best_epoch),
        "epochs": len(history),
        "parameters": int(network.count_params()),
        "trainable_parameters": int(sum(np.prod(v.shape) for v in network.trainable_variables)),
        "split": {name: len(part.rows) for name, part in parts.items()},
        "seconds": round(seconds, 2),
        "images_per_second": round(len(parts["training"].rows) * len(history) / seconds, 1),
        "backend": backend.name(),
        "hardware": backend.hardware(),
        "versions": {
            name: version(name) for name in ("keras", "numpy", _distribution(backend.name()))
        },
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _distribution(backend_name: str) -> str:
    return {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}[backend_name]
