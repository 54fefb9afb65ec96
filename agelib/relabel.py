"""Which copies of a photograph train, and with which age, where their labels differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from agelib.protocols import Split


def relabelled(
    catalog: pd.DataFrame, split: Split, choice: str = "kept"
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return labels and rows of a training part; validation and test never change.

    Parameters
    ----------
    catalog : DataFrame
        Cleaned, with ``age``, ``cluster`` and ``usable``.
    split : Split
        Whose training part.
    choice : str
        Key of :data:`TRAINING_LABELS`.

    Returns
    -------
    catalog : DataFrame
        With the ages to train with.
    rows : ndarray of int64
        Rows to train with, ascending.

    Raises
    ------
    ValueError
        If the choice is unknown.
    """
    if choice not in TRAINING_LABELS:
        known = ", ".join(TRAINING_LABELS)
        raise ValueError(f"training_labels is {choice!r}; choose from {known}")
    return TRAINING_LABELS[choice](catalog, split)


def _kept(catalog: pd.DataFrame, split: Split) -> tuple[pd.DataFrame, np.ndarray]:
    return catalog, split.training


def _raw(catalog: pd.DataFrame, split: Split) -> tuple[pd.DataFrame, np.ndarray]:
    cluster = catalog["cluster"].to_numpy()
    held_out = cluster[np.concatenate([split.validation, split.test])]
    ours = np.isin(cluster, cluster[split.training]) & ~np.isin(cluster, held_out)
    wanted = ours & catalog["usable"].to_numpy(dtype=bool)
    return catalog, np.union1d(split.training, np.flatnonzero(wanted))


def _agreed(catalog: pd.DataFrame, split: Split) -> tuple[pd.DataFrame, np.ndarray]:
    conflicting = _of_clusters(catalog, "nunique") > 1
    return catalog, split.training[~conflicting[split.training]]


def _mean(catalog: pd.DataFrame, split: Split) -> tuple[pd.DataFrame, np.ndarray]:
    means = pd.Series(np.rint(_of_clusters(catalog, "mean")), index=catalog.index)
    # Of an image that is not usable there is no mean; it is in no part either.
    ages = means.astype("Int64").where(means.notna(), catalog["age"])
    return catalog.assign(age=ages), split.training


def _of_clusters(catalog: pd.DataFrame, what: str) -> np.ndarray:
    """Return a statistic of the usable ages of each image's cluster, (n,), NaN where none is."""
    usable = catalog["age"].where(catalog["usable"]).astype("Float64")
    values = usable.groupby(catalog["cluster"]).transform(what)
    return values.to_numpy(dtype="float64", na_value=np.nan)


TRAINING_LABELS: dict[str, Callable[[pd.DataFrame, Split], tuple[pd.DataFrame, np.ndarray]]] = {
    "kept": _kept,  # one copy of a photograph, the one whose age is nearest to their mean
    "raw": _raw,  # all copies, each with its own label
    "agreed": _agreed,  # one copy, and none of photographs that are labelled with several ages
    "mean": _mean,  # one copy, with the mean of their ages
}
