"""Near-duplicates: all pairs of thumbnails that show the same photograph, joined to clusters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

THRESHOLD = 0.985
_FREQUENCIES = 6  # a side: 35 coordinates hold three quarters of what tells faces apart
_LEAF = 512  # rows of a leaf of the tree, at the most
_ROOM = 44_000_000  # bytes for the sketch and the thumbnails that are sketched at once
_FEWEST = 256  # such thumbnails
_PAIRS = 1024  # pairs whose correlation is computed at once
_JOINED = 1 << 16  # pairs that may wait to be joined
# What a bound may be off: sketches are kept in half precision, 2^-11 of each of two values.
_SLACK = 2**-10 + 1e-4


def near_duplicate_clusters(
    thumbnails: np.ndarray, *, threshold: float = THRESHOLD, exact: pd.Series | None = None
) -> np.ndarray:
    """Join near-duplicates, and byte-identical files, into clusters.

    Every pair is compared, none is missed: a projection on 35 low spatial frequencies plus the
    length of what it leaves out bounds the Pearson correlation from above (Cauchy-Schwarz), and
    each pair whose bound passes is computed exactly, in whole numbers. A constant thumbnail has
    no correlation and pairs with nothing.

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
    clusters = np.arange(len(thumbnails))
    # A twin's thumbnail is the same as its first copy's, so one of them speaks for both.
    if exact is not None:
        twins = np.flatnonzero(exact.notna())
        clusters[twins] = pd.Series(twins).groupby(exact.iloc[twins].to_numpy()).transform("first")
    alone = np.flatnonzero(clusters == np.arange(len(clusters)))
    pairs: list[np.ndarray] = []
    for candidates in _candidates(thumbnails, alone, threshold):
        waiting = alone[candidates]
        while len(waiting):
            piece, waiting = waiting[:_PAIRS], waiting[_PAIRS:]
            pairs.append(piece[_correlation(thumbnails, piece) > threshold])
            # Joined in between, pairs need little memory however many there are, and those
            # of a cluster that is known already need not be looked at.
            if sum(map(len, pairs)) > max(_JOINED, len(clusters) // 4):
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


def _normalised(thumbnails: np.ndarray) -> np.ndarray:
    """Centre the rows and give them unit length; constant rows become zero."""
    vectors = thumbnails.astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-3)


def _sketch(thumbnails: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Project thumbnails on their lowest frequencies; append the length of the remainder.

    In half precision: the sketch is what grows most with the number of images.
    """
    side = math.isqrt(thumbnails.shape[1])
    waves = dct(np.eye(side), axis=0, norm="ortho")[:_FREQUENCIES]
    # Orthonormal columns, as the bound wants them; the first, the mean, is zero throughout.
    basis = np.kron(waves, waves)[1:].T.astype(np.float32)
    sketch = np.empty((len(rows), basis.shape[1] + 1), dtype=np.float16)
    # A thumbnail takes its bytes and two and a half times as many numbers.
    many = max(_FEWEST, (_ROOM - sketch.nbytes) // (11 * thumbnails.shape[1]))
    for start in range(0, len(rows), many):
        block = _normalised(thumbnails[rows[start : start + many]])
        shadow = block @ basis
        remainder = np.square(block).sum(axis=1) - np.square(shadow).sum(axis=1)
        sketch[start : start + many, :-1] = shadow
        sketch[start : start + many, -1] = np.sqrt(np.maximum(remainder, 0))
        del block  # before there is another
    return sketch


def _candidates(thumbnails: np.ndarray, rows: np.ndarray, threshold: float) -> Iterator[np.ndarray]:
    """Yield blocks of pairs of places in ``rows`` whose bound on the correlation is high enough.

    The smaller place comes first. The rows of a sketch have unit length, so |a - b|^2 = 2 - 2r:
    partners are close, and blocks whose boxes lie further apart need not be compared.
    """
    # On one thread: the products are small, and several would mostly wait for each other.
    with threadpool_limits(1, user_api="blas"):
        yield from _close(_sketch(thumbnails, rows), threshold)


def _close(sketch: np.ndarray, threshold: float) -> Iterator[np.ndarray]:
    """Do what `_candidates` says."""
    bound = threshold - _SLACK
    reach = np.sqrt(2 * (1 - bound)) + 1e-3
    if not len(sketch):
        return
    leaves = _leaves(sketch)
    order = np.concatenate(leaves)
    for column in sketch.T:  # in place: no second copy in memory
        column[:] = column[order]
    edges = np.cumsum([0, *map(len, leaves)])
    blocks = [slice(*edge) for edge in itertools.pairwise(edges)]
    low = np.array([sketch[block].min(axis=0) for block in blocks], dtype=np.float32)
    high = np.array([sketch[block].max(axis=0) for block in blocks], dtype=np.float32)
    for number, rows in enumerate(blocks):
        ours = sketch[rows].astype(np.float32)
        gaps = np.maximum(0, np.maximum(low - high[number], low[number] - high))
        near = np.flatnonzero(np.square(gaps).sum(axis=1) <= reach**2)
        for other in near[near >= number]:
            columns = blocks[other]
            bounds = ours @ sketch[columns].astype(np.float32).T
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
    variances = [column.var(dtype=np.float32) for column in sketch.T[:-1]]
    second, first = np.argsort(variances, kind="stable")[-2:]
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
