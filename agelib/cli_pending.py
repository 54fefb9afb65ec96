"""The command ``python -m agelib train``, and the table of what is pending."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from agelib.files import DataError

if TYPE_CHECKING:
    import pandas as pd

    from agelib.pending import Pending, Trained


def whole_number(text: str) -> int:
    """Return an option's value as a whole number from 1 up, for ``argparse``."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def tell(outcome: Trained) -> None:
    """Print what became of a training, one line as it comes."""
    what = outcome.experiment.slug if outcome.experiment else "a trial"
    print(f"{outcome.status}: {what} {outcome.reason}".rstrip(), flush=True)


def add_scheduler_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--scheduler`` to a command that can send its tasks to a cluster."""
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="send the work to the workers of this Dask scheduler (tcp://host:8786, or its "
        "scheduler file); needs agelib[cluster]",
    )


def add_train_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    train = commands.add_parser(
        "train",
        help="train what has no full-size record",
        description="Train experiments that so far have a reduced record or none, most valuable "
        "first. Interrupted or out of budget, it keeps a checkpoint, and the next call goes on.",
    )
    train.set_defaults(command=_train)
    # Spelled out, so that `train` alone never starts hours of work.
    train.add_argument(
        "--pending", action="store_true", required=True, help="required: all of it, in order"
    )
    train.add_argument(
        "--budget", type=whole_number, metavar="MINUTES", help="stop after this many minutes"
    )
    train.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N", help="experiments at a time"
    )
    add_scheduler_option(train)
    train.add_argument(
        "--devices",
        type=whole_number,
        default=1,
        help="GPUs that share each batch of an experiment (default 1); TensorFlow and JAX",
    )
    train.add_argument("--dataset", help="only this data set")
    train.add_argument("--chapter", help="only this chapter: 12 or 12-wide-resnet")


def pending_table(
    folder: Path | None, *, dataset: str | None = None, protocol: str | None = None
) -> pd.DataFrame:
    """Return what is pending, one row each, in the order in which it would be trained.

    Parameters
    ----------
    folder : Path or None
        Results folder; the collection's own when None.
    dataset, protocol : str, optional
        Only of these.

    Returns
    -------
    DataFrame
        What the experiment is, at full size; ``hours`` of training on the hardware that made the
        reduced record, missing where there is none; ``reason``.

    Raises
    ------
    DataError
        If there is no such data set or protocol.
    """
    import pandas as pd

    names = ("chapter", "number", "name", "dataset", "protocol", "fold", "state", "image_size")
    rows = [
        {name: getattr(entry.experiment, name) for name in names}
        | {
            "epochs": entry.experiment.recipe.epochs,
            "hours": None if entry.seconds is None else entry.seconds / 3600,
            "reason": entry.reason,
        }
        for entry in _waiting(folder, dataset=dataset, protocol=protocol)
    ]
    return pd.DataFrame(rows).astype({"fold": "Int64"}) if rows else pd.DataFrame()


def _waiting(
    folder: Path | None = None,
    *,
    dataset: str | None,
    protocol: str | None = None,
    chapter: str | None = None,
) -> list[Pending]:
    """Return what is pending of these alone; refuse a name that nothing has."""
    from agelib import datasets
    from agelib.notebooks import find_notebooks
    from agelib.pending import pending
    from agelib.protocols import PROTOCOLS

    entries = pending(folder)
    if dataset is not None:
        datasets.get(dataset)
    if protocol is not None and protocol not in PROTOCOLS:
        raise DataError(f"no protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    chapters = {entry.experiment.chapter for entry in entries}
    if chapter in chapters:
        # Also one that an own program gave and no notebook has.
        chapters = {chapter}
    elif chapter is not None:
        chapters = {path.stem for path in find_notebooks([chapter])}
    return [
        entry
        for entry in entries
        if dataset in (None, entry.experiment.dataset)
        and protocol in (None, entry.experiment.protocol)
        and entry.experiment.chapter in chapters
    ]


def _train(options: argparse.Namespace) -> int:
    from agelib.pending import train_pending

    entries = _waiting(dataset=options.dataset, chapter=options.chapter)
    budget = None if options.budget is None else 60 * options.budget
    where = {"scheduler": options.scheduler, "jobs": options.jobs, "devices": options.devices}
    outcomes = train_pending(entries, budget=budget, told=tell, **where)
    done = sum(outcome.status == "done" for outcome in outcomes)
    print(f"{done} trained, {len(entries) - done} pending")
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0
