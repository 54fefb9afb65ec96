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
    rates = {}
    for way, limit in (("in_memory", None), ("streamed", 0)):
        images = Images(store, rows, memory_limit=limit)
        rates[way] = round(feeding_rate(images))
        images.release()  # also the thread that reads ahead
    return {
        "images": len(store),
        "shape": list(store.shape),
        "chunk": list(store.chunk),
        "megabytes": round(float(np.prod(store.shape)) / 1e6, 1),
        **rates,
        "hardware": backend.hardware(),
    }
