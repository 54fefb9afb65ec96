"""Cutting a box out of feature maps so that gradients reach the box (AL-ResNet, P2)."""

from __future__ import annotations

from typing import Any

from agelib.backend import keras

ops = keras.ops


@keras.saving.register_keras_serializable(package="agelib")
class CropAndResize(keras.layers.Layer):
    """Sample a box of each stack of maps on a square grid, bilinearly.

    Sampling row ``i`` of ``size`` lies at ``y1 + (y2 - y1) * i / (size - 1)`` of the way from the
    first row of the maps to the last, and columns alike; with ``size`` 1 it is the middle of
    the box. That is the arithmetic of ``tf.image.crop_and_resize``, on any backend and
    differentiable by maps and boxes.

    Parameters
    ----------
    size : int
        Rows and columns of the result.
    **options
        Of every Keras layer, such as ``name``.

    Raises
    ------
    ValueError
        If ``size`` is below 1.

    Notes
    -----
    Called on ``[maps, boxes]``: maps (n, h, w, c) and boxes (n, 4) = (y1, x1, y2, x2) in
    [0, 1]; gives (n, size, size, c) in the type of the maps. The ends may come in any order: with
    y2 < y1 the crop is upside down.
    """

    def __init__(self, size: int, **options: Any) -> None:
        # No autocast: in bfloat16 a box would be known to 1/256 of the maps only.
        super().__init__(autocast=False, **options)
        if size < 1:
            raise ValueError(f"size is {size!r}; a crop needs at least 1 row")
        self.size = size

    def call(self, inputs: Any) -> Any:
        """Return the crops (n, size, size, c) of ``[maps, boxes]``."""
        maps, boxes = inputs
        boxes = ops.cast(boxes, "float32")
        _, height, width, _ = ops.shape(maps)
        rows = ops.cast(self._weights(boxes[:, 0], boxes[:, 2], height), maps.dtype)
        columns = ops.cast(self._weights(boxes[:, 1], boxes[:, 3], width), maps.dtype)
        return ops.einsum("njw,niwc->nijc", columns, ops.einsum("nih,nhwc->niwc", rows, maps))

    def _weights(self, start: Any, end: Any, length: Any) -> Any:
        """Return the share of each of ``length`` map cells in each sample, (n, size, length)."""
        steps = ops.linspace(0.0, 1.0, self.size) if self.size > 1 else ops.convert_to_tensor([0.5])
        along = start[:, None] + (end - start)[:, None] * steps
        last = ops.cast(length - 1, "float32")
        cells = ops.arange(length, dtype="float32")
        return ops.relu(1 - ops.abs(along[:, :, None] * last - cells))

    def get_config(self) -> dict[str, Any]:
        """Return what makes the layer again."""
        return {**super().get_config(), "size": self.size}
