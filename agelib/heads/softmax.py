"""Soft-max heads: classes, single years, and years learnt as a distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from agelib.backend import keras
from agelib.heads.base import Features, Head
from agelib.labels import LabelScheme
from agelib.losses import DistributionLoss, ExpectedAgeError, MeanVarianceLoss


class Softmax(Head):
    """One probability a class (P1 to P4). A list of features gives a weighted mean of soft-maxes.

    With one class a year the age is the expected value (Rothe et al. 2015, "DEX"), and its error
    chooses the epoch; otherwise accuracy does.
    """

    kind, name = "classification", "probabilities"

    def __init__(self, scheme: LabelScheme, **options: Any) -> None:
        super().__init__(scheme, **options)
        self.years = scheme.name == "per-year-101"
        self.monitor = "mae" if self.years else "accuracy"
        self.larger_is_better = not self.years

    def output(self, features: Features) -> keras.KerasTensor:
        """Return probabilities (n, classes)."""
        if not isinstance(features, list):
            return self._dense(features, self.name)
        parts = [
            self._dense(tensor, f"{self.name}_{number}") * weight
            for number, (tensor, weight) in enumerate(features)
        ]
        total = sum(weight for _, weight in features)
        return keras.layers.Rescaling(1 / total, dtype="float32", name=self.name)(sum(parts))

    def _dense(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
        # float32 whatever the policy: a soft-max in bfloat16 keeps two digits.
        return keras.layers.Dense(
            self.scheme.n_classes, "softmax", use_bias=self.bias, dtype="float32", name=name
        )(features)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return class numbers (n,), or distributions (n, classes) where they are needed."""
        if not self.dense_targets:
            return labels
        return np.eye(self.scheme.n_classes, dtype="float32")[labels]

    def loss(self) -> Any:
        """Return the cross-entropy."""
        return (
            "categorical_crossentropy" if self.dense_targets else "sparse_categorical_crossentropy"
        )

    def metrics(self) -> list[Any]:
        """Return the accuracy, and with one class a year the error of the expected age."""
        return ["accuracy", ExpectedAgeError()] if self.years else ["accuracy"]

    def distribution(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs: they are probabilities."""
        return outputs

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the predicted class of each row: the most likely one."""
        return probabilities.argmax(1)

    def read(self, outputs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return true and predicted classes, expected age and probabilities."""
        probabilities = self.distribution(outputs)
        columns = {"true": labels, "predicted": self.decide(probabilities)}
        if self.years:
            columns["expected_age"] = probabilities @ np.arange(probabilities.shape[1])
        return columns | {f"p{k}": column for k, column in enumerate(probabilities.T)}


class PerYear(Softmax):
    """A head that needs one class a year."""

    def __init__(self, scheme: LabelScheme, **options: Any) -> None:
        super().__init__(scheme, **options)
        if not self.years:
            raise ValueError(f"a distribution over years needs per-year-101, not {scheme.name!r}")

    def metrics(self) -> list[Any]:
        """Return the absolute error of the expected age."""
        return [ExpectedAgeError()]


class Distribution(PerYear):
    """A soft-max over years that learns a bell around the age instead of one class.

    The loss is the cross-entropy against a Gaussian around the age plus a fifth of the absolute
    error of the expected age: label distribution learning with learnt expectation (Gao et al.
    2018, "DLDL-v2"). Their divergence differs from the cross-entropy by a constant. Sigma and
    that fifth are ours, not the paper's.

    Parameters
    ----------
    scheme : LabelScheme
        ``per-year-101``.
    sigma : float
        Standard deviation of the Gaussian in years.
    """

    def __init__(self, scheme: LabelScheme, *, sigma: float = 2.5, **options: Any) -> None:
        super().__init__(scheme, **options)
        self.sigma = sigma

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the age and its distribution side by side, (n, 1 + classes)."""
        years = np.arange(self.scheme.n_classes)
        return _beside(labels, -0.5 * ((years - labels[:, None]) / self.sigma) ** 2)

    def loss(self) -> Any:
        """Return cross-entropy plus the weighted absolute error of the expected age."""
        return DistributionLoss(0.2)


class SoftOrdinal(PerYear):
    """A soft-max over years that learns soft labels which fall off with the distance.

    The labels are the soft-max of the negative squared distances between the age and each year,
    the loss is the cross-entropy (Diaz and Marathe 2019, "SORD").
    """

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the age and its soft labels side by side, (n, 1 + classes)."""
        years = np.arange(self.scheme.n_classes)
        return _beside(labels, -((years - labels[:, None]) ** 2))

    def loss(self) -> Any:
        """Return the cross-entropy against the soft labels."""
        return DistributionLoss(0.0)


class MeanVariance(PerYear):
    """A soft-max over years that is also told where its mean and how small its variance should be.

    The loss is the cross-entropy plus half the squared error of the mean and the variance, each
    with a weight of its own (Pan et al. 2018, whose weights are the defaults).

    Parameters
    ----------
    scheme : LabelScheme
        ``per-year-101``.
    mean, variance : float
        Weights of the two, per squared year.
    """

    def __init__(
        self, scheme: LabelScheme, *, mean: float = 0.2, variance: float = 0.05, **options: Any
    ) -> None:
        super().__init__(scheme, **options)
        self.mean, self.variance = mean, variance

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the age and its class as a distribution side by side, (n, 1 + classes)."""
        rows = np.eye(self.scheme.n_classes)[labels]
        return np.concatenate([labels[:, None], rows], axis=1).astype("float32")

    def loss(self) -> Any:
        """Return cross-entropy, mean loss and variance loss together."""
        return MeanVarianceLoss(self.mean, self.variance)


def _beside(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    rows = np.exp(logits)
    rows /= rows.sum(1, keepdims=True)
    return np.concatenate([labels[:, None], rows], axis=1).astype("float32")
