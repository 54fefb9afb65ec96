"""Faces in photographs: found, and cut out as UTKFace's chips are.

A network that learnt on chips must see chips: the same size and place of the eyes. The detector
is MTCNN (Zhang et al. 2016, "Joint face detection and alignment using multi-task cascaded
convolutional networks"), in a package that brings its weights.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from agelib.files import DataError

CHIP = 200  # pixels of a chip, each way

# UTKFace's geometry: eye centres of a chip.
EYES = ((59.5, 61.0), (136.5, 61.0))

# Where MTCNN's five landmarks (eyes, nose, corners of the mouth) lie on chips on average: 496 of
# 500 chips from the training part of utkface-5fold, fold 0, in a grey frame. Its eyes lie 2.6
# pixels above the centres of EYES, and its nose is the tip, so these are what to align with.
LANDMARKS = ((59.75, 58.30), (136.78, 58.43), (97.85, 103.26), (63.03, 137.33), (132.54, 137.53))
# Eyes count twice. Fitted so, a chip's corners come back 5.3 of 200 pixels off on average; by the
# eyes alone it is 8.8, by all five alike 5.8.
WEIGHTS = (2.0, 2.0, 1.0, 1.0, 1.0)

# Pixels between the eyes below which nothing is estimated: there the error is a fifth larger than
# on whole chips (chapter 24).
SMALLEST_EYES = 10.0


@dataclass(frozen=True)
class Face:
    """A face in a photograph.

    Parameters
    ----------
    box : tuple of float
        Left, top, width and height in pixels; may reach beyond the photograph.
    confidence : float
        The detector's, 0 to 1.
    landmarks : tuple of (x, y)
        Left and right eye as seen by the camera, tip of the nose, left and right corner of
        the mouth.
    """

    box: tuple[float, float, float, float]
    confidence: float
    landmarks: tuple[tuple[float, float], ...]

    @property
    def eye_distance(self) -> float:
        """Pixels between the eyes."""
        (x1, y1), (x2, y2) = self.landmarks[:2]
        return float(np.hypot(x2 - x1, y2 - y1))


def find_faces(image: Image.Image) -> list[Face]:
    """Find every face of a photograph.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, upright.

    Returns
    -------
    list of Face
        From left to right; empty when there is none.

    Raises
    ------
    DataError
        If the detector is not installed, or the backend is not TensorFlow, for which it is made.
    """
    detector = _detector()
    if min(image.size) < 2 * _SMALLEST_BOX:
        return []
    found = detector.detect_faces(np.asarray(image), min_face_size=_SMALLEST_BOX)
    order = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    faces = [
        Face(
            box=tuple(float(value) for value in one["box"]),
            confidence=float(one["confidence"]),
            landmarks=tuple(tuple(float(v) for v in one["keypoints"][name]) for name in order),
        )
        for one in found
    ]
    return sorted(faces, key=lambda face: face.box)


_SMALLEST_BOX = 20  # pixels; MTCNN's own default


@functools.cache
def _detector() -> Any:
    from agelib import backend

    if backend.name() != "tensorflow":
        raise DataError(
            f"faces are found with TensorFlow, and the backend is {backend.name()}: unset "
            "KERAS_BACKEND, or give chips that are cut out already (--aligned)"
        )
    try:
        from mtcnn import MTCNN
    except ImportError:
        raise DataError(
            "finding faces needs the package mtcnn of agelib[demo]: pip install mtcnn"
        ) from None
    return MTCNN()


def similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the shift, turn and scale that bring points nearest to others.

    Parameters
    ----------
    source, target : ndarray of shape (k, 2)
        Points (x, y), at least two different ones.
    weights : ndarray of shape (k,), optional
        How much each counts; all alike by default.

    Returns
    -------
    ndarray of shape (2, 3)
        ``[[a, -b, x], [b, a, y]]``: least squares (Umeyama 1991), never a mirror image.

    Raises
    ------
    ValueError
        If all source points are the same.
    """
    share = np.ones(len(source)) if weights is None else np.asarray(weights, float)
    share = share / share.sum()
    points, goals = (np.asarray(p, float) @ [1, 1j] for p in (source, target))
    middle, goal = share @ points, share @ goals
    spread = share @ np.abs(points - middle) ** 2
    if not spread > 0:
        raise ValueError("the points are all the same: no turn and scale follows from them")
    turn = share @ (np.conj(points - middle) * (goals - goal)) / spread
    shift = goal - turn * middle
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def cut_out(image: Image.Image, face: Face) -> Image.Image:
    """Cut a face out as UTKFace's chips are: turned upright, eyes where theirs are.

    Parameters
    ----------
    image : PIL.Image.Image
        The photograph, RGB.
    face : Face
        From :func:`find_faces` in it.

    Returns
    -------
    PIL.Image.Image
        RGB, (200, 200); black where the photograph ends, as in UTKFace.
    """
    goals, weights = np.asarray(LANDMARKS), np.asarray(WEIGHTS)
    return warp(image, similarity(np.asarray(face.landmarks), goals, weights), CHIP)


def warp(image: Image.Image, matrix: np.ndarray, size: int) -> Image.Image:
    """Draw an image moved, turned and scaled into a square.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode.
    matrix : ndarray of shape (2, 3)
        From :func:`similarity`: where its points go.
    size : int
        Side of the square in pixels.

    Returns
    -------
    PIL.Image.Image
        Bilinear; black outside of the image.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    whole = np.vstack([matrix, [0, 0, 1]])
    if scale < 1:
        # Pillow's transform looks at four pixels, however many it should blend: shrink before.
        width, height = (max(1, round(side * scale)) for side in image.size)
        grow = np.diag([image.width / width, image.height / height, 1])
        image, whole = image.resize((width, height), Image.Resampling.BILINEAR), whole @ grow
    back = np.linalg.inv(whole)[:2].ravel()
    return image.transform(
        (size, size), Image.Transform.AFFINE, tuple(back), Image.Resampling.BILINEAR
    )
