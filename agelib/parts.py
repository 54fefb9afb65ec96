"""Parts of a split as a network sees them, and its predictions for one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from agelib import backend
from agelib.backend import keras
from agelib.experiment import Experiment
from agelib.files import DataError
from agelib.heads import Head
from agelib.pipeline import Batches, Images, Mirrored, Targets, age_weights, class_weights
from agelib.protocols import Split
from agelib.records import PROBABILITY_DIGITS
from agelib.relabel import relabelled
from agelib.store import Store


@dataclass(frozen=True)
class Part:
    """One part of a split as the network sees it.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        Rows of the catalog.
    images : Images
        Their pixels, or anything else with ``take`` and a length.
    labels : ndarray of shape (n,)
        Class numbers or years.
    targets : ndarray, or dict of them by output
        What the loss compares outputs with.
    weights : ndarray of shape (n,), optional
        What each image counts in the loss.
    """

    rows: np.ndarray
    images: Any
    labels: np.ndarray
    targets: Targets
    weights: np.ndarray | None = None


def make_part(
    store: Store,
    catalog: pd.DataFrame,
    rows: np.ndarray,
    head: Head,
    *,
    gender: bool = False,
    race: bool = False,
) -> Part:
    """Return the rows that the label scheme takes, with their images and targets.

    Parameters
    ----------
    store : Store
        Where the images are.
    catalog : DataFrame
        With ``age``, ``gender`` and ``race``.
    rows : ndarray of int
        Rows of the part.
    head : Head
        Label scheme and targets.
    gender : bool
        Whether gender is estimated as well; then images without it are left out.
    race : bool
        Whether race is learnt along; images without it teach nothing about it.

    Raises
    ------
    DataError
        If the scheme takes none of the rows, or none has the gender that is to be estimated.
    """
    rows = np.asarray(rows)
    if gender:
        told = catalog["gender"].iloc[rows].notna().to_numpy()
        if not told.any():
            raise DataError(
                f"the gender is to be estimated, and none of the {len(rows)} images of a part has "
                "one; name it with the labels, or leave it out with gender=0 in the experiment"
            )
        rows = rows[told]
    ages = catalog["age"].to_numpy(dtype="float64", na_value=np.nan)[rows]
    years = head.kind == "regression"
    labels = ages if years else head.scheme.of_catalog(catalog.iloc[rows])
    taken = ~np.isnan(ages) if years else labels >= 0
    if not taken.any():
        raise DataError(
            f"label scheme {head.scheme.name!r} takes none of the {len(rows)} images of a part; "
            "choose another scheme or out-of-range rule"
        )
    rows, labels = rows[taken], labels[taken]
    targets: Targets = head.targets(labels)
    if gender or race:
        targets = {"age": targets}
    if gender:
        targets["gender"] = head.gender_targets(_female(catalog, rows))
    if race:
        targets["race"] = head.race_targets(catalog["race"].iloc[rows].to_numpy(object))
    return Part(rows, Images(store, rows), labels, targets)


def make_parts(
    experiment: Experiment, head: Head, store: Store, catalog: pd.DataFrame, split: Split
) -> dict[str, Part]:
    """Return the parts of a split as the experiment's network learns them and is tested on them.

    Raises
    ------
    DataError
        If the label scheme takes no image of a part, or none has a gender that is to be learnt.
    ValueError
        If the experiment asks for unknown training labels, or for class weights where classes are
        not the only output.
    """
    weighted = experiment.recipe.class_weights
    if weighted and (head.kind == "regression" or experiment.gender or experiment.race):
        raise ValueError(
            f"{experiment.slug}: class weights go with classes as the only output; leave "
            "class_weights out of the recipe"
        )
    learnt = {name: (catalog, rows) for name, rows in split.parts().items()}
    learnt["training"] = relabelled(catalog, split, experiment.training_labels)
    outputs = {"gender": experiment.gender > 0, "race": experiment.race > 0}
    parts = {
        name: make_part(store, labels, rows, head, **outputs)
        for name, (labels, rows) in learnt.items()
    }
    training, weights = parts["training"], None
    if weighted:
        weights = class_weights(training.labels)
    elif experiment.recipe.balance:
        ages = learnt["training"][0]["age"].iloc[training.rows].to_numpy("int64")
        weights = age_weights(ages, experiment.recipe.balance)
    parts["training"] = dataclasses.replace(training, weights=weights)
    return parts


def _female(catalog: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return (catalog["gender"].iloc[rows] == "female").to_numpy(dtype="int64")


def predict(
    network: keras.Model,
    part: Part,
    catalog: pd.DataFrame,
    head: Head,
    *,
    flip: bool = False,
) -> pd.DataFrame:
    """Return the network's predictions for a part, one row per image.

    Parameters
    ----------
    network : keras.Model
        From `agelib.models.build`.
    part : Part
        Images and labels.
    catalog : DataFrame
        With ``file``, ``age`` and ``gender``.
    head : Head
        Reads the outputs.
    flip : bool
        Take the mean of the outputs for each image and for its mirror image.

    Returns
    -------
    DataFrame
        ``file``, ``age``, then ``true``, ``predicted``, ``p0 ...`` for a classification (with
        ``expected_age`` for one class a year), or ``predicted`` in years for a regression; and
        ``female`` (0 or 1, as annotated) and ``p_female`` where there is a gender output.
    """
    seen = [part.images, Mirrored(part.images)] if flip else [part.images]
    size = backend.prediction_batch(len(part.rows))
    each = [network.predict(Batches(x, batch_size=size), verbose=0) for x in seen]
    outputs = keras.tree.map_structure(lambda *values: sum(values) / len(values), *each)
    table = catalog.iloc[part.rows][["file", "age"]].reset_index(drop=True)
    age = outputs["age"] if isinstance(outputs, dict) else outputs
    columns = head.read(np.asarray(age, dtype="float64"), part.labels)
    if isinstance(outputs, dict) and "gender" in outputs:
        columns["female"] = _female(catalog, part.rows)
        columns["p_female"] = np.asarray(outputs["gender"], dtype="float64")[:, -1]
    digits = {name: _digits(name) for name in columns}
    rounded = {n: v.round(digits[n]) if v.dtype.kind == "f" else v for n, v in columns.items()}
    return pd.concat([table, pd.DataFrame(rounded)], axis=1)


def _digits(column: str) -> int:
    return 3 if column in ("predicted", "expected_age") else PROBABILITY_DIGITS
