"""The shape of a network: a table of its layers and a drawing."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from agelib.plots_results import axes_or_new

_FILLS = {
    "input": "#d5d5d5",
    "convolution": "#56b4e9",
    "pooling": "#de8f05",
    "dense": "#029e73",
    "output": "#cc78bc",
    "other": "#ececec",
}
_MOST_BOXES = 16


def flat_layers(model: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return the layers of a network in order, those of nested networks in their place.

    Parameters
    ----------
    model : keras.Model
        Any network with ``layers``.
    prefix : str
        What stands before each name; layers of a nested network are called "outer/inner".

    Returns
    -------
    list of (str, keras.Layer)
        Input layers and networks themselves are left out.
    """
    found = []
    for layer in model.layers:
        name = f"{prefix}{layer.name}"
        if hasattr(layer, "layers"):
            found += flat_layers(layer, f"{name}/")
        elif type(layer).__name__ != "InputLayer":
            found.append((name, layer))
    return found


def output_shape(layer: Any) -> tuple[int | None, ...] | None:
    """Return a layer's output shape without the batch axis; None if it has not just one."""
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):
        return None
    return tuple(shape[1:])


def layer_table(model: Any) -> pd.DataFrame:
    """List the layers of a network; layers of nested networks stand in their place.

    Parameters
    ----------
    model : keras.Model
        A built network.

    Returns
    -------
    DataFrame
        ``layer``, ``type``, ``output_shape`` (text such as "28 x 28 x 6"), ``parameters``
        and ``trainable`` (how many of them are trained). The parameters add up to those of
        the network: a shared layer is listed once.
    """
    rows, seen = [], set()
    for name, layer in flat_layers(model):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        rows.append(
            {
                "layer": name,
                "type": type(layer).__name__,
                "output_shape": _shape_text(output_shape(layer)),
                "parameters": layer.count_params(),
                "trainable": sum(math.prod(w.shape) for w in layer.trainable_weights),
            }
        )
    columns = ["layer", "type", "output_shape", "parameters", "trainable"]
    return pd.DataFrame(rows, columns=columns)


def network_drawing(model: Any, ax: Axes | None = None) -> Axes:
    """Draw a network from left to right as boxes, one for each size of layer output.

    Heights grow with the square root of the spatial size, widths with the logarithm of the
    channels; of vectors, heights grow with the logarithm of the units. Layers in a row that
    keep the shape share a box; when there would be too many boxes, layers in a row that keep
    the spatial size do. Branches are not drawn; several outputs stand above each other.

    Parameters
    ----------
    model : keras.Model
        A built network on images (h, w, channels).
    ax : Axes, optional
        Where to draw; a new figure, as wide as it needs to be, when omitted.

    Returns
    -------
    Axes
        The title gives the number of parameters and of layers.
    """
    layers = [layer for _, layer in flat_layers(model)]
    names = [tensor._keras_history.operation.name for tensor in model.outputs]
    boxes = _boxes(model, layers, names)
    ends = [(shape, "output", "output") for shape in (tuple(t.shape[1:]) for t in model.outputs)]
    ax = axes_or_new(ax, figsize=(max(5.0, 0.45 * (len(boxes) + 2)), 3.5))
    spatial = max([s[0] or 1 for s, *_ in boxes if len(s) == 3], default=1)
    units = max([s[-1] or 1 for s, *_ in boxes + ends if len(s) < 3], default=1)
    left = 0.0
    for shape, kind, label in boxes:
        width, height = _box_size(shape, spatial, units)
        _draw_box(ax, (left, -height / 2, width, height), kind, f"{_shape_text(shape)}, {label}")
        left += max(width, 0.34) + 0.2
    for number, (shape, kind, _) in enumerate(ends):
        middle = (number - (len(ends) - 1) / 2) * -0.7
        _draw_box(ax, (left, middle - 0.22, 0.34, 0.44), kind, "")
        text = f"{names[number]}\n{_shape_text(shape)}"
        ax.text(left + 0.45, middle, text, va="center", fontsize=7)
    ax.set(xlim=(-0.2, left + 2.0), ylim=(-3.5, 1.15), xticks=[], yticks=[])
    ax.set_xlabel("Input to output (height: root of the side, width: log of the channels)")
    ax.spines[:].set_visible(False)
    ax.grid(False)
    kinds = [kind for kind in _FILLS if kind in {k for _, k, _ in boxes + ends}]
    patches = [Patch(facecolor=_FILLS[kind], edgecolor="black", label=kind) for kind in kinds]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.08), "ncols": 6}
    ax.legend(handles=patches, handlelength=1.2, columnspacing=1, **below)
    ax.set_title(f"{model.name}: {model.count_params():,} parameters\nn = {len(layers)} layers")
    return ax


def _shape_text(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return "several"
    return " x ".join("?" if side is None else f"{side:,}" for side in shape) or "1"


def _boxes(model: Any, layers: list[Any], heads: list[str]) -> list[tuple[tuple, str, str]]:
    """Return (shape, kind, label) from the input to the last layer before the outputs."""
    inner = [(output_shape(layer), layer) for layer in layers if layer.name not in heads]
    inner = [(shape, layer) for shape, layer in inner if shape is not None]
    start = tuple(model.input_shape[1:])
    runs = [(s, [x for _, x in run]) for s, run in itertools.groupby(inner, lambda item: item[0])]
    if len(runs) > _MOST_BOXES:
        stages = itertools.groupby(inner, lambda item: item[0][:-1] or item[0])
        runs = [(run[-1][0], [x for _, x in run]) for run in (list(r) for _, r in stages)]
    boxes = []
    for number, (shape, run) in enumerate(runs):
        kind, label = _describe(run)
        if number == 0 and shape == start:
            # Scaling and augmentation keep the shape: they belong to the input.
            kind, label = "input", "input"
        elif number == 0:
            boxes.append((start, "input", "input"))
        boxes.append((shape, kind, label))
    return boxes or [(start, "input", "input")]


def _describe(run: list[Any]) -> tuple[str, str]:
    """Return the kind of a run of layers and a label that counts its main layers."""
    kinds = {"convolution": "Conv", "dense": "Dense", "pooling": "Pool"}
    types = [type(layer).__name__ for layer in run]
    for kind, word in kinds.items():
        main = [t for t in types if word in t]
        if main:
            name = main[0].removesuffix("2D")
            return kind, f"{len(main)} {name}" if len(main) > 1 else name
    return "other", types[0]


def _box_size(shape: tuple, spatial: int, units: int) -> tuple[float, float]:
    if len(shape) == 3:
        width = 0.08 + 0.07 * math.log2(1 + (shape[-1] or 1))
        return width, max(0.08, 2 * math.sqrt((shape[0] or 1) / spatial))
    return 0.12, max(0.15, 1.6 * math.log(1 + (shape[-1] or 1)) / math.log(1 + units))


def _draw_box(ax: Axes, place: tuple[float, float, float, float], kind: str, label: str) -> None:
    left, bottom, width, height = place
    ax.add_patch(Rectangle((left, bottom), width, height, fc=_FILLS[kind], ec="black", lw=0.7))
    # Turned and hung from one line: side by side they would cover each other.
    ax.text(left + width / 2, -1.15, label, rotation=90, ha="center", va="top", fontsize=6.5)
