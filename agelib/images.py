"""One photograph: read it whole, say what is wrong with it, make it a square array."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from agelib.files import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 50_000_000
CHANNELS = {"rgb": 3, "grey": 1}
MODES = {"rgb": "RGB", "grey": "L"}

# A short list keeps Pillow's exotic readers (some start other programs) away from the data.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")

# Pillow's documented way to refuse a decompression bomb instead of only mentioning it.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(data: bytes) -> Image.Image:
    """Decode a whole image from the bytes of its file, in the file's own mode.

    Parameters
    ----------
    data : bytes
        The file's contents.

    Returns
    -------
    PIL.Image.Image
        Fully decoded image.

    Raises
    ------
    DataError
        With a reason of a few words: empty, not an image, truncated, too small or too large,
        undecodable.
    """
    if not data:
        raise DataError("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"too large, {image.width}x{image.height} pixels")
        if min(image.size) < 2:
            raise DataError(f"too small, {image.width}x{image.height} pixels")
        image.load()
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(f"too large, more than {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError:
        raise DataError("not an image") from None
    except Exception as error:  # a decoder may raise anything on broken bytes
        if "truncated" in str(error) or isinstance(error, EOFError):
            raise DataError("truncated") from None
        raise DataError(f"undecodable, {type(error).__name__}") from None
    return image


def load_image(path: Path | str) -> Image.Image:
    """Read an image file completely.

    Parameters
    ----------
    path : Path or str
        Image file; orientation tags are not applied (face chips have none).

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        Naming the file and the reason when it cannot be decoded completely or has more than
        50 megapixels.
    """
    try:
        image = decode(Path(path).read_bytes())
    except DataError as error:
        raise DataError(f"{path}: {error}; replace the file or remove it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); is it in place?") from None
    return _converted(image, "RGB")


def pad_square(image: Image.Image) -> Image.Image:
    """Pad an image with black to a square, the picture in the centre.

    Parameters
    ----------
    image : PIL.Image.Image
        Any size.

    Returns
    -------
    PIL.Image.Image
        The image itself when it is square already, else a padded copy. Source: P3 (Pyra).
    """
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    square = Image.new(image.mode, (side, side))
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def resize(image: Image.Image, size: int) -> np.ndarray:
    """Resize to a square array; the aspect is kept by padding with black.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode "RGB" or "L".
    size : int
        Side of the result in pixels.

    Returns
    -------
    numpy.ndarray
        uint8, (size, size, 3) or (size, size). Bilinear with antialiasing.
    """
    square = pad_square(image)
    if square.size != (size, size):
        square = square.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square)


def to_array(image: Image.Image, size: int, color: str) -> np.ndarray:
    """Turn an image of any mode into the array that stores and networks hold.

    Parameters
    ----------
    image : PIL.Image.Image
        Decoded image of any mode.
    size : int
        Side in pixels.
    color : str
        "rgb" or "grey".

    Returns
    -------
    numpy.ndarray
        uint8, (size, size, 3) for "rgb", (size, size, 1) for "grey".

    Raises
    ------
    ValueError
        When ``color`` is neither.
    """
    if color not in MODES:
        raise ValueError(f"color {color!r} is unknown; choose 'rgb' or 'grey'")
    array = resize(_converted(image, MODES[color]), size)
    return array.reshape(size, size, CHANNELS[color])


def thumbnail(image: Image.Image) -> np.ndarray:
    """Return the 32x32 grey thumbnail by which near-duplicates are found.

    Parameters
    ----------
    image : PIL.Image.Image
        Decoded image of any mode and size; the aspect is not kept.

    Returns
    -------
    numpy.ndarray
        uint8, (1024,).
    """
    grey = _converted(image, "L").resize((32, 32), Image.Resampling.BILINEAR)
    return np.asarray(grey).reshape(-1)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)
