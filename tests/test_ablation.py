"""Comparing changes on the same test images."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from agelib.ablation import by_change, compare, compare_states, image_errors
from agelib.experiment import Experiment, Recipe
from agelib.files import DataError
from agelib.records import Record


def record(ages, predicted, *, files=None, validation=5.0, state=0):
    table = pd.DataFrame({
        "file": files or [f"{k}.jpg" for k in range(len(ages))], "age": ages,
        "predicted": np.asarray(predicted, float),
    })  # fmt: skip
    summary = {"validation": {"mae": validation}, "experiment": {"fold": 0, "state": state}}
    return Record(summary, pd.DataFrame(), table, Path())


def test_errors_are_averaged_over_states_and_joined_over_folds():
    states = [record([20, 30], [22, 30]), record([20, 30], [26, 31])]
    assert image_errors(states).to_dict() == {"0.jpg": 4, "1.jpg": 0.5}
    folds = [record([20], [22]), record([30], [33], files=["9.jpg"])]
    assert image_errors(folds).to_dict() == {"0.jpg": 2, "9.jpg": 3}


def test_a_skewed_distribution_is_read_off_by_its_median_or_its_mean():
    skewed = record([20], [20])
    for year in range(101):
        skewed.predictions[f"p{year}"] = {20: 0.6, 60: 0.4}.get(year, 0.0)
    assert image_errors([skewed]).item() == 0
    assert image_errors([skewed], "expected age").item() == pytest.approx(16)
    with pytest.raises(ValueError, match="'mode' is unknown; choose from expected age, median"):
        image_errors([skewed], "mode")


def test_each_random_state_is_compared_with_the_base_of_its_own():
    ages = np.arange(20, 60)
    groups = {
        "base": [record(ages, ages + 4), record(ages, ages + 7, state=1)],
        "better": [record(ages, ages + 1), record(ages, ages + 5, state=1)],
        "once": [record(ages, ages)],
        "later": [],
    }
    table = compare_states(groups, "base")
    assert list(table.index) == ["base", "better"]
    assert table.loc["better", ("state 0", "difference")] == -3
    assert table.loc["better", ("state 1", "difference")] == -2
    assert table.loc["base", ("state 1", "mae")] == 7
    assert compare_states({"base": groups["once"], "later": []}, "base").empty
    of_one = compare_states(groups | {"base": groups["base"][:1]}, "base")
    assert of_one.loc["better", ("state 0", "difference")] == -3
    assert np.isnan(of_one.loc["better", ("state 1", "difference")])


def test_changes_by_hand():
    random = np.random.default_rng(0)
    ages = random.integers(0, 100, 400)
    off = random.integers(0, 10, 400)
    base = [record(ages, ages + off, validation=4.0)]
    base.append(record(ages, ages - off, validation=6.0, state=1))
    # One year nearer on nearly every image.
    better = [record(ages, ages + np.abs(off - 1))]
    table = compare({"base": base, "better": better, "later": []}, "base")
    assert table["runs"].tolist() == [2, 1, 0]
    row = table.loc["base"]
    inside = np.clip(ages + off, 0, 100), np.clip(ages - off, 0, 100)
    expected = np.mean([np.abs(x - ages).mean() for x in inside])
    assert row["validation"] == 5 and row["mae"] == pytest.approx(expected)
    assert row["low"] < row["mae"] < row["high"] and pd.isna(row["difference"])
    row = table.loc["better"]
    assert pd.isna(row["sd"]) and row["n"] == 400
    # Compared with the base's run of the same random state, not with the mean of both.
    assert row["difference"] == pytest.approx(row["mae"] - np.abs(inside[0] - ages).mean())
    assert row["from"] < row["difference"] < row["to"]
    assert table.loc["later"].drop("runs").isna().all()
    assert compare({"base": [], "better": better}, "base")["difference"].isna().all()
    assert compare({"base": base[1:], "better": better}, "base")["difference"].isna().all()
    both = [*better, record(ages, ages - off - 1, state=1)]
    row = compare({"base": base, "both": both}, "base").loc["both"]
    nearer = np.abs(np.clip(ages + np.abs(off - 1), 0, 100) - ages)
    farther = np.abs(np.clip(ages - off - 1, 0, 100) - ages)
    assert row["difference"] == pytest.approx(np.mean([nearer, farther]) - expected)


def test_other_images_and_an_unknown_base_are_refused():
    one, other = [record([20], [22])], [record([20], [22], files=["9.jpg"])]
    with pytest.raises(DataError, match="b and a were tested on different"):
        compare({"a": one, "b": other}, "a")
    with pytest.raises(ValueError, match="no group 'c'"):
        compare({"a": one}, "c")


def test_records_are_found_by_change_and_none_is_trained(tmp_path):
    base = Experiment(
        number="1.0", name="plain", chapter="99-test", architecture="softmax_regression",
        labels="per-year-101", dataset="sample", protocol="sample-5fold", image_size=8,
        recipe=Recipe(epochs=3),
    )  # fmt: skip
    small = base.reduced(epochs=1)
    lab = SimpleNamespace(folder=lambda experiment: tmp_path / experiment.slug)
    assert by_change(lab, [small], 2) == {"1.0 plain": []}
    # The record at full size does not stand for the smaller one.
    (tmp_path / base.slug).mkdir()
    (tmp_path / base.slug / "record.json").write_text("{}")
    assert by_change(lab, [small], 2) == {"1.0 plain": []}
    assert not (tmp_path / small.slug).exists()
