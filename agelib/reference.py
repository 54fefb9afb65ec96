"""The experiment that chapters 16 to 20 examine, stated in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from agelib.evaluation import pooled
from agelib.experiment import Experiment, Recipe
from agelib.records import Record

if TYPE_CHECKING:
    from agelib.lab import Lab

AGE_GROUPS = ("0-12", "13-19", "20-39", "40-59", "60+")
_STARTS = (0, 13, 20, 40, 60)

_REFERENCE = Experiment(
    number="3.2",
    name="small model, 60 epochs",
    chapter="15-the-best-model",
    architecture="residual",
    labels="per-year-101",
    head="distribution",
    gender=1.0,
    dataset="utkface",
    protocol="utkface-5fold",
    fold=0,
    image_size=72,
    preprocessing="crop",
    flip_at_test=True,
    recipe=Recipe(
        epochs=60,
        batch_size=128,
        optimizer="adamw",
        learning_rate=3e-3,
        optimizer_options={"weight_decay": 0.05},
        schedule="cosine",
        ema=0.998,
        augmentation=("flip", "move", "brightness", "erase"),
        precision="mixed_bfloat16",
    ),
)

_QUICK = dataclasses.replace(
    _REFERENCE,
    number="1.0",
    name="Small residual network, 32 pixels",
    chapter="19-leakage",
    image_size=32,
    preprocessing="minus-one-to-one",
    flip_at_test=False,
    recipe=dataclasses.replace(
        _REFERENCE.recipe,
        epochs=10,
        batch_size=64,
        learning_rate=2e-3,
        ema=None,
        augmentation=("flip",),
    ),
)


def reference(lab: Lab) -> Experiment:
    """Return the experiment that the analyses examine, on the first fold of the lab's data set."""
    return dataclasses.replace(_REFERENCE, dataset=lab.dataset, protocol=lab.five_fold)


def quick(lab: Lab) -> Experiment:
    """Return an experiment that trains in minutes, for chapters that need many trainings.

    The same network at 32 pixels for 10 epochs, with mirrored images as the only augmentation:
    free to learn its training images by heart.
    """
    return dataclasses.replace(_QUICK, dataset=lab.dataset, protocol=lab.five_fold)


def reference_records(lab: Lab) -> list[Record]:
    """Return the records of all folds that have one; the first fold is trained where none has.

    What an analysis says follows from them alone, so it grows by itself when folds are added.
    """
    folds = reference(lab).over_folds(lab.five_fold)
    there = [experiment for experiment in folds if lab.has_record(experiment)]
    return lab.records(there or folds[:1])


def subject(lab: Lab, records: Sequence[Record] | None = None) -> pd.DataFrame:
    """Return test predictions beside what the catalog says of each image.

    Parameters
    ----------
    lab : Lab
        An open data set.
    records : sequence of Record, optional
        One or more folds of an experiment with one class a year and a gender output; the
        reference's when not given.

    Returns
    -------
    DataFrame
        One row per test image, sorted by ``file``: the columns of the predictions (``age``,
        ``true`` in 0..100, ``expected_age``, ``p0`` to ``p100``, ``female``, ``p_female``);
        ``gender``, ``race`` (as annotated; "not annotated" where no image has one), ``cluster``
        and ``fold`` of the catalog;
        ``age_group`` (true age, ordered), ``error`` (expected minus true age, years) and
        ``gender_right``.
    """
    records = reference_records(lab) if records is None else records
    table = pooled(record.predictions for record in records)
    facts = lab.catalog[["file", "gender", "race", "cluster", "fold"]]
    table = table.merge(facts, on="file", how="left", validate="one_to_one")
    if table["race"].isna().all():
        table["race"] = "not annotated"
    derived = {
        "age_group": age_group(table["age"]),
        "error": table["expected_age"] - table["age"],
        "gender_right": (table["p_female"] > 0.5) == (table["female"] == 1),
    }
    return pd.concat([table, pd.DataFrame(derived)], axis=1)


def age_group(ages: pd.Series) -> pd.Series:
    """Return the group in ``AGE_GROUPS`` of ages in years, as an ordered categorical.

    Children, teenagers, and adults by twenty years: each group is large enough in UTKFace to be
    split by gender and race.
    """
    edges = [*_STARTS, float("inf")]
    return pd.cut(ages.astype("float64"), edges, right=False, labels=list(AGE_GROUPS))
