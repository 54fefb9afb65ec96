"""Figures of a topology search: its trials side by side, and what mattered in them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from agelib.plots_results import COLOURS, axes_or_new
from agelib.trials import HYPERPARAMETERS, search_space

_SPREAD = 0.05  # how far lines with the same choice lie apart, in heights of the figure


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("L2", "L2 penalty")


def _trials(n: int) -> str:
    return f"n = {n:,} trial{'' if n == 1 else 's'}"


def parallel_coordinates(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw each trial as a line through its hyperparameters to its validation accuracy.

    Parameters
    ----------
    table : DataFrame
        From :func:`agelib.trials.trials_table`.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        The better a trial, the lighter its line and the further in front. Pruned trials are
        dashed and end at what they had reached. Hyperparameters that all trials share have no
        axis. Lines through one choice are spread by accuracy, best on top, below its name.

    Raises
    ------
    ValueError
        If the table has no trial.
    """
    if table.empty:
        raise ValueError("the table has no trial: train one first")
    space = search_space(table[list(HYPERPARAMETERS)].to_dict("records"))
    names = [name for name, values in space.items() if len(values.choices) > 1]
    accuracy = table["validation_accuracy"].to_numpy(float)
    low, high = accuracy.min(), accuracy.max()
    scale = Normalize(low, high) if high > low else Normalize(low - 0.01, high + 0.01)
    rank = pd.Series(accuracy).rank(method="first", pct=True).to_numpy() - 0.5
    ax = axes_or_new(ax, figsize=(len(names) + 2, 4.3))
    heights = [_axis(ax, at, space[name].choices, table[name]) for at, name in enumerate(names)]
    lines = np.stack([*(h + _SPREAD * rank for h in heights), scale(accuracy)], axis=1)
    colours = plt.get_cmap()(scale(accuracy))
    for row in np.argsort(accuracy):
        ax.plot(
            np.arange(len(names) + 1),
            lines[row],
            color=colours[row],
            linestyle="--" if table["pruned"].iloc[row] else "-",
            linewidth=0.9,
        )
    pruned = int(table["pruned"].sum())
    among = f", {pruned} of them pruned (dashed)" if pruned else ""
    ax.set_title(f"Hyperparameters and validation accuracy\n{_trials(len(table))}{among}")
    ax.set_xlabel("Hyperparameter")
    ax.set_ylabel("Choice (each axis has its own)")
    titles = [_words(name).replace(" ", "\n") for name in names]
    ax.set_xticks(np.arange(len(names) + 1), [*titles, "Validation\naccuracy"])
    ax.set_yticks([])
    ax.set_ylim(-0.06, 1.1)
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(scale.vmin, scale.vmax)
    ticks = [tick for tick in ticks if scale.vmin <= tick <= scale.vmax]
    last = ax.secondary_yaxis(len(names), transform=ax.transData)
    last.set_yticks([float(scale(tick)) for tick in ticks], [f"{tick:.2f}" for tick in ticks])
    ax.grid(visible=False)
    colourbar = ScalarMappable(scale, plt.get_cmap())
    ax.figure.colorbar(colourbar, ax=ax, label="Validation accuracy (share of images)")
    return ax


def _axis(ax: Axes, at: int, choices: tuple, values: pd.Series) -> np.ndarray:
    """Draw the axis of a hyperparameter; return the height of each trial's choice on it."""
    heights = dict(zip(choices, np.linspace(0.04, 0.96, len(choices)), strict=True))
    ax.axvline(at, color=COLOURS["unknown"], linewidth=0.7, zorder=0)
    for choice, height in heights.items():
        # Above the lines that meet there, which it would hide beside the axis.
        ax.text(
            at,
            height + 0.8 * _SPREAD,
            f"{choice:g}" if isinstance(choice, (int, float)) else choice.replace(", ", ",\n"),
            ha="center",
            va="bottom",
            fontsize=plt.rcParams["ytick.labelsize"],
            linespacing=0.9,
            bbox={"facecolor": "white", "linewidth": 0, "pad": 0.6},
            zorder=3,
        )
    return values.map(heights).to_numpy(float)


def importance_bars(importances: pd.Series, *, ax: Axes | None = None) -> Axes:
    """Draw how much of the variance of the validation accuracy each hyperparameter explains.

    Parameters
    ----------
    importances : Series
        From :func:`agelib.trials.importances`.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        Most important on top, each share beside its bar.

    Raises
    ------
    ValueError
        If the series is empty.
    """
    if importances.empty:
        raise ValueError("there is no importance to draw")
    ax = axes_or_new(ax, figsize=(5, 0.3 * len(importances) + 1.2))
    rows = np.arange(len(importances))
    bars = ax.barh(rows, importances.to_numpy(float), color=COLOURS["training"], height=0.7)
    ax.bar_label(bars, fmt="%.2f", padding=3, fontsize=plt.rcParams["ytick.labelsize"])
    ax.set_yticks(rows, [_words(name) for name in importances.index])
    ax.set_ylim(len(importances) - 0.4, -0.6)
    ax.set_xlim(0, 1.12 * max(importances.max(), 0.01))
    ax.set_xlabel("Share of the variance of the validation accuracy (fANOVA)")
    ax.set_ylabel("Hyperparameter")
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.set_title(f"Importance of the hyperparameters\n{_trials(importances.attrs['n'])}")
    return ax
