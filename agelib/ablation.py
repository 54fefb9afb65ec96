"""One factor at a time: what each change is worth, in years, with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from agelib.decisions import decide
from agelib.experiment import Experiment
from agelib.files import DataError
from agelib.intervals import mean_intervals
from agelib.records import Record, load_record

if TYPE_CHECKING:
    from agelib.lab import Lab


def image_errors(records: Sequence[Record], by: str = "median") -> pd.Series:
    """Return the absolute error of each test image, its mean where several records tested it.

    Parameters
    ----------
    records : sequence of Record
        Random states or folds of one experiment; at least one.
    by : str
        How the age is read off a distribution, see `agelib.decisions.decide`. By the median:
        of all years its absolute error is the least.

    Returns
    -------
    Series of float64
        Years, by ``file``.

    Raises
    ------
    DataError
        If a record has neither probabilities of the years nor an age.
    ValueError
        If there is no such way to read it off.
    """
    parts = []
    for record in records:
        decided = decide(record.predictions, by)
        parts.append((decided["predicted"] - decided["age"]).abs().set_axis(decided["file"]))
    return pd.concat(parts).groupby(level=0).mean()


def by_change(lab: Lab, experiments: Sequence[Experiment], states: int) -> dict[str, list[Record]]:
    """Return the records that there are of experiments, by number and name; none is trained.

    Parameters
    ----------
    lab : Lab
        An open data set.
    experiments : sequence of Experiment
        A base and its changes. A smaller one is not stood for by its full size.
    states : int
        Random states to look for, from 0 on.
    """
    found = {}
    for experiment in experiments:
        folders = [lab.folder(run) for run in experiment.over_states(states)]
        there = [folder for folder in folders if (folder / "record.json").exists()]
        found[f"{experiment.number} {experiment.name}"] = [load_record(folder) for folder in there]
    return found


def compare(groups: Mapping[str, Sequence[Record]], base: str) -> pd.DataFrame:
    """Compare changes with a base on the same test images.

    Parameters
    ----------
    groups : mapping of str to sequence of Record
        Records of each change by its name: random states, or folds. Without records it is pending.
    base : str
        Name of the group that the others are compared with.

    Returns
    -------
    DataFrame
        Indexed by ``change``: ``runs``; ``validation`` (mean error of the expected age there,
        on which changes are chosen); ``mae`` on the test part, ``low`` and ``high``; ``sd`` of
        the runs (missing with one run); ``difference`` from the base with ``from`` and ``to``,
        over the folds and random states that both have; ``n`` images. Intervals are 95 %
        percentile bootstrap over images, of the errors averaged over runs: how much another random
        state moves them is what ``sd`` says. A pending change has 0 runs and nothing else; where
        it shares no run with the base there is no difference.

    Raises
    ------
    DataError
        If a group was not tested on the base's images.
    ValueError
        If there is no group called ``base``.
    """
    if base not in groups:
        raise ValueError(f"there is no group {base!r} to compare with: {', '.join(groups)}")
    of_base = {_run(record): record for record in groups[base]}
    rows = {}
    for name, records in groups.items():
        if not records:
            rows[name] = {"runs": 0}
            continue
        errors = image_errors(records)
        row = {"runs": len(records)}
        row["validation"] = np.mean([record.summary["validation"]["mae"] for record in records])
        row |= _mean(errors, ("mae", "low", "high"))
        runs = [image_errors([record]).mean() for record in records]
        row["sd"] = np.std(runs, ddof=1) if len(runs) > 1 else np.nan
        shared = [record for record in records if _run(record) in of_base]
        if shared and name != base:
            ours = image_errors(shared)
            reference = image_errors([of_base[_run(record)] for record in shared])
            if not ours.index.equals(reference.index):
                raise DataError(f"{name} and {base} were tested on different images")
            row |= _mean(ours - reference, ("difference", "from", "to"))
        rows[name] = row | {"n": len(errors)}
    columns = ["runs", "validation", "mae", "low", "high", "sd", "difference", "from", "to", "n"]
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)
    return table.astype({"n": "Int64"}).rename_axis("change")


def compare_states(groups: Mapping[str, Sequence[Record]], base: str) -> pd.DataFrame:
    """Compare changes with a base in each random state by itself: what luck does to each.

    Parameters
    ----------
    groups, base
        As in `compare`. Changes of a single record are left out, the base is not.

    Returns
    -------
    DataFrame
        Indexed by ``change``; for each random state ``mae``, ``difference``, ``from`` and ``to``,
        as in `compare`, missing where it was not trained from it. Empty where none has two records.

    Raises
    ------
    DataError, ValueError
        As in `compare`.
    """
    if max(map(len, groups.values()), default=0) < 2:
        return pd.DataFrame()
    repeated = {name: found for name, found in groups.items() if name == base or len(found) > 1}
    states = sorted({r.experiment["state"] for records in repeated.values() for r in records})
    tables = {}
    for state in states:
        of_state = {
            name: [r for r in records if r.experiment["state"] == state]
            for name, records in repeated.items()
        }
        compared = compare(of_state, base)
        tables[f"state {state}"] = compared[["mae", "difference", "from", "to"]]
    return pd.concat(tables, axis=1)


def _run(record: Record) -> tuple[int | None, int]:
    return record.experiment["fold"], record.experiment["state"]


def _mean(values: pd.Series, names: Sequence[str]) -> dict[str, float]:
    """Return the mean and the ends of its interval, under names of one's own."""
    found = mean_intervals(values.to_numpy()).loc["all", ["value", "low", "high"]]
    return dict(zip(names, found, strict=True))
