"""Adience: labels from the five fold files, images in ``faces/`` or ``aligned/``.

Eidinger, Enbar and Hassner 2014. Who is shown is known (`face_id`), and the five folds share no
person and no album, so they are the data set's protocol.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from agelib.datasets.source import Source, from_table
from agelib.files import DataError, sha256_text
from agelib.labels import get_scheme

N_FOLDS = 5
FOLD_FILES = tuple(f"fold_{fold}_data.txt" for fold in range(N_FOLDS))
COLUMNS = (
    *("user_id", "original_image", "face_id", "age", "gender", "x", "y", "dx", "dy"),
    *("tilt_ang", "fiducial_yaw_angle", "fiducial_score"),
)
PREFIXES = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}
GENDERS = {"f": "female", "m": "male", "u": None, "": None}

# Every age label that occurs: its first and last year. The first eight are the official groups,
# the others are slips of the annotation. `agelib.labels.LabelScheme.of_catalog` gives each its
# class; (25, 23) is read as 23 to 25.
AGES: dict[str, tuple[int, int] | None] = {
    "(0, 2)": (0, 2),
    "(4, 6)": (4, 6),
    "(8, 12)": (8, 12),
    "(15, 20)": (15, 20),
    "(25, 32)": (25, 32),
    "(38, 43)": (38, 43),
    "(48, 53)": (48, 53),
    "(60, 100)": (60, 100),
    "(8, 23)": (8, 23),
    "(25, 23)": (23, 25),
    "(27, 32)": (27, 32),
    "(38, 42)": (38, 42),
    "(38, 48)": (38, 48),
    **{str(n): (n, n) for n in (2, 3, 13, 22, 23, 29, 32, 34, 35, 36, 42, 45, 46, 55, 56, 57, 58)},
    "None": None,
}
OFFICIAL_GROUPS = tuple(AGES)[:8]

# Mark of the public fold files, see `mark`. They name photographs and albums of people, so it is
# published instead of a list.
PUBLISHED = "3eec806a25b5197624483a6081f8bc9a7df2a47b5844e2a6a4213fe51ecc1dd8"

_REMEDY = (
    "place the five fold files of the Adience benchmark (fold_0_data.txt to fold_4_data.txt, not "
    "the frontal ones) beside the image folder; see datasets/README.md"
)


def read(folder: Path | str, *, layout: str) -> Source:
    """List the images of a layout that the fold files name, with their labels.

    Parameters
    ----------
    folder : Path or str
        Image folder, ``Adience/aligned`` or ``Adience/faces``; the fold files lie beside it.
    layout : {"aligned", "faces"}
        Faces turned upright by landmarks, as papers use them, or as they were found (P3).

    Returns
    -------
    Source
        With a group of ages (`agelib.groups`) or an age, ``gender``, the person, the official
        fold, and the part under ``adience-random``. Remarks: the age label where it says nothing,
        the yaw where the face is not frontal, and how often the fold files list an image.

    Raises
    ------
    DataError
        When a fold file is missing or of another version; when no image is in place.
    """
    folder = Path(folder)
    table = read_folds(folder.parent)
    keys, notes = table["key"], []
    if mark(table) != PUBLISHED:
        notes.append(
            "the fold files are not the public ones: results are not comparable with others'"
        )
    unknown = table.loc[~table["age_label"].isin(list(AGES)), "age_label"]
    if len(unknown):
        some = ", ".join(map(repr, unknown.unique()[:10]))
        notes.append(f"{len(unknown):,} images have an unknown age label, taken as none: {some}")
    album, rest = keys.str.split("/").str[0], keys.str.split("/").str[1]
    labels = table.drop(columns=["key", "age_label", "yaw", "times"])
    labels["file"] = album + "/" + PREFIXES[layout] + "." + rest
    labels["remarks"] = [
        "; ".join(_remarks(*row))
        for row in zip(table["age_label"], table["yaw"], table["times"], strict=True)
    ]
    source = from_table(folder, labels, named_by="the fold files")
    return source._replace(notes=(*notes, *source.notes))


def read_folds(folder: Path | str) -> pd.DataFrame:
    """Read the five fold files.

    Parameters
    ----------
    folder : Path or str
        Where they lie.

    Returns
    -------
    DataFrame
        One row per image, by ``key`` (``<album>/<face>.<photograph>``, the path but for its
        layout): ``age_label`` as annotated, ``age``, ``age_from``, ``age_to``, ``gender``,
        ``person``, ``fold``, ``yaw`` in degrees, ``times`` (how often it is listed) and
        ``adience_random``.

    Raises
    ------
    DataError
        When a file is missing, has other columns or impossible values, when an image has two
        labels, or a person or an album lies in two folds; names file and first offenders.
    """
    folder = Path(folder)
    missing = [name for name in FOLD_FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}; {_REMEDY}")
    rows = pd.concat(
        [_read_fold(folder / name).assign(fold=fold) for fold, name in enumerate(FOLD_FILES)],
        ignore_index=True,
    )
    for column, what in (("user_id", "album"), ("face_id", "person")):
        folds = rows.groupby(column)["fold"].nunique()
        shared = folds.index[folds > 1].tolist()
        if shared:
            raise DataError(
                f"{folder}: {len(shared)} {what}s lie in several fold files, first "
                f"{', '.join(shared[:10])}; the official folds share none, so these are others; "
                f"{_REMEDY}"
            )
    rows["key"] = rows["user_id"] + "/" + rows["face_id"] + "." + rows["original_image"]
    labels = rows.groupby("key")[["age", "gender"]].nunique()
    twofold = labels.index[(labels > 1).any(axis=1)].tolist()
    if twofold:
        raise DataError(
            f"{folder}: {len(twofold)} images are listed with different labels, first "
            f"{', '.join(twofold[:10])}; {_REMEDY}"
        )
    times = rows.groupby("key").size()
    rows = rows.drop_duplicates("key").sort_values("key", ignore_index=True)
    return _labelled(rows).assign(times=rows["key"].map(times))


def _read_fold(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, quoting=3, encoding="utf-8"
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} is not a fold file ({error}); {_REMEDY}") from None
    if list(rows.columns) != list(COLUMNS) or not isinstance(rows.index, pd.RangeIndex):
        found = ", ".join(map(str, rows.columns[:12]))
        raise DataError(
            f"{path} is a fold file of another version: its columns are {found}, not "
            f"{', '.join(COLUMNS)}; {_REMEDY}"
        )
    forms = {
        "user_id": r"[^/\\\0]+",
        "original_image": r"[^/\\\0]+",
        "face_id": r"[0-9]+",
        "gender": "[fmu]?",
        "fiducial_yaw_angle": r"-?[0-9]{1,3}",
    }
    for column, form in forms.items():
        value = rows[column]
        bad = np.flatnonzero(~value.str.fullmatch(form) | value.isin([".", ".."]))
        if len(bad):
            some = ", ".join(f"{value[row]!r} (line {row + 2})" for row in bad[:10])
            raise DataError(f"{path}: {len(bad)} impossible values of {column}: {some}; {_REMEDY}")
    return rows


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    spans = [AGES.get(label) or (None, None) for label in rows["age"]]
    first, last = (pd.array([span[end] for span in spans], dtype="Int64") for end in (0, 1))
    single = pd.Series(first == last).fillna(False).to_numpy(dtype=bool)
    table = pd.DataFrame(
        {
            "key": rows["key"],
            "age_label": rows["age"],
            "age": pd.Series(first).where(single),
            "age_from": pd.Series(first).mask(single),
            "age_to": pd.Series(last).mask(single),
            "gender": rows["gender"].map(GENDERS).astype(object),
            "person": rows["face_id"],
            "fold": rows["fold"],
            "yaw": rows["fiducial_yaw_angle"].astype("int64"),
        }
    )
    return table.assign(adience_random=random_parts(table))


def _remarks(age_label: str, yaw: int, times: int) -> list[str]:
    remarks = [] if AGES.get(age_label) else [f"age-label: {age_label.replace(';', ',')}"]
    remarks += [f"yaw: {yaw}"] if yaw else []
    return remarks + ([f"listed: {times} times"] if times > 1 else [])


def random_parts(table: pd.DataFrame) -> np.ndarray:
    """Draw the parts of P3 (Pyra): 60/20/20 of the images of each of its five groups.

    P3 drew over images and without a random state, so persons occur in several parts; the recipe
    is P3's but the draw is not. It depends on the fold files alone, not on which images are in
    place.

    Parameters
    ----------
    table : DataFrame
        Sorted by ``key``; see `read_folds`.

    Returns
    -------
    ndarray of object, shape (n,)
        ``"training"``, ``"validation"``, ``"test"``, or ``""`` for images without a group.
    """
    # RandomState's stream is frozen for good, so the draw never depends on numpy's version.
    random = np.random.RandomState(0)
    groups = get_scheme("groups-5").of_catalog(table)
    part = np.full(len(table), "", dtype=object)
    for group in range(groups.max(initial=-1) + 1):
        order = random.permutation(np.flatnonzero(groups == group))
        trained, learnt = round(0.6 * len(order)), round(0.8 * len(order))
        part[order[:trained]] = "training"
        part[order[trained:learnt]] = "validation"
        part[order[learnt:]] = "test"
    return part


def mark(table: pd.DataFrame, column: str = "age_label") -> str:
    """Return a fingerprint of the fold files, or of the parts drawn from them.

    Parameters
    ----------
    table : DataFrame
        From `read_folds`.
    column : str
        ``"age_label"`` for the files: images, folds, labels; ``"adience_random"`` for the parts.

    Returns
    -------
    str
        SHA-256 in hexadecimal; the order of the lines in the files does not matter.
    """
    columns = ["key", "fold", "gender", column]
    rows = zip(*(table[name].astype(object).fillna("") for name in columns), strict=True)
    return sha256_text("\n".join("\0".join(map(str, row)) for row in rows))


read_aligned = functools.partial(read, layout="aligned")
read_faces = functools.partial(read, layout="faces")
