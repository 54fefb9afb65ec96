"""Tables over all records: what figures, the leaderboard and the paper are made from.

A record that cannot be read does not hide the others: it is left out and named, with the
reason, in the list ``table.attrs["problems"]``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from agelib import paths
from agelib.descriptions import sizes
from agelib.evaluation import evaluate, pooled
from agelib.files import DataError
from agelib.records import find_records, load_record

_SHOWN = ("accuracy", "one_off_accuracy", "macro_f1", "roc_auc")
_SHOWN_AGE = ("mae", "median_error", "cs5", "rmse")
_SHOWN_GENDER = ("gender_accuracy",)
# The metrics with an interval in the tables, and what stands before its ends.
_ENDS = {"accuracy": "", "mae": "mae_", "gender_accuracy": "gender_"}
_SCORES = [
    *("accuracy", "low", "high", "one_off_accuracy", "macro_f1", "roc_auc"),
    *("mae", "mae_low", "mae_high", "median_error", "cs5", "rmse"),
    *("gender_accuracy", "gender_low", "gender_high", "n"),
]
RESULT_COLUMNS = [
    *("chapter", "number", "name", "dataset", "protocol", "fold", "state", "labels"),
    *("image_size", "reduced", "parameters", *_SCORES),
    *("seconds", "images_per_second", "backend", "hardware"),
]
LONG_COLUMNS = [
    *("experiment", "chapter", "dataset", "protocol", "fold", "state", "labels", "metric"),
    *("value", "low", "high", "n", "reduced", "backend", "hardware", "seconds"),
]
_SAME = ["chapter", "number", "name", "dataset", "protocol", "labels", "image_size", "reduced"]
SUMMARY_COLUMNS = [
    *(*_SAME, "folds", "states", "parameters", *_SCORES),
    *("accuracy_sd", "mae_sd", "seconds", "images_per_second", "backend", "hardware"),
]
_WHOLE = ("fold", "state", "image_size", "parameters", "n", "folds", "states")
_TEXT = (
    *("experiment", "chapter", "number", "name", "dataset", "protocol", "labels", "reduced"),
    *("metric", "backend", "hardware"),
)


class _Read(NamedTuple):
    """A record's folder, its row in the results table and its metrics."""

    path: Path
    row: dict[str, Any]
    metrics: dict[str, dict[str, Any]]


def results_table(folder: Path | str | None = None) -> pd.DataFrame:
    """Read all records below a results folder into one row each.

    Parameters
    ----------
    folder : Path or str, optional
        Results folder; the collection's own by default.

    Returns
    -------
    DataFrame
        Columns ``RESULT_COLUMNS``, sorted by chapter, number, data set, protocol, fold and
        state. ``low`` and ``high`` bound the accuracy, ``mae_low`` and ``mae_high`` the mean
        absolute error, ``gender_low`` and ``gender_high`` the gender accuracy (95 %
        intervals); ``n`` counts test images, ``seconds`` is training
        time. ``reduced`` says what was made smaller than full size and is "" otherwise.
        ``attrs["problems"]`` lists the records that could not be read.

    Raises
    ------
    DataError
        If the folder does not exist.
    """
    records, problems = _read(folder)
    return _table([record.row for record in records], RESULT_COLUMNS, problems)


def long_table(folder: Path | str | None = None) -> pd.DataFrame:
    """Read all records below a results folder into one row for each metric.

    Parameters
    ----------
    folder : Path or str, optional
        Results folder; the collection's own by default.

    Returns
    -------
    DataFrame
        Columns ``LONG_COLUMNS``, ready for seaborn; ``experiment`` is number and name.
        Sorted like `results_table`, metrics in their stored order. ``attrs["problems"]``
        lists the records that could not be read.

    Raises
    ------
    DataError
        If the folder does not exist.
    """
    records, problems = _read(folder)
    rows = []
    for _, row, metrics in records:
        label = f"{row['number']} {row['name']}"
        for metric, entry in metrics.items():
            rows.append(row | {"experiment": label, "metric": metric} | entry)
    return _table(rows, LONG_COLUMNS, problems)


def summarise(folder: Path | str | None = None, *, resamples: int = 1000) -> pd.DataFrame:
    """Summarise the records of each experiment and protocol in one row.

    Parameters
    ----------
    folder : Path or str, optional
        Results folder; the collection's own by default.
    resamples : int
        Number of bootstrap samples.

    Returns
    -------
    DataFrame
        Columns ``SUMMARY_COLUMNS``. Under a protocol with folds the metrics and intervals
        come from the pooled test predictions of ``folds`` folds, where every image counts
        once, all of one random state (0, or the lowest there is). ``accuracy_sd`` and
        ``mae_sd`` are standard deviations over ``states`` random states on one split: the
        fold that has most of them. ``seconds`` adds up the training of the pooled folds.
        ``attrs["problems"]`` lists the records that could not be read or pooled.

    Raises
    ------
    DataError
        If the folder does not exist.
    """
    records, problems = _read(folder)
    groups: dict[tuple, list[_Read]] = {}
    for record in records:
        groups.setdefault(tuple(record.row[name] for name in _SAME), []).append(record)
    rows = []
    for members in groups.values():
        try:
            rows.append(_summary_row(members, resamples=resamples))
        except ValueError as error:
            label = "{number} {name}, {protocol}".format(**members[0].row)
            problems.append(f"{label}: {error}")
    return _table(rows, SUMMARY_COLUMNS, problems)


def _read(folder: Path | str | None) -> tuple[list[_Read], list[str]]:
    """Return every good record in the order of the tables, and the problems of the others."""
    results = paths.results_dir() if folder is None else Path(folder)
    if not results.is_dir():
        raise DataError(f"{results} is no results folder; name one or set AGELIB_RESULTS.")
    records, problems = [], []
    for path in find_records(results):
        try:
            summary = json.loads((path / "record.json").read_text(encoding="utf-8"))
            metrics = {name: _metric(entry) for name, entry in summary["metrics"].items()}
            records.append(_Read(path, _row(summary, metrics), metrics))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else error
            place = (path / "record.json").relative_to(results).as_posix()
            problems.append(f"{place}: {reason}; restore it from git or train again")
    return sorted(records, key=lambda record: _order(record.row)), problems


def _metric(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return value, ends and number of images; a missing number (null) is NaN."""
    ends = ((key, entry[key]) for key in ("value", "low", "high"))
    return {k: math.nan if v is None else float(v) for k, v in ends} | {"n": int(entry["n"])}


def _order(row: Mapping[str, Any]) -> tuple:
    # 1.10 comes after 1.9: runs of digits are compared as numbers.
    number = [(int(d or 0), text) for d, text in re.findall(r"(\d+)|(\D+)", row["number"])]
    fold = -1 if row["fold"] is None else row["fold"]
    same = tuple(row[name] for name in ("name", "dataset", "protocol", "labels"))
    return row["chapter"], number, *same, fold, row["state"]


def _row(summary: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the tables show of a record."""
    experiment = summary["experiment"]
    names = ("chapter", "number", "name", "dataset", "protocol", "labels")
    row: dict[str, Any] = {name: str(experiment[name]) for name in names}
    row |= {name: int(experiment[name]) for name in ("state", "image_size")}
    row["fold"] = None if experiment["fold"] is None else int(experiment["fold"])
    row["reduced"] = reduced_text(summary)
    row["parameters"] = int(summary["parameters"])
    row |= {name: float(summary[name]) for name in ("seconds", "images_per_second")}
    row |= {name: str(summary[name]) for name in ("backend", "hardware")}
    return row | _scores(metrics)


def _scores(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    shown = (*_SHOWN, *_SHOWN_AGE, *_SHOWN_GENDER)
    row = {name: metrics[name]["value"] for name in shown if name in metrics}
    for metric, prefix in _ENDS.items():
        if metric in metrics:
            row |= {f"{prefix}{end}": metrics[metric][end] for end in ("low", "high")}
    return row | {"n": max((entry["n"] for entry in metrics.values()), default=None)}


def reduced_text(summary: Mapping[str, Any]) -> str:
    """Say what of a record is smaller than full size, "" when nothing is.

    Parameters
    ----------
    summary : mapping
        What its ``record.json`` holds; the epochs are those it was trained for.
    """
    used = sizes(summary["experiment"]) | {"epochs": summary["epochs"]}
    return "; ".join(f"{k} {used.get(k, '?')} of {full}" for k, full in summary["reduced"].items())


def _summary_row(members: list[_Read], *, resamples: int) -> dict[str, Any]:
    """Summarise the records of one experiment under one protocol."""
    first = min(record.row["state"] for record in members)
    chosen = [record for record in members if record.row["state"] == first]
    summary = dict(chosen[0].row)
    folded = summary["fold"] is not None
    if len(chosen) > 1:
        predictions = pooled(load_record(record.path).predictions for record in chosen)
        kind = "classification" if "true" in predictions.columns else "regression"
        metrics = _SHOWN if kind == "classification" else ()
        metrics += _SHOWN_AGE if kind == "regression" or "expected_age" in predictions else ()
        metrics += _SHOWN_GENDER if "p_female" in predictions else ()
        table = evaluate(predictions, kind=kind, resamples=resamples, metrics=metrics)
        summary |= _scores(table.to_dict("index"))
        summary["seconds"] = sum(record.row["seconds"] for record in chosen)
    summary["folds"] = len(chosen) if folded else None
    return summary | _spread([record.row for record in members])


def _spread(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the standard deviations over random states on the fold that has most of them."""
    table = pd.DataFrame(rows)
    # Folds are in order, so that among equals the lowest is taken.
    most = table.groupby("fold", dropna=False)["state"].transform("count")
    table = table[most == most.max()]
    fold = table["fold"].iloc[0]
    table = table[table["fold"].isna() if pd.isna(fold) else table["fold"] == fold]
    columns = {name: table[name].astype(float) for name in ("accuracy", "mae") if name in table}
    spread = {f"{name}_sd": values.std(ddof=1) for name, values in columns.items()}
    return spread | {"states": len(table)}


def _table(rows: list[dict[str, Any]], columns: list[str], problems: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=columns)
    text = dict.fromkeys(_TEXT, "str")
    types = text | dict.fromkeys(_WHOLE, "Int64")
    table = table.astype({name: types.get(name, "float64") for name in columns})
    table.attrs["problems"] = problems
    return table
