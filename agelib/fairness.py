"""Who is estimated worse: cells with intervals, gaps with permutation tests, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.bootstrap import bootstrap, indicator
from agelib.intervals import codes, holm, mean_intervals

SMALL = 30
_FEWEST = 5  # of fewer a bootstrap draws the same few images again and again
_Z2 = 1.96**2
_GAPS = ("gap", "low", "high", "p", "p holm", "n")


def measures(subject: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what is compared between groups, one value an image each.

    Parameters
    ----------
    subject : DataFrame
        From `agelib.reference.subject`.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        ``mae``: absolute error in years; ``bias``: expected minus true age in years;
        ``gender accuracy``: 1 where the gender is right, else 0.
    """
    error = subject["error"].to_numpy(np.float64)
    right = subject["gender_right"].to_numpy(np.float64)
    return {"mae": np.abs(error), "bias": error, "gender accuracy": right}


def cells(subject: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return every measure of every combination of groups, with intervals and n.

    Parameters
    ----------
    subject : DataFrame
        From `agelib.reference.subject`.
    by : sequence of str
        Its columns whose combinations make the cells, such as race, gender and age group.

    Returns
    -------
    DataFrame
        Indexed by ``by``; for each measure ``<measure>``, ``<measure> low`` and ``<measure>
        high`` (95 % interval, missing below 5 images); ``n``, and ``small``: fewer than 30
        images, from which little follows. Images without one of the labels are left out, and so
        are empty cells.

    Notes
    -----
    Percentile bootstrap. Where the gender is right in all images or in none, every draw would be
    the same: the interval is Wilson's (1927) there.
    """
    known = subject.dropna(subset=list(by))
    groups = known.groupby(list(by), observed=True)
    number = groups.ngroup().to_numpy()
    names = groups.size()
    table = pd.DataFrame(index=names.index)
    for name, values in measures(known).items():
        found = mean_intervals(values, number)
        if name == "gender accuracy":
            value, n = found["value"], found["n"]
            found["low"] = found["low"].mask(value == 1, n / (n + _Z2))
            found["high"] = found["high"].mask(value == 0, _Z2 / (n + _Z2))
        for column, end in (("value", ""), ("low", " low"), ("high", " high")):
            enough = (found["n"] >= _FEWEST) | (column == "value")
            table[f"{name}{end}"] = found[column].where(enough).to_numpy()
    return table.assign(n=names.to_numpy(), small=names.to_numpy() < SMALL)


def cell_text(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a measure of `cells` as text, the last grouping along the columns.

    Returns
    -------
    DataFrame
        ``value [low, high], n = …`` in each cell, in brackets where the cell is small.
    """
    digits = 3 if measure == "gender accuracy" else 1
    columns = [measure, f"{measure} low", f"{measure} high", "n", "small"]
    texts = []
    for value, low, high, n, small in table[columns].itertuples(index=False):
        ends = "" if n < _FEWEST else f" [{low:.{digits}f}, {high:.{digits}f}]"
        text = f"{value:.{digits}f}{ends}, n = {n}"
        texts.append(f"({text})" if small else text)
    return pd.Series(texts, index=table.index).unstack(fill_value="")


def balanced(subject: pd.DataFrame, by: Sequence[str], *, resamples: int = 1000) -> pd.DataFrame:
    """Return each measure as it would be if every combination of groups were as frequent.

    Parameters
    ----------
    subject : DataFrame
        From `agelib.reference.subject`.
    by : sequence of str
        Columns with the groups that are combined; images without one are left out.
    resamples : int
        Number of bootstrap samples.

    Returns
    -------
    DataFrame
        Indexed by measure: ``as they are`` (mean over images), ``balanced`` (mean over cells)
        with ``low`` and ``high`` (95 % interval), and ``cells`` (those with 30 images or more,
        which alone count).

    Raises
    ------
    ValueError
        If no combination has 30 images.
    """
    known = subject.dropna(subset=list(by))
    size = known.groupby(list(by), observed=True)["error"].transform("size")
    known = known[size >= SMALL]
    if known.empty:
        raise ValueError(f"no combination of {', '.join(by)} has {SMALL} images")
    number = known.groupby(list(by), observed=True).ngroup().to_numpy()
    members = indicator(number, int(number.max()) + 1).astype(np.float64)
    rows = {}
    for name, values in measures(known).items():
        sums = members.multiply(values).tocsr()

        def score(weights: np.ndarray, sums=sums) -> np.ndarray:
            weights = weights.astype(np.float64)
            total, count = sums @ weights, members @ weights
            means = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
            return np.nanmean(means, axis=0)[None]

        ends = bootstrap(score, len(known), resamples=resamples)
        row = dict(zip(("balanced", "low", "high"), (end[0] for end in ends), strict=True))
        rows[name] = {"as they are": values.mean()} | row | {"cells": members.shape[0]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("measure")


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
    low, high = np.where(compared >= _FEWEST, [low, high], np.nan)
    size = np.bincount(number, minlength=len(names))
    table = dict(zip(_GAPS, (value, low, high, p, holm(p), size), strict=True))
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
        One of `measures`.
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
    rows = rows or [pd.DataFrame(columns=[*names, *_GAPS], dtype=float)]
    table = pd.concat(rows).set_index(names)
    table["p holm"] = holm(table["p"].to_numpy())
    return table.assign(clear=np.where(table["p holm"] < 0.05, "yes", "no"))


def compared(before: pd.DataFrame, after: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return how each measure changes in each group from one network to another, paired by image.

    Parameters
    ----------
    before, after : DataFrame
        From `agelib.reference.subject`, of the same test images.
    by : str
        Their column with the groups.

    Returns
    -------
    DataFrame
        Indexed by ``measure`` and ``group``: means ``before`` and ``after``, ``change`` with
        ``low`` and ``high`` (95 % interval over the same images) and ``n``.

    Raises
    ------
    ValueError
        If the images are not the same.
    """
    if before["file"].tolist() != after["file"].tolist():
        raise ValueError("the two networks were tested on different images; give the same folds")
    old, new = measures(before), measures(after)
    parts = {}
    for name in old:
        change = mean_intervals(new[name] - old[name], before[by])
        means = {
            label: pd.Series(values[name]).groupby(before[by].to_numpy(), observed=True).mean()
            for label, values in (("before", old), ("after", new))
        }
        parts[name] = pd.DataFrame(means).join(change.rename(columns={"value": "change"}))
    return pd.concat(parts, names=["measure", "group"])
