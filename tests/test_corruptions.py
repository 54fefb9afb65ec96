"""Corruptions: identity, determinism, and what each does to a picture that is known."""

import numpy as np
import pytest

from agelib.corruptions import CORRUPTIONS, corrupt

KINDS = sorted(CORRUPTIONS)


@pytest.fixture(scope="module")
def images():
    """Return smooth pictures with some texture, 64 pixels a side."""
    random = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64))
    base = 120 + 80 * np.sin(6 * x + np.arange(4)[:, None, None]) * np.cos(5 * y)
    colours = base[..., None] * np.array([1.0, 0.8, 0.6]) + random.normal(0, 8, (4, 64, 64, 3))
    return colours.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_level_zero_is_the_image_itself_and_nothing_is_changed_in_place(images, kind):
    before = images.copy()
    same = corrupt(images, kind, 0)
    assert (same == images).all()
    assert not np.shares_memory(same, images)
    corrupt(images, kind, 0.7)
    assert (images == before).all()


@pytest.mark.parametrize("kind", KINDS)
def test_shape_type_and_random_state(images, kind):
    for batch in (images, images[..., :1], images[:0]):
        changed = corrupt(batch, kind, 0.6, state=3)
        assert changed.shape == batch.shape
        assert changed.dtype == np.uint8
        assert (changed == corrupt(batch, kind, 0.6, state=3)).all()
    drawn = (corrupt(images, kind, 0.6, state=3) != corrupt(images, kind, 0.6, state=4)).any()
    assert drawn == (kind in ("noise", "rotation"))


@pytest.mark.parametrize("kind", KINDS)
def test_more_is_further_away(images, kind):
    away = [
        np.abs(corrupt(images, kind, level).astype(int) - images).mean()
        for level in (0.05, 0.3, 0.6, 1)
    ]
    assert away == sorted(away)
    assert away[-1] > 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_depend_on_those_behind_it(images, kind):
    if kind != "rotation":  # the signs of all angles are drawn at once
        alone = corrupt(images[:1], kind, 0.5)
        assert (alone == corrupt(images, kind, 0.5)[:1]).all()


def test_strengths_are_what_they_say(images):
    plain = np.full((1, 64, 64, 3), 200, np.uint8)
    assert (corrupt(plain, "darkness", 1) == 10).all()  # 95 % taken away
    noise = corrupt(np.full((4, 64, 64, 3), 128, np.uint8), "noise", 0.5).astype(float)
    assert noise.std() == pytest.approx(15, rel=0.02)
    grey = corrupt(images, "grey", 1)
    assert (np.ptp(grey, axis=-1) == 0).all()
    red = np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert (corrupt(red, "grey", 1) == 60).all()  # 0.299 * 200
    # 20 % of 64 pixels are 13: 13 x 13 means, spread smoothly.
    low = corrupt(images, "resolution", 1).astype(int)
    assert np.abs(np.diff(low, axis=1)).max() < np.abs(np.diff(images.astype(int), axis=1)).max()


def test_blur_of_a_point_is_a_bell_of_that_width():
    point = np.zeros((1, 101, 101, 1), np.uint8)
    point[0, 45:56, 45:56] = 255
    blurred = corrupt(point, "blur", 1)[0, :, :, 0].astype(float)
    grid = np.arange(101) - 50
    share = blurred.sum(axis=0) / blurred.sum()
    # Variances add: 4 % of 101 pixels, and a square of 11.
    assert share @ grid**2 == pytest.approx(4.04**2 + (11**2 - 1) / 12, rel=0.03)


@pytest.mark.parametrize("size", [64, 200])
def test_occlusions_cover_eyes_or_mouth_and_nothing_else(size):
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.uint8)
    at = {name: (round(x * size / 200), round(y * size / 200)) for name, (x, y) in {
        "eye": (59.5, 61), "other eye": (136.5, 61), "nose": (98, 118), "mouth": (98, 147),
    }.items()}  # fmt: skip
    for kind, hidden in (("eyes", {"eye", "other eye"}), ("mouth", {"mouth"})):
        covered = corrupt(images, kind, 1)
        changed = (covered != images).any(axis=(0, 3))
        assert {name for name, (x, y) in at.items() if changed[y, x]} == hidden
        patch = covered[0][changed]
        assert (patch == np.rint(images[0].mean(axis=(0, 1)))).mean() > 0.98
    half = (corrupt(images, "eyes", 0.5) != images).any(axis=(0, 3)).sum()
    assert half == pytest.approx(
        (corrupt(images, "eyes", 1) != images).any(axis=(0, 3)).sum() / 2, rel=0.1
    )


def test_rotation_turns_around_the_middle():
    image = np.zeros((1, 65, 65, 1), np.uint8)
    image[0, 28:37, 44:53] = 255  # 16 pixels right of the middle
    turned = corrupt(image, "rotation", 1)[0, :, :, 0].astype(float)
    y, x = ((turned * grid).sum() / turned.sum() - 32 for grid in np.mgrid[:65, :65])
    assert np.hypot(x, y) == pytest.approx(16, abs=0.7)
    assert abs(np.degrees(np.arctan2(y, x))) == pytest.approx(45, abs=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "fog"}, "'fog' is unknown"),
        ({"level": 1.2}, "level is 1.2"),
        ({"images": np.zeros((2, 8, 8, 3), np.float32)}, "float32"),
        ({"images": np.zeros((8, 8, 3), np.uint8)}, r"\(8, 8, 3\)"),
    ],
)
def test_bad_input_is_refused(images, change, message):
    with pytest.raises(ValueError, match=message):
        corrupt(**{"images": images, "kind": "blur", "level": 0.5} | change)
