"""Images made worse by degrees: blur, noise, compression, darkness, occlusion and more.

A corruption takes a batch of uint8 images (n, h, w, c) and a level from 0 (as they are) to 1. The
same random state gives the same images; only noise and rotation draw at all, and what they draw
does not depend on the level, so that responses to the level are smooth.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from agelib.faces import CHIP
from agelib.images import LUMINANCE

# Where the eyes and the mouth lie in UTKFace's chips: both eyes are aligned to
# (59.5, 61) and (136.5, 61), the base of the nose to (98, 118). Left, top, right, bottom.
_EYES = (34, 42, 162, 80)
_MOUTH = (60, 126, 136, 168)


@dataclass(frozen=True)
class Corruption:
    """A way to make images worse.

    Parameters
    ----------
    title : str
        Name for a figure.
    strength : str
        What the strength is, with its unit.
    at : tuple of float
        Strength at level 0 (or just above it) and at level 1; straight between.
    apply : callable
        Takes images, the strength and a generator.
    """

    title: str
    strength: str
    at: tuple[float, float]
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

    def strength_at(self, level: float) -> float:
        """Return the strength at a level."""
        return self.at[0] + (self.at[1] - self.at[0]) * level


def corrupt(images: np.ndarray, kind: str, level: float, *, state: int = 0) -> np.ndarray:
    """Return the images as they would look under a corruption.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, c)
        Face chips; c is 1 or 3.
    kind : str
        Key of ``CORRUPTIONS``.
    level : float
        From 0, which returns the images as they are, to 1.
    state : int
        Random state.

    Returns
    -------
    ndarray of uint8, shape (n, h, w, c)
        A new array; the given one is never changed.

    Raises
    ------
    ValueError
        If the kind is unknown, the level is outside 0..1 or the images are no such batch.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"corruption {kind!r} is unknown; choose from {', '.join(CORRUPTIONS)}")
    if not 0 <= level <= 1:
        raise ValueError(f"level is {level!r}; give a number from 0 to 1")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; give uint8 (n, h, w, 1 or 3)"
        )
    if level == 0 or len(images) == 0:
        return images.copy()
    chosen = CORRUPTIONS[kind]
    return chosen.apply(images, chosen.strength_at(level), np.random.default_rng(state))


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _blur(images: np.ndarray, percent: float, _: np.random.Generator) -> np.ndarray:
    sigma = percent / 100 * images.shape[2]
    blurred = ndimage.gaussian_filter(
        images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest"
    )
    return _rounded(blurred)


def _noise(images: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    return _rounded(images + deviation * random.standard_normal(images.shape, dtype=np.float32))


def _jpeg(images: np.ndarray, quality: float, _: np.random.Generator) -> np.ndarray:
    return _each(images, lambda picture: _recoded(picture, round(quality)))


def _recoded(picture: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def _darkness(images: np.ndarray, percent: float, _: np.random.Generator) -> np.ndarray:
    return _rounded(images * np.float32(1 - percent / 100))


def _occlusion(box: tuple[int, int, int, int]) -> Callable:
    def cover(images: np.ndarray, percent: float, _: np.random.Generator) -> np.ndarray:
        height, width = images.shape[1:3]
        left, top, right, bottom = box
        # The covered patch grows from the middle of the box, its area with the strength.
        share = np.sqrt(percent / 100)
        x, y = (left + right) / 2, (top + bottom) / 2
        half_x, half_y = (right - left) / 2 * share, (bottom - top) / 2 * share
        rows = _span(y - half_y, y + half_y, height)
        columns = _span(x - half_x, x + half_x, width)
        covered = images.copy()
        # Each image's own mean: a patch without detail, not a black bar that is a signal itself.
        mean = images.mean(axis=(1, 2), keepdims=True)
        covered[:, rows, columns] = _rounded(mean)
        return covered

    return cover


def _span(start: float, end: float, side: int) -> slice:
    return slice(round(start / CHIP * side), round(end / CHIP * side))


def _rotation(images: np.ndarray, degrees: float, random: np.random.Generator) -> np.ndarray:
    turned = degrees * random.choice([-1, 1], len(images))
    # Edges are continued, as faces are not cut out of black paper.
    pad = images.shape[1] // 2
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
    angles = iter(turned)
    rotated = _each(padded, lambda picture: picture.rotate(next(angles), Image.Resampling.BILINEAR))
    return rotated[:, pad:-pad, pad:-pad]


def _resolution(images: np.ndarray, percent: float, _: np.random.Generator) -> np.ndarray:
    height, width = images.shape[1:3]
    small = (max(1, round(width * percent / 100)), max(1, round(height * percent / 100)))
    return _each(
        images,
        lambda picture: picture.resize(small, Image.Resampling.BOX).resize(
            (width, height), Image.Resampling.BILINEAR
        ),
    )


def _grey(images: np.ndarray, percent: float, _: np.random.Generator) -> np.ndarray:
    if images.shape[-1] == 1:
        return images.copy()
    share = np.float32(percent / 100)
    luma = (images @ np.asarray(LUMINANCE, "float32"))[..., None]
    return _rounded((1 - share) * images + share * luma)


def _each(images: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    out = np.empty_like(images)
    grey = images.shape[-1] == 1
    for place, image in enumerate(images):
        picture = change(Image.fromarray(image[..., 0] if grey else image))
        pixels = np.asarray(picture)
        out[place] = pixels[..., None] if grey else pixels
    return out


CORRUPTIONS: dict[str, Corruption] = {
    "blur": Corruption("Blur", "Standard deviation (% of the side)", (0, 4), _blur),
    "noise": Corruption("Noise", "Standard deviation (of 255)", (0, 30), _noise),
    "jpeg": Corruption("JPEG", "Quality", (95, 5), _jpeg),
    "darkness": Corruption("Darkness", "Light taken away (%)", (0, 95), _darkness),
    "eyes": Corruption(
        "Eyes covered", "Area covered (% of the eyes' box)", (0, 100), _occlusion(_EYES)
    ),
    "mouth": Corruption(
        "Mouth covered", "Area covered (% of the mouth's box)", (0, 100), _occlusion(_MOUTH)
    ),
    "rotation": Corruption("Rotation", "Angle, either way (degrees)", (0, 45), _rotation),
    "resolution": Corruption("Low resolution", "Side left (%)", (100, 20), _resolution),
    "grey": Corruption("Grey", "Colour taken away (%)", (0, 100), _grey),
}
