"""The boxes that AL-ResNet chooses: read out of a network, and drawn on an averaged face."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from agelib import backend
from agelib.backend import keras
from agelib.plots_results import COLOURS, axes_or_new, images_text

_BATCH = 32


def predicted_boxes(network: Any, images: np.ndarray) -> np.ndarray:
    """Return the box that a network chooses in each image.

    Parameters
    ----------
    network : keras.Model
        A network on images with a layer called "box", see `agelib.models.al_resnet`.
    images : ndarray of shape (n, h, w, c)
        Pixels 0..255, not preprocessed.

    Returns
    -------
    ndarray of shape (n, 4), float32
        Top, left, bottom, right as shares of height and width, sorted so that top <= bottom and
        left <= right: the network may give the ends in either order, which mirrors its crop.

    Raises
    ------
    ValueError
        If the network has no layer called "box" or the images are not a batch.
    """
    if "box" not in [layer.name for layer in network.layers]:
        raise ValueError(
            f"network {network.name!r} has no layer called 'box'; give an AL-ResNet with a local "
            "branch (branches='local' or 'both')"
        )
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"images have shape {images.shape}; give a batch (n, h, w, channels)")
    reader = keras.Model(network.inputs, network.get_layer("box").output)
    reader.compile(jit_compile=backend.jit_compile())
    batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    boxes = np.concatenate([np.asarray(reader.predict_on_batch(batch)) for batch in batches])
    return _sorted(boxes.astype("float32"))


def plot_boxes(face: np.ndarray, boxes: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """Draw the boxes of many images on one averaged face.

    Parameters
    ----------
    face : ndarray of shape (h, w, 3), (h, w, 1) or (h, w), uint8
        An average over many faces, see `agelib.averages`.
    boxes : ndarray of shape (n, 4)
        Top, left, bottom, right as shares of height and width, from `predicted_boxes`.
    ax : Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    Axes
        The face in grey, over it in colour the share of the boxes that hold each pixel, and
        the mean of the boxes as a line. The title gives the mean area of the boxes.

    Raises
    ------
    ValueError
        If there is no box, a box has other than four ends within 0 and 1, or the face is not
        uint8.

    Notes
    -----
    A box counts from the centre of the first cell of the maps to that of the last. Drawn from
    edge to edge of the face it is off by half a cell at most: 16 pixels of 256.
    """
    face, boxes = np.asarray(face), np.asarray(boxes, dtype=float)
    _require(face, boxes)
    boxes = _sorted(boxes)
    height, width = face.shape[:2]
    ax = axes_or_new(ax, figsize=(4.4, 3.6))
    grey = face if face.ndim == 2 else face.mean(axis=-1)
    ax.imshow(grey, cmap="gray", vmin=0, vmax=255)
    shares = inside_share(boxes, (height, width))
    heat = ax.imshow(shares, cmap="viridis", vmin=0, vmax=1, alpha=0.45)
    ax.figure.colorbar(heat, ax=ax, label="Share of the boxes that hold the pixel")
    top, left, bottom, right = boxes.mean(axis=0) * [height, width, height, width] - 0.5
    corner, sides = (left, top), (right - left, bottom - top)
    ax.add_patch(
        Rectangle(corner, *sides, fill=False, color=COLOURS["validation"], lw=1.8, label="mean box")
    )
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).mean()
    title = f"Chosen boxes: {area:.1%} of the picture on average"
    ax.set_title(f"{title}\n{images_text(len(boxes))}")
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    ax.set_xlabel("Column (pixels)")
    ax.set_ylabel("Row (pixels)")
    ax.grid(False)
    ax.legend(loc="upper right", bbox_to_anchor=(1, -0.15))
    return ax


def inside_share(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return how often each pixel is inside a box.

    Parameters
    ----------
    boxes : ndarray of shape (n, 4)
        Top, left, bottom, right as shares, sorted.
    size : (int, int)
        Height and width of the picture in pixels.

    Returns
    -------
    ndarray of shape size, float32
        Share of the boxes that hold the centre of the pixel, 0 to 1.
    """
    rows, columns = (
        (boxes[:, [end]] <= centres) & (centres <= boxes[:, [end + 2]])
        for end, centres in enumerate((np.arange(side) + 0.5) / side for side in size)
    )
    return rows.T.astype("float32") @ columns.astype("float32") / len(boxes)


def _sorted(boxes: np.ndarray) -> np.ndarray:
    ends = boxes.reshape(-1, 2, 2)
    return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)


def _require(face: np.ndarray, boxes: np.ndarray) -> None:
    if face.dtype != np.uint8 or face.ndim not in (2, 3):
        raise ValueError(
            f"the face is {face.dtype} of shape {face.shape}; give uint8 pixels (h, w, c)"
        )
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise ValueError(f"boxes have shape {boxes.shape}; give (n, 4) with n from 1 up")
    # NaN compares false, so it is caught as well.
    bad = ~((boxes >= 0) & (boxes <= 1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"box {int(bad.argmax())} is {boxes[bad.argmax()].tolist()}; its ends are shares of "
            "height and width, 0 to 1"
        )
