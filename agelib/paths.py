"""Where things lie: found from the package, never from the current directory."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """Return the folder of the collection: the one that holds ``agelib/``."""
    return Path(__file__).resolve().parent.parent


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    # A relative one counts from the collection: notebooks and workers have other folders.
    return (root() / Path(value).expanduser()).resolve() if value else default


def datasets_dir() -> Path:
    """Return where images and stores are placed (``AGELIB_DATASETS`` overrides)."""
    return _folder("AGELIB_DATASETS", root() / "datasets")


def results_dir() -> Path:
    """Return where records are kept (``AGELIB_RESULTS`` overrides)."""
    return _folder("AGELIB_RESULTS", root() / "models-and-results")


def manifests_dir() -> Path:
    """Return the folder of the committed manifests."""
    return root() / "datasets" / "manifests"
