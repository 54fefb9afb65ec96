"""What is reached without looking at an image, from the labels alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agelib import manifests
from agelib.files import DataError
from agelib.labels import get_scheme
from agelib.protocols import split
from agelib.records import Record


def guess(dataset: str, records: Sequence[Record], *, labels: str | None) -> dict[str, float]:
    """Return what saying the same of every test image reaches.

    What is said, the median age or the largest class or gender, is that of the training part.

    Parameters
    ----------
    dataset : str
        Data set.
    records : sequence of Record
        Their splits are taken.
    labels : str or None
        Label scheme of the classes; None for years and gender.

    Returns
    -------
    dict of str to float
        ``accuracy``, or without a scheme ``mae``, ``median_error`` and ``within_80`` (years),
        ``cs5`` and, where any is known, ``gender_accuracy``. Nothing where the manifest is missing.
    """
    try:
        catalog = manifests.load_manifest(dataset)
        parts = [
            split(catalog, record.experiment["protocol"], fold=record.experiment["fold"])
            for record in records
        ]
    except (DataError, OSError):
        return {}
    scheme = get_scheme(labels) if labels else None
    errors, gender, hits = [], [], []
    for part in parts:
        training, test = (catalog.iloc[rows] for rows in (part.training, part.test))
        if scheme:
            known, true = (scheme.of_catalog(rows) for rows in (training, test))
            common = np.bincount(known[known >= 0]).argmax()
            hits.append(true[true >= 0] == common)
            continue
        errors.append((test["age"].dropna() - training["age"].median()).abs().to_numpy(float))
        # Of genders that nobody knows none is the most frequent.
        for common in training["gender"].mode()[:1]:
            gender.append((test["gender"].dropna() == common).to_numpy())
    if scheme:
        return {"accuracy": float(np.concatenate(hits).mean())}
    error = np.concatenate(errors)
    quantiles = {"median_error": np.median(error), "within_80": np.quantile(error, 0.8)}
    shares = {"cs5": (error <= 5).mean()}
    if gender:
        shares["gender_accuracy"] = np.concatenate(gender).mean()
    return {"mae": float(error.mean())} | {k: float(v) for k, v in (quantiles | shares).items()}
