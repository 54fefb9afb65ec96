"""What all heads have in common."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np

from agelib.backend import keras
from agelib.labels import LabelScheme
from agelib.manifests import RACES

Features = Any  # a Keras tensor, or a list of (Keras tensor, weight)


class Head(abc.ABC):
    """What the heads have in common.

    Parameters
    ----------
    scheme : LabelScheme
        Which classes, or years.
    dense_targets : bool
        Whether targets must be distributions, as mixup needs them.
    bias : bool
        Whether the last layers have a bias; P4's have none.
    gender_units : {1, 2}
        A sigmoid, or a soft-max over male and female (P4).

    Attributes
    ----------
    monitor, larger_is_better
        The metric on validation that chooses the epoch.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    monitor: str
    larger_is_better: bool

    def __init__(
        self,
        scheme: LabelScheme,
        *,
        dense_targets: bool = False,
        bias: bool = True,
        gender_units: int = 1,
    ) -> None:
        if scheme.kind != self.kind:
            raise ValueError(
                f"label scheme {scheme.name!r} is a {scheme.kind}; {type(self).__name__} needs a "
                f"{self.kind}"
            )
        if gender_units not in (1, 2):
            raise ValueError(f"gender_units is {gender_units!r}; choose 1 or 2")
        self.scheme, self.dense_targets, self.bias = scheme, dense_targets, bias
        self.gender_units = gender_units

    @abc.abstractmethod
    def output(self, features: Features) -> keras.KerasTensor:
        """Return the output layer's tensor for features (n, d)."""

    @abc.abstractmethod
    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Turn labels (n,) of the scheme into targets (n, ...)."""

    @abc.abstractmethod
    def loss(self) -> Any:
        """Return the Keras loss."""

    @abc.abstractmethod
    def metrics(self) -> list[Any]:
        """Return the Keras metrics."""

    @abc.abstractmethod
    def distribution(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs (n, ...) into probabilities of the classes, (n, classes), rows sum to 1."""

    @abc.abstractmethod
    def read(self, outputs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return columns of predictions: ``predicted``, ``true``, ``expected_age``, ``p0`` ..."""

    def gender_output(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Return the gender output, (n, 1) or (n, 2), for features (n, d)."""
        activation = "sigmoid" if self.gender_units == 1 else "softmax"
        return keras.layers.Dense(
            self.gender_units, activation, use_bias=self.bias, dtype="float32", name="gender"
        )(features)

    def gender_targets(self, female: np.ndarray) -> np.ndarray:
        """Turn 0 (male) and 1 (female), (n,), into targets (n, units)."""
        female = female.astype("float32")[:, None]
        return female if self.gender_units == 1 else np.concatenate([1 - female, female], axis=1)

    def gender_loss(self) -> str:
        """Return the cross-entropy of the gender output."""
        return "binary_crossentropy" if self.gender_units == 1 else "categorical_crossentropy"

    def race_output(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Return the race output, (n, 5), for features (n, d)."""
        return keras.layers.Dense(
            len(RACES), "softmax", use_bias=self.bias, dtype="float32", name="race"
        )(features)

    def race_targets(self, races: np.ndarray) -> np.ndarray:
        """Turn races (n,), of `RACES`, into targets (n, 5): zeros, no loss, where not known."""
        return (races[:, None] == np.array(RACES, dtype=object)).astype("float32")

    def race_loss(self) -> str:
        """Return the cross-entropy of the race output."""
        return "categorical_crossentropy"
