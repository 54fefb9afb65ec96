"""What matters: pairs of experiments that differ in one thing, on the same test images.

Pairs are found, not listed: two records belong together when their descriptions agree in all but
the fields of one factor. So a new record takes part by itself.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agelib import paths
from agelib.evaluation import pooled
from agelib.headline import honest_protocol
from agelib.records import find_records, load_record

# The fields of a description that one factor covers; what is below no factor must agree.
FACTORS: dict[str, tuple[str, ...]] = {
    "architecture": ("architecture", "options"),
    "head": ("labels", "head", "head_options", "gender"),
    "training": ("recipe", "reduction"),
    "initial weights": ("init", "pretrained"),
    "random state": ("state",),
}
# All of a network at once: the same images, labels and head, whatever is trained on them how.
FACTORS["whole network"] = (
    *(*FACTORS["architecture"], *FACTORS["training"], *FACTORS["initial weights"]),
    *("image_size", "color", "preprocessing"),
)
_NAMES = ("number", "name", "chapter", "fold")
COLUMNS = [
    *("factor", "dataset", "protocol", "labels", "base", "other", "unit"),
    *("difference", "low", "high", "n", "reduced"),
]


class _Run(NamedTuple):
    """A record's folder and its description, with what pretraining is made a field."""

    path: Path
    fields: dict[str, Any]


def single_differences(dataset: str, folder: Path | str | None = None) -> pd.DataFrame:
    """Return every pair of experiments that differ in one factor, and by how much.

    Parameters
    ----------
    dataset : str
        Data set whose records are compared.
    folder : Path or str, optional
        Results folder; the collection's own by default.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``. ``factor`` is one of ``FACTORS``, or "protocol" for the same network
        under other images and another split. ``difference`` is other minus base, in the
        ``unit`` "years" (mean absolute error) or "points" (accuracy, of 100), with a 95 % interval
        ``low`` to ``high`` over the ``n`` test images: of the paired differences, or under another
        protocol of two means taken as independent, although test parts may share images. The
        base of a group is its first experiment by chapter and number, and for the protocol the
        honest folds where they are there. ``reduced`` says whether either is smaller than full
        size. Trials that the search stopped early are left out: beside one that went on, or was
        stopped later, they differ in their epochs as well. Under "whole network" stand only pairs
        that differ in more than one of the factors before it.

    Notes
    -----
    The interval of a mean of paired differences is the normal one, mean +- 1.96 standard errors:
    with hundreds of images it agrees with the bootstrap and takes no time.
    """
    runs = _runs(dataset, folder)
    # One random state of each is enough where the random state is not the question.
    once = [*{_place(run): run for run in reversed(runs)}.values()][::-1]
    rows: list[dict[str, Any]] = []
    load = functools.cache(_errors)
    for factor, fields in FACTORS.items():
        for group in _groups(runs if "state" in fields else once, (*_NAMES, *fields)):
            rows += _compared(factor, group, fields, load)
    rows = _told_once(rows)
    for group in _groups(once, ("fold", "protocol", "state")):
        rows += _protocols_compared(group, load)
    return pd.DataFrame(rows, columns=COLUMNS)


def _told_once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out pairs of whole networks that differ in one factor and are told under it."""
    names = ("base", "other", "protocol", "labels")
    told = {tuple(row[name] for name in names) for row in rows if row["factor"] != "whole network"}
    return [
        row
        for row in rows
        if row["factor"] != "whole network" or tuple(row[name] for name in names) not in told
    ]


def _runs(dataset: str, folder: Path | str | None) -> list[_Run]:
    results = paths.results_dir() if folder is None else Path(folder)
    runs = []
    for path in find_records(results):
        if path.parts[-3] != dataset:
            continue
        try:
            summary = json.loads((path / "record.json").read_text(encoding="utf-8"))
            fields = summary["experiment"]
            number = [int(digits) for digits in re.findall(r"\d+", fields["number"])]
        except (OSError, ValueError, KeyError):
            continue  # named by `results.results_table`
        if summary.get("pruned"):
            continue
        fields = {**fields, "pretrained": _pretrained(fields)}
        runs.append((fields["chapter"], number, fields["state"], _Run(path, fields)))
    return [run for *_, run in sorted(runs, key=lambda entry: entry[:3])]


def _pretrained(fields: Mapping[str, Any] | None) -> bool:
    """Return whether the weights go back to ImageNet, directly or over what they start from."""
    while fields:
        if fields["options"].get("weights") == "imagenet":
            return True
        fields = fields.get("init")
    return False


def _groups(runs: list[_Run], free: tuple[str, ...]) -> list[list[_Run]]:
    """Return the runs that agree in all fields but the free ones, two or more together."""
    groups: dict[str, list[_Run]] = {}
    for run in runs:
        options = {**run.fields["options"]}
        if "pretrained" in free:
            options.pop("weights", None)
        fixed = {**run.fields, "options": options}
        key = {name: value for name, value in fixed.items() if name not in free}
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    return [group for group in groups.values() if len(group) > 1]


def _place(run: _Run) -> tuple:
    return (_label(run), *(str(run.fields[name]) for name in ("protocol", "labels", "fold")))


def _label(run: _Run) -> str:
    return f"{run.fields['chapter'][:2]}: {run.fields['number']} {run.fields['name']}"


def _by_experiment(group: list[_Run], fields: tuple[str, ...]) -> list[dict[Any, _Run]]:
    """Return the experiments of a group, each as its folds (state: the lowest there is)."""
    found: dict[str, dict[Any, _Run]] = {}
    for run in group:
        key = json.dumps([_label(run), *(run.fields.get(name) for name in fields)])
        found.setdefault(key, {}).setdefault(run.fields["fold"], run)
    return list(found.values())


def _compared(factor: str, group: list[_Run], fields: tuple[str, ...], load) -> list[dict]:
    base, *others = _by_experiment(group, fields)
    rows = []
    for other in others:
        folds = [fold for fold in base if fold in other]
        if not folds:
            continue
        a = pooled([load(base[fold].path) for fold in folds]).set_index("file")
        b = pooled([load(other[fold].path) for fold in folds]).set_index("file")
        unit = _unit(base[folds[0]], other[folds[0]], a, b)
        if unit is None or not a.index.equals(b.index):
            continue
        gain = (b[unit] - a[unit]).to_numpy(float)
        half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
        rows.append(_row(factor, base[folds[0]], other[folds[0]], unit, gain.mean(), half, len(a)))
    return rows


def _protocols_compared(group: list[_Run], load) -> list[dict]:
    """Compare what the same network reaches under its protocols; lowest state, all folds."""
    by_protocol: dict[str, dict[Any, _Run]] = {}
    for run in group:
        by_protocol.setdefault(run.fields["protocol"], {}).setdefault(run.fields["fold"], run)
    honest = honest_protocol(group[0].fields["dataset"])
    names = sorted(by_protocol, key=lambda name: name != honest)
    base, *others = (by_protocol[name] for name in names)
    first = next(iter(base.values()))
    a = pooled([load(run.path) for run in base.values()])
    rows = []
    for other in others:
        run = next(iter(other.values()))
        b = pooled([load(member.path) for member in other.values()])
        unit = _unit(first, run, a, b)
        if unit is None:
            continue
        error = np.sqrt(sum(part[unit].var(ddof=1) / len(part) for part in (a, b)))
        gain = b[unit].mean() - a[unit].mean()
        rows.append(_row("protocol", first, run, unit, gain, 1.96 * error, len(b)))
    return rows


def _unit(first: _Run, second: _Run, a: pd.DataFrame, b: pd.DataFrame) -> str | None:
    """Return what both are measured in: years where both can, else points of accuracy."""
    if "years" in a and "years" in b:
        return "years"
    same = first.fields["labels"] == second.fields["labels"]
    return "points" if same and "points" in a and "points" in b else None


def _row(factor: str, base: _Run, other: _Run, unit: str, gain: float, half: float, n: int) -> dict:
    facts = {name: other.fields[name] for name in ("dataset", "protocol", "labels")}
    told = {"base": _label(base), "other": _label(other), "unit": unit, "difference": gain}
    reduced = bool(base.fields["reduction"] or other.fields["reduction"])
    ends = {"low": gain - half, "high": gain + half, "n": n, "reduced": reduced}
    return {"factor": factor, **facts, **told, **ends}


def _errors(path: Path) -> pd.DataFrame:
    """Return per test image the absolute error in years and the hit in points, where there are."""
    predictions = load_record(path).predictions
    table = predictions[["file"]].copy()
    if "true" in predictions:
        table["points"] = 100.0 * (predictions["true"] == predictions["predicted"])
    if "true" not in predictions or "expected_age" in predictions:
        estimate = "expected_age" if "expected_age" in predictions else "predicted"
        table["years"] = (predictions[estimate] - predictions["age"]).abs()
    return table
