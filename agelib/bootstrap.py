"""Bootstrap over images by weights: each resample counts how often an image was drawn.

A metric that can be written with weights is computed for a whole block of resamples at
once, so no image and no probability is ever copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from scipy import sparse

# Weights of shape (n images, b resamples) in, values of shape (m metrics, b) out.
Score = Callable[[np.ndarray], np.ndarray]

# About 2 MB of float32 weights a block: it stays in the processor's cache.
_BLOCK_ELEMENTS = 2**19

# Resamples of up to so many counts of one byte are kept, since one table asks for them many times.
_KEPT_ELEMENTS = 2**25

# Half of the last decimal kept in a record: what a stored 0.00000 can stand for at most.
SMALLEST_PROBABILITY = 5e-6

CONFUSION_METRICS = (
    "accuracy",
    "one_off_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
)
AGE_METRICS = ("mae", "median_error", "cs5", "rmse")
GENDER_METRICS = ("gender_accuracy",)


def weight_blocks(n: int, *, resamples: int, state: int) -> Iterator[np.ndarray]:
    """Draw ``resamples`` bootstrap samples of ``n`` images, in blocks.

    Parameters
    ----------
    n : int
        Number of images, at least 1.
    resamples : int
        Number of bootstrap samples.
    state : int
        Random state; the draws do not depend on the size of the blocks.

    Yields
    ------
    ndarray of float32, shape (n, b)
        Column j holds how often each image was drawn in one resample; it sums to ``n``.
    """
    kept = n * resamples <= _KEPT_ELEMENTS
    for counts in (_kept_counts if kept else _counts)(n, resamples, state):
        yield counts.astype(np.float32)


def _counts(n: int, resamples: int, state: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(state)
    size = max(16, _BLOCK_ELEMENTS // n)
    for start in range(0, resamples, size):
        b = min(size, resamples - start)
        drawn = generator.integers(n, size=(b, n))
        cells = drawn * b + np.arange(b)[:, None]
        # One byte holds any count: 255 draws of one image of many are beyond all odds.
        yield np.bincount(cells.ravel(), minlength=n * b).reshape(n, b).astype(np.uint8)


@lru_cache(maxsize=2)
def _kept_counts(n: int, resamples: int, state: int) -> tuple[np.ndarray, ...]:
    return tuple(_counts(n, resamples, state))


def bootstrap(
    score: Score, n: int, *, resamples: int = 1000, state: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return value and percentile bootstrap 95 % interval of each metric of ``score``.

    Parameters
    ----------
    score : callable
        Takes weights (n, b), returns values (m, b); NaN where a metric is undefined.
    n : int
        Number of images.
    resamples : int
        Number of bootstrap samples, at least 1.
    state : int
        Random state.

    Returns
    -------
    value, low, high : ndarray of float64, shape (m,)
        ``value`` has every weight equal to one. Resamples in which a metric is undefined
        do not enter its interval.

    Raises
    ------
    ValueError
        If ``resamples`` is below 1.

    Notes
    -----
    Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}; 1000 is usual.")
    value = score(np.ones((n, 1), np.float32))[:, 0]
    blocks = weight_blocks(n, resamples=resamples, state=state)
    draws = np.concatenate([score(weights) for weights in blocks], axis=1)
    low, high = np.full((2, len(value)), np.nan)
    for row, values in enumerate(draws):
        defined = values[~np.isnan(values)]
        if len(defined):
            low[row], high[row] = np.percentile(defined, [2.5, 97.5])
    return value, low, high


def indicator(
    classes: np.ndarray, n_classes: int, *, rows: np.ndarray | None = None
) -> sparse.csr_array:
    """Return the sparse matrix (n_classes, n) that sums weights by class.

    Parameters
    ----------
    classes : ndarray of int, shape (n,)
        Class of each image.
    n_classes : int
        Number of classes.
    rows : ndarray of bool, shape (n,), optional
        Images that count; all by default.

    Returns
    -------
    scipy.sparse.csr_array of float32
        Product with float32 weights is exact: counts stay below 2**24.
    """
    columns = np.arange(len(classes)) if rows is None else np.flatnonzero(rows)
    ones = np.ones(len(columns), np.float32)
    return sparse.csr_array((ones, (classes[columns], columns)), shape=(n_classes, len(classes)))


def confusion_score(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> Score:
    """Build the score for `CONFUSION_METRICS`.

    Parameters
    ----------
    true, predicted : ndarray of int, shape (n,)
        Classes 0..n_classes-1.
    n_classes : int
        Number of classes.

    Returns
    -------
    callable
        Weights (n, b) to values (8, b). Means run over the classes that occur in the
        resample, as truth or as prediction; a quotient with denominator zero is 0.
    """
    n = len(true)
    by_truth, by_prediction = indicator(true, n_classes), indicator(predicted, n_classes)
    by_hit = indicator(true, n_classes, rows=true == predicted)
    by_near = indicator(np.zeros(n, int), 1, rows=np.abs(true - predicted) <= 1)

    def score(weights: np.ndarray) -> np.ndarray:
        parts = (by_truth, by_prediction, by_hit, by_near)
        support, assigned, hits, near = ((part @ weights).astype(np.float64) for part in parts)
        each = [_ratio(hits, assigned), _ratio(hits, support), _ratio(2 * hits, support + assigned)]
        present = (support + assigned > 0).sum(axis=0)
        macro = [values.sum(axis=0) / present for values in each]
        weighted = [(values * support).sum(axis=0) / n for values in each]
        return np.stack([hits.sum(axis=0) / n, near[0] / n, *macro, *weighted])

    return score


def log_loss_score(true: np.ndarray, probabilities: np.ndarray) -> Score:
    """Build the score for the mean negative log-likelihood in nats.

    Parameters
    ----------
    true : ndarray of int, shape (n,)
        Class of each image.
    probabilities : ndarray of float64, shape (n, k)
        Probabilities rounded to five decimals: those below 5e-6 are raised to it, then
        each row is divided by its sum.

    Returns
    -------
    callable
        Weights (n, b) to values (1, b).
    """
    raised = probabilities.clip(SMALLEST_PROBABILITY)
    losses = -np.log(raised[np.arange(len(true)), true] / raised.sum(axis=1))
    total = sparse.csr_array(losses[None])
    return lambda weights: total @ weights.astype(np.float64) / len(true)


def age_score(errors: np.ndarray) -> Score:
    """Build the score for `AGE_METRICS`.

    Parameters
    ----------
    errors : ndarray of float64, shape (n,)
        Absolute errors in years.

    Returns
    -------
    callable
        Weights (n, b) to values (4, b).
    """
    n, order = len(errors), np.argsort(errors, kind="stable")
    errors = errors[order]
    # Sparse products use one thread: no waiting on busy machines, the same sums on all.
    moments = sparse.csr_array(np.stack([errors, errors <= 5, errors**2]))

    def score(weights: np.ndarray) -> np.ndarray:
        weights = weights[order]
        mae, cs5, square = moments @ weights.astype(np.float64) / n
        drawn = np.cumsum(weights, axis=0)
        # The median of n drawn values lies between the ranks (n + 1) // 2 and n // 2 + 1.
        middle = [errors[(drawn < rank).sum(axis=0)] for rank in ((n + 1) // 2, n // 2 + 1)]
        return np.stack([mae, np.mean(middle, axis=0), cs5, np.sqrt(square)])

    return score


def share_score(hits: np.ndarray) -> Score:
    """Build the score for the share of images that are hits.

    Parameters
    ----------
    hits : ndarray of bool, shape (n,)
        Which images count.

    Returns
    -------
    callable
        Weights (n, b) to values (1, b).
    """
    counted = sparse.csr_array(hits[None].astype(np.float64))
    return lambda weights: counted @ weights.astype(np.float64) / len(hits)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def auc_score(true: np.ndarray, probabilities: np.ndarray) -> Score:
    """Build the score for the macro one-against-rest area under the ROC curve.

    Parameters
    ----------
    true : ndarray of int, shape (n,)
        Class of each image.
    probabilities : ndarray of float, shape (n, k)
        Class probabilities; ties count one half.

    Returns
    -------
    callable
        Weights (n, b) to values (1, b): the mean over the classes that occur in the
        resample (and are not alone in it), NaN when there is none.

    Notes
    -----
    The area is the chance that a positive outranks a negative. Each class is sorted once:
    its positives' distinct probabilities are levels, and every negative falls just below a
    level or on it. One sparse product then sums the weights of a block by level.
    """
    levels = _Levels(true, probabilities)
    members = indicator(true, probabilities.shape[1])

    def score(weights: np.ndarray) -> np.ndarray:
        positive = (members @ weights).astype(np.float64)
        negative = len(true) - positive
        pairs = positive * negative
        wins = levels.wins(weights)
        area = _ratio(wins, pairs)
        present = (pairs > 0).sum(axis=0)
        mean = np.full(weights.shape[1], np.nan)
        np.divide(area.sum(axis=0), present, out=mean, where=present > 0)
        return mean[None]

    return score


class _Levels:
    """Where the negatives of every class lie among the levels of its positives."""

    def __init__(self, true: np.ndarray, probabilities: np.ndarray) -> None:
        n, k = probabilities.shape
        own, below, tied, owner = [], [], [], []
        for c in range(k):
            values, inverse = np.unique(probabilities[true == c, c], return_inverse=True)
            negatives = np.flatnonzero(true != c)
            place = np.searchsorted(values, probabilities[negatives, c])
            # Negatives above every positive never lose: they are left out.
            negatives, place = negatives[place < len(values)], place[place < len(values)]
            equal = values[place] == probabilities[negatives, c]
            start = len(owner)
            own.append((inverse + start, np.flatnonzero(true == c)))
            below.append((place + start, negatives))
            tied.append((place[equal] + start, negatives[equal]))
            owner.extend([c] * len(values))
        shape = (len(owner), n)
        self.own, self.up_to, self.tied = (_sums(part, shape) for part in (own, below, tied))
        self.owner = indicator(np.asarray(owner), k).astype(np.float64)
        self.first = np.searchsorted(owner, np.arange(k))

    def wins(self, weights: np.ndarray) -> np.ndarray:
        """Return per class the weight of the won pairs, shape (k, b); a tie is half a win."""
        at_level = (self.own @ weights).astype(np.float64)
        total = np.cumsum(self.up_to @ weights, axis=0, dtype=np.float64)
        # The running sum goes on over the classes: take off what came before each one.
        before = np.vstack([np.zeros((1, weights.shape[1])), total])[self.first]
        beaten = self.owner @ (at_level * (total - 0.5 * (self.tied @ weights)))
        return beaten - before * (self.owner @ at_level)


def _sums(parts: list[tuple[np.ndarray, np.ndarray]], shape: tuple[int, int]):
    """Return the sparse float32 matrix with a one at each (row, column) of ``parts``."""
    rows, columns = (np.concatenate(axis) for axis in zip(*parts, strict=True))
    return sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
