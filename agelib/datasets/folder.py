"""A folder of one's own: images, with a table of labels or with names that follow a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd

from agelib.catalog import list_images
from agelib.datasets.source import Source, from_table
from agelib.files import DataError, write_text

LABELS = "labels.csv"  # beside the image folder: what was read off the table or the names
OLDEST = 120
GENDERS = {"male": "male", "m": "male", "female": "female", "f": "female"}
_REQUIRED, _OPTIONAL = ("file", "age"), ("gender", "person")
_COMMAND = "python -m agelib prepare folder IMAGES"
_FIELDS = {
    "{age}": r"(?<![0-9])(?P<age>[0-9]{1,3})(?![0-9])",  # a whole number, no part of one
    "{gender}": r"(?P<gender>female|male|f|m|F|M)",
    "{person}": r"(?P<person>[^/]+?)",
    "*": r"[^/]*",
}


def label(
    images: Path | str, place: Path | str, *, table: Path | None = None, pattern: str | None = None
) -> Path:
    """Read the labels of a folder's images and keep them where `read` looks for them.

    Parameters
    ----------
    images : Path or str
        Folder of images.
    place : Path or str
        Folder to keep them in: the one that holds the image folder of the data set.
    table : Path, optional
        CSV file with the columns ``file`` (path below ``images``), ``age`` in years, and where
        known ``gender`` (male or female) and ``person`` (any name). An empty field: not known.
    pattern : str, optional
        Instead of a table: what the names look like, with ``{age}``, ``{gender}``, ``{person}``
        and ``*`` for anything, such as ``"{person}_{age}_*.jpg"`` or ``"{age}/*"``. A pattern
        with ``/`` is compared with the path below ``images``, else with the name alone.

    Returns
    -------
    Path
        The file of labels that was written.

    Raises
    ------
    ValueError
        When neither or both of table and pattern are given.
    DataError
        When the table lacks a column, or ages, genders or paths in it are impossible: names the
        first ten of each. When none of its images is in place, or no name fits the pattern.
    """
    labels = labels_of(images, table=table, pattern=pattern)
    path = Path(place) / LABELS
    write_text(path, labels.to_csv(index=False, lineterminator="\n"))
    return path


def labels_of(
    images: Path | str, *, table: Path | None = None, pattern: str | None = None
) -> pd.DataFrame:
    """Read the labels of a folder's images, and keep nothing; see `label`, also for what is raised.

    Returns
    -------
    pandas.DataFrame
        Columns file, age, gender and person, as text; "" where not known.
    """
    if (table is None) == (pattern is None):
        raise ValueError("give either a table or a pattern")
    images = Path(images)
    if table is None:
        return _of_names(images, pattern)
    labels = _of_table(Path(table))
    from_table(images, labels[["file", "age"]], named_by=f"{table}")
    return labels


def read(folder: Path | str) -> Source:
    """List the labelled images of a folder.

    Parameters
    ----------
    folder : Path or str
        Image folder; `label` has kept the labels beside it.

    Returns
    -------
    Source
        With ``person`` where the labels have persons.

    Raises
    ------
    DataError
        When there are no labels, or no image that they name is in place.
    """
    path = Path(folder).parent / LABELS
    if not path.is_file():
        raise DataError(
            f"{path} does not exist: which ages do the images show? Give a table, `{_COMMAND} "
            f"--table FILE.csv`, or a pattern of their names, `{_COMMAND} --pattern '{{age}}_*'`"
        )
    labels = _of_table(path, kept=True)
    table = pd.DataFrame(
        {
            "file": labels["file"],
            "age": pd.array(pd.to_numeric(labels["age"].replace("", None)), dtype="Int64"),
            "gender": _or_none(labels["gender"]),
            "remarks": labels["age"].map({"": "no age"}).fillna(""),
        }
    )
    if labels["person"].ne("").any():
        table["person"] = _or_none(labels["person"])
    return from_table(folder, table, named_by="the labels")


def _or_none(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column != "", None)


def _of_table(path: Path, *, kept: bool = False) -> pd.DataFrame:
    """Read and check a table; columns file, age, gender, person as text.

    One that `label` has kept has the names as they are, blanks and backslashes included.
    """
    remedy = "its first line must name the columns: file,age and, where known, gender,person"
    try:
        # Spreadsheets put a mark of the byte order in front.
        how = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
        table = pd.read_csv(path, **how)
        # As they stand there: pandas would call a second `age` `age.1`.
        names = pd.read_csv(path, header=None, nrows=1, **how).iloc[0]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path} is not a CSV file in UTF-8 ({error}); {remedy}") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(
            f"{path} has rows with more fields than the first line names; put names with a comma "
            f"in quotation marks; {remedy}"
        )
    table.columns = [str(name).strip().lower() for name in names]
    lacking = [name for name in _REQUIRED if name not in table.columns]
    if lacking:
        found = ", ".join(map(repr, table.columns[:10]))
        split = "; separate the columns by commas" if len(table.columns) == 1 else ""
        raise DataError(
            f"{path} lacks the column {' and '.join(lacking)}: it has {found}; {remedy}{split}"
        )
    if table.columns.duplicated().any() or table.empty:
        raise DataError(f"{path} has no rows, or two columns of one name; {remedy}")
    table = table.reindex(columns=[*_REQUIRED, *_OPTIONAL], fill_value="")
    if not kept:
        table = table.apply(lambda column: column.str.strip())
        table["file"] = table["file"].str.replace("\\", "/", regex=False).map(_plain)
        table["age"] = table["age"].str.replace(r"\.0+$", "", regex=True)
    troubles = [
        _offenders(table["file"], ~table["file"].map(_inside), "is no path below the image folder"),
        _offenders(table["file"], table["file"].duplicated(), "stands there twice"),
        _offenders(table["age"], ~table["age"].map(_is_age), f"is no whole age, 0 to {OLDEST}"),
        _offenders(
            table["gender"],
            ~table["gender"].str.lower().isin(["", *GENDERS]),
            "is neither male nor female nor empty",
        ),
    ]
    if any(troubles):
        raise DataError(f"{path}: {'; '.join(filter(None, troubles))}; correct these rows")
    table["gender"] = table["gender"].str.lower().replace(GENDERS)
    return table


def _plain(file: str) -> str:
    """Return a path as `list_images` gives it: ./a.jpg as a.jpg."""
    return str(PurePosixPath(file)) if file else file


def _inside(file: str) -> bool:
    path, windows = PurePosixPath(file), PureWindowsPath(file)
    outside = path.is_absolute() or windows.drive or windows.root or ".." in path.parts
    return bool(file) and not outside and not re.search("[\0\r\n]", file)


def _is_age(text: str) -> bool:
    return not text or (bool(re.fullmatch("[0-9]{1,3}", text)) and int(text) <= OLDEST)


def _offenders(column: pd.Series, bad: pd.Series, what: str) -> str:
    """Say which values are bad, the first ten with their lines; "" when none is."""
    at = np.flatnonzero(bad)
    some = ", ".join(f"{column.iloc[row]!r} (line {row + 2})" for row in at[:10])
    more = f" and {len(at) - 10} more" if len(at) > 10 else ""
    return f"{column.name} {what}: {some}{more}" if len(at) else ""


def _of_names(images: Path, pattern: str) -> pd.DataFrame:
    files = list_images(images)
    fits = _matcher(pattern)
    found = [fits(file) or {} for file in files]
    table = pd.DataFrame(found, columns=["age", *_OPTIONAL], dtype=object).fillna("")
    table.insert(0, "file", files)
    known = table["age"].map(lambda text: bool(text) and _is_age(text))
    if not known.any():
        genders = f" ({{gender}} is {', '.join(GENDERS)})" if "{gender}" in pattern else ""
        raise DataError(
            f"no name in {images} fits the pattern {pattern!r} with an age of at most {OLDEST}"
            f"{genders}, for example {', '.join(map(repr, files[:10]))}"
        )
    table.loc[~known, ["age", *_OPTIONAL]] = ""
    table["gender"] = table["gender"].str.lower().replace(GENDERS)
    return table


def _matcher(pattern: str) -> Callable[[str], dict[str, str] | None]:
    """Return what reads the labels off a path, or gives None where the pattern does not fit."""
    pieces = re.split(r"(\{[^}]*\}|\*)", pattern)
    fields = [piece for piece in pieces if piece.startswith("{")]
    unknown = [piece for piece in fields if piece not in _FIELDS]
    if unknown or len(fields) != len(set(fields)) or "{age}" not in fields:
        raise DataError(
            f"pattern {pattern!r} is not possible: it needs {{age}}, may have {{gender}} and "
            "{person}, each once, and * for anything"
        )
    form = re.compile("".join(_FIELDS.get(piece, re.escape(piece)) for piece in pieces))

    def fits(file: str) -> dict[str, str] | None:
        match = form.fullmatch(file if "/" in pattern else file.rpartition("/")[2])
        return match and match.groupdict()

    return fits
