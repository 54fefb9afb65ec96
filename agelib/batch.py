"""Executing the notebooks headlessly: papermill, each notebook in a process of its own."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nbformat
import yaml

from agelib import paths
from agelib.files import DataError
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

_TICK = 0.2  # seconds between two looks at the running processes
_GRACE = 15  # seconds that an interrupted notebook has to stop its kernel


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook.

    Parameters
    ----------
    name : str
        File name without the suffix.
    status : {'done', 'failed', 'skipped'}
        How it ended.
    seconds : float
        Wall time, 0 when skipped.
    output : Path or None
        The executed notebook; of a failed one as far as it came, ``NAME-failed.ipynb``.
    reason : str
        Why it failed or was skipped, in one line; names the cell that failed.
    cell : int or None
        Number of the code cell that failed, from 1, not counting injected parameters.
    """

    name: str
    status: str
    seconds: float = 0.0
    output: Path | None = None
    reason: str = ""
    cell: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a run has come; ``remaining`` is an estimate in seconds."""

    total: int
    outcomes: tuple[Outcome, ...]
    running: tuple[str, ...]
    elapsed: float
    remaining: float


@dataclass(eq=False)
class _Process:
    process: subprocess.Popen[bytes]
    partial: Path
    log: IO[bytes]
    started: float


def run_collection(
    notebooks: Iterable[Path | str] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    output: Path | str,
    jobs: int = 1,
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
        notebook, notebooks that wait for each other.
    """
    if jobs < 1:
        raise DataError(f"jobs is {jobs}; it must be at least 1")
    chosen = find_notebooks() if notebooks is None else [Path(path).resolve() for path in notebooks]
    tasks = plan_run(chosen, parameters=parameters or {})
    output = Path(output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    run = _Run(tasks, output, dict(environment or {}), progress or (lambda state: None))
    try:
        while run.step(jobs):
            time.sleep(_TICK)
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
        self.running: dict[str, _Process] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.output = output
        self.environment = environment
        self.progress = progress
        self.started = time.monotonic()

    def step(self, jobs: int) -> bool:
        for name, running in list(self.running.items()):
            if running.process.poll() is not None:
                del self.running[name]
                self._end(name, _collect(self.tasks[name], running, self.output))
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
                self.running[task.name] = _start(task, self.output, self.environment)
        self._report()
        return bool(self.running or self.waiting)

    def stop(self) -> None:
        """End what still runs and remove what it had written."""
        for running in self.running.values():
            running.process.send_signal(signal.SIGINT)
        for running in self.running.values():
            try:
                running.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                running.process.kill()  # its kernel ends by itself when its parent is gone
                running.process.wait()
            running.log.close()
            running.partial.unlink(missing_ok=True)

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


def _start(task: Task, output: Path, environment: dict[str, str]) -> _Process:
    partial = output / f".{task.name}.partial.ipynb"
    command = [sys.executable, "-m", "papermill", str(task.path), str(partial)]
    command += ["--kernel", "python3", "--language", "python", "--start-timeout", "180"]
    command += ["--no-progress-bar", "--log-level", "ERROR"]
    if task.parameters:
        text = yaml.safe_dump(task.parameters)
        command += ["--parameters_base64", base64.b64encode(text.encode()).decode()]
    # First on Jupyter's path, so that `python3` is this environment's kernel whatever kernels
    # the user has installed elsewhere.
    own = os.path.join(sys.prefix, "share", "jupyter")
    inherited = [os.environ["JUPYTER_PATH"]] if os.environ.get("JUPYTER_PATH") else []
    variables = {"JUPYTER_PATH": os.pathsep.join([own, *inherited]), **environment}
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process is collected
    process = subprocess.Popen(
        command,
        cwd=paths.root(),
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C reaches this process alone, which then stops them all
    )
    return _Process(process, partial, log, time.monotonic())


def _collect(task: Task, running: _Process, output: Path) -> Outcome:
    seconds = time.monotonic() - running.started
    done, failed = output / f"{task.name}.ipynb", output / f"{task.name}-failed.ipynb"
    with running.log as log:
        log.seek(0)
        lines = log.read().decode("utf-8", "replace").strip().splitlines()
    if running.process.returncode == 0:
        os.replace(running.partial, done)
        failed.unlink(missing_ok=True)
        return Outcome(task.name, "done", seconds, done)
    done.unlink(missing_ok=True)
    last = _plain(lines[-1]) if lines else f"exit status {running.process.returncode}"
    if not running.partial.exists():
        return Outcome(task.name, "failed", seconds, reason=last)
    os.replace(running.partial, failed)
    cell, reason = _failed_cell(failed, last)
    return Outcome(task.name, "failed", seconds, failed, reason, cell)


def _failed_cell(notebook: Path, last_line: str) -> tuple[int | None, str]:
    """Return the number of the cell that failed and a line that says where and why."""
    number, found, reason = 0, None, last_line
    if "DeadKernelError" in last_line:
        reason = "the kernel died, which mostly means that memory ran out"
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        if "injected-parameters" not in cell.metadata.get("tags", ()):
            number += 1
        if cell.metadata.get("papermill", {}).get("start_time"):
            found = number, (cell.source.strip().splitlines() or [""])[0]
        errors = [entry for entry in cell.outputs if entry.output_type == "error"]
        if errors:
            message = _plain(errors[0].evalue).strip().splitlines() or [""]
            reason = f"{errors[0].ename}: {message[-1]}"
            break
    if found is None:
        return None, reason
    return found[0], f"code cell {found[0]} ({found[1]}): {reason}"


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
