"""Folds: whole clusters dealt out so that every fold has the same ages."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from agelib.groups import SPAN, age_span

N_FOLDS = 5


def assign_folds(catalog: pd.DataFrame) -> np.ndarray:
    """Deal the usable images into folds, whole clusters at a time, balanced by age.

    Clusters are put in order of age (then gender, race and a coin) and dealt out in rounds of
    `N_FOLDS`, every fold once a round in random order. Since a cluster has one kept image,
    kept ages differ between folds by less than one round: closer than a greedy search gets.
    Where the catalog knows persons, all clusters of a person are dealt as one.

    Parameters
    ----------
    catalog : DataFrame
        With ``age`` (or a group of ages), ``gender``, ``race``, ``cluster``, ``usable``,
        ``keep``, and ``person`` where it is known.

    Returns
    -------
    ndarray of int64, shape (n,)
        Fold 0..N_FOLDS-1 of each usable image, -1 of the others.
    """
    folds = np.full(len(catalog), -1, dtype=np.int64)
    usable = np.flatnonzero(catalog["usable"].to_numpy(dtype=bool))
    if len(usable) == 0:
        return folds
    used = ["gender", "race", "keep", *(name for name in ("age", *SPAN) if name in catalog)]
    rows = catalog[used].iloc[usable].assign(cluster=kept_together(catalog)[usable])
    dealt = deal(rows, N_FOLDS, 0)
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
        Random state of the coin and of the rounds.

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


def base_names(catalog: pd.DataFrame) -> pd.Series:
    """Return the file names of a catalog without their folders, in its rows."""
    names = [file.rpartition("/")[2] for file in catalog["file"]]
    return pd.Series(names, index=catalog.index, dtype="str")
