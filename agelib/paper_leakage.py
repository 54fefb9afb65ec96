"""What the paper says of splits: what copies on both sides are worth, and what a split flatters."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from agelib import leakage, reference
from agelib.experiment import Experiment
from agelib.files import DataError
from agelib.intervals import mean_intervals
from agelib.lab import Lab
from agelib.paper_text import count, listed, percent, told_apart, with_ends
from agelib.records import Record

# Protocols that chapter 19 trains under, with what the paper calls them.
_SPLITS = {
    "p1-decades": "P1",
    "p2-random": "P2",
    "utkface-5000": "P5",
    "utkface-random": "at random",
    "utkface-random-apart": "copies apart",
}
_PAIR = ("utkface-random", "utkface-random-apart")
_STATES = dict.fromkeys(_PAIR, 2)


def split_tables(lab: Lab) -> tuple[dict[str, pd.DataFrame], Record]:
    """Return the errors under each split of chapter 19, ours last, and the record of ours.

    Parameters
    ----------
    lab : Lab
        An open data set with the chapter's records.

    Returns
    -------
    tables : dict of str to DataFrame
        By protocol, from `agelib.leakage.scored`.
    record : Record
        Of the same network under the honest folds.

    Raises
    ------
    DataError
        If a record is missing.
    """
    quick, tables = reference.quick(lab), {}
    for name in _SPLITS:
        runs = quick.on(name).over_states(_STATES.get(name, 1))
        tables[name] = leakage.scored(_records(lab, runs), lab.catalog, lab.split(name))
    (ours,) = _records(lab, [quick])
    folds = lab.split(quick.protocol, quick.fold)
    return tables | {lab.five_fold: leakage.scored([ours], lab.catalog, folds)}, ours


def _records(lab: Lab, experiments: Iterable[Experiment]) -> list[Record]:
    """Return records that are there; a paper trains nothing."""
    experiments = list(experiments)
    for experiment in experiments:
        if not lab.has_record(experiment):
            raise DataError(
                f"{experiment.slug}: there is no record; run {experiment.chapter} first"
            )
    return lab.records(experiments)


def _by_state(lab: Lab) -> list[str]:
    """Return what copies change on the images that have one, for each random state by itself."""
    runs = [_records(lab, reference.quick(lab).on(n).over_states(_STATES[n])) for n in _PAIR]
    splits, changes = [lab.split(name) for name in _PAIR], []
    for records in zip(*runs, strict=True):
        pair = (leakage.scored([r], lab.catalog, s) for r, s in zip(records, splits, strict=True))
        change = leakage.worth(*pair).loc["with a twin", "change"]
        changes.append(f"{change:.2f}".replace("-", "−"))
    return changes


def flattery(lab: Lab, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return `agelib.leakage.flattery` of the other splits, named as in the paper.

    Parameters
    ----------
    lab : Lab
        An open data set.
    tables : dict of str to DataFrame
        From `split_tables`.
    """
    found = leakage.flattery(tables, lab.five_fold).drop(index=lab.five_fold)
    return found.rename(index=_SPLITS)


def leakage_values(lab: Lab, tables: dict[str, pd.DataFrame], ours: Record) -> dict[str, str]:
    """Return, by name, what copies and splits are worth; all but ``lab`` is from `split_tables`."""
    worth = leakage.worth(*(tables[name] for name in _PAIR))
    table = tables["utkface-random"]
    twin, changed = table[table["twin"]], worth.loc["with a twin"]
    copying = mean_intervals(twin["copying"], clusters=twin["cluster"]).loc["all"]
    others = flattery(lab, tables)
    own = others["same ages"].notna()
    share = table["twin"].mean()
    diluted = f"{share * changed['change']:.2f}".replace("-", "−")
    return {
        "leak.pixels": count(ours.experiment["image_size"]),
        "leak.epochs": count(ours.experiment["recipe"]["epochs"]),
        "leak.states": count(_STATES["utkface-random"]),
        "leak.n": count(changed["n"]),
        "leak.share": percent(share),
        "leak.apart": f"{changed['apart']:.2f}",
        "leak.with": f"{changed['with copies']:.2f}",
        "leak.twins": with_ends(changed, value="change"),
        "leak.twins_by_state": listed(_by_state(lab)),
        "leak.twins_words": told_apart(changed, "help", "harm", "do nothing that is clear"),
        "leak.rest": with_ends(worth.loc["without"], value="change"),
        "leak.all": with_ends(worth.loc["all"], value="change"),
        "leak.diluted": diluted,
        "leak.copying": with_ends(copying),
        "leak.flattering": listed(others.index[own & (others["same ages high"] < 0)]),
        "leak.harder": listed(others.index[own & (others["same ages low"] > 0)]),
    }
