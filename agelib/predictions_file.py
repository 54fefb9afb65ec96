"""Predictions of photographs as CSV, JSON, lines of text, and boxes drawn into a copy."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from agelib.files import DataError, atomic_path, write_json, write_text, writing
from agelib.predict import Found, Prediction

COLUMNS = (
    *("photo", "face", "left", "top", "width", "height", "confidence"),
    *("age", "low", "high", "gender", "gender_probability", "problem"),
)


def rows(prediction: Prediction) -> list[dict[str, Any]]:
    """Return one row for each face, or one that says why there is none.

    Parameters
    ----------
    prediction : Prediction
        Of one photograph.

    Returns
    -------
    list of dict
        Keys `COLUMNS`; the box in pixels of the photograph as it was searched.
    """
    if not prediction.faces:
        return [dict.fromkeys(COLUMNS) | {"photo": prediction.name, "problem": prediction.problem}]
    return [_row(prediction.name, place, found) for place, found in enumerate(prediction.faces, 1)]


def _row(name: str, place: int, found: Found) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS) | {"photo": name, "face": place, "problem": found.problem or None}
    if found.face:
        box = dict(zip(("left", "top", "width", "height"), found.face.box, strict=True))
        row |= {key: round(value) for key, value in box.items()}
        row["confidence"] = round(found.face.confidence, 3)
    if estimate := found.estimate:
        row |= {"age": round(estimate.age, 1), "low": estimate.low, "high": estimate.high}
        row["gender"] = estimate.gender
        if estimate.female is not None:
            row["gender_probability"] = round(estimate.gender_probability, 3)
    return row


def write_predictions(path: Path, predictions: list[Prediction]) -> None:
    """Write predictions, whole or not at all.

    Parameters
    ----------
    path : Path
        With suffix ``.csv``, one row a face; or ``.json``, which adds the distribution over years.
    predictions : list of Prediction
        In the order of the photographs.

    Raises
    ------
    DataError
        As in `check_target`.
    """
    check_target(path)
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for prediction in predictions for row in rows(prediction))
        write_text(path, text.getvalue())
    else:
        write_json(path, [_entry(prediction) for prediction in predictions])


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before the work is done.

    Raises
    ------
    DataError
        If its suffix is neither ``.csv`` nor ``.json``, it is a folder, or its folder cannot be
        made or written to.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        raise DataError(f"{path}: predictions are written as .csv or .json; choose one of them")
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file")
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise DataError(f"{path}: its folder cannot be written to; name a file in another one")


def _entry(prediction: Prediction) -> dict[str, Any]:
    faces = []
    for row, found in zip(rows(prediction), prediction.faces, strict=False):
        face = {key: row[key] for key in COLUMNS if key not in ("photo", "face")}
        if found.estimate:
            face["distribution"] = [round(float(p), 5) for p in found.estimate.distribution]
        faces.append(face)
    return {
        "photo": prediction.name,
        "searched_at": list(prediction.size),
        "problem": prediction.problem or None,
        "faces": faces,
    }


def lines(prediction: Prediction) -> list[str]:
    """Return a line of text for each face, or one that says why there is none."""
    if not prediction.faces:
        return [f"{prediction.name}: {prediction.problem}"]
    several = len(prediction.faces) > 1
    return [
        f"{prediction.name}{f', face {place}' if several else ''}: {describe(found)}"
        for place, found in enumerate(prediction.faces, 1)
    ]


def describe(found: Found, *, short: bool = False) -> str:
    """Return what is estimated of a face in words, or why nothing is."""
    estimate = found.estimate
    if estimate is None:
        return "too small" if short else found.problem
    if short:
        return f"{estimate.age:.0f} ({estimate.low} to {estimate.high})"
    text = f"{estimate.age:.0f} years (80 %: {estimate.low} to {estimate.high})"
    if estimate.gender:
        text += f", {estimate.gender} {100 * estimate.gender_probability:.0f} %"
    return text


def draw(prediction: Prediction) -> Image.Image:
    """Return a copy of the photograph with a box and a line of text for each face.

    Parameters
    ----------
    prediction : Prediction
        Of a photograph that could be read.
    """
    image = prediction.image.copy()
    pen = ImageDraw.Draw(image)
    size = max(11, round(max(image.size) / 75))
    font = ImageFont.load_default(size)
    for place, found in enumerate(prediction.faces, 1):
        left, top, width, height = found.face.box if found.face else (0, 0, *image.size)
        pen.rectangle((left, top, left + width, top + height), outline="#ffb000", width=size // 6)
        text = f"{place}: {describe(found, short=True)}"
        _, _, wide, high = pen.textbbox((0, 0), text, font=font)
        wide, high = wide + 4, high + 4
        # Inside the picture, above the box where there is room.
        x = max(0, min(left, image.width - wide))
        y = top - high if top >= high else min(top + height, image.height - high)
        pen.rectangle((x, y, x + wide, y + high), fill="#ffb000")
        pen.text((x + 2, y + 1), text, fill="black", font=font)
    return image


def write_drawing(path: Path, prediction: Prediction) -> None:
    """Write the drawn copy as PNG, whole or not at all; no tags of the photograph go along."""
    with atomic_path(path) as temporary:
        draw(prediction).save(temporary, "PNG")
