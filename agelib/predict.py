"""Ages of the faces in photographs, with the shipped network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from agelib.faces import SMALLEST_EYES, Face, cut_out, find_faces
from agelib.files import DataError
from agelib.images import to_array
from agelib.photos import read_photo

if TYPE_CHECKING:
    import keras

NO_FACE = "no face found"
_BATCH = 64


@dataclass(frozen=True)
class Estimate:
    """What the network says about one face.

    Parameters
    ----------
    age : float
        Expected age in years.
    low, high : int
        Ends of the 80 % interval, both inside.
    distribution : ndarray of shape (years,)
        Probability of each age from 0 on.
    female : float or None
        Probability of "female" as the data set's annotators used the word; None when the network
        does not estimate it.
    """

    age: float
    low: int
    high: int
    distribution: np.ndarray
    female: float | None

    @property
    def gender(self) -> str | None:
        """The likelier word, ``female`` or ``male``."""
        return None if self.female is None else ("female" if self.female > 0.5 else "male")

    @property
    def gender_probability(self) -> float | None:
        """Probability of the likelier word."""
        return None if self.female is None else max(self.female, 1 - self.female)


@dataclass(frozen=True)
class Found:
    """A face and its estimate.

    Parameters
    ----------
    face : Face or None
        None for a chip that was given cut out.
    chip : PIL.Image.Image or None
        What the network saw, before it was made smaller; None once it was let go.
    estimate : Estimate or None
        None where ``problem`` says why.
    problem : str
        Why nothing is estimated.
    """

    face: Face | None
    chip: Image.Image | None
    estimate: Estimate | None
    problem: str = ""


@dataclass(frozen=True)
class Prediction:
    """What came of one photograph.

    Parameters
    ----------
    name : str
        How the photograph is called.
    faces : list of Found
        From left to right.
    problem : str
        Why there is nothing: "no face found", or the photograph cannot be read.
    failed : bool
        Whether the photograph could not be read.
    size : tuple of int
        Width and height of the photograph in which the boxes lie; (0, 0) when it was not read.
    image : PIL.Image.Image or None
        That photograph, upright, perhaps reduced.
    """

    name: str
    faces: list[Found]
    problem: str = ""
    failed: bool = False
    size: tuple[int, int] = (0, 0)
    image: Image.Image | None = None

    def without_pictures(self) -> Prediction:
        """Return the same with the pictures let go; the size of the photograph stays."""
        faces = [dataclasses.replace(found, chip=None) for found in self.faces]
        return dataclasses.replace(self, faces=faces, image=None)


def interval(distributions: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the years from which and up to which distributions reach without their tails.

    Parameters
    ----------
    distributions : ndarray of shape (n, years)
        Probabilities of the ages 0, 1, ...; the sum of a row need not be exactly 1.
    tail : float
        Share to leave out at each end, below one half.

    Returns
    -------
    low, high : ndarray of int, shape (n,)
        The first years at which the cumulative distribution reaches ``tail`` and ``1 - tail``.
    """
    total = np.cumsum(np.asarray(distributions, float), axis=1)
    # The sum's last digits must not push a bound to the end.
    reached = total / total[:, -1:] + 1e-9
    return (reached >= tail).argmax(axis=1), (reached >= 1 - tail).argmax(axis=1)


class Predictor:
    """A network ready to estimate ages; it is loaded once.

    Parameters
    ----------
    network : keras.Model
        From pixels 0..255 to a distribution over years under "age", and "gender" if it has one.
    tail : float
        Share that the 80 % interval leaves out at each end, see :func:`interval`.
    mirrored : bool
        Take the mean of what the network says of a face and of its mirror image, as experiments
        with ``flip_at_test`` do.
    """

    def __init__(self, network: keras.Model, *, tail: float = 0.1, mirrored: bool = False) -> None:
        self.network, self.tail, self.mirrored = network, tail, mirrored

    @classmethod
    def shipped(cls) -> Predictor:
        """Load the network that comes with the collection.

        Raises
        ------
        DataError
            If it is missing or damaged.
        """
        from agelib.shipped import load_shipped

        network, facts = load_shipped()
        mirrored = facts["experiment"].get("flip_at_test", False)
        return cls(network, tail=facts["interval"]["tail"], mirrored=mirrored)

    def estimate(self, chips: Sequence[Image.Image]) -> list[Estimate]:
        """Estimate faces that are cut out already, framed like UTKFace's chips.

        Parameters
        ----------
        chips : sequence of PIL.Image.Image
            Square or padded to a square with black; any size.
        """
        estimates: list[Estimate] = []
        for start in range(0, len(chips), _BATCH):
            estimates += self._batch(self.pixels(chips[start : start + _BATCH]))
        return estimates

    def pixels(self, chips: Sequence[Image.Image]) -> np.ndarray:
        """Return chips as the network takes them, float32 (n, size, size, channels), 0..255."""
        _, size, _, channels = self.network.input_shape
        color = "rgb" if channels == 3 else "grey"
        return np.stack([to_array(chip, size, color) for chip in chips]).astype("float32")

    def _batch(self, pixels: np.ndarray) -> list[Estimate]:
        outputs = self._outputs(pixels)
        if self.mirrored:
            mirrored = self._outputs(pixels[:, :, ::-1])
            outputs = {name: (values + mirrored[name]) / 2 for name, values in outputs.items()}
        ages = np.asarray(outputs["age"], dtype="float64")
        ages = ages / ages.sum(axis=1, keepdims=True)
        female = outputs.get("gender")
        female = [None] * len(ages) if female is None else np.asarray(female)[:, -1].tolist()
        low, high = interval(ages, self.tail)
        expected = ages @ np.arange(ages.shape[1])
        parts = zip(expected.tolist(), low.tolist(), high.tolist(), ages, female, strict=True)
        return [Estimate(*part) for part in parts]

    def _outputs(self, pixels: np.ndarray) -> dict[str, Any]:
        outputs = self.network.predict_on_batch(pixels)
        return outputs if isinstance(outputs, dict) else {"age": outputs}

    def predict(
        self, source: Path | str | bytes | Image.Image, *, name: str = "", aligned: bool = False
    ) -> Prediction:
        """Estimate every face of a photograph; a bad photograph is told of, not raised.

        Parameters
        ----------
        source : Path, str, bytes or PIL.Image.Image
            Image file, its contents, or an image in RGB.
        name : str
            How to call it; the path by default.
        aligned : bool
            The image is one face, cut out like UTKFace's chips: none is looked for.

        Raises
        ------
        DataError
            If no photograph at all can be searched: the detector is missing.
        """
        name = name or (str(source) if isinstance(source, (Path, str)) else "photo")
        try:
            image = source if isinstance(source, Image.Image) else read_photo(source)
        except DataError as error:
            return Prediction(name, [], problem=str(error), failed=True)
        if aligned:
            (estimate,) = self.estimate([image])
            return Prediction(name, [Found(None, image, estimate)], size=image.size, image=image)
        faces = find_faces(image)
        if not faces:
            return Prediction(name, [], problem=NO_FACE, size=image.size, image=image)
        return Prediction(name, self._estimated(image, faces), size=image.size, image=image)

    def _estimated(self, image: Image.Image, faces: list[Face]) -> list[Found]:
        chips = [cut_out(image, face) for face in faces]
        large = [face.eye_distance >= SMALLEST_EYES for face in faces]
        chosen = [chip for chip, enough in zip(chips, large, strict=True) if enough]
        estimates = iter(self.estimate(chosen))
        return [
            Found(face, chip, next(estimates))
            if enough
            else Found(face, chip, None, f"too small, {face.eye_distance:.0f} px between the eyes")
            for face, chip, enough in zip(faces, chips, large, strict=True)
        ]
