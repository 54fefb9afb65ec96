"""The answer in two minutes: the one table and what its figures draw, from records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agelib import comparison, datasets, paths
from agelib.evaluation import evaluate, pooled
from agelib.files import DataError
from agelib.guesses import guess
from agelib.labels import get_scheme
from agelib.readoff import read_off
from agelib.records import Record, load_record
from agelib.results import reduced_text

COLUMNS = [
    *("dataset", "question", "metric", "guess", "reported", "reported_by", "reported_n"),
    *("value", "low", "high", "n", "folds", "network", "reduced"),
]
# By metric: the question, and digits behind the point.
YEARS = {
    "mae": ("mean error (years)", 2),
    "median_error": ("half of all errors are below (years)", 2),
    "within_80": ("eight of ten errors are below (years)", 1),
    "cs5": ("share of errors of five years at most", 3),
    "gender_accuracy": ("gender right", 3),
}
_CLASSES = ("decades-7", "five-year-14", "uneven-8", "groups-5", "adience-8")


def honest_protocol(dataset: str) -> str | None:
    """Return the protocol of a data set whose numbers count: its folds, if it has any."""
    return datasets.get(dataset).five_fold if dataset in datasets.names() else None


def anchors(dataset: str) -> pd.DataFrame:
    """Return what the literature reached under a comparable protocol.

    Returns
    -------
    DataFrame
        From ``literature/anchors.csv``: key (of the bibliography), dataset, metric, value, sd
        (over splits), start (initial weights), image_size (pixels), protocol and source.
    """
    table = pd.read_csv(paths.root() / "literature" / "anchors.csv")
    return table[table["dataset"] == dataset].reset_index(drop=True)


def in_years(
    summary: pd.DataFrame, dataset: str, *, per_chapter: int | None = None
) -> pd.DataFrame:
    """Return the networks that estimate years under the honest protocol, the best first.

    Parameters
    ----------
    summary : DataFrame
        From :func:`agelib.results.summarise`.
    dataset : str
        Data set.
    per_chapter : int, optional
        Only so many of a chapter; chapter 15's ablation alone would fill a figure.

    Returns
    -------
    DataFrame
        Rows of ``summary``, with ``label`` (chapter, number and name; a star marks a network
        smaller than full size), ``value``, ``low`` and ``high`` (mean absolute error, years).
    """
    rows = summary[(summary["dataset"] == dataset) & summary["mae"].notna()]
    rows = rows[rows["protocol"] == honest_protocol(dataset)].sort_values("mae", kind="stable")
    if per_chapter is not None:
        rows = rows.groupby("chapter").head(per_chapter)
    label = rows["chapter"].str[:2] + ": " + rows["number"] + " " + rows["name"]
    label = label.where(rows["reduced"] == "", label + " *")
    ends = {"value": rows["mae"], "low": rows["mae_low"], "high": rows["mae_high"]}
    return rows.assign(label=label, **ends)


def over_folds(rows: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Say of networks how far off they are on the first fold, and how folds differ.

    A network of one fold is tested on its images alone: with others it is compared on these. And
    folds have a network each, so their spread holds the luck of training, which an interval over
    images does not.

    Parameters
    ----------
    rows : DataFrame
        From `in_years`.
    records : DataFrame
        From :func:`agelib.results.results_table`.

    Returns
    -------
    DataFrame
        ``rows`` with ``first_fold`` (mean absolute error there, years) and ``folds_sd`` (standard
        deviation over folds, years; missing with one). Of the lowest random state.
    """
    same = ["dataset", "chapter", "number", "name", "protocol", "labels", "reduced"]
    lowest = records.groupby(same)["state"].transform("min")
    chosen = records[records["state"] == lowest].sort_values("fold").groupby(same)["mae"]
    return rows.join(chosen.agg(first_fold="first", folds_sd="std"), on=same)


def records_of(row: pd.Series, folder: Path | str | None = None) -> list[Record]:
    """Return the records that a row of the summary was made from: one, or one a fold.

    Raises
    ------
    DataError
        If there is none (any more).
    """
    results = paths.results_dir() if folder is None else Path(folder)
    chapter = results / row["dataset"] / row["chapter"]
    found = []
    for place in sorted(chapter.glob(f"{row['number']}-*/record.json")):
        record = load_record(place.parent)
        facts = record.experiment
        same = all(facts[name] == row[name] for name in ("name", "protocol", "labels"))
        if same and reduced_text(record.summary) == row["reduced"]:
            found.append(record)
    if not found:
        raise DataError(f"{row['number']} {row['name']}: its records are no longer in {chapter}")
    state = min(record.experiment["state"] for record in found)
    return [record for record in found if record.experiment["state"] == state]


def answers(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return the one table: what is asked, what a guess and the projects reach, and what we do.

    Parameters
    ----------
    summary : DataFrame
        From :func:`agelib.results.summarise`.
    dataset : str
        Data set; its honest protocol is taken.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``. ``guess`` says the same of every image: the median age, or the
        largest class, of the training part. ``reported`` is the best number of
        :func:`agelib.comparison.reported`, ``reported_by`` a project or others under its rules on
        their own split (``reported_n`` test images; missing: on validation). ``value`` is the best
        network's of those tested on most folds, with a 95 % interval over the ``n`` test images of
        ``folds`` folds; classes may be read off a distribution over years. The best is chosen on
        the same images, among all of a protocol: its interval does not say so.
    """
    rows: list[dict[str, Any]] = []
    best = _on_most_folds(in_years(summary, dataset)).head(1)
    years = (best.iloc[0], records_of(best.iloc[0])) if len(best) else None
    if years:
        rows += _year_rows(*years)
    for labels in _CLASSES:
        rows += _class_row(summary, dataset, labels, years)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64", "folds": "Int64"})


def _on_most_folds(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out networks tested on fewer folds: another fold is another set of images."""
    folds = rows["folds"].fillna(1)
    return rows[folds == folds.max()]


def _year_rows(row: pd.Series, records: list[Record]) -> list[dict[str, Any]]:
    guessed = guess(row["dataset"], records, labels=None)
    predictions = pooled([record.predictions for record in records])
    estimate = "expected_age" if "expected_age" in predictions else "predicted"
    errors = (predictions[estimate] - predictions["age"]).abs().to_numpy(float)
    table = evaluate(predictions[_few(predictions, estimate)], kind="regression", resamples=1000)
    table.loc["within_80", ["value", "low", "high"]] = quantile_interval(errors, 0.8)
    rows = []
    for metric in (name for name in YEARS if name in table.index):
        value, low, high = table.loc[metric, ["value", "low", "high"]]
        told = _reported(row["dataset"], metric, ("per-year-101", "age"))
        entry = _entry(row["dataset"], YEARS[metric][0], metric, guessed.get(metric), told)
        rows.append(entry | _ours(value, low, high, row, records, of=len(predictions)))
    return rows


def _few(predictions: pd.DataFrame, estimate: str) -> list[str]:
    wanted = ("file", "age", estimate, "female", "p_female")
    return [name for name in wanted if name in predictions]


def _class_row(
    summary: pd.DataFrame,
    dataset: str,
    labels: str,
    years: tuple[pd.Series, list[Record]] | None,
) -> list[dict[str, Any]]:
    rows = summary[(summary["dataset"] == dataset) & (summary["labels"] == labels)]
    rows = rows[rows["protocol"] == honest_protocol(dataset)]
    if rows.empty:
        return []
    best = _on_most_folds(rows).sort_values("accuracy", ascending=False, kind="stable").iloc[0]
    records = records_of(best)
    mine = _ours(best["accuracy"], best["low"], best["high"], best, records, of=int(best["n"]))
    if years and "p100" in years[1][0].predictions:
        read = read_off(pooled([record.predictions for record in years[1]]), labels)
        metric = evaluate(read, kind="classification", metrics=["accuracy"]).loc["accuracy"]
        # On fewer folds, a network of the classes was tested on other images.
        more = len(years[1]) - len(records)
        if more > 0 or (more == 0 and metric["value"] > mine["value"]):
            mine = _ours(*metric[["value", "low", "high"]], *years, of=len(read))
            mine["network"] += ", read off its years"
    guessed = guess(dataset, records, labels=labels).get("accuracy")
    question = f"the right one of {get_scheme(labels).n_classes} classes ({labels})"
    told = _reported(dataset, "accuracy", (labels,))
    return [_entry(dataset, question, "accuracy", guessed, told) | mine]


def _entry(dataset: str, question: str, metric: str, guessed: float | None, told: tuple) -> dict:
    facts = {"dataset": dataset, "question": question, "metric": metric, "guess": guessed}
    return facts | dict(zip(("reported", "reported_by", "reported_n"), told, strict=True))


def _ours(
    value: float, low: float, high: float, row: pd.Series, records: list[Record], *, of: int
) -> dict[str, Any]:
    folds = None if records[0].experiment["fold"] is None else len(records)
    network = f"{row['chapter'][:2]}: {row['number']} {row['name']}"
    ours = {"value": value, "low": low, "high": high, "n": of, "folds": folds}
    return ours | {"network": network, "reduced": row["reduced"]}


def _reported(dataset: str, metric: str, labels: tuple[str, ...]) -> tuple:
    """Return the best number that was reported, by whom, and on how many test images."""
    told = comparison.reported()
    told = told[(told["dataset"] == dataset) & (told["metric"] == metric)]
    told = told[told["labels"].isin(labels)]
    value = told["value"].fillna(told["validation"])
    if value.dropna().empty:
        return None, None, None
    best = told.loc[value.idxmin() if metric == "mae" else value.idxmax()]
    if pd.isna(best["value"]):
        return float(best["validation"]), best["project"], None
    return float(best["value"]), best["project"], float(best["n"])


def quantile_interval(values: np.ndarray, share: float) -> tuple[float, float, float]:
    """Return a quantile and its 95 % interval from the order statistics.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Any numbers.
    share : float
        Which quantile, between 0 and 1.

    Returns
    -------
    value, low, high : float
        The ends are the values at the ranks n * share +- 1.96 sqrt(n * share * (1 - share)):
        no shape of the distribution is assumed.

    Raises
    ------
    ValueError
        If there is no value, or one that is no finite number.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    if not n or not np.isfinite(ordered).all():
        raise ValueError(f"a quantile needs finite numbers, one at the least; these are {n} values")
    half = 1.96 * np.sqrt(n * share * (1 - share))
    ranks = np.clip([np.floor(n * share - half) - 1, np.ceil(n * share + half)], 0, n - 1)
    low, high = ordered[ranks.astype(int)]
    return float(np.quantile(ordered, share)), float(low), float(high)
