"""An Optuna study of experiments that several processes share, and that records rebuild.

Each experiment is a trial, known by its number. The study's file (``study.log`` beside the
records) tells the processes at work who trains what and how far the others came. What counts
lies in the records: the file may be removed whenever no process is at work.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import filelock

from agelib.optuna_quietly import optuna  # isort: skip - before Optuna's own modules
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from agelib.experiment import Experiment
from agelib.files import DataError, read_json, sha256_text, write_json
from agelib.lab import Lab
from agelib.records import Record, load_record
from agelib.trials import NOT_INSERTED, choose, hyperparameters, search_space

# Numbers of what the sampler proposes, 40.1 and on: P3's families and ours end at 35.
PROPOSED = 40
# A trial is pruned if, from half of its epochs on, its best validation accuracy so far lies
# below the median that whole trials had after the same epoch. Not earlier: dropout and penalties
# slow a network down at first. Not before ten trials are whole: the median of few means little.
PRUNING_FROM, WHOLE_TRIALS = 0.5, 10
# So often the sampler is asked for a trial that is new; after that there is none.
_DRAWS = 200


@dataclasses.dataclass
class Turn:
    """A trial that is this process's to train, for as long as it holds the lock."""

    trial: optuna.Trial
    experiment: Experiment
    lock: filelock.BaseFileLock
    reported: set[int]


class Study:
    """Experiments and proposals by number, and the Optuna study that has them as trials.

    Parameters
    ----------
    lab : Lab
        Data set; with ``retrain`` records do not count, and the study is this process's alone.
    experiments : list of Experiment
        Of one chapter, with distinct numbers.
    extra : int
        Number of proposals in all.
    """

    def __init__(self, lab: Lab, experiments: list[Experiment], extra: int) -> None:
        self.lab, self.extra, self.given = lab, extra, experiments
        self.experiments = {each.number: each for each in experiments}
        if not experiments or len(self.experiments) < len(experiments):
            numbers = [each.number for each in experiments]
            raise ValueError(f"give experiments, each with a number of its own; here: {numbers}")
        self.space = search_space(hyperparameters(each) for each in experiments)
        self.folder = lab.folder(experiments[0]).parent
        # What could not be trained for now is the next call's.
        self.left: set[str] = set()
        if not lab.retrain:
            self.experiments |= self._proposals_there()

    def settled(self) -> bool:
        """Return whether nothing is left to do, so that a reader needs no study."""
        ended = all(self._ended(each) for each in self.experiments.values())
        return ended and not self.lab.retrain and len(self._proposals()) >= self.extra

    def left_to_do(self) -> int:
        """Return how many trials have neither a record nor a note of failure, proposals too."""
        waiting = sum(not self._ended(each) for each in self.experiments.values())
        return waiting + max(0, self.extra - len(self._proposals()))

    def records(self) -> list[Record]:
        """Return the records that there are."""
        folders = {each: self.lab.folder(each) for each in self.experiments.values()}
        return [
            load_record(folder) if self.lab.retrain else self.lab.train(each)
            for each, folder in folders.items()
            if (folder / "record.json").exists()
        ]

    def failure(self, experiment: Experiment) -> str:
        """Return the noted reason why this very experiment failed; empty if it did not."""
        path = self.lab.folder(experiment) / "failed.json"
        if not path.exists() or path.with_name("record.json").exists():
            return ""
        note = read_json(path)
        return note["reason"] if note["experiment"] == experiment.describe() else ""

    def _ended(self, experiment: Experiment) -> bool:
        record = self.lab.folder(experiment) / "record.json"
        return record.exists() or bool(self.failure(experiment))

    def open(self) -> None:
        """Open the study that all processes share which search the same."""
        waiting = [e for e in self.experiments.values() if self.lab.retrain or not self._ended(e)]
        # Missing images are no fault of a trial: better told now.
        for size, color in sorted({(e.image_size, e.color) for e in waiting or self.given}):
            self.lab.store(size, color)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = filelock.FileLock(self.folder / ".study.lock")
        what = [(each.number, each.fingerprint) for each in self.given]
        epochs = max(each.recipe.epochs for each in self.given)
        self.study = optuna.create_study(
            storage=InMemoryStorage() if self.lab.retrain else _storage(self.folder / "study.log"),
            study_name=f"{self.folder.name}-{sha256_text(json.dumps(what))[:16]}",
            load_if_exists=True,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),  # asked for nothing, see _propose
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=WHOLE_TRIALS, n_warmup_steps=round(PRUNING_FROM * epochs)
            ),
        )

    def take_turn(self) -> Turn | None:
        """Return the next trial, or None if nothing is left that another process does not do."""
        # Under the lock, so that a trial at work is never seen without its own lock.
        with self.lock:
            self._refresh()
            while self._waiting() or self._propose():
                trial = self.study.ask(self.space)
                experiment = self.experiments[trial.user_attrs["number"]]
                lock = self._lock_of(experiment)
                # Another study, say of fewer experiments, may be at it.
                if _acquired(lock):
                    break
            else:
                return None
        before = {int(epoch): v for epoch, v in trial.user_attrs["reported"].items()}
        for epoch, value in before.items():
            trial.report(value, epoch)
        return Turn(trial, experiment, lock, set(before))

    def finish(self, turn: Turn, record: Record) -> bool:
        """Tell the study what a trial reached; return whether it was pruned."""
        state, value, reached = _outcome(record)
        for epoch in sorted(set(reached) - turn.reported):
            turn.trial.report(reached[epoch], epoch)
        pruned = state == TrialState.PRUNED
        self.study.tell(turn.trial, None if pruned else value, state)
        return pruned

    def fail(self, turn: Turn, reason: str) -> None:
        """Give a trial up for good: whoever trains it again gets there again."""
        note = {"experiment": turn.experiment.describe(), "reason": reason}
        write_json(self.lab.folder(turn.experiment) / "failed.json", note)
        turn.trial.set_user_attr("reason", reason)
        self.study.tell(turn.trial, state=TrialState.FAIL)

    def _waiting(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))

    def _lock_of(self, experiment: Experiment) -> filelock.BaseFileLock:
        folder = self.lab.folder(experiment)
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / ".trial.lock")

    def _refresh(self) -> None:
        """Give up trials that no process is at; add every experiment that is not a trial."""
        for trial in self.study.get_trials(deepcopy=False):
            lock = self._lock_of(self._of(trial))
            if trial.state == TrialState.RUNNING and _acquired(lock):
                lock.release()
                self.study.tell(trial.number, state=TrialState.FAIL)
        trials = self.study.get_trials(deepcopy=False)
        last = {trial.user_attrs["number"]: trial for trial in trials}
        for number, experiment in self.experiments.items():
            trial = last.get(number)
            given_up = trial and trial.state == TrialState.FAIL and "reason" not in trial.user_attrs
            if trial is None or (given_up and number not in self.left):
                self._add(experiment, trial.intermediate_values if trial else {})

    def _of(self, trial: FrozenTrial) -> Experiment:
        # Another process may have proposed it.
        number = trial.user_attrs["number"]
        if number not in self.experiments:
            self.experiments[number] = self._proposal(number, trial.user_attrs["chosen"])
        return self.experiments[number]

    def _add(self, experiment: Experiment, reported: dict[int, float]) -> None:
        """Add a trial: finished or failed as the files tell, else to be trained.

        Not with Optuna's ``skip_if_exists``: P3 has trials with the same choices, and two
        processes could both find that a trial does not exist.
        """
        chosen = hyperparameters(experiment)
        attributes = {"number": experiment.number, "name": experiment.name, "chosen": chosen}
        if self.lab.retrain or not self._ended(experiment):
            self.study.enqueue_trial(chosen, user_attrs=attributes | {"reported": reported})
            return
        ended = functools.partial(
            optuna.trial.create_trial, params=chosen, distributions=self.space
        )
        if reason := self.failure(experiment):
            attributes["reason"] = reason
            self.study.add_trial(ended(state=TrialState.FAIL, user_attrs=attributes))
            return
        state, value, reached = _outcome(self.lab.train(experiment))
        self.study.add_trial(
            ended(state=state, value=value, intermediate_values=reached, user_attrs=attributes)
        )

    def _proposal(self, number: str, chosen: dict[str, Any]) -> Experiment | None:
        like = [e for e in self.given if hyperparameters(e)["family"] == chosen["family"]]
        return choose(like[0], number, f"TPE {number.split('.')[1]}", chosen) if like else None

    def _proposals(self) -> list[str]:
        return [number for number in self.experiments if number.startswith(f"{PROPOSED}.")]

    def _proposals_there(self) -> dict[str, Experiment]:
        """Return the proposals of this search that have a record or a note of failure."""
        found = {}
        for path in self.folder.glob(f"{PROPOSED}.*/*.json"):
            experiment = Experiment.from_description(read_json(path)["experiment"])
            # Another image size or budget is another search.
            if experiment == self._proposal(experiment.number, hyperparameters(experiment)):
                found[experiment.number] = experiment
        return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))

    def _propose(self) -> bool:
        """Enqueue one more trial, if the study is to have more and there is one untried."""
        if len(self._proposals()) >= self.extra:
            return False
        n = 1 + max((int(number.split(".")[1]) for number in self._proposals()), default=0)
        trials = self.study.get_trials(deepcopy=False)
        tried = [trial.user_attrs["chosen"] for trial in trials]
        # From a copy, which may be asked until it proposes something new.
        sampler = optuna.samplers.TPESampler(seed=n)
        copy = optuna.create_study(direction="maximize", sampler=sampler)
        used = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        copy.add_trials(trial for trial in trials if trial.state in used)
        for _ in range(_DRAWS):
            chosen = copy.ask(self.space).params
            if chosen not in tried and NOT_INSERTED not in chosen["batch_norm"]:
                experiment = self._proposal(f"{PROPOSED}.{n}", chosen)
                # A record that is not among ours is another search's: that number is taken.
                while not self.lab.retrain and self._ended(experiment):
                    n += 1
                    experiment = self._proposal(f"{PROPOSED}.{n}", chosen)
                self.experiments[experiment.number] = experiment
                self._add(experiment, {})
                return True
        return False


def _storage(path: Path) -> JournalStorage:
    try:
        # A lock file that is no symbolic link, which Windows would refuse.
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except (ValueError, KeyError) as error:
        raise DataError(
            f"{path} is damaged ({error}); remove it: it is made again from the records"
        ) from error


def _acquired(lock: filelock.BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    return True


def _outcome(record: Record) -> tuple[TrialState, float, dict[int, float]]:
    """Return state, value and validation accuracy by epoch of a record's trial."""
    pruned = record.summary.get("pruned", False)
    reached = {int(epoch): float(v) for epoch, v in record.history["val_accuracy"].items()}
    state = TrialState.PRUNED if pruned else TrialState.COMPLETE
    return state, record.summary["validation"]["accuracy"], reached
