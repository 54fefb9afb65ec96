"""Image files read, hashed, decoded and resized, a block at a time.

What a block gives is small and can be sent: a block is read by a thread of this process or by
a worker of a cluster, and the caller writes it down.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from agelib.cluster import in_order, workers
from agelib.cores import available_cores
from agelib.files import DataError, FolderGoneError
from agelib.images import CHANNELS, decode, thumbnail, to_array

if TYPE_CHECKING:
    from agelib.store_writer import StoreWriter

BLOCK = 64  # images that are read as one; bounds the memory at a few blocks for each thread
THUMBNAIL = 1024  # bytes

# What a pass learns of one file; "trouble" says why it could not be decoded, "md5" is empty for
# a file that cannot be read, "mtime" (nanoseconds) tells whether it is still the same file.
FACTS = np.dtype(
    [
        *(("read", "?"), ("size", "<i8"), ("mtime", "<i8"), ("md5", "S32")),
        *(("width", "<i4"), ("height", "<i4"), ("mode", "S12"), ("trouble", "S96")),
    ]
)

Progress = Callable[[int, int], None]


class Block(NamedTuple):
    """What was read of consecutive files.

    Parameters
    ----------
    facts : numpy.ndarray
        (k,) records of dtype `FACTS`.
    thumbnails : numpy.ndarray
        (k, 1024) uint8; zeros for files that cannot be decoded.
    images : numpy.ndarray
        (k, size, size, channels) uint8, zeros likewise.
    """

    facts: np.ndarray
    thumbnails: np.ndarray
    images: np.ndarray


def read_block(folder: str, names: Sequence[str], size: int, color: str) -> Block:
    """Read, hash and decode files once each; what is wrong with one is noted, none stops it.

    Parameters
    ----------
    folder : str
        Image folder.
    names : sequence of str
        POSIX paths relative to ``folder``.
    size : int
        Side of the resized images in pixels.
    color : str
        "rgb" or "grey".

    Raises
    ------
    FolderGoneError
        If the folder is not there, as on another machine, or a drive that is gone.
    """
    if not os.path.isdir(folder):
        raise FolderGoneError(
            f"the image folder {folder} is not there; place the images under this path"
        )
    facts = np.zeros(len(names), dtype=FACTS)
    thumbnails = np.zeros((len(names), THUMBNAIL), dtype=np.uint8)
    images = np.zeros((len(names), size, size, CHANNELS[color]), dtype=np.uint8)
    for row, name in enumerate(names):
        image = _read_file(f"{folder}/{name}", facts[row])
        if image is None:
            continue
        try:
            thumbnails[row] = thumbnail(image)
            images[row] = to_array(image, size, color)
        except (ValueError, OSError):
            facts[row]["trouble"] = _short(f"mode {image.mode} cannot be converted")
    return Block(facts, thumbnails, images)


def read_files(
    folder: Path | str,
    files: Sequence[str],
    *,
    sink: StoreWriter,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Read the files that the sink has not got.

    Parameters
    ----------
    folder : Path or str
        Image folder; with a scheduler, under this path on every worker.
    files : sequence of str
        POSIX paths relative to ``folder``, in the order of the rows.
    sink : StoreWriter
        Says which blocks it lacks, and takes them in order.
    jobs : int, optional
        Threads (the decoder frees the interpreter); all cores of this process when not given.
    scheduler : str, optional
        Address of a Dask scheduler whose workers read instead.
    progress : callable, optional
        Called with the numbers of files done and of all files, first with what the sink had.
    """
    folder = os.fspath(folder)
    starts = sink.missing(folder, files)
    done = len(files) - sum(len(files[start : start + BLOCK]) for start in starts)
    if progress is not None:
        progress(done, len(files))
    with workers(scheduler, jobs=jobs or available_cores(), threads=True) as pool:
        tasks = ((folder, files[at : at + BLOCK], sink.size, sink.color) for at in starts)
        blocks: Iterator[Block] = in_order(pool, read_block, tasks)
        for start, block in zip(starts, blocks, strict=True):
            sink.write(start, block)
            done += len(block.facts)
            if progress is not None:
                progress(done, len(files))


def _read_file(path: str, fact: np.void) -> Image.Image | None:
    """Note what is known of a file; return its image unless it cannot be decoded."""
    fact["read"] = True
    try:
        with open(path, "rb", buffering=0) as file:
            fact["mtime"] = os.fstat(file.fileno()).st_mtime_ns
            data = file.readall()
    except OSError as error:
        fact["trouble"] = _short(f"unreadable, {error.strerror}")
        return None
    fact["size"], fact["md5"] = len(data), hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        image = decode(data)
    except DataError as error:
        fact["trouble"] = _short(str(error))
        return None
    fact["width"], fact["height"], fact["mode"] = image.width, image.height, image.mode
    return image


def _short(reason: str) -> bytes:
    # Not cut in the middle of a letter.
    most = FACTS["trouble"].itemsize
    return reason.encode()[:most].decode(errors="ignore").encode()
