"""Commands with --scheduler: what they make equals what this machine makes alone."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from local_cluster import LENET
from nbformat.v4 import new_code_cell, new_notebook

from agelib import cli, cluster, paths, study, trials
from agelib.lab import start
from agelib.records import load_record

pytest_plugins = ["local_cluster"]  # the fixture `scheduler`


LEARNS = """
from agelib.experiment import Experiment, Recipe
from agelib.lab import start
lab = start("sample", sample_size=SAMPLE_SIZE, epochs=EPOCHS)
record = lab.train(Experiment(
    number="1.0", name="LeNet-5", chapter="01-learns", architecture="lenet5", labels="decades-7",
    dataset="sample", protocol="p1-decades", color="grey", image_size=16, recipe=Recipe(epochs=2),
))
print(record.summary["metrics"]["accuracy"])
"""
READS = """
import os, pathlib
folder = pathlib.Path(os.environ["AGELIB_RESULTS"])
print(DATASET, sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json")))
"""


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """Three tiny notebooks: one trains, one reads its record, one fails."""
    sources = {
        "01-learns": ("SAMPLE_SIZE = 9\nEPOCHS = None", LEARNS),
        "02-reads": ("DATASET = 'utkface'", READS),
        "03-fails": ("EPOCHS = None", "1 / 0"),
    }
    (tmp_path / "notebooks").mkdir()
    for name, (parameters, source) in sources.items():
        cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        needs = {"needs": ["01-learns"]} if name == "02-reads" else {}
        about = {"kernelspec": kernel, "agelib": needs}
        notebook = new_notebook(cells=[*cells, new_code_cell(source)], metadata=about)
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[1]))
    return tmp_path


def shown(path):
    """What a notebook's code cells say and printed, or how they failed."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    # How often a progress bar is drawn depends on the load.
    kept = [[o for o in cell.outputs if o.get("name") != "stderr"] for cell in cells]
    outputs = [[o.get("text") or o.get("evalue") for o in each] for each in kept]
    return list(zip([cell.source for cell in cells], outputs, strict=True))


def test_a_cluster_runs_notebooks_as_this_machine_does(scheduler, notebooks, capsys):
    words, made = ["run", "-p", "SAMPLE_SIZE", "100", "--output"], {}
    for name, where in (("here", ["--jobs", "2"]), ("there", ["--scheduler", scheduler])):
        assert cli.main([*words, str(notebooks / name), *where]) == 1
        said = capsys.readouterr()
        assert said.out.startswith("2 of 3 notebooks executed in ")
        assert "03-fails failed: code cell 2 (1 / 0): ZeroDivisionError" in said.err
        folder = notebooks / name
        executed = sorted(path.name for path in folder.glob("*.ipynb"))
        (record,) = folder.rglob("record.json")
        made[name] = (
            {each: shown(folder / each) for each in executed},
            load_record(record.parent),
        )
        assert executed == ["01-learns.ipynb", "02-reads.ipynb", "03-fails-failed.ipynb"]
        assert not list(folder.glob(".*"))
    (here, one), (there, two) = made.values()
    assert here == there
    assert "record.json" in here["02-reads.ipynb"][-1][1][0]
    np.testing.assert_allclose(two.history["loss"], one.history["loss"], rtol=1e-4)
    pd.testing.assert_frame_equal(two.predictions, one.predictions, atol=1e-4)


def test_a_cluster_searches_as_one_process_does(scheduler, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "data"))
    few = [
        experiment
        for experiment in trials.candidates("sample", image_size=32, epochs=1, precision="float32")
        if experiment.number in ("3.0", "6.0")
    ]
    monkeypatch.setattr(trials, "candidates", lambda dataset, **_: few)
    found = {}
    for name, where in (("here", []), ("there", ["--scheduler", scheduler])):
        monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path / name))
        start("sample", sample_size=200)
        assert cli.main(["search", "--dataset", "sample", *where]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "2 of 2 trials have a record, 0 of them pruned"
        assert sorted(line.split(":")[0] for line in lines[:-1]) == ["done", "done"]
        opened = study.Study(start("sample", sample_size=200), few, 0)
        opened.open()
        shared = opened.study.get_trials()
        found[name] = {trial.user_attrs["number"]: trial for trial in shared}
        assert len(shared) == 2
    for number, one in found["here"].items():
        two = found["there"][number]
        assert (two.state, two.params) == (one.state, one.params)
        assert two.value == pytest.approx(one.value) and one.value > 0
        assert two.intermediate_values == pytest.approx(one.intermediate_values)


@pytest.mark.parametrize("command", ["run", "search", "prepare", "train"])
def test_a_command_says_that_nothing_answers_and_leaves_nothing(
    command, notebooks, monkeypatch, capsys
):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    monkeypatch.setenv("AGELIB_DATASETS", str(notebooks / "data"))
    monkeypatch.setenv("AGELIB_RESULTS", str(notebooks / "results"))
    lab = start("sample", sample_size=30)
    lab.planned("wanted", [LENET])
    capsys.readouterr()

    def files():
        return sorted(p for p in notebooks.rglob("*") if p.is_file() and p.suffix != ".lock")

    before = files()
    more = {
        "run": [],
        "search": ["--dataset", "sample"],
        "prepare": ["utkface", str(notebooks / "data" / "sample" / "images"), "--own"],
        "train": ["--pending"],
    }
    assert cli.main([command, *more[command], "--scheduler", "tcp://127.0.0.1:9"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("agelib: no Dask scheduler answers at tcp://127.0.0.1:9 (Timed out")
    assert said.endswith("start one with `dask scheduler`, or leave --scheduler out\n")
    assert files() == before
