"""The catalog: one row per image file, made in one pass over the files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agelib.files import DataError
from agelib.groups import SPAN, age_span
from agelib.images import IMAGE_SUFFIXES
from agelib.manifests import OPTIONAL, PART_COLUMNS, SCHEMA, dtypes

COLUMNS = tuple(SCHEMA)


def list_images(folder: Path | str) -> list[str]:
    """List the image files below a folder, in the same order on every machine.

    Parameters
    ----------
    folder : Path or str
        Folder; its subfolders are searched, also those that links right below it lead to. Hidden
        files and macOS leftovers are not.

    Returns
    -------
    list of str
        POSIX paths relative to ``folder``, in byte order.

    Raises
    ------
    DataError
        When the folder does not exist, holds no image, or a name is not valid UTF-8 or has a line
        break.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; place the images there")
    found = []
    for place, subfolders, names in _walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__MACOSX"))]
        inside = Path(place).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                found.append(prefix + name)
    if not found:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    try:
        for file in found:
            file.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{folder}: name {error.object!r} is not valid UTF-8; rename it") from None
    broken = next((file for file in found if "\n" in file or "\r" in file), None)
    if broken is not None:
        raise DataError(f"{folder}: name {broken!r} has a line break; rename it")
    # UTF-8 sorts as its code points do, so Python's own order is byte order.
    found.sort()
    return found


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder and the other folders that links right below it lead to.

    A link up would lead here again, and one to a place inside would list its images twice.
    """
    yield from os.walk(folder, onerror=_refuse_closed)
    here = folder.resolve()
    for path in folder.iterdir():
        if path.is_symlink() and path.is_dir() and not path.name.startswith((".", "__MACOSX")):
            there = path.resolve()
            if not (here.is_relative_to(there) or there.is_relative_to(here)):
                yield from os.walk(path, onerror=_refuse_closed)


def _refuse_closed(error: OSError) -> None:
    """Refuse a folder that cannot be listed: its images would be missing without a word."""
    raise DataError(f"{error.filename} cannot be listed ({error.strerror}); see to it, or move it")


def require_images(folder: Path | str, files: Sequence[str]) -> None:
    """Check that all files of a catalog are in place.

    Parameters
    ----------
    folder : Path or str
        Image folder.
    files : sequence of str
        POSIX paths relative to ``folder``.

    Raises
    ------
    DataError
        When all are missing, with one path as it is expected; when some are, with their number
        and the first names.
    """
    folder = Path(folder)
    missing = [file for file in files if not (folder / file).is_file()]
    if missing and len(missing) == len(files):
        raise DataError(
            f"none of the {len(files)} images is in place; expected for example "
            f"{folder / missing[0]}; place the data set there (see datasets/README.md)"
        )
    if missing:
        raise DataError(
            f"{len(missing)} of {len(files)} images are missing in {folder}: "
            f"{first_names(missing)}; unpack the archive again, or go on with those in "
            "place, in a manifest of your own: `python -m agelib prepare DATASET --own`"
        )


def missing_note(files: Sequence[str], named: Sequence[str], named_by: str) -> tuple[str, ...]:
    """Say how many of some named images are not among the files.

    Parameters
    ----------
    files : sequence of str
        What is there.
    named : sequence of str
        What should be.
    named_by : str
        What names them, with its verb: ``"the labels name"``.

    Returns
    -------
    tuple of str
        One note with the counts and the first ten names, or none.
    """
    there = set(files)
    missing = [file for file in named if file not in there]
    if not missing:
        return ()
    return (
        f"{len(missing):,} of {len(named):,} images that {named_by} are missing "
        f"({len(missing) / len(named):.0%}), first {', '.join(missing[:10])}",
    )


def describe(
    files: Sequence[str],
    facts: np.ndarray | Mapping[str, np.ndarray],
    parse: Callable[[str], dict[str, Any]],
) -> pd.DataFrame:
    """Describe files that were read in a catalog.

    Parameters
    ----------
    files : sequence of str
        POSIX paths, in the order of the rows.
    facts : numpy.ndarray, or mapping from name to one
        (n,) of dtype `agelib.reading.FACTS`.
    parse : callable
        From a file's path to its ``age``, ``gender``, ``race`` (None when unknown) and ``note``
        (what is wrong with the name, or ""); from every path also to ``remarks`` (flags, or ""),
        ``fold``, ``usable`` (False: left out, for a reason among the flags) and any of
        ``agelib.manifests.OPTIONAL`` where a data set has them.

    Returns
    -------
    pandas.DataFrame
        Catalog with the columns `COLUMNS` and those of ``OPTIONAL`` that are given, no duplicates
        searched yet and no folds drawn: each image is its own cluster, every usable image is
        kept.
    """
    trouble = _words(facts["trouble"])
    values: dict[str, Any] = _labels(files, parse)
    notes, remarks = (np.array(values.pop(name), dtype=object) for name in ("note", "remarks"))
    left_in = np.array(values.pop("usable"), dtype=bool)
    ages = {name: pd.array(values[name], "Int64") for name in ("age", *SPAN) if name in values}
    width, height, mode = facts["width"], facts["height"], _words(facts["mode"])
    usable = (trouble == "") & age_span(pd.DataFrame(ages))[0].notna().to_numpy() & left_in
    unknown = np.ones(len(files), dtype=bool)
    values |= {
        "file": files,
        "width": pd.arrays.IntegerArray(width.astype(np.int64), width == 0),
        "height": pd.arrays.IntegerArray(height.astype(np.int64), width == 0),
        "mode": np.where(mode == "", None, mode),
        "size": facts["size"],
        "md5": digests(facts["md5"]),
        "exact": pd.arrays.IntegerArray(np.zeros(len(files), dtype=np.int64), unknown),
        "cluster": np.arange(len(files)),
        "flags": _flags(trouble, notes, mode, width, height, remarks),
        "usable": usable,
        "keep": usable,
        **dict.fromkeys(PART_COLUMNS, np.full(len(files), "", dtype=object)),
    }
    # One after the other: no second copy of all of them is ever in memory.
    columns = {n: pd.Series(values.pop(n), dtype=dtype) for n, dtype in dtypes(values).items()}
    return pd.DataFrame(columns, copy=False)


def _labels(files: Sequence[str], parse: Callable[[str], dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the labels of all files by name, those that a data set has not as they are then."""
    labels = {name: [] for name in ("age", "gender", "race", "note")}
    given = parse(files[0]) if files else {}
    labels |= {name: [] for name in OPTIONAL if name in given}
    for name, value in (("remarks", ""), ("usable", True), ("fold", -1)):
        labels[name] = [] if name in given else [value] * len(files)
    asked = [name for name, values in labels.items() if not values]
    for file in files:
        parsed = parse(file)
        for name in asked:
            labels[name].append(parsed[name])
    return labels


def digests(md5: np.ndarray) -> pd.Series:
    """Return the MD5 sums of facts as text, "" for files that could not be read."""
    return pd.Series([digest.decode() for digest in md5], dtype="str")


def _words(texts: np.ndarray) -> np.ndarray:
    """Return bytes as text; where many are the same, that is kept once."""
    words, known = np.full(len(texts), "", dtype=object), {}
    for row in np.flatnonzero(texts != b""):
        text = texts[row]
        words[row] = known.get(text) or known.setdefault(text, text.decode())
    return words


def _flags(
    trouble: np.ndarray,
    notes: np.ndarray,
    mode: np.ndarray,
    width: np.ndarray,
    height: np.ndarray,
    remarks: np.ndarray,
) -> np.ndarray:
    """Say what is wrong with each image."""
    flags = np.full(len(notes), "", dtype=object)
    odd = (trouble != "") | (notes != "") | (mode != "RGB") | (width != height) | (remarks != "")
    for row in np.flatnonzero(odd):
        reasons = [f"corrupt: {trouble[row]}"] if trouble[row] else []
        if notes[row]:
            reasons.append(f"name: {notes[row]}")
        if mode[row] not in ("", "RGB"):
            reasons.append(f"mode: {mode[row]}")
        if width[row] != height[row]:
            reasons.append(f"not-square: {width[row]}x{height[row]}")
        flags[row] = "; ".join([*reasons, *([remarks[row]] if remarks[row] else [])])
    return flags


def first_names(names: Sequence[str]) -> str:
    """Quote the first names of a list."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
