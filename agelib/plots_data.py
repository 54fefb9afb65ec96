"""Figures of data: ages, genders, classes, image sizes, samples.

Notebooks reach these functions through `agelib.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from agelib.plots_results import COLOURS, axes_or_new, images_text


def age_distribution(
    catalog: pd.DataFrame, *, years: int = 1, by_gender: bool = False, ax: Axes | None = None
) -> Axes:
    """Draw how many images there are of each age.

    Parameters
    ----------
    catalog : DataFrame
        ``age`` (years, missing ones are left out and counted in the title); ``gender`` when
        ``by_gender``.
    years : int
        Width of a bar in years, from age 0; 1 or 5 as a rule.
    by_gender : bool
        Stack the bars by gender.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If no image has an age or ``years`` is below 1.
    """
    known = catalog[catalog["age"].notna()]
    if known.empty or years < 1:
        raise ValueError(f"need images with an age and years >= 1 (got {len(known)}, {years})")
    ax = axes_or_new(ax)
    age = known["age"].to_numpy(int)
    edges = np.arange(0, age.max() + years + 1, years)
    gender = _gender(known) if by_gender else np.full(len(known), "training")
    floor = np.zeros(len(edges) - 1)
    for name in [g for g in COLOURS if (gender == g).any()]:
        height = np.histogram(age[gender == name], edges)[0]
        label = f"{name} ({height.sum():,})" if by_gender else None
        style = {"align": "edge", "color": COLOURS[name], "label": label}
        ax.bar(edges[:-1], height, years * 0.9, floor, **style)
        floor = floor + height
    if by_gender:
        ax.legend()
    left_out = len(catalog) - len(known)
    title = f"Ages {age.min()} to {age.max()}, median {np.median(age):.0f} years"
    extra = f"; {left_out:,} without age left out" if left_out else ""
    ax.set_title(f"{title}\n{images_text(len(known))}{extra}")
    ax.set_xlabel("Age (years)")
    ax.set_ylabel("Images per year of age" if years == 1 else f"Images per {years} years of age")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return ax


def _gender(catalog: pd.DataFrame) -> np.ndarray:
    gender = catalog["gender"].astype(object)
    return gender.where(gender.isin(["male", "female"]), "unknown").to_numpy(str)


def gender_distribution(catalog: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many images there are of each gender, as annotated.

    Parameters
    ----------
    catalog : DataFrame
        ``gender``: "male", "female" or missing.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is no image.
    """
    gender = pd.Series(_gender(catalog))
    genders = [g for g in ("male", "female", "unknown") if (gender == g).any()]
    counts = gender.value_counts().reindex(genders)
    return category_bars(counts, title="Gender as annotated", xlabel="Gender", ax=ax)


def category_bars(
    counts: Mapping[str, int] | pd.Series | pd.DataFrame,
    *,
    title: str,
    xlabel: str = "Class",
    ax: Axes | None = None,
) -> Axes:
    """Draw the number of images in each category.

    Parameters
    ----------
    counts : mapping, Series or DataFrame of int
        Images by category; of a DataFrame the rows are categories and each column is one
        series of bars (such as the parts of a split).
    title, xlabel : str
        First line of the title (the second gives n) and name of the horizontal axis.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is no category.
    """
    frame = counts if isinstance(counts, pd.DataFrame) else pd.Series(counts).to_frame("images")
    if frame.empty:
        raise ValueError("counts holds no category to draw")
    rows, series = frame.shape
    ax = axes_or_new(ax, figsize=(max(5.0, 0.28 * rows * series + 1), 3.2))
    width = 0.8 / series
    crowded = rows * series > 24 or (series > 1 and frame.to_numpy().max() >= 1000)
    for number, name in enumerate(frame.columns):
        x = np.arange(rows) + (number - (series - 1) / 2) * width
        bars = ax.bar(x, frame[name], width * 0.95, color=COLOURS.get(name), label=str(name))
        ax.bar_label(bars, fmt="{:,.0f}", fontsize=6.5, padding=2, rotation=90 if crowded else 0)
    names = [str(name) for name in frame.index]
    tilt = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(np.arange(rows), names, **(tilt if sum(map(len, names)) > 60 else {}))
    ax.margins(y=0.15 if crowded else 0.08)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    if series > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    ax.set_title(f"{title}\n{images_text(int(frame.to_numpy().sum()))}")
    ax.set_xlabel(xlabel)
    ax.set_ylabel("Images")
    return ax


def resolution_scatter(catalog: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the sizes of the images, with the line of equal width and height (as P3 did).

    Parameters
    ----------
    catalog : DataFrame
        ``width`` and ``height`` (pixels); undecodable images (missing) are left out.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        One dot a size, its area growing with the number of images.

    Raises
    ------
    ValueError
        If no image has a size.
    """
    known = catalog.dropna(subset=["width", "height"])
    if known.empty:
        raise ValueError("no image in the catalog has a width and a height")
    sizes = known.groupby(["width", "height"]).size().reset_index(name="images")
    ax = axes_or_new(ax, figsize=(5, 3.6))
    width, height = sizes["width"].to_numpy(float), sizes["height"].to_numpy(float)
    area = 12 + 150 * sizes["images"] / sizes["images"].max()
    limit = 1.15 * max(width.max(), height.max())
    ax.plot([0, limit], [0, limit], color=COLOURS["unknown"], linestyle=":", label="1:1")
    dots = ax.scatter(width, height, s=area, c=sizes["images"], alpha=0.8)
    if len(sizes) > 1:
        ax.figure.colorbar(dots, ax=ax, label="Images of this size")
    ax.set(xlim=(0, limit), ylim=(0, limit), aspect="equal")
    ax.legend(loc="upper left")
    square = float(known["width"].eq(known["height"]).mean())
    several = f"{len(sizes):,} sizes" if len(sizes) > 1 else "One size"
    ax.set_title(f"{several}, {square:.1%} of the images square\n{images_text(len(known))}")
    ax.set_xlabel("Width (pixels)")
    ax.set_ylabel("Height (pixels)")
    return ax


def sample_grid(
    images: Sequence[np.ndarray] | np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    title: str = "Samples",
) -> np.ndarray:
    """Draw images in a grid on a new figure.

    Parameters
    ----------
    images : sequence of ndarray (h, w, 3), (h, w, 1) or (h, w), uint8
        Images; sizes may differ.
    titles : sequence of str, optional
        One text above each image. Of predictions: true, predicted, error.
    columns : int
        Images a row.
    title : str
        Above the grid; the number of pictures is added.

    Returns
    -------
    ndarray of Axes, one an image

    Raises
    ------
    ValueError
        If there is no image, an image is not uint8, or the titles are not one an image.
    """
    if not len(images) or (titles is not None and len(titles) != len(images)):
        got = "no" if titles is None else len(titles)
        raise ValueError(f"need images and one title each; got {len(images)} and {got} titles")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = 0 if titles is None else max(str(t).count("\n") + 1 for t in titles)
    size = (max(3.6, 0.95 * columns), rows * (0.95 + 0.13 * lines) + 0.4)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for number, ax in enumerate(grid.flat):
        ax.axis("off")
        if number >= len(images):
            continue
        image = np.asarray(images[number])
        if image.dtype != np.uint8:
            raise ValueError(f"image {number} is {image.dtype}; draw uint8 pixels 0..255")
        grey = image.ndim == 2 or image.shape[-1] == 1
        ax.imshow(image.squeeze() if grey else image, cmap="gray", vmin=0, vmax=255)
        if titles is not None:
            ax.set_title(str(titles[number]), fontsize=7, loc="center", pad=2)
    # Not n, which counts images of a data set: a picture may be the mean of thousands.
    pictures = f"{len(images)} picture{'' if len(images) == 1 else 's'}"
    figure.suptitle(f"{title} ({pictures})", x=0.01, ha="left")
    return grid.ravel()[: len(images)]
