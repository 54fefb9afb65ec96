"""Recipes: the parts of P1, P2 and P5, drawn once and kept with the folds in a manifest."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from agelib.files import DataError, sha256_text
from agelib.folds import assign_folds, base_names
from agelib.labels import get_scheme
from agelib.paths import datasets_dir

P5_LIST = "utkface_5000_128px.txt"
_P5_SHARE = 5000 / 23_707  # of UTKFace
# As objects: indexed, they stay the same three words, and no image has a word of its own.
_PARTS = np.array(["training", "validation", "test"], dtype=object)


def draw_columns(catalog: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Draw the folds and parts of a cleaned catalog.

    Parameters
    ----------
    catalog : DataFrame
        Cleaned, sorted by ``file`` in byte order.
    dataset : str
        Name of the data set. For ``"utkface"``, the 5,000 images of P5 are those of the list
        ``protocols/utkface_5000_128px.txt`` in the folder of data sets, if it is there.

    Returns
    -------
    DataFrame
        A copy with the columns ``fold``, ``p1_decades``, ``p2_random`` and ``p5_5000`` filled.
        Folds that the reader of the data set gave stay.

    Raises
    ------
    DataError
        When that list is there and names none of the images.
    """
    path = datasets_dir() / "protocols" / P5_LIST
    listed = dataset == "utkface" and path.is_file()
    given = catalog["fold"].where(catalog["usable"], -1)
    return catalog.assign(
        fold=given if (given >= 0).any() else assign_folds(catalog),
        p1_decades=p1_decades(catalog),
        p2_random=p2_random(catalog),
        p5_5000=p5_5000(catalog, _p5_names(catalog, path) if listed else None),
    )


def p1_decades(catalog: pd.DataFrame) -> np.ndarray:
    """Repeat P1's undersampling and split, file for file.

    P1 (rijnberg) keeps names with exactly four ``_`` parts and ages 1-70, groups them by decade,
    takes the first files of every decade up to the size of the smallest (1,170 in UTKFace) and
    draws a part for each: below 0.75 training, below 0.95 validation, else test. Where no name
    has four parts, as in a folder of one's own, names leave nothing out.

    Parameters
    ----------
    catalog : DataFrame
        Sorted by ``file`` in byte order, with ``file``, ``age`` and ``usable``.

    Returns
    -------
    ndarray of object, shape (n,)
        ``"training"``, ``"validation"``, ``"test"``, or ``""`` for images the recipe leaves out.
        All are ``""`` when a decade has no image: then no balanced set exists.
    """
    decades, n_classes = _p1_used(catalog), get_scheme("decades-7").n_classes
    size = np.bincount(decades[decades >= 0], minlength=n_classes).min()
    return _p1_dealt(
        catalog,
        np.concatenate([np.flatnonzero(decades == decade)[:size] for decade in range(n_classes)]),
    )


def p1_imbalanced(catalog: pd.DataFrame) -> np.ndarray:
    """Repeat P1's split without undersampling, as in its experiments in the wild.

    P1 (rijnberg) keeps names with exactly four ``_`` parts and ages 1-70, in the order of the
    files, and draws a part for each as in `p1_decades`: of the 22,837 images in the wild, 17,119
    for training, 4,641 for validation and 1,077 for testing.

    Parameters
    ----------
    catalog : DataFrame
        Sorted by ``file`` in byte order, with ``file``, ``age`` and ``usable``.

    Returns
    -------
    ndarray of object, shape (n,)
        ``"training"``, ``"validation"``, ``"test"``, or ``""`` for images the recipe leaves out.
    """
    return _p1_dealt(catalog, np.flatnonzero(_p1_used(catalog) >= 0))


def _p1_used(catalog: pd.DataFrame) -> np.ndarray:
    """Return each image's decade, -1 where P1 leaves it out."""
    four = base_names(catalog).str.count("_").to_numpy() == 3
    if not four.any():  # the names of another data set: P1's rule says nothing about them
        four[:] = True
    decades = get_scheme("decades-7").of_catalog(catalog)
    return np.where(four & catalog["usable"].to_numpy(dtype=bool), decades, -1)


def _p1_dealt(catalog: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Draw a part for each of the rows in their order, "" for all others."""
    part = np.full(len(catalog), "", dtype=object)
    part[rows] = _p1_parts(len(rows))
    return part


def _p1_parts(n: int) -> np.ndarray:
    draw = np.random.RandomState(1).rand(n)
    return _PARTS[np.digitize(draw, (0.75, 0.95))]


def p2_random(catalog: pd.DataFrame) -> np.ndarray:
    """Repeat P2's random split on sorted names.

    P2 (Vashatkar) shuffles all files with random state 10, trains on the first ``int(0.8 n)``
    and tests on the rest; Keras's ``validation_split=0.2`` takes the end of the training files
    for validation. It shuffled an order that depended on the machine, so the recipe is P2's but
    the draw is not.

    Parameters
    ----------
    catalog : DataFrame
        Sorted by ``file`` in byte order, with ``usable``.

    Returns
    -------
    ndarray of object, shape (n,)
        ``"training"``, ``"validation"`` or ``"test"``; ``""`` for images that are not usable.
    """
    usable = np.flatnonzero(catalog["usable"].to_numpy(dtype=bool))
    order = usable[np.random.RandomState(10).permutation(len(usable))]
    learnt = 4 * len(order) // 5
    trained = 4 * learnt // 5
    part = np.full(len(catalog), "", dtype=object)
    part[order[:trained]] = "training"
    part[order[trained:learnt]] = "validation"
    part[order[learnt:]] = "test"
    return part


def p5_5000(catalog: pd.DataFrame, names: Collection[str] | None = None) -> np.ndarray:
    """Split P5's images 80/20 by gender and test on all others that are clean of copies of them.

    P5 (Bath) drew 1,000 of its 5,000 images for validation, stratified by gender, without a
    random state. Here the sizes are the same, but the copies of a photograph stay on one side.
    No image of the 5,000 is left out. Its test images were never published; here they are the
    kept images of every cluster that has none of the 5,000.

    Parameters
    ----------
    catalog : DataFrame
        With ``file``, ``gender``, ``cluster``, ``usable`` and ``keep``.
    names : collection of str, optional
        Names, without folder, of the images to train and validate with. When not given, a hash
        of the name picks about 21 % of the usable images, the share of the 5,000 in UTKFace.

    Returns
    -------
    ndarray of object, shape (n,)
        ``"training"``, ``"validation"``, ``"test"``, or ``""`` for images that are not usable
        and for copies left out of the test.
    """
    base = base_names(catalog)
    picked = base.isin(names) if names is not None else base.map(_is_picked).astype(bool)
    picked = (picked & catalog["usable"]).to_numpy(dtype=bool)
    cluster = catalog["cluster"].to_numpy()
    validated = _fifth_by_gender(catalog[picked])
    part = np.full(len(catalog), "", dtype=object)
    part[catalog["keep"].to_numpy(dtype=bool) & ~np.isin(cluster, cluster[picked])] = "test"
    part[picked] = _PARTS[np.isin(cluster[picked], validated).astype(int)]
    return part


def _is_picked(name: str) -> bool:
    return int(sha256_text(name)[:8], 16) / 2**32 < _P5_SHARE


def _fifth_by_gender(rows: pd.DataFrame) -> np.ndarray:
    """Return clusters, taken at random, that make up a fifth of the rows of each gender."""
    counts = rows.groupby(["cluster", rows["gender"].fillna("")]).size().unstack(fill_value=0)
    room = (counts.sum() / 5).round().to_numpy()
    taken = []
    for at in np.random.RandomState(0).permutation(len(counts)):
        size = counts.to_numpy()[at]
        # The many images without a copy fill up what a cluster would overfill.
        if (size <= room).all():
            room = room - size
            taken.append(at)
    return counts.index.to_numpy()[taken]


def _p5_names(catalog: pd.DataFrame, path: Path) -> list[str]:
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a list of file names ({error}); place it anew") from error
    if not base_names(catalog).isin(names).any():
        raise DataError(
            f"none of the {len(names)} lines of {path} names one of these images; place P5's "
            "list there, or take the file away to have images picked by a hash of their names"
        )
    return names
