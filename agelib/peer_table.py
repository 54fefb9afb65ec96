"""The table of peers: the same test images in the same run, with size and speed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from agelib.files import DataError, sha256_text
from agelib.intervals import mean_intervals
from agelib.peer_runners import SUFFIXES, Runner, load_runner
from agelib.peers import Peer, prepared, read_outputs

if TYPE_CHECKING:
    from agelib.experiment import Experiment
    from agelib.lab import Lab
    from agelib.store import Store

BATCHES = (1, 64)
_BLOCK = 64  # images estimated at a time
_REPEATS = 30  # timed calls for each size of batch
_PATIENCE = 2.0  # seconds after which a slow model is not timed again


def own_peers(lab: Lab, experiments: Mapping[str, Experiment], folder: Path) -> list[Peer]:
    """Export our own networks in every format and describe them as others would theirs.

    Parameters
    ----------
    lab : Lab
        An open data set.
    experiments : mapping of str to Experiment
        Name to experiment, with one class a year and a gender output.
    folder : Path
        Where the files go.
    """
    from agelib.export import export
    from agelib.networks import in_float32

    peers = []
    for number, (name, experiment) in enumerate(experiments.items()):
        network = in_float32(lab.network(experiment))
        for suffix in SUFFIXES:
            path = folder / f"{number}{suffix}"
            # One pass, whatever the record takes in: files of others answer once, too.
            export(network, path, suffix[1:])
            peers.append(
                Peer(
                    name=f"{name}, {suffix[1:]}", file=str(path), size=experiment.image_size,
                    dtype="uint8", age_as="distribution", gender="gender",
                )
            )  # fmt: skip
    return peers


def key(experiments: Mapping[str, Experiment], peers: Sequence[Peer]) -> str:
    """Return a name for the measurements of these peers: another set is measured anew, together.

    So is a peer whose file has changed.
    """
    told = [experiment.fingerprint for experiment in experiments.values()]
    for peer in peers:
        place = Path(peer.file)
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
        told.append(f"{dataclasses.replace(peer, file=place.name)!r} {digest}")
    return f"estimates-{sha256_text(json.dumps([list(experiments), told]))[:8]}"


def measure(
    lab: Lab, experiments: Mapping[str, Experiment], peers: Sequence[Peer]
) -> dict[str, np.ndarray]:
    """Estimate the same test images with every peer, and time them, in one run.

    Parameters
    ----------
    lab : Lab
        An open data set with its images.
    experiments : mapping of str to Experiment
        Our own, exported for this; the first one's test part is what all are scored on.
    peers : sequence of Peer
        The others.

    Returns
    -------
    dict of str to ndarray
        ``name`` (k,); ``ages`` (n,) and ``females`` (n,), the truth; for the i-th peer
        ``<i> age`` (n,) in years and ``<i> female`` (n,) where it tells; ``megabytes``,
        ``parameters`` (NaN where unknown) and ``milliseconds`` (k, 2), the median of a call with
        a batch of 1 and of 64 images.

    Raises
    ------
    DataError
        If a file cannot be loaded, does not take a batch, or its outputs are not as described.
    """
    first = next(iter(experiments.values()))
    rows = lab.split(first.protocol, first.fold).test
    known = lab.catalog.iloc[rows][["age", "gender"]].notna().all(axis=1)
    rows = rows[known.to_numpy()]
    truth = lab.catalog.iloc[rows]
    found: dict[str, np.ndarray] = {
        "ages": truth["age"].to_numpy(np.float32),
        "females": (truth["gender"] == "female").to_numpy(),
    }
    sizes, parameters, times = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        every = [*own_peers(lab, experiments, Path(folder)), *peers]
        for number, peer in enumerate(every):
            run, count = load_runner(peer.file)
            store = lab.store(peer.size, "grey" if peer.color == "grey" else "rgb")
            age, female = _estimates(peer, run, store, rows)
            found[f"{number} age"] = age.astype(np.float32).round(3)
            if female is not None:
                found[f"{number} female"] = female
            sizes.append(Path(peer.file).stat().st_size / 1e6)
            parameters.append(np.nan if count is None else count)
            batches = [prepared(peer, store.read(np.resize(rows, batch))) for batch in BATCHES]
            times.append([1e3 * _median_seconds(run, images) for images in batches])
    found["name"] = np.array([peer.name for peer in every])
    numbers = {"megabytes": sizes, "parameters": parameters, "milliseconds": times}
    return found | {name: np.array(values) for name, values in numbers.items()}


def _answer(peer: Peer, run: Runner, images: np.ndarray) -> dict[str | int, np.ndarray]:
    try:
        return run(images)
    except Exception as error:  # each of three libraries has its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"peer {peer.name!r}: {Path(peer.file).name} does not take {images.dtype} of shape "
            f"{images.shape} ({reason}); export it with a batch of any length, or mend size, "
            "layout or dtype of its description"
        ) from error


def _estimates(peer: Peer, run: Runner, store: Store, rows: np.ndarray):
    parts = [
        read_outputs(peer, _answer(peer, run, prepared(peer, store.read(rows[start:end]))))
        for start, end in pairwise([*range(0, len(rows), _BLOCK), len(rows)])
    ]
    ages, genders = zip(*parts, strict=True)
    return np.concatenate(ages), None if genders[0] is None else np.concatenate(genders)


def _median_seconds(run: Runner, images: np.ndarray) -> float:
    run(images)
    times: list[float] = []
    while len(times) < _REPEATS and (len(times) < 3 or sum(times) < _PATIENCE):
        started = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def table(found: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return what was measured, one row a peer, the smallest error first.

    Parameters
    ----------
    found : mapping of str to ndarray
        From `measure`.

    Returns
    -------
    DataFrame
        Indexed by ``peer``: ``mae`` with ``low`` and ``high`` (years, 95 % interval);
        ``gender accuracy`` with ``g low`` and ``g high``; ``n``; ``parameters``, ``MB``;
        ``ms, 1 image`` and ``ms an image, 64 at a time``.
    """
    rows = {}
    for number, name in enumerate(found["name"]):
        error = np.abs(found[f"{number} age"].astype(np.float64) - found["ages"])
        mae = mean_intervals(error).loc["all"]
        row = {"mae": mae["value"], "low": mae["low"], "high": mae["high"]}
        if f"{number} female" in found:
            right = (found[f"{number} female"] == found["females"]).astype(float)
            share = mean_intervals(right).loc["all"]
            row |= {"gender accuracy": share["value"]}
            row |= {"g low": share["low"], "g high": share["high"]}
        alone, together = found["milliseconds"][number]
        row |= {"n": len(error), "parameters": found["parameters"][number]}
        row |= {"MB": found["megabytes"][number], "ms, 1 image": alone}
        rows[str(name)] = row | {"ms an image, 64 at a time": together / BATCHES[1]}
    made = pd.DataFrame.from_dict(rows, orient="index").rename_axis("peer")
    return made.astype({"n": int, "parameters": "Int64"}).sort_values("mae", kind="stable")
