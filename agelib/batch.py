"""Executing the notebooks headlessly: papermill, each notebook in a process of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agelib.cluster import TICK, Pool, settings, workers
from agelib.files import DataError
from agelib.notebook_process import STOP, Here, Outcome, There, execute, start
from agelib.notebooks import Task, find_notebooks, plan_run

# The parameters with which the whole collection trains for real within minutes on two cores.
QUICK: dict[str, Any] = {
    "DATASET": "sample",
    "RETRAIN": False,
    "EPOCHS": 2,
    "FOLDS": 2,
    "STATES": 2,
    "SAMPLE_SIZE": 1000,
    "TRIALS": 8,
}


@dataclass(frozen=True)
class Progress:
    """How far a run has come; ``remaining`` is an estimate in seconds."""

    total: int
    outcomes: tuple[Outcome, ...]
    running: tuple[str, ...]
    elapsed: float
    remaining: float


def run_collection(
    notebooks: Iterable[Path | str] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    output: Path | str,
    jobs: int = 1,
    scheduler: str | None = None,
    environment: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> list[Outcome]:
    """Execute notebooks with papermill; the originals are only read.

    When a notebook fails, those that need it are skipped and the independent rest goes on.

    Parameters
    ----------
    notebooks : iterable of Path, optional
        Notebooks to execute, by default the whole collection.
    parameters : mapping, optional
        Values for the notebooks' ``parameters`` cells. Each goes to the notebooks that declare
        its name; one that no notebook declares is an error.
    output : Path
        Folder for the executed notebooks, made if missing. A notebook gets its name there
        only when it has succeeded.
    jobs : int, optional
        How many notebooks may run at the same time.
    scheduler : str, optional
        Address of a Dask scheduler whose workers execute them, as many at the same time as there
        are; see `agelib.cluster.workers`.
    environment : mapping, optional
        Environment variables to set for the notebooks.
    progress : callable, optional
        Called with a :class:`Progress` when a notebook starts or ends and while one runs.

    Returns
    -------
    list of Outcome
        One for each notebook, by name.

    Raises
    ------
    DataError
        Before anything starts: unknown parameter, two notebooks of one name, an unreadable
        notebook, notebooks that wait for each other, no scheduler at the address.
    """
    if jobs < 1:
        raise DataError(f"jobs is {jobs}; it must be at least 1")
    chosen = find_notebooks() if notebooks is None else [Path(path).resolve() for path in notebooks]
    tasks = plan_run(chosen, parameters=parameters or {})
    output = Path(output).resolve()
    run = _Run(tasks, output, dict(environment or {}), progress or (lambda state: None))
    with contextlib.ExitStack() as stack:
        if scheduler is not None:
            run.pool = stack.enter_context(workers(scheduler, threads=True))
            (output / STOP).unlink(missing_ok=True)
        output.mkdir(parents=True, exist_ok=True)
        try:
            while run.step(jobs if run.pool is None else run.pool.width()):
                time.sleep(TICK)
        finally:
            run.stop()
    return [run.outcomes[task.name] for task in tasks]


class _Run:
    """The state of one run; :meth:`step` starts what can start and collects what has ended."""

    def __init__(
        self,
        tasks: list[Task],
        output: Path,
        environment: dict[str, str],
        progress: Callable[[Progress], None],
    ) -> None:
        self.waiting = list(tasks)
        self.tasks = {task.name: task for task in tasks}
        self.running: dict[str, Here | There] = {}
        self.pool: Pool | None = None
        self.outcomes: dict[str, Outcome] = {}
        self.output = output
        self.environment = environment
        self.progress = progress
        self.started = time.monotonic()

    def step(self, jobs: int) -> bool:
        for name, running in list(self.running.items()):
            if running.ended():
                del self.running[name]
                self._end(name, running.outcome())
        for task in list(self.waiting):
            lost = [n for n in task.needs if n in self.outcomes and not self._succeeded(n)]
            over = all(name in self.outcomes for name in task.needs + task.after)
            if lost:
                self.waiting.remove(task)
                verb = self.outcomes[lost[0]].status
                reason = f"it needs {lost[0]}, which {verb.replace('skipped', 'was skipped')}"
                self._end(task.name, Outcome(task.name, "skipped", reason=reason))
            elif over and len(self.running) < jobs:
                self.waiting.remove(task)
                self.running[task.name] = self._start(task)
        self._report()
        return bool(self.running or self.waiting)

    def stop(self) -> None:
        """End what still runs and remove what it had written."""
        for running in self.running.values():
            running.interrupt()
        for running in self.running.values():
            running.stop()

    def _start(self, task: Task) -> Here | There:
        if self.pool is None:
            return start(task, self.output, self.environment)
        # The worker that starts it has an environment of its own.
        told = settings() | self.environment
        future = self.pool.submit(execute, task, self.output, told)
        return There(task, self.output, future, time.monotonic())

    def _succeeded(self, name: str) -> bool:
        return self.outcomes[name].status == "done"

    def _end(self, name: str, outcome: Outcome) -> None:
        self.outcomes[name] = outcome
        self._report()

    def _report(self) -> None:
        now = time.monotonic()
        ended = [outcome for outcome in self.outcomes.values() if outcome.status != "skipped"]
        spent = sum(outcome.seconds for outcome in ended)
        planned = sum(self.tasks[outcome.name].weight for outcome in ended)
        # The notebooks' own estimates count as half a minute of experience.
        rate = (spent + 30) / (planned + 30)
        remaining = [self.tasks[task.name].weight * rate for task in self.waiting]
        remaining += [
            max(0.0, self.tasks[name].weight * rate - (now - running.started))
            for name, running in self.running.items()
        ]
        state = Progress(
            total=len(self.tasks),
            outcomes=tuple(self.outcomes.values()),
            running=tuple(self.running),
            elapsed=now - self.started,
            remaining=sum(remaining) / max(1, len(self.running)),
        )
        self.progress(state)
