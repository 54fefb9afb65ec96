"""Baselines: what little, or no, looking at the face is worth (P2)."""

from __future__ import annotations

from agelib.backend import keras
from agelib.models.sizes import require_size

layers = keras.layers


def constant(x: keras.KerasTensor) -> keras.KerasTensor:
    """Nothing of the image: only the head's bias can learn, so it learns the class frequencies.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images.

    Returns
    -------
    KerasTensor of shape (n, 1)
        Zeros.
    """
    x = layers.Reshape((-1, 1), name="values")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return layers.Rescaling(0.0, name="zero")(x)


def softmax_regression(x: keras.KerasTensor) -> keras.KerasTensor:
    """Pixels as they are: with the head's soft-max a multinomial logistic regression (P2).

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P2 used 256x256 colour.

    Returns
    -------
    KerasTensor of shape (n, h * w * c)
        Features for the head.
    """
    return layers.Flatten(name="flatten")(x)


def dnn(x: keras.KerasTensor) -> keras.KerasTensor:
    """P2's shallow dense network, which it calls DNN; dropout stands before the ReLU, as there.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P2 used 256x256 colour.

    Returns
    -------
    KerasTensor of shape (n, 256)
        Features for the head.
    """
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(256, name="dense_256")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    return layers.ReLU(name="relu")(x)


def simple_cnn(x: keras.KerasTensor) -> keras.KerasTensor:
    """P2's convolutional network "similar to VGG16".

    Six blocks of padded 3x3 convolutions, each with max-pooling and then batch normalisation.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P2 used 256x256 colour, scaled to 0..1.

    Returns
    -------
    KerasTensor of shape (n, 512)
        Features for the head.

    Raises
    ------
    ValueError
        If the images are smaller than 64x64.
    """
    blocks = ((32, 64), (64, 64), (128,), (256,), (256,), (512,))
    require_size(x, [(2, 2)] * len(blocks), "P2's simple CNN")
    for number, block in enumerate(blocks, 1):
        for part, filters in enumerate(block, 1):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", name=f"conv_{number}_{part}"
            )(x)
        x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
        x = layers.BatchNormalization(name=f"batch_norm_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(512, activation="relu", name="dense_512")(x)


def rnn(x: keras.KerasTensor) -> keras.KerasTensor:
    """Recurrent network that reads the face from top to bottom, one row of pixels a time step.

    P2's README names an "RNN" among what was tried, but its repository has no such network; this
    is ours: one LSTM (Hochreiter and Schmidhuber 1997) whose last state describes the face.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; h time steps of w * c values.

    Returns
    -------
    KerasTensor of shape (n, 128)
        Features for the head.
    """
    _, height, width, channels = x.shape
    x = layers.Reshape((height, width * channels), name="rows")(x)
    return layers.LSTM(128, name="lstm")(x)
