"""Who is estimated worse: measures by group and by cell, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.bootstrap import bootstrap, indicator
from agelib.intervals import mean_intervals

SMALL = 30
FEWEST = 5  # of fewer a bootstrap draws the same few images again and again
_Z2 = 1.96**2


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
            enough = (found["n"] >= FEWEST) | (column == "value")
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
        ends = "" if n < FEWEST else f" [{low:.{digits}f}, {high:.{digits}f}]"
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
