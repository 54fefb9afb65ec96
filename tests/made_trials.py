"""Trials of the topology search that end as a test says, without training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agelib.experiment import Experiment
from agelib.records import Record, write_record
from agelib.trials import candidates

THREE = ("3.0", "3.1", "6.0")
FOUR = (*THREE, "6.1")
FIVE = (*FOUR, "6.2")  # not all combinations of these choices


def few(epochs: int = 2, numbers: tuple[str, ...] = FOUR) -> list[Experiment]:
    """Return the trials of the families that can look at 32 pixels."""
    small = candidates("sample", image_size=32, epochs=epochs, precision="float32")
    return [experiment for experiment in small if experiment.number in numbers]


def record(
    folder: Path, experiment: Experiment, scores: list[float], *, split: str = "", pruned=False
) -> Record:
    """Write the record of a trial with these validation accuracies, two seconds an epoch."""
    epoch = len(scores)
    history = pd.DataFrame({"val_accuracy": scores, "seconds": 2.0})
    history.index = pd.RangeIndex(1, epoch + 1, name="epoch")
    summary = {
        "experiment": experiment.describe(),
        "split": {"fingerprint": split},
        "validation": {"accuracy": max(scores)},
        "metrics": {"accuracy": {"value": 0.4, "low": 0.3, "high": 0.5, "n": 60}},
        "epochs": epoch,
        "parameters": 1000,
        "seconds": 2.0 * epoch,
    } | ({"pruned": True} if pruned else {})
    return write_record(folder, summary, history, pd.DataFrame({"true": [0]}))
