"""The command ``python -m agelib fetch``: obtain a data set, or be told how."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agelib.files import DataError
from agelib.paths import datasets_dir

if TYPE_CHECKING:
    from agelib.downloads import Download
    from agelib.remote import RemoteFile


def add_fetch_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    fetch = commands.add_parser(
        "fetch",
        help="download a data set, or be told how to get it",
        description="Download a data set's archive to where `prepare` finds it. Interrupted, the "
        "next call goes on. What its authors give on request only is explained step by step. "
        "Without a NAME, list what there is.",
    )
    fetch.set_defaults(command=_fetch)
    fetch.add_argument("name", nargs="?", metavar="NAME", help="such as utkface")
    fetch.add_argument(
        "--accept-licence",
        action="store_true",
        help="you have read the terms and keep to them; asked on a terminal otherwise",
    )


def _fetch(options: argparse.Namespace) -> int:
    from agelib import downloads

    if options.name is None:
        return _list()
    download = downloads.get(options.name)
    print(f"{download.title}\npage: {download.page}\nterms: {download.licence}")
    if not download.files:
        print("It cannot be downloaded by a program:")
        _tell_steps(download)
        return 1
    missing = [file for file in download.files if not (datasets_dir() / file.name).exists()]
    if missing:
        _require_accepted(options.accept_licence, missing)
    for file in download.files:
        _bring(file, datasets_dir())
    print("Next:")
    _tell_steps(download)
    return 0


def _list() -> int:
    from agelib import downloads

    for name in downloads.names():
        download = downloads.get(name)
        how = "" if download.files else " (by hand: step by step)"
        print(f"{name:14}{download.title}{how}")
    return 0


def _tell_steps(download: Download) -> None:
    for number, step in enumerate(download.steps, 1):
        print(f"  {number}. {step}")
    print(f"The folder of data sets is {datasets_dir()}")


def _require_accepted(accepted: bool, files: list[RemoteFile]) -> None:
    """Say how much will be downloaded, and go on only when the terms are accepted."""
    from agelib.fetch import look

    terminal = sys.stdin is not None and sys.stdin.isatty()
    if not accepted and not terminal:
        raise DataError("read the terms; if you keep to them, call it with --accept-licence")
    for file in files:
        size = file.size or look(file).size
        print(f"{file.name}: {size:,} bytes from {file.host}")
    if accepted:
        return
    try:
        answer = input("Do you accept the terms? Type yes: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() != "yes":
        raise DataError("the terms were not accepted; nothing was downloaded")


def _bring(file: RemoteFile, folder: Path) -> None:
    from agelib.remote import SourceError

    *first, last = file.sources
    for source, following in zip(first, file.sources[1:], strict=True):
        try:
            return _download(source, folder)
        except SourceError as error:
            print(f"agelib: {error}\nagelib: trying {following.host} instead", file=sys.stderr)
    return _download(last, folder)


def _download(file: RemoteFile, folder: Path) -> None:
    from tqdm import tqdm

    from agelib.fetch import fetch_file

    shape = {"unit": "B", "unit_scale": True, "desc": file.name}
    with tqdm(file=sys.stderr, disable=None, leave=False, **shape) as bar:

        def show(done: int, total: int) -> None:
            if bar.total is None:
                # What an earlier call brought must not count for the speed.
                bar.total, bar.initial, bar.n = total, done, done
            bar.update(done - bar.n)

        fetched = fetch_file(file, folder, progress=show)
    how = f"{fetched.received:,} bytes downloaded" if fetched.received else "in place already"
    print(f"{fetched.path}: {fetched.size:,} bytes, {how}")
    known = "as published" if file.checksum else "none is published: note it, to compare"
    print(f"{fetched.checksum} ({known})")
