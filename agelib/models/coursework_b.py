"""Model B of the University of Bath's coursework: a pretrained backbone, two tasks (P5)."""

from __future__ import annotations

from agelib.backend import keras
from agelib.models.efficientnet_lite import LITE0
from agelib.models.pretrained import Trainable, trunk
from agelib.models.vgg import VGG16

layers = keras.layers

_BACKBONES = {"vgg16": VGG16, "efficientnet_lite0": LITE0}


def coursework_b(
    x: keras.KerasTensor,
    *,
    backbone: str = "vgg16",
    weights: str | None = None,
    trainable: Trainable = "none",
) -> dict[str, keras.KerasTensor]:
    """P5's model B: a frozen VGG16 and on it a branch for each task.

    A branch is a dense layer of 512 at each position, flatten, a dense layer of 256 with an L2
    penalty of 1e-4 on its kernel, and dropout of one half.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; 128x128 colour under the coursework's rules, 'scale' in P5.
    backbone : {'vgg16', 'efficientnet_lite0'}
        Which trunk; P5 had VGG16.
    weights : str, optional
        None: random; "imagenet"; or a file, see :func:`agelib.models.pretrained.trunk`.
    trainable : {'all', 'none'} or int
        What of the trunk is trained, see :func:`agelib.models.pretrained.set_trainable`.

    Returns
    -------
    dict of str to KerasTensor of shape (n, 256)
        Features for the heads under "age" and "gender".

    Raises
    ------
    DataError
        If the weights cannot be had or do not fit.
    ValueError
        If an option has no such value, or the images are too small.
    """
    if backbone not in _BACKBONES:
        raise ValueError(f"backbone {backbone!r} is unknown; choose from {list(_BACKBONES)}")
    x = trunk(_BACKBONES[backbone], x, weights=weights, trainable=trainable)
    return {task: _branch(x, task) for task in ("age", "gender")}


def _branch(x: keras.KerasTensor, task: str) -> keras.KerasTensor:
    x = layers.Dense(512, "relu", name=f"{task}_dense_512")(x)
    x = layers.Flatten(name=f"{task}_flatten")(x)
    x = layers.Dense(
        256, "relu", kernel_regularizer=keras.regularizers.L2(1e-4), name=f"{task}_dense_256"
    )(x)
    return layers.Dropout(0.5, name=f"{task}_dropout")(x)
