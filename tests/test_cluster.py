"""Tasks for threads, processes and a Dask cluster: the same results, and what a death costs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from local_cluster import LENET
from waiting import until

from agelib import cluster, conversion
from agelib.catalog import list_images
from agelib.cluster import as_done, in_order, workers
from agelib.datasets.sample import write_sample
from agelib.datasets.source import Source
from agelib.datasets.utkface import parse_name
from agelib.files import DataError
from agelib.lab import start
from agelib.paths import root
from agelib.pending import pending, train_pending
from agelib.records import load_record
from agelib.store import open_store

pytest_plugins = ["local_cluster"]  # the fixture `scheduler`


def doubled(number):
    return 2 * number


def told(number, folder, worker):
    """Fail for 1, kill the process or its worker once for 2 and always for 3; note attempts."""
    with open(Path(folder) / f"{number}", "a") as notes:
        notes.write(f"{os.getpid()}\n")
        attempts = notes.tell()
    if number == 1:
        raise ValueError("always fails")
    if number == 3 or (number == 2 and attempts < 10):
        time.sleep(0.2)
        os.kill(os.getppid() if worker else os.getpid(), signal.SIGKILL)
        time.sleep(20)
    return 2 * number


class Odd(Exception):
    """Pickled, but not made again from its message alone."""

    def __init__(self, what, why):
        super().__init__(f"{what} is odd: {why}")


def odd(folder, kind):
    with open(Path(folder) / "begun", "a") as notes:
        notes.write("once\n")
    if kind == "remade":
        raise Odd(3, "it is no pair")
    error = ValueError("held open")
    error.file = open(__file__)  # noqa: SIM115 - what cannot be pickled
    raise error


def sleeps(folder, number):
    (Path(folder) / f"{number}").write_text(str(os.getpid()))
    time.sleep(1000)


# What `python -m agelib` does, with another command.
COMMAND = """
import runpy, sys
from agelib import cli, cluster
from test_cluster import sleeps

cluster.GRACE = 1000  # nothing is killed: what ends has been interrupted

def main():
    with cluster.workers(jobs=2) as pool:
        list(cluster.as_done(pool, sleeps, [(sys.argv[1], number) for number in range(3)]))

cli.main = main
runpy.run_module("agelib", run_name="__main__")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_its_processes_even_if_it_inherits_sigint_ignored(
    tmp_path, number
):
    here = os.pathsep.join([str(root()), str(root() / "tests")])
    process = subprocess.Popen(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", COMMAND, tmp_path],
        env={**os.environ, "PYTHONPATH": here}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    begun = [tmp_path / "0", tmp_path / "1"]
    until(lambda: all(path.exists() and path.read_text() for path in begun))
    process.send_signal(number)
    assert process.wait(300) != 0
    for path in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)
    assert not (tmp_path / "2").exists()


@pytest.mark.parametrize("how", [{"threads": True, "jobs": 3}, {"jobs": 1}])
def test_local_workers_keep_the_order_and_few_wait(how):
    taken = []

    def tasks():
        for number in range(40):
            taken.append(number)
            yield (number,)

    with workers(**how) as pool:
        results = in_order(pool, doubled, tasks())
        assert next(results) == 0 and len(taken) < 10
        assert list(results) == [2 * number for number in range(1, 40)]


def test_in_this_process_a_task_begins_when_the_one_before_is_told(tmp_path):
    begun = []
    with workers(jobs=1) as pool:
        for (number,), result in as_done(pool, lambda n: begun.append(n) or n, [(1,), (2,), (3,)]):
            assert result == number == begun[-1]


def test_processes_of_their_own_and_what_a_death_costs(tmp_path):
    with workers(jobs=2) as pool:
        tasks = [(number, str(tmp_path), False) for number in range(4)]
        results = {task[0]: result for task, result in as_done(pool, told, tasks)}
    begun = check(results, tmp_path, attempts=cluster.ATTEMPTS)
    assert len(begun[0]) == 1 and len(begun[2]) == 2
    assert str(results[3]).startswith("its process died 3 times, which mostly means that memory")


@pytest.mark.parametrize(
    ("kind", "told"),
    [("remade", "Odd: 3 is odd: it is no pair"), ("pickled", "ValueError: held open")],
)
def test_an_error_that_cannot_be_pickled_is_told_in_words_and_the_task_done_once(
    tmp_path, kind, told
):
    with workers(jobs=2) as pool:
        ((_, error),) = as_done(pool, odd, [(str(tmp_path), kind)])
    assert isinstance(error, RuntimeError) and str(error) == told
    assert (tmp_path / "begun").read_text() == "once\n"


def test_on_a_cluster_a_death_costs_one_task_and_a_failure_is_reported(scheduler, tmp_path):
    with workers(scheduler) as pool:
        tasks = [(number, str(tmp_path), True) for number in range(8)]
        results = {task[0]: result for task, result in as_done(pool, told, tasks)}
    assert [results[number] for number in range(4, 8)] == [8, 10, 12, 14]
    check(results, tmp_path, attempts=4)


def seen(name):
    return os.environ.get(name)


def test_processes_side_by_side_share_cores_and_memory(monkeypatch):
    monkeypatch.setattr(cluster, "available_cores", lambda: 8)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")  # told by the user
    with workers(jobs=3) as pool:
        assert pool.submit(seen, "TF_NUM_INTRAOP_THREADS").result(300) == "2"
        assert pool.submit(seen, "TF_FORCE_GPU_ALLOW_GROWTH").result(300) == "false"


def test_on_a_cluster_each_client_has_its_own_settings(scheduler, monkeypatch):
    with workers(scheduler) as pool:
        own = pool.submit(seen, "KERAS_BACKEND").result(300)
    monkeypatch.setenv("KERAS_BACKEND", "a client's")
    for value in ("mine", "yours", None):
        if value is None:
            monkeypatch.delenv("AGELIB_RESULTS")
        else:
            monkeypatch.setenv("AGELIB_RESULTS", value)
        with workers(scheduler) as pool:
            assert pool.submit(seen, "AGELIB_RESULTS").result(300) == value
            assert pool.submit(seen, "KERAS_BACKEND").result(300) == "a client's"
        with workers(scheduler, threads=True) as pool:
            assert pool.submit(seen, "AGELIB_RESULTS").result(300) is None
            assert pool.submit(seen, "KERAS_BACKEND").result(300) == own
    monkeypatch.delenv("KERAS_BACKEND")  # then the worker's own is kept
    with workers(scheduler) as pool:
        assert pool.submit(seen, "KERAS_BACKEND").result(300) == own


def check(results, folder, *, attempts):
    assert results[0] == 0 and results[2] == 4
    assert isinstance(results[1], ValueError) and str(results[1]) == "always fails"
    assert isinstance(results[3], Exception)
    begun = {number: (folder / f"{number}").read_text().split() for number in range(4)}
    # A cluster computes again what a worker had finished but not handed over when it died.
    assert len(begun[0]) >= 1 and len(begun[2]) >= 2
    assert len(set(begun[3])) == attempts
    assert str(os.getpid()) not in begun[0]
    return begun


def test_a_cluster_reads_images_as_threads_do(scheduler, tmp_path):
    faces = write_sample(tmp_path / "faces", n=100)
    source = Source(list_images(faces), parse_name)
    made = []
    for name, where in (("here", {"jobs": 1}), ("there", {"scheduler": scheduler})):
        files = {"manifest": tmp_path / f"{name}.csv", "store": tmp_path / f"{name}.h5"}
        how = {"dataset": "x", "licence": "", "size": 16}
        made.append((conversion.convert(faces, source, **files, **how, **where), files["store"]))
    (one, here), (two, there) = made
    pd.testing.assert_frame_equal(one, two)
    with open_store(here, catalog=one) as first, open_store(there, catalog=one) as second:
        rows = np.arange(len(one))
        np.testing.assert_array_equal(first.read(rows), second.read(rows))


def test_a_cluster_trains_what_is_pending_as_one_process_does(scheduler, tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "data"))
    wanted = [
        LENET,
        LENET.tweak("2.0", "cannot", options={"no_such_option": 1}),
        LENET.tweak("3.0", "slower", recipe={"learning_rate": 1e-4}),
    ]
    losses = []
    for name, address in (("here", None), ("there", scheduler)):
        monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path / name))
        lab = start("sample", sample_size=200)
        lab.store(16, "grey")
        lab.planned("wanted", wanted)
        outcomes = train_pending(pending(), scheduler=address)
        assert {o.experiment.number: o.status for o in outcomes} == {
            "1.0": "done", "2.0": "failed", "3.0": "done",
        }  # fmt: skip
        histories = [load_record(lab.folder(wanted[at])).history["loss"] for at in (0, 2)]
        losses.append(np.concatenate(histories))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory"),
        ("half of a f", "it has no address"),
        ("{}", "it has no address"),
        (json.dumps({"address": "tcp://127.0.0.1:9"}), r"scheduler\.json \(Timed out .*:9 after"),
    ],
)
def test_a_scheduler_file_that_leads_nowhere_is_told(tmp_path, monkeypatch, text, said):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    path = tmp_path / "scheduler.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=said), workers(str(path)):
        pass


@pytest.mark.parametrize("address", ["host", "foo://host:1", ""])
def test_an_address_that_is_none_is_told(address):
    message = rf"no Dask scheduler answers at {address} \((missing port|unknown address scheme)"
    with pytest.raises(DataError, match=message), workers(address):
        pass


def test_no_scheduler_and_no_package_are_told(monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with (
        pytest.raises(DataError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*dask s"),
        workers("tcp://127.0.0.1:9"),
    ):
        pass
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(DataError, match=r"pip install distributed"), workers("tcp://127.0.0.1:9"):
        pass
