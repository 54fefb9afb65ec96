"""The command line, ``python -m agelib``: run notebooks, list results, prepare data, train."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agelib.cli_export import add_export_command
from agelib.cli_fetch import add_fetch_command
from agelib.cli_pending import add_train_command, pending_table
from agelib.cli_predict import add_predict_command
from agelib.cli_prepare import add_prepare_command
from agelib.cli_run import add_run_command
from agelib.cli_search import add_search_command
from agelib.cli_ship import add_ship_command
from agelib.files import DataError

if TYPE_CHECKING:
    import pandas as pd

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
        0 done, 1 a notebook or a record failed or the system gave trouble, 2 bad input or a file
        that cannot be written, 130 interrupted.
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

    add_run_command(commands)

    results = commands.add_parser(
        "results",
        help="list every record",
        description="List every record with its metrics on the test part and their 95 % "
        "intervals, as a table for reading or as CSV or JSON with all columns.",
    )
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
    add_prepare_command(commands)
    return parser


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
