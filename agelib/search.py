"""The topology search: training the trials of a shared study within a budget."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

from agelib.experiment import Experiment
from agelib.files import DataError, DivergedError
from agelib.lab import Lab
from agelib.pending import Trained
from agelib.records import Record
from agelib.study import Study, Turn

# For those who look for all of the search here.
from agelib.trials import candidates as candidates
from agelib.trials import importances as importances
from agelib.trials import trials_table as trials_table


class _Paused(Exception):
    """The budget ended in the middle of a trial; its checkpoint stays."""


def search(
    lab: Lab,
    experiments: Iterable[Experiment],
    *,
    extra: int = 0,
    budget: float | None = None,
    told: Callable[[Trained], Any] = lambda outcome: None,
) -> list[Record]:
    """Train experiments as the trials of one study, prune the hopeless, and return the records.

    Several processes that share the results folder may search at the same time; none trains what
    another one does. A process that was killed leaves its trial to the others, or to the next
    call, which goes on from its checkpoint. A trial that has a record is finished, wherever that
    came from. A trial whose loss is no longer a number has failed; ``failed.json`` in its folder
    says so, see :func:`failures`, and the others go on. What fails for want of memory or in the
    hands of another process is left to the next call.

    Parameters
    ----------
    lab : Lab
        Data set. With ``retrain`` every trial is trained once more, in a study of this process
        alone.
    experiments : iterable of Experiment
        From :func:`agelib.trials.candidates`, with distinct numbers. They are trained in this
        order, and the values that occur in them are the space of the search.
    extra : int
        How many further trials the study has in all, proposed after the given ones by the
        sampler (tree-structured Parzen estimator, Bergstra et al. 2011) from what the finished
        ones say. The n-th has the number ``40.n`` and is drawn from random state n; it still
        depends on which trials have finished by then.
    budget : float, optional
        Seconds; when they are over, the trial at work pauses after its epoch, and no other is
        begun.
    told : callable
        Called with what became of each trial that this call began.

    Returns
    -------
    list of Record
        Of all trials that are finished or pruned: the given ones in their order, then proposals.

    Raises
    ------
    ValueError
        If two experiments have one number, or there is none.
    DataError
        If a record belongs to another description, the study's file is damaged, or images are
        missing.

    Notes
    -----
    Pruning: the median rule from half of the epochs on, see :mod:`agelib.study`. A pruned trial
    has a record like any other, which says so.
    """
    study = _study(lab, experiments, extra)
    if not study.settled():
        study.open()
        end = None if budget is None else time.monotonic() + budget
        while end is None or time.monotonic() < end:
            turn = study.take_turn()
            if turn is None:
                break
            told(_train(study, turn, end))
    return study.records()


def failures(lab: Lab, experiments: Iterable[Experiment]) -> dict[str, str]:
    """Return why trials failed for good, by number and name.

    Parameters
    ----------
    lab : Lab
        Data set.
    experiments : iterable of Experiment
        As for :func:`search`; its proposals are looked at as well.
    """
    study = _study(lab, experiments, 0)
    reasons = {f"{e.number} {e.name}": study.failure(e) for e in study.experiments.values()}
    return {label: reason for label, reason in reasons.items() if reason}


def _study(lab: Lab, experiments: Iterable[Experiment], extra: int) -> Study:
    return Study(lab, [each.reduced(epochs=lab.epochs) for each in experiments], extra)


def _train(study: Study, turn: Turn, end: float | None) -> Trained:
    """Train a trial whose turn it is, tell the study, and return what became of it."""
    experiment = turn.experiment
    after_epoch = functools.partial(_after_epoch, turn, end)
    try:
        record = study.lab.train(experiment, after_epoch=after_epoch)
        pruned = study.finish(turn, record)
        reason = f"pruned after epoch {record.summary['epochs']}" if pruned else ""
        return Trained(experiment, "done", reason)
    except _Paused as paused:
        return Trained(experiment, "paused", str(paused))
    except (DataError, RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).partition("\n")[0]
        # Anything else may go well another time.
        if isinstance(error, DivergedError):
            study.fail(turn, reason)
        else:
            study.left.add(experiment.number)
        return Trained(experiment, "failed", reason)
    finally:
        # A trial that the study was not told of is from here on anyone's.
        turn.lock.release()


def _after_epoch(turn: Turn, end: float | None, epoch: int, score: float) -> bool:
    """Report an epoch; return whether to prune; raise if the budget is over."""
    if epoch not in turn.reported:
        turn.trial.report(score, epoch)
        turn.reported.add(epoch)
    epochs = turn.experiment.recipe.epochs
    if epoch == epochs:
        return False
    if turn.trial.should_prune():
        return True
    if end is not None and time.monotonic() >= end:
        raise _Paused(f"after epoch {epoch} of {epochs}")
    return False
