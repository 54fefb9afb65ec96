import io

import numpy as np
import pytest
from PIL import Image

from agelib.files import DataError
from agelib.images import decode, load_image, pad_square, resize, thumbnail, to_array


def picture(size=(40, 40), mode="RGB"):
    ramp = np.add.outer(np.arange(size[1]), np.arange(size[0])) * 2 % 256
    return Image.fromarray(ramp.astype(np.uint8)).convert(mode)


def encoded(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"just a line of text", "not an image"),
        (encoded(picture((200, 200)))[:1500], "truncated"),
        (encoded(picture(), "PNG")[:60], "truncated|undecodable"),
        (encoded(Image.new("1", (8000, 8000)), "PNG"), "too large, 8000x8000 pixels"),
        (encoded(Image.new("1", (12000, 12000)), "PNG"), "too large, more than 50 megapixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_bad_bytes_are_refused_with_a_reason(data, reason):
    with pytest.raises(DataError, match=reason):
        decode(data)


def test_every_cut_of_a_jpeg_is_refused_or_whole():
    data = encoded(picture((60, 60)), quality=80)
    for cut in range(0, len(data) - 2, 7):
        with pytest.raises(DataError):
            decode(data[:cut])


def test_load_image_names_the_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.jpg: not an image"):
        load_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"gone\.jpg: cannot be read"):
        load_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "P", "1", "LA", "I;16"])
def test_every_mode_becomes_rgb_and_grey(mode, tmp_path):
    image = picture(mode=mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    (tmp_path / "a.jpg").write_bytes(encoded(image, kind))
    assert load_image(tmp_path / "a.jpg").mode == "RGB"
    assert to_array(image, 16, "rgb").shape == (16, 16, 3)
    assert to_array(image, 16, "grey").shape == (16, 16, 1)


def test_pad_square_centres_the_picture():
    padded = np.asarray(pad_square(Image.new("L", (10, 4), 255)))
    assert padded.shape == (10, 10)
    assert padded[3:7].min() == 255 and padded[:3].max() == 0 and padded[7:].max() == 0
    square = picture()
    assert pad_square(square) is square


def test_resize_keeps_the_aspect_and_smooths():
    lines = np.zeros((64, 64), dtype=np.uint8)
    lines[:, ::2] = 255
    small = resize(Image.fromarray(lines), 16)
    assert small.dtype == np.uint8
    assert abs(small[:, 1:-1].astype(int) - 128).max() <= 2  # nearest-neighbour would give 0 or 255
    tall = resize(Image.new("RGB", (10, 20), "white"), 20)
    assert tall[:, :4].max() == 0 and tall[:, 8:12].min() == 255


def test_a_long_narrow_image_needs_no_square_of_its_length():
    line = Image.new("RGB", (200_000, 20), "white")  # the square has 120 GB
    array = to_array(line, 64, "rgb")
    assert array[31:33].max() == 255 and array.sum() == 3 * 64 * 255


def test_what_is_transparent_lies_on_white():
    assert to_array(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), 4, "rgb").min() == 255
    assert to_array(Image.new("LA", (8, 8), (100, 0)), 4, "grey").min() == 255
    assert to_array(Image.new("RGBA", (8, 8), (0, 0, 0, 255)), 4, "rgb").max() == 0


def test_unknown_color_is_refused():
    with pytest.raises(ValueError, match="'rgb' or 'grey'"):
        to_array(picture(), 16, "gray")


def test_thumbnail_is_grey_and_32_px():
    small = thumbnail(picture((50, 30), "CMYK"))
    assert small.shape == (1024,) and small.dtype == np.uint8


def test_an_image_stands_upright_and_sixteen_bits_are_scaled():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (0, 0, 20, 20))  # the left half, which comes on top
    turned = np.asarray(decode(encoded(image, exif=exif)).convert("L"))
    assert turned.shape == (40, 20)
    assert turned[:18].min() > 200 and turned[22:].max() < 55
    deep = Image.fromarray(np.full((8, 8), 32768, dtype="uint16"))
    assert np.asarray(decode(encoded(deep, "PNG"))).tolist() == [[128] * 8] * 8
