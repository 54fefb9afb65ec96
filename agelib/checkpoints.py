"""Checkpoints of a training run, and the guard that only one process runs it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from agelib.backend import keras
from agelib.experiment import Experiment
from agelib.files import atomic_path, write_json
from agelib.protocols import Split


class BusyError(RuntimeError):
    """Another process trains the same experiment."""


@contextlib.contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock for the length of the block; a dead process holds none.

    Raises
    ------
    BusyError
        If another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BusyError(
            f"{what} is being trained by another process; wait for it or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()


class Checkpoints:
    """Checkpoints of a run: the last epoch to resume from, and the best one on validation."""

    def __init__(self, folder: Path, experiment: Experiment, split: Split) -> None:
        self.folder = folder
        self.identity = f"{experiment.fingerprint}-{split.fingerprint}"
        self.history: list[dict[str, Any]] = []
        self.best: float | None = None
        self.best_epoch = 0
        self.places: list[dict[str, str]] = []

    @property
    def epoch(self) -> int:
        """Number of whole epochs so far."""
        return len(self.history)

    def last(self, epoch: int) -> Path:
        """Return the file of the network as it was after an epoch."""
        return self.folder / f"last-{epoch}.keras"

    def restore(self) -> keras.Model | None:
        """Return the network of the last whole epoch, if a run of this experiment left one."""
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        path = self.last(len(state["history"]))
        if state["identity"] != self.identity or not path.exists():
            return None
        self.history, self.best = state["history"], state["best"]
        self.best_epoch = state["best_epoch"]
        self.places = state.get("places", [])
        return keras.saving.load_model(path)

    def at_work(self, place: dict[str, str]) -> None:
        """Note where the run goes on from here: what tells one machine and backend from another."""
        if place not in self.places:
            self.places.append(place)

    def keep_best(self, network: keras.Model, score: float) -> None:
        """Keep the weights of the epoch that is being finished if its score is the best.

        ``score`` is better when larger; a later epoch must beat an earlier one.
        """
        if self.best is None or score > self.best:
            self.best, self.best_epoch = score, self.epoch + 1
            with atomic_path(self.folder / f"best-{self.best_epoch}.weights.h5") as temporary:
                network.save_weights(temporary)

    def save(self, network: keras.Model, row: dict[str, Any]) -> None:
        """Note an epoch and keep the network as it is now, to go on from."""
        self.history.append(row)
        with atomic_path(self.last(self.epoch)) as temporary:
            network.save(temporary)
        # Only this file makes the new checkpoints count: killed before, a run resumes one earlier.
        write_json(
            self.folder / "state.json",
            {
                "identity": self.identity,
                "history": self.history,
                "best": self.best,
                "best_epoch": self.best_epoch,
                "places": self.places,
            },
        )
        keep = {"state.json", self.last(self.epoch).name, f"best-{self.best_epoch}.weights.h5"}
        for path in self.folder.iterdir():
            if path.name not in keep:
                path.unlink()

    def load_best(self, network: keras.Model) -> None:
        """Give the network the weights of the best epoch on validation."""
        network.load_weights(self.folder / f"best-{self.best_epoch}.weights.h5")

    def clear(self) -> None:
        """Remove the checkpoints, once the record is written."""
        for path in sorted(self.folder.glob("*")):
            path.unlink()
        self.folder.rmdir()
