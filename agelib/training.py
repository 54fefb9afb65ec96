"""Training: from an experiment to its record, resumable, one process at a time."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable
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
from agelib.files import DivergedError, atomic_path
from agelib.frozen import Frozen, cacheable
from agelib.heads import Head
from agelib.models import build, head_of, with_augmentation
from agelib.optimizers import make_optimizer
from agelib.parts import make_parts, predict
from agelib.pipeline import Batches, without_small_last
from agelib.protocols import Split
from agelib.records import Record, write_record
from agelib.store import Store
from agelib.transfer import take_over

# Told the number of an epoch and its score on validation; True ends training with that epoch.
AfterEpoch = Callable[[int, float], bool]


def compile_network(
    network: keras.Model, experiment: Experiment, head: Head, n_training: int
) -> None:
    """Compile the network with the recipe's optimizer and the head's loss.

    Parameters
    ----------
    network : keras.Model
        From `agelib.models.build`, or what is trained of it.
    experiment : Experiment
        Recipe and weights of the other losses.
    head : Head
        Loss and metrics.
    n_training : int
        Images of the training part, which the schedule of the learning rate needs.
    """
    recipe = experiment.recipe
    whole = without_small_last(np.arange(n_training), recipe.batch_size)
    steps = recipe.epochs * -(-len(whole) // recipe.batch_size)
    losses: dict[str, Any] = {"loss": head.loss(), "metrics": head.metrics()}
    if experiment.gender or experiment.race:
        losses = {name: {"age": value} for name, value in losses.items()}
        losses["loss_weights"] = {"age": 1.0}
    for name, weight, loss in (
        ("gender", experiment.gender, head.gender_loss()),
        ("race", experiment.race, head.race_loss()),
    ):
        if weight:
            losses["loss"][name], losses["loss_weights"][name] = loss, weight
            losses["metrics"][name] = ["accuracy"]
    network.compile(
        optimizer=make_optimizer(recipe, steps), jit_compile=backend.jit_compile(), **losses
    )


def _reseed(network: keras.Model, state: int, epoch: int) -> None:
    # Dropout and augmentation draw from seed variables; setting them by state and epoch makes a
    # resumed run draw what the unbroken one would have.
    for number, variable in enumerate(network.non_trainable_variables):
        if variable.name == "seed_generator_state":
            words = np.random.SeedSequence([state, epoch, number]).generate_state(2)
            variable.assign(words.astype(variable.dtype))


class _RawWeights(keras.callbacks.Callback):
    """Keeps the weights of an epoch's end, before `fit` puts their moving average in place."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.values = self._copies()

    def on_train_end(self, logs: Any = None) -> None:
        # On JAX the weights now share memory with their average, which the next call of the
        # network gives away; Keras 3.15 does not copy.
        self._assign(self._copies())

    def put_back(self) -> None:
        self._assign(self.values)

    def _copies(self) -> list[np.ndarray]:
        return [np.array(variable) for variable in self.model.trainable_variables]

    def _assign(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self.model.trainable_variables, values, strict=True):
            variable.assign(value)


def _run_epochs(run: _Run, after_epoch: AfterEpoch | None) -> bool:
    """Train; return whether ``after_epoch`` ended it."""
    experiment, checkpoints, network = run.experiment, run.checkpoints, run.trained
    recipe, head = experiment.recipe, head_of(experiment)
    training, validation = run.parts["training"], run.parts["validation"]
    held_out = Batches(
        validation.images, validation.targets,
        batch_size=backend.prediction_batch(len(validation.rows)),
    )  # fmt: skip
    bar = tqdm(
        total=recipe.epochs, initial=checkpoints.epoch, desc=experiment.slug, unit="epoch",
        mininterval=5, leave=False,
    )  # fmt: skip
    with bar:
        for epoch in range(checkpoints.epoch, recipe.epochs):
            _reseed(network, experiment.state, epoch)
            order = training.images.order(experiment.state, epoch)
            order = without_small_last(order, recipe.batch_size)
            order = order[: len(order) - len(order) % run.devices]
            batches = Batches(
                training.images, training.targets, batch_size=recipe.batch_size, order=order,
                mixup=recipe.mixup, cutmix=recipe.cutmix, weights=training.weights,
                state=(experiment.state, epoch),
            )  # fmt: skip
            raw = _RawWeights() if recipe.ema else None
            start = time.perf_counter()
            fit = network.fit(batches, verbose=0, shuffle=False, callbacks=[raw] if raw else None)
            seconds = time.perf_counter() - start
            scores = network.evaluate(held_out, verbose=0, return_dict=True)
            row = {_short(key): float(values[-1]) for key, values in fit.history.items()}
            row |= {f"val_{_short(key)}": float(value) for key, value in scores.items()}
            for name, value in row.items():
                if not np.isfinite(value):
                    raise DivergedError(
                        f"{experiment.slug}: {name} is {value} in epoch {epoch + 1}; lower the "
                        "learning rate"
                    )
            score = row[f"val_{head.monitor}"] * (1 if head.larger_is_better else -1)
            checkpoints.keep_best(network, score)
            if raw:
                raw.put_back()
            checkpoints.save(network, row | {"seconds": seconds})
            bar.update()
            if after_epoch and after_epoch(checkpoints.epoch, score):
                return True
    return False


def _short(key: str) -> str:
    # Of two outputs the age's metrics are called as if it were alone.
    return key.removeprefix("age_") if key in ("age_mae", "age_accuracy") else key


def train(
    experiment: Experiment,
    folder: Path,
    *,
    store: Store,
    catalog: pd.DataFrame,
    split: Split,
    manifest: str,
    init: Path | None = None,
    after_epoch: AfterEpoch | None = None,
    devices: int = 1,
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
    init : Path, optional
        Network file of the experiment whose weights are the initial ones.
    after_epoch : callable, optional
        Called with the number of epochs so far and the score on validation (larger is better).
        True ends training there, and the record says so; an exception leaves the checkpoint.
    devices : int
        How many GPUs share each batch, see :func:`agelib.backend.sharing`.

    Raises
    ------
    BusyError
        If another process is training the same experiment; a kind of RuntimeError.
    DataError
        If images or weights are missing; a `DivergedError` if the loss is no longer a number.
    ValueError
        If the description does not fit together, or the devices do not share its batches.
    """
    if experiment.recipe.batch_size % devices:
        raise ValueError(
            f"{experiment.slug}: {devices} devices cannot share a batch of "
            f"{experiment.recipe.batch_size} equally; choose another number of devices"
        )
    with only_one(folder, experiment.slug), contextlib.ExitStack() as afterwards:
        # TensorFlow keeps what fed a `fit` for as long as the process lives: without the images
        # that is little, with them a search of dozens of networks would fill memory.
        afterwards.callback(keras.backend.clear_session)
        with backend.sharing(devices):
            run = _Run(experiment, folder, store, catalog, split, init, devices)
            for part in run.parts.values():
                afterwards.callback(part.images.release)
            ended = _run_epochs(run, after_epoch)
            return run.conclude(manifest, pruned=ended)


class _Run:
    """A training run: its parts, its network, and what of the network is trained."""

    def __init__(self, experiment, folder, store, catalog, split, init, devices) -> None:
        self.experiment, self.folder, self.catalog, self.split = experiment, folder, catalog, split
        self.devices = devices
        head = head_of(experiment)
        self.parts = make_parts(experiment, head, store, catalog, split)
        self.checkpoints = Checkpoints(folder / "checkpoints", experiment, split)
        self.trained = self.checkpoints.restore()
        precision = backend.affordable(experiment.recipe.precision)
        place = {"backend": backend.name(), "hardware": backend.hardware(devices)}
        self.checkpoints.at_work(place | {"precision": precision})
        # A run that goes on elsewhere keeps the precision that it began with.
        self.precision = self.checkpoints.places[0]["precision"]
        # Not before: what is restored draws too, and a frozen trunk must be drawn alike again.
        backend.seed(experiment.state)
        self.network = build(experiment, images=self._measured(), policy=self.precision)
        if init is not None:
            take_over(self.network, keras.saving.load_model(init, compile=False))
        self.frozen, self.ahead = None, 0.0
        if self._behind_trunk():
            start = time.perf_counter()
            self.frozen = Frozen(self.network)
            self.parts = {name: self.frozen.cached(part) for name, part in self.parts.items()}
            # Training costs this too, once instead of in every epoch.
            self.ahead = time.perf_counter() - start
        if self.trained is None:
            self.trained = (
                self.frozen.rest
                if self.frozen
                else with_augmentation(self.network, experiment.recipe.augmentation)
            )
            backend.synchronize(self.trained)
            compile_network(self.trained, experiment, head, len(self.parts["training"].rows))
        backend.compile_augmentation(self.trained)

    def _measured(self) -> np.ndarray | None:
        """Return images for the preprocessing that measures some, spread over the training part."""
        if self.experiment.preprocessing != "standardize":
            return None
        images = self.parts["training"].images
        rows = np.linspace(0, len(images) - 1, min(2000, len(images))).round().astype(int)
        return images.take(rows)

    def _behind_trunk(self) -> bool:
        if self.trained is not None:  # with more or less memory than before, it goes on as it began
            return self.trained.input_shape != self.network.input_shape
        n = sum(len(part.rows) for part in self.parts.values())
        return cacheable(self.network, self.experiment, n)

    def conclude(self, manifest: str, *, pruned: bool) -> Record:
        """Write record and network of the best epoch, and remove the checkpoints."""
        experiment, checkpoints = self.experiment, self.checkpoints
        checkpoints.load_best(self.trained)
        test = self.trained
        if self.frozen:
            self.frozen.rest.set_weights(self.trained.get_weights())
        elif experiment.recipe.augmentation:
            test = self.trained.layers[-1]
            self.network.set_weights(test.get_weights())
        elif self.trained is not self.network:
            self.network.set_weights(self.trained.get_weights())
        head = head_of(experiment)
        predictions = predict(
            test, self.parts["test"], self.catalog, head, flip=experiment.flip_at_test
        )
        history = pd.DataFrame(checkpoints.history).rename_axis("epoch")
        history.index += 1
        seconds = float(history["seconds"].sum()) + self.ahead
        best = checkpoints.best_epoch
        summary = _summary(experiment, self.network, self.parts, history, best, seconds)
        # A run that went on elsewhere names every place.
        for name in ("backend", "hardware"):
            summary[name] = ", then ".join(dict.fromkeys(p[name] for p in checkpoints.places))
        summary["precision"] = self.precision
        if pruned:
            summary["reduced"]["epochs"] = experiment.full_size().recipe.epochs
            summary["pruned"] = True
        summary["split"] |= {"fingerprint": self.split.fingerprint, "manifest": manifest}
        classes = None if head.kind == "regression" else head.scheme.n_classes
        metrics = evaluate(predictions, kind=head.kind, n_classes=classes)
        summary["metrics"] = {
            name: {"value": row.value, "low": row.low, "high": row.high, "n": int(row.n)}
            for name, row in metrics.iterrows()
        }
        if classes is not None and classes <= 20:
            summary["confusion_matrix"] = confusion_matrix(predictions, classes).tolist()
        # Killed from here on, the folder holds no record, and the next call concludes again; an old
        # record never stands beside a new network.
        (self.folder / "record.json").unlink(missing_ok=True)
        with atomic_path(self.folder / "model.keras") as temporary:
            self.network.save(temporary)
        record = write_record(self.folder, summary, history, predictions)
        checkpoints.clear()
        return record


def _summary(experiment, network, parts, history, best_epoch, seconds) -> dict[str, Any]:
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
        "versions": {name: version(name) for name in ("keras", "numpy", backend.name())},
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
