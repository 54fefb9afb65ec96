"""Manifests: a catalog with its folds and parts, as a plain CSV file."""

from __future__ import annotations

import csv
import hashlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from agelib.files import DataError, atomic_path
from agelib.groups import SPAN, age_span
from agelib.paths import datasets_dir, manifests_dir

# UTKFace's words, in the order of its numbers.
GENDERS = ("male", "female")
RACES = ("white", "black", "asian", "indian", "other")
# Every column of a catalog and its dtype, in the order of the file.
SCHEMA: dict[str, str] = {
    "file": "str",
    "age": "Int64",
    "gender": "str",
    "race": "str",
    "width": "Int64",
    "height": "Int64",
    "mode": "str",
    "size": "int64",
    "md5": "str",
    "exact": "Int64",
    "cluster": "int64",
    "flags": "str",
    "usable": "bool",
    "keep": "bool",
    "fold": "int64",
    "p1_decades": "str",
    "p2_random": "str",
    "p5_5000": "str",
}
# Columns that follow where a data set has them, in this order: ages known as groups of years,
# who is shown, and parts of protocols that are the data set's own.
OPTIONAL: dict[str, str] = {
    "age_from": "Int64",
    "age_to": "Int64",
    "person": "str",
    "adience_random": "str",
}
# The part of each image under a protocol without folds; empty when it has none.
PART_COLUMNS = ("p1_decades", "p2_random", "p5_5000")
OWN_PART_COLUMNS = ("adience_random",)
# Text columns in which an empty field means "not known" (elsewhere it is the empty string).
_MISSING = ("gender", "race", "mode", "person")
_VALUES = {
    "gender": GENDERS,
    "race": RACES,
    **dict.fromkeys(PART_COLUMNS + OWN_PART_COLUMNS, ("", "training", "validation", "test")),
    "usable": ("True", "False"),
    "keep": ("True", "False"),
}


def manifest_path(dataset: str) -> Path:
    """Return where the manifest of a data set lies.

    Parameters
    ----------
    dataset : str
        Name of the data set, for example ``"utkface"``.

    Returns
    -------
    Path
        ``<datasets>/<dataset>/manifest.csv``, made from the user's own images, when it exists;
        else the committed ``manifests/<dataset>.csv``, whether or not it exists.
    """
    own = datasets_dir() / dataset / "manifest.csv"
    return own if own.is_file() else manifests_dir() / f"{dataset}.csv"


def load_manifest(dataset: str) -> pd.DataFrame:
    """Read the catalog of a data set from its manifest.

    Parameters
    ----------
    dataset : str
        Name of the data set; see `manifest_path` for the file that is read.

    Returns
    -------
    DataFrame
        The catalog: columns and dtypes of ``SCHEMA``, sorted by ``file``.

    Raises
    ------
    DataError
        When there is no manifest, or it is not a sound one; names the first offender.
    """
    path = manifest_path(dataset)
    if not path.is_file():
        raise DataError(
            f"no manifest for data set {dataset!r}: neither "
            f"{datasets_dir() / dataset / 'manifest.csv'} nor {path} exists; "
            f"make it with `python -m agelib prepare {dataset}`"
        )
    return read_manifest(path)


def read_manifest(path: Path | str) -> pd.DataFrame:
    """Read a manifest file.

    Parameters
    ----------
    path : Path or str
        The CSV file.

    Returns
    -------
    DataFrame
        The catalog: columns and dtypes of ``SCHEMA``, sorted by ``file``.

    Raises
    ------
    DataError
        When the file is not a sound manifest; names the first offender.
    """
    path = Path(path)
    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise _unsound(path, f"it is not a CSV file ({error})") from error
    if list(text.columns) != list(dtypes(text)):
        raise _unsound(path, _column_trouble(list(text.columns)))
    catalog = pd.DataFrame({name: _typed(text[name], path) for name in text})
    _check(catalog, path)
    return catalog


def save_manifest(catalog: pd.DataFrame, path: Path | str) -> None:
    """Write a catalog as a manifest; equal catalogs give equal bytes on every machine.

    Parameters
    ----------
    catalog : DataFrame
        With the columns of ``SCHEMA`` and any of ``OPTIONAL``, sorted by ``file`` in byte order.
    path : Path or str
        CSV file to write, whole or not at all.

    Raises
    ------
    DataError
        When the catalog breaks a rule that `load_manifest` would refuse.
    """
    path = Path(path)
    if list(catalog.columns) != list(dtypes(catalog)):
        raise DataError(f"cannot write {path}: {_column_trouble(list(catalog.columns))}")
    try:
        table = catalog.astype(dtypes(catalog))
    except (ValueError, TypeError) as error:
        raise DataError(f"cannot write {path}: a column has the wrong type ({error})") from error
    _check(table, path)
    try:
        with atomic_path(path) as temporary:
            table.to_csv(
                temporary,
                index=False,
                lineterminator="\n",
                quoting=csv.QUOTE_MINIMAL,
                encoding="utf-8",
            )
    except UnicodeEncodeError as error:
        raise DataError(
            f"cannot write {path}: the file name {error.object!r} is not valid UTF-8; rename it"
        ) from error


def dtypes(catalog: pd.DataFrame) -> dict[str, str]:
    """Return the dtype of each column that a sound catalog with these columns has, in order.

    Parameters
    ----------
    catalog : DataFrame
        Any table.

    Returns
    -------
    dict of str to str
        All of ``SCHEMA``, then those of ``OPTIONAL`` that the table has.
    """
    return SCHEMA | {name: dtype for name, dtype in OPTIONAL.items() if name in catalog}


def fingerprint(catalog: pd.DataFrame) -> str:
    """Return a short mark of the images a catalog lists.

    Parameters
    ----------
    catalog : DataFrame
        With ``file`` and ``md5``.

    Returns
    -------
    str
        16 hexadecimal digits of the SHA-256 over names and MD5 sums, in row order.
    """
    pairs = zip(catalog["file"], catalog["md5"], strict=True)
    digest, separator = hashlib.sha256(), ""
    for file, md5 in pairs:
        # NUL cannot occur in a file name, so no two catalogs share a text.
        digest.update(f"{separator}{file}\0{md5}".encode())
        separator = "\n"
    return digest.hexdigest()[:16]


def _unsound(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is not a sound manifest: {reason}; restore it, or make it anew with "
        "`python -m agelib prepare DATASET` (with --own if it is of images of your own)"
    )


def _column_trouble(columns: list[str]) -> str:
    missing = [name for name in SCHEMA if name not in columns]
    unknown = [name for name in columns if name not in SCHEMA | OPTIONAL]
    if missing and not unknown and set(missing) <= set(PART_COLUMNS):
        return f"it lacks the columns {missing}, as the manifests of earlier versions do"
    if missing or unknown:
        return f"columns missing: {missing or 'none'}, unknown: {unknown or 'none'}"
    order = [*SCHEMA, *(name for name in OPTIONAL if name in columns)]
    return f"columns are in the order {columns}, not {order}"


def _typed(column: pd.Series, path: Path) -> pd.Series:
    dtype = (SCHEMA | OPTIONAL)[column.name]
    if dtype == "bool":
        _allowed(column, path)
        return column == "True"
    if dtype in ("int64", "Int64"):
        good = column.str.fullmatch("-?[0-9]{1,18}") | ((column == "") & (dtype == "Int64"))
        _refuse(column, ~good, path, "is not a whole number")
        if dtype == "int64":
            return column.astype("int64")
        return pd.Series(pd.array(pd.to_numeric(column.mask(column == "")), dtype="Int64"))
    return column.mask(column == "") if column.name in _MISSING else column


def _refuse(column: pd.Series, bad: pd.Series | np.ndarray, path: Path, reason: str) -> None:
    at = np.flatnonzero(np.asarray(bad, dtype=bool))
    if len(at):
        some = ", ".join(f"{column.tolist()[i]!r} (line {i + 2})" for i in at[:3])
        raise _unsound(path, f"{len(at)} of column {column.name!r}: {some} {reason}")


def _allowed(column: pd.Series, path: Path) -> None:
    values = _VALUES[column.name]
    known = column.isin(values) | (column.isna() & (column.name in _MISSING))
    _refuse(column, ~known, path, f"must be one of {', '.join(map(repr, values))}")


def _check(catalog: pd.DataFrame, path: Path) -> None:
    """Refuse a catalog whose rows contradict each other."""
    for name in ("gender", "race", *PART_COLUMNS, *OWN_PART_COLUMNS):
        if name in catalog:
            _allowed(catalog[name], path)
    file, rows = catalog["file"], np.arange(len(catalog))
    _refuse(file, file == "", path, "is empty")
    for name in ("file", "flags"):
        broken = catalog[name].str.contains("[\r\n]", regex=True)
        _refuse(catalog[name], broken, path, "has a line break in it; rename the image")
    _refuse(file, file.duplicated(), path, "appears twice")
    # UTF-8 sorts as its code points do, so Python's own order is byte order.
    if any(one > other for one, other in itertools.pairwise(file)):
        order = sorted(range(len(file)), key=file.tolist().__getitem__)
        _refuse(file, order != rows, path, "is out of byte order")
    cluster, fold = catalog["cluster"], catalog["fold"]
    _refuse(cluster, (cluster < 0) | (cluster > rows), path, "is not the row of a first member")
    _refuse(cluster, cluster.iloc[cluster].to_numpy() != cluster, path, "has no first member")
    first, last = age_span(catalog)
    unsound = (first.isna() != last.isna()) | (first > last).fillna(False)
    _refuse(file, unsound, path, "has no sound group of ages")
    if SPAN[0] in catalog:
        both = catalog["age"].notna() & catalog[SPAN[0]].notna()
        _refuse(file, both, path, "has an age and a group of ages")
    _refuse(file, catalog["usable"] & first.isna(), path, "is usable but has no age")
    _refuse(file, catalog["keep"] & ~catalog["usable"], path, "is kept but not usable")
    _refuse(fold, (fold >= 0) != catalog["usable"], path, "must be -1 exactly when not usable")
    kept = catalog.loc[catalog["keep"], "cluster"]
    _refuse(file, catalog["keep"] & cluster.isin(kept[kept.duplicated()]), path, "is kept twice")
    fold, part = fold.where(fold >= 0), catalog["p5_5000"].replace("", pd.NA)
    # Folds that keep persons together may come with the data; copies may lie in several of them.
    whole = catalog.get("person", cluster)
    for placed, unit, parts in ((fold, whole, "folds"), (part, cluster, "parts of p5_5000")):
        number = placed.groupby(unit).nunique()
        apart = unit.isin(number[number > 1].index)
        _refuse(file, apart, path, f"has its {unit.name} in several {parts}")
