"""The catalog: one row per image file, made in one pass over the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from agelib.files import DataError
from agelib.groups import age_span
from agelib.images import CHANNELS, IMAGE_SUFFIXES, decode, thumbnail, to_array
from agelib.manifests import OPTIONAL, PART_COLUMNS, SCHEMA, dtypes

COLUMNS = tuple(SCHEMA)
_BLOCK = 64  # images a thread takes at a time; bounds the memory at jobs * 64 images

Progress = Callable[[int, int], None]


class Sink(Protocol):
    """What takes the resized images of a pass, for example a store being written."""

    size: int
    color: str

    def write(self, start: int, images: np.ndarray) -> None:
        """Take the images (k, size, size, channels) of rows ``start`` … ``start + k - 1``."""


class Facts(NamedTuple):
    """What a pass learns of one file; ``trouble`` says why it could not be decoded."""

    size: int
    md5: str
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    trouble: str = ""


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
    sink: Sink | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Read every file once and describe it in a catalog; bad files are flagged, none stops it.

    Parameters
    ----------
    folder : Path or str
        Image folder.
    files : sequence of str
        POSIX paths relative to ``folder``, in the order of the rows (see `list_images`).
    parse : callable
        From a file's path to its ``age``, ``gender``, ``race`` (None when unknown) and ``note``
        (what is wrong with the name, or ""); from every path also to ``remarks`` (flags, or ""),
        ``fold``, ``usable`` (False: left out, for a reason among the flags) and any of
        ``agelib.manifests.OPTIONAL`` where a data set has them.
    jobs : int, optional
        Threads; as many as the process may use cores when not given.
    sink : Sink, optional
        Takes the resized images in the same pass.
    progress : callable, optional
        Called with the numbers of files done and of all files.

    Returns
    -------
    Scan
        Catalog with the columns `COLUMNS` and those of ``OPTIONAL`` that are given, no duplicates
        searched yet and no folds drawn: each image is its own cluster, every usable image is
        kept. And the thumbnails.
    """
    facts, thumbnails = read_files(folder, files, jobs=jobs, sink=sink, progress=progress)
    labels = pd.DataFrame([parse(file) for file in files], dtype=object)
    labels = labels.reindex(columns=_label_columns(labels))
    catalog = pd.DataFrame(facts, columns=Facts._fields).join(labels)
    catalog["file"] = list(files)
    remarks = labels.get("remarks", labels["note"].map(lambda _: ""))
    catalog["flags"] = [
        "; ".join(_reasons(*row)) for row in zip(facts, labels["note"], remarks, strict=True)
    ]
    catalog["usable"] = (catalog["trouble"] == "") & age_span(labels)[0].notna()
    if "usable" in labels:
        catalog["usable"] &= labels["usable"].astype(bool)
    catalog["keep"] = catalog["usable"]
    catalog["exact"] = pd.NA
    if "fold" not in labels:
        catalog["fold"] = -1
    catalog[list(PART_COLUMNS)] = ""
    catalog["cluster"] = np.arange(len(catalog))
    columns = dtypes(catalog)
    return Scan(catalog[list(columns)].astype(columns), thumbnails)


def _label_columns(labels: pd.DataFrame) -> list[str]:
    given = [name for name in ("remarks", "fold", "usable", *OPTIONAL) if name in labels]
    return ["age", "gender", "race", "note", *given]


def read_files(
    folder: Path | str,
    files: Sequence[str],
    *,
    jobs: int | None = None,
    sink: Sink | None = None,
    progress: Progress | None = None,
) -> tuple[list[Facts], np.ndarray]:
    """Read, hash and decode files once each; threads, since the decoder frees the interpreter.

    Parameters
    ----------
    folder, files, jobs, sink, progress
        As in `scan`.

    Returns
    -------
    facts : list of Facts
        One per file.
    thumbnails : numpy.ndarray
        (n, 1024) uint8; zeros for files that cannot be decoded.
    """
    folder = os.fspath(folder)
    thumbnails = np.zeros((len(files), 1024), dtype=np.uint8)

    def block(start: int) -> list[Facts]:
        names = files[start : start + _BLOCK]
        images = None if sink is None else _blank(len(names), sink)
        facts = []
        for row, name in enumerate(names):
            fact, image = _read_file(f"{folder}/{name}")
            if image is not None:
                try:
                    thumbnails[start + row] = thumbnail(image)
                    if images is not None:
                        images[row] = to_array(image, sink.size, sink.color)
                except (ValueError, OSError):
                    fact = fact._replace(trouble=f"mode {fact.mode} cannot be converted")
            facts.append(fact)
        if sink is not None:
            sink.write(start, images)
        return facts

    facts: list[Facts] = []
    pool = ThreadPoolExecutor(jobs or available_cores())
    try:
        for done in pool.map(block, range(0, len(files), _BLOCK)):
            facts += done
            if progress is not None:
                progress(len(facts), len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    return facts, thumbnails


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_file(path: str) -> tuple[Facts, Image.Image | None]:
    """Return what is known of a file, and its image unless it cannot be decoded."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
    except OSError as error:
        return Facts(0, "", trouble=f"unreadable, {error.strerror}"), None
    size, md5 = len(data), hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        image = decode(data)
    except DataError as error:
        return Facts(size, md5, trouble=str(error)), None
    return Facts(size, md5, image.width, image.height, image.mode), image


def _blank(n: int, sink: Sink) -> np.ndarray:
    return np.zeros((n, sink.size, sink.size, CHANNELS[sink.color]), dtype=np.uint8)


def _reasons(fact: Facts, note: str, remarks: str) -> list[str]:
    reasons = []
    if fact.trouble:
        reasons.append(f"corrupt: {fact.trouble}")
    if note:
        reasons.append(f"name: {note}")
    if fact.mode not in (None, "RGB"):
        reasons.append(f"mode: {fact.mode}")
    if fact.width != fact.height:
        reasons.append(f"not-square: {fact.width}x{fact.height}")
    return reasons + ([remarks] if remarks else [])


def first_names(names: Sequence[str]) -> str:
    """Quote the first names of a list."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
