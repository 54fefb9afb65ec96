"""The built-in sample: drawn faces in files named like UTKFace, blemishes included.

Everything in the collection runs on it without a download and without showing anybody.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from agelib.cores import available_cores
from agelib.datasets.sample_faces import draw_face
from agelib.datasets.sample_sketch import SIZE
from agelib.datasets.utkface import GENDERS, RACES
from agelib.files import DataError, atomic_path, write_json

__all__ = ["FAULTS", "NOTE", "draw_face", "write_sample"]

NOTE = "sample.json"  # beside the images: how they were made and what was planted

FAULTS = {  # kind of blemish: how many per 1,000 clean faces, one at the least
    "duplicate": 5,
    "duplicate-age": 3,
    "duplicate-gender": 2,
    "near-duplicate": 8,
    "truncated": 1,
    "empty": 1,
    "text": 1,
    "png": 1,
    "grey": 1,
    "cmyk": 1,
    "rgba": 1,
    "not-square": 1,
    "name-no-race": 1,
    "name-no-dot": 1,
    "name-space": 1,
    "name-no-age": 1,
    "ancient": 1,
}
_FORMAT = 1  # raise when the drawing changes, so that older samples are written anew
_STARTED = datetime(2017, 1, 9)
_RACE_SHARES = (0.43, 0.19, 0.145, 0.165, 0.07)

# UTKFace's ages in outline: images per 1,000 at an age, straight lines between.
_AGES = (1, 2, 4, 7, 13, 18, 22, 25, 27, 30, 36, 42, 50, 56, 62, 70, 80, 90, 100)
_IMAGES = (47, 20, 11, 7, 6, 11, 20, 36, 42, 30, 21, 11, 10, 11, 6, 4, 3, 1.5, 0.3)


def write_sample(folder: Path | str, *, n: int = 2000, state: int = 0, faults: bool = True) -> Path:
    """Write drawn faces named like UTKFace, whole or not at all.

    Parameters
    ----------
    folder : Path or str
        Where to; a complete folder of the same recipe is left alone, any other sample replaced.
    n : int
        Clean faces (200 x 200 px JPEG, ages 1 to 100 spread like UTKFace's). A smaller sample of
        the same state holds the first faces of a larger one.
    state : int
        Random state, 0 or more; it settles every byte.
    faults : bool
        Add about 3 % of blemished files on top, at least one of each kind in ``FAULTS``;
        ``sample.json`` beside the images says which file is what.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        When ``n`` or ``state`` is too small.
    DataError
        When the folder holds files that no earlier sample wrote.
    """
    if n < 1 or state < 0:
        raise ValueError(f"n={n}, state={state}: too small, give n of 1 and state of 0 or more")
    folder = Path(folder)
    recipe = {"format": _FORMAT, "n": int(n), "state": int(state), "faults": bool(faults)}
    if _is_complete(folder, recipe):
        return folder
    _refuse_foreign(folder)
    with atomic_path(folder) as building:
        building.mkdir()
        # Half of the drawing happens in Pillow, which frees the interpreter meanwhile.
        with ThreadPoolExecutor(available_cores()) as pool:
            names = list(pool.map(lambda index: _write_clean(building, state, index), range(n)))
        planted = _plant(building, names, state) if faults else {}
        contents = {"files": n + len(planted), "bytes": _bytes(building)}
        write_json(building / NOTE, recipe | contents | {"planted": planted})
    return folder


def _images(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name != NOTE and not p.name.startswith(".")]


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in _images(folder))


def _is_complete(folder: Path, recipe: dict[str, int]) -> bool:
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        same = all(note[key] == value for key, value in recipe.items())
        return same and (note["files"], note["bytes"]) == (len(_images(folder)), _bytes(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _refuse_foreign(folder: Path) -> None:
    """Protect what is not a sample's: the folder is about to be replaced as a whole."""
    remedy = "give a new or an empty folder"
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder} is a file: {remedy}")
    strangers = [path.name for path in _images(folder) if not path.name.endswith("jpg.chip.jpg")]
    if strangers or (_images(folder) and not (folder / NOTE).is_file()):
        name = min(strangers, default="images without " + NOTE)
        raise DataError(f"{folder} holds {name}, which no sample wrote: {remedy}")


def _age_shares() -> np.ndarray:
    """Return the share of each age, 1 to 100 years; round ages are reported more often."""
    ages = np.arange(1, 101)
    shares = np.interp(ages, _AGES, _IMAGES) * np.where(ages % 5, 0.9, 1.4)
    return shares / shares.sum()


_AGE_SHARES = _age_shares()


def _face(state: int, index: int, kind: int = 0, age: int | None = None) -> tuple[str, Image.Image]:
    """Return name and picture of one face, which depends on no other: its state is its own."""
    rng = np.random.default_rng([state, kind, index])
    drawn = int(rng.choice(100, p=_AGE_SHARES)) + 1
    gender, race = int(rng.random() < 0.48), int(rng.choice(5, p=_RACE_SHARES))
    age = drawn if age is None else age
    name = f"{age}_{gender}_{race}_{_stamp(kind, index)}.jpg.chip.jpg"
    return name, draw_face(age, GENDERS[gender], RACES[race], rng)


def _stamp(kind: int, index: int) -> str:
    """Return a time of download, one per file: YYYYMMDDHHMMSSmmm."""
    moment = _STARTED + timedelta(days=kind, seconds=7 * index)
    return f"{moment:%Y%m%d%H%M%S}{(index * 331 + 17) % 1000:03d}"


def _jpeg(image: Image.Image, quality: int = 90, kind: str = "JPEG") -> bytes:
    out = BytesIO()
    image.save(out, kind, quality=quality)
    return out.getvalue()


def _write_clean(folder: Path, state: int, index: int) -> str:
    name, image = _face(state, index)
    (folder / name).write_bytes(_jpeg(image, 72 + (index * 7) % 24))
    return name


def _plant(folder: Path, names: list[str], state: int) -> dict[str, dict[str, str]]:
    """Add the blemished files; return what each is and which clean file it copies."""
    rng = np.random.default_rng([state, 999])
    planted, order = {}, rng.permutation(len(names)).tolist()
    counts = [(kind, max(1, round(len(names) * share / 1000))) for kind, share in FAULTS.items()]
    for index, kind in enumerate(kind for kind, count in counts for _ in range(count)):
        if "duplicate" in kind:
            source = names[order[index % len(order)]]
            name, data = _copy(folder / source, kind, index, rng)
        else:
            source, (name, data) = "", _spoil(kind, state, index)
        (folder / name).write_bytes(data)
        planted[name] = {"fault": kind} | ({"copy_of": source} if source else {})
    return planted


def _copy(source: Path, kind: str, index: int, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return a second file of the same face: other bytes when near, other labels by ``kind``."""
    age, gender, race, _ = source.name.split("_")
    data = source.read_bytes()
    if kind in ("duplicate-age", "near-duplicate"):
        step = int(rng.integers(2, 9))
        age = int(age) + (step if int(age) < 50 else -step)
    if kind == "duplicate-gender":
        gender = 1 - int(gender)
    if kind == "near-duplicate":
        left, top = (int(v) for v in rng.integers(0, 2, 2))
        image = Image.open(BytesIO(data)).crop((left, top, SIZE + left - 1, SIZE + top - 1))
        image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        bright = 1.0 + 0.02 * int(rng.integers(1, 4))
        data = _jpeg(image.point(lambda v: min(255, round(v * bright))), int(rng.integers(60, 71)))
    return f"{age}_{gender}_{race}_{_stamp(1, index)}.jpg.chip.jpg", data


def _spoil(kind: str, state: int, index: int) -> tuple[str, bytes]:
    """Return a face of its own with one blemish of the file or of its name."""
    name, image = _face(state, index, kind=2, age=116 if kind == "ancient" else None)
    age, gender, race, rest = name.split("_")
    data = _jpeg(image)
    renamed = {
        "name-no-race": f"{age}_{gender}_{rest}",
        "name-no-dot": name.replace(".jpg.chip", "jpg.chip"),
        "name-space": name.replace(".jpg.chip", " .jpg.chip"),
        "name-no-age": f"_{gender}_{race}_{rest}",
    }
    recoded = {
        "truncated": lambda: data[: len(data) // 2],
        "empty": lambda: b"",
        "text": lambda: b"This is a line of text, not a picture.\n",
        "png": lambda: _jpeg(image, kind="PNG"),
        "grey": lambda: _jpeg(image.convert("L")),
        "cmyk": lambda: _jpeg(image.convert("CMYK")),
        "rgba": lambda: _jpeg(image.convert("RGBA"), kind="PNG"),
        "not-square": lambda: _jpeg(image.crop((0, 0, SIZE, SIZE - 40))),
    }
    return renamed.get(kind, name), recoded.get(kind, lambda: data)()
