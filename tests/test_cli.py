"""The command line: what it passes on, what it prints, and its exit status."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from agelib import batch, cli, cli_run, cluster, datasets, paths, results
from agelib.batch import Outcome, Progress

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
PARAMETERS = "DATASET = 'utkface'\nRETRAIN = False\nEPOCHS = None"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A collection of two tiny notebooks."""
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name, last in (("03-lenet", "print(DATASET, EPOCHS)"), ("90-summary", "1 / 0")):
        cells = [
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            new_code_cell(f"import os\n{last}"),
        ]
        notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """What was asked of run_collection, which does nothing."""
    seen = []

    def run(notebooks, **arguments):
        seen.append({"names": [path.stem for path in notebooks], **arguments})
        return [Outcome(path.stem, "done") for path in notebooks]

    monkeypatch.setattr(batch, "run_collection", run)
    return seen


def test_sample_is_the_default_and_stays_apart(home, calls, capsys):
    assert cli.main(["run"]) == 0
    (call,) = calls
    assert call["names"] == ["03-lenet", "90-summary"]
    expected = {name: batch.QUICK[name] for name in ("DATASET", "RETRAIN", "EPOCHS")}
    assert call["parameters"] == expected  # the notebooks declare no others
    assert call["output"].parent == home / "runs"
    for name, folder in (("AGELIB_DATASETS", "datasets"), ("AGELIB_RESULTS", "models-and-results")):
        assert call["environment"][name] == str(call["output"] / folder)
    assert capsys.readouterr().out == f"2 notebooks executed in 0:00: runs/{call['output'].name}\n"


def test_two_runs_in_one_second_do_not_share_a_folder(home, calls, monkeypatch):
    monkeypatch.setattr(cli_run.time, "strftime", lambda form: "now")
    assert [cli.main(["run"]), cli.main(["run"])] == [0, 0]
    assert [call["output"].name for call in calls] == ["now", "now-2"]


def test_a_real_data_set_uses_the_collections_own_folders(home, calls):
    words = ["run", "03", "--dataset", "utkface", "--retrain", "--output", "out"]
    assert cli.main([*words, "-p", "EPOCHS", "7"]) == 0
    (call,) = calls
    assert call["names"] == ["03-lenet"]
    assert call["parameters"] == {"DATASET": "utkface", "RETRAIN": True, "EPOCHS": 7}
    assert call["environment"] == {} and call["jobs"] == 1
    assert call["output"] == home / "out"


def test_notebooks_at_the_same_time_share_the_cores(home, calls, monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    for cores, words, jobs, threads in (
        (2, [], 2, "1"),
        (1, [], 1, None),
        (8, [], 2, "4"),
        (8, ["--jobs", "3", "--dataset", "utkface"], 3, "2"),
        (2, ["--jobs", "3"], 3, "1"),
        (2, ["--scheduler", "tcp://host:1"], 2, None),
    ):
        for module in (cli_run, cluster):
            monkeypatch.setattr(module, "available_cores", lambda cores=cores: cores)
        assert cli.main(["run", *words]) == 0
        assert calls[-1]["jobs"] == jobs
        assert calls[-1]["environment"].get("TF_NUM_INTRAOP_THREADS") == threads
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    assert cli.main(["run"]) == 0
    assert calls[-1]["environment"]["TF_NUM_INTRAOP_THREADS"] == "5"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "04"], "no chapter '04'; there are: 03-lenet, 90-summary"),
        (["run", "-p", "EPOCS", "1"], "unknown parameter EPOCS; the chosen notebooks have: "),
        (["run", "-p", "EPOCHS", "[1]"], "parameter value '[1]'"),
        (["run", "-p", "DATASET", "utkface"], "choose the data set with --dataset"),
        (["run", "--dataset", "faces"], "faces"),
        (["results", "--folder", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(home, capsys, words, message):
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("agelib: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("jobs", ["0", "-1", "two"])
def test_jobs_must_be_positive(jobs, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", "--jobs", jobs])
    assert stop.value.code == 2
    assert "is not a whole number from 1 up" in capsys.readouterr().err


def test_run_for_real_names_the_notebook_and_the_cell(home, capsys):
    assert cli.main(["run", "--output", "out", "--jobs", "2"]) == 1
    said = capsys.readouterr()
    assert "[1 of 2] 03-lenet, 90-summary - elapsed 0:00, about 0:" in said.err
    line = "90-summary failed: code cell 2 (import os): ZeroDivisionError: division by zero\n"
    assert line in said.err
    assert said.out.startswith("1 of 2 notebooks executed in 0:")
    assert said.out.endswith(": out\n")
    assert (home / "out" / "03-lenet.ipynb").exists()
    assert (home / "out" / "90-summary-failed.ipynb").exists()


def test_interruption_is_status_130(home, monkeypatch, capsys):
    def interrupt(*words, **arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "run_collection", interrupt)
    assert cli.main(["run"]) == 130


def test_progress_is_a_line_for_each_change_when_not_on_a_terminal():
    stream = io.StringIO()
    meter = cli_run._Meter(stream)
    done = (Outcome("a", "done"),)
    meter(Progress(3, (), ("a",), 0.0, 70.0))
    meter(Progress(3, (), ("a",), 1.0, 69.0))
    meter(Progress(3, done, ("b",), 3661.0, 30.4))
    meter(Progress(3, done * 3, (), 3700.0, 0.0))
    assert stream.getvalue().splitlines() == [
        "[1 of 3] a - elapsed 0:00, about 1:10 remaining",
        "[2 of 3] b - elapsed 1:01:01, about 0:30 remaining",
    ]


@pytest.fixture
def records(monkeypatch):
    """Two records, one of which has no fold, and a broken one."""
    rows = [
        {"number": "1.0", "dataset": "sample", "protocol": "p1-decades", "accuracy": 0.5},
        {"number": "1.1", "dataset": "sample", "protocol": "sample-5fold", "fold": 2},
    ]
    table = pd.DataFrame(rows, columns=results.RESULT_COLUMNS).astype({"fold": "Int64"})
    table["reduced"] = ""
    table.attrs["problems"] = []
    monkeypatch.setattr(results, "results_table", lambda folder: table)
    return table


def test_results_as_table_csv_and_json(records, capsys):
    assert cli.main(["results"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["number", "dataset", "protocol", "fold", "accuracy"]
    assert first.split() == ["1.0", "sample", "p1-decades", "0.500"]
    assert second.split() == ["1.1", "sample", "sample-5fold", "2"]

    assert cli.main(["results", "--format", "csv"]) == 0
    read = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(read) == results.RESULT_COLUMNS

    assert cli.main(["results", "--format", "json", "--protocol", "sample-5fold"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["number"], row["fold"], row["accuracy"]) == ("1.1", 2, None)


def test_results_filters_and_problems(records, capsys):
    assert cli.main(["results", "--protocol", "p2"]) == 2
    assert "no record of protocol 'p2'; there are: p1-decades, sample-5fold" in (
        capsys.readouterr().err
    )
    records.attrs["problems"] = ["x/record.json: broken"]
    assert cli.main(["results", "--dataset", "sample"]) == 1
    said = capsys.readouterr()
    assert said.err == "agelib: left out x/record.json: broken\n"
    assert len(said.out.splitlines()) == 3


def test_results_of_an_empty_folder(tmp_path, capsys):
    assert cli.main(["results", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no records\n"
    assert cli.main(["results", "--long", "--format", "csv", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ",".join(results.LONG_COLUMNS) + "\n"


def test_results_in_long_form_and_pending_do_not_go_together(tmp_path, capsys):
    assert cli.main(["results", "--long", "--pending", "--folder", str(tmp_path)]) == 2
    assert "--long goes with records, not with --pending" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    command = [sys.executable, "-m", "agelib", "results", "--folder", str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=paths.root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_prepare_from_the_command_line(tmp_path, monkeypatch, capsys):
    from agelib.datasets.sample import write_sample

    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "datasets"))
    faces = write_sample(tmp_path / "faces", n=40)
    words = ["prepare", "sample", str(faces), "--size", "32", "--color", "grey", "--jobs", "1"]
    assert cli.main(words) == 0
    lines = dict(line.partition(": ")[::2] for line in capsys.readouterr().out.splitlines())
    assert lines["store"].startswith(str(tmp_path))
    assert lines["manifest"].startswith(str(tmp_path))


@pytest.mark.parametrize("command", [[], ["run"], ["results"], ["prepare"]])
def test_help_is_quick_and_needs_no_network_library(command):
    code = (
        "import sys\nfrom agelib.cli import main\n"
        f"try: main({[*command, '--help']!r})\nexcept SystemExit: pass\n"
        "assert not {'keras', 'tensorflow', 'pandas', 'papermill'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.root(), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "usage: python -m agelib" in result.stdout
    if command == ["prepare"]:
        assert f"oneof{','.join(datasets.names())}" in "".join(result.stdout.split())
