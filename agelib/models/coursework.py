"""P5's network from scratch for age and gender: a common trunk and two branches."""

from __future__ import annotations

from agelib.backend import keras
from agelib.models.sizes import Step, require_size, smallest_size

layers = keras.layers

# ("conv", filters, kernel) without padding, and ("pool", window, stride) for the maximum.
Layer = tuple[str, int, int]
_TRUNK: tuple[Layer, ...] = (
    ("conv", 8, 3), ("pool", 2, 2),
    ("conv", 16, 3), ("pool", 2, 1),
    ("conv", 32, 3), ("pool", 2, 1),
)  # fmt: skip
_AGE: tuple[tuple[Layer, ...], ...] = (
    (("conv", 32, 3), ("conv", 64, 2), ("pool", 2, 2)),
    (("conv", 128, 4), ("conv", 128, 3), ("pool", 3, 3)),
)
_GENDER: tuple[tuple[Layer, ...], ...] = (
    (("conv", 32, 3), ("conv", 32, 2), ("pool", 3, 3)),
    (("conv", 64, 4), ("conv", 64, 3), ("pool", 3, 3)),
)


def coursework_a(x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
    """P5's model A, trained from scratch for the University of Bath's coursework.

    2,295,026 weights with its two outputs of one unit. P5's age output has a ReLU; that is the
    head's matter.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P5 used 128x128 colour, scaled to 0..1.

    Returns
    -------
    dict of KerasTensor
        ``age`` (n, 32) and ``gender`` (n, 128): features for the heads.

    Raises
    ------
    ValueError
        If the images are smaller than 68x68.
    """
    paths = (_steps(_TRUNK, *branch) for branch in (_AGE, _GENDER))
    require_size(x, max(paths, key=smallest_size), "P5's model A")
    x = _stack(x, _TRUNK, "trunk")
    x = layers.Dropout(0.2, name="trunk_dropout")(x)

    age = _dense(_branch(x, _AGE, "age"), 256, "age")
    age = layers.Dense(32, activation="relu", name="age_dense_32")(age)
    gender = _dense(_branch(x, _GENDER, "gender"), 256, "gender")
    gender = _dense(gender, 128, "gender")
    return {"age": age, "gender": gender}


def _steps(*stacks: tuple[Layer, ...]) -> list[Step]:
    steps = []
    for kind, first, second in (layer for stack in stacks for layer in stack):
        steps.append((second, 1) if kind == "conv" else (first, second))
    return steps


def _stack(x, stack: tuple[Layer, ...], name: str):
    for number, (kind, first, second) in enumerate(stack, 1):
        if kind == "conv":
            layer = layers.Conv2D(first, second, activation="relu", name=f"{name}_conv_{number}")
        else:
            layer = layers.MaxPooling2D(first, strides=second, name=f"{name}_pool_{number}")
        x = layer(x)
    return x


def _branch(x, stacks: tuple[tuple[Layer, ...], ...], name: str):
    for number, stack in enumerate(stacks, 1):
        x = _stack(x, stack, f"{name}_{number}")
        x = layers.Dropout(0.1, name=f"{name}_{number}_dropout")(x)
    return layers.Flatten(name=f"{name}_flatten")(x)


def _dense(x, units: int, name: str):
    x = layers.Dense(units, activation="relu", name=f"{name}_dense_{units}")(x)
    return layers.Dropout(0.2, name=f"{name}_dropout_{units}")(x)
