"""PyTorch's weight files read without PyTorch, and without running what is in them.

Such a file is a pickle, and a pickle may call anything it names. Here it may name four things,
none of which does anything but describe an array.
"""

from __future__ import annotations

import collections
import math
import pickle
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from agelib.files import DataError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_ZIP = b"PK\x03\x04"
_STORAGES = {
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


def read_state_dict(path: Path | str) -> dict[str, np.ndarray]:
    """Read a state dict that ``torch.save`` wrote in its format before PyTorch 1.6.

    That format is a row of pickles (magic number, protocol, system, the dict, the keys of its
    storages), followed by the storages: each an eight-byte length and the raw numbers.

    Parameters
    ----------
    path : Path or str
        File, usually ``.pth``.

    Returns
    -------
    dict of str to ndarray
        Arrays by name, in the file's order: float32 and int64, shapes as in PyTorch.

    Raises
    ------
    DataError
        If the file is damaged, of another format, or asks for anything else than arrays.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            return _read(file)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except Exception as error:
            # A damaged pickle can raise almost anything.
            raise DataError(
                f"{path} is no file of PyTorch weights, or it is damaged "
                f"({type(error).__name__}: {error})"
            ) from error


@dataclass
class _Storage:
    """A row of numbers; they stand at the end of the file, after all that refers to them."""

    dtype: np.dtype
    count: int
    values: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class _View:
    """A tensor: a storage looked at with an offset, a shape and strides, counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        shape, strides = self.shape, self.strides
        steps = (*shape, *strides, self.offset)
        if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in steps):
            raise DataError(f"a tensor of shape {shape} has strides {strides}; the file is damaged")
        if math.prod(shape) == 0:
            return np.empty(shape, self.storage.dtype)
        last = self.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        # Strides of zero could make a small file ask for any amount of memory.
        if max(last + 1, math.prod(shape)) > len(self.storage.values):
            raise DataError("a tensor reaches beyond its storage; the file is damaged")
        size = self.storage.dtype.itemsize
        return np.lib.stride_tricks.as_strided(
            self.storage.values[self.offset :], shape, [step * size for step in strides]
        ).copy()


class _Unpickler(pickle.Unpickler):
    """Knows dicts, tensors and two kinds of storages, and refuses every other name."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for."""
        if (module, name) in _STORAGES:
            return _STORAGES[module, name]
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time, so that a pickle that sets attributes leaves no trace.
            return lambda storage, offset, shape, strides, *_: _View(
                storage, offset, shape, strides
            )
        raise DataError(
            f"the file asks for {module}.{name}, which no file of weights needs; do not trust it"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a tensor refers to."""
        _, dtype, key, _, count = pid[:5]
        if not isinstance(dtype, np.dtype) or any(pid[5:]):
            raise DataError("a storage has a kind that is not read; the file is damaged")
        return self.storages.setdefault(key, _Storage(dtype, count))


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    start = file.read(len(_ZIP))
    file.seek(0)
    if start == _ZIP:
        raise DataError(
            "written in PyTorch's newer zip format; save it once more with "
            "torch.save(..., _use_new_zipfile_serialization=False)"
        )
    if (_Unpickler(file).load(), _Unpickler(file).load()) != (_MAGIC, _PROTOCOL):
        raise DataError("not a file of PyTorch weights")
    if not _Unpickler(file).load()["little_endian"]:
        raise DataError("written on a big-endian machine; save it on another one")
    described = _Unpickler(file)
    views = described.load()
    for key in _Unpickler(file).load():
        storage = described.storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        data = file.read(storage.count * storage.dtype.itemsize)
        if count != storage.count or len(data) != count * storage.dtype.itemsize:
            raise DataError("a storage is cut short; the file is damaged")
        storage.values = np.frombuffer(data, storage.dtype)
    return {str(name): view.array() for name, view in views.items()}
