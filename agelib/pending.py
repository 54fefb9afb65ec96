"""What waits to be trained at full size, and training it within a budget of time."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from agelib import paths
from agelib.cluster import as_done, workers
from agelib.experiment import Experiment
from agelib.files import DataError, read_json
from agelib.lab import Lab
from agelib.protocols import PROTOCOLS
from agelib.records import find_records
from agelib.results import reduced_text


@dataclasses.dataclass(frozen=True)
class Pending:
    """An experiment that has no record at full size.

    Parameters
    ----------
    experiment : Experiment
        At full size.
    reason : str
        Why it waits: what was made smaller, a fold that was not trained, or that it is planned.
    seconds : float or None
        What training it would take on the hardware that made the smaller record: that record's
        time, scaled by epochs and by the number of pixels. None where there is no such record.
    """

    experiment: Experiment
    reason: str
    seconds: float | None


@dataclasses.dataclass(frozen=True)
class Trained:
    """What became of a pending experiment: ``status`` is done, paused or failed.

    ``experiment`` is None where a worker died with a trial of a search.
    """

    experiment: Experiment | None
    status: str
    reason: str = ""


class Paused(Exception):
    """The budget ended in the middle of a run; its checkpoint stays."""


def pause_at_end(end: float | None, epoch: int, epochs: int) -> None:
    """Raise `Paused` when the budget has ended after an epoch that is not the last."""
    if end is not None and time.time() >= end and epoch < epochs:
        raise Paused(f"after epoch {epoch} of {epochs}")


def pending(results: Path | str | None = None) -> list[Pending]:
    """Return what is not there at full size, most valuable first.

    An experiment waits when its only record is reduced, when a chapter has planned it, or when
    one of its five folds is there at full size and others are not. First come the experiments
    that have no full-size record at all, the quickest first; then the folds that complete one.

    Parameters
    ----------
    results : Path or str, optional
        Results folder; the collection's own by default.

    Raises
    ------
    DataError
        If a record or a plan cannot be read; names it.
    """
    results = paths.results_dir() if results is None else Path(results)
    there: set[Experiment] = set()
    found: dict[Experiment, Pending] = {}
    for path in (folder / "record.json" for folder in find_records(results)):
        with _naming(path):
            summary = read_json(path)
            experiment = Experiment.from_description(summary["experiment"])
            full = experiment.full_size()
            if not summary["reduced"] or (summary.get("pruned") and not experiment.reduction):
                there.add(experiment)  # one that was stopped early is not trained again
            seconds = summary["seconds"] * _ratio(full, experiment, summary["epochs"])
            if summary["reduced"]:
                found[full] = Pending(full, f"reduced: {reduced_text(summary)}", seconds)
                continue
            for each in _folds(full):
                reason = f"fold {each.fold} is not trained"
                found.setdefault(each, Pending(each, reason, seconds))
    for path in sorted(results.glob("*/*/*-planned.json")):
        with _naming(path):
            for values in read_json(path)["planned"]:
                experiment = Experiment.from_description(values)
                found.setdefault(experiment, Pending(experiment, "planned", None))
    waiting = [entry for experiment, entry in found.items() if experiment not in there]
    return sorted(waiting, key=_value)


def train_pending(
    entries: Iterable[Pending],
    *,
    budget: float | None = None,
    told: Callable[[Trained], Any] = lambda outcome: None,
    scheduler: str | None = None,
    jobs: int = 1,
    devices: int = 1,
) -> list[Trained]:
    """Train pending experiments, begun in their order, until the budget is used up.

    A run that the budget ends in the middle keeps its checkpoint and goes on the next time. An
    experiment that cannot be trained here, for want of weights or images, is reported, and the
    others go on.

    Parameters
    ----------
    entries : iterable of Pending
        From `pending`.
    budget : float, optional
        Seconds; no limit when omitted.
    told : callable
        Called with each outcome as it comes.
    scheduler : str, optional
        Address of a Dask scheduler whose workers train, see `agelib.cluster.workers`.
    jobs : int
        How many experiments are trained at the same time here, each in a process of its own
        when it is more than one.
    devices : int
        GPUs that share each batch of an experiment, see :func:`agelib.backend.sharing`.

    Returns
    -------
    list of Trained
        One for each experiment that was begun, as they ended.
    """
    # Wall-clock time: it is the same for every process.
    end = None if budget is None else time.time() + budget
    outcomes = []
    with workers(scheduler, jobs=jobs) as pool:
        tasks = ((entry.experiment, end, devices) for entry in entries)
        for (experiment, *_), outcome in as_done(pool, _train_one, tasks):
            if isinstance(outcome, Exception):
                outcome = Trained(experiment, "failed", first_line(outcome))
            if outcome is not None:
                outcomes.append(outcome)
                told(outcome)
    return outcomes


def first_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return str(error).partition("\n")[0] or type(error).__name__


def _train_one(experiment: Experiment, end: float | None, devices: int) -> Trained | None:
    """Train an experiment, unless the budget is over before it is begun."""

    def pause(epoch: int, score: float) -> bool:
        pause_at_end(end, epoch, experiment.recipe.epochs)
        return False

    def pause_init() -> None:
        if end is not None and time.time() >= end:
            raise Paused("while what it starts from was trained")

    if end is not None and time.time() >= end:
        return None
    try:
        lab = Lab(experiment.dataset, retrain=False, epochs=None, jobs=None, devices=devices)
        lab.train(experiment, after_epoch=pause, pause=pause_init)
    except Paused as paused:
        return Trained(experiment, "paused", str(paused))
    return Trained(experiment, "done")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise DataError(
            f"{path}: it does not hold what it should ({error}); restore it from git or train again"
        ) from error


def _folds(experiment: Experiment) -> list[Experiment]:
    protocol = PROTOCOLS.get(experiment.protocol)
    # Other random states are there for the spread on one fold; they need no five folds.
    if experiment.fold is None or experiment.state or protocol is None:
        return [experiment]
    return experiment.over_folds(experiment.protocol, protocol.n_folds)


def _ratio(full: Experiment, used: Experiment, epochs: int) -> float:
    return full.recipe.epochs / epochs * (full.image_size / used.image_size) ** 2


def _value(entry: Pending) -> tuple:
    experiment = entry.experiment
    later_fold = entry.reason.startswith("fold")
    cost = float("inf") if entry.seconds is None else entry.seconds
    return later_fold, cost, experiment.chapter, experiment.slug
