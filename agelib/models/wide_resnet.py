"""Wide residual networks (P4)."""

from __future__ import annotations

from agelib.backend import keras

layers = keras.layers


def wide_resnet(
    x: keras.KerasTensor,
    *,
    depth: int = 16,
    width: int = 8,
    pooling: str = "as-coded",
) -> keras.KerasTensor:
    """Wide residual network (Zagoruyko and Komodakis 2016): WRN-16-8 is P4's (IkagarjotSingh).

    WRN-16-8 has 10,949,040 weights in convolutions and 14,400 in batch normalisation. P4's heads,
    also without bias, add 13,500,416 as coded and 52,736 with global pooling. In P4 they had the
    L2 penalty of 5e-4 and He's start as well; here they are those of all networks, without a
    penalty and with Glorot's start.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P4 used 64x64 colour.
    depth : int
        Layers with weights: 4 and a multiple of 6.
    width : int
        Factor of the channels 16, 32, 64 of the three stages.
    pooling : {'as-coded', 'global'}
        P4's 8x8 average pooling has stride 1 and padding, so that 16x16 positions remain, and its
        heads hold 55 % of all weights; 'global' is the average over all positions that was meant.

    Returns
    -------
    KerasTensor of shape (n, h / 4 * w / 4 * 64 * width), or (n, 64 * width) with 'global'
        Features for the heads.

    Raises
    ------
    ValueError
        If depth or pooling are none of these.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth is {depth!r}; give 4 and a multiple of 6: 10, 16, 22, 28 ...")
    if pooling not in ("as-coded", "global"):
        raise ValueError(f"pooling is {pooling!r}; choose 'as-coded' or 'global'")
    x = _convolution(x, 16, "stem")
    for stage, (channels, strides) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        for number in range(1, (depth - 4) // 6 + 1):
            x = _block(
                x, channels * width, f"block_{stage}_{number}",
                strides=strides if number == 1 else 1,
            )  # fmt: skip
    x = _normalised(x, "final")
    if pooling == "global":
        return layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.AveragePooling2D(8, strides=1, padding="same", name="pool")(x)
    return layers.Flatten(name="flatten")(x)


def _normalised(x, name: str):
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolution(x, filters: int, name: str, *, size: int = 3, strides: int = 1):
    return layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, name=name,
        kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.L2(5e-4),
    )(x)  # fmt: skip


def _block(x, filters: int, name: str, *, strides: int):
    before, x = x, _normalised(x, f"{name}_1")
    shortcut = before
    if before.shape[-1] != filters or strides > 1:
        # As in the paper's own code, the projection looks at the activated input.
        shortcut = _convolution(x, filters, f"{name}_shortcut", size=1, strides=strides)
    x = _convolution(x, filters, f"{name}_conv_1", strides=strides)
    x = _normalised(x, f"{name}_2")
    x = _convolution(x, filters, f"{name}_conv_2")
    return layers.Add(name=f"{name}_add")([x, shortcut])
