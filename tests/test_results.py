import json
import shutil

import numpy as np
import pandas as pd
import pytest

from agelib.evaluation import evaluate, pooled
from agelib.files import DataError
from agelib.records import write_record
from agelib.results import (
    LONG_COLUMNS,
    RESULT_COLUMNS,
    SUMMARY_COLUMNS,
    long_table,
    results_table,
    summarise,
)

CIRCUMSTANCES = {
    "epochs": 5,
    "parameters": 61_706,
    "seconds": 12.5,
    "images_per_second": 980.0,
    "backend": "tensorflow",
    "hardware": "2 cores",
}


def predictions(*, kind="decades-7", fold=None, state=0, n=40):
    """Made-up predictions; every fold has files of its own."""
    generator = np.random.default_rng([state, 0 if fold is None else fold])
    files = [f"{fold or 0}-{i:03d}.jpg" for i in range(n)]
    age = generator.integers(1, 70, size=n)
    table = pd.DataFrame({"file": files, "age": age})
    if kind == "age":
        return table.assign(predicted=(age + generator.normal(0, 6, n)).round(3))
    p = generator.dirichlet(np.ones(7), size=n).round(5)
    table = table.assign(true=generator.integers(7, size=n), predicted=p.argmax(axis=1))
    return table.assign(**{f"p{c}": p[:, c] for c in range(7)})


def write(results, number="1.0", name="LeNet-5", *, table=None, reduced=None, **changes):
    """Write a record of made-up predictions as training would."""
    experiment = {
        **{"number": number, "name": name, "chapter": "03-lenet", "dataset": "utkface"},
        **{"protocol": "p1-decades", "fold": None, "state": 0, "labels": "decades-7"},
        **{"image_size": 32, "recipe": {"epochs": 5}},
        **changes,
    }
    labels, fold, state = (experiment[key] for key in ("labels", "fold", "state"))
    if table is None:
        table = predictions(kind=labels, fold=fold, state=state)
    kind = "regression" if labels == "age" else "classification"
    metrics = evaluate(table, kind=kind, resamples=50).to_dict("index")
    slug = f"{number}-{name}-{experiment['protocol']}-{fold}-{state}-{len(reduced or {})}"
    folder = results / experiment["dataset"] / experiment["chapter"] / slug
    history = pd.DataFrame({"loss": [1.0]}, index=pd.Index([1], name="epoch"))
    summary = {"experiment": experiment, "reduced": reduced or {}, "metrics": metrics}
    write_record(folder, summary | CIRCUMSTANCES, history, table)
    return folder


def test_one_row_a_record_in_natural_order(tmp_path):
    for number in ("1.10", "1.9", "1.0"):
        write(tmp_path, number)
    write(tmp_path, "1.0", chapter="02-earlier")
    for fold in (1, 0):
        write(tmp_path, "1.9", protocol="utkface-5fold", fold=fold)
    table = results_table(tmp_path)
    assert list(table.columns) == RESULT_COLUMNS
    assert list(table["number"]) == ["1.0", "1.0", "1.9", "1.9", "1.9", "1.10"]
    assert table["chapter"].iloc[0] == "02-earlier"
    assert list(table["fold"].iloc[2:5]) == [pd.NA, 0, 1]
    row, truth = table.iloc[0], evaluate(predictions(), kind="classification", resamples=50)
    assert [row["accuracy"], row["low"], row["high"]] == list(
        truth.loc["accuracy", ["value", "low", "high"]]
    )
    assert row["macro_f1"] == truth.loc["macro_f1", "value"]
    assert (row["n"], row["parameters"], row["reduced"]) == (40, 61_706, "")
    assert (row["seconds"], row["hardware"]) == (12.5, "2 cores")
    assert table["mae"].isna().all() and table.attrs["problems"] == []


def test_a_regression_has_an_interval_of_its_error(tmp_path):
    write(tmp_path, labels="age")
    row = results_table(tmp_path).iloc[0]
    assert row["mae_low"] < row["mae"] < row["mae_high"] and 0 < row["cs5"] < 1
    assert np.isnan(row["accuracy"]) and np.isnan(row["low"])


def test_what_was_made_smaller_is_said(tmp_path):
    write(tmp_path, reduced={"epochs": 100, "image_size": 64})
    assert results_table(tmp_path)["reduced"][0] == "epochs 5 of 100; image_size 32 of 64"


def test_long_table_has_one_row_a_metric(tmp_path):
    write(tmp_path, "1.0")
    write(tmp_path, "2.0", "AL-ResNet", labels="age", state=3)
    table = long_table(tmp_path)
    assert list(table.columns) == LONG_COLUMNS
    assert table.groupby("experiment").size().to_dict() == {"1.0 LeNet-5": 10, "2.0 AL-ResNet": 4}
    row = table[(table["experiment"] == "2.0 AL-ResNet") & (table["metric"] == "mae")].iloc[0]
    assert row["low"] < row["value"] < row["high"] and (row["n"], row["state"]) == (40, 3)


def test_empty_folder_gives_empty_tables_and_a_missing_one_is_named(tmp_path, monkeypatch):
    for make, columns in (
        (results_table, RESULT_COLUMNS),
        (long_table, LONG_COLUMNS),
        (summarise, SUMMARY_COLUMNS),
    ):
        table = make(tmp_path)
        assert list(table.columns) == columns and table.empty and table.attrs["problems"] == []
        with pytest.raises(DataError, match="no-such is no results folder"):
            make(tmp_path / "no-such")
    write(tmp_path)
    monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path))
    assert len(results_table()) == len(summarise()) == 1


def damage(path, change):
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))


DAMAGE = {
    "cut off": (lambda path: path.write_text(path.read_text()[:200]), "Unterminated|Expecting"),
    "empty": (lambda path: path.write_text(""), "Expecting value"),
    "not text": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "decode"),
    "a list": (lambda path: path.write_text("[]"), "indices"),
    "no metrics": (lambda path: damage(path, lambda s: s.pop("metrics")), "lacks 'metrics'"),
    "no state": (
        lambda path: damage(path, lambda s: s["experiment"].pop("state")),
        "lacks 'state'",
    ),
    "a word as value": (
        lambda path: damage(path, lambda s: s["metrics"]["accuracy"].update(value="high")),
        "could not convert string to float: 'high'",
    ),
    "no circumstances": (lambda path: damage(path, lambda s: s.update(seconds=None)), "NoneType"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_record_is_named_and_does_not_hide_the_rest(tmp_path, case):
    spoil, reason = DAMAGE[case]
    write(tmp_path, "1.0")
    spoil(write(tmp_path, "1.1") / "record.json")
    for make in (results_table, long_table, summarise):
        table = make(tmp_path)
        (problem,) = table.attrs["problems"]
        assert problem.startswith("utkface/03-lenet/1.1-LeNet-5-p1-decades-None-0-0/record.json: ")
        assert "restore it from git or train again" in problem
        assert set(table.get("number", ["1.0"])) == {"1.0"}
    assert pd.Series([problem]).str.contains(reason).all(), problem


def test_an_undefined_metric_is_nan_and_no_problem(tmp_path):
    path = write(tmp_path) / "record.json"
    damage(path, lambda s: s["metrics"]["roc_auc"].update(value=None, low=None, high=None))
    table = results_table(tmp_path)
    assert np.isnan(table["roc_auc"][0]) and table.attrs["problems"] == []


def test_folds_are_pooled_image_by_image(tmp_path):
    protocol = "utkface-5fold"
    for fold in range(5):
        write(tmp_path, protocol=protocol, fold=fold)
    for state in (1, 2):
        write(tmp_path, protocol=protocol, fold=0, state=state)
    write(tmp_path)
    table = summarise(tmp_path, resamples=100)
    assert list(table.columns) == SUMMARY_COLUMNS
    honest = table[table["protocol"] == protocol].iloc[0]
    everything = pooled(predictions(fold=fold) for fold in range(5))
    truth = evaluate(everything, kind="classification", resamples=100)
    assert [honest[c] for c in ("accuracy", "low", "high", "roc_auc")] == [
        *truth.loc["accuracy", ["value", "low", "high"]],
        truth.loc["roc_auc", "value"],
    ]
    assert (honest["n"], honest["folds"], honest["states"]) == (200, 5, 3)
    assert honest["seconds"] == 5 * 12.5
    records = results_table(tmp_path)
    first = records[(records["protocol"] == protocol) & (records["fold"] == 0)]
    assert honest["accuracy_sd"] == pytest.approx(first["accuracy"].std())
    theirs = table[table["protocol"] == "p1-decades"].iloc[0]
    assert theirs["folds"] is pd.NA and (theirs["n"], theirs["states"]) == (40, 1)
    assert np.isnan(theirs["accuracy_sd"])


def test_regressions_over_folds_and_states(tmp_path):
    for fold, state in ((0, 0), (1, 0), (1, 1), (1, 2)):
        write(tmp_path, labels="age", protocol="utkface-5fold", fold=fold, state=state)
    row = summarise(tmp_path, resamples=50).iloc[0]
    errors = [
        predictions(kind="age", fold=1, state=s).eval("abs(predicted - age)") for s in (0, 1, 2)
    ]
    assert row["mae_sd"] == pytest.approx(np.std([e.mean() for e in errors], ddof=1))
    assert (row["folds"], row["states"], row["n"]) == (2, 3, 80)
    assert row["mae_low"] < row["mae"] < row["mae_high"]


def test_reduced_runs_and_other_sizes_are_rows_of_their_own(tmp_path):
    write(tmp_path)
    write(tmp_path, reduced={"epochs": 100})
    write(tmp_path, dataset="sample")
    assert len(summarise(tmp_path)) == 3


def test_what_cannot_be_pooled_is_a_problem(tmp_path):
    protocol = "utkface-5fold"
    kept = write(tmp_path, "1.0", protocol=protocol, fold=0)
    write(tmp_path, "1.0", protocol=protocol, fold=1)
    for fold in (0, 1):
        write(tmp_path, "1.1", protocol=protocol, fold=fold)
    shutil.copytree(kept, kept.with_name("copy"))
    table = summarise(tmp_path, resamples=20)
    assert list(table["number"]) == ["1.1"]
    (problem,) = table.attrs["problems"]
    assert problem.startswith("1.0 LeNet-5, utkface-5fold: 40 rows repeat an image")
    shutil.rmtree(kept.with_name("copy"))
    (kept / "predictions.csv.gz").write_bytes(b"cut")
    (problem,) = summarise(tmp_path, resamples=20).attrs["problems"]
    assert "not a whole record" in problem
