"""The filters of IMDB-WIKI: which rows of its metadata are thrown away, and what each costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class Filter:
    """A reason to leave rows out: its words, and which rows (n,) bool it leaves out."""

    name: str
    removes: Callable[[pd.DataFrame], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Filtered:
    """What filters did.

    Parameters
    ----------
    keep : ndarray of bool, shape (n,)
        The rows that no filter removes.
    reasons : ndarray of str, shape (n,)
        The first filter that removes a row, "" for the kept ones.
    counts : DataFrame
        Indexed by filter, in order: ``removed`` (by this one, of what the earlier ones left),
        ``left`` after it, and ``alone``: what it would remove if it were the only one.
    """

    keep: np.ndarray
    reasons: np.ndarray
    counts: pd.DataFrame


def face_below(score: float) -> Filter:
    """Leave out images whose face the detector is less sure of than ``score``, or without one."""
    return Filter(
        f"face score below {score:g}", lambda rows: ~(rows["face_score"].to_numpy() >= score)
    )


def second_face() -> Filter:
    """Leave out images with a second face: any score above 0 (P4's code)."""
    return Filter("a second face", lambda rows: rows["second_face_score"].to_numpy() > 0)


def no_second_face() -> Filter:
    """Leave out images *without* a second face: a missing or negative score (P4's text)."""
    return Filter("no second face", lambda rows: ~(rows["second_face_score"].to_numpy() >= 0))


def age_outside(youngest: int, oldest: int) -> Filter:
    """Leave out ages below ``youngest``, above ``oldest``, and unknown ones."""
    return Filter(
        f"age outside {youngest} to {oldest}",
        lambda rows: ~rows["age"].between(youngest, oldest).fillna(False).to_numpy(dtype=bool),
    )


def no_gender() -> Filter:
    """Leave out rows without a gender."""
    return Filter("no gender", lambda rows: rows["gender"].isna().to_numpy())


# P4's text contradicts its code: it says that images with a missing second score are deleted,
# which are those with one face, and ages of 0 and 100 as well.
FILTERS: dict[str, tuple[Filter, ...]] = {
    "p4-code": (face_below(1.0), second_face(), age_outside(0, 100), no_gender()),
    "p4-text": (no_gender(), face_below(1.0), no_second_face(), age_outside(1, 99)),
}


def apply_filters(metadata: pd.DataFrame, filters: str | Sequence[Filter]) -> Filtered:
    """Apply filters in their order and count what each removes.

    Parameters
    ----------
    metadata : DataFrame
        From `agelib.datasets.imdb_wiki.read_metadata`, n rows.
    filters : str or sequence of Filter
        A name of ``FILTERS``, or filters of your own.

    Returns
    -------
    Filtered

    Raises
    ------
    ValueError
        When there is no such set of filters.
    """
    if isinstance(filters, str):
        if filters not in FILTERS:
            raise ValueError(f"no filters {filters!r}; choose one of {', '.join(FILTERS)}")
        filters = FILTERS[filters]
    reasons = np.full(len(metadata), "", dtype=object)
    rows = []
    for each in filters:
        removes = each.removes(metadata)
        now = removes & (reasons == "")
        reasons[now] = each.name
        left = int((reasons == "").sum())
        rows.append((each.name, int(now.sum()), left, int(removes.sum())))
    counts = pd.DataFrame(rows, columns=["filter", "removed", "left", "alone"]).set_index("filter")
    return Filtered(reasons == "", reasons, counts)
