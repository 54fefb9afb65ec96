"""Ages known as a group of years, such as Adience's "(25, 32)", beside ages in years."""

from __future__ import annotations

import pandas as pd

SPAN = ("age_from", "age_to")  # optional columns of a catalog: first and last year of the group


def age_span(catalog: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the first and the last age in years that each image's label allows.

    Parameters
    ----------
    catalog : DataFrame
        With ``age`` and, where ages are groups, ``age_from`` and ``age_to``. A row has an age or
        a group, never both.

    Returns
    -------
    first, last : Series of Int64
        Equal where the age is known in years; <NA> where nothing is known.
    """
    age = catalog["age"].astype("Int64")
    if SPAN[0] not in catalog:
        return age, age
    first, last = (age.fillna(catalog[name].astype("Int64")) for name in SPAN)
    return first, last
