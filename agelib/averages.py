"""Average faces: what may be shown of a data set whose faces may not (design: at least thirty)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from agelib.activations import class_activation_map
from agelib.files import DataError
from agelib.labels import LabelScheme
from agelib.store import Store

if TYPE_CHECKING:
    import keras

AT_LEAST = 30
_AT_ONCE = 512


def average_faces(store: Store, groups: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Average the images of each group.

    Parameters
    ----------
    store : Store
        Where the images are.
    groups : mapping of str to ndarray of int
        Rows of the catalog by the group's name.

    Returns
    -------
    dict of str to ndarray of shape (size, size, channels), uint8
        The mean image of each group.

    Raises
    ------
    DataError
        If a group has fewer than thirty images: an average of few shows their faces.
    """
    averages = {}
    for name, rows in groups.items():
        if len(rows) < AT_LEAST:
            raise DataError(
                f"group {name!r} has {len(rows)} images; an average of fewer than {AT_LEAST} "
                "would show faces, so join it with another group"
            )
        blocks = [rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)]
        total = sum(store.read(block).sum(axis=0, dtype="uint64") for block in blocks)
        averages[name] = np.rint(total / len(rows)).astype("uint8")
    return averages


def average_by_class(
    store: Store, catalog: pd.DataFrame, scheme: LabelScheme
) -> dict[str, np.ndarray]:
    """Average the kept images of each age class; classes of fewer than thirty are left out.

    Returns
    -------
    dict of str to ndarray of shape (size, size, channels), uint8
        The mean image by name of the class, in the scheme's order.
    """
    kept = np.flatnonzero(catalog["keep"])
    classes = scheme.of_catalog(catalog.iloc[kept])
    groups = {name: kept[classes == k] for k, name in enumerate(scheme.names)}
    return average_faces(store, {n: rows for n, rows in groups.items() if len(rows) >= AT_LEAST})


def evidence_by_class(
    network: keras.Model,
    means: Mapping[str, np.ndarray],
    scheme: LabelScheme,
    layer: str | None = None,
    *,
    years: bool = False,
) -> dict[str, np.ndarray]:
    """Show where a network finds evidence for each class in the average face of that class.

    Parameters
    ----------
    network : keras.Model
        Answers with the scheme's classes, or with a unit a year: the year, or being older than it.
    means : mapping of str to ndarray of shape (size, size, channels)
        Average faces by name of the class, from `average_by_class`.
    scheme : LabelScheme
        The classes.
    layer : str, optional
        As in `agelib.activations.class_activation_map`.
    years : bool
        Ask the unit of each class's fifth year, the middle one of ten.

    Returns
    -------
    dict of str to ndarray of shape (size, size), float32
        Class-activation maps by name of the class.
    """
    maps = {}
    for name, face in means.items():
        unit = _fifth_year(scheme, name) if years else scheme.names.index(name)
        maps[name] = class_activation_map(network, face[None], unit, layer)[0]
    return maps


def evidence_of_age_and_gender(
    network: keras.Model, means: Mapping[str, np.ndarray], scheme: LabelScheme
) -> dict[str, np.ndarray]:
    """Show, in the average face of each class, evidence for its fifth year and for female.

    Parameters
    ----------
    network : keras.Model
        Answers with a distribution over years, "probabilities", and a gender, "gender".
    means : mapping of str to ndarray of shape (size, size, channels)
        Average faces by name of the class, from `average_by_class`.
    scheme : LabelScheme
        Classes of ten years; the fifth is the middle one.

    Returns
    -------
    dict of str to ndarray of shape (2, size, size), float16
        Class-activation maps by name of the class: age, then gender.
    """
    female = network.get_layer("gender").output.shape[-1] - 1
    maps = {}
    for name, face in means.items():
        asked = {"probabilities": _fifth_year(scheme, name), "gender": female}
        found = [class_activation_map(network, face[None], k, output=o) for o, k in asked.items()]
        maps[name] = np.concatenate(found).astype("float16")
    return maps


def _fifth_year(scheme: LabelScheme, name: str) -> int:
    return scheme.lower[scheme.names.index(name)] + 4
