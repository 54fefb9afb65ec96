"""The trials of the topology search: what they choose; their table, importances and figures."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_trials import few, record

from agelib import plots, plots_search, trials


def test_candidates_are_p3s_trials_and_more_each_with_a_number_and_folder_of_its_own():
    found = trials.candidates("utkface")
    by_name = {experiment.name: experiment for experiment in found}
    assert len(found) == len(by_name) >= 62
    assert len({e.number for e in found}) == len({e.slug for e in found}) == len(found)
    numbers = {"I": "1.0", "IVb": "4.2", "IXa": "9.1", "XIVa": "14.1", "XVIIIs": "18.0s"}
    assert {name: by_name[name].number for name in numbers} == numbers
    winner = by_name["IV"]
    assert (winner.labels, winner.protocol, winner.fold) == ("groups-5", "utkface-5fold", 0)
    assert winner.recipe.class_weights and winner.recipe.optimizer == "adam"
    full = winner.full_size()
    assert (full.image_size, full.recipe.epochs) == (256, 100)
    assert {e.image_size for e in found if dict(e.options)["family"] == "V"} == {128}
    assert {e.image_size for e in found if dict(e.options)["family"] != "V"} == {80}
    assert {e.recipe.epochs for e in found} == {4}


def test_trials_with_the_same_choices_start_from_other_weights():
    found = trials.candidates("utkface")
    assert {e.name for e in found if e.state} == {"IIb", "XVb"}
    assert len({e.fingerprint for e in found}) == len(found)


def test_hyperparameters_tell_the_slip_from_what_was_meant():
    by_name = {e.name: trials.hyperparameters(e) for e in trials.candidates("utkface")}
    assert by_name["XX"]["batch_norm"] == "dense"
    assert by_name["XXs"]["batch_norm"] == "dense, not inserted"
    assert by_name["XVa"] == {
        "family": "IV", "dropout": "both", "max_norm": "all", "batch_norm": "none", "l2": "none",
        "learning_rate": 0.01, "batch_size": 32,
    }  # fmt: skip


def test_chosen_hyperparameters_come_back():
    found = trials.candidates("utkface")
    for experiment in found:
        chosen = trials.hyperparameters(experiment)
        if "not inserted" not in chosen["batch_norm"]:
            again = trials.choose(found[0], "40.1", "TPE 1", chosen)
            assert trials.hyperparameters(again) == chosen
            assert again.options == experiment.options


@pytest.fixture
def records(tmp_path):
    scores = ([0.6, 0.5], [0.2, 0.3], [0.6, 0.6], [0.2, 0.3])
    return [
        record(tmp_path / experiment.slug, experiment, each)
        for experiment, each in zip(few(), scores, strict=True)
    ]


def test_the_table_is_made_from_records(records):
    table = trials.trials_table(records)
    assert table["number"].tolist() == ["3.0", "3.1", "6.0", "6.1"]
    assert table.loc[1].to_dict() == {
        "number": "3.1", "name": "IIIa", "family": "III", "dropout": "none", "max_norm": "none",
        "batch_norm": "none", "l2": "none", "learning_rate": 0.005, "batch_size": 64,
        "image_size": 32, "validation_accuracy": 0.3, "epochs": 2, "pruned": False,
        "test_accuracy": 0.4, "low": 0.3, "high": 0.5, "n": 60, "parameters": 1000, "seconds": 4.0,
    }  # fmt: skip


def test_importance_goes_to_what_decides(records):
    found = trials.importances(trials.trials_table(records))
    assert found.index[0] == "learning_rate" and found.iloc[0] > 0.9
    assert found.sum() == pytest.approx(1) and set(found.index) == set(trials.HYPERPARAMETERS)
    assert found["dropout"] == 0 and found.attrs["n"] == 4
    pd.testing.assert_series_equal(found, trials.importances(trials.trials_table(records)))


def test_importance_of_trials_that_do_not_differ_is_refused(records):
    table = trials.trials_table(records)
    for little in (table[:1], table[:0], table.assign(validation_accuracy=0.5)):
        with pytest.raises(ValueError, match="train more trials"):
            trials.importances(little)


@pytest.fixture
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def test_parallel_coordinates_show_each_trial_on_the_axes_that_differ(records, style):
    table = trials.trials_table(records)
    table.loc[3, "pruned"] = True
    ax = plots_search.parallel_coordinates(table)
    title = "Hyperparameters and validation accuracy\nn = 4 trials, 1 of them pruned (dashed)"
    assert ax.get_title(loc="left") == title
    names = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert names == ["Family", "Learning rate", "Validation accuracy"]
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    # Worst first, so that the best is in front; its accuracy is at the top.
    assert lines[0].get_ydata()[2] == 0 and lines[-1].get_ydata()[2] == 1
    assert [line.get_linestyle() for line in lines].count("--") == 1
    assert {text.get_text() for text in ax.texts} == {"III", "VI", "0.001", "0.005"}
    # No name hides the lines through its choice: it stands above the highest of them.
    high = [text.get_position()[1] for text in ax.texts if text.get_text() in ("VI", "0.005")]
    assert min(high) > max(y for line in lines for y in line.get_ydata()[:2])
    (accuracy,) = ax.child_axes
    ends = table["validation_accuracy"].agg(["min", "max"])
    told = [float(label.get_text()) for label in accuracy.get_yticklabels()]
    assert len(told) > 2
    assert accuracy.get_yticks() == pytest.approx((np.array(told) - ends["min"]) / np.ptp(ends))
    with pytest.raises(ValueError, match="no trial"):
        plots_search.parallel_coordinates(table[:0])


def test_importance_bars_are_labelled(records, style):
    found = trials.importances(trials.trials_table(records))
    ax = plots_search.importance_bars(found)
    assert ax.get_title(loc="left") == "Importance of the hyperparameters\nn = 4 trials"
    assert ax.get_yticklabels()[0].get_text() == "Learning rate"
    assert [bar.get_width() for bar in ax.patches] == found.tolist()
    with pytest.raises(ValueError, match="no importance"):
        plots_search.importance_bars(found[:0])
