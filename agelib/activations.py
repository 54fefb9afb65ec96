"""What a network looks at: feature maps and class-activation maps.

Networks carry their own preprocessing, so images go in as they are: pixels 0..255. Nothing
here rebuilds or changes a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from agelib.gradients import layer_output, output_names, score_gradient
from agelib.plots_data import sample_grid
from agelib.plots_network import flat_layers, output_shape

_BATCH = 32


def map_layers(model: Any) -> list[str]:
    """Return the names of the layers whose output is a stack of maps, in network order.

    Parameters
    ----------
    model : keras.Model
        A built network on images.

    Returns
    -------
    list of str
        Layers with outputs (n, h, w, channels) of more than one place; those of a nested
        network are called "outer/inner".
    """
    shapes = ((name, output_shape(layer)) for name, layer in flat_layers(model))
    return [n for n, s in shapes if s and len(s) == 3 and (s[0] is None or s[0] * s[1] > 1)]


def feature_maps(model: Any, images: np.ndarray, layer: str) -> np.ndarray:
    """Return what a layer gives for images.

    Parameters
    ----------
    model : keras.Model
        A network on images (n, h, w, c) with its preprocessing inside.
    images : ndarray of shape (n, h, w, c)
        Pixels 0..255, not preprocessed.
    layer : str
        Name of a layer with maps, "outer/inner" in a nested network.

    Returns
    -------
    ndarray of shape (n, map height, map width, channels), float32

    Raises
    ------
    ValueError
        If the layer is unknown, has no maps or runs more than once; or the images are not a
        batch.
    """
    target = _find_layer(model, layer)
    maps = [layer_output(model, batch, target) for batch in _batches(images)]
    return np.concatenate(maps)


def class_activation_map(
    model: Any,
    images: np.ndarray,
    class_index: int,
    layer: str | None = None,
    *,
    output: str | None = None,
) -> np.ndarray:
    """Show where a network finds evidence for a class (Grad-CAM, Selvaraju et al. 2017).

    The maps of a layer are added up, each with the mean slope of the class score against it
    as its weight, and what is negative is cut off. The score is taken before a soft-max or
    sigmoid: behind it a confident network has slope zero, hence an empty map. Only a mean of
    soft-maxes is taken as it is, see :func:`agelib.gradients.score_gradient`.

    Parameters
    ----------
    model : keras.Model
        A network on images (n, h, w, c) with its preprocessing inside.
    images : ndarray of shape (n, h, w, c)
        Pixels 0..255, not preprocessed.
    class_index : int
        Which unit of the output: any class; 0 for a head of one unit, such as age in years.
    layer : str, optional
        Name of a layer with maps; the last one when omitted.
    output : str, optional
        Name of the head; needed when the network has several.

    Returns
    -------
    ndarray of shape (n, h, w), float32
        Maps in the size of the images, the largest value of each 1. A map without any
        evidence for the class is all zero; `no_evidence` finds those.

    Raises
    ------
    ValueError
        If the class, layer or output is unknown (the message lists the known ones), the
        images are not a batch, or the network gives values that are not finite.

    Notes
    -----
    P1 (rijnberg) always took the slope of class 0 and preprocessed colour images twice.
    """
    target = _find_layer(model, layer)
    head, units = _find_output(model, output)
    if not 0 <= class_index < units:
        raise ValueError(f"class_index {class_index} is out of range: choose 0 … {units - 1}")
    batches = _batches(images)
    maps = [_grad_cam(model, batch, target, head, class_index) for batch in batches]
    size = batches[0].shape[1:3]
    return np.stack([_scale(one, size) for batch in maps for one in batch])


def no_evidence(heatmaps: np.ndarray) -> np.ndarray:
    """Return which maps are all zero: nothing in the layer speaks for the class.

    Parameters
    ----------
    heatmaps : ndarray of shape (n, h, w)
        From `class_activation_map`.

    Returns
    -------
    ndarray of shape (n,), bool
    """
    return ~np.asarray(heatmaps).any(axis=(1, 2))


def overlay(image: np.ndarray, heatmap: np.ndarray, *, alpha: float = 0.6) -> np.ndarray:
    """Lay a heat-map over an image.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), (h, w, 1) or (h, w)
        Pixels 0..255.
    heatmap : ndarray of shape (h', w')
        Values 0..1; resized to the image.
    alpha : float
        Share of the heat-map's colour where it is 1. Where it is 0 the image stays as it is.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Raises
    ------
    ValueError
        If the heat-map or ``alpha`` leaves 0..1.
    """
    heatmap = np.asarray(heatmap, dtype=np.float32)
    if not (0 <= alpha <= 1 and heatmap.min() >= 0 and heatmap.max() <= 1):
        raise ValueError(f"alpha {alpha} and the heat-map must lie in 0..1")
    image = np.asarray(image, dtype=np.float32)
    image = image if image.ndim == 3 else image[..., None]
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    if heatmap.shape != image.shape[:2]:
        heatmap = _resize(heatmap, image.shape[:2])
    colour = 255 * plt.get_cmap("plasma")(heatmap)[..., :3]
    share = alpha * heatmap[..., None]
    return np.rint((1 - share) * image + share * colour).clip(0, 255).astype(np.uint8)


def plot_feature_maps(maps: np.ndarray, *, columns: int = 8, most: int = 64) -> np.ndarray:
    """Draw the maps of one image in a grid on a new figure, all on one colour scale.

    Parameters
    ----------
    maps : ndarray of shape (h, w, channels)
        The maps of one image, as in ``feature_maps(…)[0]``.
    columns : int
        Maps a row.
    most : int
        Draw at most so many maps, from the first channel on.

    Returns
    -------
    ndarray of Axes, one a map
        The title gives how many channels are drawn, and how many of all are constant, that is,
        tell nothing.

    Raises
    ------
    ValueError
        If there is not exactly one stack of maps.
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"maps have shape {maps.shape}; give one image's (h, w, channels)")
    channels = maps.shape[-1]
    shown = min(most, channels)
    columns = min(columns, shown)
    rows = -(-shown // columns)
    size = (max(5.0, 0.62 * columns), 0.64 * rows + 0.45)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    low, high = float(maps.min()), float(maps.max())
    for channel, ax in enumerate(grid.flat):
        ax.axis("off")
        if channel < shown:
            picture = ax.imshow(maps[..., channel], cmap="viridis", vmin=low, vmax=high)
            ax.set_title(str(channel), fontsize=6, loc="center", pad=1)
    figure.colorbar(picture, ax=grid, label="Activation", shrink=0.9)
    constant = int((np.ptp(maps, axis=(0, 1)) == 0).sum())
    told = f"{shown} of {channels} channels; {constant} of the {channels} constant"
    figure.suptitle(f"Feature maps ({told})", x=0.01, ha="left")
    return grid.ravel()[:shown]


def plot_overlays(
    images: Sequence[np.ndarray] | np.ndarray,
    heatmaps: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    title: str = "Where the network looks",
) -> np.ndarray:
    """Draw images under their class-activation maps in a grid on a new figure.

    Parameters
    ----------
    images : sequence of ndarray (h, w, c)
        Pixels 0..255.
    heatmaps : ndarray of shape (n, h, w)
        From `class_activation_map`.
    titles : sequence of str, optional
        One text above each image, such as the class.
    columns : int
        Images a row.
    title : str
        Above the grid; what yellow means and the number of pictures are added.

    Returns
    -------
    ndarray of Axes, one an image
        Maps that are all zero are marked "no evidence".

    Raises
    ------
    ValueError
        If images, heat-maps and titles differ in number.
    """
    empty = no_evidence(heatmaps)
    texts = [""] * len(empty) if titles is None else [str(text) for text in titles]
    if not len(images) == len(empty) == len(texts):
        raise ValueError(f"{len(images)} images, {len(empty)} heat-maps, {len(texts)} titles")
    if empty.any():
        marked = zip(texts, empty, strict=True)
        texts = [f"{text}\nno evidence".strip() if none else text for text, none in marked]
    pictures = [overlay(image, heat) for image, heat in zip(images, heatmaps, strict=True)]
    title = f"{title}; yellow: most"
    return sample_grid(pictures, texts if any(texts) else None, columns=columns, title=title)


def _find_layer(model: Any, name: str | None) -> Any:
    known = map_layers(model)
    if not known:
        raise ValueError(f"network {model.name!r} has no layer with maps (n, h, w, channels)")
    name = known[-1] if name is None else name
    if name not in known:
        raise ValueError(f"layer {name!r} has no maps or is unknown; choose from {known}")
    return dict(flat_layers(model))[name]


def _find_output(model: Any, name: str | None) -> tuple[int, int]:
    """Return which output is meant and how many units it has."""
    names = output_names(model)
    if name is None and len(names) > 1:
        raise ValueError(f"the network has several outputs; set output to one of {names}")
    if name is not None and name not in names:
        raise ValueError(f"output {name!r} is unknown; choose from {names}")
    head = 0 if name is None else names.index(name)
    shape = model.outputs[head].shape
    if len(shape) != 2:
        raise ValueError(f"output {names[head]!r} has shape {shape}; class scores are (n, units)")
    return head, shape[-1]


def _batches(images: np.ndarray) -> list[np.ndarray]:
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"images have shape {images.shape}; give a batch (n, h, w, channels)")
    images = images.astype(np.float32)
    return [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]


def _grad_cam(model: Any, batch: np.ndarray, layer: Any, head: int, unit: int) -> np.ndarray:
    """Return raw maps (n, map height, map width) of one batch."""
    maps = layer_output(model, batch, layer)
    slopes = score_gradient(model, batch, layer, at=maps, head=head, unit=unit)
    heat = (slopes.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=-1)
    if not np.isfinite(heat).all():
        raise ValueError(f"network {model.name!r} gives infinite or undefined values")
    return np.maximum(heat, 0)


def _scale(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring one map to a size and to a largest value of 1; an empty one stays zero."""
    peak = heat.max()
    if peak == 0:
        return np.zeros(size, dtype=np.float32)
    heat = _resize(heat / peak, size)
    return (heat / heat.max()).clip(0, 1)


def _resize(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(np.asarray(heat, dtype=np.float32))
    resized = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized).clip(0, 1)
