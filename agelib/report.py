"""What a chapter shows of a record: a figure and a row of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from agelib import confusion, plots
from agelib.labels import get_scheme
from agelib.records import Record

SHOWN = ("accuracy", "one_off_accuracy", "macro_f1", "roc_auc", "log_loss", "mae", "cs5")


def overview(record: Record) -> np.ndarray:
    """Draw a record's learning curves and, of a classification, its confusion matrix.

    Parameters
    ----------
    record : Record
        What came out of an experiment.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Learning curves; per-class rates, or errors by age for a regression.
    """
    scheme = get_scheme(record.experiment["labels"])
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    figure.suptitle(f"{record.label}, {_split(record)}")
    if scheme.kind == "regression":
        plots.learning_curves(record.history, metric="mae", ax=axes[0])
        plots.error_by_age(record.predictions, ax=axes[1])
        return axes
    plots.learning_curves(record.history, ax=axes[0])
    matrix = confusion.confusion_matrix(record.predictions, scheme.n_classes)
    confusion.plot_confusion(matrix, scheme.names, normalize=True, ax=axes[1])
    return axes


def metrics_row(records: Record | Sequence[Record]) -> pd.DataFrame:
    """Return the main metrics of the test part as text: value and 95 % interval.

    Parameters
    ----------
    records : Record or sequence of Record
        One row each.

    Returns
    -------
    DataFrame
        Indexed by experiment: split, state, the metrics that apply, and n.
    """
    records = [records] if isinstance(records, Record) else records
    rows = {}
    for record in records:
        facts = record.experiment
        row = {"split": _split(record), "state": facts["state"]}
        for metric in SHOWN:
            if metric in record.metrics.index:
                value, low, high = record.metrics.loc[metric, ["value", "low", "high"]]
                row[metric] = f"{value:.3f} [{low:.3f}, {high:.3f}]"
        row["n"] = int(record.metrics["n"].iloc[0])
        rows[record.label, row["split"], facts["state"]] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.Index([record.label for record in records], name="experiment")
    return table


def _split(record: Record) -> str:
    protocol, fold = record.experiment["protocol"], record.experiment["fold"]
    return protocol if fold is None else f"{protocol}, fold {fold}"
