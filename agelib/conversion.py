"""Images read once: catalog, manifest and store made of them in one pass."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agelib.catalog import describe
from agelib.cleaning import exact_groups, settle
from agelib.datasets.source import Source
from agelib.manifests import save_manifest
from agelib.near_duplicates import near_duplicate_clusters
from agelib.reading import Progress, read_files
from agelib.recipes import draw_columns
from agelib.store_writer import new_store


def convert(
    folder: Path | str,
    source: Source,
    *,
    manifest: Path | str,
    store: Path | str,
    dataset: str,
    licence: str,
    size: int = 128,
    color: str = "rgb",
    jobs: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Scan, clean and deal a source's images; write manifest and store in one pass over them.

    Parameters
    ----------
    folder : Path or str
        Image folder.
    source : Source
        Which files, and the labels of each.
    manifest, store : Path or str
        CSV and HDF5 file to make.
    dataset, licence : str
        Written into the store.
    size : int
        Side of the store's images in pixels.
    color : str
        "rgb" or "grey".
    jobs : int, optional
        Threads.
    scheduler : str, optional
        Address of a Dask scheduler whose workers read the images instead.
    resume : bool
        Go on where a run stopped that was killed or interrupted; see
        `agelib.store_writer.new_store`.
    progress : callable, optional
        Called with the numbers of files done and of all files.

    Returns
    -------
    pandas.DataFrame
        The catalog, as the manifest gives it.

    Raises
    ------
    DataError
        When the disk has no room, or a list of P5's images that is in place has none of these.
    """
    files = source.files
    how = {"jobs": jobs, "scheduler": scheduler, "progress": progress}
    with new_store(store, files, size=size, color=color, resume=resume) as writer:
        read_files(folder, files, sink=writer, **how)
        # Before the catalog is made, so that the two largest needs of memory do not meet.
        exact = exact_groups(writer.facts["md5"])
        clusters = near_duplicate_clusters(writer.thumbnails, exact=exact)
        catalog = describe(files, writer.facts, source.parse)
        catalog = draw_columns(settle(catalog, clusters, exact), dataset)
        writer.finish(catalog, dataset=dataset, licence=licence)
        # Before the store gets its name: a store never stands beside an older manifest.
        save_manifest(catalog, manifest)
    return catalog
