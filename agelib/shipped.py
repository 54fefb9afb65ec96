"""The network that comes with the collection, and what is known about it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agelib import paths
from agelib.files import DataError
from agelib.networks import SHIPPED, load_network

if TYPE_CHECKING:
    import keras

NETWORK, FACTS, CARD = "age-and-gender.keras", "facts.json", "README.md"


def shipped_folder() -> Path:
    """Return the folder of the shipped network, always the collection's own."""
    return paths.root() / "models-and-results" / SHIPPED


def load_shipped(folder: Path | None = None) -> tuple[keras.Model, dict[str, Any]]:
    """Load the shipped network and its facts.

    Parameters
    ----------
    folder : Path, optional
        Another folder than the collection's own.

    Returns
    -------
    tuple of keras.Model and dict
        The network in float32; contents of ``facts.json``.

    Raises
    ------
    DataError
        If a file is missing, or the network is not the one that the facts are about.
    """
    folder = folder or shipped_folder()
    remedy = "restore it from git, or make it with 'python -m agelib ship EXPERIMENT'"
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        content = (folder / NETWORK).read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: no whole shipped network ({error}); {remedy}") from error
    if hashlib.sha256(content).hexdigest() != facts["network"]["sha256"]:
        raise DataError(f"{folder / NETWORK} is not the file that {FACTS} is about; {remedy}")
    return load_network(folder / NETWORK), facts
