"""Losses and a metric of the heads; they come back with a saved network."""

from __future__ import annotations

from typing import Any

from agelib import backend
from agelib.backend import keras


@keras.saving.register_keras_serializable("agelib")
class DistributionLoss(keras.losses.Loss):
    """See :class:`agelib.heads.Distribution`; targets hold the age, then its distribution."""

    def __init__(self, l1: float, name: str = "distribution", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.l1 = l1

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (n,)."""
        y_true = keras.ops.cast(y_true, "float32")
        entropy = keras.losses.categorical_crossentropy(y_true[:, 1:], y_pred)
        return entropy + self.l1 * keras.ops.abs(_expected(y_pred) - y_true[:, 0])

    def get_config(self) -> dict[str, Any]:
        """Return what makes the loss again."""
        return {**super().get_config(), "l1": self.l1}


@keras.saving.register_keras_serializable("agelib")
class MeanVarianceLoss(keras.losses.Loss):
    """See :class:`agelib.heads.MeanVariance`; targets hold the age, then its distribution."""

    def __init__(
        self, mean: float, variance: float, name: str = "mean_variance", **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self.mean, self.variance = mean, variance

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (n,)."""
        y_true = keras.ops.cast(y_true, "float32")
        entropy = keras.losses.categorical_crossentropy(y_true[:, 1:], y_pred)
        years = keras.ops.arange(y_pred.shape[-1], dtype="float32")
        mean = _expected(y_pred)
        variance = keras.ops.sum(y_pred * (years - mean[:, None]) ** 2, axis=-1)
        return entropy + 0.5 * self.mean * (mean - y_true[:, 0]) ** 2 + self.variance * variance

    def get_config(self) -> dict[str, Any]:
        """Return what makes the loss again."""
        return {**super().get_config(), "mean": self.mean, "variance": self.variance}


@keras.saving.register_keras_serializable("agelib")
class OlderLoss(keras.losses.Loss):
    """See :class:`agelib.heads.OrdinalRegression`; targets are answers (n, questions)."""

    def __init__(self, name: str = "older", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (n,)."""
        yes, no = _logarithms(y_pred)
        y_true = keras.ops.cast(y_true, "float32")
        return -keras.ops.sum(y_true * yes + (1 - y_true) * no, axis=-1)


@keras.saving.register_keras_serializable("agelib")
class ConditionalLoss(keras.losses.Loss):
    """See :class:`agelib.heads.Corn`; targets are answers (n, questions).

    The sum over all questions asked in a batch is divided by their number (Shi et al. 2021), also
    where several devices share the batch.
    """

    def __init__(self, name: str = "conditional", **options: Any) -> None:
        super().__init__(name=name, **options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (n,), scaled so that its mean is that of the questions."""
        yes, no = _logarithms(y_pred)
        y_true = keras.ops.cast(y_true, "float32")
        # A question is asked of those who answered the one before with yes, the first one of all.
        asked = keras.ops.concatenate([keras.ops.ones_like(y_true[:, :1]), y_true[:, :-1]], axis=1)
        each = -keras.ops.sum(y_true * yes + (asked - y_true) * no, axis=-1)
        return each / backend.over_devices(keras.ops.mean(keras.ops.sum(asked, axis=-1)))


@keras.saving.register_keras_serializable("agelib")
class YearsLoss(keras.losses.Loss):
    """See :class:`agelib.heads.Years`."""

    def __init__(self, error: str, scale: float, name: str = "years", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.error, self.scale = error, scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (n,)."""
        power = keras.ops.abs if self.error == "l1" else keras.ops.square
        return self.scale * keras.ops.mean(power(y_pred - y_true), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return what makes the loss again."""
        return {**super().get_config(), "error": self.error, "scale": self.scale}


@keras.saving.register_keras_serializable("agelib")
class ExpectedAgeError(keras.metrics.MeanMetricWrapper):
    """Mean absolute error of the expected age in years."""

    def __init__(self, name: str = "mae", **options: Any) -> None:
        super().__init__(fn=_age_error, name=name, **options)

    def get_config(self) -> dict[str, Any]:
        """Return what makes the metric again."""
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("agelib")
class OlderError(keras.metrics.MeanMetricWrapper):
    """Mean absolute error of the expected age in years, of answers to "older than k?".

    Parameters
    ----------
    conditional : bool
        Whether each output is a probability given the one before.
    """

    def __init__(self, conditional: bool, name: str = "mae", **options: Any) -> None:
        super().__init__(
            fn=_conditional_error if conditional else _older_error, name=name, **options
        )
        self.conditional = conditional

    def get_config(self) -> dict[str, Any]:
        """Return what makes the metric again."""
        return {"conditional": self.conditional, "name": self.name, "dtype": self.dtype}


def _older_error(y_true: Any, y_pred: Any) -> Any:
    # The expected age is the sum of the probabilities of being older than 0, 1, ...
    age = keras.ops.sum(keras.ops.cast(y_true, "float32"), axis=-1)
    return keras.ops.abs(keras.ops.sum(y_pred, axis=-1) - age)


def _conditional_error(y_true: Any, y_pred: Any) -> Any:
    return _older_error(y_true, keras.ops.cumprod(y_pred, axis=-1))


def _logarithms(probabilities: Any) -> tuple[Any, Any]:
    small = keras.config.epsilon()
    probabilities = keras.ops.clip(probabilities, small, 1 - small)
    return keras.ops.log(probabilities), keras.ops.log(1 - probabilities)


def _expected(probabilities: Any) -> Any:
    years = keras.ops.arange(probabilities.shape[-1], dtype="float32")
    return keras.ops.sum(probabilities * years, axis=-1)


def _age_error(y_true: Any, y_pred: Any) -> Any:
    # Targets are class numbers (n,) or (n, 1), distributions, or an age before a distribution.
    y_true, classes = keras.ops.cast(y_true, "float32"), y_pred.shape[-1]
    columns = 1 if len(y_true.shape) == 1 else y_true.shape[-1]
    if columns == classes:
        age = _expected(y_true)
    else:
        age = keras.ops.reshape(y_true, (-1, columns))[:, 0]
    return keras.ops.abs(_expected(y_pred) - age)
