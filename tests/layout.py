"""Drawn faces under the paths that a data set's metadata names, and small metadata of that kind.

Images of Adience and IMDB-WIKI are real people's and cannot be in a repository. Their metadata,
where it is placed, or the small files made here, name paths; drawn faces are laid out under them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from agelib.datasets.adience import AGES, COLUMNS, FOLD_FILES, PREFIXES
from agelib.datasets.sample_faces import draw_face
from agelib.datasets.utkface import GENDERS, RACES

# Of the parts drawn from the public fold files, as `adience.PUBLISHED` is of the files.
PUBLISHED_RANDOM = "b9e08beb0302bd2d8618a79352527c75957327cc35effcaf53a544a773f98e59"
FACES = 40  # drawn in full; further images are mixtures of two of them


def lay_out(
    folder: Path, files: Sequence[str], *, size: int = 64, faces: int = FACES, state: int = 0
) -> Path:
    """Write a JPEG of a drawn face under each path; no two are near duplicates.

    Parameters
    ----------
    folder : Path
        Where to; made when missing, files that are there already stay.
    files : sequence of str
        POSIX paths below it.
    size : int
        Side in pixels.
    faces : int
        How many faces are drawn in full, 20 ms each. From there on an image is a mixture of
        parts of two of them, 1 ms each, so that 100,000 files take minutes.
    state : int
        Random state.

    Returns
    -------
    Path
        ``folder``.
    """
    pool = [_face(state, index) for index in range(min(faces, len(files)))]

    def write(index: int) -> None:
        path = folder / files[index]
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        face = pool[index] if index < len(pool) else _mixture(pool, state, index)
        face.resize((size, size)).save(path, "JPEG", quality=90)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, range(len(files))))
    return folder


def _face(state: int, index: int) -> Image.Image:
    rng = np.random.default_rng([state, index])
    age = int(rng.integers(1, 90))
    return draw_face(age, GENDERS[index % 2], RACES[index % len(RACES)], rng)


def _mixture(pool: list[Image.Image], state: int, index: int) -> Image.Image:
    rng = np.random.default_rng([state, 1, index])
    parts = []
    for at in rng.choice(len(pool), 2, replace=len(pool) < 2):
        face = pool[at] if rng.random() < 0.5 else ImageOps.mirror(pool[at])
        side = int(face.width * rng.uniform(0.5, 0.9))
        left, top = (int(v) for v in rng.integers(0, face.width - side, 2))
        parts.append(face.resize((96, 96), box=(left, top, left + side, top + side)))
    return Image.blend(*parts, rng.uniform(0.3, 0.7))


def adience_rows(n_albums: int = 3, images: int = 3) -> list[list[dict[str, str]]]:
    """Return the rows of five small fold files in which every age label of Adience occurs.

    Albums hold three persons each, a person has one label, every third image is not frontal.
    """
    labels, person, folds = list(AGES), 0, []
    for fold in range(len(FOLD_FILES)):
        rows = []
        for album in range(n_albums):
            for _ in range(3):
                label = labels[person % len(labels)]
                person += 1
                rows += [
                    dict.fromkeys(COLUMNS, "0")
                    | {
                        "user_id": f"{fold}{album}@N0{fold}",
                        "original_image": f"{person}_{image}_o.jpg",
                        "face_id": str(person),
                        "age": label,
                        "gender": "" if label == "None" else "fmu"[person % 3],
                        "fiducial_yaw_angle": "-30" if image % 3 == 2 else "0",
                    }
                    for image in range(images)
                ]
        folds.append(rows)
    return folds


def write_folds(folder: Path, folds: Iterable[Iterable[dict[str, str]]]) -> Path:
    """Write fold files, tab-separated as Adience's are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(FOLD_FILES, folds, strict=False):
        lines = ["\t".join(COLUMNS), *("\t".join(row[c] for c in COLUMNS) for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def adience_files(folds: Iterable[Iterable[dict[str, str]]], layout: str = "aligned") -> list[str]:
    """Return the image paths that fold files name, below the layout's folder."""
    names = (
        f"{row['user_id']}/{PREFIXES[layout]}.{row['face_id']}.{row['original_image']}"
        for rows in folds
        for row in rows
    )
    return list(dict.fromkeys(names))
