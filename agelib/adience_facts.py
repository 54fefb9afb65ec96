"""What Adience's fold files say in numbers: counts only, no album and no photograph."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from agelib import datasets, paths
from agelib.datasets import adience
from agelib.files import DataError
from agelib.labels import get_scheme

CHAPTER = "21-adience"
DRAWS = 20  # random splits over which a leak is averaged
UNITS = ("person", "photograph", "album")
_SIZES = (1, 2, 3, 6, 11, 31, 101)  # first sizes of the bins of images per person


def fold_file_facts() -> dict[str, Any]:
    """Count what is in the fold files; without the files, return the published counts.

    Returns
    -------
    dict
        As `count` gives it.

    Raises
    ------
    DataError
        When the files are neither placed nor their counts published, or are unsound.
    """
    place = datasets.images_folder("adience").parent
    if (place / adience.FOLD_FILES[0]).is_file():
        return count(adience.read_folds(place))
    published = paths.root() / "models-and-results" / "adience" / CHAPTER / "fold-files.json"
    if not published.is_file():
        raise DataError(f"{place} has no fold files and their counts are not published here")
    return json.loads(published.read_text(encoding="utf-8"))


def count(table: pd.DataFrame) -> dict[str, Any]:
    """Count what is in the fold files.

    Parameters
    ----------
    table : DataFrame
        From `agelib.datasets.adience.read_folds`.

    Returns
    -------
    dict
        ``totals`` (name to count), and tables as lists of rows: ``labels`` (every age label,
        its images, its class of eight and group of five), ``groups`` (images of each class of
        eight by gender), ``folds``, ``filters`` (what each leaves, one after the other, and
        alone), ``filtered_groups`` (images of each class after each filter), ``sizes`` (images
        per person), ``leak`` (share of test images whose person, photograph or album is on the
        other side, by kind of split) and ``leak_by_group`` (that of persons under
        ``adience-random``). ``marks``: fingerprints of files and drawn parts.
    """
    album, rest = table["key"].str.split("/").str[0], table["key"].str.split("/").str[1]
    table = table.assign(
        album=album,
        photograph=album + "/" + rest.str.split(".", n=1).str[1],
        eight=_names("adience-8", table),
        five=_names("groups-5", table),
    )
    return {
        "totals": _totals(table),
        "labels": _labels(table),
        "groups": _by_gender(table),
        "folds": [_fold(table, fold) for fold in range(adience.N_FOLDS)],
        "filters": _filters(table),
        "filtered_groups": _filtered_groups(table),
        "sizes": _sizes(table["person"]),
        "leak": _leak(table),
        "leak_by_group": _leak_by_group(table),
        "marks": {
            "fold files": adience.mark(table),
            "adience-random": adience.mark(table, "adience_random"),
        },
    }


def _names(scheme: str, table: pd.DataFrame) -> pd.Series:
    classes = pd.Series(get_scheme(scheme).of_catalog(table), index=table.index)
    return classes.map(dict(enumerate(get_scheme(scheme).names))).fillna("")


def _totals(table: pd.DataFrame) -> dict[str, int]:
    return {
        "rows": int(table["times"].sum()),
        "images": len(table),
        "listed more than once": int((table["times"] > 1).sum()),
        "photographs": table["photograph"].nunique(),
        "persons": table["person"].nunique(),
        "albums": table["album"].nunique(),
        "persons with several ages": int(
            (table.groupby("person")["age_label"].nunique() > 1).sum()
        ),
        "without an age": int((table["age_label"] == "None").sum()),
        "with one of the eight labels": int(table["age_label"].isin(adience.OFFICIAL_GROUPS).sum()),
        "in one of eight classes": int((table["eight"] != "").sum()),
        "in one of five groups": int((table["five"] != "").sum()),
        "without a gender": int(table["gender"].isna().sum()),
        "frontal": int((table["yaw"] == 0).sum()),
    }


def _labels(table: pd.DataFrame) -> list[dict[str, Any]]:
    found = table.groupby("age_label")[["eight", "five"]].first()
    found.insert(0, "images", table["age_label"].value_counts())
    found = found.reindex(list(adience.AGES)).dropna()
    return found.rename_axis("label").reset_index().to_dict("records")


def _by_gender(table: pd.DataFrame) -> list[dict[str, Any]]:
    counts = pd.crosstab(table["eight"], table["gender"].fillna("unknown"))
    counts = counts.reindex(index=get_scheme("adience-8").names, fill_value=0)
    counts = counts.reindex(columns=["female", "male", "unknown"], fill_value=0)
    return counts.rename_axis("class").reset_index().to_dict("records")


def _fold(table: pd.DataFrame, fold: int) -> dict[str, Any]:
    rows = table[table["fold"] == fold]
    labelled = rows.loc[rows["age_label"].isin(adience.OFFICIAL_GROUPS), "eight"].value_counts()
    return {
        "fold": fold,
        "albums": rows["album"].nunique(),
        "persons": rows["person"].nunique(),
        "images": len(rows),
        "with one of the eight labels": int(labelled.sum()),
        "most frequent class": labelled.index[0] if len(labelled) else "",
        "its share": float(labelled.max() / labelled.sum()) if len(labelled) else 0.0,
    }


def _masks(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "an age label": table["five"] != "",
        "a class of eight": table["eight"] != "",
        "a gender": table["gender"].notna(),
        "frontal": table["yaw"] == 0,
    }


def _filters(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what each filter removes after those before it, and what it would remove alone."""
    repeated = int(table["times"].sum()) - len(table)
    rows = [("one row per image", repeated, len(table), repeated)]
    left = pd.Series(True, index=table.index)
    for name, mask in _masks(table).items():
        removed = int((left & ~mask).sum())
        left = left & mask
        rows.append((name, removed, int(left.sum()), int((~mask).sum())))
    return [dict(zip(("kept", "removed", "left", "alone"), row, strict=True)) for row in rows]


def _filtered_groups(table: pd.DataFrame) -> list[dict[str, Any]]:
    masks = _masks(table)
    gender = masks["a gender"]
    kept = {"all": gender | True, "with a gender": gender, "and frontal": gender & masks["frontal"]}
    counts = pd.DataFrame({name: table.loc[m, "eight"].value_counts() for name, m in kept.items()})
    counts = counts.reindex(get_scheme("adience-8").names).fillna(0).astype(int)
    return counts.rename_axis("class").reset_index().to_dict("records")


def _sizes(person: pd.Series) -> list[dict[str, Any]]:
    sizes = person.value_counts()
    rows = []
    for first, after in zip(_SIZES, (*_SIZES[1:], None), strict=True):
        inside = sizes[sizes.between(first, np.inf if after is None else after - 1)]
        span = f"{first} and more" if after is None else f"{first} to {after - 1}"
        row = {"images per person": str(first) if after == first + 1 else span}
        rows.append(row | {"persons": len(inside), "images": int(inside.sum())})
    return rows


def _leak(table: pd.DataFrame) -> list[dict[str, Any]]:
    labelled = table[table["five"] != ""].reset_index(drop=True)
    n, part = len(labelled), labelled["adience_random"]
    random = [np.random.RandomState(state) for state in range(DRAWS)]
    persons = [_held_out(labelled["person"], r) for r in map(np.random.RandomState, range(DRAWS))]
    splits = {
        "images at random, 80/20": [r.permutation(n) < n // 5 for r in random],
        "adience-random, 60/20/20": [(part == "test").to_numpy()],
        "persons at random, 80/20": persons,
        "adience-folds": [(labelled["fold"] == k).to_numpy() for k in range(adience.N_FOLDS)],
    }
    return [{"split": name} | _shares(labelled, tests) for name, tests in splits.items()]


def _held_out(person: pd.Series, random: np.random.RandomState) -> np.ndarray:
    """Return where the images of a random fifth of the persons are."""
    codes, names = pd.factorize(person)
    return (random.permutation(len(names)) < len(names) // 5)[codes]


def _shares(table: pd.DataFrame, tests: list[np.ndarray]) -> dict[str, float | int]:
    """Return the mean share of test images whose unit is also on the other side, and its sd."""
    told: dict[str, float | int] = {"draws": len(tests)}
    for unit in UNITS:
        shares = [table.loc[t, unit].isin(table.loc[~t, unit]).mean() for t in tests]
        told[unit] = float(np.mean(shares))
        told[f"{unit} sd"] = float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0
    return told


def _leak_by_group(table: pd.DataFrame) -> list[dict[str, Any]]:
    test = table[table["adience_random"] == "test"]
    other = table[table["adience_random"].isin(["training", "validation"])]
    known = test["person"].isin(other["person"]).groupby(test["five"]).agg(["size", "sum"])
    known = known.reindex(get_scheme("groups-5").names).fillna(0).astype(int)
    known.columns = ["test images", "of a known person"]
    return known.rename_axis("group").reset_index().to_dict("records")
