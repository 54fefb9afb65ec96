"""The command ``python -m agelib search``: one worker of the topology search."""

from __future__ import annotations

import argparse

from agelib.cli_pending import add_scheduler_option, tell, whole_number


def add_search_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    search = commands.add_parser(
        "search",
        help="train the topology search's trials; several processes share the work",
        description="Train the trials of P3's topology search that have no record yet. Start it "
        "as often as there are processors: the processes share one study and never train the "
        "same. Stopped, it goes on where it was. On machines that share no folder, commit the "
        "records: they are the study.",
    )
    search.set_defaults(command=_search)
    search.add_argument("--dataset", default="utkface", help="default: utkface")
    search.add_argument(
        "--budget",
        type=whole_number,
        metavar="MINUTES",
        help="stop after this; the next call goes on",
    )
    search.add_argument(
        "--extra",
        type=whole_number,
        default=0,
        metavar="N",
        help="after the given trials, N more that the sampler proposes",
    )
    search.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N", help="trials at a time"
    )
    add_scheduler_option(search)
    study = search.add_argument_group(
        "study", "The defaults are those of the published study; anything else is another study."
    )
    study.add_argument("--image-size", type=whole_number, default=80, help="in pixels; default 80")
    study.add_argument(
        "--epochs", type=whole_number, default=4, help="budget of a trial; default 4"
    )
    study.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        default="mixed_bfloat16",
        help="of computing; default mixed_bfloat16",
    )


def _search(options: argparse.Namespace) -> int:
    from agelib import datasets
    from agelib.lab import Lab
    from agelib.pending import Trained
    from agelib.search import search
    from agelib.trials import candidates

    failed = False

    def told(outcome: Trained) -> None:
        nonlocal failed
        failed |= outcome.status == "failed"
        tell(outcome)

    datasets.get(options.dataset)
    experiments = candidates(
        options.dataset,
        image_size=options.image_size,
        epochs=options.epochs,
        precision=options.precision,
    )
    budget = None if options.budget is None else 60 * options.budget
    lab = Lab(options.dataset, retrain=False, epochs=None, jobs=None)
    where = {"scheduler": options.scheduler, "jobs": options.jobs}
    records = search(lab, experiments, extra=options.extra, budget=budget, told=told, **where)
    pruned = sum(bool(record.summary.get("pruned")) for record in records)
    total = len(experiments) + options.extra
    print(f"{len(records)} of {total} trials have a record, {pruned} of them pruned")
    return 1 if failed else 0
