"""Architectures by name, and the network that an experiment describes."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from agelib.backend import affordable, keras, precision
from agelib.experiment import Experiment
from agelib.heads import Head, Softmax, make_head
from agelib.labels import get_scheme
from agelib.models import (
    al_resnet,
    alexnet,
    baselines,
    convnext,
    coursework,
    coursework_b,
    efficientnet_lite,
    inception,
    inverted,
    lenet,
    levi_hassner,
    residual,
    resnet,
    topologies,
    vgg,
    wide_resnet,
)
from agelib.preprocessing import augment, preprocess

ARCHITECTURES: dict[str, Callable] = {
    "lenet5": lenet.lenet5,
    "sithungu": lenet.sithungu,
    "constant": baselines.constant,
    "softmax_regression": baselines.softmax_regression,
    "dnn": baselines.dnn,
    "simple_cnn": baselines.simple_cnn,
    "rnn": baselines.rnn,
    "alexnet": alexnet.alexnet,
    "four_c_two_f": levi_hassner.four_c_two_f,
    "four_c_two_f_modified": levi_hassner.four_c_two_f_modified,
    "vgg16": vgg.vgg16,
    "vgg19": vgg.vgg19,
    "inception_v3": inception.inception_v3,
    "resnet50": resnet.resnet50,
    "resnet50_v2": resnet.resnet50_v2,
    "efficientnet_lite0": efficientnet_lite.efficientnet_lite0,
    "al_resnet": al_resnet.al_resnet,
    "topology": topologies.topology,
    "wide_resnet": wide_resnet.wide_resnet,
    "coursework_a": coursework.coursework_a,
    "coursework_b": coursework_b.coursework_b,
    "residual": residual.residual,
    "convnext": convnext.convnext,
    "inverted": inverted.inverted,
}


def build(
    experiment: Experiment, *, images: np.ndarray | None = None, policy: str | None = None
) -> keras.Model:
    """Build the experiment's network, with its preprocessing inside, not yet compiled.

    Parameters
    ----------
    experiment : Experiment
        Architecture, options, image size, colour, preprocessing, labels, head.
    images : ndarray of shape (m, h, w, c), uint8, optional
        Training images, for a preprocessing that measures them.
    policy : str, optional
        Keras dtype policy; what this machine can afford of the recipe's when omitted.

    Returns
    -------
    keras.Model
        From pixels 0..255 of shape (n, h, w, c) to class probabilities (n, classes), or to
        years (n, 1) for a regression. With a gender output, to a dict of that under "age" and
        the gender under "gender".

    Raises
    ------
    ValueError
        If the architecture or one of its options is unknown, or two branches are to give more
        than a soft-max over the age.
    DataError
        If it needs pretrained weights that cannot be had.
    """
    if experiment.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"architecture {experiment.architecture!r} is unknown; there are {known}")
    channels = 1 if experiment.color == "grey" else 3
    name = f"{experiment.architecture}_{experiment.labels}".replace("-", "_")
    with precision(policy or affordable(experiment.recipe.precision)):
        inputs = keras.Input(
            (experiment.image_size, experiment.image_size, channels), name="pixels"
        )
        x = preprocess(inputs, experiment.preprocessing, images=images)
        builder, options = ARCHITECTURES[experiment.architecture], dict(experiment.options)
        try:
            inspect.signature(builder).bind(x, **options)
        except TypeError as error:
            raise ValueError(f"architecture {experiment.architecture!r}: {error}") from error
        features = builder(x, **options)
        return keras.Model(inputs, _outputs(features, experiment), name=name)


def head_of(experiment: Experiment) -> Head:
    """Return the experiment's head."""
    return make_head(
        experiment.head,
        get_scheme(experiment.labels),
        dict(experiment.head_options),
        dense_targets=experiment.recipe.mixup > 0 or experiment.recipe.cutmix > 0,
    )


def _outputs(features, experiment: Experiment):
    head = head_of(experiment)
    one_softmax = type(head).output is Softmax.output and not (experiment.gender or experiment.race)
    if isinstance(features, list) and not one_softmax:
        raise ValueError(
            f"{experiment.slug}: branches='both' goes with a soft-max over the age alone, not with "
            f"head {type(head).__name__}, gender={experiment.gender} and "
            f"race={experiment.race}; choose 'local' or 'global'"
        )
    branches = features if isinstance(features, dict) else {"age": features, "gender": features}
    age = head.output(branches["age"])
    outputs = {"age": age}
    if experiment.gender:
        outputs["gender"] = head.gender_output(branches["gender"])
    if experiment.race:
        outputs["race"] = head.race_output(branches["age"])
    return outputs if len(outputs) > 1 else age


def with_augmentation(network: keras.Model, names: tuple[str, ...]) -> keras.Model:
    """Return a network to train: the given one behind the named augmentations.

    The given network stays free of random layers, which Keras applies whenever a call leaves
    ``training`` open; it is the one to keep.
    """
    if not names:
        return network
    inputs = keras.Input(network.input_shape[1:], name="pixels")
    return keras.Model(inputs, network(augment(inputs, names)), name="augmented")
