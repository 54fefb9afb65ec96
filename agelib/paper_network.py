"""What the paper says of one network: how sure it is, and for whom it is worse."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agelib import abstention, conformal, fairness, gaps, readoff, uncertainty
from agelib.intervals import mean_intervals
from agelib.paper_text import count, text_table, with_ends

_ANSWERED = (1.0, 0.9, 0.5)
_NEARLY = 0.02  # how far the coverage of a nearly calibrated distribution may be off


def uncertainty_values(subject: pd.DataFrame) -> dict[str, str]:
    """Return how sure it is, by name, from `agelib.reference.subject`."""
    years, true = readoff.year_probabilities(subject), subject["true"].to_numpy()
    coverage = uncertainty.central_coverage(years, true, (0.8, 0.9)).set_index("level")
    parts = conformal.halves(subject["fold"], subject["cluster"])
    error = subject["error"].abs().to_numpy()
    doubt = uncertainty.standard_deviation(years)
    ways = {"doubt": doubt, "age": subject["expected_age"].to_numpy()}
    answered = abstention.abstention_table(error, ways, coverages=_ANSWERED).loc["doubt"]
    gain = abstention.aurc_difference(error, doubt, ways["age"])
    values = {
        "reference.n": count(len(subject)),
        "reference.mae": with_ends(mean_intervals(error).loc["all"]),
        "reference.folds": count(subject["fold"].nunique()),
        "abstain.all": f"{answered['100% answered']:.2f}",
        "abstain.ninety": f"{answered['90% answered']:.2f}",
        "abstain.half": f"{answered['50% answered']:.2f}",
        "abstain.gain": with_ends(gain),
    }
    wide, narrow = coverage["low"] > coverage.index, coverage["high"] < coverage.index
    off = (coverage["coverage"] - coverage.index).abs().max()
    words = "too wide" if wide.all() else "too narrow" if narrow.all() else "not calibrated"
    values["central.words"] = "nearly calibrated" if off < _NEARLY else words
    for level in coverage.index:
        row = coverage.loc[level].rename({"coverage": "value"})
        values[f"central.{100 * level:.0f}"] = with_ends(100 * row, 1)
    for kind in ("fixed", "distribution"):
        scores = conformal.nonconformity(years, kind)
        found = conformal.conformal_intervals(scores, true, parts, level=0.9)
        covered = mean_intervals(found["covered"].to_numpy(float)).loc["all"]
        values[f"conformal.{kind}.covered"] = with_ends(100 * covered, 1)
        values[f"conformal.{kind}.width"] = f"{found['width'].mean():.1f}"
    return values


def fairness_values(subject: pd.DataFrame) -> dict[str, str]:
    """Return the cells of race, gender and age group in words, from `agelib.reference.subject`."""
    cells = fairness.cells(subject, ["race", "gender", "age_group"])
    large = cells[~cells["small"]]
    worst = large["mae"].idxmax()
    row = large.loc[worst]
    ends = {"value": row["mae"], "low": row["mae low"], "high": row["mae high"]}
    balanced = fairness.balanced(subject, ["race", "gender", "age_group"]).loc["mae"]
    turns = gaps.gaps_by_stratum(subject, "bias", "race", "age_group")
    spans = turns[turns["n"] >= fairness.SMALL].groupby("race")["gap"].agg(np.ptp)
    of_one = turns.xs(spans.idxmax(), level="race")
    first, last = of_one["gap"].idxmax(), of_one["gap"].idxmin()
    return {
        "fair.cells": count(len(cells)),
        "fair.small": count(cells["small"].sum()),
        "fair.least": count(fairness.SMALL),
        "fair.worst": f"{worst[0]}, {worst[1]}, {worst[2]}",
        "fair.worst_mae": with_ends(ends, 1),
        "fair.worst_n": count(row["n"]),
        "fair.balanced": with_ends(balanced, 2, value="balanced"),
        "fair.turns": str(spans.idxmax()),
        "fair.turns_older": f"{with_ends(of_one.loc[first], 1, value='gap')} at {first}",
        "fair.turns_younger": f"{with_ends(of_one.loc[last], 1, value='gap')} at {last}",
    }


def groups_table(subject: pd.DataFrame) -> dict[str, list]:
    """Return error, bias and gender by group, from `agelib.reference.subject`."""
    rows = []
    titles = {"age_group": "age", "gender": "gender", "race": "race"}
    measures = fairness.measures(subject)
    for column, title in titles.items():
        found = {name: mean_intervals(v, subject[column]) for name, v in measures.items()}
        for group in found["mae"].index:
            cells = [with_ends(found[name].loc[group], 1) for name in ("mae", "bias")]
            gender = with_ends(found["gender accuracy"].loc[group], 3)
            rows.append([f"{title}: {group}", *cells, gender, count(found["mae"].loc[group, "n"])])
    return text_table(["group", "MAE (years)", "bias (years)", "gender right", "images"], rows)


def gaps_table(subject: pd.DataFrame) -> dict[str, list]:
    """Return the gaps within age groups that are clear, from `agelib.reference.subject`."""
    table = gaps.gap_table(subject, ["gender", "race"], strata="age_group")
    clear = table[table["clear"] == "yes"].reset_index()
    rows = [
        [f"{r['measure']}: {r['group']}", with_ends(r, 2, value="gap"), f"{r['p holm']:.3f}"]
        for r in clear.to_dict("records")
    ]
    return text_table(["measure: group", "group minus others", "p, corrected"], rows)
