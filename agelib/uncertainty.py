"""Calibration of an age distribution, and its spread.

A distribution over years is an array (n, 101): one probability a year from 0 to 100. The true age
is a whole year in the same range (older people count as 100, as in training).
`agelib.readoff.year_probabilities` takes such an array from a table of predictions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.bootstrap import bootstrap


def pit_shares(years: np.ndarray, true: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how much of each image's probability integral transform lies below each edge.

    For whole years the transform is not one number but spread evenly from P(age < true) to
    P(age <= true), which keeps a calibrated forecast uniform.

    Parameters
    ----------
    years : ndarray of shape (n, 101)
        Age distributions.
    true : ndarray of int, shape (n,)
        True years, 0 to 100.
    edges : ndarray of shape (k,)
        Levels between 0 and 1.

    Returns
    -------
    ndarray of shape (n, k)
        In 0..1; of a calibrated forecast the means equal ``edges``.

    Notes
    -----
    Czado, Gneiting and Held, *Predictive model assessment for count data* (2009).
    """
    rows = np.arange(len(true))
    own = years[rows, true]
    below = np.cumsum(years, axis=1)[rows, true] - own
    # Where the true year has no probability the transform is one number: a step.
    reached = np.asarray(edges)[None] - below[:, None]
    spread = np.divide(reached, own[:, None], out=np.sign(reached), where=own[:, None] > 0)
    # A true year beyond all probability has a transform of one, which the last bin holds.
    return np.where(np.asarray(edges) >= 1, 1.0, spread.clip(0, 1))


def pit_histogram(years: np.ndarray, true: np.ndarray, *, resamples: int = 1000) -> pd.DataFrame:
    """Return the histogram of the probability integral transform with 95 % intervals.

    Returns
    -------
    DataFrame
        One row for each of ten bins: ``left``, ``right``, ``share`` (of images; a tenth when
        calibrated), ``low``, ``high``. High outer bins mean too narrow distributions, a slope
        means a bias.
    """
    edges = np.linspace(0, 1, 11)
    shares = np.diff(pit_shares(years, true, edges), axis=1)
    value, low, high = _means(shares, resamples)
    ends = {"left": edges[:-1], "right": edges[1:]}
    return pd.DataFrame(ends | {"share": value, "low": low, "high": high})


def central_coverage(
    years: np.ndarray,
    true: np.ndarray,
    levels: Sequence[float] = tuple(np.arange(0.1, 1, 0.1).round(1)),
    *,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Return how many true ages lie in the central intervals that the distributions promise.

    Returns
    -------
    DataFrame
        One row a level: ``level``, ``coverage``, ``low``, ``high`` (95 % interval), ``n``.
    """
    levels = np.asarray(levels, dtype=np.float64)
    ends = pit_shares(years, true, np.concatenate([0.5 + levels / 2, 0.5 - levels / 2]))
    inside = ends[:, : len(levels)] - ends[:, len(levels) :]
    value, low, high = _means(inside, resamples)
    table = {"level": levels, "coverage": value, "low": low, "high": high, "n": len(true)}
    return pd.DataFrame(table)


def _means(values: np.ndarray, resamples: int):
    def score(weights: np.ndarray) -> np.ndarray:
        return values.T @ weights.astype(np.float64) / len(values)

    return bootstrap(score, len(values), resamples=resamples)


def standard_deviation(years: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each distribution, in years, (n,)."""
    grid = np.arange(years.shape[1])
    mean = years @ grid
    return np.sqrt((years @ grid**2 - mean**2).clip(0))


def entropy(years: np.ndarray) -> np.ndarray:
    """Return the entropy of each distribution, in nats, (n,)."""
    logs = np.log(years, out=np.zeros_like(years), where=years > 0)
    return -(years * logs).sum(axis=1)
