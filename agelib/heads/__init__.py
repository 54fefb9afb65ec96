"""Heads: what stands between features and an age: output, targets, loss, and what is read off.

Every head has one interface: `Head.output` makes the last layer, `Head.targets` what the loss
compares it with, `Head.distribution` turns outputs into probabilities of the classes, one a year
with ``per-year-101``, and `Head.read` into columns of predictions. What follows from those, the
expected age, the median, an interval and the classes of another label scheme, is the same for
all heads and lies in :mod:`agelib.decisions` and :mod:`agelib.readoff`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agelib.heads.base import Head
from agelib.heads.ordinal import Coral, Corn, OrdinalRegression
from agelib.heads.softmax import Distribution, MeanVariance, Softmax, SoftOrdinal
from agelib.heads.years import Years
from agelib.labels import LabelScheme

HEADS: dict[str, Callable[..., Head]] = {
    "softmax": Softmax,
    "distribution": Distribution,
    "sord": SoftOrdinal,
    "mean-variance": MeanVariance,
    "or-cnn": OrdinalRegression,
    "coral": Coral,
    "corn": Corn,
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
