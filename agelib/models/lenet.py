"""LeNet-5 and its descendants (P1 and P2, chapter 03)."""

from __future__ import annotations

from agelib.backend import keras
from agelib.models.framed import Framing

layers = keras.layers


def lenet5(
    x: keras.KerasTensor,
    *,
    batch_norm: bool = False,
    l2: float = 0.0,
    pool_stride: int = 1,
    share: float = 1.0,
) -> keras.KerasTensor:
    """LeNet-5 as P1 (rijnberg) coded it: 3x3 kernels, pooling with stride 1, all ReLU.

    The classic network (LeCun et al. 1998) has 5x5 kernels and pooling with stride 2. P2's
    (Vashatkar) has P1's kernels and the classic stride.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P1 used 32x32 grey, P2 32x32 colour.
    batch_norm : bool
        Batch normalisation after each convolution's activation (P1's tweak 1.1).
    l2 : float
        Weight of the L2 penalty on the kernels of the two dense layers (P1's 1.2: 0.001).
    pool_stride : int
        Stride of the 2x2 average pooling: 1 in P1, 2 in P2.
    share : float
        Share of the picture's side that the face is given before the first layer: how it looks
        where nobody has cropped it (chapter 23).

    Returns
    -------
    KerasTensor of shape (n, 84)
        Features for the head.
    """
    if share != 1.0:
        x = Framing(share, name="framing")(x)
    for filters in (6, 16):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv_{filters}")(x)
        if batch_norm:
            x = layers.BatchNormalization(name=f"batch_norm_{filters}")(x)
        x = layers.AveragePooling2D(2, strides=pool_stride, name=f"pool_{filters}")(x)
    x = layers.Flatten(name="flatten")(x)
    for units in (120, 84):
        penalty = keras.regularizers.L2(l2) if l2 else None
        x = layers.Dense(
            units, activation="relu", kernel_regularizer=penalty, name=f"dense_{units}"
        )(x)
    return x


def sithungu(x: keras.KerasTensor) -> keras.KerasTensor:
    """LeNet-5 for colour faces after Sithungu and Van der Haar, as P1 rebuilt it.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; 200x200 colour in both works.

    Returns
    -------
    KerasTensor of shape (n, 120)
        Features for the head.
    """
    x = layers.Conv2D(6, 7, activation="relu", name="conv_6")(x)
    x = layers.MaxPooling2D(2, name="pool_6")(x)
    x = layers.Conv2D(16, 3, activation="relu", name="conv_16")(x)
    x = layers.MaxPooling2D(2, name="pool_16")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation="relu", name="dense_120")(x)
    return layers.Dropout(0.5, name="dropout")(x)
