"""The one place that knows which Keras backend runs: quiet import, determinism, hardware.

Every other module takes ``keras`` from here, so that it runs on any backend chosen with
``KERAS_BACKEND``. TensorFlow is the default.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agelib.cores import available_cores


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what is written to file descriptor 2 nowhere, inside the block only."""
    # TensorFlow's C++ start-up lines carry process numbers and times and obey no log level;
    # in a notebook they would make every executed copy differ.
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _keep_freed_memory() -> None:
    """Let glibc's allocator keep what is freed for the next step, where that allocator is used."""
    # In each step TensorFlow's CPU kernels allocate and free megabytes of work space. Its threads
    # have arenas of 64 MB, which glibc unmaps and maps again every time: a third to a half of the
    # processor time went into page faults. One arena takes half a gigabyte of addresses at a time
    # instead (memory only where it is used) and returns little; the README says what that is worth.
    m_trim_threshold, m_top_pad, m_mmap_threshold, m_arena_max = -1, -2, -3, -8
    with contextlib.suppress(AttributeError, TypeError):  # macOS and musl, Windows
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_mmap_threshold, 2**30)
        mallopt(m_trim_threshold, 2**30)
        mallopt(m_top_pad, 2**29)
        mallopt(m_arena_max, 1)


PREDICTION_BATCH = 256

# Before TensorFlow starts its threads.
if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    _keep_freed_memory()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with silent_stderr():
    import keras
    from keras import backend as _keras_backend

    if _keras_backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.list_logical_devices()
        # A chapter builds dozens of networks; TensorFlow takes that for a mistake and says so.
        tf.get_logger().setLevel("ERROR")


def name() -> str:
    """Return the Keras backend in use: ``tensorflow``, ``jax`` or ``torch``."""
    return _keras_backend.backend()


def seed(state: int) -> None:
    """Seed Python, NumPy and the backend, and ask TensorFlow for deterministic kernels.

    Parameters
    ----------
    state : int
        Random state of the experiment.
    """
    keras.utils.set_random_seed(state)
    if name() == "tensorflow":
        tf.config.experimental.enable_op_determinism()


def affordable(policy: str) -> str:
    """Return the dtype policy, or float32 where a processor would only emulate bfloat16."""
    # Emulated it takes five to ten times as long as float32, which is the more exact of the two.
    return "float32" if policy == "mixed_bfloat16" and _emulates_bfloat16() else policy


@functools.cache
def _emulates_bfloat16() -> bool:
    """Return whether a processor computes, without instructions for it, as far as Linux tells."""
    if _gpu() is not None:
        return False
    with contextlib.suppress(OSError):
        return "bf16" not in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return False


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build layers under a dtype policy, inside the block only."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def sharing(devices: int) -> Iterator[None]:
    """Let networks that are built in the block train on several devices, each on its share.

    The batch is what it is on one device: each takes an equal part of it, and gradients are
    added up. With `synchronize`, batch normalisation goes by the whole batch as well, so that an
    experiment is the same on any number of devices but for rounding.

    Parameters
    ----------
    devices : int
        GPUs of this machine, or virtual CPU devices where there is none; one changes nothing.

    Raises
    ------
    ValueError
        If there are not so many, or the backend cannot share a batch.
    """
    if devices == 1:
        yield
        return
    if name() not in ("tensorflow", "jax"):
        raise ValueError(
            f"the {name()} backend trains on one device; set KERAS_BACKEND to tensorflow or jax"
        )
    there = keras.distribution.list_devices()
    if not 1 < devices <= len(there):
        raise ValueError(
            f"{devices} devices are asked for, and {name()} sees {len(there)} here "
            f"({', '.join(there)}); ask for 1 to {len(there)}"
        )
    if name() == "tensorflow":
        shared = tf.distribute.MirroredStrategy(there[:devices])
    else:
        shared = _DataParallel(devices=there[:devices])
    with shared.scope():
        yield


class _DataParallel(keras.distribution.DataParallel):
    """JAX cannot cut a batch into unequal parts: what has none, every device takes whole."""

    def get_data_layout(self, data_shape: tuple[int, ...]) -> keras.distribution.TensorLayout:
        if data_shape[0] % self.num_model_replicas == 0:
            return super().get_data_layout(data_shape)
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)


def prediction_batch(n: int) -> int:
    """Return how many of ``n`` images a network evaluates or predicts at a time.

    Keras takes the first batch of a pass for all, and the last one may be of any size. Under
    TensorFlow the first one must be cut equally among the devices, and no device may get nothing
    of the last one. Under JAX, if the last one cannot be cut, the first one must not be either.

    Raises
    ------
    ValueError
        If so few images cannot be shared so.
    """
    size = min(PREDICTION_BATCH, n)
    if name() == "tensorflow" and tf.distribute.has_strategy():
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        size -= size % devices
        while size and (rest := n % size) and (devices - 1) * math.ceil(rest / devices) >= rest:
            size -= devices
        if not size:
            raise ValueError(f"{devices} devices cannot share {n} images; ask for fewer devices")
    shared = keras.distribution.distribution() if name() == "jax" else None
    if shared is not None and n % shared.num_model_replicas:
        size = min(251, n)  # a prime: no number of devices divides it
    return size


def synchronize(network: keras.Model) -> None:
    """Let batch normalisation go by all devices' parts of a batch, under TensorFlow.

    Under JAX it does by itself.
    """
    if name() == "tensorflow" and tf.distribute.has_strategy():
        for layer in network._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True


def over_devices(mean: Any) -> Any:
    """Return the mean over a whole batch of what is the mean over a device's share of it.

    TensorFlow's devices compute a loss each for itself; under JAX a batch is one array on all.
    """
    if name() == "tensorflow" and tf.distribute.has_strategy():
        replica = tf.distribute.get_replica_context()
        if replica is not None:  # there is none while a network is built
            return replica.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
    return mean


def compile_augmentation(network: keras.Model) -> None:
    """Let augmentation be compiled with the rest of a compiled network under JAX.

    Keras 3.15 keeps three of its layers out of XLA because TensorFlow's kernel for them is not in
    it. Under JAX that left whole networks uncompiled: an epoch took minutes instead of seconds.
    """
    if name() != "jax":
        return
    kept_out = (
        keras.layers.RandomTranslation, keras.layers.RandomRotation, keras.layers.RandomZoom,
    )  # fmt: skip
    for layer in network._flatten_layers():
        if isinstance(layer, kept_out):
            layer.supports_jit = True
    network.jit_compile = True


def jit_compile() -> bool | str:
    """Return Keras's ``jit_compile``: no XLA under TensorFlow on a CPU, else Keras's choice.

    Keras turns XLA on by itself; LeNet-5 and larger networks trained two to four times slower
    with it on a CPU. Across devices XLA cannot exchange gradients.
    """
    if name() == "tensorflow" and (
        tf.distribute.has_strategy() or not tf.config.list_physical_devices("GPU")
    ):
        return False
    return "auto"


def hardware(devices: int = 1) -> str:
    """Return what computes, in words, without the machine's name: so many GPUs, or the cores."""
    if (gpu := _gpu()) is not None:
        return f"{devices} x {gpu}"
    cores = available_cores()
    if name() == "tensorflow":  # in processes side by side it takes no more than its share
        cores = min(int(os.environ.get("TF_NUM_INTRAOP_THREADS") or cores) or cores, cores)
    return f"{cores} x {_processor()} core"


def _gpu() -> str | None:
    """Return what kind of GPU the backend computes on, or None."""
    if name() == "tensorflow":
        if gpus := tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    elif name() == "jax":
        import jax

        if jax.devices()[0].platform != "cpu":
            return jax.devices()[0].device_kind
    elif name() == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name(0)
    return None


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
