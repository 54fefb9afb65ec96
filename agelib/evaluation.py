"""Metrics of predictions, each with a bootstrap interval over images.

Every function takes the predictions of a test part: one row per image with ``file`` and

- classification: ``true``, ``predicted`` (classes 0..k-1), probabilities ``p0`` .. ``p{k-1}``,
  and where the classes stand for years also ``age`` and ``expected_age``;
- regression: ``age`` and ``predicted`` in years;
- and where gender is estimated too, ``female`` (0 or 1, as annotated) and ``p_female``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from agelib.bootstrap import (
    AGE_METRICS,
    CONFUSION_METRICS,
    GENDER_METRICS,
    Score,
    age_score,
    auc_score,
    bootstrap,
    confusion_score,
    log_loss_score,
    share_score,
)
from agelib.checks import (
    checked,
    estimate_column,
    probability_columns,
    refuse_other_classes,
    refuse_other_images,
    refuse_repeats,
)
from agelib.files import DataError

_TRUTH = dict.fromkeys(AGE_METRICS, "age") | dict.fromkeys(GENDER_METRICS, "female")
METRICS = (*CONFUSION_METRICS, "roc_auc", "log_loss", *AGE_METRICS, *GENDER_METRICS)


def evaluate(
    predictions: pd.DataFrame,
    *,
    kind: str,
    n_classes: int | None = None,
    resamples: int = 1000,
    state: int = 0,
    metrics: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compute the metrics of a test part with percentile bootstrap 95 % intervals.

    Parameters
    ----------
    predictions : DataFrame
        One row per image, see the module's head. The order of rows does not matter.
    kind : {"classification", "regression"}
        Kind of the label scheme.
    n_classes : int, optional
        Number of classes; by default the number of probability columns.
    resamples : int
        Number of bootstrap samples.
    state : int
        Random state of the bootstrap.
    metrics : sequence of str, optional
        Metrics to compute; all that apply by default.

    Returns
    -------
    DataFrame
        Indexed by ``metric``; columns ``value``, ``low``, ``high`` and ``n`` (images).
        Errors are in years, ``log_loss`` in nats, the rest are shares of one.

    Raises
    ------
    DataError
        If a column is missing, the test part is empty, a file occurs twice, a label lies
        outside 0..k-1, a number is missing or probabilities do not sum to one.
    ValueError
        If ``kind`` or a metric is unknown or does not apply.

    Notes
    -----
    Values equal scikit-learn's. Precision, recall and F1 run over the classes that occur
    in the truth or among the predictions; a quotient with denominator zero counts as 0
    (``zero_division=0``). ``one_off_accuracy`` accepts the neighbouring classes (Levi and
    Hassner 2015). ``roc_auc`` is the mean one-against-rest area over the classes that
    occur, left out when only one does. For ``log_loss`` the rounded probabilities are raised to
    5e-6 where they are smaller and each row is divided by its sum. ``median_error`` is the
    median absolute error and ``cs5`` the share of absolute errors of at most five years.

    Single images are drawn. Where a test part shows persons on many images each, as Adience's,
    IMDB's and FG-NET's do, intervals are too narrow; there, draw persons with
    :func:`agelib.intervals.mean_intervals`.
    """
    frame = checked(predictions, kind=kind, n_classes=n_classes)
    scores = _scores(frame, kind=kind, metrics=metrics)

    def score(weights: np.ndarray) -> np.ndarray:
        return np.concatenate([part(weights) for part in scores.values()])

    value, low, high = bootstrap(score, len(frame), resamples=resamples, state=state)
    names = [name for part in scores for name in part]
    table = pd.DataFrame(
        {"value": value, "low": low, "high": high, "n": len(frame)},
        index=pd.Index(names, name="metric"),
    )
    return table.loc[list(metrics or names)].dropna(subset="value")


def paired_difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    metric: str,
    kind: str,
    n_classes: int | None = None,
    resamples: int = 1000,
    state: int = 0,
) -> dict[str, float | int]:
    """Compare two models on the same images: the metric of ``a`` minus that of ``b``.

    Parameters
    ----------
    a, b : DataFrame
        Predictions for the same files, in any order.
    metric : str
        One of ``METRICS``.
    kind : {"classification", "regression"}
        Kind of both. With ``"regression"`` a per-year classification takes part by its
        column ``expected_age``.
    n_classes, resamples, state
        As in `evaluate`.

    Returns
    -------
    dict
        ``value``, ``low``, ``high`` (percentile bootstrap 95 % interval, both models
        scored on the same resampled images) and ``n``.

    Raises
    ------
    DataError
        If the file sets or the classes differ, if the two disagree about the truth that the
        metric is of, and as in `evaluate`.
    ValueError
        If the metric is unknown or does not apply.
    """
    first = checked(a, kind=kind, n_classes=n_classes)
    second = checked(b, kind=kind, n_classes=n_classes)
    ((_, of_a),) = _scores(first, kind=kind, metrics=[metric]).items()
    ((names, of_b),) = _scores(second, kind=kind, metrics=[metric]).items()
    refuse_other_images(first, second, truth=_TRUTH.get(metric, "true"))
    if kind == "classification":
        refuse_other_classes(first, second)
    row = names.index(metric)

    def difference(weights: np.ndarray) -> np.ndarray:
        return (of_a(weights) - of_b(weights))[row : row + 1]

    columns = bootstrap(difference, len(first), resamples=resamples, state=state)
    value, low, high = (float(column[0]) for column in columns)
    return {"value": value, "low": low, "high": high, "n": len(first)}


def pooled(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join the predictions of several folds' test parts into one table.

    Parameters
    ----------
    parts : iterable of DataFrame
        Predictions with the same columns.

    Returns
    -------
    DataFrame
        All rows sorted by ``file``, every image once.

    Raises
    ------
    DataError
        If there is no part, the columns differ or an image occurs more than once.
    """
    parts = list(parts)
    if not parts:
        raise DataError("There are no predictions to pool; train at least one fold first.")
    for number, part in enumerate(parts):
        if list(part.columns) != list(parts[0].columns):
            odd = sorted(set(part.columns) ^ set(parts[0].columns))
            raise DataError(
                f"Predictions {number} have other columns than the first (differing: "
                f"{', '.join(odd) or 'their order'}); pool folds of one experiment only."
            )
    joined = pd.concat(parts, ignore_index=True)
    refuse_repeats(joined)
    return joined.sort_values("file", kind="stable", ignore_index=True)


def _scores(
    frame: pd.DataFrame, *, kind: str, metrics: Sequence[str] | None
) -> dict[tuple[str, ...], Score]:
    """Return the scores that give ``metrics`` (default: all), keyed by what each gives."""
    builders: dict[tuple[str, ...], Callable[[], Score]] = {}
    if kind == "classification":
        true, predicted = frame["true"].to_numpy(), frame["predicted"].to_numpy()
        probabilities = frame[probability_columns(frame)].to_numpy(np.float64)
        k = probabilities.shape[1]
        builders[CONFUSION_METRICS] = lambda: confusion_score(true, predicted, k)
        builders[("roc_auc",)] = lambda: auc_score(true, probabilities)
        builders[("log_loss",)] = lambda: log_loss_score(true, probabilities)
    estimate = estimate_column(frame, kind)
    if estimate:
        errors = np.abs(frame[estimate].to_numpy() - frame["age"].to_numpy())
        builders[AGE_METRICS] = lambda: age_score(errors)
    if "p_female" in frame.columns:
        right = (frame["p_female"] > 0.5).to_numpy() == frame["female"].to_numpy(bool)
        builders[GENDER_METRICS] = lambda: share_score(right)
    known = [name for names in builders for name in names]
    for metric in metrics or ():
        if metric not in known:
            raise ValueError(
                f"Metric {metric!r} does not apply to these predictions ({kind}); choose from "
                f"{', '.join(known)}."
            )
    wanted = set(metrics or known)
    return {names: build() for names, build in builders.items() if wanted & set(names)}
