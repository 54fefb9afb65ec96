"""The trials of P3's topology search, and those that its README claims and its notebook lacks."""

from __future__ import annotations

import dataclasses
from typing import Any

from agelib.models.topologies import topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One network of the search and how Adam trains it.

    Parameters
    ----------
    id : str
        P3's number, e.g. ``IVa``; ours go on from ``XXIV``, or end in ``s`` for a slip of P3's.
    learning_rate, batch_size
        Of the training.
    family, dropout, max_norm, batch_norm, batch_norm_inserted, l2
        Arguments of :func:`agelib.models.topologies.topology`.
    described : bool
        Whether P3's notebook has it; False: we added it.
    note : str
        What happened to it in P3, or why we added it.
    """

    id: str
    learning_rate: float
    batch_size: int
    family: str = "IV"
    dropout: str | None = None
    max_norm: str | None = None
    batch_norm: str | None = None
    batch_norm_inserted: bool = True
    l2: str | None = None
    described: bool = True
    note: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the builder that differ from its defaults, and the family."""
        names = ("dropout", "max_norm", "batch_norm", "batch_norm_inserted", "l2")
        defaults = topology.__kwdefaults__
        chosen = {name: getattr(self, name) for name in names}
        return {"family": self.family} | {k: v for k, v in chosen.items() if v != defaults[k]}

    @property
    def title(self) -> str:
        """Topology and regularisation in words."""
        words = [f"topology {self.family}"]
        for value, what in (
            (self.dropout, "dropout"),
            (self.max_norm, "max-norm"),
            (self.batch_norm, "batch norm" if self.batch_norm_inserted else "no bias"),
            (self.l2, "L2"),
        ):
            words += [f"{what} {value}"] if value else []
        return ", ".join(words)


_CANNOT_RUN = "P3's cell cannot run: its call of the optimiser is wrong"
_NEVER_ADDED = "P3 made the layers and never added them; see the trial ending in s"

# P3's notebook: number, options, then (learning rate, batch size, note) of each variant.
_DESCRIBED: tuple[tuple[str, dict[str, str], tuple[tuple, ...]], ...] = (
    ("I", {"family": "I"}, (
        (1e-3, 32),
        (1e-3, 64, "P3 went on training network I"),
        (5e-3, 64, "P3 went on training network I, at its learning rate of 0.001"),
    )),
    ("II", {"family": "II"}, (
        (1e-3, 64), (5e-3, 64), (5e-3, 64, "P3 went on training network IIa"),
    )),
    ("III", {"family": "III"}, (
        (1e-3, 64), (5e-3, 64, "P3 wrote it over III's checkpoint"),
    )),
    ("IV", {}, ((1e-3, 64, "P3's winner"), (5e-3, 64), (1e-2, 32))),
    ("V", {"family": "V"}, ((1e-3, 64), (5e-3, 32))),
    ("VI", {"family": "VI"}, ((1e-3, 64), (5e-3, 64, _CANNOT_RUN), (1e-2, 32, _CANNOT_RUN))),
    ("VII", {"dropout": "both"}, ((1e-3, 64), (0.1, 32))),
    ("VIII", {"dropout": "first"}, ((1e-3, 64), (0.1, 32))),
    ("IX", {"dropout": "second"}, ((1e-3, 64), (0.1, 32))),
    ("X", {"max_norm": "all"}, ((1e-3, 64), (0.05, 64))),
    ("XI", {"max_norm": "dense"}, ((1e-3, 64), (0.1, 64), (0.05, 32))),
    ("XII", {"max_norm": "conv"}, ((1e-3, 64), (0.05, 32, _CANNOT_RUN))),
    ("XIII", {"dropout": "both", "max_norm": "dense"}, ((1e-3, 64), (0.01, 32))),
    ("XIV", {"dropout": "both", "max_norm": "conv"}, ((1e-3, 64), (0.05, 32))),
    ("XV", {"dropout": "both", "max_norm": "all"}, (
        (1e-3, 64), (0.01, 32), (0.01, 32, "XVa once more; P3 fixed no random state"),
    )),
    ("XVI", {"dropout": "first", "max_norm": "dense"}, ((1e-3, 64), (0.01, 32))),
    ("XVII", {"dropout": "second", "max_norm": "dense"}, ((1e-3, 64), (0.05, 32))),
    ("XVIII", {"batch_norm": "all"}, (
        (1e-3, 64, _NEVER_ADDED),
        (0.05, 32, f"{_NEVER_ADDED}; and {_CANNOT_RUN}"),
        (0.1, 32, f"{_NEVER_ADDED}; and {_CANNOT_RUN}"),
    )),
    ("XIX", {"batch_norm": "conv"}, ((1e-3, 64, _NEVER_ADDED), (0.05, 32, _NEVER_ADDED))),
    ("XX", {"batch_norm": "dense"}, ((1e-3, 64, _NEVER_ADDED), (0.05, 32, _NEVER_ADDED))),
    ("XXI", {"l2": "all"}, ((1e-3, 64), (0.1, 32))),
    ("XXII", {"l2": "conv"}, ((1e-3, 64), (0.05, 32))),
    ("XXIII", {"l2": "dense"}, ((1e-3, 64), (0.1, 32))),
)  # fmt: skip

# At 0.001 and 64, where P3's winner was found.
_ADDED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("XVIIIs", {"batch_norm": "all", "batch_norm_inserted": False}),
    ("XIXs", {"batch_norm": "conv", "batch_norm_inserted": False}),
    ("XXs", {"batch_norm": "dense", "batch_norm_inserted": False}),
    ("XXIV", {"batch_norm": "all", "dropout": "both"}),
    ("XXV", {"batch_norm": "conv", "dropout": "both"}),
    ("XXVI", {"batch_norm": "all", "max_norm": "all"}),
    ("XXVII", {"batch_norm": "all", "dropout": "both", "max_norm": "all"}),
    ("XXVIII", {"l2": "all", "dropout": "both"}),
    ("XXIX", {"l2": "conv", "dropout": "both"}),
    ("XXX", {"l2": "all", "max_norm": "all"}),
    ("XXXI", {"l2": "all", "dropout": "both", "max_norm": "all"}),
    ("XXXII", {"batch_norm": "all", "l2": "all"}),
    ("XXXIII", {"batch_norm": "conv", "l2": "dense"}),
    ("XXXIV", {"batch_norm": "all", "l2": "all", "dropout": "both"}),
    ("XXXV", {"batch_norm": "all", "l2": "all", "dropout": "both", "max_norm": "all"}),
)


def p3_trials() -> list[Trial]:
    """Return the trials of P3's search in its order, then ours.

    The 53 of P3's notebook are all on topology IV from VII on; families XVIII to XX are here with
    the batch normalisation that they are named after. Ours are what P3's code trained in its place
    (ending in ``s``), and the combinations "in conjunction with each other" that its README
    speaks of and the notebook lacks: batch normalisation or L2 with anything else.

    Returns
    -------
    list of Trial
        68 trials; P3's README says "over 60 models".
    """
    trials = []
    for number, options, variants in _DESCRIBED:
        for letter, (rate, size, *note) in zip(("", "a", "b"), variants, strict=False):
            trials.append(
                Trial(
                    id=number + letter, learning_rate=rate, batch_size=size,
                    note="".join(note), **options,
                )
            )  # fmt: skip
    for number, options in _ADDED:
        slip = "what P3's code trained under this name: no normalisation, no bias"
        combination = "P3's README says that such combinations were tried; its notebook has none"
        trials.append(
            Trial(
                id=number, learning_rate=1e-3, batch_size=64, described=False,
                note=combination if options.get("batch_norm_inserted", True) else slip, **options,
            )
        )  # fmt: skip
    return trials
