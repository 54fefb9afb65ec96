"""The one place that knows which Keras backend runs: quiet import, determinism, hardware.

Every other module takes ``keras`` from here, so that it runs on any backend chosen with
``KERAS_BACKEND``. TensorFlow is the default and the tested one.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator


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


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build layers under a dtype policy, such as ``mixed_bfloat16``, inside the block only."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def jit_compile() -> bool | str:
    """Return Keras's ``jit_compile``: no XLA under TensorFlow on a CPU, else Keras's choice.

    Keras turns XLA on by itself; LeNet-5 and larger networks trained two to four times slower
    with it on a CPU.
    """
    if name() == "tensorflow" and not tf.config.list_physical_devices("GPU"):
        return False
    return "auto"


def hardware() -> str:
    """Return the device that computes, in words, without the machine's name."""
    if name() == "tensorflow":
        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            return f"{len(gpus)} x {details.get('device_name', 'GPU')}"
    elif name() == "jax":
        import jax

        devices = [device for device in jax.devices() if device.platform != "cpu"]
        if devices:
            return f"{len(devices)} x {devices[0].device_kind}"
    elif name() == "torch":
        import torch

        if torch.cuda.is_available():
            return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} x {_processor()} core"


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
