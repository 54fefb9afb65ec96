"""Photographs as people have them: any format, any orientation, any size, or a reason why not.

Unlike the data sets' chips (:mod:`agelib.images`) these come from cameras and the web. They are
read at most as large as faces can be found in, so that memory stays bounded.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from agelib.files import DataError
from agelib.images import eight_bits, on_white, upright

LONGEST = 1600  # pixels of the longer side in which faces are looked for
MAX_PIXELS = 64_000_000  # decoded in one piece; a phone's 48 megapixels fit
MAX_JPEG_PIXELS = 1_000_000_000  # JPEG decodes at an eighth of its size, row by row
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".tif", ".tiff", ".gif", ".bmp"}
)

# Pillow's exotic readers, some of which start other programs, stay away from strangers' files.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")


def read_photo(source: Path | str | bytes) -> Image.Image:
    """Read a photograph upright, in colour and no larger than faces are looked for in.

    Parameters
    ----------
    source : Path, str or bytes
        Image file, or its contents.

    Returns
    -------
    PIL.Image.Image
        RGB, the longer side at most 1600 pixels. The orientation tag is applied, transparency
        lies on white, 16 bits become 8, of an animation the first picture counts.

    Raises
    ------
    DataError
        With a sentence, without the file's name: missing, empty, not an image, a format without
        a reader, damaged or too large.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source))
    try:
        with Path(source).open("rb") as stream:
            return _read(stream)
    except FileNotFoundError:
        raise DataError("there is no such file") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})") from None


def _read(stream: BinaryIO) -> Image.Image:
    try:
        # Damaged tags are not worth a word, and sizes are judged here.
        with warnings.catch_warnings(action="ignore"):
            return _upright(_open(stream))
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError("not an image, or of a format that is not read here") from None
    except Image.DecompressionBombError:
        raise DataError(_too_large()) from None
    except Exception as error:  # a decoder may raise anything on broken bytes
        truncated = "truncated" in str(error) or isinstance(error, EOFError)
        reason = "the file ends too early" if truncated else type(error).__name__
        raise DataError(f"damaged, cannot be decoded ({reason})") from None


def find_photos(folder: Path | str) -> list[Path]:
    """Return the image files below a folder, by their suffix, sorted; hidden ones are left out.

    A folder that cannot be listed is among them, so that it fails by its name.
    """
    found: list[Path] = []

    def closed(error: OSError) -> None:
        found.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                found.append(Path(place, name))
    return sorted(found)


def _too_large(image: Image.Image | None = None) -> str:
    size = f"{image.width}x{image.height} pixels" if image else "a hundred megapixels or more"
    return (
        f"too large ({size}; at most {MAX_PIXELS // 10**6} megapixels, as baseline JPEG "
        f"{MAX_JPEG_PIXELS // 10**6}): make it smaller"
    )


def _open(stream: BinaryIO) -> Image.Image:
    """Decode the file, a JPEG no larger than wanted."""
    head = stream.read(16)
    stream.seek(0)
    if not head:
        raise DataError("the file is empty")
    formats = (*_FORMATS, "HEIF") if head[4:8] == b"ftyp" and _heif() else _FORMATS
    if head.startswith(b"\xff\xd8"):
        # The plugin itself, since Image.open judges the size before a JPEG can be shrunk.
        image = JpegImagePlugin.JpegImageFile(stream)
        if image.width * image.height > MAX_JPEG_PIXELS:
            raise DataError(_too_large(image))
        if not image.info.get("progressive"):  # a progressive one is held whole while decoding
            whole = image.size
            image.draft(None, (LONGEST, LONGEST))
            if image.size != whole:
                return image
    else:
        image = Image.open(stream, formats=formats)
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_too_large(image))
    return image


def _heif() -> bool:
    """Teach Pillow to read HEIC; the reader is not imported for anybody else."""
    try:
        import pillow_heif
    except ImportError:
        raise DataError(
            "HEIC needs the package pillow-heif of agelib[demo]: pip install pillow-heif"
        ) from None
    pillow_heif.register_heif_opener()
    return True


def _upright(image: Image.Image) -> Image.Image:
    """Return the image reduced, upright and in RGB."""
    image.load()
    turn = upright(image)
    image = on_white(eight_bits(image)).convert("RGB")
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    return image if turn is None else image.transpose(turn)
