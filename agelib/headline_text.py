"""The answer in two minutes, as a table of text and as sentences."""

from __future__ import annotations

import pandas as pd

from agelib import headline


def answers_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :func:`agelib.headline.answers` as text, for a page.

    Parameters
    ----------
    table : DataFrame
        From :func:`agelib.headline.answers`.

    Returns
    -------
    DataFrame
        Indexed by ``asked``: ``a guess``, ``reported``, ``ours, 95 % interval``, ``images``
        (and how many folds there are so far) and ``network``.
    """
    rows = []
    for row in table.to_dict("records"):
        digits = headline.YEARS.get(row["metric"], ("", 3))[1]
        number = f".{digits}f"
        told = "" if pd.isna(row["reported"]) else f"{row['reported']:{number}}"
        if told:
            n = row["reported_n"]
            told += f" ({row['reported_by']}, "
            told += "validation)" if pd.isna(n) else f"n = {n:,.0f})"
        folds = "" if pd.isna(row["folds"]) else f", {row['folds']} of 5 folds"
        less = f"; {row['reduced']}" if row["reduced"] else ""
        rows.append(
            {
                "asked": row["question"],
                "a guess": "" if pd.isna(row["guess"]) else f"{row['guess']:{number}}",
                "reported": told,
                "ours, 95 % interval": (
                    f"{row['value']:{number}} [{row['low']:{number}}, {row['high']:{number}}]"
                ),
                "images": f"{row['n']:,}{folds}",
                "network": row["network"] + less,
            }
        )
    columns = ["asked", "a guess", "reported", "ours, 95 % interval", "images", "network"]
    return pd.DataFrame(rows, columns=columns).set_index("asked")


def in_words(table: pd.DataFrame) -> str:
    """Return the first rows of the table as sentences, which renew themselves with the records.

    Parameters
    ----------
    table : DataFrame
        From :func:`agelib.headline.answers`, of one data set.
    """
    rows = table.set_index("metric").drop(index="accuracy", errors="ignore")
    if "mae" not in rows.index:
        return "No network has estimated years under this data set's honest protocol yet."
    mae, gender = rows.loc["mae"], rows.reindex(["gender_accuracy"]).iloc[0]
    less = f" (smaller than full size: {mae['reduced']})" if mae["reduced"] else ""
    folds = "" if pd.isna(mae["folds"]) else f", {mae['folds']} of 5 folds"
    words = (
        f"The best network here, {mae['network']}{less}, is **{mae['value']:.2f} years** off on "
        f"average [{mae['low']:.2f}, {mae['high']:.2f}] (n = {mae['n']:,}{folds})"
    )
    if pd.notna(mae["guess"]):
        words += f"; saying the same age of everyone, {mae['guess']:.2f}"
    half, eight = (rows.loc[name, "value"] for name in ("median_error", "within_80"))
    words += f". Half of its errors are below {half:.1f} years, eight of ten below {eight:.1f}."
    if pd.notna(gender["value"]):
        ends = f"[{100 * gender['low']:.1f}, {100 * gender['high']:.1f}]"
        words += f" It gets the annotated gender right in {100 * gender['value']:.1f} % {ends}."
    return words
