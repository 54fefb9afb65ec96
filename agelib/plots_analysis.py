"""Figures of the analyses: dots by group, curves with bands, the histogram of calibration."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from agelib.plots_results import COLOURS, axes_or_new

SMALL = 30  # images below which a group is marked: its interval says little


def group_dots(
    series: Mapping[str, pd.DataFrame],
    ylabel: str,
    *,
    line: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw means by group as dots with 95 % intervals, one colour a series.

    Parameters
    ----------
    series : mapping of str to DataFrame
        Indexed by group in one order: ``value``, ``low``, ``high``, ``n``, as
        `agelib.intervals.mean_intervals` gives them.
    ylabel : str
        Quantity and unit.
    line : float, optional
        What the dots are compared with; a dotted line.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        Each group's name says its n; groups of fewer than 30 images are hollow dots.
    """
    ax = axes_or_new(ax, figsize=(6.5, 3.2))
    tables = list(series.values())
    groups = list(dict.fromkeys(name for table in tables for name in table.index))
    shifts = np.linspace(-0.3, 0.3, len(tables) + 2)[1:-1]
    for (name, table), shift in zip(series.items(), shifts, strict=True):
        places = np.array([groups.index(group) for group in table.index]) + shift
        value, low, high = (table[c].to_numpy(float) for c in ("value", "low", "high"))
        # A bootstrap interval need not hold the point estimate; bars must not be negative.
        bars = np.maximum([value - low, high - value], 0)
        drawn = ax.errorbar(places, value, bars, fmt="o", capsize=2, label=name)
        small = (table["n"] < SMALL).to_numpy()
        colour = drawn.lines[0].get_color()
        ax.plot(places[small], value[small], "o", color=colour, mfc="white")
    if line is not None:
        ax.axhline(line, color=COLOURS["unknown"], linestyle=":")
    ax.set_xticks(range(len(groups)), [_with_n(group, tables) for group in groups])
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.set_ylabel(ylabel)
    if len(series) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def _with_n(group: object, tables: list[pd.DataFrame]) -> str:
    sizes = {int(table.loc[group, "n"]) for table in tables if group in table.index}
    ends = " to ".join(f"{n:,}" for n in dict.fromkeys((min(sizes), max(sizes))))
    return f"{group}\nn = {ends}"


def bands(
    curves: Mapping[str, pd.DataFrame],
    x: str,
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw curves with their 95 % intervals as bands.

    Parameters
    ----------
    curves : mapping of str to DataFrame
        ``x`` and ``value``; ``low`` and ``high`` where there is an interval.
    x : str
        Name of the column along the axis.
    xlabel, ylabel : str
        Quantities and units.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    for name, table in curves.items():
        (drawn,) = ax.plot(table[x], table["value"], label=name)
        if "low" in table:
            ax.fill_between(
                table[x], table["low"], table["high"],
                color=drawn.get_color(), alpha=0.25, linewidth=0,
            )  # fmt: skip
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if len(curves) > 1:
        ax.legend()
    return ax


def calibration(histogram: pd.DataFrame, coverage: pd.DataFrame, *, title: str = "") -> np.ndarray:
    """Draw the PIT histogram and the coverage of central intervals side by side.

    Parameters
    ----------
    histogram : DataFrame
        From `agelib.uncertainty.pit_histogram`.
    coverage : DataFrame
        From `agelib.uncertainty.central_coverage`.
    title : str
        Above both.

    Returns
    -------
    ndarray of Axes, shape (2,)
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    figure.suptitle(title)
    width = histogram["right"] - histogram["left"]
    middle = histogram["left"] + width / 2
    bars = [histogram["share"] - histogram["low"], histogram["high"] - histogram["share"]]
    axes[0].bar(middle, histogram["share"], width * 0.94, color=COLOURS["test"], alpha=0.6)
    axes[0].errorbar(middle, histogram["share"], np.maximum(bars, 0), fmt="none", color="black")
    axes[0].axhline(width.mean(), color=COLOURS["unknown"], linestyle=":")
    axes[0].set_xlabel("Where the true age lies in its distribution")
    axes[0].set_ylabel("Share of images")
    curve = coverage.rename(columns={"coverage": "value"})
    bands({"": curve}, "level", xlabel="Promised by central intervals", ylabel="", ax=axes[1])
    axes[1].plot([0, 1], [0, 1], color=COLOURS["unknown"], linestyle=":")
    axes[1].set_ylabel("Found inside (share of images)")
    axes[1].set_aspect("equal")
    return axes


def cell_grid(table: pd.DataFrame, measure: str, *, title: str, ax: Axes | None = None) -> Axes:
    """Draw a measure of `agelib.fairness.cells` as a grid of coloured cells.

    Parameters
    ----------
    table : DataFrame
        From `agelib.fairness.cells`; the last grouping goes along the axis.
    measure : str
        Column to show.
    title : str
        Quantity and unit.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        Each cell holds its value; small cells are grey, their value in brackets.
    """
    values, small = table[measure].unstack(), table["small"].unstack(fill_value=True).astype(bool)
    ax = axes_or_new(ax, figsize=(3.6, 3.6))
    shown = values.where(~small)
    signed = measure == "bias"
    limit = np.nanmax(np.abs(shown.to_numpy())) if signed and not small.all(axis=None) else None
    ax.set_facecolor("#eeeeee")
    ax.imshow(
        shown, aspect="auto", cmap="RdBu_r" if signed else "viridis", alpha=0.6,
        vmin=-limit if signed and limit else None, vmax=limit,
    )  # fmt: skip
    digits = 2 if measure == "gender accuracy" else 1
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        if not np.isnan(value):
            text = f"{value:.{digits}f}"
            text = f"({text})" if small.iloc[row, column] else text
            ax.text(column, row, text, ha="center", va="center", fontsize=7)
    ax.set_xticks(range(values.shape[1]), list(values.columns))
    names = [" ".join(map(str, np.atleast_1d(name))) for name in values.index]
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False)
    ax.set_title(title)
    return ax
