"""Trained networks as files: found by a word, loaded safely, in plain float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import agelib.models  # noqa: F401 - the architectures' own layers must be known before loading
from agelib import paths
from agelib.backend import keras
from agelib.files import DataError, read_json

SHIPPED = "shipped"

# What stands beside a network of a record and beside the shipped one, and tells of its experiment.
_DESCRIBED = {"model.keras": "record.json", "age-and-gender.keras": "facts.json"}


def find_network(experiment: str) -> Path:
    """Return the network file that a word of the command line means.

    Parameters
    ----------
    experiment : str
        ``shipped`` for the shipped model; else a ``.keras`` file, or a record's folder, as a path
        or as ``chapter/name`` or ``dataset/chapter/name`` among the results.

    Raises
    ------
    DataError
        If there is no such record, or its network is not kept beside it.
    """
    results = paths.results_dir()
    if experiment == SHIPPED:
        # Shipped with the collection: another results folder does not change it.
        found = sorted((paths.root() / "models-and-results" / SHIPPED).glob("*.keras"))
        if len(found) != 1:
            raise DataError(
                f"models-and-results/{SHIPPED} holds {len(found)} networks instead of one; restore "
                "it from git, or make it with 'python -m agelib ship EXPERIMENT'"
            )
        return found[0]
    if experiment.endswith(".keras"):
        if not Path(experiment).is_file():
            raise DataError(f"{experiment}: there is no such file; give one, or a record's folder")
        return Path(experiment)
    places = [Path(experiment), results / experiment, *sorted(results.glob(f"*/{experiment}"))]
    records = [place for place in places if (place / "record.json").is_file()]
    if not records:
        raise DataError(
            f"{experiment!r} is no record: give its folder, or chapter/name as they stand in "
            f"{results.name}/, or '{SHIPPED}'"
        )
    network = records[0] / "model.keras"
    if not network.is_file():
        raise DataError(
            f"model.keras of {records[0].name} is not here: records are published without "
            "networks; train it again with --retrain"
        )
    return network


def tested_mirrored(path: Path) -> bool:
    """Return whether the numbers of a network take in the mirror image of each face.

    Parameters
    ----------
    path : Path
        ``.keras`` file.

    Returns
    -------
    bool
        ``flip_at_test`` of the experiment; False for a file that no experiment stands beside.

    Raises
    ------
    DataError
        If what stands beside it cannot be read.
    """
    beside = path.parent / _DESCRIBED.get(path.name, "")
    if not beside.is_file():
        return False
    facts = read_json(beside)
    try:
        return bool(facts.get("experiment", {}).get("flip_at_test", False))
    except AttributeError:
        raise DataError(
            f"{beside}: it describes no experiment; restore it from git or make it again"
        ) from None


def load_network(path: Path | str) -> keras.Model:
    """Load a network for use, not for training, in Keras's safe mode.

    Parameters
    ----------
    path : Path or str
        ``.keras`` file.

    Returns
    -------
    keras.Model
        In float32, not compiled; without the output of race that some learn along.

    Raises
    ------
    DataError
        If the file is not a Keras network, is damaged, or holds code (a Lambda layer).
    """
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); see that it is in place") from error
    except Exception as error:  # whatever a damaged archive or a foreign layer raises
        reason = str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: not a network that can be loaded ({reason}); export it again, or train again"
        ) from error
    return in_float32(without_race(network))


def without_race(network: keras.Model) -> keras.Model:
    """Return the network without an output of race, and without that output's weights.

    A record's own file keeps it: another experiment may start from it.

    Parameters
    ----------
    network : keras.Model
        A functional network.
    """
    outputs = network.output
    if not isinstance(outputs, dict) or "race" not in outputs:
        return network
    kept = {name: tensor for name, tensor in outputs.items() if name != "race"}
    return keras.Model(network.input, kept, name=network.name)


def in_float32(network: keras.Model) -> keras.Model:
    """Return the network computing in float32; what was trained in mixed precision is copied.

    Few processors and no exported format compute in bfloat16; the weights are float32 anyhow.

    Parameters
    ----------
    network : keras.Model
        A functional network.
    """
    config = network.get_config()
    plain = _in_float32(config)
    if plain == config:
        return network
    copy = type(network).from_config(plain)
    copy.set_weights(network.get_weights())
    return copy


def _in_float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_float32(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_in_float32, value))
    return "float32" if value in ("mixed_bfloat16", "mixed_float16") else value
