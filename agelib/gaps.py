"""How far a group's mean is from that of all others: tested by permutation, corrected by Holm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.bootstrap import bootstrap, indicator
from agelib.fairness import FEWEST, measures
from agelib.intervals import codes, holm

_COLUMNS = ("gap", "low", "high", "p", "p holm", "n")


def gaps(
    values: np.ndarray,
    groups: Sequence | pd.Series,
    strata: Sequence | pd.Series | None = None,
    *,
    permutations: int = 4000,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Return how far each group's mean is from that of all others, tested by permutation.

    Parameters
    ----------
    values : ndarray of shape (n,)
        One value an image.
    groups : sequence of length n
        Group of each image; images without one are left out.
    strata : sequence of length n, optional
        Compare like with like: differences are taken within each stratum, such as an age group,
        and averaged with the group's own shares; labels are exchanged within strata only.
    permutations, resamples : int
        Number of permutations and of bootstrap samples.

    Returns
    -------
    DataFrame
        Indexed by group: ``gap`` (group minus the others), ``low``, ``high`` (95 % bootstrap
        interval, missing where the group or the others have fewer than 5 images to compare),
        ``p`` (two-sided), ``p holm`` (corrected for the groups compared here), ``n``.

    Raises
    ------
    ValueError
        If fewer than two groups have an image with a stratum.

    Notes
    -----
    ``p = (1 + number of permutations at least as far from zero) / (1 + permutations)``
    (Phipson and Smyth 2010), so its smallest value is ``1 / (1 + permutations)``. A group of
    which no stratum has others to compare with has a missing gap.
    """
    number, names = codes(groups)
    stratum = np.zeros(len(number), np.int64) if strata is None else codes(strata)[0]
    taken = (number >= 0) & (stratum >= 0)
    values, number, stratum = np.asarray(values, np.float64)[taken], number[taken], stratum[taken]
    if len(there := np.unique(number)) < 2:
        raise ValueError(f"there are only images of {list(names[there])}; a gap needs two groups")
    shape = (len(names), int(stratum.max()) + 1)
    cells_of = indicator(number * shape[1] + stratum, shape[0] * shape[1]).astype(np.float64)
    sums_of = cells_of.multiply(values).tocsr()

    def score(weights: np.ndarray) -> np.ndarray:
        weights = weights.astype(np.float64)
        return _gaps(
            (sums_of @ weights).reshape(*shape, -1), (cells_of @ weights).reshape(*shape, -1)
        )

    value, low, high = bootstrap(score, len(values), resamples=resamples)
    counts = np.bincount(number * shape[1] + stratum, minlength=shape[0] * shape[1])
    counts = counts.reshape(*shape, 1).astype(np.float64)
    further = np.zeros(len(names))
    for exchanged in _permuted(values, stratum, permutations):
        drawn = _gaps((cells_of @ exchanged).reshape(*shape, -1), counts)
        # Sums in another order differ in the last digits: equal counts as far.
        further += (np.abs(drawn) >= np.abs(value)[:, None] - 1e-12).sum(axis=1)
    p = np.where(np.isnan(value), np.nan, (1 + further) / (1 + permutations))
    compared = np.minimum(counts, counts.sum(axis=0) - counts).sum(axis=(1, 2))
    low, high = np.where(compared >= FEWEST, [low, high], np.nan)
    size = np.bincount(number, minlength=len(names))
    table = dict(zip(_COLUMNS, (value, low, high, p, holm(p), size), strict=True))
    return pd.DataFrame(table, index=pd.Index(names, name="group"))


def _gaps(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return gaps (groups, b) from sums and counts by group, stratum and resample."""
    other_sums, other_counts = sums.sum(axis=0) - sums, counts.sum(axis=0) - counts
    both = (counts > 0) & (other_counts > 0)
    own = np.divide(sums, counts, out=np.zeros_like(sums), where=both)
    others = np.divide(other_sums, other_counts, out=np.zeros_like(sums), where=both)
    weights = np.where(both, counts, 0)
    total = weights.sum(axis=1)
    gap = ((own - others) * weights).sum(axis=1)
    return np.divide(gap, total, out=np.full_like(gap, np.nan), where=total > 0)


def _permuted(values: np.ndarray, stratum: np.ndarray, permutations: int):
    """Yield blocks (n, b) of the values exchanged within strata."""
    random = np.random.default_rng(0)
    order = np.argsort(stratum, kind="stable")
    ends = np.flatnonzero(np.diff(stratum[order])) + 1
    block = max(1, min(permutations, 2_000_000 // len(values)))
    for start in range(0, permutations, block):
        b = min(block, permutations - start)
        out = np.empty((len(values), b))
        for rows in np.split(order, ends):
            out[rows] = random.permuted(np.tile(values[rows], (b, 1)), axis=1).T
        yield out


def gaps_by_stratum(subject: pd.DataFrame, measure: str, by: str, strata: str) -> pd.DataFrame:
    """Return the gaps of a measure between groups in each stratum alone; a mean can hide a turn.

    Parameters
    ----------
    subject : DataFrame
        From `agelib.reference.subject`.
    measure : str
        One of :func:`agelib.fairness.measures`.
    by, strata : str
        Columns with the groups, and with what they are compared within, such as the age group.

    Returns
    -------
    DataFrame
        Indexed by stratum and group: ``gap``, ``low``, ``high`` and ``n`` as in `gaps`, without a
        test. A stratum of a single group is left out.
    """
    tables = {
        stratum: gaps(measures(part)[measure], part[by], permutations=1).drop(
            columns=["p", "p holm"]
        )
        for stratum, part in subject.groupby(strata, observed=True)
        if part[by].nunique() > 1
    }
    if not tables:
        return pd.DataFrame(columns=["gap", "low", "high", "n"])
    return pd.concat(tables, names=[strata, by])


def gap_table(
    subject: pd.DataFrame, attributes: Sequence[str], *, strata: str | None = None
) -> pd.DataFrame:
    """Return the gaps of all measures between the groups of several attributes, corrected as one.

    Parameters
    ----------
    subject : DataFrame
        From `agelib.reference.subject`.
    attributes : sequence of str
        Its columns, such as gender and race. Of an attribute with two groups only the first is
        listed, since the second mirrors it, unless they are compared within strata, where each
        group goes by its own share of the strata. One of a single group has no gap: left out.
    strata : str, optional
        Its column within which the groups are compared.

    Returns
    -------
    DataFrame
        Indexed by ``measure``, ``attribute`` and ``group``: the columns of `gaps`, ``p holm``
        corrected for all rows together, and ``clear``: below 0.05. Without a gap it has no row.
    """
    rows = []
    within = subject[strata] if strata else None
    for name, values in measures(subject).items():
        for attribute in (each for each in attributes if subject[each].nunique() > 1):
            table = gaps(values, subject[attribute], within)
            table = table.iloc[:1] if len(table) == 2 and strata is None else table
            rows.append(table.assign(measure=name, attribute=attribute).reset_index())
    names = ["measure", "attribute", "group"]
    rows = rows or [pd.DataFrame(columns=[*names, *_COLUMNS], dtype=float)]
    table = pd.concat(rows).set_index(names)
    table["p holm"] = holm(table["p"].to_numpy())
    return table.assign(clear=np.where(table["p holm"] < 0.05, "yes", "no"))
