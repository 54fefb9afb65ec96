"""AlexNet as P2 coded it."""

from __future__ import annotations

from agelib.backend import keras
from agelib.models.sizes import require_size

layers = keras.layers

# Filters, kernel, stride, and whether pooling by 2 follows.
CONVOLUTIONS = (
    (96, 11, 4, True),
    (256, 11, 1, True),
    (384, 3, 1, False),
    (384, 3, 1, False),
    (256, 3, 1, True),
)


def alexnet(x: keras.KerasTensor) -> keras.KerasTensor:
    """AlexNet as P2 coded it: no padding, so that 224 pixels end in a single position.

    The original (Krizhevsky et al. 2012) pads, has 5x5 kernels in the second convolution (P2:
    11x11), overlapping 3x3 pooling (P2: 2x2), local response normalisation (P2: none) and no third
    dense layer before the output (P2: 1,000 units, the original's output).

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P2 used 224x224 colour.

    Returns
    -------
    KerasTensor of shape (n, 1000)
        Features for the head.

    Raises
    ------
    ValueError
        If the images are smaller than 215x215.
    """
    steps = []
    for _, kernel, stride, pooled in CONVOLUTIONS:
        steps += [(kernel, stride)] + [(2, 2)] * pooled
    require_size(x, steps, "P2's AlexNet")
    for number, (filters, kernel, stride, pooled) in enumerate(CONVOLUTIONS, 1):
        x = layers.Conv2D(
            filters, kernel, strides=stride, activation="relu", name=f"conv_{number}"
        )(x)
        if pooled:
            x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate((4096, 4096, 1000), 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{number}_{units}")(x)
        x = layers.Dropout(0.4, name=f"dropout_{number}")(x)
    return x
