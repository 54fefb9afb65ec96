"""Running notebooks with papermill: tiny notebooks, real kernels where it matters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from waiting import until

from agelib import batch, notebook_process
from agelib.batch import Progress, run_collection
from agelib.files import DataError
from agelib.notebooks import find_notebooks, notebook_parameters, parse_value, plan_run
from agelib.paths import root

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def write_notebook(folder, name, *sources, parameters="", **about):
    cells = [new_markdown_cell("# Title")]
    if parameters:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in sources]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "agelib": about})
    path = Path(folder) / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def printed(path):
    outputs = [o for c in nbformat.read(path, 4).cells if c.cell_type == "code" for o in c.outputs]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


def test_quick_parameters_are_the_notebooks_common_names():
    numbers = {"EPOCHS", "FOLDS", "STATES", "SAMPLE_SIZE", "TRIALS"}
    assert set(batch.QUICK) == {"DATASET", "RETRAIN", *numbers}
    assert batch.QUICK["DATASET"] == "sample"
    assert batch.QUICK["RETRAIN"] is False


@pytest.mark.parametrize("chapter", ["03", "3", "03-lenet", "03-lenet.ipynb", "notebooks/03-lenet"])
def test_find_notebooks_by_number_or_name(tmp_path, chapter):
    for name in ("90-summary", "03-lenet", "00-explore", "scratch"):
        write_notebook(tmp_path, name)
    assert [path.stem for path in find_notebooks([chapter], folder=tmp_path)] == ["03-lenet"]
    names = [path.stem for path in find_notebooks(folder=tmp_path)]
    assert names == ["00-explore", "03-lenet", "90-summary"]


def test_find_notebooks_names_what_there_is(tmp_path):
    with pytest.raises(DataError, match="no notebook NN-name"):
        find_notebooks(folder=tmp_path)
    write_notebook(tmp_path, "03-lenet")
    with pytest.raises(DataError, match=r"no chapter '4'; there are: 03-lenet"):
        find_notebooks(["3", "4"], folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("sample", "sample"),
        ("'1.10'", "1.10"),
        ("2020-01-01", "2020-01-01"),
        ("", None),
    ],
)
def test_parse_value_reads_yaml_scalars(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize("text", ["[1, 2]", "{a: 1}", "'open", "a: b: c"])
def test_parse_value_refuses_what_is_no_scalar(text):
    with pytest.raises(DataError, match="parameter value"):
        parse_value(text)


def test_parameters_go_only_to_notebooks_that_declare_them(tmp_path):
    first = write_notebook(tmp_path, "01-a", parameters="EPOCHS = 5\nDATASET = 'x'  # which")
    second = write_notebook(tmp_path, "02-b", parameters="DATASET = 'x'")
    third = write_notebook(tmp_path, "03-c")
    assert notebook_parameters(first) == {"EPOCHS": "5", "DATASET": "'x'"}
    tasks = plan_run([third, second, first], parameters={"DATASET": "y", "EPOCHS": None})
    assert [task.name for task in tasks] == ["01-a", "02-b", "03-c"]
    expected = [{"DATASET": "y", "EPOCHS": None}, {"DATASET": "y"}, {}]
    assert [task.parameters for task in tasks] == expected


def test_unknown_parameter_is_refused_before_anything_starts(tmp_path):
    notebook = write_notebook(tmp_path, "01-a", "1 + 1", parameters="EPOCHS = 5")
    output = tmp_path / "out"
    with pytest.raises(DataError, match="unknown parameter EPOCS; the chosen .* have: EPOCHS"):
        run_collection([notebook], parameters={"EPOCS": 1, "EPOCHS": 1}, output=output)
    assert not output.exists()


def test_waiting_for_notebooks(tmp_path):
    first = write_notebook(tmp_path, "01-a")
    second = write_notebook(tmp_path, "02-b", needs=["01-a"])
    last = write_notebook(tmp_path, "03-c", after=["*"])
    tasks = plan_run([first, second, last], parameters={})
    assert [task.needs for task in tasks] == [(), ("01-a",), ()]
    assert [task.after for task in tasks] == [(), (), ("01-a", "02-b")]
    assert plan_run([second], parameters={})[0].needs == ()  # not chosen: not waited for


def test_bad_notebooks_are_refused(tmp_path):
    missing = write_notebook(tmp_path, "01-a", needs=["00-nothing"])
    with pytest.raises(DataError, match="needs '00-nothing', and there is no such notebook"):
        plan_run([missing], parameters={})
    circle = [
        write_notebook(tmp_path, "02-b", needs=["03-c"]),
        write_notebook(tmp_path, "03-c", after=["02*"]),
    ]
    with pytest.raises(DataError, match="wait for each other: 0.* -> 0"):
        plan_run(circle, parameters={})
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="two notebooks are called 03-c"):
        plan_run([circle[1], write_notebook(tmp_path / "sub", "03-c")], parameters={})
    with pytest.raises(DataError, match="no such notebook"):
        plan_run([tmp_path / "04-d.ipynb"], parameters={})
    broken = tmp_path / "05-e.ipynb"
    broken.write_text("{")
    with pytest.raises(DataError, match=r"05-e\.ipynb: not a notebook"):
        plan_run([broken], parameters={})
    with pytest.raises(DataError, match="jobs is 0"):
        run_collection([circle[0]], output=tmp_path / "out", jobs=0)


def test_run_collection(tmp_path, monkeypatch):
    """One run shows success, parameters, failure, skipping, environment and kernel choice."""
    # A kernel of the same name in the user's own folder must not be taken.
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "other"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    code = "import os, sys\nprint(A, B, os.environ['AGELIB_RESULTS'], sys.prefix)"
    good = write_notebook(tmp_path, "01-good", code, parameters="A = 1\nB = None")
    bad = write_notebook(
        tmp_path, "02-bad", "x = 0", "# divide\n1 / x", "2", parameters="A = 1", needs=["01-good"]
    )
    write_notebook(tmp_path, "03-skipped", "1", needs=["02-bad"])
    write_notebook(tmp_path, "04-skipped-too", "1", needs=["03-skipped"])
    write_notebook(tmp_path, "90-last", "print('last')", after=["*"])
    before = {path: path.read_bytes() for path in (good, bad)}
    output = tmp_path / "out"
    output.mkdir()
    (output / "02-bad.ipynb").write_text("of an earlier run")
    (output / "01-good-failed.ipynb").write_text("of an earlier run")

    states: list[Progress] = []
    outcomes = run_collection(
        sorted(tmp_path.glob("*.ipynb")),
        parameters={"A": 7, "B": "two words"},
        output=output,
        jobs=2,
        environment={"AGELIB_RESULTS": "elsewhere"},
        progress=states.append,
    )

    statuses = ["done", "failed", "skipped", "skipped", "done"]
    assert [outcome.status for outcome in outcomes] == statuses
    assert printed(outcomes[0].output) == f"7 two words elsewhere {sys.prefix}\n"
    failed = outcomes[1]
    assert failed.reason == "code cell 3 (# divide): ZeroDivisionError: division by zero"
    assert outcomes[2].reason == "it needs 02-bad, which failed"
    assert outcomes[3].reason == "it needs 03-skipped, which was skipped"
    names = sorted(path.name for path in output.iterdir())
    assert names == ["01-good.ipynb", "02-bad-failed.ipynb", "90-last.ipynb"]
    assert {path: path.read_bytes() for path in before} == before
    assert {state.total for state in states} == {5}
    assert states[-1].running == ()
    assert states[-1].remaining == 0
    assert all(state.remaining > 0 for state in states if state.running == ("01-good",))


@pytest.mark.parametrize("content", ["", '{"cells": [{"cell_ty'])
def test_a_notebook_that_was_cut_off_has_a_reason_all_the_same(tmp_path, content):
    path = tmp_path / "10-cut-failed.ipynb"
    path.write_text(content)
    reason = notebook_process._reason(path, "No space left on device")
    assert reason.startswith("No space left on device (10-cut-failed.ipynb is cut off: ")


def test_a_kernel_that_dies_is_located(tmp_path):
    notebook = write_notebook(tmp_path, "01-a", "x = 1", "import os\nos._exit(1)", "2")
    (outcome,) = run_collection([notebook], output=tmp_path / "out")
    assert outcome.status == "failed"
    assert outcome.reason.startswith("code cell 2 (import os): the kernel died")


@pytest.mark.parametrize(
    "script",
    [
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        # As a shell without job control starts what it puts in the background.
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    ],
)
def test_interrupting_stops_the_kernel_and_leaves_nothing(tmp_path, script):
    code = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))"
    notebook = write_notebook(tmp_path, "01-a", f"{code}\ntime.sleep(1000)")
    output = tmp_path / "out"
    ignored = "SIG_IGN" in script
    script = f"import signal, sys; {script}; signal.signal(signal.SIGTERM, lambda *_: sys.exit(1));"
    # Nothing is killed: what ends has been interrupted.
    script += "from agelib import cluster; cluster.GRACE = 1000; "
    script += f"from agelib.batch import run_collection; run_collection([{str(notebook)!r}], "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script} output={str(output)!r})"],
        cwd=root(),
        stderr=subprocess.DEVNULL,
    )
    pid = tmp_path / "pid"
    until(lambda: pid.exists() and pid.read_text())
    process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
    assert process.wait(300) != 0
    until(lambda: not _alive(int(pid.read_text())))
    assert list(output.iterdir()) == []


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
