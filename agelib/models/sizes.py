"""How small an image may be before a layer has nothing left to look at."""

from __future__ import annotations

from collections.abc import Sequence

from agelib.backend import keras

Step = tuple[int, int]


def smallest_size(steps: Sequence[Step]) -> int:
    """Return the side in pixels of the smallest image that leaves one position at the end.

    Parameters
    ----------
    steps : sequence of (window, stride)
        Convolutions and poolings from the image on. Padding counts against the window: one that
        keeps the size is ``(1, 1)``, and may be left out.

    Examples
    --------
    A 3x3 convolution without padding, then pooling by 2: 4 pixels give 2, then 1.

    >>> smallest_size([(3, 1), (2, 2)])
    4
    """
    side = 1
    for window, stride in reversed(steps):
        side = (side - 1) * stride + window
    return side


def require_size(x: keras.KerasTensor, steps: Sequence[Step], network: str) -> None:
    """Refuse images in which a layer of the network would vanish.

    Parameters
    ----------
    x : KerasTensor of shape (n, h, w, c)
        Images.
    steps : sequence of (window, stride)
        See :func:`smallest_size`.
    network : str
        What to call it in the message.

    Raises
    ------
    ValueError
        If height or width are below the smallest size; the message names it.
    """
    height, width, smallest = x.shape[1], x.shape[2], smallest_size(steps)
    if min(height, width) < smallest:
        raise ValueError(
            f"images of {height}x{width} pixels are too small for {network}; "
            f"set image_size to {smallest} or more"
        )
