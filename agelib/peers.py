"""Peers: any model as a file, ONNX, TensorFlow Lite or Keras, and what it wants and answers.

`agelib.peer_table` scores them on the same test images in the same run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agelib.files import DataError
from agelib.paths import datasets_dir
from agelib.peer_runners import SUFFIXES

_UNEVEN = 0.25  # by how much the sums of distributions may differ from face to face


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A model file and how to use it.

    Parameters
    ----------
    name : str
        Row of the table.
    file : str
        ``.onnx``, ``.tflite`` or ``.keras``, beside the description.
    size : int
        Side of the square input in pixels.
    color : {'rgb', 'bgr', 'grey'}
        Order of the channels.
    layout : {'nhwc', 'nchw'}
        Order of the axes; TensorFlow's is nhwc, PyTorch's nchw.
    dtype : {'float32', 'uint8'}
        What the input takes.
    mean, std : float or sequence of 3 floats
        The input is ``(pixel - mean) / std`` of pixels 0..255, in the order of ``color``; (0, 1)
        leaves bytes, (0, 255) makes 0..1, (127.5, 127.5) makes -1..1.
    age : str or int
        Output with the age, by name or place.
    age_as : {'years', 'distribution'}
        One number, or one probability for each year from 0.
    age_factor : float
        Years per unit of that number: 100 for a model that answers 0..1.
    gender : str or int, optional
        Output with the gender; None: it has none.
    female : int
        Column of that output that is female. Of a single column, 0 when its value is the
        probability of female and 1 when it is that of male.
    """

    name: str
    file: str
    size: int
    color: str = "rgb"
    layout: str = "nhwc"
    dtype: str = "float32"
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    age: str | int = "age"
    age_as: str = "years"
    age_factor: float = 1.0
    gender: str | int | None = None
    female: int = 0

    def __post_init__(self) -> None:
        choices = {
            "color": ("rgb", "bgr", "grey"),
            "layout": ("nhwc", "nchw"),
            "dtype": ("float32", "uint8"),
            "age_as": ("years", "distribution"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise DataError(
                    f"peer {self.name!r}: {name} is {getattr(self, name)!r}; choose one of "
                    f"{', '.join(allowed)}"
                )
        if Path(self.file).suffix not in SUFFIXES:
            raise DataError(
                f"peer {self.name!r}: {self.file} is none of {', '.join(SUFFIXES)}; convert it, "
                "for example with tf2onnx or torch.onnx"
            )
        for name in ("mean", "std"):
            if not _one_or_three(getattr(self, name)):
                raise DataError(
                    f"peer {self.name!r}: {name} is {getattr(self, name)!r}; give one number, or "
                    "one for each of the 3 channels"
                )
        if not np.all(np.asarray(self.std)):
            raise DataError(
                f"peer {self.name!r}: std is {self.std!r}; give what pixels are divided by"
            )
        if self.dtype == "uint8" and (np.any(self.mean) or np.any(np.not_equal(self.std, 1))):
            raise DataError(
                f"peer {self.name!r}: mean and std are for float32; leave them out with uint8, or "
                "say float32"
            )
        if type(self.size) is not int or not 1 <= self.size <= 1024:  # True is an int as well
            raise DataError(f"peer {self.name!r}: size is {self.size!r}; give 1 to 1024 pixels")


def _one_or_three(value: object) -> bool:
    parts = value if isinstance(value, (list, tuple)) else [value]
    number = all(isinstance(p, (int, float)) and not isinstance(p, bool) for p in parts)
    return number and np.shape(value) in ((), (3,)) and bool(np.isfinite(parts).all())


def find_peers() -> list[Peer]:
    """Read the descriptions of the peers that the user has placed.

    They are ``*.json`` beside the model files in ``peers/``, in the folder of data sets. Without
    that folder there are none.

    Returns
    -------
    list of Peer
        In order of file name, their ``file`` as a full path.

    Raises
    ------
    DataError
        If a description cannot be read, has an unknown or lacks a needed entry, its model file is
        missing, or two have one name.
    """
    folder = datasets_dir() / "peers"
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            peer = Peer(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            if isinstance(error, DataError):
                raise DataError(f"{path}: {error}") from error
            fields = ", ".join(field.name for field in dataclasses.fields(Peer))
            raise DataError(
                f"{path}: no description of a peer ({error}); it has {fields}"
            ) from None
        if not (folder / peer.file).is_file():
            raise DataError(f"{path}: its model file {peer.file} is not beside it; place it there")
        found.append(dataclasses.replace(peer, file=str(folder / peer.file)))
    names = [peer.name for peer in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(f"{folder}: two peers are called {sorted(twice)[0]!r}; rename one")
    return found


def prepared(peer: Peer, images: np.ndarray) -> np.ndarray:
    """Turn images into what the peer takes.

    Parameters
    ----------
    peer : Peer
        With colour, scaling and layout.
    images : ndarray of uint8, shape (n, size, size, 3) or (n, size, size, 1)
        RGB, or grey for a grey peer.

    Returns
    -------
    ndarray
        In the peer's dtype and layout.
    """
    values = images[..., ::-1] if peer.color == "bgr" else images
    if peer.dtype == "float32":
        mean, std = (np.asarray(part, np.float32) for part in (peer.mean, peer.std))
        values = (values.astype(np.float32) - mean) / std
    if peer.layout == "nchw":
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values)


def read_outputs(
    peer: Peer, outputs: Mapping[str | int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return ages in years, (n,), and whether female, (n,) bool or None.

    Raises
    ------
    DataError
        If an output is missing, has no such column, or is no distribution where one is described.
    """
    age = _output(peer, outputs, peer.age)
    if peer.age_as == "distribution":
        age = _mean_year(peer, age)
    elif age.shape[1] > 1:
        raise DataError(
            f"peer {peer.name!r}: output {peer.age!r} has {age.shape[1]} columns; is age_as "
            "'distribution'?"
        )
    age = age.reshape(len(age)) * peer.age_factor
    if peer.gender is None:
        return age, None
    gender = _output(peer, outputs, peer.gender)
    if gender.shape[1] == 1:
        return age, (gender[:, 0] > 0.5) == (peer.female == 0)
    if not 0 <= peer.female < gender.shape[1]:
        raise DataError(
            f"peer {peer.name!r}: female is column {peer.female}, but output {peer.gender!r} has "
            f"{gender.shape[1]}"
        )
    return age, gender.argmax(axis=1) == peer.female


def _mean_year(peer: Peer, shares: np.ndarray) -> np.ndarray:
    # Quantised models answer in bytes and round small shares away, so the sum need not be one; but
    # scores before their soft-max fall below zero, and an ordinal head's answers sum to the age.
    totals = shares.sum(axis=1)
    if shares.min() < 0 or not 0 < totals.max() <= (1 + _UNEVEN) * totals.min():
        raise DataError(
            f"peer {peer.name!r}: output {peer.age!r} is no distribution: its values begin at "
            f"{shares.min():.3g} and sum to {totals.min():.3g} to {totals.max():.3g} a face; give "
            "the model its soft-max, or have it answer in years"
        )
    return shares @ np.arange(shares.shape[1]) / totals


def _output(peer: Peer, outputs: Mapping[str | int, np.ndarray], key: str | int) -> np.ndarray:
    if key not in outputs:
        raise DataError(
            f"peer {peer.name!r} has no output {key!r}; it has "
            f"{', '.join(repr(name) for name in outputs)}"
        )
    values = np.asarray(outputs[key], np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"peer {peer.name!r}: output {key!r} holds values that are no numbers; see that dtype, "
            "mean and std are what the model wants"
        )
    return values.reshape(len(values), -1)
