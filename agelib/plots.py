"""Figures: learning curves, and by import those of data, networks and test results.

Every function draws on the given Axes or on a new figure and returns the Axes; none shows or
saves. Titles say n, axes their unit. Call `use_style` once, first.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from agelib.plots_data import (
    age_distribution,
    category_bars,
    gender_distribution,
    resolution_scatter,
    sample_grid,
)
from agelib.plots_network import layer_table, network_drawing
from agelib.plots_results import (
    COLOURS,
    axes_or_new,
    error_by_age,
    metric_comparison,
    reported_versus_ours,
    roc_curves,
)
from agelib.plots_summary import sureness_table, truth_given_estimate, what_matters, years_off

__all__ = [
    "age_distribution",
    "category_bars",
    "error_by_age",
    "gender_distribution",
    "layer_table",
    "learning_curves",
    "metric_comparison",
    "network_drawing",
    "reported_versus_ours",
    "resolution_scatter",
    "roc_curves",
    "sample_grid",
    "sureness_table",
    "truth_given_estimate",
    "use_style",
    "what_matters",
    "years_off",
]

_LABELS = {
    "accuracy": "Accuracy (share of images)",
    "loss": "Loss",
    "mae": "Mean absolute error (years)",
}


def use_style() -> None:
    """Apply the collection's look (``agelib.mplstyle``) to every later figure."""
    plt.style.use(Path(__file__).with_name("agelib.mplstyle"))


def learning_curves(
    history: pd.DataFrame, *, metric: str = "accuracy", ax: Axes | None = None
) -> Axes:
    """Draw a metric on the training and validation parts against the epoch.

    The best validation epoch is marked. The overfitting zone is shaded: later epochs where
    the training metric is better both than it was then and than the validation metric. Of a
    single epoch the axis begins at zero, and the legend gives both values.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, index 1-based; columns ``metric`` and ``val_`` + ``metric``.
    metric : str
        "accuracy" (higher is better), "loss" or "mae" (years; lower is better), or such a
        name behind that of a head, as in "age_mae".
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the history is empty or does not have the metric for both parts.

    Notes
    -----
    The shaded gap goes back to P3 (Pyra).
    """
    _require_metric(history, metric)
    ax = axes_or_new(ax)
    epochs = history.index.to_numpy()
    training = history[metric].to_numpy(float)
    validation = history[f"val_{metric}"].to_numpy(float)
    sign = 1 if metric.endswith("accuracy") else -1
    label = _LABELS.get(metric) or metric.replace("_", " ").capitalize()
    name = label.split(" (")[0].lower()
    decimals = 3 if sign > 0 or name.endswith("loss") else 2
    marker = "o" if len(epochs) <= 30 else ""
    for part, values in (("training", training), ("validation", validation)):
        text = part if len(epochs) > 1 else f"{part} {values[0]:.{decimals}f}"
        ax.plot(epochs, values, color=COLOURS[part], marker=marker, label=text)
    if len(epochs) == 1:
        # An axis fitted to two dots makes any difference look large.
        ax.update_datalim([(epochs[0], 0)])
        ax.set_ylim(bottom=0)
    title = f"No finite validation {name}"
    if np.isfinite(validation).any():
        best = int(np.nanargmax(sign * validation))
        title = f"Best validation {name} {validation[best]:.{decimals}f} at epoch {epochs[best]}"
        _mark_best(ax, epochs, training, validation, best=best, sign=sign)
    ax.set_title(f"{title}\nn = {len(epochs)} epoch{'' if len(epochs) == 1 else 's'}")
    ax.set_xlabel("Epoch")
    ax.set_ylabel(label)
    ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.legend()
    return ax


def _require_metric(history: pd.DataFrame, metric: str) -> None:
    if history.empty:
        raise ValueError("the history has no epoch: train the experiment first")
    if {metric, f"val_{metric}"} - set(history.columns):
        known = [c for c in history.columns if f"val_{c}" in history.columns]
        raise ValueError(
            f"metric {metric!r} is not in the history for both parts; choose one of {known}"
        )


def _mark_best(
    ax: Axes,
    epochs: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    *,
    best: int,
    sign: int,
) -> None:
    """Shade the overfitting zone and mark the best validation epoch."""
    over = np.arange(len(epochs)) >= best
    over &= (sign * training >= sign * training[best]) & (sign * training > sign * validation)
    if over[best + 1 :].any():
        ax.fill_between(
            epochs,
            training,
            validation,
            where=over,
            color=COLOURS["unknown"],
            alpha=0.25,
            linewidth=0,
            label="overfitting",
        )
    ax.plot(
        epochs[best],
        validation[best],
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor="black",
        linestyle="none",
        label=f"best epoch ({epochs[best]})",
    )
