"""A store being written: pixels as they come, so that a killed run goes on where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import pandas as pd

from agelib.files import DataError, FolderGoneError, write_text
from agelib.images import CHANNELS
from agelib.manifests import fingerprint
from agelib.reading import BLOCK, FACTS, THUMBNAIL, Block

FORMAT = 1
_CHUNK_BYTES = 256 * 1024
_ROWS = 4096  # facts read, and names written, at once


def label_arrays(catalog: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what a store tells of its images' labels, in the catalog's order.

    Returns
    -------
    dict
        ``age`` (n,) int16 in years and ``gender`` (n,) int8, 0 male and 1 female; -1: unknown.
    """
    genders = catalog["gender"].map({"male": 0, "female": 1}).fillna(-1)
    return {
        "age": catalog["age"].to_numpy(dtype=np.int16, na_value=-1),
        "gender": genders.to_numpy(np.int8),
    }


class StoreWriter:
    """A store being written, with what was learnt of its images; a sink for `read_files`.

    In a folder of its own lie the HDF5 file, whose pixels are written in place since nothing
    else of it changes meanwhile, the thumbnails, and the facts. A row counts as read by its
    fact, the last that is written of it.

    Parameters
    ----------
    folder : Path
        What an earlier writer of the same files left in it is taken over.
    files : sequence of str
        File names of the rows.
    size : int
        Side of the store's images in pixels.
    color : str
        "rgb" or "grey".
    """

    def __init__(self, folder: Path, files: Sequence[str], *, size: int, color: str) -> None:
        self.size, self.color, self.n = size, color, len(files)
        self.folder, self.store = folder, folder / "store.h5"
        digest = hashlib.sha256(f"{FORMAT} {FACTS} {size} {color}".encode())
        for name in files:
            digest.update(f"\n{name}".encode("utf-8", "surrogateescape"))
        job = digest.hexdigest()
        if not self._goes_on(job):
            shutil.rmtree(folder, ignore_errors=True)
            _refuse_full_disk(folder, self.n * (size * size * CHANNELS[color] + THUMBNAIL))
            folder.mkdir(parents=True)
            _new_file(self.store, self.n, size, color)
            for name in ("thumbnails", "facts"):
                (folder / name).touch()
            write_text(folder / "job.txt", job)
        with h5py.File(self.store, "r", locking=False) as file:
            first = (0, 0, 0, 0)
            self._start = file["images"].id.get_chunk_info_by_coord(first).byte_offset
        self._pixels, self._thumbnails, self._facts = (
            open(path, "r+b", buffering=0)  # noqa: SIM115 - closed by close
            for path in (self.store, folder / "thumbnails", folder / "facts")
        )

    def _goes_on(self, job: str) -> bool:
        try:
            if (self.folder / "job.txt").read_text(encoding="utf-8") != job:
                return False
            # Killed while the labels were written, the file is no longer one.
            h5py.File(self.store, "r", locking=False).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the files."""
        for file in (self._pixels, self._thumbnails, self._facts):
            file.close()

    def missing(self, folder: str, files: Sequence[str]) -> list[int]:
        """Return the first rows of the blocks to be read: new ones, and changed files."""
        read, size, mtime = (self.facts[name] for name in ("read", "size", "mtime"))
        for row in np.flatnonzero(read):
            with contextlib.suppress(OSError):
                status = os.stat(f"{folder}/{files[row]}")
                read[row] = (status.st_size, status.st_mtime_ns) == (size[row], mtime[row])
        return [at for at in range(0, self.n, BLOCK) if not read[at : at + BLOCK].all()]

    def write(self, start: int, block: Block) -> None:
        """Write what was read of the rows from ``start``, a multiple of a block, on."""
        images = np.ascontiguousarray(block.images)
        _write(self._pixels, images, self._start + start * images[0].nbytes)
        _write(self._thumbnails, block.thumbnails, start * THUMBNAIL)
        _write(self._facts, block.facts, start * FACTS.itemsize)

    @property
    def facts(self) -> Facts:
        """What was learnt of all rows, which stays on disk."""
        return Facts(self._facts, self.n)

    @property
    def thumbnails(self) -> Thumbnails:
        """The thumbnails of all rows, which stay on disk."""
        return Thumbnails(self._thumbnails, self.n)

    def finish(self, catalog: pd.DataFrame, *, dataset: str, licence: str) -> None:
        """Write the labels and the marks by which the store is known; the last thing done."""
        marks = {"dataset": dataset, "manifest": fingerprint(catalog), "licence": licence}
        with h5py.File(self.store, "r+", libver="latest", locking=False) as file:
            for name in {"files", "age", "gender"} & set(file):
                del file[name]
            names = file.create_dataset("files", len(catalog), dtype=h5py.string_dtype())
            for start in range(0, len(catalog), _ROWS):
                names[start : start + _ROWS] = catalog["file"].iloc[start : start + _ROWS].tolist()
            for name, values in label_arrays(catalog).items():
                file.create_dataset(name, data=values)
            file.attrs.update(marks | {"size": self.size, "color": self.color})
            file.attrs.update({"agelib_format": FORMAT, "complete": True})

    def finished(self) -> bool:
        """Return whether `finish` was called."""
        with h5py.File(self.store, "r", locking=False) as file:
            return "complete" in file.attrs


class Facts(Mapping):
    """Facts on disk by name, each read when it is asked for: (n,) of a field of `FACTS`."""

    def __init__(self, file: IO[bytes], n: int) -> None:
        self._file, self._n = file, n

    def __len__(self) -> int:
        return len(FACTS.names)

    def __iter__(self) -> Iterator[str]:
        return iter(FACTS.names)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one fact of all rows; zero or empty for those that were not read."""
        values = np.zeros(self._n, dtype=FACTS[name])
        for start in range(0, self._n, _ROWS):
            length = min(_ROWS, self._n - start) * FACTS.itemsize
            rows = np.frombuffer(_read(self._file, length, start * FACTS.itemsize), dtype=FACTS)
            values[start : start + len(rows)] = rows[name]
        return values


class Thumbnails:
    """Thumbnails on disk, by slice or by row numbers like an array of shape (n, 1024).

    Not a memory map: its pages would count as memory of the process.
    """

    def __init__(self, file: IO[bytes], n: int) -> None:
        self._file, self.shape = file, (n, THUMBNAIL)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return thumbnails as (k, 1024) uint8."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            data = _read(self._file, (stop - start) * THUMBNAIL, start * THUMBNAIL)
            return np.frombuffer(data, dtype=np.uint8).reshape(-1, THUMBNAIL)
        if len(rows) and np.ptp(rows) < 2 * len(rows):
            first = int(rows.min())
            return self[first : int(rows.max()) + 1][rows - first]
        chosen = np.empty((len(rows), THUMBNAIL), dtype=np.uint8)
        for place, row in enumerate(rows):
            data = _read(self._file, THUMBNAIL, int(row) * THUMBNAIL)
            chosen[place] = np.frombuffer(data, dtype=np.uint8)
        return chosen


@contextlib.contextmanager
def new_store(
    path: Path | str, files: Sequence[str], *, size: int, color: str, resume: bool = False
) -> Iterator[StoreWriter]:
    """Write a store that appears under its name only when finished.

    It is written in a hidden folder beside ``path``. Without ``resume`` that folder has a name
    of its own, so two processes that write the same store at once do not meet: the later one
    replaces the earlier one's whole file.

    Parameters
    ----------
    path : Path or str
        HDF5 file to make.
    files : sequence of str
        File names of the rows.
    size : int
        Side of the images in pixels, 1 to 1024.
    color : str
        "rgb" or "grey".
    resume : bool
        Take over what a run that was killed or interrupted left, and leave it in turn. The
        caller sees to it that no other process writes this store.

    Yields
    ------
    StoreWriter
        To be filled with ``write`` and closed with ``finish``.

    Raises
    ------
    ValueError
        When ``color`` is not possible.
    DataError
        When ``size`` is not possible, or the disk has no room for it.
    """
    if color not in CHANNELS:
        raise ValueError(f"color {color!r} is unknown; choose 'rgb' or 'grey'")
    if not 1 <= size <= 1024:
        raise DataError(f"size {size} is not possible; choose 1 to 1024 pixels")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = "" if resume else f"{uuid.uuid4().hex[:12]}."
    folder = path.with_name(f".{mark}unfinished-{path.name}")
    keep = resume
    try:
        writer = StoreWriter(folder, files, size=size, color=color)
        with contextlib.closing(writer):
            yield writer
        if not writer.finished():
            raise RuntimeError("the store was left without finish()")
        os.replace(writer.store, path)
        keep = False
    except FolderGoneError:
        raise
    except DataError:
        # Read on, the same images would be refused again.
        keep = False
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_full_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise DataError(
            f"a store in {folder.parent} needs {needed / 1e9:.1f} GB but {free / 1e9:.1f} GB are "
            "free; make room, or choose a smaller size"
        )


def _new_file(path: Path, n: int, size: int, color: str) -> None:
    """Make the HDF5 file with all its room, nothing in it."""
    shape = (n, size, size, CHANNELS[color])
    fitting = _CHUNK_BYTES // (size * size * CHANNELS[color])
    # A power of two up to a block: the blocks of a pass then end where chunks end.
    rows = min(1 << max(fitting, 1).bit_length() - 1, BLOCK, n)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    # All room at once and no filling: chunks lie in row order and need no index.
    layout.set_chunk((rows, *shape[1:]))
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w", libver="latest") as file:
        space = h5py.h5s.create_simple(shape)
        h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, dcpl=layout).close()


def _write(file: IO[bytes], values: np.ndarray, offset: int) -> None:
    file.seek(offset)
    data = memoryview(values.tobytes())
    while data:
        data = data[file.write(data) :]


def _read(file: IO[bytes], length: int, offset: int) -> bytes:
    file.seek(offset)
    return file.read(length)
