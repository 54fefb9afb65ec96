"""What a chapter shows of a record: a figure and a row of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from agelib import confusion, datasets, plots
from agelib.labels import get_scheme
from agelib.records import Record

SHOWN = ("accuracy", "one_off_accuracy", "macro_f1", "roc_auc", "log_loss", "mae", "cs5")
SHOWN += ("gender_accuracy",)
_TWO_TASKS = ("gender_loss", "gender_accuracy", "age_loss", "mae")
# The metrics of a chapter's closing table: where the ends of the interval stand, and digits.
_COMPARED = {
    "accuracy": ("low", "high", 3),
    "mae": ("mae_low", "mae_high", 2),
    "gender_accuracy": ("gender_low", "gender_high", 3),
}


def overview(record: Record) -> np.ndarray:
    """Draw a record's learning curves and its confusion matrix, or in years its error by age.

    Parameters
    ----------
    record : Record
        What came out of an experiment.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Learning curves; per-class rates, or errors by age where the age is estimated in years,
        as a number or with one class a year.
    """
    scheme = get_scheme(record.experiment["labels"])
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    figure.suptitle(f"{record.label}, {_split(record)}")
    if "mae" in record.history:
        plots.learning_curves(record.history, metric="mae", ax=axes[0])
        plots.error_by_age(record.predictions, ax=axes[1])
        return axes
    plots.learning_curves(record.history, ax=axes[0])
    matrix = confusion.confusion_matrix(record.predictions, scheme.n_classes)
    confusion.plot_confusion(matrix, scheme.names, normalize=True, ax=axes[1])
    return axes


def two_task_curves(record: Record) -> np.ndarray:
    """Draw the four learning curves of a network for age and gender (P5's coursework asks for).

    Parameters
    ----------
    record : Record
        Of an experiment with a gender output, its age in years.

    Returns
    -------
    ndarray of Axes, shape (2, 2)
        Gender loss and accuracy; age loss and mean absolute error.

    Raises
    ------
    ValueError
        If the record's history lacks one of the four.
    """
    figure, axes = plt.subplots(2, 2, figsize=(8, 4.8), layout="constrained")
    figure.suptitle(f"{record.label}, {_split(record)}")
    for ax, metric in zip(axes.flat, _TWO_TASKS, strict=True):
        plots.learning_curves(record.history, metric=metric, ax=ax)
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


def chapter_table(summary: pd.DataFrame, told: pd.DataFrame, chapter: str) -> pd.DataFrame:
    """Return a chapter's closing table: what was reported, what we measured, and what it cost.

    Parameters
    ----------
    summary : DataFrame
        From :func:`agelib.results.summarise`, of one data set.
    told : DataFrame
        From :func:`agelib.comparison.reported`.
    chapter : str
        Such as ``04-baselines``.

    Returns
    -------
    DataFrame
        One row an experiment and metric, indexed by ``experiment``, all text: ``metric``;
        ``reported`` (with ``n``, and the data set where it was another one); ``their protocol``
        (that of the reported number; where none was, any but the next) and ``five folds``, those
        of the data set before others (value, 95 % interval, n, and how many there are so far);
        ``parameters``; ``seconds`` of training and ``images / s``, both of the honest record
        where there is one; ``reduced``. Accuracies of experiments with one class a year are left
        out: their error in years says more.
    """
    rows = []
    keys = ["number", "name", "labels"]
    there = summary[summary["chapter"] == chapter]
    for (number, name, labels), group in there.groupby(keys, sort=False):
        for metric, (low, high, digits) in _COMPARED.items():
            measured = group[group[metric].notna()]
            if measured.empty or (metric == "accuracy" and labels == "per-year-101"):
                continue
            same = (told["chapter"] == chapter) & (told["number"] == number)
            said = told[same & (told["metric"] == metric)]
            # A full-size record goes before a reduced one.
            measured = measured.sort_values("reduced", key=lambda c: c != "", kind="stable")
            dataset = group["dataset"].iloc[0]
            own = measured["protocol"] == datasets.get(dataset).five_fold
            own = own if own.any() else measured["folds"].notna()
            honest, theirs = measured[own], measured[~own]
            if len(said):
                theirs = theirs[theirs["protocol"].isin(said["protocol"])]
            if honest.empty and theirs.empty:
                continue
            costs = (honest if len(honest) else theirs).iloc[0]
            shown = {"low": low, "high": high, "digits": digits}
            rows.append(
                {
                    "experiment": f"{number} {name}",
                    "metric": metric,
                    "reported": _reported(said, digits, dataset),
                    "their protocol": _measured(theirs, metric, **shown),
                    "five folds": _measured(honest, metric, **shown),
                    "parameters": f"{costs['parameters']:,}",
                    "seconds": f"{costs['seconds']:,.0f}",
                    "images / s": f"{costs['images_per_second']:,.0f}",
                    "reduced": costs["reduced"],
                }
            )
    return pd.DataFrame(rows).set_index("experiment") if rows else pd.DataFrame()


def _reported(said: pd.DataFrame, digits: int, dataset: str) -> str:
    if said.empty:
        return ""
    entry = said.iloc[0]
    part = "validation" if pd.isna(entry["value"]) else f"n = {entry['n']:,.0f}"
    value = entry["validation"] if pd.isna(entry["value"]) else entry["value"]
    elsewhere = "" if entry["dataset"] == dataset else f", on {entry['dataset']}"
    return f"{value:.{digits}f} ({part}{elsewhere})"


def _measured(rows: pd.DataFrame, metric: str, *, low: str, high: str, digits: int) -> str:
    if rows.empty:
        return ""
    row = rows.iloc[0]
    value, ends = f"{row[metric]:.{digits}f}", f"{row[low]:.{digits}f}, {row[high]:.{digits}f}"
    folds = "" if pd.isna(row["folds"]) else f", {row['folds']} of 5 folds"
    return f"{value} [{ends}] (n = {row['n']:,}{folds})"


def _split(record: Record) -> str:
    protocol, fold = record.experiment["protocol"], record.experiment["fold"]
    return protocol if fold is None else f"{protocol}, fold {fold}"
