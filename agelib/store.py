"""The store: all images of a catalog, resized, in one HDF5 file that is whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from agelib.catalog import digests, first_names, require_images
from agelib.files import DataError
from agelib.images import CHANNELS
from agelib.manifests import fingerprint
from agelib.paths import datasets_dir
from agelib.reading import Progress, read_files
from agelib.store_writer import FORMAT, label_arrays, new_store

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
    scheduler: str | None = None,
    resume: bool = False,
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
    scheduler : str, optional
        Address of a Dask scheduler whose workers read the images.
    resume : bool
        See `agelib.store_writer.new_store`.
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
    how = {"jobs": jobs, "scheduler": scheduler, "progress": progress}
    with new_store(path, files, size=size, color=color, resume=resume) as writer:
        read_files(folder, files, sink=writer, **how)
        other = digests(writer.facts["md5"]).to_numpy() != catalog["md5"].to_numpy()
        changed = [files[row] for row in np.flatnonzero(other)]
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
        if error.errno in (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE):
            raise DataError(f"{path} cannot be read: {os.strerror(error.errno)}") from None
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
    for name, values in label_arrays(catalog).items():
        if name not in file or not np.array_equal(file[name][:], values):
            raise OutdatedStore(
                f"{path} is stale: its {name} is not the catalog's; {_remedy(path)}"
            )


def _remedy(path: Path) -> str:
    dataset, *marks = path.stem.rsplit("-", 2)
    known = len(marks) == 2 and marks[0].isdigit() and marks[1] in CHANNELS
    options = f" --size {marks[0]} --color {marks[1]}" if known else ""
    return f"make it with `python -m agelib prepare {dataset}{options}`"
