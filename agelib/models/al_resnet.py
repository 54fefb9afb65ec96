"""AL-ResNet: a network that chooses a box of its own feature maps (P2)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from agelib.backend import keras
from agelib.files import DataError
from agelib.models.crop import CropAndResize
from agelib.models.efficientnet_lite import LITE0
from agelib.models.pretrained import Backbone, Trainable
from agelib.models.pretrained import trunk as call_trunk
from agelib.models.residual import residual_maps
from agelib.models.resnet import RESNET50_V2

layers = keras.layers

Features = keras.KerasTensor | list[tuple[keras.KerasTensor, float]]


def al_resnet(
    x: keras.KerasTensor,
    *,
    trunk: str = "resnet50_v2",
    weights: str | None = None,
    branches: str = "both",
    lstm: bool = True,
    trainable: Trainable = "none",
    **trunk_options: Any,
) -> Features:
    """AL-ResNet as P2 coded it: whole maps, and a box of them that an LSTM chooses.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P2 used 256x256 in colour, divided by 255.
    trunk : {'resnet50_v2', 'efficientnet_lite0', 'residual'}
        Whose last maps are used. P2 had ResNet50V2, trained on 14 classes before.
    weights : str, optional
        Of the trunk, see :func:`agelib.models.pretrained.trunk`; None: random, or those of the
        experiment that it starts from.
    branches : {'both', 'local', 'global'}
        'local' is P2's first stage, 'both' its second; 'global' is the trunk alone.
    lstm : bool
        Whether an LSTM stands between the maps and the box. Without it a dense layer gives the
        box (an ablation, not in P2).
    trainable : {'none', 'all'} or int
        What of the trunk is trained, see :func:`agelib.models.pretrained.set_trainable`; P2
        froze it.
    **trunk_options
        ``stem_stride`` and ``widths`` of :func:`agelib.models.residual.residual_maps`; the other
        trunks have none.

    Returns
    -------
    KerasTensor of shape (n, d), or list of (KerasTensor, weight)
        'local': the mean of the maps in the chosen box, d maps. 'global': a dense layer of 256
        on the mean of the whole maps. 'both': ``[(global, 1.0), (local, 0.5)]``, each through
        a dense layer of 256, for the weighted mean of two soft-maxes.

    Raises
    ------
    DataError
        If the weights cannot be had or do not fit.
    ValueError
        If an option has no such value, or the images are too small.

    Notes
    -----
    After Zhang et al. 2018, "Fine-grained age estimation in the wild with attention LSTM
    networks" (arXiv 1805.10445). P2 differs: the 512 steps of its LSTM are the numbers of one
    dense layer, and the box is cut out of the maps, not out of the photograph. A convolution of
    kernel 250 and stride 2 turns the 256 states of the LSTM into (256 - 250) / 2 + 1 = 4
    numbers: the box (y1, x1, y2, x2), shares of the maps' height and width with the ends in any
    order. The layer that gives it, (n, 4), is called "box".
    """
    if branches not in ("both", "local", "global"):
        raise ValueError(f"branches is {branches!r}; choose 'both', 'local' or 'global'")
    backbone = _backbone(trunk, trunk_options)
    maps = call_trunk(backbone, x, weights=weights, trainable=trainable)
    if branches == "local":
        return _local(maps, lstm=lstm)
    whole = layers.GlobalAveragePooling2D(name="global_mean")(maps)
    whole = layers.Dense(256, activation="relu", name="global_dense_256")(whole)
    if branches == "global":
        return whole
    local = layers.Dense(256, activation="relu", name="local_dense_256")(_local(maps, lstm=lstm))
    return [(whole, 1.0), (local, 0.5)]


def _local(maps: keras.KerasTensor, *, lstm: bool) -> keras.KerasTensor:
    """Return the means of the maps in the chosen box."""
    x = layers.GlobalAveragePooling2D(name="box_mean")(maps)
    x = layers.Dense(512, activation="relu", name="box_dense_512")(x)
    crop = CropAndResize(8, name="crop")([maps, _box(x, lstm=lstm)])
    return layers.GlobalAveragePooling2D(name="local_mean")(crop)


def _box(x: keras.KerasTensor, *, lstm: bool) -> keras.KerasTensor:
    # float32 whatever the policy: in bfloat16 the ends would jump in steps of 1/256.
    if not lstm:
        return layers.Dense(4, activation="sigmoid", dtype="float32", name="box")(x)
    x = layers.Reshape((512, 1), name="box_steps")(x)
    _, hidden, cell = layers.LSTM(128, return_state=True, name="box_lstm_128")(x)
    x = layers.Concatenate(name="box_states")([hidden, cell])
    x = layers.Reshape((256, 1), name="box_sequence")(x)
    x = layers.Conv1D(
        1, 250, strides=2, activation="sigmoid", dtype="float32", name="box_conv_250"
    )(x)
    return layers.Reshape((4,), dtype="float32", name="box")(x)


class _Residual(Backbone):
    """The small residual network as a trunk; it has no published weights."""

    def network(self, shape: tuple[int, int, int]) -> keras.Model:
        inputs = keras.Input(shape, name="images")
        return keras.Model(inputs, self.builder(inputs), name="trunk")

    def imagenet(self) -> Path:
        raise DataError(
            "there are no ImageNet weights of the residual network; set weights to None or to a "
            "file, or start from another experiment"
        )


def _backbone(name: str, options: dict[str, Any]) -> Backbone:
    if name == "residual":
        maps = functools.partial(residual_maps, **options)
        return _Residual("the residual network", maps, smallest=1)
    backbones = {"resnet50_v2": RESNET50_V2, "efficientnet_lite0": LITE0}
    if name not in backbones:
        raise ValueError(f"trunk {name!r} is unknown; choose from {', '.join(backbones)}, residual")
    if options:
        raise ValueError(f"trunk {name!r} has no options; leave out {', '.join(options)}")
    return backbones[name]
