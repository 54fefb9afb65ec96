"""The topology search: training the trials of a shared study within a budget."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

from agelib.cluster import as_done, workers
from agelib.experiment import Experiment
from agelib.files import DivergedError
from agelib.lab import Lab
from agelib.pending import Paused, Trained, first_line, pause_at_end
from agelib.records import Record
from agelib.study import Study, Turn


def search(
    lab: Lab,
    experiments: Iterable[Experiment],
    *,
    extra: int = 0,
    budget: float | None = None,
    told: Callable[[Trained], Any] = lambda outcome: None,
    scheduler: str | None = None,
    jobs: int = 1,
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
    scheduler : str, optional
        Address of a Dask scheduler whose workers train, see `agelib.cluster.workers`. They
        share the study with whoever else searches.
    jobs : int
        How many trials are trained at the same time here, each in a process of its own when it
        is more than one.

    Returns
    -------
    list of Record
        Of all trials that are finished or pruned: the given ones in their order, then proposals.

    Raises
    ------
    ValueError
        If two experiments have one number, or there is none; if several processes are to
        ``retrain``, since that study is of one.
    DataError
        If a record belongs to another description, the study's file is damaged, or images are
        missing.

    Notes
    -----
    Pruning: the median rule from half of the epochs on, see :mod:`agelib.study`. A pruned trial
    has a record like any other, which says so.
    """
    experiments = list(experiments)
    study = _study(lab, experiments, extra)
    if study.settled():
        return study.records()
    end = None if budget is None else time.time() + budget
    if scheduler is None and jobs == 1:
        study.open()
        while (outcome := _turn(study, end)) is not None:
            told(outcome)
        return study.records()
    if lab.retrain:
        raise ValueError("the trials are trained once more by one process: leave out retrain")
    task = (lab.dataset, lab.epochs, experiments, extra, end)
    with workers(scheduler, jobs=jobs) as pool:
        study.open()
        for _, outcome in as_done(pool, _one_turn, [task] * study.left_to_do()):
            if isinstance(outcome, Exception):
                outcome = Trained(None, "failed", first_line(outcome))
            if outcome is not None:
                told(outcome)
    # What the others proposed is known to a study that is made now.
    return _study(lab, experiments, extra).records()


def _turn(study: Study, end: float | None) -> Trained | None:
    """Train the next trial; return what became of it, or None if there is none or no time."""
    if end is not None and time.time() >= end:
        return None
    turn = study.take_turn()
    return None if turn is None else _train(study, turn, end)


def _one_turn(
    dataset: str,
    epochs: int | None,
    experiments: list[Experiment],
    extra: int,
    end: float | None,
) -> Trained | None:
    """Train the next trial of the study that is shared, in a process that has no other."""
    study = _study(Lab(dataset, retrain=False, epochs=epochs, jobs=None), experiments, extra)
    study.open()
    return _turn(study, end)


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
    return Study(lab, [lab.limited(each) for each in experiments], extra)


def _train(study: Study, turn: Turn, end: float | None) -> Trained:
    """Train a trial whose turn it is, tell the study, and return what became of it."""
    experiment = turn.experiment
    after_epoch = functools.partial(_after_epoch, turn, end)
    try:
        record = study.lab.train(experiment, after_epoch=after_epoch)
        pruned = study.finish(turn, record)
        reason = f"pruned after epoch {record.summary['epochs']}" if pruned else ""
        return Trained(experiment, "done", reason)
    except Paused as paused:
        return Trained(experiment, "paused", str(paused))
    except Exception as error:  # TensorFlow's of a full memory is a plain Exception
        reason = first_line(error)
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
    pause_at_end(end, epoch, epochs)
    return False
