"""Duplicates and conflicting labels: found, flagged with a reason, one image of each kept."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from agelib.groups import age_span

THRESHOLD = 0.985
_FREQUENCIES = 6  # a side: 35 coordinates hold three quarters of what tells faces apart
_LEAF = 512  # rows of a leaf of the tree, at the most
_BLOCK = 4096  # thumbnails sketched at once
_PAIRS = 1024  # pairs whose correlation is computed at once
_JOINED = 1 << 16  # pairs that may wait to be joined


def exact_groups(md5: pd.Series) -> pd.Series:
    """Group byte-identical files and number the groups.

    Parameters
    ----------
    md5 : pandas.Series
        (n,) hexadecimal digests of the files' bytes, "" for unreadable files.

    Returns
    -------
    pandas.Series
        (n,) Int64: 0, 1, 2 … by first member in row order, <NA> for files alone.
    """
    twins = md5.duplicated(keep=False) & md5.ne("")
    groups = pd.Series(pd.NA, index=md5.index, dtype="Int64")
    groups[twins] = pd.factorize(md5[twins])[0]
    return groups


def near_duplicate_pairs(thumbnails: np.ndarray, *, threshold: float = THRESHOLD) -> np.ndarray:
    """Find all pairs of thumbnails whose Pearson correlation exceeds a threshold.

    Every pair is compared, none is missed: a projection on 35 low spatial frequencies plus the
    length of what it leaves out bounds the correlation from above (Cauchy-Schwarz), and each
    pair whose bound passes is computed exactly, in whole numbers.

    Parameters
    ----------
    thumbnails : numpy.ndarray
        (n, side * side) uint8. A constant thumbnail has no correlation and pairs with nothing.
    threshold : float
        In (0, 1).

    Returns
    -------
    numpy.ndarray
        (k, 2) int64 row pairs, the smaller row first.
    """
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for candidates in _candidates(_sketch(thumbnails, np.arange(len(thumbnails))), threshold):
        for start in range(0, len(candidates), _PAIRS):
            piece = candidates[start : start + _PAIRS]
            pairs.append(piece[_correlation(thumbnails, piece) > threshold])
    found = np.concatenate(pairs)
    return found[np.lexsort(found.T[::-1])]


def near_duplicate_clusters(
    thumbnails: np.ndarray, *, threshold: float = THRESHOLD, exact: pd.Series | None = None
) -> np.ndarray:
    """Join near-duplicates, and byte-identical files, into clusters.

    Parameters
    ----------
    thumbnails : numpy.ndarray
        (n, side * side) uint8 grey thumbnails; rows of zeros for undecodable files.
    threshold : float
        Pearson correlation above which two thumbnails show the same photograph.
    exact : pandas.Series, optional
        (n,) result of `exact_groups`; the members of a group share a cluster, and only the
        first of them is compared with other images.

    Returns
    -------
    numpy.ndarray
        (n,) int64: the row of the cluster's first member; connected components of the pairs.
    """
    rows = np.arange(len(thumbnails))
    # A twin's thumbnail is the same as its first copy's, so one of them speaks for both.
    firsts = rows.copy()
    if exact is not None:
        twins = exact.notna().to_numpy()
        firsts[twins] = pd.Series(rows[twins]).groupby(exact[twins].to_numpy()).transform("first")
    alone = np.flatnonzero(firsts == rows)
    clusters = firsts
    pairs: list[np.ndarray] = []
    for candidates in _candidates(_sketch(thumbnails, alone), threshold):
        waiting = alone[candidates]
        while len(waiting):
            piece, waiting = waiting[:_PAIRS], waiting[_PAIRS:]
            pairs.append(piece[_correlation(thumbnails, piece) > threshold])
            # Joined in between, pairs need little memory however many there are, and those
            # of a cluster that is known already need not be looked at.
            if sum(map(len, pairs)) > max(_JOINED, len(rows) // 4):
                clusters, pairs = _joined(clusters, pairs), []
                waiting = waiting[clusters[waiting[:, 0]] != clusters[waiting[:, 1]]]
    return _joined(clusters, pairs)


def _joined(clusters: np.ndarray, pairs: list[np.ndarray]) -> np.ndarray:
    """Join clusters, known by their first rows, that have a pair of members in common."""
    rows = np.arange(len(clusters))
    edges = np.concatenate([np.column_stack([clusters, rows]), *pairs])
    graph = coo_array((np.ones(len(edges), dtype=bool), edges.T), shape=(len(rows), len(rows)))
    _, labels = connected_components(graph, directed=False)
    _, first_rows, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first_rows[inverse].astype(np.int64)


def flag_duplicates(catalog: pd.DataFrame, clusters: np.ndarray) -> pd.DataFrame:
    """Fill `exact` and `cluster` and flag duplicates and labels that contradict each other.

    Parameters
    ----------
    catalog : pandas.DataFrame
        Catalog of n rows (see `agelib.catalog`).
    clusters : numpy.ndarray
        (n,) result of `near_duplicate_clusters`.

    Returns
    -------
    pandas.DataFrame
        A copy. Flags: `exact-duplicate` with the group's size, `near-duplicate` with the
        cluster's size when it holds different files, `age-conflict` and `gender-conflict`
        with the labels found in the cluster.
    """
    catalog = catalog.copy()
    catalog["exact"] = exact_groups(catalog["md5"])
    catalog["cluster"] = clusters
    flags = [[flag] if flag else [] for flag in catalog["flags"]]
    for rows in _shared(catalog["exact"]):
        _append(flags, rows, f"exact-duplicate: {len(rows)} files")
    first, last = age_span(catalog)
    ages = list(zip(first.fillna(-1), last.fillna(-1), strict=True))
    genders = [(gender,) for gender in catalog["gender"].fillna("")]
    digests = catalog["md5"].to_numpy(object)
    for rows in _shared(catalog["cluster"]):
        if len(set(digests[rows])) > 1:
            _append(flags, rows, f"near-duplicate: {len(rows)} files")
        for word, labels in (("age-conflict", ages), ("gender-conflict", genders)):
            found = sorted({labels[row] for row in rows} - {("",), (-1, -1)})
            if len(found) > 1:
                said = ["-".join(map(str, dict.fromkeys(label))) for label in found]
                _append(flags, rows, f"{word}: {' '.join(said)}")
    catalog["flags"] = ["; ".join(reasons) for reasons in flags]
    return catalog


def choose_kept(catalog: pd.DataFrame) -> pd.Series:
    """Choose the one image of each cluster that stays in the cleaned set.

    Among the usable members it is the one whose age is nearest to their mean age; a tie is
    settled by the MD5 of the file name, a coin that favours neither the younger nor the older
    and falls the same way everywhere.

    Parameters
    ----------
    catalog : pandas.DataFrame
        With `file`, `age` (or a group of ages), `cluster` and `usable`.

    Returns
    -------
    pandas.Series
        (n,) bool; True as well for every usable image that has no duplicate.
    """
    usable = catalog[catalog["usable"]]
    # First plus last year is twice the age, or twice the middle of a group of ages.
    ages = sum(age_span(usable)).astype("int64")
    members = ages.groupby(usable["cluster"])
    # |n * age - sum| is the distance to the mean times n: whole numbers, so ties are real ties.
    distance = (ages * members.transform("size") - members.transform("sum")).abs()
    coin = usable["file"].map(lambda name: hashlib.md5(name.encode()).hexdigest())
    order = (
        usable[["cluster"]].assign(distance=distance, coin=coin).sort_values(["distance", "coin"])
    )
    kept = pd.Series(False, index=catalog.index)
    kept[order.drop_duplicates("cluster").index] = True
    return kept


def clean(catalog: pd.DataFrame, thumbnails: np.ndarray) -> pd.DataFrame:
    """Flag the duplicates and conflicts of a scanned catalog and choose what stays.

    Parameters
    ----------
    catalog : pandas.DataFrame
        From `agelib.catalog.scan`.
    thumbnails : numpy.ndarray
        (n, 1024) uint8 from the same scan.

    Returns
    -------
    pandas.DataFrame
        A copy with `exact`, `cluster`, `flags` and `keep` filled.
    """
    return settle(catalog, near_duplicate_clusters(thumbnails, exact=exact_groups(catalog["md5"])))


def settle(catalog: pd.DataFrame, clusters: np.ndarray) -> pd.DataFrame:
    """Flag the duplicates and conflicts of a catalog whose clusters are known.

    Parameters
    ----------
    catalog : pandas.DataFrame
        From `agelib.catalog.describe`.
    clusters : numpy.ndarray
        (n,) result of `near_duplicate_clusters`.

    Returns
    -------
    pandas.DataFrame
        A copy with `exact`, `cluster`, `flags` and `keep` filled.
    """
    catalog = flag_duplicates(catalog, clusters)
    catalog["keep"] = choose_kept(catalog)
    return catalog


def summary(catalog: pd.DataFrame) -> dict[str, int]:
    """Count what the clean-up found.

    Parameters
    ----------
    catalog : pandas.DataFrame
        Cleaned catalog.

    Returns
    -------
    dict of str to int
        Images, usable and kept images; groups and files of exact and near duplicates; clusters
        with conflicting labels; corrupt files; malformed names.
    """
    flags, exact = catalog["flags"], catalog["exact"].dropna()
    sizes = catalog.groupby("cluster").size()

    def flagged(word: str) -> pd.Series:
        return flags.str.contains(rf"(?:^|; ){word}(?::|;|$)")

    return {
        "images": len(catalog),
        "usable": int(catalog["usable"].sum()),
        "kept": int(catalog["keep"].sum()),
        "exact_groups": int(exact.nunique()),
        "exact_files": len(exact),
        "clusters": int((sizes > 1).sum()),
        "cluster_files": int(sizes[sizes > 1].sum()),
        "age_conflicts": int(catalog.loc[flagged("age-conflict"), "cluster"].nunique()),
        "gender_conflicts": int(catalog.loc[flagged("gender-conflict"), "cluster"].nunique()),
        "corrupt": int(flagged("corrupt").sum()),
        "malformed_names": int(flagged("name").sum()),
    }


def _shared(groups: pd.Series) -> Iterator[np.ndarray]:
    """Yield the row numbers of every group of two or more."""
    shared = groups.notna().to_numpy() & groups.duplicated(keep=False).to_numpy()
    rows = np.flatnonzero(shared)
    for positions in pd.Series(rows).groupby(groups.to_numpy(object)[rows]):
        yield positions[1].to_numpy()


def _append(flags: list[list[str]], rows: np.ndarray, reason: str) -> None:
    for row in rows:
        flags[row].append(reason)


def _normalised(thumbnails: np.ndarray) -> np.ndarray:
    """Centre the rows and give them unit length; constant rows become zero."""
    vectors = thumbnails.astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-3)


def _sketch(thumbnails: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Project thumbnails on their lowest frequencies; append the length of the remainder."""
    side = math.isqrt(thumbnails.shape[1])
    waves = dct(np.eye(side), axis=0, norm="ortho")[:_FREQUENCIES]
    # Orthonormal columns, as the bound wants them; the first, the mean, is zero throughout.
    basis = np.kron(waves, waves)[1:].T.astype(np.float32)
    sketch = np.empty((len(rows), basis.shape[1] + 1), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = _normalised(thumbnails[rows[start : start + _BLOCK]])
        shadow = block @ basis
        remainder = np.square(block).sum(axis=1) - np.square(shadow).sum(axis=1)
        sketch[start : start + _BLOCK, :-1] = shadow
        sketch[start : start + _BLOCK, -1] = np.sqrt(np.maximum(remainder, 0))
        del block  # before there is another
    return sketch


def _candidates(sketch: np.ndarray, threshold: float) -> Iterator[np.ndarray]:
    """Yield blocks of row pairs (smaller first) whose bound on the correlation is high enough.

    The rows of a sketch have unit length, so |a - b|^2 = 2 - 2r: partners are close, and blocks
    whose boxes lie further apart than that need not be compared.
    """
    bound = threshold - 1e-4
    reach = np.sqrt(2 * (1 - bound)) + 1e-3
    if not len(sketch):
        return
    leaves = _leaves(sketch)
    order = np.concatenate(leaves)
    for column in sketch.T:  # in place: no second copy in memory
        column[:] = column[order]
    edges = np.cumsum([0, *map(len, leaves)])
    blocks = [slice(*edge) for edge in itertools.pairwise(edges)]
    low = np.array([sketch[block].min(axis=0) for block in blocks])
    high = np.array([sketch[block].max(axis=0) for block in blocks])
    for number, rows in enumerate(blocks):
        gaps = np.maximum(0, np.maximum(low - high[number], low[number] - high))
        near = np.flatnonzero(np.square(gaps).sum(axis=1) <= reach**2)
        for other in near[near >= number]:
            columns = blocks[other]
            bounds = sketch[rows] @ sketch[columns].T
            first, second = np.divmod(np.flatnonzero(bounds > bound), bounds.shape[1])
            first, second = first + rows.start, second + columns.start
            ahead = first < second
            if ahead.any():
                yield np.sort(np.column_stack([order[first[ahead]], order[second[ahead]]]), axis=1)


def _leaves(sketch: np.ndarray) -> list[np.ndarray]:
    """Deal the rows into slabs along the most varied coordinate, and those along the second.

    Many thin slabs along two coordinates keep apart what is far; halves along all of them, as
    in a k-d tree, would all touch each other.
    """
    slabs = max(1, round(math.sqrt(len(sketch) / _LEAF)))
    second, first = np.argsort(sketch[:, :-1].var(axis=0), kind="stable")[-2:]
    order = np.argsort(sketch[:, first], kind="stable")
    return [
        leaf
        for slab in np.array_split(order, slabs)
        for leaf in np.array_split(slab[np.argsort(sketch[slab, second], kind="stable")], slabs)
        if len(leaf)
    ]


def _correlation(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return Pearson's r of row pairs; sums of whole numbers, so the same on every machine."""
    a, b = (thumbnails[pairs[:, side]].astype(np.float64) for side in (0, 1))
    n = thumbnails.shape[1]
    covariance = n * (a * b).sum(axis=1) - a.sum(axis=1) * b.sum(axis=1)
    variance_a = n * np.square(a).sum(axis=1) - np.square(a.sum(axis=1))
    variance_b = n * np.square(b).sum(axis=1) - np.square(b.sum(axis=1))
    scale = np.sqrt(variance_a) * np.sqrt(variance_b)
    return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
