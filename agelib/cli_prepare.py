"""The command ``python -m agelib prepare``: from an archive or a folder to manifest and store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agelib.cli_pending import add_scheduler_option, whole_number
from agelib.files import DataError

# Said again here: a help page does not wait for pandas, which the readers of the data sets need.
_DATASETS = "utkface, adience, adience-faces, sample, utkface-wild, imdb-wiki, folder"


def add_prepare_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    prepare = commands.add_parser(
        "prepare",
        help="archive or folder -> manifest -> store",
        description="Unpack a data set's archive, or link its folder, to where the collection "
        "looks for it, list its images in a manifest unless one is committed, and convert them "
        "to a store of one size.",
    )
    prepare.set_defaults(command=_prepare)
    prepare.add_argument("dataset", metavar="DATASET", help=f"one of {_DATASETS}")
    prepare.add_argument("source", nargs="?", type=Path, metavar="SOURCE", help="archive or folder")
    prepare.add_argument(
        "--size", type=whole_number, default=128, help="side in pixels; default 128"
    )
    prepare.add_argument("--color", choices=("rgb", "grey"), default="rgb")
    prepare.add_argument(
        "--jobs", type=whole_number, metavar="N", help="threads; default all cores"
    )
    add_scheduler_option(prepare)
    prepare.add_argument(
        "--own",
        action="store_true",
        help="draw a manifest of these images although one is committed",
    )
    labels = prepare.add_mutually_exclusive_group()
    labels.add_argument(
        "--table", type=Path, metavar="CSV", help="of an own folder: file,age[,gender][,person]"
    )
    labels.add_argument("--pattern", help="or what its names look like, such as '{age}_*.jpg'")
    prepare.add_argument(
        "--age-rule", choices=("p4", "mid-year"), help="of imdb-wiki: the year of life; default p4"
    )
    prepare.add_argument(
        "--filters", choices=("p4-code", "p4-text"), help="of imdb-wiki; default p4-code"
    )


def _prepare(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from agelib.prepare import prepare

    reading, labels = _reading(options), _labels(options)
    with tqdm(unit=" images", file=sys.stderr, disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        prepared = prepare(
            options.dataset,
            options.source,
            size=options.size,
            color=options.color,
            own=options.own,
            reading=reading,
            labels=labels,
            jobs=options.jobs,
            scheduler=options.scheduler,
            progress=show,
        )
    for name, count in prepared.counts.items():
        print(f"{name}: {count:,}")
    for note in prepared.notes:
        print(f"note: {note}")
    print(f"image folder: {prepared.images}")
    print(f"manifest: {prepared.manifest}")
    print(f"store: {prepared.store}")
    print(f"{prepared.seconds:.1f} s")
    return 0


def _reading(options: argparse.Namespace) -> dict[str, str]:
    """Return what the reader is told; refuse what it would not understand."""
    asked = {"age_rule": options.age_rule, "filters": options.filters}
    reading = {name: value for name, value in asked.items() if value is not None}
    if reading and options.dataset != "imdb-wiki":
        option = next(iter(reading)).replace("_", "-")
        raise DataError(f"--{option} is for imdb-wiki; {options.dataset} has nothing to choose")
    return reading


def _labels(options: argparse.Namespace) -> dict[str, Path | str]:
    """Return where the labels of an own folder are; refuse them for a data set with its own."""
    asked = {"table": options.table, "pattern": options.pattern}
    labels = {name: value for name, value in asked.items() if value is not None}
    if labels and options.dataset != "folder":
        raise DataError(f"{options.dataset} has labels of its own; --table is for an own folder")
    return labels
