"""Classes of any label scheme, read off a distribution over years."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agelib.files import DataError
from agelib.labels import LabelScheme, get_scheme
from agelib.records import PROBABILITY_DIGITS

YEARS = 101


def read_off(predictions: pd.DataFrame, scheme: LabelScheme | str) -> pd.DataFrame:
    """Turn probabilities of single years into probabilities of a scheme's classes.

    One network with one class a year thereby answers every question about classes, without
    having been trained for it. A year that lies in no class counts for the nearest one.

    Parameters
    ----------
    predictions : DataFrame
        ``file``, ``age`` and ``p0`` to ``p100``: one probability a year.
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
        If the predictions have not one probability for each year from 0 to 100.
    ValueError
        If the scheme is unknown or has no classes.
    """
    scheme = get_scheme(scheme) if isinstance(scheme, str) else scheme
    if not scheme.n_classes:
        raise ValueError(f"label scheme {scheme.name!r} has no classes to read off")
    columns = [f"p{year}" for year in range(YEARS)]
    missing = [name for name in columns if name not in predictions]
    if missing:
        raise DataError(
            f"the predictions lack {len(missing)} of the {YEARS} years, first {missing[0]}; read "
            "classes off a record with labels per-year-101"
        )
    true = scheme.encode(predictions["age"])
    rows = predictions[true >= 0].reset_index(drop=True)
    nearest = scheme.with_out_of_range("clip").encode(np.arange(YEARS))
    belongs = nearest[:, None] == np.arange(scheme.n_classes)
    outputs = rows[columns].to_numpy() @ belongs
    table = rows[["file", "age"]].assign(true=true[true >= 0], predicted=outputs.argmax(1))
    names = [f"p{k}" for k in range(scheme.n_classes)]
    return pd.concat(
        [table, pd.DataFrame(outputs.round(PROBABILITY_DIGITS), columns=names)], axis=1
    )
