"""What a network loses between chips and photographs: the gap between training and use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from agelib.evaluation import evaluate, paired_difference
from agelib.faces import CHIP, EYES, Face, cut_out, find_faces, warp
from agelib.predict import Predictor

FRAME = 600  # pixels of the photograph that a chip is put into
TURN = 25  # degrees, at most, either way
SCALE = (0.6, 1.6)
SIZES = (100, 50, 32, 26, 20, 16)  # pixels that are left of a chip's 200


def into_photograph(chip: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Put a chip, turned and scaled at random, into the middle of a grey photograph.

    Parameters
    ----------
    chip : PIL.Image.Image
        RGB, (200, 200).
    rng : numpy.random.Generator
        Settles turn and scale.

    Returns
    -------
    PIL.Image.Image
        RGB, (600, 600).
    """
    angle, scale = np.deg2rad(rng.uniform(-TURN, TURN)), rng.uniform(*SCALE)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[a, -b, 0.0], [b, a, 0.0]])
    matrix[:, 2] = FRAME / 2 - matrix[:, :2] @ [CHIP / 2, CHIP / 2]
    photo = Image.new("RGB", (FRAME, FRAME), (127, 127, 127))
    mask = warp(Image.new("L", chip.size, 255), matrix, FRAME)
    photo.paste(warp(chip, matrix, FRAME), mask=mask)
    return photo


def gap(
    predictor: Predictor, chips: Sequence[Image.Image], ages: Sequence[float]
) -> dict[str, Any]:
    """Compare estimates on chips with those on the same faces found again in photographs.

    Parameters
    ----------
    predictor : Predictor
        A network that has not seen the faces.
    chips : sequence of PIL.Image.Image
        RGB, (200, 200).
    ages : sequence of float
        True ages in years.

    Returns
    -------
    dict
        ``n``, ``found`` (faces found again); ``errors``: the mean absolute error of the found in
        years, with its interval, as given, found and aligned, and by the detector's box alone;
        ``difference``: aligned minus given; ``sizes``: the error of all by pixels between the
        eyes.
    """
    rng = np.random.default_rng(0)
    photos = (into_photograph(chip, rng) for chip in chips)
    faces = [_largest(photo) for photo in photos]
    known = [place for place, face in enumerate(faces) if face]
    ages = np.asarray(ages, float)
    variants = {
        "chip as given": [chips[place] for place in known],
        "found and aligned": [faces[place][0] for place in known],
        "box of the detector": [faces[place][1] for place in known],
    }
    tables = {name: _table(predictor, variant, ages[known]) for name, variant in variants.items()}
    given, aligned = tables["chip as given"], tables["found and aligned"]
    difference = paired_difference(aligned, given, metric="mae", kind="regression")
    return {
        "n": len(chips),
        "found": len(known),
        "errors": {name: _mae(table) for name, table in tables.items()},
        "difference": {key: round(value, 3) for key, value in difference.items()},
        "sizes": [
            {"pixels between the eyes": round((EYES[1][0] - EYES[0][0]) * size / CHIP, 1)}
            | _mae(_table(predictor, [_shrunk(chip, size) for chip in chips], ages))
            for size in (CHIP, *SIZES)
        ],
    }


def _largest(photo: Image.Image) -> tuple[Image.Image, Image.Image] | None:
    """Return the largest face of a photograph, aligned and as its mere box."""
    faces = find_faces(photo)
    if not faces:
        return None
    face: Face = max(faces, key=lambda one: one.box[2] * one.box[3])
    left, top, width, height = face.box
    box = photo.crop((round(left), round(top), round(left + width), round(top + height)))
    return cut_out(photo, face), box.resize((CHIP, CHIP), Image.Resampling.BILINEAR)


def _shrunk(chip: Image.Image, size: int) -> Image.Image:
    small = chip.resize((size, size), Image.Resampling.BOX)
    return small.resize((CHIP, CHIP), Image.Resampling.BILINEAR)


def _table(predictor: Predictor, chips: list[Image.Image], ages: np.ndarray) -> pd.DataFrame:
    predicted = [estimate.age for estimate in predictor.estimate(chips)]
    names = [f"{place:06}" for place in range(len(chips))]
    return pd.DataFrame({"file": names, "age": ages, "predicted": predicted})


def _mae(table: pd.DataFrame) -> dict[str, Any]:
    row = evaluate(table, kind="regression", metrics=["mae"]).loc["mae"]
    rounded = {key: round(float(row[key]), 3) for key in ("value", "low", "high")}
    return {"mae": rounded["value"], "low": rounded["low"], "high": rounded["high"]} | {
        "n": int(row["n"])
    }
