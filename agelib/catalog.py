"""The catalog: one row per image file, made in one pass over the files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agelib.files import DataError
from agelib.images import IMAGE_SUFFIXES
from agelib.manifests import PART_COLUMNS, SCHEMA
from agelib.reading import Held, Progress, read_files

COLUMNS = tuple(SCHEMA)


class Scan(NamedTuple):
    """A catalog and the (n, 1024) uint8 grey thumbnails of its images."""

    catalog: pd.DataFrame
    thumbnails: np.ndarray


def list_images(folder: Path | str) -> list[str]:
    """List the image files below a folder, in the same order on every machine.

    Parameters
    ----------
    folder : Path or str
        Folder; its subfolders are searched, hidden files and macOS leftovers are not.

    Returns
    -------
    list of str
        POSIX paths relative to ``folder``, in byte order.

    Raises
    ------
    DataError
        When the folder does not exist, holds no image, or a name is not valid UTF-8.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; place the images there")
    found = []
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__MACOSX"))]
        inside = Path(place).relative_to(folder)
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                found.append((inside / name).as_posix())
    if not found:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    try:
        return sorted(found, key=lambda file: file.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise DataError(f"{folder}: name {error.object!r} is not valid UTF-8; rename it") from None


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


def scan(
    folder: Path | str,
    files: Sequence[str],
    parse: Callable[[str], dict[str, Any]],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Read every file once and describe it in a catalog; bad files are flagged, none stops it.

    Everything is held in memory; `agelib.prepare.convert` keeps it on disk.

    Parameters
    ----------
    folder : Path or str
        Image folder.
    files : sequence of str
        POSIX paths relative to ``folder``, in the order of the rows (see `list_images`).
    parse : callable
        From a file's path to its ``age``, ``gender``, ``race`` (None when unknown) and ``note``
        (what is wrong with the name, or "").
    jobs : int, optional
        Threads; as many as the process may use cores when not given.
    progress : callable, optional
        Called with the numbers of files done and of all files.

    Returns
    -------
    Scan
        See `describe`; and the thumbnails.
    """
    held = Held(len(files))
    read_files(folder, files, sink=held, jobs=jobs, progress=progress)
    return Scan(describe(files, held.facts, parse), held.thumbnails)


def describe(
    files: Sequence[str], facts: np.ndarray, parse: Callable[[str], dict[str, Any]]
) -> pd.DataFrame:
    """Describe files that were read in a catalog.

    Parameters
    ----------
    files : sequence of str
        POSIX paths, in the order of the rows.
    facts : numpy.ndarray
        (n,) of dtype `agelib.reading.FACTS`.
    parse : callable
        As in `scan`.

    Returns
    -------
    pandas.DataFrame
        Catalog with the columns `COLUMNS`, no duplicates searched yet and no folds drawn: each
        image is its own cluster, every usable image is kept.
    """
    catalog = pd.DataFrame({"file": list(files)}, dtype="str")
    labels = list(zip(*(_labels(parse(file)) for file in files), strict=True)) or [()] * 4
    for name, values in zip(("age", "gender", "race", "note"), labels, strict=True):
        catalog[name] = pd.array(values, dtype=SCHEMA.get(name, "str"))
    decoded = facts["trouble"] == b""
    for name in ("width", "height"):
        catalog[name] = pd.array(facts[name].astype(np.int64), dtype="Int64")
        catalog.loc[facts["width"] == 0, name] = pd.NA
    mode = facts["mode"].astype("U")
    catalog["mode"] = pd.array(np.where(mode == "", None, mode), dtype="str")
    catalog["size"] = facts["size"]
    catalog["md5"] = digests(facts)
    catalog["flags"] = _flags(facts, catalog["note"])
    catalog["usable"] = decoded & catalog["age"].notna().to_numpy()
    catalog["keep"] = catalog["usable"]
    catalog["exact"], catalog["fold"] = pd.NA, -1
    catalog[list(PART_COLUMNS)] = ""
    catalog["cluster"] = np.arange(len(catalog))
    return catalog[list(COLUMNS)].astype(SCHEMA)


def digests(facts: np.ndarray) -> pd.Series:
    """Return the MD5 sums of facts as text, "" for files that could not be read."""
    return pd.Series(facts["md5"].astype("U"), dtype="str")


def _labels(parsed: dict[str, Any]) -> tuple[Any, ...]:
    # The same few words for all rows: they are kept once.
    return tuple(parsed[name] for name in ("age", "gender", "race", "note"))


def _flags(facts: np.ndarray, notes: pd.Series) -> list[str]:
    """Say what is wrong with each image; only those are looked at with which something is."""
    flags = [""] * len(facts)
    odd = (facts["trouble"] != b"") | (facts["mode"] != b"RGB")
    odd |= (facts["width"] != facts["height"]) | notes.ne("").to_numpy()
    for row in np.flatnonzero(odd):
        flags[row] = "; ".join(_reasons(facts[row], notes.iloc[row]))
    return flags


def _reasons(fact: np.void, note: str) -> list[str]:
    reasons, mode = [], fact["mode"].decode()
    if fact["trouble"]:
        reasons.append(f"corrupt: {fact['trouble'].decode()}")
    if note:
        reasons.append(f"name: {note}")
    if mode not in ("", "RGB"):
        reasons.append(f"mode: {mode}")
    if fact["width"] != fact["height"]:
        reasons.append(f"not-square: {fact['width']}x{fact['height']}")
    return reasons


def first_names(names: Sequence[str]) -> str:
    """Quote the first names of a list."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
