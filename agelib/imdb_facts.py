"""What the metadata of IMDB-WIKI says in numbers: counts only, no name and no path."""

from __future__ import annotations

import calendar
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agelib import datasets, paths
from agelib.datasets.imdb_filters import FILTERS, apply_filters
from agelib.datasets.imdb_wiki import OLDEST, SOURCES, labels, read_metadata
from agelib.files import DataError, sha256_text

CHAPTER = "22-imdb-wiki"
SPLITS = 20  # random splits over which a leak is averaged
_SCORES = np.arange(0, 7.6, 0.25)


def metadata_path(source: str) -> Path:
    """Return where a metadata file is placed, whether or not it is: ``imdb`` or ``wiki``."""
    return datasets.images_folder("imdb-wiki") / f"{source}_crop" / f"{source}.mat"


def metadata_facts(source: str = "wiki") -> dict[str, Any]:
    """Count what is in a metadata file; without the file, return the published counts.

    Parameters
    ----------
    source : {"wiki", "imdb"}
        Which file.

    Returns
    -------
    dict
        Plain values: ``rows``, ``facts``, ``ages``, ``scores``, ``minimum_score``, ``filters``
        and ``leak``, as :func:`count_metadata` gives them.

    Raises
    ------
    ValueError
        When there is no such source.
    DataError
        When the file is neither placed nor its counts published, or is unsound.
    """
    if source not in SOURCES:
        raise ValueError(f"source {source!r} is unknown; choose one of {', '.join(SOURCES)}")
    path = metadata_path(source)
    if path.is_file():
        return count_metadata(read_metadata(path), read_metadata(path, age_rule="mid-year")["age"])
    published = paths.root() / "models-and-results" / "imdb-wiki" / CHAPTER / f"{source}.json"
    if not published.is_file():
        raise DataError(f"{path} is missing and its counts are not published; place the file there")
    return json.loads(published.read_text(encoding="utf-8"))


def count_metadata(metadata: pd.DataFrame, mid_year: pd.Series) -> dict[str, Any]:
    """Count what is in metadata.

    Parameters
    ----------
    metadata : DataFrame
        From `agelib.datasets.imdb_wiki.read_metadata`, ages by P4's rule.
    mid_year : Series, shape (n,)
        Ages by the rule "mid-year".

    Returns
    -------
    dict
        ``rows``; ``facts`` (name to count); ``ages`` (images per year of age from 0 to 100, all
        and kept by P4's code); ``scores`` (images per face score, by lower edge of the bin);
        ``minimum_score`` (images that P4's code would leave with another minimum); ``filters``
        (per set, a list of filter, removed, left, alone); ``leak`` and ``folds`` (see there).
    """
    age, person = metadata["age"], metadata["person"]
    coded = apply_filters(metadata, "p4-code").keep
    rest = apply_filters(metadata, FILTERS["p4-code"][1:]).keep
    scores = metadata["face_score"].to_numpy()
    edges = [*_SCORES.tolist(), np.inf]
    found = np.histogram(scores[scores >= 0], bins=edges)[0]
    return {
        "rows": len(metadata),
        "facts": _facts(metadata) | {"age differs by the rule": int((age != mid_year).sum())},
        "ages": {"all": _by_year(age), "kept": _by_year(age[coded])},
        "scores": {"from": _SCORES.tolist(), "images": found.tolist()},
        "minimum_score": {
            f"{least:g}": int((rest & (scores >= least)).sum()) for least in np.arange(0, 6.5, 0.5)
        },
        "filters": {
            name: apply_filters(metadata, name).counts.reset_index().to_dict("records")
            for name in FILTERS
        },
        "leak": {"all": leak(person), "kept": leak(person[coded])},
        "folds": folds(metadata),
    }


def leak(person: pd.Series) -> dict[str, float | int]:
    """Count whose person is on both sides when a tenth is held out at random, as P4 (Singh) did.

    Parameters
    ----------
    person : Series, shape (n,)
        Mark of each image's person.

    Returns
    -------
    dict
        ``images``, ``persons``, ``repeated`` (images of persons that have more than one), and
        ``leaked`` with ``sd``: the share of held-out images whose person is also on the other
        side, mean and standard deviation over ``SPLITS`` random splits.
    """
    codes = pd.factorize(person)[0]
    sizes = np.bincount(codes)
    n = round(0.1 * len(codes))
    shares = []
    for state in range(SPLITS):
        out = np.random.RandomState(state).permutation(len(codes))[:n]
        left = sizes - np.bincount(codes[out], minlength=len(sizes))
        shares.append(float((left[codes[out]] > 0).mean()) if n else 0.0)
    return {
        "images": len(codes),
        "persons": len(sizes),
        "repeated": int((sizes[codes] > 1).sum()),
        "held_out": n,
        "leaked": round(float(np.mean(shares)), 5),
        "sd": round(float(np.std(shares, ddof=1)), 5),
    }


def folds(metadata: pd.DataFrame) -> dict[str, Any]:
    """Describe the folds of the protocol ``imdb-wiki``, had every image its place.

    Parameters
    ----------
    metadata : DataFrame
        From `agelib.datasets.imdb_wiki.read_metadata`.

    Returns
    -------
    dict
        ``rows``: per fold ``fold``, ``images``, ``persons``, ``mean age`` and ``sd`` in years,
        ``female`` (share); ``fingerprint``: 16 hexadecimal digits of the SHA-256 over file names
        and folds in byte order of the names, by which another reader of the same metadata sees
        that the folds are the same.
    """
    table = labels(metadata)
    table = table[table["usable"]].sort_values("file")
    rows = []
    for fold, group in table.groupby("fold"):
        age = group["age"].astype(float)
        facts = {"images": len(group), "persons": group["person"].nunique()}
        facts |= {"mean age": round(float(age.mean()), 3), "sd": round(float(age.std(ddof=0)), 3)}
        female = round(float((group["gender"] == "female").mean()), 4)
        rows.append({"fold": int(fold), **facts, "female": female})
    lines = "\n".join(
        f"{file}\0{fold}" for file, fold in zip(table["file"], table["fold"], strict=True)
    )
    return {"rows": rows, "fingerprint": sha256_text(lines)[:16]}


def _facts(metadata: pd.DataFrame) -> dict[str, int]:
    age, gender, score = (metadata[name] for name in ("age", "gender", "face_score"))
    birth, second = metadata["birth"].dt, metadata["second_face_score"]
    births = metadata.groupby("person")["birth"].agg(["size", "nunique"])
    repeated = births[births["size"] > 1]
    facts = {
        "persons by name": len(births),
        "names on more than one image": len(repeated),
        "of them with more than one date of birth": (repeated["nunique"] > 1).sum(),
        "male": (gender == "male").sum(),
        "female": (gender == "female").sum(),
        "no gender": gender.isna().sum(),
        "no face found": np.isneginf(score).sum(),
        "face score from 0 to 1": score.between(0, 1, inclusive="left").sum(),
        "a second face": second.notna().sum(),
        "photographed before birth": (age < 0).sum(),
        "aged 0": (age == 0).sum(),
        "aged 101 to 122": age.between(101, OLDEST).sum(),
        "aged more than 122": (age > OLDEST).sum(),
        "born before the year 1800": (birth.year < 1800).sum(),
        "born on 1 January": ((birth.month == 1) & (birth.day == 1)).sum(),
        "date of birth that does not exist": (~_real_days(metadata["file"])).sum(),
    }
    return {name: int(count) for name, count in facts.items()}


def _real_days(files: pd.Series) -> np.ndarray:
    """Tell files whose name has a day that exists; Matlab takes others for a later one."""
    dates = files.str.extract(r"_(\d+)-(\d+)-(\d+)[^_/]*_\d+\.[a-z]+$").astype("Int64")
    known = dates.notna().all(axis=1).to_numpy()
    days = [
        1 <= month <= 12 and 1 <= day <= calendar.monthrange(max(year, 1), month)[1]
        for year, month, day in dates[known].astype(int).itertuples(index=False)
    ]
    real = np.ones(len(files), dtype=bool)
    real[known] = days
    return real


def _by_year(age: pd.Series) -> list[int]:
    inside = age[age.between(0, 100)].to_numpy(dtype=np.int64)
    return np.bincount(inside, minlength=101).tolist()
