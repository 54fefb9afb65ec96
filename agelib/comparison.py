"""What a source project reported beside what we measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from agelib import datasets, paths
from agelib.evaluation import paired_difference, pooled
from agelib.records import Record

_ENDS = {
    "accuracy": ("low", "high"),
    "mae": ("mae_low", "mae_high"),
    "gender_accuracy": ("gender_low", "gender_high"),
}


def reported(chapter: str | None = None) -> pd.DataFrame:
    """Return the numbers that the source projects reported, from ``literature/reported.csv``.

    Parameters
    ----------
    chapter : str, optional
        Only those of one chapter.

    Returns
    -------
    DataFrame
        Columns chapter, number (of our experiment that stands beside it; missing: none),
        project, dataset, protocol, labels, metric, value (test part), n, validation (what the
        project itself printed), note.
    """
    table = pd.read_csv(
        paths.root() / "literature" / "reported.csv", dtype={"number": str, "n": "Int64"}
    )
    return table if chapter is None else table[table["chapter"] == chapter].reset_index(drop=True)


def reported_and_ours(
    summary: pd.DataFrame, told: pd.DataFrame, metric: str = "accuracy"
) -> pd.DataFrame:
    """Put reported, replicated and honest numbers of each experiment into one row.

    Parameters
    ----------
    summary : DataFrame
        From :func:`agelib.results.summarise`, of one data set.
    told : DataFrame
        From :func:`reported`.
    metric : {'accuracy', 'mae', 'gender_accuracy'}
        What is compared.

    Returns
    -------
    DataFrame
        ``chapter``, ``label``, ``labels``, ``project`` (whose number), ``reported`` (on a test
        part; on validation where ``reported_n`` is missing), ``reported_n``; ``replicated`` (ours
        under the project's protocol) and ``honest`` (ours under the data set's five folds with the
        same labels), each with ``_low``, ``_high``, ``_n`` and ``_reduced``; ``parameters``. One
        row per reported experiment that has a record; a full-size one goes before a reduced one.
        What there is not is missing.
    """
    honest = {datasets.get(name).five_fold for name in datasets.names()}
    rows = []
    for entry in told[told["metric"] == metric].itertuples():
        same = summary[
            (summary["chapter"] == entry.chapter)
            & (summary["number"] == entry.number)
            & (summary["labels"] == entry.labels)
        ]
        if same.empty:
            continue
        label = f"{same.iloc[0]['number']} {same.iloc[0]['name']}"
        row = {"chapter": entry.chapter, "label": label, "labels": entry.labels}
        row["project"] = entry.project
        # On another data set, such as the built-in sample, the project reported nothing.
        same_data = same.iloc[0]["dataset"] == entry.dataset
        # What a project measured on validation only stands in for a test part that it lacked.
        told_value = entry.validation if pd.isna(entry.value) else entry.value
        row["reported"], row["reported_n"] = (told_value, entry.n) if same_data else (None, None)
        row |= _ours(same[same["protocol"] == entry.protocol], "replicated", metric)
        row |= _ours(same[same["protocol"].isin(honest)], "honest", metric)
        rows.append(row | {"parameters": same.iloc[0]["parameters"]})
    ends = ("", "_low", "_high")
    numbers = [f"{kind}{end}" for kind in ("replicated", "honest") for end in ends]
    types = dict.fromkeys(["reported", *numbers], "float64")
    types |= dict.fromkeys(["reported_n", "replicated_n", "honest_n"], "Int64")
    return pd.DataFrame(rows).astype(types) if rows else pd.DataFrame(columns=list(types))


def _ours(rows: pd.DataFrame, kind: str, metric: str) -> dict:
    names = (kind, f"{kind}_low", f"{kind}_high", f"{kind}_n", f"{kind}_reduced")
    if rows.empty:
        return dict.fromkeys(names)
    best = rows.sort_values("reduced", key=lambda column: column != "").iloc[0]
    return dict(zip(names, best[[metric, *_ENDS[metric], "n", "reduced"]], strict=True))


def differences_from(
    base: Sequence[Record], tweaks: Sequence[Sequence[Record]], *, metric: str = "accuracy"
) -> pd.DataFrame:
    """Return what each tweak gains over the base, by a paired bootstrap over the same images.

    Parameters
    ----------
    base : sequence of Record
        The base experiment: one record, or one per fold.
    tweaks : sequence of sequence of Record
        The same for each tweak.
    metric : str
        Metric of the difference, tweak minus base. Between the age as a number and one class a
        year: the errors in years and the accuracy of the gender.

    Returns
    -------
    DataFrame
        ``tweak``, ``difference``, ``low``, ``high`` (95 % interval), ``n``, and ``clear``: the
        interval excludes zero.
    """
    rows = []
    for records in tweaks:
        gain = paired_difference(
            pooled([record.predictions for record in records]),
            pooled([record.predictions for record in base]),
            metric=metric,
            **_task(records[0], base[0]),
        )
        clear = "yes" if gain["low"] > 0 or gain["high"] < 0 else "no"
        row = {"tweak": records[0].label, "difference": gain["value"], "low": gain["low"]}
        rows.append(row | {"high": gain["high"], "n": gain["n"], "clear": clear})
    return pd.DataFrame(rows)


def _task(*records: Record) -> dict:
    from agelib.labels import get_scheme

    schemes = [get_scheme(record.experiment["labels"]) for record in records]
    # One class a year takes part among years by its expected age; other classes have none.
    in_years = all(s.kind == "regression" or s.name == "per-year-101" for s in schemes)
    if in_years and any(s.kind == "regression" for s in schemes):
        return {"kind": "regression"}
    return {"kind": "classification", "n_classes": schemes[0].n_classes}
