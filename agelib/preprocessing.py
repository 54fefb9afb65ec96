"""What stands inside a network before its first layer: augmentation and pixel scaling.

Networks take uint8-valued pixels (0..255) and carry their own preprocessing, so that training,
prediction and an exported file cannot disagree about it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agelib.backend import keras

IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)


def _scale(x, images):
    return keras.layers.Rescaling(1 / 255, name="scale")(x)


def _caffe(x, images):
    if x.shape[-1] != 3:
        raise ValueError("preprocessing 'caffe' needs color images; set color='rgb'")
    return keras.layers.Normalization(
        mean=IMAGENET_MEAN_BGR, variance=(1.0, 1.0, 1.0), name="caffe"
    )(x[..., ::-1])


def _standardize(x, images):
    if images is None:
        raise ValueError("preprocessing 'standardize' needs training images to measure")
    pixels = images.reshape(-1, images.shape[-1]).astype("float64")
    return keras.layers.Normalization(
        mean=pixels.mean(0), variance=pixels.var(0), name="standardize"
    )(x)


def _minus_one_to_one(x, images):
    return keras.layers.Rescaling(1 / 127.5, offset=-1, name="minus_one_to_one")(x)


def _crop(x, images):
    # Not CenterCrop: where nobody says whether this is training, it tells all layers that it is.
    rests = [side - round(side * 8 / 9) for side in x.shape[1:3]]
    borders = tuple((rest // 2, rest - rest // 2) for rest in rests)
    return _minus_one_to_one(keras.layers.Cropping2D(borders, name="crop")(x), images)


PREPROCESSING: dict[str, Callable] = {
    "scale": _scale,  # to 0..1, as P1, P3 and P5
    "caffe": _caffe,  # BGR minus the ImageNet mean, as P2
    "minus-one-to-one": _minus_one_to_one,  # what Inception, ResNet V2 and MobileNet learnt with
    "standardize": _standardize,  # zero mean and unit variance per channel of the training part
    "crop": _crop,  # the middle 8/9 of each side, to -1..1: what 'move' leaves of a larger image
}

AUGMENTATIONS: dict[str, Callable[[], keras.layers.Layer]] = {
    "flip": lambda: keras.layers.RandomFlip("horizontal", name="flip"),
    "shift": lambda: keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest", name="shift"),
    # With the preprocessing 'crop' behind it nearly a random crop, of 72 pixels any 64 in a row;
    # but it moves by fractions of a pixel: training images are a little blurred, others are not.
    "move": lambda: keras.layers.RandomTranslation(1 / 18, 1 / 18, "nearest", name="move"),
    "rotate": lambda: keras.layers.RandomRotation(20 / 360, fill_mode="nearest", name="rotate"),
    "zoom": lambda: keras.layers.RandomZoom((-0.15, 0.05), fill_mode="nearest", name="zoom"),
    "brightness": lambda: keras.layers.RandomBrightness(0.2, name="brightness"),
    "contrast": lambda: keras.layers.RandomContrast(0.2, value_range=(0, 255), name="contrast"),
    # Half of the images lose a rectangle of 2 to 33 % of their area (Zhong et al. 2020).
    "erase": lambda: keras.layers.RandomErasing(
        (0.5, 0.5), scale=(0.02, 0.33), value_range=(0, 255), name="erase"
    ),
}


def augment(x: keras.KerasTensor, names: tuple[str, ...]) -> keras.KerasTensor:
    """Apply the named augmentations to a Keras tensor of pixels 0..255 of shape (n, h, w, c)."""
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(f"augmentation {name!r} is unknown; choose from {list(AUGMENTATIONS)}")
        x = AUGMENTATIONS[name]()(x)
    return x


def preprocess(
    x: keras.KerasTensor, name: str, *, images: np.ndarray | None = None
) -> keras.KerasTensor:
    """Apply a named preprocessing to a Keras tensor of pixels 0..255.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Pixels 0..255.
    name : str
        Key of :data:`PREPROCESSING`.
    images : ndarray of shape (m, h, w, c), optional
        Training images; 'standardize' measures them.

    Raises
    ------
    ValueError
        If the name is unknown or the preprocessing does not fit the images.
    """
    if name not in PREPROCESSING:
        raise ValueError(f"preprocessing {name!r} is unknown; choose from {list(PREPROCESSING)}")
    return PREPROCESSING[name](x, images)
