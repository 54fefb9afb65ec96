"""Confusion matrices and what follows from them for each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from agelib.plots_results import axes_or_new, images_text

_MOST_ANNOTATED = 20
_SHORT_FROM = 10


def confusion_matrix(predictions: pd.DataFrame, n_classes: int) -> np.ndarray:
    """Count images by true and predicted class.

    Parameters
    ----------
    predictions : DataFrame
        ``true`` and ``predicted``: class numbers 0 … ``n_classes`` - 1. ``predicted`` was
        taken from unrounded probabilities; P3 (Pyra) rounded soft-max outputs to 0 or 1
        first, which sends every image without a majority class to class 0.
    n_classes : int
        Number of classes of the label scheme, also those without an image.

    Returns
    -------
    ndarray of shape (n_classes, n_classes), int64
        Rows true, columns predicted.

    Raises
    ------
    ValueError
        If a column is missing or a class number is out of range.
    """
    true, predicted = _classes(predictions, n_classes)
    flat = np.bincount(true * n_classes + predicted, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def plot_confusion(
    matrix: np.ndarray,
    class_names: Sequence[str],
    *,
    normalize: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix as a heat-map.

    Parameters
    ----------
    matrix : ndarray of shape (k, k), int
        Counts, rows true, columns predicted.
    class_names : sequence of str
        The k names in class order.
    normalize : bool
        Draw each row as shares of its images, so that the diagonal is the recall of each
        class. Rows without images are left grey.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        The title gives the accuracy and n. From ten classes on shares are written as ".05", and
        not at all below 0.005; more than 20 classes are drawn without numbers.

    Raises
    ------
    ValueError
        If the matrix and the names do not fit.
    """
    matrix = np.asarray(matrix)
    k = len(class_names)
    if matrix.shape != (k, k):
        raise ValueError(f"matrix has shape {matrix.shape}, but there are {k} class names")
    total, rows = matrix.sum(), matrix.sum(axis=1, keepdims=True)
    values = np.full((k, k), np.nan)
    np.divide(matrix, rows if normalize else 1, out=values, where=(rows > 0) | (not normalize))
    annotated = k <= _MOST_ANNOTATED
    side = min(7.0, max(3.4, 0.42 * k + 1.2))
    ax = axes_or_new(ax, figsize=(side + 0.8, side))
    sns.heatmap(
        pd.DataFrame(values, list(class_names), list(class_names)),
        ax=ax,
        cmap="Blues",
        vmin=0,
        # Shares with numbers keep one scale, so that matrices of several models compare.
        vmax=1 if normalize and annotated else max(np.nanmax(values, initial=0), 1e-9),
        square=True,
        linewidths=0.5 if annotated else 0,
        annot=_annotations(values, normalize) if annotated else None,
        fmt="",
        annot_kws={"fontsize": 7.5 if k <= 10 else 6},
        xticklabels=max(1, k // 20),
        yticklabels=max(1, k // 20),
        cbar_kws={"label": "Share of the true class" if normalize else "Images", "shrink": 0.8},
    )
    ax.tick_params("y", rotation=0)
    ax.tick_params("x", rotation=0 if k <= 8 else 90)
    if annotated:
        ax.tick_params(length=0)  # a tick beside a number looks like a minus sign
    _grey_empty_rows(ax, values)
    accuracy = f"{np.trace(matrix) / total:.3f}" if total else "undefined"
    kind = "Recall by true class" if normalize else "Confusion matrix"
    ax.set_title(f"{kind}, accuracy {accuracy}\n{images_text(int(total))}")
    ax.set_xlabel("Predicted class")
    ax.set_ylabel("True class")
    return ax


def _annotations(values: np.ndarray, normalize: bool) -> np.ndarray:
    form = "{:.2f}" if normalize else "{:,.0f}"
    texts = [[form.format(v) for v in row] for row in values]
    if normalize and len(values) >= _SHORT_FROM:
        # Whole, the numbers of neighbouring cells would touch.
        texts = [[t.lstrip("0").removesuffix(".00") for t in row] for row in texts]
    return np.array(texts, dtype=object)


def _grey_empty_rows(ax: Axes, values: np.ndarray) -> None:
    """Fill rows without images grey: absent is not the same as zero."""
    for row in np.flatnonzero(np.isnan(values).all(axis=1)):
        ax.axhspan(row, row + 1, color="#e8e8e8", zorder=0)
        ax.text(len(values) / 2, row + 0.5, "no images", ha="center", va="center", fontsize=7)


def _classes(predictions: pd.DataFrame, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    missing = {"true", "predicted"} - set(predictions.columns)
    if missing:
        raise ValueError(
            f"predictions lack {sorted(missing)}: a confusion matrix needs a classification; "
            "turn ages into classes with a label scheme's encode() first"
        )
    both = predictions[["true", "predicted"]].to_numpy()
    bad = both[~np.isin(both, np.arange(n_classes))]
    if bad.size:
        raise ValueError(f"class {bad[0]} is not one of 0 … {n_classes - 1}: another label scheme?")
    both = both.astype(np.int64)
    return both[:, 0], both[:, 1]
