"""The command ``python -m agelib run``: notebooks, executed with papermill."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from agelib import paths
from agelib.cli_pending import add_scheduler_option, whole_number
from agelib.cores import available_cores
from agelib.files import DataError

if TYPE_CHECKING:
    from agelib.batch import Outcome, Progress


def add_run_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    run = commands.add_parser(
        "run",
        help="execute notebooks with papermill",
        description="Execute notebooks with papermill, each as soon as those it needs are done, "
        "and keep them with their outputs in a folder of their own. On the built-in sample they "
        "train small and quickly, apart from the published records; on a data set they read "
        "records and train what has none.",
    )
    run.set_defaults(command=_run)
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="03 or 03-lenet; default all")
    run.add_argument("--dataset", default="sample", help="default: sample, small and quick")
    run.add_argument("--output", type=Path, metavar="DIR", help="default: runs/DATE-TIME")
    run.add_argument(
        "--jobs",
        type=whole_number,
        metavar="N",
        help="notebooks at a time; default: on the sample 2 where there are two cores, else 1",
    )
    add_scheduler_option(run)
    run.add_argument("--retrain", action="store_true", help="train even where there is a record")
    run.add_argument(
        *("-p", "--parameter"),
        **{"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", "VALUE")},
        help="set a notebook parameter; VALUE is a YAML scalar",
    )


def _run(options: argparse.Namespace) -> int:
    from agelib import batch, datasets
    from agelib.cluster import side_by_side
    from agelib.notebooks import find_notebooks, notebook_parameters, parse_value

    datasets.get(options.dataset)
    notebooks = find_notebooks(options.chapters)
    parameters: dict[str, Any] = {}
    if options.dataset == "sample":
        declared = set().union(*map(notebook_parameters, notebooks))
        parameters = {name: value for name, value in batch.QUICK.items() if name in declared}
    parameters["DATASET"] = options.dataset
    if options.retrain:
        parameters["RETRAIN"] = True
    parameters |= {name: parse_value(value) for name, value in options.parameter}
    if parameters["DATASET"] != options.dataset:
        raise DataError("choose the data set with --dataset, not with -p DATASET")

    cores = available_cores()
    jobs = options.jobs or (min(2, cores) if options.dataset == "sample" else 1)
    output = options.output.resolve() if options.output else _new_folder(paths.root() / "runs")
    environment = {} if options.scheduler or jobs == 1 else side_by_side(jobs)
    if options.dataset == "sample":
        # Drawn faces and quick records stay beside the executed notebooks, away from the
        # collection's own.
        folders = {"AGELIB_DATASETS": "datasets", "AGELIB_RESULTS": "models-and-results"}
        for name, folder in folders.items():
            environment[name] = str(output / folder)
            (output / folder).mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    outcomes = batch.run_collection(
        notebooks,
        parameters=parameters,
        output=output,
        jobs=jobs,
        scheduler=options.scheduler,
        environment=environment,
        progress=_Meter(sys.stderr),
    )
    return _conclude(outcomes, output, time.monotonic() - started)


def _new_folder(parent: Path) -> Path:
    name = time.strftime("%Y-%m-%d-%H%M%S")
    parent.mkdir(exist_ok=True)
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        try:
            (parent / f"{name}{suffix}").mkdir()
        except FileExistsError:
            continue
        return parent / f"{name}{suffix}"
    raise DataError(f"{parent}: a hundred runs started in this second; name one with --output")


def _conclude(outcomes: list[Outcome], output: Path, seconds: float) -> int:
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    lost = [outcome for outcome in outcomes if outcome.status != "done"]
    for outcome in lost:
        print(f"{outcome.name} {outcome.status}: {outcome.reason}", file=sys.stderr)
    # From inside the collection a short path, which can be clicked and completed.
    inside = output.is_relative_to(Path.cwd())
    folder = output.relative_to(Path.cwd()) if inside else output
    count = f"{len(done)} of {len(outcomes)}" if lost else f"{len(done)}"
    noun = "notebook" if count == "1" else "notebooks"
    print(f"{count} {noun} executed in {_clock(seconds)}: {folder}")
    return 1 if lost else 0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Meter:
    """Writes the progress of a run: one line redrawn on a terminal, else one for each change."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.redraw = stream.isatty()
        self.shown: object = None

    def __call__(self, state: Progress) -> None:
        if not state.running:
            text = ""
        else:
            at = min(len(state.outcomes) + 1, state.total)
            text = f"[{at} of {state.total}] {', '.join(state.running)}"
            text += f" - elapsed {_clock(state.elapsed)}, about {_clock(state.remaining)} remaining"
        key = text if self.redraw else state.running
        if key == self.shown:
            return
        self.shown = key
        if self.redraw:
            width = shutil.get_terminal_size().columns
            self.stream.write(f"\r{text[: width - 1]}\x1b[K")
        elif text:
            self.stream.write(f"{text}\n")
        self.stream.flush()
