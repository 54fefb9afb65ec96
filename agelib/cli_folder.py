"""Options of ``python -m agelib prepare folder``: where the labels of one's own images are."""

from __future__ import annotations

import argparse
from pathlib import Path

from agelib.files import DataError


def add_label_options(prepare: argparse.ArgumentParser) -> None:
    """Add ``--table`` and ``--pattern`` to the command ``prepare``.

    Parameters
    ----------
    prepare : argparse.ArgumentParser
        The parser of the command.
    """
    labels = prepare.add_mutually_exclusive_group()
    labels.add_argument(
        "--table", type=Path, metavar="CSV", help="of an own folder: file,age[,gender][,person]"
    )
    labels.add_argument("--pattern", help="or what its names look like, such as '{age}_*.jpg'")


def label_folder(options: argparse.Namespace) -> None:
    """Keep the labels that the options give; without such options do nothing.

    Parameters
    ----------
    options : argparse.Namespace
        ``dataset``, ``source``, ``table`` and ``pattern``.

    Raises
    ------
    DataError
        When the data set has labels of its own, or see `agelib.datasets.folder.label`.
    """
    if options.table is None and options.pattern is None:
        return
    from agelib import datasets

    if options.dataset != "folder":
        raise DataError(f"{options.dataset} has labels of its own; --table is for an own folder")
    images = datasets.images_folder("folder")
    datasets.folder.label(
        options.source or images, images.parent, table=options.table, pattern=options.pattern
    )
