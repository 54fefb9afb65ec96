"""Tasks for local threads, local processes, or the workers of a Dask cluster: one interface.

The callers do not know which it is. A task is a function of a module with plain arguments; it
is run again, on another worker, when its worker dies. On a cluster, images and results lie on a
file system that all machines see under the same paths.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agelib.cores import available_cores
from agelib.files import DataError

ATTEMPTS = 3  # so often a task is begun whose worker dies
TICK = 0.2  # seconds between two looks at what is running
GRACE = 15  # seconds that an interrupted process has to end
_PATIENCE = 20  # seconds in which a scheduler must answer


class Pool:
    """Workers of one kind, behind the interface of `concurrent.futures`.

    Parameters
    ----------
    take : callable
        Takes a task, as ``Executor.submit`` does.
    width : callable
        How many tasks can be worked on at the same time, at the moment.
    queue : bool
        Whether tasks may be handed over that have to wait (a cluster grows with its queue).
    """

    def __init__(
        self, take: Callable[..., Future], width: Callable[[], int], *, queue: bool
    ) -> None:
        self.take, self.width, self.queue = take, width, queue

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Hand a task over; its future has what the function returns, or raises."""
        return self.take(function, *arguments)


@contextlib.contextmanager
def workers(
    scheduler: str | None = None, *, jobs: int = 1, threads: bool = False
) -> Iterator[Pool]:
    """Open a pool of workers; tasks that were not begun when it closes are dropped.

    Processes here that are still at a task then, because of an interruption, are interrupted too;
    on a cluster, a task at work goes on to its end.

    Parameters
    ----------
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://host:8786``, or its scheduler file
        (``….json``). Without it the workers are local.
    jobs : int
        Number of local workers; one that is no thread works in this very process.
    threads : bool
        Whether tasks may share a process; otherwise each has one of its own, also on a cluster:
        Keras, its random numbers and its graphs belong to a process.

    Raises
    ------
    DataError
        If the package for clusters is missing or no scheduler answers.
    """
    if scheduler is not None:
        with _client(scheduler) as client:
            executor = client.get_executor(pure=False)
            take = _There(executor, threads).submit
            try:
                yield Pool(take, lambda: max(1, sum(client.nthreads().values())), queue=True)
            finally:
                executor.shutdown(wait=False)
        return
    executor = ThreadPoolExecutor(jobs) if threads else _Processes(jobs) if jobs > 1 else _Here()
    try:
        yield Pool(executor.submit, lambda: jobs, queue=not isinstance(executor, _Here))
    finally:
        executor.shutdown(cancel_futures=True)


def in_order(
    pool: Pool, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """Yield what a function returns for each task's arguments, in their order.

    Few results wait at a time, so memory does not grow with the number of tasks.
    """
    waiting: collections.deque[Future] = collections.deque()
    tasks = iter(tasks)
    try:
        while True:
            room = 2 * pool.width() + 1 - len(waiting)
            waiting += [pool.submit(function, *task) for task in itertools.islice(tasks, room)]
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def as_done(
    pool: Pool, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield each task's arguments with what the function returned, or raised, as it comes.

    An exception is yielded in the place of a result: what fails stops no other task.
    """
    waiting: dict[Future, tuple[Any, ...]] = {}
    tasks = iter(tasks)
    try:
        while True:
            for task in tasks if pool.queue else itertools.islice(tasks, 1):
                waiting[pool.submit(function, *task)] = task
            if not waiting:
                return
            done, _ = concurrent.futures.wait(waiting, return_when="FIRST_COMPLETED")
            for future in done:
                yield waiting.pop(future), future.exception() or future.result()
    finally:
        for future in waiting:
            future.cancel()


class _Here(Executor):
    """Does a task at once, in this thread; an interruption of it is everybody's."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class _Processes(ThreadPoolExecutor):
    """Gives every task a fresh process, and another one if that dies."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs)
        self.stop = threading.Event()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        told = settings() | side_by_side(self._max_workers)
        return super().submit(_in_a_process, told, function, arguments, self.stop)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.stop.set()
        super().shutdown(wait, cancel_futures=cancel_futures)


# How a child's code begins: it ends when the process that waits for it has died. A shell without
# job control starts what it puts in the background with SIGINT ignored, and children inherit that.
PROLOGUE = """
import os, pickle, signal, sys, threading, time

signal.signal(signal.SIGINT, signal.default_int_handler)

def watch(parent=os.getppid()):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

threading.Thread(target=watch, daemon=True).start()
"""
_TASK = """
task, result = sys.argv[1:]
with open(task, "rb") as file:
    function, arguments = pickle.load(file)
try:
    outcome = function(*arguments), None
except KeyboardInterrupt:
    sys.exit(130)
except Exception as error:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # such as one that is made of more than it hands on
        error = RuntimeError(f"{type(error).__name__}: {error}")
    outcome = None, error
with open(result, "wb") as file:
    pickle.dump(outcome, file)
"""


def settings() -> dict[str, str]:
    """Return the variables by which this process tells agelib its folders, backend and the like."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("AGELIB_") or name == "KERAS_BACKEND"
    }


def side_by_side(jobs: int) -> dict[str, str]:
    """Return what lets TensorFlow in several processes share the cores, and a GPU's memory."""
    threads = max(1, available_cores() // jobs)
    wanted = {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def _in_a_process(
    told: dict[str, str],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    stop: threading.Event | None = None,
) -> Any:
    """Do a task in the main thread of a fresh process; in another one if that dies."""
    stop = stop or threading.Event()
    # A worker's own folders are not meant; its backend is, where the client names none.
    others = {name: value for name, value in os.environ.items() if not name.startswith("AGELIB_")}
    environment = others | told | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory() as place:
            task, result = Path(place) / "task", Path(place) / "result"
            task.write_bytes(pickle.dumps((function, arguments)))
            command = [sys.executable, "-c", PROLOGUE + _TASK, str(task), str(result)]
            status = _status(command, environment, stop)
            if status == 0:
                value, error = pickle.loads(result.read_bytes())
                if error is not None:
                    raise error
                return value
            if stop.is_set() or status in (130, -signal.SIGINT):
                raise RuntimeError("interrupted")
    raise RuntimeError(f"its process died {ATTEMPTS} times, which mostly means that memory ran out")


def _status(command: list[str], environment: dict[str, str], stop: threading.Event) -> int:
    """Run a command until it ends or is to be stopped; return its exit status."""
    # In a session of its own: Ctrl-C reaches this process alone, which then stops them all.
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    while not stop.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(TICK)
    process.send_signal(signal.SIGINT)
    return wait_or_kill(process)


def wait_or_kill(process: subprocess.Popen) -> int:
    """Wait for an interrupted process, kill it when it does not end, and return its status."""
    try:
        return process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class _There:
    """Sends tasks to a cluster; processes of their own there have this process's settings."""

    def __init__(self, executor: Executor, threads: bool) -> None:
        self.executor, self.threads = executor, threads

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        # A worker may serve several people: what shares its process gets arguments alone.
        if self.threads:
            return self.executor.submit(function, *arguments)
        return self.executor.submit(_in_a_process, settings(), function, arguments)


@contextlib.contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    try:
        import distributed
    except ImportError:
        raise DataError(
            "--scheduler needs the package distributed; install it with "
            "`python -m pip install distributed`"
        ) from None
    address = _in_file(Path(scheduler)) if scheduler.endswith(".json") else scheduler
    try:
        # Looked at first: a client that fails on a bad address complains again when it goes.
        address = distributed.comm.normalize_address(address)
        distributed.comm.get_address_host_port(address, strict=True)
        client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one "
            "with `dask scheduler`, or leave --scheduler out"
        ) from error
    with client:
        yield client


def _in_file(path: Path) -> str:
    """Return the address in a scheduler file, which may appear a little later."""
    end = time.monotonic() + _PATIENCE
    while not path.is_file() and time.monotonic() < end:
        time.sleep(0.2)
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["address"])
    except OSError as error:
        reason = error.strerror
    except (ValueError, KeyError, TypeError):
        reason = "it has no address"
    raise DataError(
        f"{path} is not the file of a Dask scheduler: {reason}; start one with "
        f"`dask scheduler --scheduler-file {path}`"
    )
