"""Means with bootstrap intervals: of all images or by group, over images or over clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from agelib.bootstrap import Score, bootstrap, indicator


def codes(groups: Sequence | pd.Series | np.ndarray) -> tuple[np.ndarray, pd.Index]:
    """Give each group of images a number: in category order, else in sorted order.

    Parameters
    ----------
    groups : sequence of length n
        Group of each image; a pandas categorical keeps its order and its empty groups out.

    Returns
    -------
    number : ndarray of int, shape (n,)
        -1 where the group is missing.
    names : Index
        Names of the groups that occur, in order.
    """
    groups = pd.Series(groups)
    if isinstance(groups.dtype, pd.CategoricalDtype):
        groups = groups.cat.remove_unused_categories()
        return groups.cat.codes.to_numpy().astype(np.int64), groups.cat.categories
    return pd.factorize(groups, sort=True)


def mean_intervals(
    values: np.ndarray,
    groups: Sequence | pd.Series | None = None,
    *,
    clusters: np.ndarray | None = None,
    resamples: int = 1000,
    state: int = 0,
) -> pd.DataFrame:
    """Return the mean of a value, of all images or by group, with a 95 % bootstrap interval.

    Parameters
    ----------
    values : ndarray of shape (n,)
        One value an image, such as its absolute error.
    groups : sequence of length n, optional
        Group of each image; images without a group do not count.
    clusters : ndarray of shape (n,), optional
        What is drawn as a whole, such as the copies of one photograph; each image when omitted.
    resamples, state : int
        Number of bootstrap samples and their random state.

    Returns
    -------
    DataFrame
        Indexed by ``group`` (``"all"`` without groups): ``value``, ``low``, ``high``, ``n``.
        ``low`` and ``high`` are missing for a single image or cluster, which tells of no spread.

    Raises
    ------
    ValueError
        If there is no image, lengths differ, or a value or a cluster is missing.

    Notes
    -----
    Percentile bootstrap; a group's size varies between resamples, as it would between samples.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0 or values.ndim != 1:
        raise ValueError(f"values have shape {values.shape}; give one number an image, at least 1")
    if np.isnan(values).any():
        raise ValueError(f"{np.isnan(values).sum()} of {n} values are missing; leave them out")
    number, names = codes(["all"] * n if groups is None else groups)
    score, units = _means_score(values, number, len(names), clusters)
    value, *ends = bootstrap(score, units.shape[1], resamples=resamples, state=state)
    low, high = np.where(np.diff(units.indptr) > 1, ends, np.nan)
    size = np.bincount(number[number >= 0], minlength=len(names))
    table = {"value": value, "low": low, "high": high, "n": size}
    return pd.DataFrame(table, index=pd.Index(names, name="group"))


def difference_interval(
    a: np.ndarray,
    b: np.ndarray,
    *,
    clusters: np.ndarray | None = None,
    resamples: int = 1000,
    state: int = 0,
) -> dict[str, float | int]:
    """Return the mean of ``a`` minus that of ``b``, of different images, with a 95 % interval.

    Parameters
    ----------
    a, b : ndarray of shape (n_a,) and (n_b,)
        One value an image.
    clusters : ndarray of shape (n_a + n_b,), optional
        What is drawn as a whole, those of ``a`` first; each image when omitted.
    resamples, state : int
        As in `mean_intervals`.

    Returns
    -------
    dict
        ``value``, ``low``, ``high``, ``n`` (images of ``a``) and ``n_other``. ``low`` and ``high``
        are missing if either is a single image or cluster.

    Raises
    ------
    ValueError
        If either has no image, a value or a cluster is missing, or there are not as many
        clusters as values.
    """
    values = np.concatenate([np.asarray(a, np.float64), np.asarray(b, np.float64)])
    if not len(a) or not len(b):
        raise ValueError(f"there are {len(a)} and {len(b)} images; a difference needs some of both")
    if np.isnan(values).any():
        raise ValueError(f"{np.isnan(values).sum()} of {len(values)} values are missing")
    of_b = (np.arange(len(values)) >= len(a)).astype(np.int64)
    means, units = _means_score(values, of_b, 2, clusters)

    def score(weights: np.ndarray) -> np.ndarray:
        first, second = means(weights)
        return (first - second)[None]

    ends = bootstrap(score, units.shape[1], resamples=resamples, state=state)
    value, low, high = (float(end[0]) for end in ends)
    if np.diff(units.indptr).min() < 2:
        low = high = np.nan
    return {"value": value, "low": low, "high": high, "n": len(a), "n_other": len(b)}


def _means_score(
    values: np.ndarray, number: np.ndarray, k: int, clusters: np.ndarray | None
) -> tuple[Score, sparse.csr_array]:
    """Return the score that gives k group means, and how many images each unit has in each."""
    n = len(values)
    units = np.arange(n) if clusters is None else pd.factorize(np.asarray(clusters))[0]
    if not len(number) == len(units) == n:
        raise ValueError(f"{n} values, {len(number)} groups and {len(units)} clusters: not as many")
    if (units < 0).any():
        raise ValueError(f"{(units < 0).sum()} of {n} images have no cluster; leave them out")
    members = indicator(number, k, rows=number >= 0).astype(np.float64)
    # Sums by group and unit: a block of resamples is then one small product.
    by_unit = indicator(units, int(units.max()) + 1).astype(np.float64).T
    counts, sums = (members @ by_unit).tocsr(), (members.multiply(values) @ by_unit).tocsr()

    def score(weights: np.ndarray) -> np.ndarray:
        weights = weights.astype(np.float64)
        total, size = sums @ weights, counts @ weights
        return np.divide(total, size, out=np.full_like(total, np.nan), where=size > 0)

    return score, counts


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for their number by Holm's step-down method (1979).

    Parameters
    ----------
    p : ndarray of shape (k,)
        Missing values stay missing and are not counted.

    Returns
    -------
    ndarray of shape (k,)
        A corrected value below 0.05 is significant with all tests taken together.
    """
    p = np.asarray(p, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected
