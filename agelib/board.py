"""The leaderboard: every experiment in one table, filtered by words."""

from __future__ import annotations

import pandas as pd

_SAME = ["dataset", "protocol", "labels"]


def board(
    summary: pd.DataFrame,
    *,
    protocol: str | None = None,
    labels: str | None = None,
    containing: str | None = None,
    full_size: bool = False,
) -> pd.DataFrame:
    """Rank all experiments, each among those that it may be compared with.

    Parameters
    ----------
    summary : DataFrame
        From :func:`agelib.results.summarise`.
    protocol, labels : str, optional
        Only these.
    containing : str, optional
        Only experiments with this in chapter, number or name; capitals do not matter.
    full_size : bool
        Leave out those trained at less than full size.

    Returns
    -------
    DataFrame
        All text, indexed by protocol, labels and rank. The rank is among all experiments of the
        same data set, protocol and labels, whatever is shown: by mean absolute error in years
        where there is one, else by accuracy. ``result`` is that with its 95 % interval; ``within
        5 y / one off`` the share of errors of five years at most, or of predictions at most one
        class off; ``reduced`` says what was made smaller.
    """
    table = summary.copy()
    table["in_years"] = table["mae"].notna()
    # Lower is better for both.
    table["score"] = table["mae"].where(table["in_years"], -table["accuracy"])
    table["rank"] = table.groupby(_SAME)["score"].rank(method="min").astype("Int64")
    told = table["chapter"] + " " + table["number"] + " " + table["name"]
    keep = pd.Series(True, index=table.index)
    if protocol is not None:
        keep &= table["protocol"] == protocol
    if labels is not None:
        keep &= table["labels"] == labels
    if containing is not None:
        keep &= told.str.contains(containing, case=False, regex=False)
    if full_size:
        keep &= table["reduced"] == ""
    shown = table[keep].sort_values([*_SAME, "rank"], kind="stable")
    lines = [_line(row) for row in shown.to_dict("records")]
    index = pd.MultiIndex.from_frame(shown[["protocol", "labels", "rank"]])
    return pd.DataFrame(lines, index=index, columns=_COLUMNS)


_COLUMNS = [
    *("chapter", "experiment", "result", "within 5 y / one off", "gender", "images"),
    *("parameters", "minutes", "reduced"),
]


def _line(row: dict) -> dict[str, str]:
    if row["in_years"]:
        result = f"{row['mae']:.2f} [{row['mae_low']:.2f}, {row['mae_high']:.2f}] years"
        near = row["cs5"]
    else:
        result = f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        near = row["one_off_accuracy"]
    folds = "" if pd.isna(row["folds"]) else f", {row['folds']}/5 folds"
    states = f", {row['states']} states" if row["states"] > 1 else ""
    return {
        "chapter": row["chapter"][:2],
        "experiment": f"{row['number']} {row['name']}",
        "result": result,
        "within 5 y / one off": "" if pd.isna(near) else f"{near:.3f}",
        "gender": "" if pd.isna(row["gender_accuracy"]) else f"{row['gender_accuracy']:.3f}",
        "images": f"{row['n']:,}{folds}{states}",
        "parameters": f"{row['parameters']:,}",
        "minutes": f"{row['seconds'] / 60:,.1f}",
        "reduced": row["reduced"],
    }
