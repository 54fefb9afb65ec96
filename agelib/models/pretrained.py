"""Backbones with published weights: found, loaded, frozen, and thawed again.

A backbone becomes a nested network called "trunk" without its classifier. Whatever is trained on
it, its weights come from ImageNet, from a local file, or from a random start.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import threading
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock

from agelib import paths
from agelib.backend import keras
from agelib.files import DataError
from agelib.models.batch_statistics import BatchStatistics, with_batch_statistics

layers = keras.layers

Trainable = str | int

_PATIENCE = 5.0  # seconds until a silent server counts as no network


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications` and where its ImageNet weights are.

    Parameters
    ----------
    title : str
        What it is called in messages.
    builder : callable
        Keras's function, e.g. ``keras.applications.VGG16``.
    url, md5 : str
        The weights without the classifier, and the MD5 sum of the file.
    smallest : int
        Side in pixels of the smallest image that it takes.
    """

    title: str
    builder: Callable[..., keras.Model]
    url: str = ""
    md5: str = ""
    smallest: int = 32

    def network(self, shape: tuple[int, int, int]) -> keras.Model:
        """Return the network with random weights, for images of a shape (h, w, c)."""
        return self.builder(include_top=False, weights=None, input_shape=shape, name="trunk")

    def imagenet(self) -> Path:
        """Return the file with the ImageNet weights, downloaded by Keras if it is nowhere yet.

        A file placed by hand in the folder of weights comes first, then Keras's own cache.

        Raises
        ------
        DataError
            If it cannot be downloaded, at once; or if the file placed by hand is another one.
        """
        name = self.url.rpartition("/")[2]
        placed = weights_dir() / name
        if placed.exists():
            with placed.open("rb") as file:
                if hashlib.file_digest(file, "md5").hexdigest() == self.md5:
                    return placed
            raise DataError(
                f"{placed} is damaged, or not the published file of {self.title}; remove it or "
                f"download {self.url} again"
            )
        try:
            return Path(_download(name, self.url, self.md5))
        except Exception as error:  # Keras raises a bare Exception
            raise DataError(
                f"the ImageNet weights of {self.title} could not be downloaded ({error}). "
                f"Download {self.url} by hand and put it into {weights_dir()}; or give "
                "weights='FILE', the path of a file with weights of the same network"
            ) from error

    def load(self, network: keras.Model, path: Path) -> None:
        """Fill the network with the weights in a file.

        Raises
        ------
        DataError
            If the file holds something else or is damaged.
        """
        if not path.name.endswith((".h5", ".keras")):
            raise DataError(
                f"{path} is no file of weights that can be read; give .weights.h5, .h5 or .keras"
            )
        try:
            with warnings.catch_warnings():
                # Keras warns once a layer before it raises.
                warnings.simplefilter("ignore")
                network.load_weights(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"{path} does not hold the weights of {self.title} without its classifier, or is "
                f"damaged: {reason}"
            ) from error


def weights_dir() -> Path:
    """Return where files of weights are looked up: ``weights/`` in the folder of data sets."""
    return paths.datasets_dir() / "weights"


def trunk(
    backbone: Backbone,
    x: keras.KerasTensor,
    *,
    weights: str | None,
    trainable: Trainable,
    batch_statistics: bool = False,
) -> keras.KerasTensor:
    """Call a backbone on images, as a nested network called "trunk".

    Parameters
    ----------
    backbone : Backbone
        Which network.
    x : KerasTensor of shape (n, h, w, c)
        Images, preprocessed in the way that the weights were trained with.
    weights : str, optional
        None: random; ``"imagenet"``: the published ones; else a file of weights of the same
        network (``.weights.h5``, ``.h5``, ``.keras``), a relative path in :func:`weights_dir`.
    trainable : {'all', 'none'} or int
        See :func:`set_trainable`.
    batch_statistics : bool
        P1's slip: frozen batch normalisation uses the batch's statistics while training, see
        :class:`agelib.models.batch_statistics.BatchStatistics`.

    Returns
    -------
    KerasTensor of shape (n, h', w', d)
        Feature maps.

    Raises
    ------
    DataError
        If the weights cannot be had or do not fit.
    ValueError
        If the images are too small or, for given weights, not in colour; or if ``trainable`` is
        none of its values, or is 'all' together with ``batch_statistics``.
    """
    height, width, channels = x.shape[1:]
    if min(height, width) < backbone.smallest:
        raise ValueError(
            f"images of {height}x{width} pixels are too small for {backbone.title}; "
            f"set image_size to {backbone.smallest} or more"
        )
    if weights is not None and channels != 3:
        raise ValueError(
            f"the weights of {backbone.title} are for colour images, not for {channels} "
            "channel(s); set color='rgb'"
        )
    if batch_statistics and trainable == "all":
        raise ValueError(
            "batch_statistics is about frozen layers and changes nothing with trainable='all'; "
            "leave it out"
        )
    path = _file(backbone, weights)
    network = backbone.network((height, width, channels))
    if path is not None:
        backbone.load(network, path)
    if batch_statistics:
        network = with_batch_statistics(network)
    set_trainable(network, trainable)
    return network(x)


def set_trainable(trunk: keras.Model, trainable: Trainable) -> None:
    """Freeze or thaw a trunk; a compiled network must be compiled again afterwards.

    Parameters
    ----------
    trunk : keras.Model
        The nested network, ``network.get_layer("trunk")``.
    trainable : {'all', 'none'} or int
        Train everything, nothing, or the last so many layers, counted as Keras lists them in
        ``trunk.layers`` (activations and poolings count). Unless 'all', batch normalisation
        stays frozen on its stored statistics, also among the last layers.

    Raises
    ------
    ValueError
        If it is none of these, or if the last so many layers hold nothing to train.
    """
    norms = [isinstance(layer, layers.BatchNormalization) for layer in trunk.layers]
    some = type(trainable) is int and 1 <= trainable <= len(norms)
    if not some and trainable not in ("all", "none"):
        raise ValueError(
            f"trainable is {trainable!r}; give 'all', 'none', or how many of the trunk's last "
            f"layers to train, 1 to {len(norms)}"
        )
    # Of a trunk with BatchStatistics the outputs change from batch to batch. It stays marked as
    # trainable as a whole, so that nobody keeps them; its layers say what is trained.
    slip = any(isinstance(layer, BatchStatistics) for layer in trunk.layers)
    trunk.trainable = trainable != "none" or slip
    # Each layer by itself: on TensorFlow a value that the trunk has already is not handed down.
    first = len(norms) - (trainable if some else 0)
    for number, (layer, norm) in enumerate(zip(trunk.layers, norms, strict=True)):
        layer.trainable = trainable == "all" or (number >= first and not norm)
    if some and not trunk.trainable_variables:
        raise ValueError(
            f"the trunk's last {trainable} layers hold no weights to train; give a larger number "
            "or trainable='none'"
        )


def dense_layers(
    x: keras.KerasTensor, units: Sequence[int], *, frozen: int = 0
) -> keras.KerasTensor:
    """Apply dense layers with ReLU, called by number and units: ``dense_1_512`` ….

    Parameters
    ----------
    x : KerasTensor of shape (n, d)
        Features of a trunk.
    units : sequence of int
        Units of each layer; empty: ``x`` comes back as it is.
    frozen : int
        How many of the first ones stay at their random initial weights.

    Raises
    ------
    ValueError
        If more are to be frozen than there are.
    """
    if not 0 <= frozen <= len(units):
        raise ValueError(f"{frozen} frozen dense layers of {len(units)}; give 0 to {len(units)}")
    for number, width in enumerate(units, start=1):
        x = layers.Dense(width, "relu", trainable=number > frozen, name=f"dense_{number}_{width}")(
            x
        )
    return x


def _file(backbone: Backbone, weights: str | None) -> Path | None:
    if weights is None:
        return None
    if weights == "imagenet":
        return backbone.imagenet()
    path = weights_dir() / Path(weights).expanduser()
    if not path.is_file():
        raise DataError(
            f"weights {weights!r}: there is no file {path}; give None, 'imagenet', or a file of "
            f"weights of {backbone.title}"
        )
    return path


def _download(name: str, url: str, md5: str) -> str:
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if not (home / "models" / name).exists() and not _answers(url):
        raise ConnectionError("its server does not answer")
    # Keras writes in the file's place: a second process would take half a file for a spoilt one.
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # where this may not be written, Keras takes another
            (home / "models").mkdir(parents=True, exist_ok=True)
            held.enter_context(filelock.FileLock(home / "models" / f"{name}.lock"))
        return keras.utils.get_file(name, url, cache_subdir="models", file_hash=md5)


def _answers(url: str) -> bool:
    # In a thread, because no timeout of urllib covers the look-up of the server's name.
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE):
                answered.set()
        except (OSError, http.client.HTTPException):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return answered.is_set()
