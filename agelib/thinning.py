"""Training parts made smaller: as many images of each class, or as many in all."""

from __future__ import annotations

import numpy as np


def balanced(
    rows: np.ndarray, labels: np.ndarray, random: np.random.RandomState | None
) -> np.ndarray:
    """Keep as many rows of each class as the smallest has.

    Parameters
    ----------
    rows : ndarray of int64, shape (k,)
        Rows of a catalog, ascending.
    labels : ndarray of int64, shape (n,)
        Class of every row of the catalog, -1 for none.
    random : RandomState, optional
        Draws the rows; the first ones of each class stay when None.

    Returns
    -------
    ndarray of int64
        The kept rows, ascending; rows without a class are a class of their own.
    """
    groups = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    size = min((len(group) for group in groups), default=0)
    if random is not None:
        groups = [random.permutation(group) for group in groups]
    return np.sort(np.concatenate([group[:size] for group in groups] or [rows]))


def thinned(rows: np.ndarray, size: int, random: np.random.RandomState) -> np.ndarray:
    """Draw ``size`` of the rows (k,), whatever their classes; returns them ascending."""
    return np.sort(random.permutation(rows)[:size])
