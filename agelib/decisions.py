"""From a distribution over years to an answer: expected age, median, interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from agelib.readoff import YEARS, year_probabilities


def expected_age(predictions: pd.DataFrame) -> np.ndarray:
    """Return the mean of each distribution, (n,) in years: least squared error (Rothe et al. 2015).

    Parameters
    ----------
    predictions : DataFrame
        See `agelib.readoff.year_probabilities`, also for errors raised.
    """
    return year_probabilities(predictions) @ np.arange(YEARS)


def posterior_median(predictions: pd.DataFrame) -> np.ndarray:
    """Return the year up to which half of each distribution lies, (n,): least absolute error.

    It is the decision of the benchmark of Paplham and Franc 2024, for every head.

    Parameters
    ----------
    predictions : DataFrame
        See `agelib.readoff.year_probabilities`, also for errors raised.
    """
    return _quantile(year_probabilities(predictions), 0.5)


def interval(predictions: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
    """Return the central interval of each distribution.

    Parameters
    ----------
    predictions : DataFrame
        With ``file``, ``age`` and probabilities of the years.
    level : float
        Probability that the interval holds at least, between 0 and 1. That the distribution says
        so; whether it is right is another question.

    Returns
    -------
    DataFrame
        ``file``, ``age``, ``low`` and ``high`` in whole years, both inclusive. No more than half
        of what is missing to one lies below it, and above.

    Raises
    ------
    ValueError
        If ``level`` is not between 0 and 1.
    DataError
        As of `agelib.readoff.year_probabilities`.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}; give a probability between 0 and 1")
    probabilities = year_probabilities(predictions)
    tail = (1 - level) / 2
    table = predictions[["file", "age"]].reset_index(drop=True)
    return table.assign(
        low=_quantile(probabilities, tail),
        # Seen from the other end, so that a tie is settled the same way on both sides.
        high=YEARS - 1 - _quantile(probabilities[:, ::-1], tail),
    )


DECISIONS: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {
    "expected age": expected_age,
    "median": posterior_median,
}


def decide(predictions: pd.DataFrame, by: str = "median") -> pd.DataFrame:
    """Return predictions with one age each, for ``evaluate(..., kind="regression")``.

    Parameters
    ----------
    predictions : DataFrame
        With ``file``, ``age``, probabilities of the years, and maybe of the gender.
    by : {'expected age', 'median'}
        Key of :data:`DECISIONS`.

    Returns
    -------
    DataFrame
        ``file``, ``age``, ``predicted`` in years, and ``female`` and ``p_female`` if there.

    Raises
    ------
    ValueError
        If ``by`` is unknown.
    DataError
        As of `agelib.readoff.year_probabilities`.
    """
    if by not in DECISIONS:
        raise ValueError(f"decision {by!r} is unknown; choose from {', '.join(DECISIONS)}")
    kept = [name for name in ("file", "age", "female", "p_female") if name in predictions]
    table = predictions[kept].reset_index(drop=True)
    table.insert(2, "predicted", DECISIONS[by](predictions))
    return table


def ensemble(members: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean of several networks' distributions over the same images.

    Parameters
    ----------
    members : list of DataFrame
        Predictions of the same files, in any order.

    Returns
    -------
    DataFrame
        Predictions of a per-year classification: ``file``, ``age``, ``true``, ``predicted``,
        ``expected_age``, ``p0`` to ``p100``, and ``female`` and ``p_female`` if all have them.

    Raises
    ------
    ValueError
        If there is no member, or the members are not about the same files.
    DataError
        As of `agelib.readoff.year_probabilities`.
    """
    if not members:
        raise ValueError("an ensemble needs at least one table of predictions")
    members = [table.sort_values("file", ignore_index=True) for table in members]
    first = members[0]
    for number, table in enumerate(members):
        if not table["file"].equals(first["file"]):
            raise ValueError(f"predictions {number} are not about the files of the first ones")
    mean = sum(year_probabilities(table) for table in members) / len(members)
    columns = {"true": np.clip(first["age"], 0, YEARS - 1), "predicted": mean.argmax(1)}
    columns["expected_age"] = mean @ np.arange(YEARS)
    if all("p_female" in table for table in members):
        columns["female"] = first["female"]
        columns["p_female"] = sum(table["p_female"] for table in members) / len(members)
    names = [f"p{year}" for year in range(YEARS)]
    table = first[["file", "age"]].assign(**columns)
    return pd.concat([table, pd.DataFrame(mean, columns=names)], axis=1)


def _quantile(probabilities: np.ndarray, share: float) -> np.ndarray:
    """Return the first year up to which at least ``share`` lies."""
    # Rounding must not push a sum that equals the share below it.
    return (probabilities.cumsum(1) >= share - 1e-9).argmax(1)
