"""UTKFace: labels from the file name `age_gender_race_date.jpg.chip.jpg`."""

from __future__ import annotations

import re
from typing import Any

from agelib.manifests import GENDERS, RACES

OLDEST = 120  # a number above is not an age in years

_SOUND = re.compile(r"([0-9]{1,3})_([01])_([0-4])_[0-9]{17}\.jpg(?:\.chip\.jpg)?")


def parse_name(file: str) -> dict[str, Any]:
    """Read the labels off a file name; what is malformed is recovered or said.

    Parameters
    ----------
    file : str
        Path or name, for example ``25_0_2_20170116174525125.jpg.chip.jpg``: age in years,
        gender (0 male, 1 female), race (0 white, 1 black, 2 Asian, 3 Indian, 4 other) and a
        date of 17 digits.

    Returns
    -------
    dict
        ``age`` int or None, ``gender`` and ``race`` str or None, and ``note`` str: what is wrong
        with the name, "" for a sound one. Never raises. Source: UTKFace (Zhang, Song and Qi 2017).
    """
    name = file.rpartition("/")[2]
    sound = _SOUND.fullmatch(name)
    if sound and int(sound[1]) <= OLDEST:
        age, gender, race = map(int, sound.groups())
        return {"age": age, "gender": GENDERS[gender], "race": RACES[race], "note": ""}
    return _recovered(name)


def _recovered(name: str) -> dict[str, Any]:
    """Take what a malformed name still tells: its fields are known by their position."""
    *fields, date = name.split("_")
    fields = [field.strip() for field in fields]
    labels: dict[str, Any] = {"age": None, "gender": None, "race": None}
    notes = []
    if fields and re.fullmatch("[0-9]{1,3}", fields[0]) and int(fields[0]) <= OLDEST:
        labels["age"] = int(fields[0])
    else:
        notes.append("no age")
    for place, (label, values) in enumerate((("gender", GENDERS), ("race", RACES)), start=1):
        if len(fields) > place and fields[place] in map(str, range(len(values))):
            labels[label] = values[int(fields[place])]
        else:
            notes.append(f"no {label}")
    if len(fields) > 3:
        notes.append("too many fields")
    notes += _date_notes(date)
    return labels | {"note": ", ".join(notes) or "not as documented"}


def _date_notes(date: str) -> list[str]:
    stem, dot, ending = date.partition(".")
    digits = len(re.match("[0-9]*", stem)[0])
    notes = [] if digits == 17 else [f"date of {digits} digits instead of 17"]
    if stem[digits:].isspace():
        notes.append("blank after the date")
    elif stem[digits:] or dot + ending not in (".jpg", ".jpg.chip.jpg"):
        notes.append("ending is not .jpg.chip.jpg")
    return notes
