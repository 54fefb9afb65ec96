"""How a store is laid out and how fast it feeds a network."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from agelib import backend
from agelib.pipeline import Batches, Images
from agelib.store import Store


def feeding_rate(images: Images, *, seconds: float = 1.0) -> float:
    """Return how many images a second come out in shuffled batches of 32 that nothing uses.

    Parameters
    ----------
    images : Images
        In memory or streamed.
    seconds : float
        For how long to measure; it ends after a batch, in the middle of an epoch too.
    """
    done, epoch, start = 0, 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        order = images.order(0, epoch)
        batches = Batches(images, batch_size=32, order=order)
        for index in range(len(batches)):
            done += len(batches[index][0])
            if time.perf_counter() - start > seconds:
                break
        epoch += 1
    return done / passed


def store_facts(store: Store, *, most: int = 4096) -> dict[str, Any]:
    """Return a store's layout and the rates at which it gives shuffled batches of 32.

    Parameters
    ----------
    store : Store
        An open store.
    most : int
        Images to measure with.

    Returns
    -------
    dict
        ``images``, ``shape`` and ``chunk`` (of the HDF5 data set), ``megabytes`` of pixels,
        ``in_memory`` and ``streamed`` (images per second), ``hardware``.
    """
    rows = np.arange(min(len(store), most))
    held, streamed = Images(store, rows), Images(store, rows, memory_limit=0)
    return {
        "images": len(store),
        "shape": list(store.shape),
        "chunk": list(store.chunk),
        "megabytes": round(float(np.prod(store.shape)) / 1e6, 1),
        "in_memory": round(feeding_rate(held)),
        "streamed": round(feeding_rate(streamed)),
        "hardware": backend.hardware(),
    }
