"""What a reader gives: which files there are, and the labels of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from agelib.catalog import list_images, missing_note
from agelib.files import DataError


class Source(NamedTuple):
    """The images of a folder and how to label them; `agelib.catalog.describe` takes both.

    Parameters
    ----------
    files : list of str
        POSIX paths relative to the image folder, in byte order; all are in place.
    parse : callable
        From one of them to its labels: ``age`` in years, ``gender``, ``race`` (None when unknown)
        and ``note`` (what is wrong with the name, or ""). A reader may add, for every file,
        ``remarks`` (further flags, or ""), any of ``agelib.manifests.OPTIONAL``, ``fold`` where
        the folds are given with the data, and ``usable``: False leaves the image out, for a
        reason among the remarks.
    notes : tuple of str
        What whoever prepares the data set must know, for example how many images are missing.
    """

    files: list[str]
    parse: Callable[[str], dict[str, Any]]
    notes: tuple[str, ...] = ()


Reader = Callable[..., Source]  # of the image folder, and of choices where there are any


def from_names(parse: Callable[[str], dict[str, Any]]) -> Reader:
    """Return the reader of a data set whose file names are its labels.

    Parameters
    ----------
    parse : callable
        See `Source`.

    Returns
    -------
    callable
        From the image folder to a `Source` of all images in it.
    """
    return lambda folder: Source(list_images(folder), parse)


def from_table(folder: Path | str, table: pd.DataFrame, *, named_by: str) -> Source:
    """Join a table of labels with the images that are in place.

    Parameters
    ----------
    folder : Path or str
        Image folder.
    table : DataFrame
        One row per image: ``file`` (each once), ``age``, and further label columns of `Source`.
    named_by : str
        What names the images, for messages: ``"the fold files"``.

    Returns
    -------
    Source
        The images of the table that are in place. Its notes say how many are not, and how many
        images in the folder the table does not name.

    Raises
    ------
    DataError
        When none of the images is in place, with one path as it is expected; when the folder
        does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; place the images there")
    table = table.iloc[sorted(range(len(table)), key=table["file"].tolist().__getitem__)]
    there = [(folder / file).is_file() for file in table["file"]]
    named = table["file"].tolist()
    if not any(there):
        expected = f"; expected for example {folder / named[0]}" if named else ""
        raise DataError(
            f"none of the {len(table):,} images that {named_by} name is in place{expected}; place "
            "the images there (see datasets/README.md)"
        )
    table = table[there].reset_index(drop=True)
    files = table["file"].tolist()
    notes = [*missing_note(files, named, f"{named_by} name")]
    unnamed = len(set(list_images(folder)).difference(files))
    if unnamed:
        notes.append(f"{unnamed:,} images in the folder are not named by {named_by}: left aside")
    columns = {name: table[name].tolist() for name in table.columns if name != "file"}
    columns = dict.fromkeys(("gender", "race"), [None] * len(files)) | columns
    columns.setdefault("note", [""] * len(files))
    rows = dict(zip(files, range(len(files)), strict=True))

    def parse(file: str) -> dict[str, Any]:
        row = rows[file]
        return {name: values[row] for name, values in columns.items()}

    return Source(files, parse, tuple(notes))
