"""From an archive or a folder to images in place, a manifest and a store."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock
import pandas as pd

from agelib import datasets
from agelib.catalog import list_images, missing_note
from agelib.cleaning import summary
from agelib.conversion import convert
from agelib.datasets import Dataset
from agelib.files import DataError, writing
from agelib.manifests import read_manifest
from agelib.paths import datasets_dir, manifests_dir
from agelib.placing import place_images, require_unpacked
from agelib.reading import Progress
from agelib.store import OutdatedStore, Store, build_store, open_store, store_path


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `prepare` made: where manifest, store and images lie, what was found, how long it took.

    Parameters
    ----------
    manifest, store, images : Path
        Manifest in force, store, and image folder.
    counts : dict of str to int
        See `agelib.cleaning.summary`; ``not_in_manifest`` counts files that were left aside,
        ``resumed`` those that a run before, killed or interrupted, had read already.
    seconds : float
        Wall time.
    notes : tuple of str
        What the reader of the data set has to say, see `agelib.datasets.source.Source`.
    """

    manifest: Path
    store: Path
    images: Path
    counts: dict[str, int]
    seconds: float
    notes: tuple[str, ...] = ()


def prepare(
    dataset: str,
    source: Path | str | None = None,
    *,
    size: int = 128,
    color: str = "rgb",
    sample_size: int = 2000,
    own: bool = False,
    reading: Mapping[str, str] | None = None,
    labels: Mapping[str, Path | str] | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Make a data set ready: images in place, manifest, and a store of one size.

    Killed or interrupted, it goes on at the next call with the same size and color, and reads
    no image again that has not changed.

    Where a manifest is committed it rules: the images must be the very ones it lists, files it
    does not list are left aside, and its folds are never drawn again. Otherwise the images are
    scanned, cleaned and dealt into folds, and their manifest is written to
    ``<datasets>/<dataset>/manifest.csv``.

    Parameters
    ----------
    dataset : str
        One of `agelib.datasets.names`.
    source : Path or str, optional
        Archive, unpacked into the data set's image folder, or folder, linked there. Without it
        the images in place are used, else ``<image folder>.tar.gz`` beside it; the built-in
        sample is drawn.
    size : int
        Side of the store's images in pixels.
    color : str
        "rgb" or "grey".
    sample_size : int
        Clean faces of the built-in sample.
    own : bool
        Draw a manifest from the images in place although one is committed. Results obtained
        with it are not comparable with others'.
    reading : mapping of str to str, optional
        What the reader of the data set is told beside the folder, see
        `agelib.datasets.imdb_wiki.read`.
    labels : mapping, optional
        Of an own folder: ``table`` or ``pattern``, see `agelib.datasets.folder.label`. Without
        them those kept before are in force.
    jobs : int, optional
        Threads.
    scheduler : str, optional
        Address of a Dask scheduler whose workers read the images instead.
    progress : callable, optional
        Called with the numbers of files done and of all files.

    Returns
    -------
    Prepared

    Raises
    ------
    DataError
        When images are missing or differ from the committed manifest (names the first), the
        archive is unsafe or broken, or something else lies in the image folder's place; for
        labels see `agelib.datasets.folder.label`.
    """
    started = time.monotonic()
    entry = datasets.get(dataset)
    committed = manifests_dir() / f"{dataset}.csv"
    manifest = datasets_dir() / dataset / "manifest.csv"
    path = store_path(dataset, size, color)
    had: list[int] = []

    def told(done: int, total: int) -> None:
        had.append(done)
        if progress is not None:
            progress(done, total)

    how = {"size": size, "color": color, "jobs": jobs, "scheduler": scheduler, "progress": told}
    with _alone(dataset):
        if labels and source is not None and Path(source).is_dir():
            # Refused before other images are in place than the labels kept there are for.
            datasets.folder.labels_of(source, **labels)
        folder, made_here = place_images(entry, source, sample_size=sample_size)
        if labels:
            datasets.folder.label(folder, folder.parent, **labels)
        left_aside, notes = {}, ()
        if committed.is_file() and not own:
            catalog = read_manifest(committed)
            _build(entry, catalog, path, **how)
            left_aside = {"not_in_manifest": len(list_images(folder)) - len(catalog)}
            # One drawn earlier from other images must not stay in force.
            manifest.unlink(missing_ok=True)
            manifest = committed
        elif made_here and (current := _current(manifest, folder)) is not None:
            catalog = current
            _open_or_build(entry, catalog, path, **how).close()
        else:
            marks = {"dataset": dataset, "licence": entry.licence}
            listed = entry.read(folder, **(reading or {}))
            notes = listed.notes + _absent(committed, listed.files)
            files = {"manifest": manifest, "store": path}
            catalog = convert(folder, listed, resume=True, **files, **marks, **how)
    counts = summary(catalog) | left_aside
    if had and had[0]:
        counts["resumed"] = had[0]
    return Prepared(manifest, path, folder, counts, time.monotonic() - started, notes)


def build_missing_store(
    dataset: str,
    catalog: pd.DataFrame,
    *,
    size: int,
    color: str,
    jobs: int | None = None,
) -> Store:
    """Open a data set's store, built first from the images when it is missing or outdated.

    Parameters
    ----------
    dataset : str
        One of `agelib.datasets.names`.
    catalog : pandas.DataFrame
        Its catalog.
    size : int
        Side of the images in pixels.
    color : str
        "rgb" or "grey".
    jobs : int, optional
        Threads.

    Returns
    -------
    Store
        Open for reading.

    Raises
    ------
    DataError
        When the store must be built and images are missing, not unpacked or not those of the
        catalog; when a foreign file lies in the store's place.
    """
    entry = datasets.get(dataset)
    path = store_path(dataset, size, color)
    try:
        return open_store(path, catalog=catalog)
    except OutdatedStore:
        pass
    how = {"size": size, "color": color, "jobs": jobs}
    with _alone(dataset):
        require_unpacked(entry)
        # Another process may have built it while this one waited.
        return _open_or_build(entry, catalog, path, **how)


@contextlib.contextmanager
def _alone(dataset: str) -> Iterator[None]:
    """Let one process at a time change a data set; the others wait, a dead one holds nobody up."""
    folder = datasets_dir()
    with writing(folder / dataset):
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the data set's own folder, which on some disks is the same as that of its images
        # (utkface, UTKFace): made here already, it would be taken for images in place.
        lock = filelock.FileLock(folder / f".{dataset}.prepare.lock")
        try:
            lock.acquire(timeout=1)
        except filelock.Timeout:
            print(f"waiting for another process that prepares {dataset}", file=sys.stderr)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _build(entry: Dataset, catalog: pd.DataFrame, path: Path, **how: object) -> None:
    folder = datasets.images_folder(entry.name)
    build_store(
        catalog, folder, path, dataset=entry.name, licence=entry.licence, resume=True, **how
    )


def _open_or_build(entry: Dataset, catalog: pd.DataFrame, path: Path, **how: object) -> Store:
    with contextlib.suppress(OutdatedStore):
        return open_store(path, catalog=catalog)
    _build(entry, catalog, path, **how)
    return open_store(path, catalog=catalog)


def _absent(committed: Path, files: list[str]) -> tuple[str, ...]:
    """Say how many images of a committed manifest are not in place, if any of them are."""
    if not committed.is_file():
        return ()
    named = pd.read_csv(committed, usecols=["file"], dtype=str)["file"].tolist()
    others = set(named).isdisjoint(files)
    return () if others else missing_note(files, named, "the committed manifest names")


def _current(manifest: Path, folder: Path) -> pd.DataFrame | None:
    """Return the manifest when it lists the folder's files in their present sizes."""
    if not manifest.is_file():
        return None
    with contextlib.suppress(DataError):
        catalog = read_manifest(manifest)
        if catalog["file"].tolist() == list_images(folder):
            sizes = [(folder / file).stat().st_size for file in catalog["file"]]
            return catalog if catalog["size"].tolist() == sizes else None
    return None
