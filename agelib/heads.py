"""Heads: what stands between features and an age: output, targets, loss, and what is read off.

Every head has one interface: `Head.output` makes the last layer, `Head.targets` what the loss
compares it with, `Head.read` turns outputs into columns of predictions.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from agelib.backend import keras
from agelib.labels import LabelScheme
from agelib.losses import DistributionLoss, ExpectedAgeError, YearsLoss

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

    def read(self, outputs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return true and predicted classes, expected age and probabilities."""
        columns = {"true": labels, "predicted": outputs.argmax(1)}
        if self.years:
            columns["expected_age"] = outputs @ np.arange(outputs.shape[1])
        return columns | {f"p{k}": outputs[:, k] for k in range(outputs.shape[1])}


class Distribution(Softmax):
    """A soft-max over years that learns a bell around the age instead of one class.

    The loss is the cross-entropy against a Gaussian around the age plus a share of the absolute
    error of the expected age: label distribution learning with learnt expectation (Gao et al.
    2018, "DLDL-v2").

    Parameters
    ----------
    scheme : LabelScheme
        ``per-year-101``.
    sigma : float
        Standard deviation of the Gaussian in years.
    l1 : float
        Weight of the absolute error, per year.
    """

    def __init__(
        self, scheme: LabelScheme, *, sigma: float = 2.5, l1: float = 0.2, **options: Any
    ) -> None:
        super().__init__(scheme, **options)
        if not self.years:
            raise ValueError(f"a distribution over years needs per-year-101, not {scheme.name!r}")
        self.sigma, self.l1 = sigma, l1

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return the age and its distribution side by side, (n, 1 + classes)."""
        years = np.arange(self.scheme.n_classes)
        bells = np.exp(-0.5 * ((years - labels[:, None]) / self.sigma) ** 2)
        bells /= bells.sum(1, keepdims=True)
        return np.concatenate([labels[:, None], bells], axis=1).astype("float32")

    def loss(self) -> Any:
        """Return cross-entropy plus the weighted absolute error of the expected age."""
        return DistributionLoss(self.l1)

    def metrics(self) -> list[Any]:
        """Return the absolute error of the expected age."""
        return [ExpectedAgeError()]


class Years(Head):
    """The age in years as one number.

    Parameters
    ----------
    scheme : LabelScheme
        ``age``.
    error : {'l1', 'l2'}
        Absolute or squared error; P5 used the squared one.
    scale : float
        Factor of the loss, to weigh it against a gender loss.
    activation : str, optional
        Of the output; P5 had 'relu'.
    start : float
        The output's first bias in years: near the mean age training need not climb there.
    """

    kind, name = "regression", "age"
    monitor, larger_is_better = "mae", False

    def __init__(
        self,
        scheme: LabelScheme,
        *,
        error: str = "l1",
        scale: float = 1.0,
        activation: str | None = None,
        start: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(scheme, **options)
        if error not in ("l1", "l2"):
            raise ValueError(f"error is {error!r}; choose 'l1' or 'l2'")
        self.error, self.scale, self.activation, self.start = error, scale, activation, start

    def output(self, features: Features) -> keras.KerasTensor:
        """Return years (n, 1)."""
        return keras.layers.Dense(
            1,
            self.activation,
            use_bias=self.bias,
            bias_initializer=keras.initializers.Constant(self.start),
            dtype="float32",
            name=self.name,
        )(features)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return years (n, 1)."""
        return labels.astype("float32")[:, None]

    def loss(self) -> Any:
        """Return the absolute or squared error."""
        return YearsLoss(self.error, self.scale)

    def metrics(self) -> list[Any]:
        """Return the absolute error."""
        return ["mae"]

    def read(self, outputs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return predicted years."""
        return {"predicted": outputs[:, 0]}


HEADS: dict[str, Callable[..., Head]] = {
    "softmax": Softmax,
    "distribution": Distribution,
    "years": Years,
}


def make_head(
    name: str, scheme: LabelScheme, options: dict[str, Any], *, dense_targets: bool = False
) -> Head:
    """Return the head called ``name``; the empty name means the scheme's usual one.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or the head does not fit the label scheme.
    """
    name = name or ("years" if scheme.kind == "regression" else "softmax")
    if name not in HEADS:
        raise ValueError(f"head {name!r} is unknown; choose from {', '.join(HEADS)}")
    try:
        return HEADS[name](scheme, dense_targets=dense_targets, **options)
    except TypeError as error:
        raise ValueError(f"head {name!r}: {error}") from error
