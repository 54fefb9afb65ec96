"""The command line, ``python -m agelib``: run notebooks, list results, prepare data, train."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from agelib import paths
from agelib.cli_export import add_export_command
from agelib.cli_fetch import add_fetch_command
from agelib.cli_folder import add_label_options, label_folder
from agelib.cli_pending import (
    add_scheduler_option,
    add_train_command,
    pending_table,
    whole_number,
)
from agelib.cli_predict import add_predict_command
from agelib.cli_search import add_search_command
from agelib.cli_ship import add_ship_command
from agelib.files import DataError

if TYPE_CHECKING:
    import pandas as pd

    from agelib.batch import Outcome, Progress

_TABLE = (
    *("chapter", "number", "name", "dataset", "protocol", "fold", "state", "labels", "reduced"),
    *("accuracy", "low", "high", "one_off_accuracy", "mae", "mae_low", "mae_high", "cs5"),
    *("gender_accuracy", "n", "seconds"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after ``python -m agelib``; those of the process by default.

    Returns
    -------
    int
        0 done, 1 a notebook failed, a record or the disk gave trouble, 2 bad input, 130
        interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except DataError as error:
        print(f"agelib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nagelib: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone; Python must not complain again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"agelib: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agelib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute notebooks with papermill")
    run.set_defaults(command=_run)
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="03 or 03-lenet; default all")
    run.add_argument("--dataset", default="sample", help="default: sample, small and quick")
    run.add_argument("--output", type=Path, metavar="DIR", help="default: runs/DATE-TIME")
    run.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N", help="notebooks at a time"
    )
    add_scheduler_option(run)
    run.add_argument("--retrain", action="store_true", help="train even where there is a record")
    run.add_argument(
        *("-p", "--parameter"),
        **{"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", "VALUE")},
        help="set a notebook parameter; VALUE is a YAML scalar",
    )

    results = commands.add_parser("results", help="list every record")
    results.set_defaults(command=_results)
    results.add_argument("--format", choices=("table", "csv", "json"), default="table")
    results.add_argument("--long", action="store_true", help="one row for each metric")
    results.add_argument("--dataset", help="only this data set")
    results.add_argument("--protocol", help="only this protocol")
    results.add_argument("--folder", type=Path, help="results folder; default the collection's")
    results.add_argument(
        "--pending", action="store_true", help="instead list what has no full-size record"
    )

    add_train_command(commands)
    add_search_command(commands)
    add_fetch_command(commands)
    add_predict_command(commands)
    add_export_command(commands)
    add_ship_command(commands)

    prepare = commands.add_parser("prepare", help="archive or folder -> manifest -> store")
    prepare.set_defaults(command=_prepare)
    prepare.add_argument("dataset", metavar="DATASET")
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
    add_label_options(prepare)
    return parser


def _run(options: argparse.Namespace) -> int:
    from agelib import batch, datasets
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

    output = options.output.resolve() if options.output else _new_folder(paths.root() / "runs")
    environment: dict[str, str] = {}
    if options.dataset == "sample":
        # Drawn faces and quick records stay beside the executed notebooks, away from the
        # collection's own.
        folders = {"AGELIB_DATASETS": "datasets", "AGELIB_RESULTS": "models-and-results"}
        environment = {name: str(output / folder) for name, folder in folders.items()}
        for folder in environment.values():
            Path(folder).mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    outcomes = batch.run_collection(
        notebooks,
        parameters=parameters,
        output=output,
        jobs=options.jobs,
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


def _results(options: argparse.Namespace) -> int:
    from agelib import results

    if options.pending:
        return _list_pending(options)
    make = results.long_table if options.long else results.results_table
    table = make(options.folder)
    problems = table.attrs.get("problems", [])
    for column in ("dataset", "protocol"):
        wanted = getattr(options, column)
        if wanted is None:
            continue
        if wanted not in set(table[column]):
            there = ", ".join(sorted(set(table[column]))) or "none"
            raise DataError(f"no record of {column} {wanted!r}; there are: {there}")
        table = table[table[column] == wanted]
    sys.stdout.write(_formatted(table, options.format))
    for problem in problems:
        print(f"agelib: left out {problem}", file=sys.stderr)
    return 1 if problems else 0


def _list_pending(options: argparse.Namespace) -> int:
    if options.long:
        raise DataError("--long goes with records, not with --pending")
    table = pending_table(options.folder, dataset=options.dataset, protocol=options.protocol)
    none = table.empty and options.format == "table"
    sys.stdout.write("nothing is pending\n" if none else _formatted(table, options.format))
    return 0


def _formatted(table: pd.DataFrame, form: str) -> str:
    if form == "csv":
        return table.to_csv(index=False, lineterminator="\n")
    if form == "json":
        return table.to_json(orient="records", indent=1, force_ascii=False) + "\n"
    if table.empty:
        return "no records\n"
    if set(_TABLE) <= set(table):
        said = table.notna() & ~table.isin([""])
        table = table[[name for name in _TABLE if said[name].any()]]
    return table.map(_cell).to_string(index=False) + "\n"


def _cell(value: Any) -> str:
    if str(value) in ("None", "nan", "<NA>"):
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _prepare(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from agelib.prepare import prepare

    label_folder(options)
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
