"""Calibration of an age distribution, conformal intervals, and what abstaining would bring.

A distribution over years is an array (n, 101): one probability a year from 0 to 100. The true age
is a whole year in the same range (older people count as 100, as in training).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.bootstrap import Score, bootstrap, indicator
from agelib.files import DataError
from agelib.intervals import codes
from agelib.readoff import YEARS

SCORES = ("fixed", "scaled", "distribution")


def distributions(predictions: pd.DataFrame) -> np.ndarray:
    """Return the age distributions of predictions, each divided by its sum.

    Parameters
    ----------
    predictions : DataFrame
        ``p0`` to ``p100``, as a record with labels ``per-year-101`` has them.

    Returns
    -------
    ndarray of float64, shape (n, 101)

    Raises
    ------
    DataError
        If a year is missing or a row has no probability at all.
    """
    columns = [f"p{year}" for year in range(YEARS)]
    missing = [name for name in columns if name not in predictions]
    if missing:
        raise DataError(
            f"the predictions lack {len(missing)} of the {YEARS} years, first {missing[0]}; use a "
            "record with labels per-year-101"
        )
    years = predictions[columns].to_numpy(np.float64)
    total = years.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise DataError(f"row {int((total <= 0).argmax())} of the predictions has no probability")
    return years / total


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
    return spread.clip(0, 1)


def pit_histogram(
    years: np.ndarray, true: np.ndarray, *, bins: int = 10, resamples: int = 1000, state: int = 0
) -> pd.DataFrame:
    """Return the histogram of the probability integral transform with 95 % intervals.

    Returns
    -------
    DataFrame
        One row a bin: ``left``, ``right``, ``share`` (of images; 1 / bins when calibrated),
        ``low``, ``high``. High outer bins mean too narrow distributions, a slope means a bias.
    """
    edges = np.linspace(0, 1, bins + 1)
    shares = np.diff(pit_shares(years, true, edges), axis=1)
    value, low, high = _means(shares, resamples, state)
    ends = {"left": edges[:-1], "right": edges[1:]}
    return pd.DataFrame(ends | {"share": value, "low": low, "high": high})


def central_coverage(
    years: np.ndarray,
    true: np.ndarray,
    levels: Sequence[float] = tuple(np.arange(0.1, 1, 0.1).round(1)),
    *,
    resamples: int = 1000,
    state: int = 0,
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
    value, low, high = _means(inside, resamples, state)
    table = {"level": levels, "coverage": value, "low": low, "high": high, "n": len(true)}
    return pd.DataFrame(table)


def _means(values: np.ndarray, resamples: int, state: int):
    def score(weights: np.ndarray) -> np.ndarray:
        return values.T @ weights.astype(np.float64) / len(values)

    return bootstrap(score, len(values), resamples=resamples, state=state)


def standard_deviation(years: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each distribution, in years, (n,)."""
    grid = np.arange(years.shape[1])
    mean = years @ grid
    return np.sqrt((years @ grid**2 - mean**2).clip(0))


def entropy(years: np.ndarray) -> np.ndarray:
    """Return the entropy of each distribution, in nats, (n,)."""
    logs = np.log(years, out=np.zeros_like(years), where=years > 0)
    return -(years * logs).sum(axis=1)


def nonconformity(years: np.ndarray, kind: str) -> np.ndarray:
    """Return how badly each year would fit each image: the score that conformal sets cut.

    Parameters
    ----------
    years : ndarray of shape (n, 101)
        Age distributions.
    kind : {'fixed', 'scaled', 'distribution'}
        Distance from the expected age in years; the same in standard deviations of the
        distribution (Papadopoulos et al. 2008); distance from the median in probability
        (Chernozhukov, Wuethrich and Zhu 2021).

    Returns
    -------
    ndarray of shape (n, 101)

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    if kind not in SCORES:
        raise ValueError(f"score {kind!r} is unknown; choose one of {', '.join(SCORES)}")
    if kind == "distribution":
        return np.abs(np.cumsum(years, axis=1) - years / 2 - 0.5)
    grid = np.arange(years.shape[1])
    distance = np.abs(grid - (years @ grid)[:, None])
    # A distribution on one year has no width; half a year stands for its rounding.
    return distance if kind == "fixed" else distance / standard_deviation(years).clip(0.5)[:, None]


def conformal_threshold(scores: np.ndarray, level: float) -> float:
    """Return the score below which a new one lies with probability ``level`` at least.

    The ceil((n + 1) level)-th smallest of n scores; infinite when n is too small for the level
    (Vovk, Gammerman and Shafer 2005).
    """
    rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


def halves(folds: np.ndarray, clusters: np.ndarray, *, state: int = 0) -> np.ndarray:
    """Deal the images of each fold into two halves, whole clusters at a time.

    Records keep predictions of test parts only, so each half of a fold calibrates the other: same
    network, images that it has not seen.

    Returns
    -------
    ndarray of str, shape (n,)
        Fold and half, such as ``"0a"``.
    """
    random = np.random.RandomState(state)
    number, names = pd.factorize(np.asarray(clusters), sort=True)
    half = np.array(["a", "b"])[random.permutation(len(names)) % 2][number]
    return np.char.add(np.asarray(folds).astype(str), half)


def conformal_intervals(
    scores: np.ndarray,
    true: np.ndarray,
    parts: np.ndarray,
    *,
    level: float = 0.9,
    known: Sequence | pd.Series | None = None,
    label_groups: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return split-conformal intervals, each half of a fold calibrated on the other.

    Parameters
    ----------
    scores : ndarray of shape (n, 101)
        From `nonconformity`.
    true : ndarray of int, shape (n,)
        True years.
    parts : ndarray of str, shape (n,)
        From `halves`.
    level : float
        Share of true ages to be covered.
    known : sequence of length n, optional
        Group of each image, known without its age: each gets a threshold of its own (Mondrian).
    label_groups : ndarray of int, shape (101,), optional
        Group of each year: each group of true ages gets a threshold of its own, so that each is
        covered (label-conditional). Not together with ``known``.

    Returns
    -------
    DataFrame
        ``lower``, ``upper`` (whole years, both inside; the hull where the set has gaps),
        ``width`` (years inside, 0 when the set is empty) and ``covered``.

    Raises
    ------
    ValueError
        If both kinds of groups are given or a part has no counterpart.
    """
    if known is not None and label_groups is not None:
        raise ValueError("give known groups or groups of years, not both")
    columns = np.zeros(scores.shape[1], int) if label_groups is None else np.asarray(label_groups)
    of_image = np.zeros(len(true), int) if known is None else codes(known)[0]
    own = scores[np.arange(len(true)), true]
    limits = np.empty_like(scores)
    for part in np.unique(parts):
        other = parts == f"{part[:-1]}{'b' if part[-1] == 'a' else 'a'}"
        if not other.any():
            raise ValueError(f"part {part!r} has no counterpart to calibrate it")
        for group in np.unique(of_image):
            here = (parts == part) & (of_image == group)
            for years in np.unique(columns):
                calibration = other & (of_image == group) & (columns[true] == years)
                limit = conformal_threshold(own[calibration], level)
                limits[np.ix_(here, columns == years)] = limit
    inside = scores <= limits
    empty = ~inside.any(axis=1)
    lower = np.where(empty, -1, inside.argmax(axis=1))
    upper = np.where(empty, -1, scores.shape[1] - 1 - inside[:, ::-1].argmax(axis=1))
    width = np.where(empty, 0, upper - lower + 1)
    covered = (lower <= true) & (true <= upper)
    return pd.DataFrame({"lower": lower, "upper": upper, "width": width, "covered": covered})


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
    """
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
    """
    order = np.argsort(uncertainty, kind="stable")
    _, ties = np.unique(uncertainty[order], return_inverse=True)
    by_level = indicator(ties, int(ties.max()) + 1).astype(np.float64)
    sums = by_level.multiply(errors[order]).tocsr()

    def score(weights: np.ndarray) -> np.ndarray:
        drawn = weights[order].astype(np.float64)
        size, total = by_level @ drawn, sums @ drawn
        answered, lost = np.cumsum(size, axis=0), np.cumsum(total, axis=0)
        # Images of equal uncertainty are answered together or not at all.
        risk = np.divide(lost, answered, out=np.zeros_like(lost), where=answered > 0)
        return ((risk * size).sum(axis=0) / len(errors))[None]

    return score


def abstention_table(
    errors: np.ndarray,
    uncertainties: dict[str, np.ndarray],
    *,
    coverages: Sequence[float] = (1.0, 0.9, 0.7, 0.5),
    resamples: int = 1000,
    state: int = 0,
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
    """
    n = len(errors)
    ways = {"none": np.zeros(n), **uncertainties, "the error itself": errors}
    rows = {}
    for name, uncertainty in ways.items():
        risk = risk_coverage(errors, uncertainty)["risk"].to_numpy()
        row = {f"{share:.0%} answered": risk[max(1, round(share * n)) - 1] for share in coverages}
        score = aurc_score(errors, uncertainty)
        value, low, high = bootstrap(score, n, resamples=resamples, state=state)
        rows[name] = row | {"aurc": value[0], "low": low[0], "high": high[0]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("uncertainty")
