"""The command ``python -m agelib predict``: ages of the faces in photographs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from agelib.files import DataError

if TYPE_CHECKING:
    from agelib.predict import Prediction

_STDIN = "-"
_LONGEST_NAME = 240  # bytes; file systems take 255


def add_predict_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    predict = commands.add_parser(
        "predict",
        help="estimate the ages of the faces in your own photos",
        description="Find every face, cut it out like the faces of the training, and estimate its "
        "age. Everything happens on this machine. Exit status 1 when a photo could not be read.",
    )
    predict.set_defaults(command=_predict)
    predict.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="photo, folder of photos, or - for one on stdin"
    )
    predict.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=".csv or .json (with the whole "
        "distribution); also written, with what is done, when the work ends early",
    )
    predict.add_argument(
        "--draw", type=Path, metavar="FOLDER", help="copies with boxes, as PNG, into this folder"
    )
    predict.add_argument(
        "--aligned", action="store_true", help="the photos are faces cut out like UTKFace's chips"
    )


def _predict(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from agelib.predict import Predictor
    from agelib.predictions_file import check_target, lines, write_drawing, write_predictions

    photos = list(_photos(options.photos, options.draw))
    if options.out:
        check_target(options.out)
    predictor = Predictor.shipped()
    kept: list[Prediction] = []
    taken: set[Path] = set()
    try:
        with tqdm(photos, unit=" photos", file=sys.stderr, disable=None, leave=False) as bar:
            for place, name, copy in photos:
                source = sys.stdin.buffer.read() if place is None else place
                prediction = predictor.predict(source, name=name, aligned=options.aligned)
                # Without the pictures, so that a folder of thousands stays small.
                kept.append(prediction.without_pictures())
                if not options.out:
                    bar.write("\n".join(lines(prediction)), file=sys.stdout)
                elif prediction.failed:
                    bar.write(f"agelib: {name}: {prediction.problem}", file=sys.stderr)
                if options.draw and prediction.image:
                    write_drawing(_free(options.draw, copy, taken), prediction)
                bar.update()
    finally:
        # Also when it is interrupted, or the disk of the drawn copies is full.
        if options.out and kept:
            write_predictions(options.out, kept)
        if len(kept) < len(photos):
            left = f"; {options.out} has them" if options.out and kept else ""
            print(f"agelib: {len(kept)} of {len(photos)} photos done{left}", file=sys.stderr)
    return _conclude(kept, options.out)


def _photos(words: list[str], drawn: Path | None) -> Iterator[tuple[Path | None, str, Path]]:
    """Yield path, name and the name of a drawn copy of every photo."""
    from agelib.photos import find_photos

    for word in words:
        path = Path(word)
        if word == _STDIN:
            yield None, "stdin", Path("stdin")
        elif path.is_dir():
            found = find_photos(path)
            if drawn:  # copies of an earlier call are no photos
                own = drawn.resolve()
                if path.resolve().is_relative_to(own):
                    raise DataError(f"--draw {drawn} holds the photos; name a folder of its own")
                found = [one for one in found if not one.resolve().is_relative_to(own)]
            if not found:
                raise DataError(f"{path}: no photos in this folder; give one that has some")
            yield from ((one, _printable(one), one.relative_to(path)) for one in found)
        else:
            yield path, _printable(word), Path(path.name)


def _printable(path: Path | str) -> str:
    """Return a path as text; bytes that are no UTF-8, as some file names have, in hexadecimal."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _free(folder: Path, name: Path, taken: set[Path]) -> Path:
    """Return where a copy goes; two photos of one name do not overwrite each other."""
    # As much of a long name as leaves room for what is added, not cut inside a letter.
    last = os.fsencode(name.name)[:_LONGEST_NAME].decode("utf-8", "ignore") or "photo"
    name = name.with_name(last)
    copies = (folder / f"{name}{suffix}.png" for suffix in chain([""], (f"-{n}" for n in count(2))))
    place = next(copy for copy in copies if copy not in taken)
    taken.add(place)
    return place


def _conclude(predictions: list[Prediction], out: Path | None) -> int:
    failed = sum(prediction.failed for prediction in predictions)
    if out or len(predictions) > 1:
        faces = sum(len(prediction.faces) for prediction in predictions)
        text = f"{_count(len(predictions), 'photo')}, {_count(faces, 'face')}"
        text += f", {failed} not read" if failed else ""
        print(text + (f": {out}" if out else ""))
    return 1 if failed else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
