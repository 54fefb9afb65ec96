"""A small residual network, trained from scratch: our own where the projects' rules are kept."""

from __future__ import annotations

from collections.abc import Sequence

from agelib.backend import keras

layers = keras.layers


def residual(
    x: keras.KerasTensor,
    *,
    stem_stride: int = 2,
    widths: Sequence[int] = (32, 64, 128, 256),
    blocks: int = 1,
) -> keras.KerasTensor:
    """Small residual network with batch normalisation (He et al. 2016), global average at its end.

    About 1.2 million weights; twice the widths make 4.9 million, two blocks of each width 2.8. At
    128 pixels with a stem of stride 4, or at 64 with stride 2, the last maps are 4x4.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images.
    stem_stride : {2, 4}
        How much the first convolutions shrink the image; 4 adds one of stride 2.
    widths : sequence of int
        Channels of the residual blocks; each but the first halves height and width.
    blocks : int
        Blocks of each width.

    Returns
    -------
    KerasTensor of shape (n, widths[-1])
        Features for the heads.

    Raises
    ------
    ValueError
        If ``stem_stride`` is neither 2 nor 4.
    """
    maps = residual_maps(x, stem_stride=stem_stride, widths=widths, blocks=blocks)
    return layers.GlobalAveragePooling2D(name="pool")(maps)


def residual_maps(
    x: keras.KerasTensor,
    *,
    stem_stride: int = 2,
    widths: Sequence[int] = (32, 64, 128, 256),
    blocks: int = 1,
) -> keras.KerasTensor:
    """Return the last maps of `residual`, (n, h, w, widths[-1]); the parameters are the same."""
    if stem_stride not in (2, 4):
        raise ValueError(f"stem_stride is {stem_stride!r}; choose 2 or 4")
    for number in range(1, 2 if stem_stride == 2 else 3):
        x = _convolution(x, widths[0], f"stem_{number}", strides=2)
        x = layers.ReLU(name=f"stem_{number}_relu")(x)
    for number, width in enumerate(widths, 1):
        x = _block(x, width, f"block_{number}", strides=1 if number == 1 else 2)
        for further in range(2, blocks + 1):
            x = _block(x, width, f"block_{number}_{further}", strides=1)
    return x


def _convolution(x, filters: int, name: str, *, size: int = 3, strides: int = 1):
    x = layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False,
        kernel_initializer="he_normal", name=name,
    )(x)  # fmt: skip
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def _block(x, width: int, name: str, *, strides: int):
    shortcut = x
    if strides > 1 or x.shape[-1] != width:
        shortcut = _convolution(x, width, f"{name}_shortcut", size=1, strides=strides)
    x = _convolution(x, width, f"{name}_conv_1", strides=strides)
    x = layers.ReLU(name=f"{name}_relu_1")(x)
    x = _convolution(x, width, f"{name}_conv_2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu_2")(x)
