"""A frozen trunk is run once over the images, not once an epoch."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from agelib import backend
from agelib.backend import keras
from agelib.experiment import Experiment
from agelib.parts import Part
from agelib.pipeline import Batches, epoch_order
from agelib.streaming import memory_budget

_BYTES = 4  # of an output; in mixed precision two


class Outputs:
    """What a trunk gave for the images of a part, in the place of the images."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def release(self) -> None:
        """Let go of the outputs."""
        self.values = self.values[:0]

    def order(self, state: int, epoch: int) -> np.ndarray:
        """Return the order of an epoch."""
        return epoch_order(len(self), state, epoch)

    def take(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return the outputs at ``positions``."""
        return self.values[positions]


def cacheable(network: keras.Model, experiment: Experiment, n: int) -> bool:
    """Return whether the trunk gives the same outputs in every epoch, and memory holds them.

    It does when it is frozen, with batch normalisation on its stored statistics, and the images
    are not changed on the way. Maps of many channels can be larger than the images by far.

    Parameters
    ----------
    network : keras.Model
        From `agelib.models.build`.
    experiment : Experiment
        Its description.
    n : int
        Images of all parts together.
    """
    recipe = experiment.recipe
    if recipe.augmentation or recipe.mixup or recipe.cutmix or experiment.flip_at_test:
        return False
    if "trunk" not in [layer.name for layer in network.layers]:
        return False
    # A trunk whose batch normalisation goes by the batch counts as trainable even where none of
    # its weights changes, see :class:`agelib.models.batch_statistics.BatchStatistics`.
    trunk = network.get_layer("trunk")
    fits = n * math.prod(trunk.output.shape[1:]) * _BYTES <= memory_budget()
    return not trunk.trainable and fits


class Frozen:
    """A network cut behind its frozen trunk.

    Parameters
    ----------
    network : keras.Model
        With a nested network called "trunk" that is called once.

    Attributes
    ----------
    front, rest : keras.Model
        From pixels to the trunk's output, and from there to the network's outputs. They share
        the network's layers.
    """

    def __init__(self, network: keras.Model) -> None:
        between = network.get_layer("trunk")._inbound_nodes[-1].output_tensors[0]
        self.front = keras.Model(network.inputs, between)
        self.front.compile(jit_compile=backend.jit_compile())
        self.rest = keras.Model(between, network.output, name=network.name)

    def cached(self, part: Part) -> Part:
        """Return the part with the trunk's outputs in the place of images."""
        batches = Batches(part.images, batch_size=backend.prediction_batch(len(part.images)))
        outputs = Outputs(np.asarray(self.front.predict(batches, verbose=0)))
        part.images.release()
        return dataclasses.replace(part, images=outputs)
