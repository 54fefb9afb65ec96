"""Recipes: the folds and parts that are drawn once and kept as columns of a manifest."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from agelib.files import DataError, sha256_text
from agelib.groups import SPAN, age_span
from agelib.labels import get_scheme
from agelib.paths import datasets_dir

N_FOLDS = 5
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


def assign_folds(catalog: pd.DataFrame, *, n_folds: int = N_FOLDS, state: int = 0) -> np.ndarray:
    """Deal the usable images into folds, whole clusters at a time, balanced by age.

    Clusters are put in order of age (then gender, race and a coin) and dealt out in rounds of
    ``n_folds``, every fold once a round in random order. Since a cluster has one kept image,
    kept ages differ between folds by less than one round: closer than a greedy search gets.
    Where the catalog knows persons, all clusters of a person are dealt as one.

    Parameters
    ----------
    catalog : DataFrame
        With ``age`` (or a group of ages), ``gender``, ``race``, ``cluster``, ``usable``,
        ``keep``, and ``person`` where it is known.
    n_folds : int
        Number of folds, at least 2.
    state : int
        Random state of the coin and of the rounds.

    Returns
    -------
    ndarray of int64, shape (n,)
        Fold 0..n_folds-1 of each usable image, -1 of the others.

    Raises
    ------
    ValueError
        When ``n_folds`` is below 2.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}; at least 2 are needed")
    folds = np.full(len(catalog), -1, dtype=np.int64)
    usable = np.flatnonzero(catalog["usable"].to_numpy(dtype=bool))
    if len(usable) == 0:
        return folds
    used = ["gender", "race", "keep", *(name for name in ("age", *SPAN) if name in catalog)]
    rows = catalog[used].iloc[usable].assign(cluster=kept_together(catalog)[usable])
    dealt = deal(rows, n_folds, state)
    folds[usable] = dealt.to_numpy()[np.searchsorted(dealt.index, rows["cluster"])]
    return folds


def kept_together(catalog: pd.DataFrame) -> np.ndarray:
    """Join the clusters that share a person.

    Parameters
    ----------
    catalog : DataFrame
        With ``cluster``, and ``person`` where it is known.

    Returns
    -------
    ndarray of int64, shape (n,)
        Equal for images that must not be parted; the ``cluster`` itself without persons.
    """
    cluster = catalog["cluster"].to_numpy(dtype=np.int64)
    if "person" not in catalog:
        return cluster
    person, _ = pd.factorize(catalog["person"])
    rows = np.flatnonzero(person >= 0)
    n = len(catalog)
    edges = (np.ones(len(rows), dtype=bool), (cluster[rows], n + person[rows]))
    graph = coo_array(edges, shape=(n + person.max(initial=0) + 1,) * 2)
    return connected_components(graph, directed=False)[1][cluster].astype(np.int64)


def deal(rows: pd.DataFrame, n_folds: int, state: int) -> pd.Series:
    """Deal clusters into folds, as `assign_folds` says.

    Parameters
    ----------
    rows : DataFrame
        The rows of a catalog to deal, at least one.
    n_folds : int
        Number of folds.
    state : int
        Random state.

    Returns
    -------
    Series of int64
        Fold of each cluster (index: cluster number, ascending).
    """
    # RandomState's stream is frozen for good, so the folds never depend on numpy's version.
    random = np.random.RandomState(state)
    # The kept image speaks for its cluster; without one, the first does.
    kept_first = np.argsort(~rows["keep"].to_numpy(dtype=bool), kind="stable")
    clusters, first = np.unique(rows["cluster"].to_numpy()[kept_first], return_index=True)
    speakers = rows.iloc[kept_first[first]]
    gender, race = (
        pd.factorize(speakers[name].fillna(""), sort=True)[0] for name in ("gender", "race")
    )
    ages = sum(age_span(speakers)).to_numpy("int64", na_value=np.iinfo(np.int64).max)
    order = np.lexsort((random.permutation(len(speakers)), race, gender, ages))
    rounds = -(-len(order) // n_folds)
    places = np.empty((rounds, n_folds), dtype=np.int64)
    for places_of_round in places:
        places_of_round[:] = random.permutation(n_folds)
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = places.ravel()[: len(order)]
    return pd.Series(folds, index=clusters)


def p1_decades(catalog: pd.DataFrame) -> np.ndarray:
    """Repeat P1's undersampling and split, file for file.

    P1 (rijnberg) keeps names with exactly four ``_`` parts and ages 1-70, groups them by decade,
    takes the first files of every decade up to the size of the smallest (1,170 in UTKFace) and
    draws a part for each: below 0.75 training, below 0.95 validation, else test.

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


def base_names(catalog: pd.DataFrame) -> pd.Series:
    """Return the file names of a catalog without their folders, in its rows."""
    names = [file.rpartition("/")[2] for file in catalog["file"]]
    return pd.Series(names, index=catalog.index, dtype="str")
