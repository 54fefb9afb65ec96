"""Architectures by name, and the network that an experiment describes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agelib.backend import keras
from agelib.experiment import Experiment
from agelib.labels import LabelScheme, get_scheme
from agelib.models import lenet
from agelib.preprocessing import augment, preprocess

ARCHITECTURES: dict[str, Callable] = {
    "lenet5": lenet.lenet5,
    "sithungu": lenet.sithungu,
}


def build(experiment: Experiment, *, images: np.ndarray | None = None) -> keras.Model:
    """Build the experiment's network, with its preprocessing inside, not yet compiled.

    Parameters
    ----------
    experiment : Experiment
        Architecture, options, image size, colour, preprocessing, labels.
    images : ndarray of shape (m, h, w, c), uint8, optional
        Training images, for a preprocessing that measures them.

    Returns
    -------
    keras.Model
        From pixels 0..255 of shape (n, h, w, c) to class probabilities (n, classes), or to
        years (n, 1) for a regression.

    Raises
    ------
    ValueError
        If the architecture or one of its options is unknown.
    """
    if experiment.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"architecture {experiment.architecture!r} is unknown; there are {known}")
    channels = 1 if experiment.color == "grey" else 3
    inputs = keras.Input((experiment.image_size, experiment.image_size, channels), name="pixels")
    x = preprocess(inputs, experiment.preprocessing, images=images)
    features = ARCHITECTURES[experiment.architecture](x, **dict(experiment.options))
    outputs = _head(features, get_scheme(experiment.labels))
    name = f"{experiment.architecture}_{experiment.labels}".replace("-", "_")
    return keras.Model(inputs, outputs, name=name)


def with_augmentation(network: keras.Model, names: tuple[str, ...]) -> keras.Model:
    """Return a network to train: the given one behind the named augmentations.

    The given network stays free of random layers, which Keras applies whenever a call leaves
    ``training`` open; it is the one to keep.
    """
    if not names:
        return network
    inputs = keras.Input(network.input_shape[1:], name="pixels")
    return keras.Model(inputs, network(augment(inputs, names)), name="augmented")


def _head(features, scheme: LabelScheme):
    # float32 whatever the policy: a soft-max in bfloat16 keeps two digits.
    if scheme.kind == "regression":
        return keras.layers.Dense(1, dtype="float32", name="age")(features)
    return keras.layers.Dense(
        scheme.n_classes, activation="softmax", dtype="float32", name="probabilities"
    )(features)
