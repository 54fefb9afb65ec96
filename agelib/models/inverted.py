"""A small network of inverted bottlenecks, for where size and speed count: our own."""

from __future__ import annotations

from agelib.backend import keras
from agelib.models.efficientnet_lite import convolution, inverted_block

layers = keras.layers

# Channels, blocks, stride of the first block, and how many times as wide a block is inside.
_STAGES = ((16, 1, 1, 1), (24, 2, 2, 4), (48, 3, 2, 4), (96, 3, 2, 4), (144, 2, 1, 4))


def inverted(x: keras.KerasTensor) -> keras.KerasTensor:
    """Small network of inverted bottlenecks (Sandler et al. 2018), 0.6 million weights.

    At 64 pixels the last maps are 4x4.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images.

    Returns
    -------
    KerasTensor of shape (n, 384)
        Features for the heads.
    """
    x = convolution(x, 16, 3, 2, "stem")
    for stage, (width, repeats, stride, expansion) in enumerate(_STAGES, 1):
        for repeat in range(1, repeats + 1):
            first = stride if repeat == 1 else 1
            x = inverted_block(x, width, 3, first, expansion, f"block_{stage}_{repeat}")
    x = convolution(x, 384, 1, 1, "head")
    return layers.GlobalAveragePooling2D(name="pool")(x)
