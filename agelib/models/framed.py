"""A face seen from further away or closer: the layer that shrinks or enlarges the picture."""

from __future__ import annotations

from typing import Any

from agelib.backend import keras

ops = keras.ops


@keras.saving.register_keras_serializable(package="agelib")
class Framing(keras.layers.Layer):
    """Show each picture as if its frame were wider or tighter, the number of pixels unchanged.

    Parameters
    ----------
    share : float
        Side of the old picture in the new one, above 0. Below 1 the picture shrinks (with
        antialiasing) into the middle and its border pixels are repeated outwards; above 1 its
        middle is enlarged and the rest is lost.
    **options
        Of every Keras layer, such as ``name``.

    Raises
    ------
    ValueError
        If ``share`` is not above 0.

    Notes
    -----
    Takes and gives pixels (n, size, size, c).
    """

    def __init__(self, share: float, **options: Any) -> None:
        super().__init__(**options)
        if not share > 0:
            raise ValueError(f"share is {share!r}; a face needs some of the picture")
        self.share = share

    def call(self, pixels: Any) -> Any:
        """Return the pictures in their new frame."""
        size = pixels.shape[1]
        if self.share > 1:
            cut = max(1, round(size / self.share))
            first = (size - cut) // 2
            middle = pixels[:, first : first + cut, first : first + cut]
            return ops.image.resize(middle, (size, size), interpolation="bilinear")
        inner = max(1, round(size * self.share))
        small = pixels
        if inner < size:
            small = ops.image.resize(
                pixels, (inner, inner), interpolation="bilinear", antialias=True
            )
        at = ops.clip(ops.arange(size) - (size - inner) // 2, 0, inner - 1)
        return ops.take(ops.take(small, at, axis=1), at, axis=2)

    def get_config(self) -> dict[str, Any]:
        """Return what makes the layer again."""
        return {**super().get_config(), "share": self.share}
