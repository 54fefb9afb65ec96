"""What the paper says in numbers: text by name, and tables, all computed from records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from agelib import (
    cleaning,
    comparison,
    effects,
    headline,
    headline_text,
    labelnoise,
    paper_beyond,
    paper_leakage,
    paper_network,
    reference,
    results,
)
from agelib.lab import Lab
from agelib.paper_text import count, percent, text_table, with_ends

DATASET = "utkface"


def open_lab() -> Lab:
    """Return the paper's data set, with records to read and nothing to train."""
    return Lab(DATASET, retrain=False, epochs=None, jobs=None)


def compute() -> dict[str, dict[str, Any]]:
    """Return all ``values`` (name to text) and ``tables`` (name to columns and rows of text)."""
    lab = open_lab()
    everything, records = results.summarise(), results.results_table()
    summary = everything[everything["dataset"] == DATASET].reset_index(drop=True)
    answers = headline.answers(summary, DATASET)
    subject, responses = reference.subject(lab), paper_beyond.responses(lab)
    values = {
        **_data(lab),
        **_protocols(lab),
        **_extent(everything, records),
        **_projects(summary),
        **_best(summary, answers, records),
        **paper_network.uncertainty_values(subject),
        **paper_network.fairness_values(subject),
        **paper_leakage.leakage_values(lab, *paper_leakage.split_tables(lab)),
        **paper_beyond.robustness_values(responses),
        **paper_beyond.use_values(lab),
    }
    pairs = effects.single_differences(DATASET)
    tables = {
        "protocols": _protocol_table(lab),
        "reported": _reported_table(summary),
        "years": _years_table(summary, answers, records),
        "answers": _answers_table(answers),
        "effects": _effects_table(pairs),
        "groups": paper_network.groups_table(subject),
        "gaps": paper_network.gaps_table(subject),
        "robustness": paper_beyond.robustness_table(responses),
        **_elsewhere(everything),
    }
    return {"values": values | _effects(pairs), "tables": tables}


def _data(lab: Lab) -> dict[str, str]:
    catalog = lab.catalog
    found = {f"data.{name}": count(n) for name, n in cleaning.summary(catalog).items()}
    sizes = catalog.groupby("cluster")["file"].transform("size")
    copies = catalog[(sizes > 1) & catalog["usable"]]
    gap = copies.groupby("cluster")["age"].agg(lambda ages: ages.max() - ages.min()).astype(float)
    floor = labelnoise.label_floor(catalog).loc["all"]
    kept = catalog[catalog["keep"] & catalog["age"].notna()]
    ages = kept["age"].astype(float)
    return found | {
        "data.cluster_share": percent(len(copies) / len(catalog)),
        "data.conflict_share": percent((gap > 0).mean(), 0),
        "data.mean_gap": f"{gap.mean():.1f}",
        "data.conflict_gap": f"{gap[gap > 0].mean():.1f}",
        "data.label_floor": with_ends(floor, value="floor"),
        "data.gap_over_five": count((gap > 5).sum()),
        "data.gap_over_ten": count((gap > 10).sum()),
        "data.oldest": count(ages.max()),
        "data.mean_age": f"{ages.mean():.1f}",
        "data.twenties": percent(((ages >= 20) & (ages < 30)).mean(), 0),
        "data.female": percent((kept["gender"] == "female").mean(), 0),
        "data.white": percent((kept["race"] == "white").mean(), 0),
    }


def _protocols(lab: Lab) -> dict[str, str]:
    p1 = lab.split("p1-decades")
    elsewhere = set(lab.catalog["cluster"].iloc[np.concatenate([p1.training, p1.validation])])
    leaked = lab.catalog["cluster"].iloc[p1.test].isin(elsewhere)
    values = {"p1.leaked": count(leaked.sum()), "p1.test": count(len(p1.test))}
    return values | {"p1.files": count(sum(p1.counts().values()))}


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
        sizes = [count(counts[key]) for key in ("training", "validation", "test")]
        rows.append([name, title, *sizes])
    return text_table(["name", "what", "training", "validation", "test"], rows)


def _extent(everything: pd.DataFrame, records: pd.DataFrame) -> dict[str, str]:
    table = records[records["dataset"] != "sample"]
    everything = everything[everything["dataset"] != "sample"]
    full = everything["reduced"] == ""
    # A run that went on elsewhere names several places.
    places = table["hardware"].str.split(", then ").explode()
    return {
        "extent.records": count(len(table)),
        "extent.experiments": count(len(everything)),
        "extent.full": count(full.sum()),
        "extent.reduced": count((~full).sum()),
        "extent.gpu": count(places[~places.str.endswith(" core")].index.nunique()),
        "extent.hours": count(table["seconds"].sum() / 3600),
        "extent.hardware": ", ".join(sorted(places.unique())),
    }


def _projects(summary: pd.DataFrame) -> dict[str, str]:
    table = comparison.reported_and_ours(summary, comparison.reported())
    both = table[(table["replicated_reduced"] == "") & table["replicated"].notna()]
    inside = (both["replicated_low"] <= both["reported"]) & (
        both["reported"] <= both["replicated_high"]
    )
    small = both[both["replicated_n"] < 1000]
    half = (small["replicated_high"] - small["replicated_low"]).mean() / 2
    folds = both[(both["labels"] == "decades-7") & (both["honest_reduced"] == "")]
    folds = folds[folds["honest"].notna()]
    # Of two means taken as independent: P1's part is small beside the folds'.
    half_widths = [(folds[f"{k}_high"] - folds[f"{k}_low"]) / 2 for k in ("honest", "replicated")]
    higher = folds["honest"] - folds["replicated"] > np.hypot(*half_widths)
    own = summary.assign(label=summary["number"] + " " + summary["name"])
    own = own[own["chapter"].isin(folds["chapter"]) & own["label"].isin(folds["label"])]
    own = own[own["labels"] == "decades-7"].groupby("protocol")["macro_f1"].agg(["min", "max"])
    spans = {name: f"{row['min']:.2f} to {row['max']:.2f}" for name, row in own.iterrows()}
    chance = summary[(summary["protocol"] == "p1-decades") & (summary["states"] > 1)]
    chance = chance.loc[chance["accuracy_sd"].idxmax()]
    return {
        "projects.compared": count(len(both)),
        "projects.inside": count(inside.sum()),
        "projects.both": count(len(folds)),
        "projects.higher": count(higher.sum()),
        "projects.f1_replicated": spans["p1-decades"],
        "projects.f1_honest": spans["utkface-5fold"],
        "projects.half_width": f"{100 * half:.1f}",
        "projects.state_sd": f"{100 * chance['accuracy_sd']:.1f}",
        "projects.states": count(chance["states"]),
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
            cells.append(with_ends(ends, 3) + star)
        rows.append(cells)
    return text_table(["network (labels)", "reported", "their split", "honest folds"], rows)


def _best(summary: pd.DataFrame, answers: pd.DataFrame, records: pd.DataFrame) -> dict[str, str]:
    rows = answers.set_index("metric")
    mae = rows.loc["mae"]
    ranked = headline.over_folds(headline.in_years(summary, DATASET), records)
    ranked = ranked[ranked["folds"] == mae["folds"]]
    values = {
        "best.network": mae["network"].partition(": ")[2].partition(" ")[2],
        "best.mae": with_ends(mae),
        "best.n": count(mae["n"]),
        "best.folds": count(mae["folds"]),
        "best.folds_sd": f"{ranked.iloc[0]['folds_sd']:.2f}",
        "best.first_fold": f"{ranked.iloc[0]['first_fold']:.2f}",
        "best.guess": f"{mae['guess']:.2f}",
        "best.median": f"{rows.loc['median_error', 'value']:.1f}",
        "best.eighty": f"{rows.loc['within_80', 'value']:.1f}",
        "best.cs5": percent(rows.loc["cs5", "value"]),
        "best.gender": percent(rows.loc["gender_accuracy", "value"]),
        "best.reduced": _less(mae["reduced"]),
    }
    classes = answers[(answers["metric"] == "accuracy") & answers["reported"].notna()]
    values["classes.told"] = count(len(classes))
    values["classes.above"] = count((classes["low"] > classes["reported"]).sum())
    for start, row in headline.anchors(DATASET).set_index("start").iterrows():
        name = start.partition(" ")[0].lower()
        values[f"anchor.{name}"] = f"{row['value']:.2f} (sd {row['sd']:.2f})"
        # The claim follows the interval, whatever the records say tomorrow.
        below, above = mae["high"] < row["value"], mae["low"] > row["value"]
        words = "below" if below else "above" if above else "not to be told apart from"
        values[f"anchor.{name}.ours"] = words
    scratch = ranked[(ranked["reduced"] == "") & (ranked["parameters"] < 2e6)]
    if len(scratch):
        row = scratch.iloc[0]
        ends = {"value": row["mae"], "low": row["mae_low"], "high": row["mae_high"]}
        values["small.mae"] = with_ends(ends)
        values["small.network"] = row["name"]
        values["small.folds_sd"] = f"{row['folds_sd']:.2f}"
        values["small.parameters"] = f"{row['parameters'] / 1e6:.1f} million"
        values["small.size"] = count(row["image_size"])
    return values


def _less(reduced: str) -> str:
    reduced = reduced.replace("image_size", "pixels a side")
    return f", trained at less than full size ({reduced})" if reduced else ""


def _years_table(
    summary: pd.DataFrame, answers: pd.DataFrame, records: pd.DataFrame
) -> dict[str, list]:
    rows = []
    best = headline.in_years(summary, DATASET, per_chapter=2).head(10)
    best = headline.over_folds(best, records)
    for row in best.to_dict("records"):
        ends = {"value": row["mae"], "low": row["mae_low"], "high": row["mae_high"]}
        size = [count(row["image_size"]), f"{row['parameters'] / 1e6:.1f}"]
        gender = "" if pd.isna(row["gender_accuracy"]) else f"{row['gender_accuracy']:.3f}"
        star = "" if row["reduced"] == "" else " *"
        network = f"{row['chapter'][:2]}: {row['number']} {row['name']}{star}"
        one = f"{row['first_fold']:.2f}"
        rows.append(
            [network, *size, with_ends(ends), f"{row['folds']}", one, f"{row['cs5']:.3f}", gender]
        )
    for row in headline.anchors(DATASET).to_dict("records"):
        name = f"ResNet-50, {row['start']} (literature)"
        rows.append([name, str(row["image_size"]), "", f"{row['value']:.2f}", *[""] * 4])
    guess = answers.set_index("metric")["guess"]
    cells = [f"{guess['mae']:.2f}", "", "", f"{guess['cs5']:.3f}"]
    rows.append(["the median age of everyone", "", "", *cells, f"{guess['gender_accuracy']:.3f}"])
    names = ["network", "pixels stored", "10⁶ weights", "MAE (years)", "folds", "MAE, first fold"]
    return text_table([*names, "CS@5", "gender"], rows)


def _answers_table(answers: pd.DataFrame) -> dict[str, list]:
    classes = answers[answers["metric"] == "accuracy"]
    text = headline_text.answers_text(classes).reset_index()
    text["asked"] = text["asked"].str.extract(r"of (\d+ classes \([\w-]+\))")[0]
    columns = ["asked", "a guess", "reported", "ours, 95 % interval"]
    return text_table(columns, text[columns].values.tolist())


def _elsewhere(everything: pd.DataFrame) -> dict[str, dict[str, list]]:
    """Return the table of the other data sets, or nothing while none has records."""
    rows = []
    for dataset in sorted(set(everything["dataset"]) - {DATASET, "sample"}):
        text = headline_text.answers_text(headline.answers(everything, dataset)).reset_index()
        columns = ["asked", "a guess", "reported", "ours, 95 % interval", "images"]
        rows += [[dataset, *row] for row in text[columns].values.tolist()]
    names = ["data set", "asked", "a guess", "reported", "ours, 95 % interval", "images"]
    return {"elsewhere": text_table(names, rows)} if rows else {}


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
            rows.append([name[1], unit, *change, count(len(group)), count(group["clear"].sum())])
    return text_table(["what differs", "unit", "typical", "largest", "pairs", "clear"], rows)


def _effects(pairs: pd.DataFrame) -> dict[str, str]:
    whole = pairs["factor"] == "whole network"
    points = pairs[(pairs["unit"] == "points") & ~whole]
    typical = points["difference"].abs().groupby(points["factor"]).median()
    values = {f"effect.{name}": f"{value:.1f}" for name, value in typical.items()}
    counts = {"effect.pairs": count((~whole).sum()), "effect.whole": count(whole.sum())}
    return values | counts | {"effect.largest": typical.idxmax()}
