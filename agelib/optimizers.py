"""Optimizers and learning-rate schedules of a recipe."""

from __future__ import annotations

from typing import Any

from agelib.backend import keras
from agelib.experiment import Recipe

OPTIMIZERS = {
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
}
_WARM_UP = 0.1  # share of the steps


def _constant(rate: float, steps: int) -> float:
    return rate


def _steps(rate: float, steps: int) -> Any:
    ends = [round(steps * share) for share in (0.25, 0.5, 0.75)]
    rates = [rate * 0.2**k for k in range(4)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)


def _cosine(rate: float, steps: int) -> Any:
    warm = max(1, round(steps * _WARM_UP))
    return keras.optimizers.schedules.CosineDecay(
        rate / 25, max(1, steps - warm), alpha=1e-3, warmup_target=rate, warmup_steps=warm
    )


SCHEDULES = {
    "constant": _constant,
    "steps": _steps,  # a fifth of it at a quarter, a half and three quarters of training (P4)
    "cosine": _cosine,  # up for a tenth of training, then down along a cosine to nearly nothing
}


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Return the recipe's optimizer.

    Parameters
    ----------
    recipe : Recipe
        Optimizer, learning rate, schedule and moving average of the weights.
    steps : int
        Steps of the whole training.

    Raises
    ------
    ValueError
        If optimizer or schedule are unknown.
    """
    for what, name, known in (
        ("optimizer", recipe.optimizer, OPTIMIZERS),
        ("schedule", recipe.schedule, SCHEDULES),
    ):
        if name not in known:
            raise ValueError(f"{what} {name!r} is unknown; choose from {', '.join(known)}")
    average = {} if recipe.ema is None else {"use_ema": True, "ema_momentum": recipe.ema}
    return OPTIMIZERS[recipe.optimizer](
        learning_rate=SCHEDULES[recipe.schedule](recipe.learning_rate, steps),
        **average,
        **dict(recipe.optimizer_options),
    )
