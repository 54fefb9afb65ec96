"""The store: all images of a catalog, resized, in one HDF5 file that is whole or not there."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from agelib.catalog import Progress, first_names, read_files, require_images
from agelib.files import DataError, atomic_path
from agelib.images import CHANNELS
from agelib.manifests import fingerprint
from agelib.paths import datasets_dir

FORMAT = 1
_CHUNK_BYTES = 256 * 1024
_BLOCK = 64  # rows read at once when many of them are wanted
_ATTRIBUTES = ("dataset", "manifest", "size", "color", "licence", "complete")


class OutdatedStore(DataError):
    """A store that is missing, truncated or stale, and can be built again in its place."""


def store_path(dataset: str, size: int, color: str) -> Path:
    """Return where a store lies.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    size : int
        Side of the images in pixels.
    color : str
        "rgb" or "grey".

    Returns
    -------
    Path
        ``<datasets>/<dataset>/<dataset>-<size>-<color>.h5``.
    """
    return datasets_dir() / dataset / f"{dataset}-{size}-{color}.h5"


class StoreWriter:
    """A store being written; rows may come in any order and from several threads."""

    def __init__(self, file: h5py.File, n: int, *, size: int, color: str) -> None:
        self.size, self.color, self._file = size, color, file
        shape = (n, size, size, CHANNELS[color])
        fitting = _CHUNK_BYTES // (size * size * CHANNELS[color])
        # A power of two up to 64: the blocks of a pass then end where chunks end.
        rows = min(1 << max(fitting, 1).bit_length() - 1, _BLOCK, max(1, n))
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        # All room at once and no filling: chunks lie in row order and need no index.
        layout.set_chunk((rows, *shape[1:]))
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(shape)
        h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, dcpl=layout).close()
        self._images = file["images"]

    def write(self, start: int, images: np.ndarray) -> None:
        """Write the images of rows ``start`` … of shape (k, size, size, channels), uint8."""
        self._images[start : start + len(images)] = images

    def finish(self, catalog: pd.DataFrame, *, dataset: str, licence: str) -> None:
        """Write the labels and the marks by which the store is known; the last thing done."""
        names = catalog["file"].tolist()
        self._file.create_dataset("files", data=names, dtype=h5py.string_dtype())
        ages = catalog["age"].to_numpy(dtype=np.int16, na_value=-1)
        genders = catalog["gender"].map({"male": 0, "female": 1}).fillna(-1).to_numpy(np.int8)
        self._file.create_dataset("age", data=ages)
        self._file.create_dataset("gender", data=genders)
        marks = {"dataset": dataset, "manifest": fingerprint(catalog), "licence": licence}
        self._file.attrs.update(marks | {"size": self.size, "color": self.color})
        self._file.attrs.update({"agelib_format": FORMAT, "complete": True})


@contextlib.contextmanager
def new_store(path: Path | str, n: int, *, size: int, color: str) -> Iterator[StoreWriter]:
    """Write a store that appears under its name only when finished.

    It is written under a name of its own beside ``path``, so two processes that write the same
    store at once do not meet: the later one replaces the earlier one's whole file.

    Parameters
    ----------
    path : Path or str
        HDF5 file to make.
    n : int
        Number of images.
    size : int
        Side of the images in pixels, 1 to 1024.
    color : str
        "rgb" or "grey".

    Yields
    ------
    StoreWriter
        To be filled with ``write`` and closed with ``finish``.

    Raises
    ------
    ValueError
        When ``size`` or ``color`` is not possible.
    DataError
        When the disk has no room for it.
    """
    if color not in CHANNELS:
        raise ValueError(f"color {color!r} is unknown; choose 'rgb' or 'grey'")
    if not 1 <= size <= 1024:
        raise ValueError(f"size {size} is not possible; choose 1 to 1024 pixels")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = n * size * size * CHANNELS[color], shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(
            f"{path} needs {needed / 1e9:.1f} GB but {free / 1e9:.1f} GB are free; "
            "make room, or choose a smaller size"
        )
    with (
        atomic_path(path) as temporary,
        h5py.File(temporary, "w", libver="latest", rdcc_nbytes=0) as file,
    ):
        yield StoreWriter(file, n, size=size, color=color)
        if "complete" not in file.attrs:
            raise RuntimeError("the store was left without finish()")


def build_store(
    catalog: pd.DataFrame,
    folder: Path | str,
    path: Path | str,
    *,
    dataset: str,
    licence: str,
    size: int = 128,
    color: str = "rgb",
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make a store of another size or color from a catalog that exists already.

    Parameters
    ----------
    catalog : pandas.DataFrame
        Catalog of n images; row i becomes image i, images flagged as corrupt become zeros.
    folder : Path or str
        Image folder.
    path : Path or str
        HDF5 file to make.
    dataset, licence : str
        Written into the store.
    size : int
        Side of the images in pixels.
    color : str
        "rgb" or "grey".
    jobs : int, optional
        Threads.
    progress : callable, optional
        Called with the numbers of files done and of all files.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    DataError
        When images are missing, or are not those of the catalog (by MD5); names the first.
    """
    files = catalog["file"].tolist()
    require_images(folder, files)
    with new_store(path, len(files), size=size, color=color) as writer:
        facts, _ = read_files(folder, files, jobs=jobs, sink=writer, progress=progress)
        pairs = zip(files, facts, catalog["md5"], strict=True)
        changed = [file for file, fact, md5 in pairs if fact.md5 != md5]
        if changed:
            raise DataError(
                f"{len(changed)} of {len(files)} images in {folder} are not those of the "
                f"manifest: {first_names(changed)}; unpack the archive again, or accept "
                f"these in a manifest of your own: `python -m agelib prepare {dataset} --own`"
            )
        writer.finish(catalog, dataset=dataset, licence=licence)
    return Path(path)


class Store:
    """A finished store, open for reading; the images stay on disk. Made by `open_store`.

    ``n`` images of ``size`` pixels a side in ``color`` "rgb" or "grey".
    """

    def __init__(self, file: h5py.File) -> None:
        self._file, self._images = file, file["images"]
        self.n, self.size = self.shape[:2]
        self.color = str(file.attrs["color"])

    def __len__(self) -> int:
        return self.n

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all images: (n, size, size, channels)."""
        return self._images.shape

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of the HDF5 chunks."""
        return self._images.chunks

    @property
    def files(self) -> list[str]:
        """File names, in row order."""
        return self._file["files"].asstr()[:].tolist()

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read images by row.

        Parameters
        ----------
        rows : numpy.ndarray
            (k,) row numbers of the catalog, in any order, repeated or not.

        Returns
        -------
        numpy.ndarray
            (k, size, size, channels) uint8, in the order of ``rows``.

        Raises
        ------
        IndexError
            When a row number is negative or too large.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.n:
            raise IndexError(f"rows {rows.min()} to {rows.max()} are not all in 0 to {self.n - 1}")
        images = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        cuts = np.flatnonzero(np.diff(ordered // _BLOCK)) + 1
        for places, wanted in zip(np.split(order, cuts), np.split(ordered, cuts), strict=True):
            if len(wanted) * 8 > _BLOCK:
                first = wanted[0]
                images[places] = self._images[first : wanted[-1] + 1][wanted - first]
            else:
                for place, row in zip(places, wanted, strict=True):
                    images[place] = self._images[row]
        return images


def open_store(path: Path | str, *, catalog: pd.DataFrame) -> Store:
    """Open a store after checking that it is whole and belongs to a catalog.

    Parameters
    ----------
    path : Path or str
        HDF5 file; see `store_path`.
    catalog : pandas.DataFrame
        The catalog whose rows the store must hold.

    Returns
    -------
    Store
        Open for reading; close it or use it in a ``with`` statement.

    Raises
    ------
    OutdatedStore
        When it is missing, truncated, of another format, or made from other images; a kind of
        DataError that says how to make it anew.
    DataError
        When a file that is no store of this package lies in its place.
    """
    path = Path(path)
    if not path.is_file():
        raise OutdatedStore(f"{path} does not exist; {_remedy(path)}")
    try:
        # Never written after it appeared, so no lock is needed (network disks often have none).
        # Without a chunk cache a single image is read alone, not with its chunk.
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=0)
    except OSError as error:
        if "truncated" in str(error):
            raise OutdatedStore(f"{path} is truncated; {_remedy(path)}") from None
        raise DataError(f"{path} is not an HDF5 file; move it away and {_remedy(path)}") from None
    try:
        _check(file, path, catalog)
        return Store(file)
    except BaseException:
        file.close()
        raise


def _check(file: h5py.File, path: Path, catalog: pd.DataFrame) -> None:
    attributes = file.attrs
    if "agelib_format" not in attributes or not {"images", "files"} <= set(file):
        raise DataError(f"{path} is not a store of agelib; move it away and {_remedy(path)}")
    lacking = [name for name in _ATTRIBUTES if name not in attributes]
    if attributes["agelib_format"] != FORMAT or lacking:
        raise OutdatedStore(
            f"{path} has format {attributes['agelib_format']}, lacking {lacking or 'nothing'}; "
            f"this version reads format {FORMAT}; {_remedy(path)}"
        )
    mark = fingerprint(catalog)
    if attributes["manifest"] != mark or len(file["images"]) != len(catalog):
        raise OutdatedStore(
            f"{path} is stale: it holds {len(file['images'])} images of manifest "
            f"{attributes['manifest']}, the catalog has {len(catalog)} of {mark}; {_remedy(path)}"
        )


def _remedy(path: Path) -> str:
    dataset, *marks = path.stem.rsplit("-", 2)
    known = len(marks) == 2 and marks[0].isdigit() and marks[1] in CHANNELS
    options = f" --size {marks[0]} --color {marks[1]}" if known else ""
    return f"make it with `python -m agelib prepare {dataset}{options}`"
