"""4C2F: P2's networks after Levi and Hassner (2015)."""

from __future__ import annotations

from agelib.backend import keras
from agelib.models.sizes import require_size

layers = keras.layers


def four_c_two_f(x: keras.KerasTensor) -> keras.KerasTensor:
    """P2's "4C2F-NN" as coded: three convolutions, whatever the name says, and two dense layers.

    Levi and Hassner (2015) with batch normalisation for local response normalisation, 2x2 for 3x3
    pooling and dropout of 0.3 for 0.5.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P2 used 227x227 colour.

    Returns
    -------
    KerasTensor of shape (n, 512)
        Features for the head.

    Raises
    ------
    ValueError
        If the images are smaller than 35x35.
    """
    require_size(x, [(7, 4), (2, 2), (2, 2), (2, 2)], "4C2F")
    x = _block(x, 1, 96, 7, strides=4)
    x = _block(x, 2, 256, 5, padding=2)
    x = _block(x, 3, 256, 3, padding=1, batch_norm=False)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(512, activation="relu", name=f"dense_{number}_512")(x)
        x = layers.Dropout(0.3, name=f"dropout_{number}")(x)
    return x


def four_c_two_f_modified(x: keras.KerasTensor) -> keras.KerasTensor:
    """P2's modified 4C2F: four smaller convolutions, one dense layer, a ninth of the weights.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P2 used 227x227 colour.

    Returns
    -------
    KerasTensor of shape (n, 128)
        Features for the head.

    Raises
    ------
    ValueError
        If the images are smaller than 99x99.
    """
    # The last convolution's window counts as 1: it is 3 wide and has 2 of padding.
    require_size(x, [(7, 4), (2, 2), (2, 2), (2, 2), (1, 2), (2, 2)], "the modified 4C2F")
    x = _block(x, 1, 96, 7, strides=4)
    x = _block(x, 2, 128, 5, padding=2)
    x = _block(x, 3, 128, 3, padding=1)
    x = _block(x, 4, 256, 3, padding=1, strides=2)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense_128")(x)
    return layers.Dropout(0.25, name="dropout")(x)


def _block(
    x, number: int, filters: int, kernel: int, *, strides=1, padding=0, batch_norm: bool = True
):
    if padding:
        x = layers.ZeroPadding2D(padding, name=f"pad_{number}")(x)
    x = layers.Conv2D(filters, kernel, strides=strides, activation="relu", name=f"conv_{number}")(x)
    x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    if batch_norm:
        x = layers.BatchNormalization(name=f"batch_norm_{number}")(x)
    return x
