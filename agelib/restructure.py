"""Class folders: training, validation and test images as links, one folder a class."""

from __future__ import annotations

import dataclasses
import filecmp
import hashlib
import itertools
import os
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from agelib.files import DataError, atomic_path
from agelib.labels import LabelScheme
from agelib.protocols import PARTS, Split
from agelib.thinning import balanced


@dataclasses.dataclass(frozen=True)
class Restructured:
    """What `restructure` did.

    Parameters
    ----------
    linked, copied, present : int
        Images newly linked, newly copied, and found in place from an earlier run.
    missing : tuple of str
        Images of the plan that the source folder does not hold.
    counts : DataFrame of int64
        Images now in place; index: class folders, columns: parts.
    """

    linked: int
    copied: int
    present: int
    missing: tuple[str, ...]
    counts: pd.DataFrame


def plan(
    catalog: pd.DataFrame,
    split: Split,
    scheme: LabelScheme,
    *,
    undersample: str | None = None,
    state: int = 0,
) -> pd.DataFrame:
    """List which image goes into which class folder.

    Parameters
    ----------
    catalog : DataFrame
        The catalog that was split.
    split : Split
        The split.
    scheme : LabelScheme
        A classification scheme; images it drops are left out.
    undersample : {None, "first", "random"}
        Make all classes of the training part as small as its smallest that has images.
        ``"first"`` keeps the first files in catalog order, the rule of P1 (rijnberg), which
        favours some ages of a class; ``"random"`` draws them. Validation and test keep all their
        images, so that they measure the real mixture of ages; P1's own set, whose three parts
        were balanced together, is the protocol ``p1-decades``.
    state : int
        Random state of ``"random"``.

    Returns
    -------
    DataFrame
        Columns ``file``, ``part``, ``class_name``; sorted by part and then by file.

    Raises
    ------
    ValueError
        When the scheme has no classes or ``undersample`` is unknown.
    """
    if scheme.kind != "classification":
        raise ValueError(f"label scheme {scheme.name!r} has no classes to make folders of")
    if undersample not in (None, "first", "random"):
        raise ValueError(f"undersample is {undersample!r}; choose None, 'first' or 'random'")
    labels = scheme.of_catalog(catalog)
    parts = {part: rows[labels[rows] >= 0] for part, rows in split.parts().items()}
    if undersample:
        random = np.random.RandomState(state) if undersample == "random" else None
        parts["training"] = balanced(parts["training"], labels, random)
    rows = np.concatenate([parts[part] for part in PARTS])
    folders = np.array(scheme.folder_names, dtype=object)
    return pd.DataFrame(
        {
            "file": catalog["file"].iloc[rows].to_numpy(),
            "part": np.repeat(PARTS, [len(parts[part]) for part in PARTS]),
            "class_name": folders[labels[rows]],
        },
        dtype="str",
    )


def restructure(plan: pd.DataFrame, source: Path | str, target: Path | str) -> Restructured:
    """Lay the images of a plan out as ``target/<part>/<class>/<image>``.

    Images are hard links, or copies where the file system has no links between the two folders;
    editing a linked image edits the original. Running it again does only what is left to do.
    Nothing is ever overwritten or deleted.

    Parameters
    ----------
    plan : DataFrame
        From `plan`: columns ``file``, ``part``, ``class_name``.
    source : Path or str
        Image folder of the catalog.
    target : Path or str
        Folder to fill, outside ``source``; made when missing.

    Returns
    -------
    Restructured
        Images that have disappeared from ``source`` are listed there, and not fatal.

    Raises
    ------
    DataError
        When ``source`` is not a folder, ``target`` cannot be written, lies inside ``source``, or
        holds other images or other files under the names of the plan.
    """
    source, target = Path(source), Path(target)
    if not source.is_dir():
        raise DataError(f"the image folder {source} does not exist; place the images there")
    if target.resolve().is_relative_to(source.resolve()):
        raise DataError(
            f"{target} lies inside the image folder {source}, where its links would count as new "
            "images; choose a target outside"
        )
    places = _places(plan)
    _refuse_foreign(target, places)
    done = []
    try:
        # In all parts alike, or programs that number classes by the folders they find would
        # give a class different numbers.
        for part, name in itertools.product(PARTS, sorted(set(plan["class_name"]))):
            (target / part / name).mkdir(parents=True, exist_ok=True)
        for file, place in zip(plan["file"], places, strict=True):
            done.append(_place(source / file, target / place))
    except OSError as error:
        raise DataError(
            f"cannot write into {target}: {error.strerror or error} ({error.filename}); "
            "choose a folder that you may write to and that has room"
        ) from error
    how = pd.Series(done, dtype="str")
    in_place = plan[(how != "missing").to_numpy()]
    counts = pd.crosstab(in_place["class_name"], in_place["part"])
    counts = counts.reindex(index=sorted(set(plan["class_name"])), columns=PARTS, fill_value=0)
    return Restructured(
        linked=int((how == "linked").sum()),
        copied=int((how == "copied").sum()),
        present=int((how == "present").sum()),
        missing=tuple(plan["file"][(how == "missing").to_numpy()]),
        counts=counts,
    )


def _places(plan: pd.DataFrame) -> list[str]:
    """Return each image's path in the target; refuse names that would meet or escape."""
    names = [_flat_name(file) for file in plan["file"]]
    rows = zip(plan["part"], plan["class_name"], names, strict=True)
    places = [f"{part}/{name}/{file}" for part, name, file in rows]
    # Folded case: two names that differ in case alone are one file on many file systems.
    folded = pd.Series([place.casefold() for place in places], dtype="str")
    twice = plan["file"][folded.duplicated(keep=False).to_numpy()]
    if len(twice):
        raise DataError(f"images would share one name: {', '.join(twice[:3])}; rename one of them")
    return places


def _flat_name(file: str) -> str:
    """Return a name without folders; a hash of the whole path keeps ``a/b_c`` and ``a_b/c`` apart.

    The name of an image depends on its own path only, never on the rest of the plan.
    """
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise DataError(f"the plan names {file!r}, which leaves the image folder; correct it")
    if len(path.parts) == 1:
        return file
    mark = hashlib.sha256(file.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{'_'.join(path.parts[:-1])[:100]}-{mark}_{path.name}"


def _refuse_foreign(target: Path, places: list[str]) -> None:
    """Refuse files the plan does not name: they would be learnt from, or tested on, unnoticed."""
    planned = set(places)
    foreign = [
        path.relative_to(target).as_posix()
        for part in PARTS
        for path in sorted((target / part).rglob("*"))
        # Hidden files are the system's, or left by a copy that was interrupted.
        if not path.is_dir() and not path.name.startswith(".")
        if path.relative_to(target).as_posix() not in planned
    ]
    if foreign:
        raise DataError(
            f"{target} holds {len(foreign)} files that the plan does not name, such as "
            f"{', '.join(foreign[:3])}; choose another target or remove that folder"
        )


def _place(image: Path, place: Path) -> str:
    """Link or copy one image; return what was done."""
    if not image.is_file():
        return "present" if place.is_file() else "missing"
    if os.path.lexists(place):
        if place.is_file() and (place.samefile(image) or filecmp.cmp(image, place, shallow=False)):
            return "present"
        raise DataError(f"{place} exists and is not {image}; move it away and run again")
    try:
        return _link_or_copy(image, place)
    except FileExistsError:
        # Another process made it in the meantime.
        return _place(image, place)
    except FileNotFoundError:
        if image.is_file():
            raise
        return "missing"


def _link_or_copy(image: Path, place: Path) -> str:
    try:
        # Resolved, for a link to a symbolic link would lead nowhere from another folder.
        os.link(image.resolve(), place)
        return "linked"
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        # No links here (another disk, FAT, some network drives): a copy, whole or not at all.
        with atomic_path(place) as temporary:
            shutil.copy2(image, temporary)
        return "copied"
