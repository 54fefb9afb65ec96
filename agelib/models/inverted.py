"""A small network of inverted bottlenecks, for where size and speed count: our own."""

from __future__ import annotations

from collections.abc import Sequence

from agelib.backend import keras
from agelib.models.efficientnet_lite import convolution, inverted_block

layers = keras.layers


def inverted(
    x: keras.KerasTensor,
    *,
    stem_stride: int = 2,
    widths: Sequence[int] = (16, 24, 48, 96, 144),
    blocks: Sequence[int] = (1, 2, 3, 3, 2),
    expansion: int = 4,
    features: int = 384,
    dropout: float = 0.0,
) -> keras.KerasTensor:
    """Small network of inverted bottlenecks (Sandler et al. 2018), 0.6 million weights.

    At 64 pixels the last maps are 4x4.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images.
    stem_stride : {1, 2}
        Of the first convolution.
    widths, blocks : sequence of int
        Channels and number of blocks of each stage; each but the first and the last halves height
        and width.
    expansion : int
        How many times as wide a block is inside; the first stage is not.
    features : int
        Channels of the convolution before the mean.
    dropout : float
        Rate before the head.

    Returns
    -------
    KerasTensor of shape (n, features)
        Features for the heads.

    Raises
    ------
    ValueError
        If the stages have widths but no number of blocks, or the other way round.
    """
    if len(widths) != len(blocks):
        raise ValueError(f"{len(widths)} widths but {len(blocks)} numbers of blocks; give as many")
    x = convolution(x, widths[0], 3, stem_stride, "stem")
    for stage, (width, repeats) in enumerate(zip(widths, blocks, strict=True)):
        first = 1 if stage in (0, len(widths) - 1) else 2
        for repeat in range(repeats):
            x = inverted_block(
                x, width, 3, 1 if repeat else first, expansion if stage else 1,
                f"block_{stage + 1}_{repeat + 1}",
            )  # fmt: skip
    x = convolution(x, features, 1, 1, "head")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return layers.Dropout(dropout, name="dropout")(x) if dropout else x
