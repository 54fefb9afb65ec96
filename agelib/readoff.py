"""The distribution over years in a table of predictions, and any scheme's classes read off it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agelib.files import DataError
from agelib.labels import LabelScheme, get_scheme
from agelib.records import PROBABILITY_DIGITS

YEARS = 101


def between_years(ages: np.ndarray) -> np.ndarray:
    """Return the distribution of ages given as one number each.

    Parameters
    ----------
    ages : ndarray of shape (n,)
        In years, fractions allowed.

    Returns
    -------
    ndarray of shape (n, 101)
        Each age is shared out between the two years it lies between, so that its expected value
        is the age. Below 0 and above 100 it counts as 0 and 100.
    """
    ages = np.clip(np.asarray(ages, dtype="float64"), 0, YEARS - 1)
    return np.clip(1 - np.abs(ages[:, None] - np.arange(YEARS)), 0, None)


def year_probabilities(predictions: pd.DataFrame) -> np.ndarray:
    """Return the distribution over years that a table of predictions holds.

    Parameters
    ----------
    predictions : DataFrame
        With ``p0`` to ``p100``, one probability a year, or of a regression with ``predicted`` in
        years.

    Returns
    -------
    ndarray of shape (n, 101)
        Rows sum to one; a regression's come from `between_years`.

    Raises
    ------
    DataError
        If the predictions are of other classes than the years from 0 to 100, or a row has no
        probability at all.
    """
    columns = [f"p{year}" for year in range(YEARS)]
    missing = [name for name in columns if name not in predictions]
    if len(missing) == YEARS and "true" not in predictions and "predicted" in predictions:
        return between_years(predictions["predicted"].to_numpy())
    if missing:
        raise DataError(
            f"the predictions lack {len(missing)} of the {YEARS} years, first {missing[0]}; take "
            "a record with labels per-year-101"
        )
    probabilities = predictions[columns].to_numpy(dtype="float64")
    # Rounded in the record, and so a little beside one.
    total = probabilities.sum(1, keepdims=True)
    bad = ~(total[:, 0] > 0)
    if bad.any():
        file = predictions["file"].iloc[int(bad.argmax())]
        raise DataError(f"the prediction of {file} has no probabilities; train again")
    return probabilities / total


def read_off(predictions: pd.DataFrame, scheme: LabelScheme | str) -> pd.DataFrame:
    """Turn probabilities of single years into probabilities of a scheme's classes.

    One network with one class a year thereby answers every question about classes, without
    having been trained for it. A year that lies in no class counts for the nearest one.

    Parameters
    ----------
    predictions : DataFrame
        ``file``, ``age`` and what `year_probabilities` needs.
    scheme : LabelScheme or str
        A classification scheme, or its name.

    Returns
    -------
    DataFrame
        ``file``, ``age``, ``true``, ``predicted``, ``p0 ...``, as of a network trained with the
        scheme; images whose age the scheme leaves out are left out.

    Raises
    ------
    DataError
        If the predictions are of other classes than the years from 0 to 100.
    ValueError
        If the scheme is unknown or has no classes.
    """
    scheme = get_scheme(scheme) if isinstance(scheme, str) else scheme
    if not scheme.n_classes:
        raise ValueError(f"label scheme {scheme.name!r} has no classes to read off")
    years = year_probabilities(predictions)
    true = scheme.encode(predictions["age"])
    rows = predictions[true >= 0].reset_index(drop=True)
    nearest = scheme.with_out_of_range("clip").encode(np.arange(YEARS))
    belongs = nearest[:, None] == np.arange(scheme.n_classes)
    outputs = years[true >= 0] @ belongs
    table = rows[["file", "age"]].assign(true=true[true >= 0], predicted=outputs.argmax(1))
    names = [f"p{k}" for k in range(scheme.n_classes)]
    return pd.concat(
        [table, pd.DataFrame(outputs.round(PROBABILITY_DIGITS), columns=names)], axis=1
    )
