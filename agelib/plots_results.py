"""Figures of test results: ROC curves, errors by age, comparisons between experiments.

Notebooks reach these functions through `agelib.plots`, which also draws data and networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from sklearn.metrics import auc, roc_curve

# The same colour for the same thing in every figure.
COLOURS = {
    "training": "#0173b2",
    "validation": "#de8f05",
    "test": "#029e73",
    "reported": "#5f5f5f",
    "replicated": "#de8f05",
    "honest": "#0173b2",
    "male": "#0173b2",
    "female": "#de8f05",
    "unknown": "#949494",
}
_YEARS_A_BIN = 5
_LEGEND_LIMIT = 16


def axes_or_new(ax: Axes | None, *, figsize: tuple[float, float] | None = None) -> Axes:
    """Return ``ax``, or the Axes of a new figure when it is None."""
    return plt.subplots(figsize=figsize)[1] if ax is None else ax


def images_text(n: int) -> str:
    """Return the ``n = …`` of a title: "n = 1,629 images"."""
    return f"n = {n:,} image{'' if n == 1 else 's'}"


def roc_curves(
    predictions: pd.DataFrame, class_names: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Draw one receiver operating characteristic a class, each class against the rest.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``true`` (class number) and ``p0`` … ``p{k-1}`` (probabilities).
    class_names : sequence of str
        The k names in class order; young to old becomes dark to light.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        The legend gives each area under the curve (AUC); classes without test images are
        named as such. The title gives the mean AUC over the drawn classes.

    Raises
    ------
    ValueError
        If there is no prediction or a column is missing.

    Notes
    -----
    One-vs-rest curves as in P2 (Vashatkar).
    """
    columns = ["true", *(f"p{k}" for k in range(len(class_names)))]
    missing = [c for c in columns if c not in predictions.columns]
    if missing or predictions.empty:
        raise ValueError(f"predictions need rows and the columns {columns}; missing: {missing}")
    ax = axes_or_new(ax, figsize=(5, 3.6))
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.92, len(class_names)))
    areas = []
    for number, (name, shade) in enumerate(zip(class_names, shades, strict=True)):
        positive = (predictions["true"] == number).to_numpy()
        if positive.all() or not positive.any():
            few = "all" if positive.any() else "no"
            ax.plot([], [], color=shade, label=f"{name}: {few} images")
            continue
        false_rate, true_rate, _ = roc_curve(positive, predictions[f"p{number}"])
        areas.append(auc(false_rate, true_rate))
        ax.plot(false_rate, true_rate, color=shade, linewidth=1.2, label=f"{name}: {areas[-1]:.2f}")
    ax.plot([0, 1], [0, 1], color=COLOURS["unknown"], linestyle=":", linewidth=1)
    mean = f"mean AUC {np.mean(areas):.3f}" if areas else "no AUC: one class only"
    ax.set_title(f"Each class against the rest: {mean}\n{images_text(len(predictions))}")
    ax.set_xlabel("False positive rate (share of images)")
    ax.set_ylabel("True positive rate (share of images)")
    ax.set_aspect("equal")
    if len(class_names) <= _LEGEND_LIMIT:
        ax.legend(title="class: AUC", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def error_by_age(predictions: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the size and the direction of the errors against the true age.

    Parameters
    ----------
    predictions : DataFrame
        ``age`` and ``predicted`` (years). Of a classification, ``age`` and ``expected_age``
        (years) when it is there, else ``true`` and ``predicted`` as class numbers: errors
        are then counted in classes.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        Mean absolute error with 95 % intervals (normal approximation) and mean signed error
        (negative: estimated too young) in bins of five years. Rows without age are left out.

    Raises
    ------
    ValueError
        If no row has an age.
    """
    known = predictions[predictions["age"].notna()] if "age" in predictions else predictions[:0]
    if known.empty:
        raise ValueError("predictions need a column 'age' with at least one known age (years)")
    age = known["age"].to_numpy(float)
    unit, error = _errors(known)
    bins = pd.Series(age // _YEARS_A_BIN * _YEARS_A_BIN, name="from")
    size = pd.Series(np.abs(error)).groupby(bins).agg(["mean", "std", "count"])
    direction = pd.Series(error).groupby(bins).mean()
    # An interval from one image would have no width and look certain: leave it out.
    half = 1.96 * size["std"] / np.sqrt(size["count"])
    centre = size.index + (_YEARS_A_BIN - 1) / 2
    ax = axes_or_new(ax)
    ax.axhline(0, color="black", linewidth=0.7)
    ax.errorbar(centre, size["mean"], half, fmt="o", capsize=2, label="absolute (95 % interval)")
    ax.plot(centre, direction, "s--", linewidth=1, label="signed (negative: too young)")
    mean = np.abs(error).mean()
    ax.set_title(f"Mean absolute error {mean:.2f} {unit}\n{images_text(len(known))}")
    ax.set_xlabel("True age (years, bins of five)")
    ax.set_ylabel(f"Mean error ({unit})")
    ax.legend()
    return ax


def _errors(predictions: pd.DataFrame) -> tuple[str, np.ndarray]:
    """Return the unit of the errors and one signed error a row."""
    if "expected_age" in predictions.columns:
        unit, true, predicted = "years", "age", "expected_age"
    elif "true" in predictions.columns:
        unit, true, predicted = "classes", "true", "predicted"
    else:
        unit, true, predicted = "years", "age", "predicted"
    return unit, predictions[predicted].to_numpy(float) - predictions[true].to_numpy(float)


def metric_comparison(
    table: pd.DataFrame,
    metric: str,
    *,
    chance: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric of several experiments as dots with 95 % intervals.

    Parameters
    ----------
    table : DataFrame
        One row an experiment, drawn from the top in this order (sort it best first):
        ``label``, ``value``, ``low``, ``high`` (ends of the interval, NaN when there is
        none) and ``n`` (test images; missing for a number of others).
    metric : str
        Name and unit of the metric for the axis, such as "Mean absolute error (years)".
    chance : float, optional
        What guessing would score; a dotted line.
    ax : Axes, optional
        Where to draw; a new figure, as high as it needs to be, when omitted.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a column is missing or there is no row.
    """
    _require_rows(table, ["label", "value", "low", "high", "n"])
    ax = axes_or_new(ax, figsize=(6, max(2.2, 0.26 * len(table) + 1.2)))
    rows = np.arange(len(table))
    _dots(ax, table, "value", ("low", "high"), rows=rows, colour=COLOURS["training"], marker="o")
    decimals = 2 if table["value"].abs().max() > 2 else 3
    numbers = table[["value", "low", "high"]].to_numpy(float)
    for row, (value, low, high) in enumerate(numbers):
        text = f"{value:.{decimals}f}"
        if pd.notna(low) and pd.notna(high):
            text += f" [{low:.{decimals}f}, {high:.{decimals}f}]"
        ax.annotate(
            text,
            (1.02, row),
            xycoords=ax.get_yaxis_transform(),
            va="center",
            fontsize=plt.rcParams["ytick.labelsize"],
        )
    if chance is not None:
        ax.axvline(chance, color=COLOURS["unknown"], linestyle=":", label="a guess")
        ax.legend()
    sizes = table["n"].unique()
    labels = table["label"].astype(str)
    if len(sizes) > 1:
        labels = labels + ["" if pd.isna(n) else f" (n = {n:,})" for n in table["n"]]
    n = images_text(sizes[0]) if len(sizes) == 1 else "n beside each name"
    _finish_rows(ax, labels, metric, title=f"{metric.split(' (')[0]} with 95 % intervals\n{n}")
    return ax


def reported_versus_ours(table: pd.DataFrame, metric: str, *, ax: Axes | None = None) -> Axes:
    """Draw what the source project reported beside what we measured.

    Parameters
    ----------
    table : DataFrame
        One row an experiment, drawn from the top in this order: ``label``; ``reported``
        (the project's number); ``replicated`` (ours under their protocol) and ``honest``
        (ours under the honest protocol), each with ``…_low``, ``…_high`` (95 % interval)
        and ``…_n`` (test images). NaN where there is no such number.
    metric : str
        Name and unit of the metric for the axis.
    ax : Axes, optional
        Where to draw; a new figure, as high as it needs to be, when omitted.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a column is missing or there is no row.
    """
    ours = ("replicated", "honest")
    ends = {kind: (f"{kind}_low", f"{kind}_high") for kind in ours}
    columns = [c for kind in ours for c in (kind, *ends[kind], f"{kind}_n")]
    _require_rows(table, ["label", "reported", *columns])
    ax = axes_or_new(ax, figsize=(6, max(2.4, 0.42 * len(table) + 1.4)))
    rows = np.arange(len(table))
    styles = {"reported": ("D", -0.22), "replicated": ("o", 0.0), "honest": ("s", 0.22)}
    counts = []
    for kind, (marker, shift) in styles.items():
        if not table[kind].notna().any():
            continue
        place = {"rows": rows + shift, "colour": COLOURS[kind], "marker": marker}
        _dots(ax, table, kind, ends.get(kind), label=kind, **place)
        if kind in ends:
            sizes = table.loc[table[kind].notna(), f"{kind}_n"].astype(int)
            ends_of_n = dict.fromkeys((f"{sizes.min():,}", f"{sizes.max():,}"))
            counts.append(f"n = {' to '.join(ends_of_n)} {kind}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    title = f"{metric.split(' (')[0]}: reported and ours, 95 % intervals"
    _finish_rows(ax, table["label"], metric, title=f"{title}\n{', '.join(counts) or 'n = 0'}")
    return ax


def _require_rows(table: pd.DataFrame, columns: list[str]) -> None:
    missing = [c for c in columns if c not in table.columns]
    if missing or table.empty:
        raise ValueError(f"the table needs rows and the columns {columns}; missing: {missing}")


def _dots(
    ax: Axes,
    table: pd.DataFrame,
    column: str,
    ends: tuple[str, str] | None,
    *,
    rows: np.ndarray,
    colour: str,
    marker: str,
    label: str | None = None,
) -> None:
    """Draw one series of dots, and bars between the two columns in ``ends``."""
    value = table[column].to_numpy(float)
    bars = None
    if ends is not None:
        low, high = (table[c].to_numpy(float) for c in ends)
        # A bootstrap interval need not hold the point estimate; bars must not be negative.
        bars = np.maximum([value - low, high - value], 0)
    ax.errorbar(value, rows, xerr=bars, fmt=marker, color=colour, capsize=2, label=label)


def _finish_rows(ax: Axes, labels: pd.Series, metric: str, *, title: str) -> None:
    ax.set_yticks(np.arange(len(labels)), list(labels))
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlabel(metric)
    ax.set_ylabel("Experiment")
    ax.grid(axis="x")
    ax.set_title(title)
