"""What the labels themselves are worth: how far they differ on copies of one photograph."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.bootstrap import bootstrap
from agelib.files import DataError


def duplicate_gaps(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return by how much the ages differ of each two copies of a photograph.

    Parameters
    ----------
    catalog : DataFrame
        Cleaned, with ``age``, ``cluster`` and ``usable``.

    Returns
    -------
    DataFrame
        One row for each pair of usable images of a cluster: ``cluster``, ``age`` (the mean of
        the two) and ``gap`` in years.
    """
    copies = catalog.loc[catalog["usable"].to_numpy(dtype=bool), ["cluster", "age"]]
    copies = copies[copies["cluster"].duplicated(keep=False)].astype("int64")
    copies = copies.assign(place=np.arange(len(copies)))
    pairs = copies.merge(copies, on="cluster")
    pairs = pairs[pairs["place_x"] < pairs["place_y"]]
    one, two = pairs["age_x"], pairs["age_y"]
    table = {"cluster": pairs["cluster"], "age": (one + two) / 2, "gap": (one - two).abs()}
    return pd.DataFrame(table).reset_index(drop=True)


def label_floor(catalog: pd.DataFrame, edges: Sequence[int] = (0, 10, 20, 40, 60)) -> pd.DataFrame:
    """Return the mean absolute error that even the true age would have against the labels.

    If the errors of two labels of one photograph are independent and Gaussian, their difference
    is on average the square root of two times as large as one error. Copies whose labels were
    copied along with the image make the floor too low, and what all labels get wrong alike, such
    as that they are apparent ages, does not show at all.

    Parameters
    ----------
    catalog : DataFrame
        As of `duplicate_gaps`.
    edges : sequence of int
        First age of each group, by the mean of the two labels; the last group is open.

    Returns
    -------
    DataFrame
        Indexed by the group's ages and "all": ``gap`` (mean, years), ``floor``, ``low`` and
        ``high`` (95 % bootstrap interval of the floor over clusters, missing with one cluster),
        ``pairs``, ``clusters``.
        Groups without pairs are left out.

    Raises
    ------
    DataError
        If the catalog has no two copies of a photograph.
    """
    gaps = duplicate_gaps(catalog)
    if gaps.empty:
        raise DataError("no photograph is in this catalog twice, so its labels cannot be compared")
    ends = [*(f"{a}-{b - 1}" for a, b in itertools.pairwise(edges)), f"{edges[-1]}+"]
    group = np.searchsorted(np.asarray(edges), gaps["age"], side="right") - 1
    parts = {name: gaps[group == k] for k, name in enumerate(ends)} | {"all": gaps}
    rows = {name: _floor(part) for name, part in parts.items() if len(part)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("age")


def _floor(gaps: pd.DataFrame) -> dict[str, float | int]:
    # Whole clusters are drawn: the pairs of one are not independent.
    clusters = gaps.groupby("cluster")["gap"].agg(["sum", "size"]).to_numpy(float)

    def score(weights: np.ndarray) -> np.ndarray:
        total, pairs = clusters.T @ weights
        return (total / pairs / np.sqrt(2))[None]

    values = bootstrap(score, len(clusters))
    floor, low, high = (float(value[0]) for value in values)
    if len(clusters) < 2:  # which tells of no spread
        low = high = np.nan
    ends = {"floor": floor, "low": low, "high": high}
    return {"gap": gaps["gap"].mean(), **ends, "pairs": len(gaps), "clusters": len(clusters)}
