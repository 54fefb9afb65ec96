"""The command ``python -m agelib export``: a trained network for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

_FORMATS = ("keras", "onnx", "saved-model", "tflite")


def add_export_command(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line's.

    Parameters
    ----------
    commands : argparse subparsers
        From ``ArgumentParser.add_subparsers``.
    """
    export = commands.add_parser(
        "export",
        help="write a trained network as ONNX, TensorFlow Lite, SavedModel or Keras",
        description="Write a trained network for other programs. The file takes bytes, uint8 RGB "
        "faces aligned like UTKFace's in the network's size, and carries all preprocessing, also "
        "the mirror image where the record's numbers take it in; its outputs are compared with "
        "Keras's before it is kept. Its age is what the experiment's head answers: probabilities "
        "of the classes, of an ordinal head those of being older than each, or a number.",
    )
    export.set_defaults(command=_export)
    export.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        help="'shipped', a record's folder, or chapter/name as in the results",
    )
    export.add_argument("--to", choices=_FORMATS, required=True, help="format")
    export.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="answer with the mean over a face and its mirror image (default: as the experiment "
        "was tested); without it a call computes half as much",
    )
    export.add_argument("--out", type=Path, metavar="PATH", help="default: its name, here")


def _export(options: argparse.Namespace) -> int:
    from agelib.export import FORMATS, export
    from agelib.networks import find_network, load_network, tested_mirrored

    path = find_network(options.experiment)
    own_name = path.resolve().parent.name if path.name == "model.keras" else path.stem
    target = options.out or Path(f"{own_name}-{options.to}{FORMATS[options.to]}")
    network = load_network(path)
    mirrored = tested_mirrored(path) if options.mirror is None else options.mirror
    difference = export(network, target, options.to, mirrored=mirrored)
    size = "x".join(str(side) for side in network.input_shape[1:3])
    faces = ", with its mirror image" if mirrored else ""
    print(f"{target}: uint8 RGB ({size}){faces}, within {difference:.1g} of Keras")
    return 0
