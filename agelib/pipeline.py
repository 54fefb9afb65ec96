"""From a store to batches: in memory when it fits, streamed when not, in a known order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from agelib.backend import keras
from agelib.store import Store
from agelib.streaming import WINDOW, Windows, memory_budget


class Images:
    """The images of some rows of a store, held in memory or read as they are asked for.

    Parameters
    ----------
    store : Store
        Where the images are.
    rows : ndarray of shape (n,), int
        Rows of the catalog.
    memory_limit : int, optional
        Bytes up to which the images are held in memory; see `agelib.streaming.memory_budget`
        when not given.
    window : int
        Bytes of images that are shuffled together when they are streamed.
    """

    def __init__(
        self,
        store: Store,
        rows: np.ndarray,
        *,
        memory_limit: int | None = None,
        window: int = WINDOW,
    ) -> None:
        self.store, self.rows = store, np.asarray(rows)
        each = store.size * store.size * (1 if store.color == "grey" else 3)
        limit = memory_budget() if memory_limit is None else memory_limit
        self._pixels = store.read(self.rows) if len(self.rows) * each <= limit else None
        self._window, self._windows = max(1, window // each), None

    def __len__(self) -> int:
        return len(self.rows)

    def release(self) -> None:
        """Let go of the images in memory; they are read from the store from now on."""
        self._pixels = None
        self._close_windows()

    def order(self, state: int, epoch: int) -> np.ndarray:
        """Return the order of an epoch; streamed images are from now on read ahead in it."""
        if self._pixels is not None:
            return epoch_order(len(self), state, epoch)
        self._close_windows()
        self._windows = Windows(self.store, self.rows, state, epoch, self._window)
        return self._windows.order

    def _close_windows(self) -> None:
        if self._windows is not None:
            self._windows.close()
        self._windows = None

    def take(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return the images at ``positions`` as uint8 of shape (len, size, size, channels)."""
        if self._pixels is not None:
            return self._pixels[positions]
        if self._windows is not None and not isinstance(positions, slice):
            return self._windows.take(positions)
        return self.store.read(self.rows[positions])


class Mirrored:
    """The mirror images of some images; pixels are taken when they are asked for."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def take(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return the mirror images at ``positions``."""
        return self.images.take(positions)[:, :, ::-1]


def epoch_order(n: int, state: int, epoch: int) -> np.ndarray:
    """Return the order of ``n`` images in an epoch: a function of random state and epoch alone.

    So a resumed run sees the images in the order in which an unbroken one would have.
    """
    return np.random.default_rng([state, epoch]).permutation(n)


def without_small_last(order: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the order of an epoch without a last batch of less than half the batch size.

    Optimizers that scale their steps, such as RMSprop, go as far on a batch of one image as on a
    full one, and as the last step before validation that shows: with P1's 6,177 images, 193
    batches of 32 and one image, LeNet-5's validation accuracy swung between 0.28 and 0.54 after
    the fourth epoch; without the last one it stays between 0.50 and 0.53. P1 took 193 steps an
    epoch as well. Another epoch brings other images to the end.
    """
    rest = len(order) % batch_size
    return order[: len(order) - rest] if 2 * rest < batch_size < len(order) else order


Targets = np.ndarray | dict[str, np.ndarray]


class Batches(keras.utils.PyDataset):
    """One pass over images and their targets, for ``fit``, ``evaluate`` and ``predict``.

    Parameters
    ----------
    images : Images
        Where pixels come from.
    targets : ndarray of shape (n, ...), or dict of them by output, optional
        What the loss compares outputs with; left out for prediction.
    batch_size : int
        Images per batch; the last batch may be smaller.
    order : ndarray of int, optional
        Which images, in which order; all as they are when None.
    mixup : float
        Parameter of the Beta distribution from which each pair's share is drawn (Zhang et al.
        2018); 0: images as they are. Targets must then be numbers that can be mixed.
    cutmix : float
        The same of cutmix (Yun et al. 2019): a box of each image comes from another one, and
        targets are mixed by area.
    weights : ndarray of shape (n,), optional
        What each image counts in the loss.
    state : sequence of int
        Random state of mixup or cutmix, e.g. that of the experiment and the epoch.
    """

    def __init__(
        self,
        images: Images,
        targets: Targets | None = None,
        *,
        batch_size: int,
        order: np.ndarray | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        weights: np.ndarray | None = None,
        state: Sequence[int] = (0,),
    ) -> None:
        super().__init__()
        self.images, self.targets, self.batch_size, self.order = images, targets, batch_size, order
        self.mixup, self.cutmix, self.weights = mixup, cutmix, weights
        self.state = tuple(state)

    def __len__(self) -> int:
        n = len(self.images) if self.order is None else len(self.order)
        return math.ceil(n / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return batch ``index``: pixels, and targets and weights where there are any."""
        window = slice(index * self.batch_size, (index + 1) * self.batch_size)
        positions = window if self.order is None else self.order[window]
        pixels = self.images.take(positions)
        if self.targets is None:
            return (pixels,)
        rest = (self.targets,) if self.weights is None else (self.targets, self.weights)
        rest = keras.tree.map_structure(lambda values: values[positions], rest)
        if not (self.mixup or self.cutmix):
            return pixels, *rest
        random = np.random.default_rng([*self.state, index])
        share = random.beta(*[self.mixup or self.cutmix] * 2, len(pixels)).astype("float32")
        other = random.permutation(len(pixels))
        if self.mixup:
            pixels = _mixed(pixels, other, share)
        else:
            inside = _boxes(random, 1 - share, *pixels.shape[1:3])
            pixels = np.where(inside[..., None], pixels[other], pixels)
            share = 1 - inside.mean(axis=(1, 2), dtype="float32")
        return pixels, *keras.tree.map_structure(lambda values: _mixed(values, other, share), rest)


def _mixed(values: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return share * values + (1 - share) * values[other]


def _boxes(random: np.random.Generator, area: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return where boxes lie: (n, height, width) of bool, the shape of the image and any centre.

    What sticks out of the image is cut off, so a box may cover less than ``area``, a share of it.
    """
    inside = np.ones((len(area), height, width), dtype=bool)
    for axis, length in ((1, height), (2, width)):
        places = np.arange(length) + 0.5
        off = np.abs(places - random.uniform(0, length, len(area))[:, None])
        near = off < np.sqrt(area)[:, None] * length / 2
        inside &= np.expand_dims(near, 3 - axis)
    return inside


def age_weights(ages: np.ndarray, power: float) -> np.ndarray:
    """Return what images should count so that rare ages are not drowned by frequent ones.

    Parameters
    ----------
    ages : ndarray of shape (n,)
        In whole years, none negative.
    power : float
        A weight is the number of images of about this age to this power, inverted: 0.5 for the
        inverse square root. Numbers are smoothed over five years with a Gaussian of two, as
        neighbouring ages look alike (Yang et al. 2021, "LDS").

    Returns
    -------
    ndarray of shape (n,), float32
        Their mean is one.
    """
    ages = np.asarray(ages, dtype="int64")
    window = np.exp(-0.5 * (np.arange(-2, 3) / 2) ** 2)
    smooth = np.convolve(np.bincount(ages), window / window.sum())[2:]
    weights = smooth[ages] ** -power
    return (weights / weights.mean()).astype("float32")


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Return what images of these classes (n,) count, ``n_largest / n_class`` (P3), in float32.

    Not Keras's ``class_weight``: that takes the largest number of a row of targets for its class,
    which is the age beside a distribution and the first answer of an ordinal head.
    """
    counts = np.bincount(labels)
    return (counts.max() / counts[labels]).astype("float32")
