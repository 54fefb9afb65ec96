"""The command ``python -m agelib ship``: make a trained network the shipped one."""

from __future__ import annotations

import argparse


def add_ship_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    ship = commands.add_parser(
        "ship",
        help="make a record's network the one that predict uses",
        description="Copy a record's network, in float32, into the collection, with its facts and "
        "a model card. It must estimate a distribution over years and a gender.",
    )
    ship.set_defaults(command=_ship)
    ship.add_argument("experiment", metavar="EXPERIMENT", help="a record's folder, or chapter/name")


def _ship(options: argparse.Namespace) -> int:
    from agelib.networks import find_network
    from agelib.shipping import ship

    facts = ship(find_network(options.experiment).parent)
    mae = facts["metrics"]["mae"]
    print(f"{facts['record']}: {facts['network']['megabytes']} MB")
    print(f"MAE {mae['value']:.2f} [{mae['low']:.2f}, {mae['high']:.2f}] years, n = {mae['n']:,}")
    return 0
