"""A ConvNeXt-like network, trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence

from agelib.backend import keras

layers = keras.layers


def convnext(
    x: keras.KerasTensor,
    *,
    stem_stride: int = 4,
    widths: Sequence[int] = (40, 80, 160, 320),
    blocks: Sequence[int] = (2, 2, 6, 2),
    kernel: int = 7,
    dropout: float = 0.0,
) -> keras.KerasTensor:
    """ConvNeXt-like network (Liu et al. 2022), 3.4 million weights.

    Widths and blocks are those that timm calls "atto"; (64, 128, 256, 512) makes 8.5 million,
    (80, 160, 320, 640) 13.3. Layer scale and stochastic depth, which the original's long training
    needs, are left out.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; with a stem of stride 4 of 32 pixels or more.
    stem_stride : int
        Side of the squares that the first convolution takes; at 64 pixels 2 leaves maps of 4x4.
    widths, blocks : sequence of int
        Channels and number of blocks of each stage; each but the first halves height and width.
    kernel : int
        Side of the depthwise convolutions.
    dropout : float
        Rate before the head.

    Returns
    -------
    KerasTensor of shape (n, widths[-1])
        Features for the heads.

    Raises
    ------
    ValueError
        If the stages have widths but no number of blocks, or the other way round.
    """
    if len(widths) != len(blocks):
        raise ValueError(f"{len(widths)} widths but {len(blocks)} numbers of blocks; give as many")
    x = _convolution(widths[0], stem_stride, "stem", strides=stem_stride)(x)
    x = _norm("stem_norm")(x)
    for stage, (width, repeats) in enumerate(zip(widths, blocks, strict=True), 1):
        if stage > 1:
            x = _norm(f"down_{stage}_norm")(x)
            x = _convolution(width, 2, f"down_{stage}", strides=2)(x)
        for repeat in range(1, repeats + 1):
            x = _block(x, kernel, f"block_{stage}_{repeat}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = _norm("pool_norm")(x)
    return layers.Dropout(dropout, name="dropout")(x) if dropout else x


def _block(x, kernel: int, name: str):
    """Filter each channel by itself, then mix channels at each place in a wider layer."""
    width, shortcut = x.shape[-1], x
    x = layers.DepthwiseConv2D(
        kernel, padding="same", depthwise_initializer=_initial(), name=f"{name}_depthwise"
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
