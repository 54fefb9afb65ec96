"""One notebook of a run: executed by papermill in a process of its own, here or on a cluster."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import nbformat
import yaml

from agelib import paths
from agelib.cluster import PROLOGUE, TICK, wait_or_kill
from agelib.notebooks import Task

STOP = ".stop"  # in the output folder: the run is over, whoever works for it

_PAPERMILL = "from papermill.__main__ import papermill; papermill()"


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
        Why it failed or was skipped, in one line; names the cell that failed by its number among
        the code cells, from 1, not counting injected parameters.
    """

    name: str
    status: str
    seconds: float = 0.0
    output: Path | None = None
    reason: str = ""


@dataclass(eq=False)
class Here:
    """A notebook that papermill executes in a process on this machine."""

    task: Task
    output: Path
    process: subprocess.Popen[bytes]
    partial: Path
    log: IO[bytes]
    started: float

    def ended(self) -> bool:
        """Return whether it has ended."""
        return self.process.poll() is not None

    def outcome(self) -> Outcome:
        """Return what became of it."""
        return _collect(self, time.monotonic() - self.started)

    def interrupt(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """See that it ends, and remove what it had written."""
        wait_or_kill(self.process)  # killed, it leaves its kernel, which then ends by itself
        self.log.close()
        self.partial.unlink(missing_ok=True)


@dataclass(eq=False)
class There:
    """A notebook that a worker of a cluster executes."""

    task: Task
    output: Path
    future: Future
    started: float

    def ended(self) -> bool:
        """Return whether it has ended."""
        return self.future.done()

    def outcome(self) -> Outcome:
        """Return what became of it."""
        if error := self.future.exception():
            seconds = time.monotonic() - self.started
            return Outcome(self.task.name, "failed", seconds, reason=f"its worker: {error}")
        return self.future.result()

    def interrupt(self) -> None:
        """Ask it to end."""
        (self.output / STOP).touch()

    def stop(self) -> None:
        """See that it ends, and remove what it had written."""
        self.future.cancel()


def execute(task: Task, output: Path, environment: dict[str, str]) -> Outcome:
    """Execute a notebook on this machine, to its end or until the run is stopped."""
    running = start(task, output, environment)
    while not running.ended():
        if (output / STOP).exists():
            running.interrupt()
            running.stop()
            return Outcome(task.name, "failed", reason="the run was stopped")
        time.sleep(TICK)
    return running.outcome()


def start(task: Task, output: Path, environment: dict[str, str]) -> Here:
    """Start papermill on a notebook."""
    # A name of its own: what a worker left that died must not meet the second attempt.
    partial = output / f".{task.name}.{uuid.uuid4().hex[:8]}.partial.ipynb"
    command = [sys.executable, "-c", PROLOGUE + _PAPERMILL, str(task.path), str(partial)]
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
    return Here(task, output, process, partial, log, time.monotonic())


def _collect(running: Here, seconds: float) -> Outcome:
    task, output = running.task, running.output
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
    return Outcome(task.name, "failed", seconds, failed, _reason(failed, last))


def _reason(notebook: Path, last_line: str) -> str:
    """Return a line that says which cell failed, and why."""
    number, where, reason = 0, "", last_line
    if "DeadKernelError" in last_line:
        reason = "the kernel died, which mostly means that memory ran out"
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError) as error:  # papermill was killed, or the disk full, as it wrote
        return f"{last_line} ({notebook.name} is cut off: {type(error).__name__})"
    for cell in cells:
        if cell.cell_type != "code":
            continue
        if "injected-parameters" not in cell.metadata.get("tags", ()):
            number += 1
        if cell.metadata.get("papermill", {}).get("start_time"):
            first = (cell.source.strip().splitlines() or [""])[0]
            where = f"code cell {number} ({first}): "
        errors = [entry for entry in cell.outputs if entry.output_type == "error"]
        if errors:
            message = _plain(errors[0].evalue).strip().splitlines() or [""]
            reason = f"{errors[0].ename}: {message[-1]}"
            break
    return where + reason


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
