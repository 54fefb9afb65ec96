"""Abstention: how the error falls when the least certain images are not answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import digamma

from agelib.bootstrap import Score, bootstrap, indicator


def risk_coverage(errors: np.ndarray, uncertainty: np.ndarray) -> pd.DataFrame:
    """Return the mean error of the surest images against their share.

    Parameters
    ----------
    errors : ndarray of shape (n,)
        Absolute errors in years.
    uncertainty : ndarray of shape (n,)
        Large where the answer should be withheld first. Ties share their mean error.

    Returns
    -------
    DataFrame
        ``coverage`` (share of images answered) and ``risk`` (their mean error), n rows.

    Raises
    ------
    ValueError
        If an error or an uncertainty is no number.
    """
    _refuse_missing(errors, uncertainty)
    order = np.argsort(uncertainty, kind="stable")
    _, ties = np.unique(uncertainty[order], return_inverse=True)
    means = np.bincount(ties, errors[order]) / np.bincount(ties)
    counted = np.arange(1, len(errors) + 1)
    risk = np.cumsum(means[ties]) / counted
    return pd.DataFrame({"coverage": counted / len(errors), "risk": risk})


def aurc_score(errors: np.ndarray, uncertainty: np.ndarray) -> Score:
    """Build the bootstrap score for the area under the risk-coverage curve.

    Returns
    -------
    callable
        Weights (n, b) to values (1, b), in years: the mean over all coverages of the mean error
        of the images answered (Geifman, Uziel and El-Yaniv 2019).

    Raises
    ------
    ValueError
        If an error or an uncertainty is no number.
    """
    _refuse_missing(errors, uncertainty)
    order = np.argsort(uncertainty, kind="stable")
    _, ties = np.unique(uncertainty[order], return_inverse=True)
    by_level = indicator(ties, int(ties.max()) + 1).astype(np.float64)
    sums = by_level.multiply(errors[order]).tocsr()

    def score(weights: np.ndarray) -> np.ndarray:
        drawn = weights[order].astype(np.float64)
        size, total = by_level @ drawn, sums @ drawn
        answered, lost = np.cumsum(size, axis=0), np.cumsum(total, axis=0)
        before, lost_before = answered - size, lost - total
        rate = np.divide(total, size, out=np.zeros_like(total), where=size > 0)
        # Equal doubts come in any order: the sum of (lost_before + rate j) / (before + j) over
        # j = 1..size, by harmonic numbers.
        harmonic = digamma(answered + 1) - digamma(before + 1)
        risks = total + (lost_before - rate * before) * harmonic
        return (risks.sum(axis=0) / len(errors))[None]

    return score


def aurc_difference(errors: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Return the area under the risk-coverage curve of ``a`` minus that of ``b``, paired.

    Parameters
    ----------
    errors : ndarray of shape (n,)
        Absolute errors in years.
    a, b : ndarray of shape (n,)
        Two uncertainties of the same images.

    Returns
    -------
    dict
        ``value``, ``low``, ``high`` (95 % interval over the same resampled images), years.

    Raises
    ------
    ValueError
        If an error or an uncertainty is no number.
    """
    first, second = aurc_score(errors, a), aurc_score(errors, b)

    def score(weights: np.ndarray) -> np.ndarray:
        return first(weights) - second(weights)

    ends = bootstrap(score, len(errors))
    return {name: float(end[0]) for name, end in zip(("value", "low", "high"), ends, strict=True)}


def abstention_table(
    errors: np.ndarray,
    uncertainties: dict[str, np.ndarray],
    *,
    coverages: Sequence[float] = (1.0, 0.9, 0.7, 0.5),
) -> pd.DataFrame:
    """Compare ways to say which images should not be answered.

    Parameters
    ----------
    errors : ndarray of shape (n,)
        Absolute errors in years.
    uncertainties : dict of str to ndarray of shape (n,)
        Large where the answer is withheld first.
    coverages : sequence of float
        Shares of images answered.

    Returns
    -------
    DataFrame
        One row a way, indexed by ``uncertainty``: the mean error at each coverage; ``aurc`` in
        years with ``low`` and ``high`` (95 % interval). Two more rows say what is possible: in
        random order (``none``) and by the errors themselves (``the error itself``).

    Raises
    ------
    ValueError
        If an error or an uncertainty is no number.
    """
    n = len(errors)
    ways = {"none": np.zeros(n), **uncertainties, "the error itself": errors}
    rows = {}
    for name, uncertainty in ways.items():
        risk = risk_coverage(errors, uncertainty)["risk"].to_numpy()
        row = {f"{share:.0%} answered": risk[max(1, round(share * n)) - 1] for share in coverages}
        value, low, high = bootstrap(aurc_score(errors, uncertainty), n)
        rows[name] = row | {"aurc": value[0], "low": low[0], "high": high[0]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("uncertainty")


def _refuse_missing(errors: np.ndarray, uncertainty: np.ndarray) -> None:
    for name, values in (("errors", errors), ("uncertainties", uncertainty)):
        if bad := int((~np.isfinite(values)).sum()):
            raise ValueError(f"{bad} of {len(values)} {name} are no numbers; leave them out")
