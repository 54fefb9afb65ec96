"""A ConvNeXt-like network, trained from scratch."""

from __future__ import annotations

from agelib.backend import keras

layers = keras.layers

# Channels and blocks of each stage: those that timm calls "atto".
_STAGES = ((40, 2), (80, 2), (160, 6), (320, 2))


def convnext(x: keras.KerasTensor, *, stem_stride: int = 4) -> keras.KerasTensor:
    """ConvNeXt-like network (Liu et al. 2022), 3.4 million weights.

    Layer scale and stochastic depth, which the original's long training needs, are left out.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; with a stem of stride 4 of 32 pixels or more.
    stem_stride : int
        Side of the squares that the first convolution takes; at 64 pixels 2 leaves maps of 4x4.

    Returns
    -------
    KerasTensor of shape (n, 320)
        Features for the heads.
    """
    x = _convolution(_STAGES[0][0], stem_stride, "stem", strides=stem_stride)(x)
    x = _norm("stem_norm")(x)
    for stage, (width, repeats) in enumerate(_STAGES, 1):
        if stage > 1:
            x = _norm(f"down_{stage}_norm")(x)
            x = _convolution(width, 2, f"down_{stage}", strides=2)(x)
        for repeat in range(1, repeats + 1):
            x = _block(x, f"block_{stage}_{repeat}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return _norm("pool_norm")(x)


def _block(x, name: str):
    """Filter each channel by itself, then mix channels at each place in a wider layer."""
    width, shortcut = x.shape[-1], x
    x = layers.DepthwiseConv2D(
        7, padding="same", depthwise_initializer=_initial(), name=f"{name}_depthwise"
    )(x)
    x = _norm(f"{name}_norm")(x)
    # A convolution of one pixel is a dense layer at each place, and quicker on a CPU.
    x = _convolution(4 * width, 1, f"{name}_wide")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = _convolution(width, 1, f"{name}_narrow")(x)
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _convolution(filters: int, size: int, name: str, *, strides: int = 1):
    return layers.Conv2D(filters, size, strides=strides, kernel_initializer=_initial(), name=name)


def _norm(name: str):
    return layers.LayerNormalization(epsilon=1e-6, name=name)


def _initial():
    return keras.initializers.TruncatedNormal(stddev=0.02)
