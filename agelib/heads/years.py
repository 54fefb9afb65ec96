"""The age as one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from agelib.backend import keras
from agelib.heads.base import Features, Head
from agelib.labels import LabelScheme
from agelib.losses import YearsLoss
from agelib.readoff import between_years


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

    Raises
    ------
    ValueError
        If the error is unknown, or it is to start somewhere without a bias.
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
        if start and not self.bias:
            raise ValueError(f"start is {start!r}, the first value of a bias, and bias is False")
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

    def distribution(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities (n, 101) of the two years that each number lies between."""
        return between_years(outputs[:, 0])

    def read(self, outputs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return predicted years."""
        return {"predicted": outputs[:, 0]}
