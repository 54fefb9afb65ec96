"""Conformal intervals: from any score of how badly a year would fit to intervals that cover.

Each half of a fold's test part calibrates the other, see `halves`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.intervals import codes
from agelib.uncertainty import standard_deviation

SCORES = ("fixed", "scaled", "distribution")


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

    Raises
    ------
    ValueError
        If the level is not between 0 and 1, or a score is no number.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a share between 0 and 1, such as 0.9")
    if not np.isfinite(scores).all():
        bad = (~np.isfinite(scores)).sum()
        raise ValueError(f"{bad} of {len(scores)} scores are no numbers; leave them out")
    rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


def halves(folds: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Deal the images of each fold into two halves, whole clusters at a time.

    Records keep predictions of test parts only, so each half of a fold calibrates the other: same
    network, images that it has not seen.

    Returns
    -------
    ndarray of str, shape (n,)
        Fold and half, such as ``"0a"``.
    """
    random = np.random.RandomState(0)
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
        If both kinds of groups are given or a part has no counterpart, and as in
        `conformal_threshold`.
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
