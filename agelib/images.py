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
LUMINANCE = (0.299, 0.587, 0.114)  # of ITU-R 601, with which Pillow turns colour into grey

# A short list keeps Pillow's exotic readers (some start other programs) away from the data.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")

# Pillow's documented way to refuse a decompression bomb instead of only mentioning it.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(data: bytes) -> Image.Image:
    """Decode a whole image from the bytes of its file, upright and with at most 8 bits a channel.

    Parameters
    ----------
    data : bytes
        The file's contents.

    Returns
    -------
    PIL.Image.Image
        Fully decoded image, else in the file's own mode. The orientation tag is applied.

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
        turn = upright(image)
        image = eight_bits(image)
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
    return image if turn is None else image.transpose(turn)


# What sets an image upright, by the value of EXIF's orientation tag.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Transpose | None:
    """Return how an image must be turned to stand upright, by its orientation tag; None if it does.

    Parameters
    ----------
    image : PIL.Image.Image
        As it was opened.
    """
    try:
        return _TURNS.get(image.getexif().get(0x0112))
    except Exception:  # the tags of a readable picture may be broken in any way
        return None


def eight_bits(image: Image.Image) -> Image.Image:
    """Bring 16 bits and floating point to 8 bits of grey; Pillow itself would clip.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode; one of 8 bits comes back as it is.

    Raises
    ------
    DataError
        If a pixel is not a number.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype("float64")
    if not np.isfinite(values).all():
        raise DataError("its pixels are not all numbers")
    # 16-bit files say their range; whatever else there is is stretched.
    low, high = (0, 65535) if "16" in image.mode else (values.min(), values.max())
    if image.mode == "I" and low >= 0 and 255 < high <= 65535:
        low, high = 0, 65535
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(np.rint(scaled).clip(0, 255).astype("uint8"))


def load_image(path: Path | str) -> Image.Image:
    """Read an image file completely.

    Parameters
    ----------
    path : Path or str
        Image file.

    Returns
    -------
    PIL.Image.Image
        RGB, upright, transparency on white.

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
    longer = max(image.size)
    if longer != size:
        # Before it is padded: the square of a long, narrow image would not fit into memory.
        width, height = (max(1, round(side * size / longer)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(pad_square(image))


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


def on_white(image: Image.Image) -> Image.Image:
    """Lay what is transparent in an image on white.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode with at most 8 bits a channel.

    Returns
    -------
    PIL.Image.Image
        The image itself when nothing in it can be transparent, else an RGB copy.
    """
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _converted(image: Image.Image, mode: str) -> Image.Image:
    image = on_white(image)
    return image if image.mode == mode else image.convert(mode)
