"""Small .mat files of the struct of IMDB-WIKI; every name in them is made up."""

from __future__ import annotations

import numpy as np
from scipy.io import savemat

BORN_1960 = 715_876  # Matlab's number of 1 January 1960
NAN, NO_FACE = np.nan, -np.inf

# Matlab's day of birth, year of the photograph, gender, name, face score, second face score.
ROWS = (
    (BORN_1960, 2000, 1, "Ada Example", 3.5, NAN),
    (BORN_1960 + 182, 2000, 0, "Bo Beispiel", 2.0, NAN),  # 1 July 1960, a leap year
    (BORN_1960 + 181, 2000, 0, "Bo  BEISPIEL", 1.0, NAN),  # 30 June; one person, spelt twice
    (BORN_1960, 2000, NAN, "Cé Exemple", 4.0, NAN),
    (BORN_1960, 2000, 1, "Dai Esempio", 0.9, NAN),
    (BORN_1960, 2000, 1, "Eve Voorbeeld", NO_FACE, NAN),
    (BORN_1960, 2000, 1, "Fay Ejemplo", 5.0, 1.5),
    (BORN_1960, 1950, 0, "Gil Exempel", 3.0, NAN),  # photographed before birth
    (4077, 2000, 1, "Hal Primjer", 3.0, NAN),  # born in the year 11
    (0, 2000, 1, "", 3.0, NAN),
    (BORN_1960, 2060, 1, "", 3.0, NAN),  # 100 years old
    (BORN_1960, 1960, 1, "Ida Paelda", 3.0, NAN),  # in the year of birth
)


def cells(values):
    """Return a Matlab cell array."""
    array = np.empty((1, len(values)), dtype=object)
    for place, value in enumerate(values):
        array[0, place] = value
    return array


def record(rows=ROWS, *, source="wiki"):
    """Return the fields of the struct for rows like ``ROWS``."""
    days, years, genders, names, scores, seconds = zip(*rows, strict=True)
    files = [f"{row % 100:02d}/{row}_{1900 + row}-01-01_2000.jpg" for row in range(len(rows))]
    fields = {
        "dob": np.array([days], dtype=np.int32),
        "photo_taken": np.array([years], dtype=np.uint16),
        "full_path": cells(files),
        "gender": np.array([genders], dtype=np.float64),
        "name": cells(names),
        "face_location": cells([np.array([[1.0, 1.0, 9.0, 9.0]])] * len(rows)),
        "face_score": np.array([scores], dtype=np.float64),
        "second_face_score": np.array([seconds], dtype=np.float64),
    }
    if source == "imdb":
        known = sorted(set(names))
        fields["celeb_names"] = cells(known)
        fields["celeb_id"] = np.array([[known.index(name) + 1 for name in names]], dtype=np.uint16)
    return fields


def write_mat(path, rows=ROWS, *, source="wiki", without=(), **changed):
    """Write a metadata file; leave fields out or change them to make it unsound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = record(rows, source=source) | changed
    savemat(path, {source: {k: v for k, v in fields.items() if k not in without}})
    return path
