"""The topologies that P3 (Pyra) searched, and the regularisation it put on the fourth."""

from __future__ import annotations

from dataclasses import dataclass

from agelib.backend import keras
from agelib.models.sizes import Step, require_size

layers = keras.layers

DROPOUT = 0.5
MAX_NORM = 3.0
L2_CONV, L2_DENSE = 0.005, 0.01


@dataclass(frozen=True, kw_only=True)
class Family:
    """A stack of convolutions with stride 1, each or each two followed by pooling, and two denses.

    Parameters
    ----------
    filters, kernels : tuple of int
        Of each convolution.
    padded : int
        The first so many convolutions keep the size; the others do not pad.
    dense : (int, int)
        Units of the two dense layers.
    per_pool : int
        Convolutions before each 2x2 max-pooling.
    """

    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    padded: int
    dense: tuple[int, int]
    per_pool: int = 1

    def pooled(self, number: int) -> bool:
        """Return whether pooling follows convolution ``number``, counted from 1."""
        return number % self.per_pool == 0

    def steps(self) -> list[Step]:
        """Return what :func:`agelib.models.sizes.smallest_size` needs."""
        steps: list[Step] = []
        for number, kernel in enumerate(self.kernels, 1):
            steps.append((1 if number <= self.padded else kernel, 1))
            steps += [(2, 2)] * self.pooled(number)
        return steps


FAMILIES: dict[str, Family] = {
    "I": Family(filters=(32, 64, 128, 256, 512), kernels=(3,) * 5, padded=3, dense=(512, 128)),
    "II": Family(filters=(16, 16, 32, 32, 64), kernels=(3,) * 5, padded=3, dense=(512, 128)),
    "III": Family(filters=(16, 16, 32), kernels=(3,) * 3, padded=0, dense=(256, 128)),
    "IV": Family(filters=(16, 16, 32, 32, 64), kernels=(3,) * 5, padded=3, dense=(256, 128)),
    "V": Family(
        filters=(16, 16, 32, 32, 64, 64, 64, 64, 128, 128),
        kernels=(3,) * 10, padded=6, dense=(512, 256), per_pool=2,
    ),
    "VI": Family(
        filters=(16, 16, 16, 32, 32), kernels=(7, 5, 3, 3, 3), padded=5, dense=(512, 256)
    ),
}  # fmt: skip

# Which of (convolutions, dense layers) a choice means.
PARTS = {None: (), "all": ("conv", "dense"), "conv": ("conv",), "dense": ("dense",)}
DROPOUTS = {None: (), "both": (1, 2), "first": (1,), "second": (2,)}


def topology(
    x: keras.KerasTensor,
    *,
    family: str = "IV",
    dropout: str | None = None,
    max_norm: str | None = None,
    batch_norm: str | None = None,
    batch_norm_inserted: bool = True,
    l2: str | None = None,
) -> keras.KerasTensor:
    """One of P3's six topologies, with any of its regularisations; IV is the one that won.

    The output layer is the head's and stays free. In P3 its kernel was constrained or penalised
    with the dense layers; 645 of 658,773 weights of IV.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Preprocessed images; P3 used 256x256 colour, scaled to 0..1.
    family : {'I', 'II', 'III', 'IV', 'V', 'VI'}
        Key of :data:`FAMILIES`.
    dropout : {None, 'both', 'first', 'second'}
        After which of the two dense layers half of the units are dropped.
    max_norm : {None, 'all', 'conv', 'dense'}
        Which layers keep the weights into each unit or filter at a norm of at most 3. P3 left out
        the axis, so that in its convolutions each column of three weights was bounded by itself,
        which nearly never acts; this is what it meant.
    batch_norm : {None, 'all', 'conv', 'dense'}
        Which layers are normalised, before their activation; they have no bias.
    batch_norm_inserted : bool
        False repeats P3's slip: it made the normalising layers and never added them, so that all
        that happened was that the biases went. Without ``batch_norm`` there is no difference.
    l2 : {None, 'all', 'conv', 'dense'}
        Which kernels have an L2 penalty: 0.005 on convolutions, 0.01 on dense layers.

    Returns
    -------
    KerasTensor of shape (n, 128 or 256)
        Features for the head.

    Raises
    ------
    ValueError
        If a choice is unknown, or the images are too small for the family (III: below 22 pixels,
        VI: 32, I, II and IV: 80, V: 128).
    """
    for name, value, known in (
        ("family", family, FAMILIES),
        ("dropout", dropout, DROPOUTS),
        ("max_norm", max_norm, PARTS),
        ("batch_norm", batch_norm, PARTS),
        ("l2", l2, PARTS),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; choose from {', '.join(map(repr, known))}")
    stack = FAMILIES[family]
    require_size(x, stack.steps(), f"P3's topology {family}")

    conv = _options("conv", max_norm, batch_norm, l2)
    for number, filters in enumerate(stack.filters, 1):
        layer = layers.Conv2D(
            filters,
            stack.kernels[number - 1],
            padding="same" if number <= stack.padded else "valid",
            name=f"conv_{number}",
            **conv,
        )
        x = _activated(layer, x, normalised=batch_norm_inserted and not conv["use_bias"])
        if stack.pooled(number):
            x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    dense = _options("dense", max_norm, batch_norm, l2)
    for number, units in enumerate(stack.dense, 1):
        layer = layers.Dense(units, name=f"dense_{units}", **dense)
        x = _activated(layer, x, normalised=batch_norm_inserted and not dense["use_bias"])
        if number in DROPOUTS[dropout]:
            x = layers.Dropout(DROPOUT, name=f"dropout_{number}")(x)
    return x


def _options(part: str, max_norm: str | None, batch_norm: str | None, l2: str | None) -> dict:
    options: dict = {"use_bias": part not in PARTS[batch_norm]}
    if part in PARTS[max_norm]:
        # All axes but the last: the weights into one filter.
        axis = (0, 1, 2) if part == "conv" else (0,)
        options["kernel_constraint"] = keras.constraints.MaxNorm(MAX_NORM, axis=axis)
    if part in PARTS[l2]:
        penalty = L2_CONV if part == "conv" else L2_DENSE
        options["kernel_regularizer"] = keras.regularizers.L2(penalty)
    return options


def _activated(layer: keras.Layer, x: keras.KerasTensor, *, normalised: bool) -> keras.KerasTensor:
    x = layer(x)
    if normalised:
        x = layers.BatchNormalization(name=f"{layer.name}_batch_norm")(x)
    return layers.ReLU(name=f"{layer.name}_relu")(x)
