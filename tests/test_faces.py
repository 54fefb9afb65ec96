"""Faces found and cut out: geometry by hand, and chips that come back to their own framing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from agelib import backend, faces
from agelib.datasets.sample import draw_face
from agelib.faces import Face
from agelib.files import DataError

GREY = (127, 127, 127)


def drawn(state=4, age=25):
    return draw_face(age, "female", "white", np.random.default_rng(state))


def matrix(scale, degrees, shift):
    """The similarity that scales and turns about the origin, then shifts."""
    a, b = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    return np.array([[a, -b, shift[0]], [b, a, shift[1]]])


def moved(points, by):
    return np.asarray(points) @ by[:, :2].T + by[:, 2]


def test_a_quarter_turn_by_hand():
    found = faces.similarity([[0, 0], [1, 0]], [[5, 5], [5, 7]])
    np.testing.assert_allclose(found, [[0, -2, 5], [2, 0, 5]], atol=1e-12)


@pytest.mark.parametrize(("scale", "degrees"), [(0.4, 0), (1.7, 25), (1, -70), (3, 180)])
def test_a_similarity_is_found_again(scale, degrees):
    by = matrix(scale, degrees, (31, -8))
    landmarks = np.asarray(faces.LANDMARKS)
    found = faces.similarity(landmarks, moved(landmarks, by), np.asarray(faces.WEIGHTS))
    np.testing.assert_allclose(found, by, atol=1e-9)


def test_weights_decide_who_is_followed():
    source, target = np.array([[0, 0], [2, 0], [1, 1]]), np.array([[0, 0], [2, 0], [1, 9]])
    exact = faces.similarity(source, target, np.array([1, 1, 0]))
    np.testing.assert_allclose(moved(source[:2], exact), target[:2], atol=1e-12)
    assert np.abs(moved(source[:2], faces.similarity(source, target)) - target[:2]).max() > 0.5


def test_points_all_the_same_are_refused():
    with pytest.raises(ValueError, match="the points are all the same"):
        faces.similarity(np.ones((5, 2)), np.asarray(faces.LANDMARKS))


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0), (1.5, 20), (0.7, -15), (3.1, 40)])
def test_a_turned_and_padded_chip_comes_back(scale, degrees):
    """With exact landmarks the chip is the same again, up to twice resampling."""
    chip = drawn()
    by = matrix(scale, degrees, (0, 0))
    by[:, 2] = 450 - by[:, :2] @ [100, 100]
    photo = faces.warp(chip, by, 900)
    landmarks = tuple(map(tuple, moved(faces.LANDMARKS, by)))
    back = faces.cut_out(photo, Face((0, 0, 1, 1), 1.0, landmarks))
    assert back.size == (200, 200)
    inner = (slice(10, 190), slice(10, 190))
    gap = np.abs(np.asarray(back, float) - np.asarray(chip, float))[inner]
    other = np.abs(np.asarray(drawn(9), float) - np.asarray(chip, float))[inner]
    assert gap.mean() < 6 < other.mean()


def test_a_large_face_is_shrunk_without_aliasing():
    stripes = np.zeros((1600, 1600, 3), "uint8")
    stripes[:, ::2] = 255  # finer than a chip can show: grey
    landmarks = tuple((8 * x, 8 * y) for x, y in faces.LANDMARKS)
    chip = faces.cut_out(Image.fromarray(stripes), Face((0, 0, 1600, 1600), 1.0, landmarks))
    assert np.abs(np.asarray(chip, int)[5:-5, 5:-5] - 127).max() <= 2


def test_outside_of_the_photo_is_black():
    landmarks = tuple((x - 100, y) for x, y in faces.LANDMARKS)
    white = Image.new("RGB", (200, 200), "white")
    chip = np.asarray(faces.cut_out(white, Face((0, 0, 1, 1), 1.0, landmarks)))
    assert chip[100, 50].tolist() == [0, 0, 0]
    assert chip[100, 150].tolist() == [255, 255, 255]


def test_landmarks_lie_where_utkface_has_them():
    for found, known in zip(faces.LANDMARKS[:2], faces.EYES, strict=True):
        np.testing.assert_allclose(found, known, atol=3)


@pytest.fixture
def detector():
    pytest.importorskip("mtcnn")
    if backend.name() != "tensorflow":
        pytest.skip("the detector is made for TensorFlow")


def test_drawn_faces_are_found_turned_and_scaled(detector):
    """In a photograph of two faces, each comes back near its own framing."""
    photo = Image.new("RGB", (1000, 600), GREY)
    places = {250: matrix(1.2, 12, (0, 0)), 750: matrix(0.8, -10, (0, 0))}
    for middle, by in places.items():
        by[:, 2] = np.array([middle, 300]) - by[:, :2] @ [100, 100]
        mask = faces.warp(Image.new("L", (200, 200), 255), by, 1000).crop((0, 0, 1000, 600))
        photo.paste(faces.warp(drawn(), by, 1000).crop((0, 0, 1000, 600)), mask=mask)
    found = faces.find_faces(photo)
    assert len(found) == 2
    for face, by in zip(found, places.values(), strict=True):
        scale = np.hypot(*by[:, 0])
        expected = moved(faces.LANDMARKS, by)
        assert np.abs(np.asarray(face.landmarks) - expected).max() < 15 * scale
        assert face.eye_distance == pytest.approx(77 * scale, rel=0.2)
        chip = np.asarray(faces.cut_out(photo, face), float)
        gap = np.abs(chip - np.asarray(drawn(), float))[20:180, 20:180].mean()
        other = np.abs(chip - np.asarray(drawn(9), float))[20:180, 20:180].mean()
        assert gap < 0.6 * other


def test_where_there_is_no_face_none_is_found(detector):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), "uint8")
    assert faces.find_faces(Image.fromarray(noise)) == []
    assert faces.find_faces(Image.new("RGB", (640, 480), GREY)) == []
    assert faces.find_faces(Image.new("RGB", (12, 3000), GREY)) == []


def test_another_backend_is_told_what_it_cannot_do(monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: "jax")
    faces._detector.cache_clear()
    with pytest.raises(DataError, match=r"the backend is jax: unset KERAS_BACKEND, or .*--aligned"):
        faces.find_faces(Image.new("RGB", (100, 100)))
