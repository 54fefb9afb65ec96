"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_MAKE_ROOM = "make room and call it again"
_MAY_NOT = "choose a folder that you may write to (AGELIB_DATASETS, AGELIB_RESULTS)"
_IN_THE_WAY = "move away what lies there"
_REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: _MAKE_ROOM,
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
    errno.EROFS: _MAY_NOT,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.ENAMETOOLONG: "choose a folder with a shorter path",
}


class DataError(ValueError):
    """Bad input: the message names the file, the bad value and the remedy."""


class MissingListError(DataError):
    """A public list of images, which is not published here, is not in its place."""


class FolderGoneError(DataError):
    """An image folder is not there: what was read of it stays true, and it may come back."""


class DivergedError(DataError):
    """A loss is no longer a number: trained again as it is, the network diverges again."""


@contextlib.contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """Say in a DataError what to do about a disk that is full, read-only or in trouble.

    Parameters
    ----------
    place : Path or str
        Named where the system does not name a file.

    Raises
    ------
    DataError
        For any trouble of the operating system inside the block.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        number, name = getattr(error, "errno", None), getattr(error, "filename", None)
        if number is None:
            # HDF5 gives it in words when it cannot even close the file.
            number = int("0" + "".join(re.findall(r"errno = (\d+)", str(error))[:1]))
        if not number:
            raise
        remedy = _REMEDIES.get(number, "see that the folder can be read and written")
        raise DataError(f"{name or place}: {os.strerror(number)}; {remedy}") from error


@contextlib.contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``target`` that becomes ``target`` on success.

    Parameters
    ----------
    target : Path or str
        File or folder to create; missing parent folders are made. An existing file is
        replaced, an existing folder is replaced as a whole.

    Yields
    ------
    Path
        Where to write. Whatever lies there is removed when the block raises.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: Keras and pandas choose the format by it. Of a long name only that does.
    name = target.name if len(os.fsencode(target.name)) < 200 else target.suffix
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.partial-{name}")
    try:
        yield temporary
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8 with Unix line ends, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all; NaN becomes an error."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Return what a JSON file of the results holds.

    Raises
    ------
    DataError
        If it cannot be read or is damaged; names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}; restore it from git or make it again") from error


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name as ``.npz``, whole or not at all."""
    import numpy as np  # here: what only lists or copies files need not wait for it

    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` of the results.

    Raises
    ------
    DataError
        If it cannot be read or is damaged; names it.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    # An empty file, one cut short, a plain array and a damaged member fail each in its way.
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: {error}; restore it from git or make it again") from error


def sha256_text(text: str) -> str:
    """Return the SHA-256 of ``text`` (UTF-8) in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
