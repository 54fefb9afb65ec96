"""Making a trained network the shipped one: the file, its facts, and its model card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agelib import datasets, manifests
from agelib.bootstrap import bootstrap, share_score
from agelib.card import model_card
from agelib.checks import probability_columns
from agelib.evaluation import evaluate, pooled
from agelib.experiment import Experiment
from agelib.files import DataError, atomic_path, write_json, write_text
from agelib.heads.ordinal import OrdinalRegression
from agelib.images import load_image
from agelib.models import head_of
from agelib.networks import load_network
from agelib.predict import Predictor, interval
from agelib.records import Record, load_record
from agelib.shipped import CARD, FACTS, NETWORK, shipped_folder

LARGEST = 10_000_000  # bytes, what a clone should have to carry
SHARE = 0.8
_COMPARED = 500  # test images on which the shipped file is compared with the record
_FARTHEST = 0.5  # years between the two on average; what lies beyond is no rounding
_SCORES = ("mae", "cs5", "gender_accuracy")


def ship(record_folder: Path, folder: Path | None = None) -> dict[str, Any]:
    """Make a record's network the shipped one.

    Parameters
    ----------
    record_folder : Path
        A record of a distribution over years and a gender, with its ``model.keras``.
    folder : Path, optional
        Where to; the collection's own place by default.

    Returns
    -------
    dict
        What ``facts.json`` holds: description, metrics with intervals over the test images that
        the network never saw, by group, the interval's tail, and the file's hash.

    Raises
    ------
    DataError
        If the record is of another kind, its network is missing or larger than 10 MB, or its ages
        are not those of the record.
    """
    folder = folder or shipped_folder()
    record = load_record(record_folder)
    experiment = Experiment.from_description(record.experiment)
    if experiment.labels != "per-year-101" or not experiment.gender:
        raise DataError(
            f"{record.label}: only a network of one class a year (labels 'per-year-101') with a "
            "gender output can be shipped"
        )
    if experiment.dataset != "utkface":
        raise DataError(
            f"{record.label}: it was trained on {experiment.dataset}, and the model card speaks of "
            "UTKFace's labels and licence; ship a network trained on utkface"
        )
    if isinstance(head_of(experiment), OrdinalRegression):
        raise DataError(
            f"{record.label}: head {experiment.head!r} answers questions, which predict would take "
            "for a distribution over years; ship a network with another head"
        )
    network = load_network(record_folder / "model.keras")
    catalog = manifests.load_manifest(experiment.dataset)
    facts = {
        "record": "/".join(record_folder.resolve().parts[-3:]),
        "experiment": experiment.describe(),
        "split": record.summary["split"],
        "parameters": network.count_params(),  # without those of race
        "trained": {key: record.summary[key] for key in ("created", "hardware", "versions")},
        "metrics": _scores(record.predictions),
        "all_folds": _all_folds(record_folder, experiment),
        "groups": by_group(record.predictions, catalog),
        "interval": calibrated(record.predictions),
        "float32": _agreement(network, record, experiment),
    }
    if facts["float32"] and facts["float32"]["mean"] > _FARTHEST:
        raise DataError(
            f"{record.label}: on {facts['float32']['n']} test images the ages of its network are "
            f"{facts['float32']['mean']} years from those of the record on average, more than "
            f"{_FARTHEST}; train it again with --retrain"
        )
    with atomic_path(folder / NETWORK) as temporary:
        network.save(temporary)
        content = temporary.read_bytes()
        if len(content) > LARGEST:
            raise DataError(
                f"{record.label}: {len(content) / 1e6:.1f} MB; at most {LARGEST / 1e6:.0f} MB are "
                "shipped"
            )
    facts["network"] = {
        "file": NETWORK,
        "megabytes": round(len(content) / 1e6, 2),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_json(folder / FACTS, facts)
    write_text(folder / CARD, model_card(facts))
    return facts


def calibrated(predictions: pd.DataFrame) -> dict[str, Any]:
    """Find the tails that make the interval hold 80 % of the true ages.

    Parameters
    ----------
    predictions : DataFrame
        Test part of a record, with ``age`` and ``p0`` ...

    Returns
    -------
    dict
        ``tail``: share to cut at each end, from all images. ``coverage``: share of true ages
        inside, with interval, where each random half is cut by the tail of the other half;
        ``uncalibrated``: the same with tails of one tenth. ``years``: mean width.
    """
    shares = predictions[probability_columns(predictions)].to_numpy(float)
    ages = predictions["age"].to_numpy()
    half = np.random.default_rng(0).permutation(len(ages)) % 2 == 0
    inside = np.zeros(len(ages), bool)
    for part in (half, ~half):
        inside[part] = _inside(shares[part], ages[part], _tail(shares[~part], ages[~part]))
    tail = _tail(shares, ages)
    low, high = interval(shares, tail)
    return {
        "share": SHARE,
        "tail": tail,
        "years": round(float((high - low).mean()), 2),
        "coverage": _share(inside),
        "uncalibrated": _share(_inside(shares, ages, (1 - SHARE) / 2)),
    }


def by_group(predictions: pd.DataFrame, catalog: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the scores of each decade of life, gender and race, as annotated.

    Parameters
    ----------
    predictions : DataFrame
        Test part of a record.
    catalog : DataFrame
        With ``file``, ``gender`` and ``race``.

    Returns
    -------
    list of dict
        ``group``, ``value``, ``n``, and each of MAE, CS@5 and gender accuracy as a dict of
        ``value``, ``low`` and ``high``.
    """
    known = predictions.merge(catalog[["file", "gender", "race"]], on="file", validate="1:1")
    decade = (known["age"] // 10 * 10).clip(upper=90)
    bands = decade.map(lambda low: f"{low} to {low + 9}" if low < 90 else "90 and older")
    order = sorted(bands.unique(), key=lambda band: int(band.split()[0]))
    rows = []
    for group, labels, values in (
        ("age", bands, order),
        ("gender", known["gender"], sorted(known["gender"].dropna().unique())),
        ("race", known["race"], sorted(known["race"].dropna().unique())),
    ):
        for value in values:
            part = known[labels == value]
            rows.append({"group": group, "value": value, "n": len(part), **_scores(part)})
    return rows


def _inside(shares: np.ndarray, ages: np.ndarray, tail: float) -> np.ndarray:
    low, high = interval(shares, tail)
    return (ages >= low) & (ages <= high)


def _tail(shares: np.ndarray, ages: np.ndarray) -> float:
    """Return the largest tail, in thousandths, at which at least the wanted share is inside."""
    for thousandths in range(499, 0, -1):
        if _inside(shares, ages, thousandths / 1000).mean() >= SHARE:
            return thousandths / 1000
    return 0.0


def _share(inside: np.ndarray) -> dict[str, Any]:
    columns = bootstrap(share_score(inside), len(inside))
    value, low, high = (column.item() for column in columns)
    return _rounded({"value": value, "low": low, "high": high}) | {"n": len(inside)}


def _scores(predictions: pd.DataFrame) -> dict[str, Any]:
    scores = evaluate(predictions, kind="regression", metrics=_SCORES)
    return {
        name: _rounded({key: float(row[key]) for key in ("value", "low", "high")})
        | {"n": int(row["n"])}
        for name, row in scores.iterrows()
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}


def _all_folds(record_folder: Path, experiment: Experiment) -> dict[str, Any] | None:
    """Return the scores over all folds, where all of them have a record."""
    if experiment.fold is None:
        return None
    siblings = experiment.over_folds(experiment.protocol)
    folders = [record_folder.parent / sibling.slug for sibling in siblings]
    if not all((folder / "record.json").is_file() for folder in folders):
        return None
    return _scores(pooled(load_record(folder).predictions for folder in folders))


def _agreement(network: Any, record: Record, experiment: Experiment) -> dict[str, Any] | None:
    """Compare the float32 file with the record, which may come from mixed precision."""
    images = datasets.images_folder(experiment.dataset)
    table = record.predictions.sort_values("file").head(_COMPARED)
    if not all((images / name).is_file() for name in table["file"]):
        return None
    predictor = Predictor(network, mirrored=experiment.flip_at_test)
    chips = [load_image(images / name) for name in table["file"]]
    found = np.array([estimate.age for estimate in predictor.estimate(chips)])
    gap = np.abs(found - table["expected_age"].to_numpy())
    return {"n": len(gap), "mean": round(float(gap.mean()), 4), "most": round(float(gap.max()), 4)}
