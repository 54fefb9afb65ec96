"""Figures of the summary: how well, what matters, how sure.

They draw what `agelib.headline` and `agelib.effects` found in the records.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from agelib.plots_results import COLOURS, images_text, metric_comparison

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_LEAST = 30
_LEAST_STATES = 10  # pairs that the grey band is drawn from
_BIN = 10  # years


def years_off(
    table: pd.DataFrame, *, guess: float | None = None, anchors: pd.DataFrame | None = None
) -> Axes:
    """Draw the mean absolute errors of networks between the literature and a guess.

    Parameters
    ----------
    table : DataFrame
        From :func:`agelib.headline.in_years`, in the order to draw.
    guess : float, optional
        Mean absolute error of the training part's median age (years).
    anchors : DataFrame, optional
        From :func:`agelib.headline.anchors`: grey, with the standard deviation over splits.

    Returns
    -------
    Axes
    """
    rows = [table[["label", "value", "low", "high", "n"]]]
    if anchors is not None and len(anchors):
        told = "literature: ResNet-50, " + anchors["start"]
        ends = {"low": anchors["value"] - anchors["sd"], "high": anchors["value"] + anchors["sd"]}
        rows.insert(0, pd.DataFrame({"label": told, "value": anchors["value"], **ends, "n": pd.NA}))
    if guess is not None:
        row = {"label": "a guess: the median age", "value": guess, "low": np.nan, "high": np.nan}
        rows.append(pd.DataFrame([row | {"n": pd.NA}]))
    drawn = pd.concat([part.astype({"n": "Int64"}) for part in rows])
    drawn = drawn.sort_values("value", kind="stable", ignore_index=True)
    ours = drawn["n"].notna()
    n = drawn.loc[ours, "n"]
    # One n for all where that is so: then the title says it.
    same = n.nunique() == 1
    shown = drawn.assign(n=n.max()) if same else drawn
    _, ax = plt.subplots(figsize=(9, 0.26 * len(drawn) + 1.2), layout="constrained")
    metric_comparison(shown, "Mean absolute error (years)", ax=ax)
    for row in np.flatnonzero(~ours):
        value, half = drawn["value"][row], (drawn["high"][row] - drawn["low"][row]) / 2
        if pd.notna(half):
            # The brackets of the others are 95 % intervals.
            ax.texts[row].set_text(f"{value:.2f} (sd {half:.2f})")
        ax.plot(value, row, "D", color=COLOURS["reported"], markersize=5, zorder=5)
    ax.set_xlim(left=0)
    size = images_text(int(n.max())) if same else "n beside each name"
    ax.set_title(f"Ours with 95 % intervals ({size});\ngrey: literature, sd over splits")
    ax.set_ylabel("")
    return ax


def what_matters(table: pd.DataFrame) -> np.ndarray:
    """Draw every pair of experiments that differ in one factor, by how much it moved the result.

    Parameters
    ----------
    table : DataFrame
        From :func:`agelib.effects.single_differences`.

    Returns
    -------
    ndarray of Axes
        One for each unit there is; better is to the right, and the factor with the largest typical
        (median absolute) change is on top. Filled: the 95 % interval excludes zero. Four of five
        changes that another random state alone made lie in the grey band; with fewer than ten of
        these there is none.

    Raises
    ------
    ValueError
        If there is no pair.
    """
    if table.empty:
        raise ValueError("no two experiments differ in one factor alone; train a tweak first")
    units = [unit for unit in ("points", "years") if (table["unit"] == unit).any()]
    figure, axes = plt.subplots(
        1, len(units), figsize=(4.6 * len(units), 3.2), layout="constrained", squeeze=False
    )
    for ax, unit in zip(axes[0], units, strict=True):
        _factors(ax, table[table["unit"] == unit], unit)
    figure.suptitle("One thing changed: what it did to the result")
    return axes[0]


def _factors(ax: Axes, table: pd.DataFrame, unit: str) -> None:
    sign = -1 if unit == "years" else 1
    size = table["difference"].abs().groupby(table["factor"]).agg(["median", "size"])
    size = size.sort_values("median", ascending=False)
    alone = table.loc[table["factor"] == "random state", "difference"].abs()
    if len(alone) >= _LEAST_STATES:
        chance = alone.quantile(0.8)
        ax.axvspan(-chance, chance, color=COLOURS["unknown"], alpha=0.25, linewidth=0)
    for row, name in enumerate(size.index):
        pairs = table[table["factor"] == name].sort_values("difference")
        shift = np.linspace(-0.28, 0.28, len(pairs)) if len(pairs) > 1 else [0.0]
        clear = (pairs["low"] > 0) | (pairs["high"] < 0)
        for chosen, face in ((clear, COLOURS["training"]), (~clear, "white")):
            ax.plot(
                sign * pairs.loc[chosen, "difference"],
                row + np.asarray(shift)[chosen.to_numpy()],
                marker="o",
                markersize=4,
                linestyle="none",
                color=COLOURS["training"],
                markerfacecolor=face,
            )
    ax.axvline(0, color="black", linewidth=0.7)
    ax.set_yticks(
        range(len(size)),
        [
            f"{name}\n{n} pair{'' if n == 1 else 's'}, {median:.1f}"
            for name, median, n in size.itertuples()
        ],
    )
    ax.set_ylim(len(size) - 0.5, -0.5)
    ax.grid(axis="x")
    what = {"points": "accuracy (points of 100)", "years": "mean error (years)"}[unit]
    ax.set_xlabel(f"Gain in {what}: better to the right")
    ax.set_title(f"n = {len(table)} pairs, in {unit};\nbeside the name the typical change")


def truth_given_estimate(predictions: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw where the true ages lie when a network says an age.

    Parameters
    ----------
    predictions : DataFrame
        Of a test part: ``age``, and ``expected_age`` or ``predicted`` (years).
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        For each ten years of the estimate with 30 images or more, the span of eight of ten and of
        half of the differences true minus estimated age, and their median.

    Raises
    ------
    ValueError
        If no bin has 30 images.
    """
    table = sureness_table(predictions)
    if table.empty:
        raise ValueError(f"no bin of {_BIN} years has {_LEAST} images with an age")
    ax = plt.subplots(figsize=(6, 3.4))[1] if ax is None else ax
    centre = table.index + (_BIN - 1) / 2
    width = 0.32 * _BIN
    colour = COLOURS["training"]
    for low, high, alpha, label in (
        ("10 %", "90 %", 0.25, "eight of ten"),
        ("25 %", "75 %", 0.5, "half"),
    ):
        span = table[high] - table[low]
        ax.bar(centre, span, 2 * width, table[low], color=colour, alpha=alpha, label=label)
    ax.plot(centre, table["50 %"], "o", color="black", label="median")
    ax.axhline(0, color="black", linewidth=0.7)
    n = images_text(int(table["n"].sum()))
    ax.set_title(f"Where the true age lies, given the estimate\n{n}")
    ax.set_xlabel(f"Estimated age (years, bins of {_BIN})")
    ax.set_ylabel("True minus estimated age (years)")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), title="of the images")
    return ax


def sureness_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return quantiles of true minus estimated age by estimated age.

    Parameters
    ----------
    predictions : DataFrame
        As for `truth_given_estimate`.

    Returns
    -------
    DataFrame
        Indexed by ``from`` (years; tens with 30 images or more); columns ``n``, "10 %", "25 %",
        "50 %", "75 %", "90 %".
    """
    estimate = "expected_age" if "expected_age" in predictions else "predicted"
    known = predictions[predictions["age"].notna()]
    # Rounded first, so that an estimate of 29.97 counts as the 30 that a reader is told.
    start = known[estimate].round() // _BIN * _BIN
    groups = (known["age"] - known[estimate]).groupby(start.astype(int).rename("from"))
    table = groups.quantile(list(_QUANTILES)).unstack()
    table.columns = [f"{100 * q:.0f} %" for q in _QUANTILES]
    table.insert(0, "n", groups.size())
    return table[table["n"] >= _LEAST]
