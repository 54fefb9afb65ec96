"""One face and what is said about it, as a figure."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from agelib.activations import class_activation_map, overlay
from agelib.gradients import output_names
from agelib.predict import Found, Predictor


def evidence(predictor: Predictor, found: Found) -> np.ndarray:
    """Return where the network finds evidence for the year it estimates.

    Parameters
    ----------
    predictor : Predictor
        The network.
    found : Found
        A face with its chip and estimate.

    Returns
    -------
    ndarray of shape (h, w)
        Grad-CAM of the rounded expected age, see
        :func:`agelib.activations.class_activation_map`.
    """
    names = [name for name in output_names(predictor.network) if name != "gender"]
    unit = round(found.estimate.age)
    return class_activation_map(
        predictor.network, predictor.pixels([found.chip]), unit, output=names[0]
    )[0]


def plot_prediction(
    found: Found, heat: np.ndarray, *, title: str = "", figure: Figure | None = None
) -> np.ndarray:
    """Draw a chip, the evidence in it, and the distribution over years.

    Parameters
    ----------
    found : Found
        A face with its chip and estimate.
    heat : ndarray of shape (h, w)
        From :func:`evidence`.
    title : str
        Above the chip.
    figure : Figure, optional
        Where to draw; a new one of pyplot's by default.

    Returns
    -------
    ndarray of Axes, three
    """
    figure = figure or plt.figure(figsize=(9.5, 2.9), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 2.2))
    chip, estimate = np.asarray(found.chip.convert("RGB")), found.estimate
    pictures = {title: chip, f"evidence for {estimate.age:.0f} years": overlay(chip, heat)}
    for ax, (name, picture) in zip(axes[:2], pictures.items(), strict=True):
        ax.imshow(picture)
        ax.set_title(name, loc="left", fontsize=10)
        ax.set_axis_off()
    _distribution(axes[2], estimate)
    return axes


def _distribution(ax: Any, estimate: Any) -> None:
    years = np.arange(len(estimate.distribution))
    inside = (years >= estimate.low) & (years <= estimate.high)
    ax.bar(years, estimate.distribution, width=1, color=np.where(inside, "C0", "0.8"))
    ax.axvline(estimate.age, color="black", linewidth=1)
    ax.set(xlabel="Age (years)", ylabel="Probability", xlim=(-1, len(years)))
    ax.set_title(
        f"{estimate.age:.0f} years, 80 %: {estimate.low} to {estimate.high}",
        loc="left",
        fontsize=10,
    )
