"""Ordinal heads: one question a year, "older than k?", instead of one class a year."""

from __future__ import annotations

from typing import Any

import numpy as np

from agelib.backend import keras
from agelib.heads.base import Features
from agelib.heads.softmax import PerYear
from agelib.labels import LabelScheme
from agelib.losses import ConditionalLoss, OlderError, OlderLoss


class OrdinalRegression(PerYear):
    """A sigmoid for each question, independent of the others (Niu et al. 2016, "OR-CNN").

    Niu et al. ask each question of two soft-max units and weigh the questions by how often their
    age occurs; here one sigmoid does the same and all questions weigh one.

    Independent answers can contradict each other. Their distribution is that of the answers put
    in falling order, which changes neither their sum, the expected age, nor how many are above a
    half, which is the age that Niu et al. decide for and the median of the distribution.
    """

    name = "older"

    def output(self, features: Features) -> keras.KerasTensor:
        """Return the probabilities of being older than 0, 1, ..., (n, classes - 1)."""
        return keras.layers.Dense(
            self.scheme.n_classes - 1, "sigmoid", use_bias=self.bias, dtype="float32",
            name=self.name,
        )(features)  # fmt: skip

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the answers, 1 for each year below the age, (n, classes - 1)."""
        return (labels[:, None] > np.arange(self.scheme.n_classes - 1)).astype("float32")

    def loss(self) -> Any:
        """Return the sum of the cross-entropies of the questions."""
        return OlderLoss()

    def metrics(self) -> list[Any]:
        """Return the absolute error of the expected age."""
        return [OlderError(conditional=False)]

    def older(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs into probabilities of being older than 0, 1, ... that do not rise."""
        return -np.sort(-outputs, axis=1)

    def distribution(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities of the years (n, classes): differences of those of being older."""
        older = self.older(outputs)
        edges = np.ones((len(older), 1)), np.zeros((len(older), 1))
        return -np.diff(np.concatenate([edges[0], older, edges[1]], axis=1), axis=1)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the number of questions answered with more than a half, as the papers do."""
        older = 1 - probabilities.cumsum(1)[:, :-1]
        return (older > 0.5).sum(1)


class Coral(OrdinalRegression):
    """One slope for all questions and a threshold for each (Cao et al. 2020, "CORAL").

    With one slope the answers agree with each other as soon as the thresholds have learnt their
    order.

    Raises
    ------
    ValueError
        If it is to have no bias: the thresholds are biases.
    """

    def __init__(self, scheme: LabelScheme, **options: Any) -> None:
        super().__init__(scheme, **options)
        if not self.bias:
            raise ValueError("bias is False, and CORAL's thresholds are biases; leave bias out")

    def output(self, features: Features) -> keras.KerasTensor:
        """Return the probabilities of being older than 0, 1, ..., (n, classes - 1)."""
        rank = keras.layers.Dense(1, use_bias=False, dtype="float32", name="rank")(features)
        return Thresholds(self.scheme.n_classes - 1, dtype="float32", name=self.name)(rank)


class Corn(OrdinalRegression):
    """Each question asked of those older than the one before (Shi, Cao and Raschka 2021, "CORN").

    Outputs are conditional, their running product is the probability of being older; it cannot
    rise.
    """

    def loss(self) -> Any:
        """Return the cross-entropy of each question over the images that it is asked of."""
        return ConditionalLoss()

    def metrics(self) -> list[Any]:
        """Return the absolute error of the expected age."""
        return [OlderError(conditional=True)]

    def older(self, outputs: np.ndarray) -> np.ndarray:
        """Return the running product of the conditional probabilities."""
        return outputs.cumprod(axis=1)


@keras.saving.register_keras_serializable("agelib")
class Thresholds(keras.layers.Layer):
    """Sigmoids of a number (n, 1) plus a bias for each question, see `Coral`.

    The biases begin evenly spaced, a fifth apart: those of ages that are spread like a logistic
    variable of five years around the middle one. Optimizers of Adam's kind move each by no more
    than the learning rate a step, and a hundred of them lie some thirty apart in the end.

    Parameters
    ----------
    questions : int
        How many.
    """

    def __init__(self, questions: int, **options: Any) -> None:
        super().__init__(**options)
        self.questions = questions
        self.activation = keras.activations.sigmoid  # found there by agelib.gradients

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the biases."""
        start = 0.2 * (self.questions / 2 - np.arange(self.questions))
        self.bias = self.add_weight(
            shape=(self.questions,),
            initializer=lambda shape, dtype: keras.ops.cast(start, dtype),
            name="bias",
        )

    def call(self, inputs: Any) -> Any:
        """Return probabilities (n, questions)."""
        return self.activation(inputs + self.bias)

    def get_config(self) -> dict[str, Any]:
        """Return what makes the layer again."""
        return {**super().get_config(), "questions": self.questions}
