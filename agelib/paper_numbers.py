"""What the paper says in numbers: text by name, and tables, all computed from records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from agelib import (
    abstention,
    cleaning,
    comparison,
    conformal,
    effects,
    fairness,
    headline,
    reference,
    results,
    uncertainty,
)
from agelib.intervals import mean_intervals
from agelib.lab import Lab

DATASET = "utkface"
_ANSWERED = (1.0, 0.9, 0.5)


def compute() -> dict[str, dict[str, Any]]:
    """Return all ``values`` (name to text) and ``tables`` (name to columns and rows of text)."""
    lab = Lab(DATASET, retrain=False, epochs=None, jobs=None)
    everything = results.summarise()
    summary = everything[everything["dataset"] == DATASET].reset_index(drop=True)
    answers = headline.answers(summary, DATASET)
    subject = reference.subject(lab)
    values = {
        **_data(lab),
        **_protocols(lab),
        **_extent(everything),
        **_projects(summary),
        **_best(summary, answers),
        **_uncertainty(subject),
        **_fairness(subject),
    }
    pairs = effects.single_differences(DATASET)
    tables = {
        "protocols": _protocol_table(lab),
        "reported": _reported_table(summary),
        "years": _years_table(summary, answers),
        "answers": _answers_table(answers),
        "effects": _effects_table(pairs),
        "groups": _groups_table(subject),
        "gaps": _gaps_table(subject),
        **_elsewhere(everything),
    }
    return {"values": values | _effects(pairs), "tables": tables}


def _count(n: float) -> str:
    return f"{n:,.0f}"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _with_ends(row: Any, digits: int = 2, *, value: str = "value") -> str:
    text = f"{row[value]:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
    return text.replace("-", "−")


def _table(columns: list[str], rows: list[list[str]]) -> dict[str, list]:
    return {"columns": columns, "rows": rows}


def _data(lab: Lab) -> dict[str, str]:
    catalog = lab.catalog
    found = {f"data.{name}": _count(n) for name, n in cleaning.summary(catalog).items()}
    sizes = catalog.groupby("cluster")["file"].transform("size")
    copies = catalog[(sizes > 1) & catalog["usable"]]
    gap = copies.groupby("cluster")["age"].agg(lambda ages: ages.max() - ages.min()).astype(float)
    kept = catalog[catalog["keep"] & catalog["age"].notna()]
    ages = kept["age"].astype(float)
    return found | {
        "data.cluster_share": _percent(len(copies) / len(catalog)),
        "data.conflict_share": _percent((gap > 0).mean(), 0),
        "data.mean_gap": f"{gap.mean():.1f}",
        "data.gap_over_five": _count((gap > 5).sum()),
        "data.gap_over_ten": _count((gap > 10).sum()),
        "data.oldest": _count(ages.max()),
        "data.mean_age": f"{ages.mean():.1f}",
        "data.twenties": _percent(((ages >= 20) & (ages < 30)).mean(), 0),
        "data.female": _percent((kept["gender"] == "female").mean(), 0),
        "data.white": _percent((kept["race"] == "white").mean(), 0),
    }


def _protocols(lab: Lab) -> dict[str, str]:
    p1 = lab.split("p1-decades")
    elsewhere = set(lab.catalog["cluster"].iloc[np.concatenate([p1.training, p1.validation])])
    leaked = lab.catalog["cluster"].iloc[p1.test].isin(elsewhere)
    values = {"p1.leaked": _count(leaked.sum()), "p1.test": _count(len(p1.test))}
    return values | {"p1.files": _count(sum(p1.counts().values()))}


_TITLES = {
    "utkface-5fold": "five folds of all cleaned images, clusters apart",
    "p1-decades": "the files and the parts of P1",
    "p2-random": "all images, at random, in the shares of P2",
    "utkface-5000": "the files of P5, tested on the rest",
}


def _protocol_table(lab: Lab) -> dict[str, list]:
    rows = []
    for name, title in _TITLES.items():
        part = lab.split(name, 0 if name == lab.five_fold else None)
        counts = part.counts()
        sizes = [_count(counts[key]) for key in ("training", "validation", "test")]
        rows.append([name, title, *sizes])
    return _table(["name", "what", "training", "validation", "test"], rows)


def _extent(everything: pd.DataFrame) -> dict[str, str]:
    table = results.results_table()
    table = table[table["dataset"] != "sample"]
    everything = everything[everything["dataset"] != "sample"]
    full = everything["reduced"] == ""
    return {
        "extent.records": _count(len(table)),
        "extent.experiments": _count(len(everything)),
        "extent.full": _count(full.sum()),
        "extent.reduced": _count((~full).sum()),
        "extent.hours": _count(table["seconds"].sum() / 3600),
        "extent.hardware": ", ".join(sorted(table["hardware"].unique())),
    }


def _projects(summary: pd.DataFrame) -> dict[str, str]:
    table = comparison.reported_and_ours(summary, comparison.reported())
    both = table[(table["replicated_reduced"] == "") & table["replicated"].notna()]
    inside = (both["replicated_low"] <= both["reported"]) & (
        both["reported"] <= both["replicated_high"]
    )
    small = both[both["replicated_n"] < 1000]
    half = (small["replicated_high"] - small["replicated_low"]).mean() / 2
    folds = table[
        (table["labels"] == "decades-7") & table[["replicated", "honest"]].notna().all(axis=1)
    ]
    higher = folds["honest_low"] > folds["replicated"]
    chance = summary[(summary["labels"] == "decades-7") & (summary["states"] > 1)]
    return {
        "projects.compared": _count(len(both)),
        "projects.inside": _count(inside.sum()),
        "projects.both": _count(len(folds)),
        "projects.higher": _count(higher.sum()),
        "projects.half_width": f"{100 * half:.1f}",
        "projects.state_sd": f"{100 * chance['accuracy_sd'].max():.1f}",
        "projects.states": _count(chance["states"].max()),
    }


def _reported_table(summary: pd.DataFrame) -> dict[str, list]:
    table = comparison.reported_and_ours(summary, comparison.reported())
    rows = []
    for row in table[table["reported"].notna()].to_dict("records"):
        cells = [f"{row['label']} ({row['labels']})", f"{row['reported']:.3f}"]
        for kind in ("replicated", "honest"):
            if pd.isna(row[kind]):
                cells.append("")
                continue
            ends = {"value": row[kind], "low": row[f"{kind}_low"], "high": row[f"{kind}_high"]}
            star = "" if row[f"{kind}_reduced"] == "" else " *"
            cells.append(_with_ends(ends, 3) + star)
        rows.append(cells)
    return _table(["network (labels)", "reported", "their split", "honest folds"], rows)


def _best(summary: pd.DataFrame, answers: pd.DataFrame) -> dict[str, str]:
    rows = answers.set_index("metric")
    mae = rows.loc["mae"]
    values = {
        "best.network": mae["network"].partition(": ")[2].partition(" ")[2],
        "best.mae": _with_ends(mae),
        "best.n": _count(mae["n"]),
        "best.folds": _count(mae["folds"]),
        "best.guess": f"{mae['guess']:.2f}",
        "best.median": f"{rows.loc['median_error', 'value']:.1f}",
        "best.eighty": f"{rows.loc['within_80', 'value']:.1f}",
        "best.cs5": _percent(rows.loc["cs5", "value"]),
        "best.gender": _percent(rows.loc["gender_accuracy", "value"]),
        "best.reduced": _less(mae["reduced"]),
    }
    classes = answers[(answers["metric"] == "accuracy") & answers["reported"].notna()]
    values["classes.told"] = _count(len(classes))
    values["classes.above"] = _count((classes["low"] > classes["reported"]).sum())
    for start, row in headline.anchors(DATASET).set_index("start").iterrows():
        name = start.partition(" ")[0].lower()
        values[f"anchor.{name}"] = f"{row['value']:.2f} (sd {row['sd']:.2f})"
        # The claim follows the interval, whatever the records say tomorrow.
        below, above = mae["high"] < row["value"], mae["low"] > row["value"]
        words = "below" if below else "above" if above else "not to be told apart from"
        values[f"anchor.{name}.ours"] = words
    scratch = headline.in_years(summary, DATASET)
    scratch = scratch[(scratch["reduced"] == "") & (scratch["parameters"] < 2e6)]
    if len(scratch):
        row = scratch.iloc[0]
        ends = {"value": row["mae"], "low": row["mae_low"], "high": row["mae_high"]}
        values["small.mae"] = _with_ends(ends)
        values["small.network"] = row["name"]
        values["small.parameters"] = f"{row['parameters'] / 1e6:.1f} million"
        values["small.size"] = _count(row["image_size"])
    return values


def _less(reduced: str) -> str:
    reduced = reduced.replace("image_size", "pixels a side")
    return f", trained at less than full size ({reduced})" if reduced else ""


def _years_table(summary: pd.DataFrame, answers: pd.DataFrame) -> dict[str, list]:
    rows = []
    for row in headline.in_years(summary, DATASET).head(10).to_dict("records"):
        ends = {"value": row["mae"], "low": row["mae_low"], "high": row["mae_high"]}
        size = [_count(row["image_size"]), f"{row['parameters'] / 1e6:.1f}"]
        gender = "" if pd.isna(row["gender_accuracy"]) else f"{row['gender_accuracy']:.3f}"
        star = "" if row["reduced"] == "" else " *"
        network = f"{row['chapter'][:2]}: {row['number']} {row['name']}{star}"
        folds = f"{row['folds']}"
        rows.append([network, *size, _with_ends(ends), f"{row['cs5']:.3f}", gender, folds])
    for row in headline.anchors(DATASET).to_dict("records"):
        name = f"ResNet-50, {row['start']} (literature)"
        rows.append([name, str(row["image_size"]), "", f"{row['value']:.2f}", "", "", ""])
    guess = answers.set_index("metric")["guess"]
    cells = [f"{guess['mae']:.2f}", f"{guess['cs5']:.3f}", f"{guess['gender_accuracy']:.3f}", ""]
    rows.append(["the median age of everyone", "", "", *cells])
    names = ["network", "pixels", "10⁶ weights", "MAE (years)", "CS@5", "gender", "folds"]
    return _table(names, rows)


def _answers_table(answers: pd.DataFrame) -> dict[str, list]:
    classes = answers[answers["metric"] == "accuracy"]
    text = headline.answers_text(classes).reset_index()
    text["asked"] = text["asked"].str.extract(r"of (\d+ classes \([\w-]+\))")[0]
    columns = ["asked", "a guess", "reported", "ours, 95 % interval"]
    return _table(columns, text[columns].values.tolist())


def _elsewhere(everything: pd.DataFrame) -> dict[str, dict[str, list]]:
    """Return the table of the other data sets, or nothing while none has records."""
    rows = []
    for dataset in sorted(set(everything["dataset"]) - {DATASET, "sample"}):
        text = headline.answers_text(headline.answers(everything, dataset)).reset_index()
        columns = ["asked", "a guess", "reported", "ours, 95 % interval", "images"]
        rows += [[dataset, *row] for row in text[columns].values.tolist()]
    names = ["data set", "asked", "a guess", "reported", "ours, 95 % interval", "images"]
    return {"elsewhere": _table(names, rows)} if rows else {}


def _effects_table(pairs: pd.DataFrame) -> dict[str, list]:
    rows = []
    clear = (pairs["low"] > 0) | (pairs["high"] < 0)
    told = pairs.assign(change=pairs["difference"].abs(), clear=clear)
    groups = told.groupby(["unit", "factor"])
    order = groups["change"].median().sort_values(ascending=False).index
    for unit in ("points", "years"):
        for name in (name for name in order if name[0] == unit):
            group = groups.get_group(name)
            change = [f"{group['change'].median():.1f}", f"{group['change'].max():.1f}"]
            rows.append([name[1], unit, *change, _count(len(group)), _count(group["clear"].sum())])
    return _table(["what differs", "unit", "typical", "largest", "pairs", "clear"], rows)


def _effects(pairs: pd.DataFrame) -> dict[str, str]:
    points = pairs[pairs["unit"] == "points"]
    typical = points["difference"].abs().groupby(points["factor"]).median()
    values = {f"effect.{name}": f"{value:.1f}" for name, value in typical.items()}
    return values | {"effect.pairs": _count(len(pairs)), "effect.largest": typical.idxmax()}


def _uncertainty(subject: pd.DataFrame) -> dict[str, str]:
    years, true = uncertainty.distributions(subject), subject["true"].to_numpy()
    coverage = uncertainty.central_coverage(years, true, (0.8, 0.9)).set_index("level")
    parts = conformal.halves(subject["fold"], subject["cluster"])
    error = subject["error"].abs().to_numpy()
    doubt = uncertainty.standard_deviation(years)
    ways = {"doubt": doubt, "age": subject["expected_age"].to_numpy()}
    answered = abstention.abstention_table(error, ways, coverages=_ANSWERED).loc["doubt"]
    gain = abstention.aurc_difference(error, doubt, ways["age"])
    values = {
        "reference.n": _count(len(subject)),
        "reference.mae": _with_ends(mean_intervals(error).loc["all"]),
        "reference.folds": _count(subject["fold"].nunique()),
        "abstain.all": f"{answered['100% answered']:.2f}",
        "abstain.ninety": f"{answered['90% answered']:.2f}",
        "abstain.half": f"{answered['50% answered']:.2f}",
        "abstain.gain": _with_ends(gain),
    }
    wide, narrow = coverage["low"] > coverage.index, coverage["high"] < coverage.index
    words = "too wide" if wide.all() else "too narrow" if narrow.all() else "nearly calibrated"
    values["central.words"] = words
    for level in coverage.index:
        row = coverage.loc[level].rename({"coverage": "value"})
        values[f"central.{100 * level:.0f}"] = _with_ends(100 * row, 1)
    for kind in ("fixed", "distribution"):
        scores = conformal.nonconformity(years, kind)
        found = conformal.conformal_intervals(scores, true, parts, level=0.9)
        covered = mean_intervals(found["covered"].to_numpy(float)).loc["all"]
        values[f"conformal.{kind}.covered"] = _with_ends(100 * covered, 1)
        values[f"conformal.{kind}.width"] = f"{found['width'].mean():.1f}"
    return values


def _fairness(subject: pd.DataFrame) -> dict[str, str]:
    cells = fairness.cells(subject, ["race", "gender", "age_group"])
    large = cells[~cells["small"]]
    worst = large["mae"].idxmax()
    row = large.loc[worst]
    ends = {"value": row["mae"], "low": row["mae low"], "high": row["mae high"]}
    balanced = fairness.balanced(subject, ["race", "gender", "age_group"]).loc["mae"]
    return {
        "fair.cells": _count(len(cells)),
        "fair.small": _count(cells["small"].sum()),
        "fair.least": _count(fairness.SMALL),
        "fair.worst": f"{worst[0]}, {worst[1]}, {worst[2]}",
        "fair.worst_mae": _with_ends(ends, 1),
        "fair.worst_n": _count(row["n"]),
        "fair.balanced": _with_ends(balanced, 2, value="balanced"),
    }


def _groups_table(subject: pd.DataFrame) -> dict[str, list]:
    rows = []
    titles = {"age_group": "age", "gender": "gender", "race": "race"}
    measures = fairness.measures(subject)
    for column, title in titles.items():
        found = {name: mean_intervals(v, subject[column]) for name, v in measures.items()}
        for group in found["mae"].index:
            cells = [_with_ends(found[name].loc[group], 1) for name in ("mae", "bias")]
            gender = _with_ends(found["gender accuracy"].loc[group], 3)
            rows.append([f"{title}: {group}", *cells, gender, _count(found["mae"].loc[group, "n"])])
    return _table(["group", "MAE (years)", "bias (years)", "gender right", "images"], rows)


def _gaps_table(subject: pd.DataFrame) -> dict[str, list]:
    table = fairness.gap_table(subject, ["gender", "race"], strata="age_group")
    clear = table[table["clear"] == "yes"].reset_index()
    rows = [
        [f"{r['measure']}: {r['group']}", _with_ends(r, 2, value="gap"), f"{r['p holm']:.3f}"]
        for r in clear.to_dict("records")
    ]
    return _table(["measure: group", "group minus others", "p, corrected"], rows)
