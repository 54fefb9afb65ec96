"""Framing: how much of the picture a face takes, and what that does to a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from agelib.backend import keras
from agelib.evaluation import evaluate
from agelib.experiment import Experiment
from agelib.models import head_of
from agelib.models.framed import Framing
from agelib.parts import make_part, predict
from agelib.protocols import Split
from agelib.store import Store


def framing_sweep(
    network: keras.Model,
    experiment: Experiment,
    shares: Sequence[float],
    *,
    store: Store,
    catalog: pd.DataFrame,
    split: Split,
) -> dict[str, list[dict[str, float]]]:
    """Test a trained network on faces that take another share of the picture than it learnt with.

    Parameters
    ----------
    network : keras.Model
        From pixels to probabilities, as a record keeps it.
    experiment : Experiment
        What it was trained as; its labels must be classes.
    shares : sequence of float
        See `agelib.models.framed.Framing`.
    store, catalog, split
        As for training; the test part is used.

    Returns
    -------
    dict
        ``rows``: for each share ``share``, ``metric`` (accuracy, macro recall), ``value``,
        ``low``, ``high`` (95 % intervals over images) and ``n``.
    """
    head = head_of(experiment)
    part = make_part(store, catalog, split.test, head)
    rows = []
    for share in shares:
        inputs = keras.Input(network.input_shape[1:])
        framed = keras.Model(inputs, network(Framing(share)(inputs)))
        predictions = predict(framed, part, catalog, head)
        table = evaluate(
            predictions,
            kind="classification",
            n_classes=head.scheme.n_classes,
            metrics=("accuracy", "macro_recall"),
        )
        rows += [
            {"share": float(share), **_plain(row)} for row in table.reset_index().to_dict("records")
        ]
    return {"rows": rows}


def reframe(image: np.ndarray, share: float) -> np.ndarray:
    """Show one picture (size, size, c) in another frame, see `agelib.models.framed.Framing`."""
    return keras.ops.convert_to_numpy(Framing(share)(image[None].astype("float32")))[0]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"n": int(row["n"])} | {k: round(row[k], 4) for k in ("value", "low", "high")}
