"""A record is what came out of an experiment: small plain files, committed.

A record is a folder ``<results>/<dataset>/<chapter>/<slug>/`` with ``history.csv`` (one row an
epoch), ``predictions.csv.gz`` (one row per test image) and ``record.json`` (description,
metrics, circumstances). ``record.json`` is written last and holds the hashes of the other two,
so a record is there whole or not at all.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from agelib.files import DataError, atomic_path, write_json

PROBABILITY_DIGITS = 5


@dataclass(frozen=True)
class Record:
    """A record in memory.

    Parameters
    ----------
    summary : dict
        Contents of ``record.json``.
    history : DataFrame
        One row per epoch (index ``epoch``, from 1).
    predictions : DataFrame
        One row per test image.
    folder : Path
        Where it lies.
    """

    summary: dict[str, Any]
    history: pd.DataFrame = field(repr=False)
    predictions: pd.DataFrame = field(repr=False)
    folder: Path

    @property
    def experiment(self) -> dict[str, Any]:
        """The description of the experiment."""
        return self.summary["experiment"]

    @property
    def label(self) -> str:
        """Number and name, e.g. ``1.0 LeNet-5``."""
        return f"{self.experiment['number']} {self.experiment['name']}"

    @property
    def metrics(self) -> pd.DataFrame:
        """Metrics of the test part: index metric, columns value, low, high, n."""
        table = pd.DataFrame.from_dict(self.summary["metrics"], orient="index")
        return table.rename_axis("metric").astype({"n": "int64"})


def _csv(table: pd.DataFrame, *, index: bool) -> bytes:
    return table.to_csv(index=index, lineterminator="\n", float_format="%.7g").encode("utf-8")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_record(
    folder: Path, summary: dict[str, Any], history: pd.DataFrame, predictions: pd.DataFrame
) -> Record:
    """Write a record and return it as read back.

    Parameters
    ----------
    folder : Path
        Record folder; made when missing, an older record in it is replaced.
    summary : dict
        Goes into ``record.json``; must be valid JSON without NaN.
    history, predictions : DataFrame
        See :class:`Record`; the index of ``history`` is the epoch.
    """
    history_csv = _csv(history, index=True)
    predictions_csv = _csv(predictions, index=False)
    # The hash is of the text, not of the gzip stream, which may differ between zlib versions.
    summary["files"] = {
        "history.csv": _digest(history_csv),
        "predictions.csv": _digest(predictions_csv),
    }
    with atomic_path(folder / "history.csv") as temporary:
        temporary.write_bytes(history_csv)
    with atomic_path(folder / "predictions.csv.gz") as temporary:
        temporary.write_bytes(gzip.compress(predictions_csv, mtime=0))
    write_json(folder / "record.json", summary)
    return load_record(folder)


def load_record(folder: Path | str) -> Record:
    """Read a record.

    Parameters
    ----------
    folder : Path or str
        Record folder.

    Raises
    ------
    DataError
        If a file is missing, damaged, or belongs to another run than ``record.json``.
    """
    folder = Path(folder)
    try:
        summary = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        history_csv = (folder / "history.csv").read_bytes().replace(b"\r\n", b"\n")
        predictions_csv = gzip.decompress((folder / "predictions.csv.gz").read_bytes())
        digests = dict(summary["files"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: not a whole record ({error}); restore it from git or train again"
        ) from error
    found = {"history.csv": _digest(history_csv), "predictions.csv": _digest(predictions_csv)}
    for name, digest in found.items():
        if digests.get(name) != digest:
            raise DataError(
                f"{folder / name} does not belong to the record.json beside it; "
                "restore both from git or train again"
            )
    return Record(
        summary=summary,
        history=pd.read_csv(io.BytesIO(history_csv), index_col="epoch"),
        predictions=pd.read_csv(io.BytesIO(predictions_csv)),
        folder=folder,
    )


def find_records(results: Path | str) -> list[Path]:
    """Return the folders of all records below ``results``, in order of their path."""
    return sorted(path.parent for path in Path(results).glob("*/*/*/record.json"))
