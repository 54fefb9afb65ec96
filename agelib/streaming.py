"""Images that do not fit in memory: read a window at a time, ahead of the training."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from agelib.files import DataError
from agelib.store import Store

WINDOW = 256 * 1024**2  # bytes of images that are shuffled together
_RUN = 64  # rows of the store that stay together when an epoch is shuffled: whole chunks
_ACCOUNTS = Path("/sys/fs/cgroup")  # where Linux tells a container's memory
_UNKNOWN = 6 * 1024**3  # budget where the system does not tell its memory


def memory_budget() -> int:
    """Return how many bytes of images may be held in memory.

    ``AGELIB_MEMORY`` in gigabytes (10^9 bytes) where it is set, else half of what is available
    now, to the system or to the container that this runs in.

    Raises
    ------
    DataError
        If ``AGELIB_MEMORY`` is no number from 0 up.
    """
    if given := os.environ.get("AGELIB_MEMORY"):
        try:
            gigabytes = float(given)
        except ValueError:
            gigabytes = -1.0
        if not 0 <= gigabytes < float("inf"):
            raise DataError(f"AGELIB_MEMORY is {given!r}; give gigabytes, such as 4 or 0.5")
        return int(gigabytes * 1e9)
    return _available() // 2


def _available() -> int:
    found = [_UNKNOWN]
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="ascii") as lines:
        found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    # A container may use less than its machine has; version 1 of its accounts has other names.
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError):
            most, taken = (_number(_ACCOUNTS / name) for name in (limit, used))
            # Pages of files that were read count as used, but are given up when memory is needed.
            given_up = 0
            with contextlib.suppress(OSError, ValueError):
                lines = (_ACCOUNTS / used).with_name("memory.stat").read_text("ascii").splitlines()
                given_up = int(dict(line.split() for line in lines).get(cached, 0))
            found.append(most - taken + given_up)
    return max(0, min(found or [_UNKNOWN]))


def _number(path: Path) -> int:
    return int(path.read_text("ascii"))


class Windows:
    """An epoch's images, in windows that a thread reads before they are needed.

    The store's rows are kept in runs as long as its chunks; the runs are shuffled, so many
    following ones are a window, and the images of a window are shuffled among themselves. So a
    disk is read in long pieces, and a batch is a mixture of a window's runs. A window that
    covers everything gives the order of an epoch in memory.

    Parameters
    ----------
    store : Store
        Where the images are.
    rows : ndarray of shape (n,), int
        Rows of the store.
    state, epoch : int
        Random state, and number of the epoch: the order is a function of both.
    size : int
        Images of a window.
    """

    def __init__(self, store: Store, rows: np.ndarray, state: int, epoch: int, size: int) -> None:
        self.store, self.rows = store, rows
        random = np.random.default_rng([state, epoch])
        self._parts = [np.arange(len(rows))]
        if len(rows) > size:
            cuts = np.flatnonzero(np.diff(rows // _RUN)) + 1
            runs = np.split(np.arange(len(rows)), cuts)
            mixed = np.concatenate([runs[at] for at in random.permutation(len(runs))])
            self._parts = np.array_split(mixed, -(-len(rows) // size))
        self.order = np.concatenate([part[random.permutation(len(part))] for part in self._parts])
        self._window, self._place = (np.empty(len(rows), dtype=np.int32) for _ in range(2))
        for number, part in enumerate(self._parts):
            part.sort()
            self._window[part], self._place[part] = number, np.arange(len(part))
        self._read: dict[int, Future] = {}
        self._reader = ThreadPoolExecutor(1)

    def close(self) -> None:
        """Stop reading ahead, and let go of what was read."""
        self._reader.shutdown(cancel_futures=True)
        self._read.clear()

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Return images in the order of ``positions``, which follow each other in ``order``."""
        windows, places = self._window[positions], self._place[positions]
        needed = np.unique(windows)
        for number in range(needed[0], min(needed[-1] + 2, len(self._parts))):
            if number not in self._read:
                rows = self.rows[self._parts[number]]
                self._read[number] = self._reader.submit(self.store.read, rows)
        for number in [number for number in self._read if number < needed[0]]:
            del self._read[number]
        shape = (len(positions), *self.store.shape[1:])
        images = np.empty(shape, dtype=np.uint8)
        for number in needed:
            there = windows == number
            images[there] = self._read[number].result()[places[there]]
        return images
