"""Photographs in every shape that people have them, and the sentence for each that fails."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin, PngImagePlugin

from agelib import photos
from agelib.files import DataError

RED, GREEN = (200, 30, 30), (30, 200, 30)


def halves(width=64, height=48):
    """A picture whose left half is red and whose right half is green."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height))
    return image


def encoded(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def corners(image):
    """Which colour is nearest in the four corners: R or G."""
    points = [(4, 4), (image.width - 5, 4), (4, image.height - 5), tuple(s - 5 for s in image.size)]
    pixels = [image.getpixel(point) for point in points]
    return "".join("R" if pixel[0] > pixel[1] else "G" for pixel in pixels)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_formats(form):
    image = photos.read_photo(encoded(halves(), form))
    assert (image.mode, image.size, corners(image)) == ("RGB", (64, 48), "RGRG")
    assert np.abs(np.asarray(image)[24, 8] - np.array(RED, int)).max() <= 6


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    heif, out = pillow_heif.from_pillow(halves()), io.BytesIO()
    heif.save(out, quality=90)
    image = photos.read_photo(out.getvalue())
    assert (image.size, corners(image)) == ((64, 48), "RGRG")


def test_heic_without_its_reader_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match="HEIC needs the package pillow-heif"):
        photos.read_photo(b"\x00\x00\x00\x18ftypheic" + bytes(40))


# Where the red half lies after each of EXIF's eight orientations, by the standard's definition.
@pytest.mark.parametrize(
    ("orientation", "found"),
    [(1, "RGRG"), (2, "GRGR"), (3, "GRGR"), (4, "RGRG"), (5, "RRGG"), (6, "RRGG"), (7, "GGRR"),
     (8, "GGRR"), (9, "RGRG")],
)  # fmt: skip
def test_orientation(orientation, found):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = photos.read_photo(encoded(halves(), "JPEG", exif=exif))
    assert image.size == ((48, 64) if orientation in (5, 6, 7, 8) else (64, 48))
    assert corners(image) == found


def test_broken_tags_do_not_spoil_a_picture():
    data = encoded(halves(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert corners(photos.read_photo(data)) == "RGRG"


def test_modes():
    grey = photos.read_photo(encoded(halves().convert("L"), "PNG"))
    assert grey.mode == "RGB"
    assert grey.getpixel((4, 4)) == (81, 81, 81)  # 0.299 * 200 + 0.701 * 30
    cmyk = photos.read_photo(encoded(halves().convert("CMYK"), "JPEG"))
    assert corners(cmyk) == "RGRG"
    palette = photos.read_photo(encoded(halves().convert("P"), "PNG"))
    assert corners(palette) == "RGRG"


def test_transparency_lies_on_white():
    image = halves().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    assert photos.read_photo(encoded(image, "PNG")).getpixel((9, 9)) == (255, 255, 255)


def test_sixteen_bits_become_eight():
    values = np.full((20, 30), 257 * 100, dtype="uint16")
    values[0, 0] = 65535
    for form in ("PNG", "TIFF"):
        image = photos.read_photo(encoded(Image.fromarray(values), form))
        assert image.getpixel((5, 5)) == (100, 100, 100)
        assert image.getpixel((0, 0)) == (255, 255, 255)


def test_of_an_animation_the_first_picture_counts():
    second = Image.new("RGB", (64, 48), (0, 0, 255))
    data = encoded(halves(), "GIF", save_all=True, append_images=[second])
    assert corners(photos.read_photo(data)) == "RGRG"


def test_a_large_jpeg_is_never_decoded_whole(monkeypatch):
    data = encoded(halves(12000, 9600), "JPEG", quality=30)  # 115 megapixels, 346 MB in RGB
    decoded, load = [], JpegImagePlugin.JpegImageFile.load

    def noted(image):
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", noted)
    image = photos.read_photo(data)
    assert set(decoded) == {(3000, 2400)}
    assert max(image.size) == 1600
    assert corners(image) == "RGRG"


def test_a_picture_too_large_is_refused_by_its_size(monkeypatch):
    monkeypatch.setattr(photos, "MAX_PIXELS", 3000)
    data = encoded(halves(), "PNG")
    with pytest.raises(DataError, match=r"too large \(64x48 pixels; .*make it smaller"):
        photos.read_photo(data)
    progressive = encoded(halves(), "JPEG", progressive=True)
    with pytest.raises(DataError, match=r"too large \(64x48 pixels"):
        photos.read_photo(progressive)
    monkeypatch.setattr(photos, "MAX_JPEG_PIXELS", 3000)
    with pytest.raises(DataError, match=r"too large \(64x48 pixels"):
        photos.read_photo(encoded(halves(), "JPEG"))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch):
    bomb = encoded(Image.new("1", (20000, 20000)), "PNG")
    assert len(bomb) < 100_000
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(DataError, match="too large"):
        photos.read_photo(bomb)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"A line of text, not a picture.\n", "not an image"),
        (b"%PDF-1.7 something", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"\xff\xd8\xff\xe0 and no more", "damaged|not an image"),
        (encoded(halves(640, 480), "JPEG")[:2000], "damaged"),
        (encoded(halves(640, 480), "PNG")[:400], "damaged"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(data, reason, tmp_path):
    with pytest.raises(DataError, match=reason):
        photos.read_photo(data)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(DataError, match=reason):
        photos.read_photo(tmp_path / "a.jpg")


def test_missing_files_and_folders_are_told(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        photos.read_photo(tmp_path / "no.jpg")
    with pytest.raises(DataError, match="cannot be read"):
        photos.read_photo(tmp_path)


def test_a_folder_is_searched_for_pictures_only(tmp_path):
    names = ["b.JPG", "a.png", "sub/c.heic", "notes.txt", ".hidden.jpg", ".cache/d.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in photos.find_photos(tmp_path)]
    assert found == ["a.png", "b.JPG", "sub/c.heic"]
