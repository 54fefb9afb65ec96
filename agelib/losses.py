"""Losses and a metric of the heads; they come back with a saved network."""

from __future__ import annotations

from typing import Any

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
