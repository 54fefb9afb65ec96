"""What explanations need from inside a network: the output of a layer, a derivative by it.

Keras 3 runs on TensorFlow, JAX and PyTorch but offers no derivative of its own: `gradient` is
the one place that tells them apart. Layers are watched, and replaced, while the network runs.
No second network is built, so nested backbones and skip connections need no care.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from agelib.backend import keras


def gradient(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Return the derivative of a scalar function at a point.

    Parameters
    ----------
    function : callable
        Takes one backend tensor shaped like ``at``, returns a scalar tensor. It may call
        Keras layers in inference mode; it must not change any variable.
    at : ndarray
        Where to differentiate, any shape, floating point.

    Returns
    -------
    ndarray
        The derivative, shaped like ``at``; zeros where the function does not depend on it.

    Raises
    ------
    ValueError
        If Keras runs on a backend without derivatives.
    """
    backend = keras.backend.backend()
    if backend not in _BACKENDS:
        raise ValueError(
            f"Keras runs on {backend!r}, which has no derivatives; set KERAS_BACKEND to one of "
            f"{', '.join(sorted(_BACKENDS))} before Python starts"
        )
    return np.asarray(_BACKENDS[backend](function, at))


def _tensorflow(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    point = tf.convert_to_tensor(at)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = function(point)
    # Unconnected means "does not depend on it": zero, where the default would be None.
    slope = tape.gradient(value, point, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return slope.numpy()


def _jax(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    import jax

    return jax.grad(function)(jax.numpy.asarray(at))


def _torch(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    import torch

    # ops.convert_to_tensor puts the point on the device that Keras put the weights on.
    point = keras.ops.convert_to_tensor(at).detach().requires_grad_()
    value = function(point)
    if not value.requires_grad:
        return np.zeros_like(at)
    slope = torch.autograd.grad(value, point, allow_unused=True)[0]
    return np.zeros_like(at) if slope is None else slope.cpu().numpy()


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def output_names(model: Any) -> list[str]:
    """Return the names of a network's heads, in the order of ``model.outputs``."""
    return [tensor._keras_history.operation.name for tensor in model.outputs]


def layer_output(model: Any, images: np.ndarray, layer: Any) -> np.ndarray:
    """Return what a layer gives in inference.

    Parameters
    ----------
    model : keras.Model
        The network.
    images : ndarray of shape (n, h, w, c), float32
        Pixels 0..255, one batch.
    layer : keras.Layer
        A layer of the network or of a network nested in it.

    Returns
    -------
    ndarray of shape (n, …), float32

    Raises
    ------
    ValueError
        If the layer runs more than once or not at all.
    """
    seen: list[Any] = []
    call: Callable[..., Any] = layer.call

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(call(*args, **kwargs))
        return seen[-1]

    with _replaced(layer, "call", watched):
        model(images, training=False)
    if len(seen) != 1:
        raise ValueError(f"layer {layer.name!r} runs {len(seen)} times in the network, not once")
    return keras.ops.convert_to_numpy(keras.ops.cast(seen[0], "float32"))


def score_gradient(
    model: Any, images: np.ndarray, layer: Any, *, at: np.ndarray, head: int, unit: int
) -> np.ndarray:
    """Return the slope of one score of each image against the output of a layer.

    The score is taken before a final soft-max or sigmoid; of a mean of soft-maxes, as AL-ResNet
    has with both branches, it is that mean itself.

    Parameters
    ----------
    model : keras.Model
        The network.
    images : ndarray of shape (n, h, w, c), float32
        Pixels 0..255, one batch.
    layer : keras.Layer
        A layer of the network or of a network nested in it.
    at : ndarray of shape (n, …), float32
        The output of the layer for these images, from `layer_output`.
    head, unit : int
        Which of ``model.outputs``, of shape (n, units), and which unit of it.

    Returns
    -------
    ndarray, shaped like ``at``
    """

    def score(point: Any) -> Any:
        point = keras.ops.cast(point, layer.compute_dtype)
        with _replaced(layer, "call", lambda *_, **__: point):
            outputs = keras.tree.flatten(model(images, training=False))
        # Images do not influence each other in inference, so one sum serves them all.
        return keras.ops.sum(keras.ops.cast(outputs[head], "float32")[:, unit])

    with _linear(_last_operation(model.outputs[head])):
        return gradient(score, at)


def _last_operation(tensor: Any) -> Any:
    """Return the layer that computes an output, looking into nested networks."""
    history = tensor._keras_history
    while hasattr(history.operation, "layers"):
        history = history.operation.outputs[history.tensor_index]._keras_history
    return history.operation


@contextlib.contextmanager
def _replaced(thing: Any, name: str, value: Any) -> Iterator[None]:
    """Shadow an attribute for a while, past Keras's tracking, and leave no trace."""
    absent = name not in vars(thing)
    before = vars(thing).get(name)
    object.__setattr__(thing, name, value)
    try:
        yield
    finally:
        if absent:
            object.__delattr__(thing, name)
        else:
            object.__setattr__(thing, name, before)


def _linear(operation: Any) -> contextlib.AbstractContextManager[None]:
    """Take the soft-max or sigmoid off an output while the block runs."""
    squashing = (keras.activations.softmax, keras.activations.sigmoid)
    if getattr(operation, "activation", None) in squashing:
        return _replaced(operation, "activation", keras.activations.linear)
    if isinstance(operation, keras.layers.Softmax):
        return _replaced(operation, "call", lambda scores, *_, **__: scores)
    return contextlib.nullcontext()
