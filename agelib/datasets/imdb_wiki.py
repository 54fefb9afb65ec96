"""IMDB-WIKI: labels from the metadata in `imdb.mat` and `wiki.mat`.

Photographs of well-known people with their date of birth and the year of the photograph
(Rothe, Timofte and Van Gool 2015). The age is a difference of the two and nobody checked it:
pages may name the wrong year, show another person, or give a day that does not exist.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from agelib.datasets.imdb_filters import Filter, apply_filters
from agelib.datasets.source import Source, from_table
from agelib.files import DataError, sha256_text
from agelib.folds import N_FOLDS

SOURCES = ("imdb", "wiki")
FIELDS = (
    *("dob", "photo_taken", "full_path", "gender", "name", "face_location"),
    *("face_score", "second_face_score"),
)
AGE_RULES = ("p4", "mid-year")
OLDEST = 122  # years; the longest life that is documented

_EPOCH = np.datetime64("1970-01-01", "D")
_EPOCH_DAY = 719_529  # Matlab's number of that day; it counts from 1 January of the year 0
_FIRST_DAY = 367  # 1 January of the year 1
_FETCH = "get imdb_crop.tar or wiki_crop.tar again from its source"


def read_metadata(path: Path | str, *, age_rule: str = "p4") -> pd.DataFrame:
    """Read a metadata file of IMDB-WIKI.

    Parameters
    ----------
    path : Path or str
        ``imdb.mat`` or ``wiki.mat``, as they lie in ``imdb_crop`` and ``wiki_crop``.
    age_rule : {"p4", "mid-year"}
        See `ages_at_photo`.

    Returns
    -------
    DataFrame
        One row per image, in the file's order (a path that comes twice keeps its first row):
        ``file`` below the folder of the .mat file; ``birth`` (datetime64[s]) and ``photo_year``
        (Int64); ``age`` in years (Int64), impossible ones included; ``gender`` ("male",
        "female" or missing); ``face_score`` (-inf: no face found) and ``second_face_score``
        (NaN: no second face), float64; ``person``, 16 hexadecimal digits, equal for all images
        of a person in both files. No name is kept.

    Raises
    ------
    DataError
        When the file is missing, broken, or holds another struct; says what was expected.
    """
    path = Path(path)
    struct = _load(path)
    rows = struct["full_path"].size
    files = _texts(struct["full_path"])
    _check_paths(path, files)
    days = struct["dob"].reshape(-1).astype(np.float64)
    years = struct["photo_taken"].reshape(-1).astype(np.float64)
    gender = struct["gender"].reshape(-1).astype(np.float64)
    table = pd.DataFrame(
        {
            "file": pd.Series(files, dtype="str"),
            "birth": pd.Series(matlab_dates(days).astype("datetime64[s]")),
            "photo_year": pd.array(np.where(np.isfinite(years), years, np.nan)).astype("Int64"),
            "age": ages_at_photo(days, years, rule=age_rule),
            "gender": pd.Series(pd.NA, index=range(rows), dtype="str")
            .mask(gender == 0, "female")
            .mask(gender == 1, "male"),
            "face_score": struct["face_score"].reshape(-1).astype(np.float64),
            "second_face_score": struct["second_face_score"].reshape(-1).astype(np.float64),
            "person": _persons(struct, files),
        }
    )
    return table.drop_duplicates("file", ignore_index=True)


def matlab_dates(days: Sequence[float] | np.ndarray) -> np.ndarray:
    """Turn Matlab's day numbers into dates of the Gregorian calendar, carried back beyond 1582.

    Parameters
    ----------
    days : array_like, shape (n,)
        Day 1 is 1 January of the year 0, a leap year; day 0 and negative days come before it.
        Parts of a day are dropped.

    Returns
    -------
    ndarray of datetime64[D], shape (n,)
        NaT where the number is missing or infinite.
    """
    days = np.asarray(days, dtype=np.float64)
    known = np.isfinite(days)
    whole = np.floor(np.where(known, days, 0)).astype(np.int64) - _EPOCH_DAY
    return np.where(known, _EPOCH + whole, np.datetime64("NaT", "D"))


def ages_at_photo(
    days: Sequence[float] | np.ndarray, years: Sequence[float] | np.ndarray, *, rule: str = "p4"
) -> pd.arrays.IntegerArray:
    """Return the age at which people were photographed, of which only the year is known.

    Parameters
    ----------
    days : array_like, shape (n,)
        Matlab's day number of the date of birth.
    years : array_like, shape (n,)
        Year of the photograph.
    rule : {"p4", "mid-year"}
        ``"p4"``: the difference of the years, one less for those born in July or later; a birth
        before the year 1 counts as 1 January of the year 1 (P4, Singh). ``"mid-year"``: the age
        on 1 July, which differs for those born that day.

    Returns
    -------
    IntegerArray, shape (n,)
        Whole years, <NA> where a number is missing. Impossible ages, below 0 or in the
        thousands, stay what they are.

    Raises
    ------
    ValueError
        When there is no such rule.
    """
    if rule not in AGE_RULES:
        raise ValueError(f"age rule {rule!r} is unknown; choose one of {', '.join(AGE_RULES)}")
    days, years = (np.asarray(values, dtype=np.float64) for values in (days, years))
    # Python's dates, which P4 used, begin with the year 1.
    born = matlab_dates(np.maximum(days, _FIRST_DAY) if rule == "p4" else days)
    known = ~np.isnat(born) & np.isfinite(years)
    born = np.where(known, born, _EPOCH)
    year, month = born.astype("datetime64[Y]"), born.astype("datetime64[M]")
    passed = (month - year).astype(np.int64)  # whole months before that of the birthday
    not_yet = passed >= 6
    if rule == "mid-year":
        not_yet &= ~((passed == 6) & (born == month))
    difference = np.where(known, years, 0).astype(np.int64) - (year.astype(np.int64) + 1970)
    return pd.arrays.IntegerArray(difference - not_yet, ~known)


def labels(metadata: pd.DataFrame, *, filters: str | Sequence[Filter] = "p4-code") -> pd.DataFrame:
    """Return what a catalog takes of metadata.

    Parameters
    ----------
    metadata : DataFrame
        From `read_metadata`, n rows.
    filters : str or sequence of Filter
        See `agelib.datasets.imdb_filters.apply_filters`; what they remove is not usable.

    Returns
    -------
    DataFrame
        n rows of ``file``, ``age`` (None when impossible), ``gender``, ``race`` (None),
        ``person``, ``fold``, ``usable`` and ``remarks`` (why a row has no age, or which filter
        leaves it out). The fold follows from the hash of the person alone: it is the same for
        everybody, in both files, whichever images are in place.
    """
    age, reasons = metadata["age"], apply_filters(metadata, filters).reasons
    sound = age.between(0, OLDEST).fillna(False).to_numpy(dtype=bool)
    years = age.abs().astype("str") + " years "
    odd = years.where(age > 0, years + "before birth").where(age < 0, years + "after birth")
    odd = ("photographed " + odd).where(age.notna().to_numpy(dtype=bool), "cannot be told")
    left_out = pd.Series(np.where(reasons != "", "left out: " + reasons, ""))
    both = (~sound) & (reasons != "")
    remarks = ("no age: " + odd).where(~sound, "") + np.where(both, "; ", "") + left_out
    return pd.DataFrame(
        {
            "file": metadata["file"],
            "age": age.astype(object).where(sound, None),
            "gender": metadata["gender"].astype(object).where(metadata["gender"].notna(), None),
            "race": None,
            "person": metadata["person"].astype(object),
            "fold": [int(mark, 16) % N_FOLDS for mark in metadata["person"]],
            "usable": sound & (reasons == ""),
            "note": "",
            "remarks": remarks,
        }
    )


def read(folder: Path, *, age_rule: str = "p4", filters: str = "p4-code") -> Source:
    """Read the labels of the images of IMDB-WIKI.

    Parameters
    ----------
    folder : Path
        With ``imdb_crop/`` or ``wiki_crop/`` or both, each with its metadata file and images.
    age_rule : {"p4", "mid-year"}
        See `ages_at_photo`.
    filters : {"p4-code", "p4-text"}
        See `agelib.datasets.imdb_filters.FILTERS`; what they leave out is not usable.

    Returns
    -------
    Source
        The images that are in place.

    Raises
    ------
    DataError
        When neither metadata file is there, one is unsound, or no image is in place.
    """
    found = {name: folder / f"{name}_crop" / f"{name}.mat" for name in SOURCES}
    tables = []
    for name, path in found.items():
        if path.is_file() or path.parent.is_dir():
            table = labels(read_metadata(path, age_rule=age_rule), filters=filters)
            tables.append(table.assign(file=f"{name}_crop/" + table["file"]))
    if not tables:
        expected = " nor ".join(str(path) for path in found.values())
        raise DataError(f"neither {expected} exists; unpack imdb_crop.tar or wiki_crop.tar there")
    table = pd.concat(tables, ignore_index=True)
    return from_table(folder, table, named_by="the metadata")


def _load(path: Path) -> np.void:
    """Return the struct of a metadata file after checking its fields."""
    # Imported here: only who reads this data set needs it, and the import takes time.
    from scipy.io import loadmat, whosmat

    if not path.is_file():
        raise DataError(
            f"{path} is missing; place imdb.mat or wiki.mat there, as datasets/README.md says"
        )
    try:
        loaded = loadmat(path, variable_names=SOURCES)
        others = [] if set(SOURCES) & set(loaded) else [name for name, *_ in whosmat(path)]
    except Exception as error:  # the reader raises nearly anything on broken bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is broken or not a .mat file of Matlab 5 to 7.2 ({reason}); {_FETCH}"
        ) from error
    name = next((name for name in SOURCES if name in loaded), None)
    if name is None:
        raise DataError(
            f"{path} holds {', '.join(map(repr, others)) or 'nothing'} but no struct 'imdb' or "
            f"'wiki'; it is not the metadata of IMDB-WIKI; {_FETCH}"
        )
    struct = loaded[name]
    fields = struct.dtype.names or ()
    wanted = FIELDS + (("celeb_names", "celeb_id") if name == "imdb" else ())
    lacking = [field for field in wanted if field not in fields]
    if lacking or struct.size != 1:
        raise DataError(
            f"{path}: struct {name!r} lacks {', '.join(lacking) or 'its one record'} (it has "
            f"{', '.join(fields) or 'no fields'}); it is of another version; {_FETCH}"
        )
    struct = struct.reshape(-1)[0]
    sizes = {field: struct[field].size for field in wanted if field != "celeb_names"}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{field} {size:,}" for field, size in sizes.items())
        raise DataError(f"{path}: fields of struct {name!r} differ in length: {listed}; {_FETCH}")
    return struct


def _texts(cells: np.ndarray) -> list[str]:
    """Return the texts of a Matlab cell array; "" for what is empty or no text."""
    values = (cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell
              for cell in cells.reshape(-1).tolist())  # fmt: skip
    return [value if isinstance(value, str) else "" for value in values]


def _check_paths(path: Path, files: list[str]) -> None:
    bad = [
        (row, file)
        for row, file in enumerate(files, start=1)
        if not file or file.startswith("/") or "\\" in file or ".." in file.split("/")
    ]
    if bad:
        some = ", ".join(f"{file!r} (row {row:,})" for row, file in bad[:10])
        raise DataError(
            f"{path}: {len(bad):,} of {len(files):,} values of full_path name no file below its "
            f"folder: {some}; {_FETCH}"
        )


def _persons(struct: np.void, files: list[str]) -> pd.Series:
    """Return a mark of each row's person: a hash of the name, or of the path without one."""
    names = _texts(struct["name"])
    if "celeb_names" in struct.dtype.names:
        listed = dict(enumerate(_texts(struct["celeb_names"]), start=1))
        # Where number and name disagree, the number decides: it has one spelling.
        numbers = struct["celeb_id"].reshape(-1).tolist()
        names = [listed.get(number) or name for number, name in zip(numbers, names, strict=True)]
    keys = [
        _same_spelling(name) or f"person in {file}" for name, file in zip(names, files, strict=True)
    ]
    codes, known = pd.factorize(np.array(keys, dtype=object))
    marks = np.array([sha256_text(f"IMDB-WIKI\0{key}")[:16] for key in known], dtype=object)
    return pd.Series(marks[codes], dtype="str")


def _same_spelling(name: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
