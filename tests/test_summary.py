"""What opens chapter 90: pairs that differ in one thing, the one table, three figures."""

from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from agelib import board, datasets, effects, guesses, headline, headline_text, plots_summary
from agelib.files import DataError
from agelib.records import write_record

matplotlib.use("Agg")

BASE = {
    **{"number": "1.0", "name": "A", "chapter": "03-lenet", "dataset": "utkface"},
    **{"protocol": "utkface-5fold", "fold": 0, "state": 0, "labels": "decades-7"},
    **{"architecture": "lenet", "options": {}, "head": "", "head_options": {}, "gender": 0.0},
    **{"init": None, "image_size": 32, "color": "rgb", "preprocessing": "scale"},
    **{"recipe": {"epochs": 5}, "reduction": {}},
}
FULL = {"epochs": 5, "reduced": {}, "metrics": {}}


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def write(folder, predictions, *, facts=FULL, **changes):
    experiment = {**BASE, **changes}
    name = f"{experiment['number']}-x-{experiment['protocol']}-{experiment['fold']}"
    name += "-".join(map(str, [experiment["state"], *facts["reduced"]]))
    place = folder / "utkface" / experiment["chapter"] / name
    history = pd.DataFrame({"loss": [1.0]}, index=pd.Index([1], name="epoch"))
    return write_record(place, {"experiment": experiment, **facts}, history, predictions)


def classes(hits, files=None):
    """Predictions of which the given share of one is right, in this order."""
    files = [f"{i}.jpg" for i in range(len(hits))] if files is None else files
    return pd.DataFrame({"file": files, "true": 1, "predicted": np.asarray(hits, int)})


def years(errors):
    ages = np.full(len(errors), 30)
    files = [f"{i}.jpg" for i in range(len(errors))]
    return pd.DataFrame({"file": files, "age": ages, "predicted": ages + np.asarray(errors)})


def test_a_pair_that_differs_in_its_head_alone(tmp_path):
    write(tmp_path, years([4.0, -2.0, 6.0, 0.0]), labels="age")
    write(tmp_path, years([2.0, 2.0, 2.0, 0.0]), number="1.1", labels="age", head="l2")
    table = effects.single_differences("utkface", tmp_path)
    assert list(table["factor"]) == ["head"]
    row = table.iloc[0]
    # Absolute errors 4 2 6 0 and 2 2 2 0: the differences are -2 0 -4 0.
    assert (row["difference"], row["n"], row["unit"]) == (-1.5, 4, "years")
    half = 1.96 * np.std([-2, 0, -4, 0], ddof=1) / 2
    assert row["low"] == pytest.approx(-1.5 - half) and row["high"] == pytest.approx(-1.5 + half)
    assert (row["base"], row["other"]) == ("03: 1.0 A", "03: 1.1 A")


def test_a_pair_that_differs_in_two_factors_is_only_another_network(tmp_path):
    write(tmp_path, classes([1, 0, 0, 0]))
    changes = {"number": "1.1", "architecture": "vgg", "recipe": {"epochs": 9}}
    write(tmp_path, classes([1, 1, 1, 0]), **changes)
    table = effects.single_differences("utkface", tmp_path)
    assert list(table["factor"]) == ["whole network"]
    assert table["difference"].iloc[0] == 50


def test_a_trial_that_was_stopped_early_is_no_pair(tmp_path):
    write(tmp_path, classes([1, 0]))
    write(
        tmp_path, classes([1, 1]), number="1.1", options={"bn": True}, facts=FULL | {"pruned": True}
    )
    assert effects.single_differences("utkface", tmp_path).empty


def test_other_labels_are_not_compared_in_points(tmp_path):
    write(tmp_path, classes([1, 0]))
    write(tmp_path, classes([1, 1]), number="1.1", labels="uneven-8")
    assert effects.single_differences("utkface", tmp_path).empty


def test_folds_that_both_have_are_pooled_and_states_compared_once(tmp_path):
    for fold in (0, 1):
        files = [f"{fold}-{i}.jpg" for i in range(2)]
        write(tmp_path, classes([0, 0], files), fold=fold)
        write(tmp_path, classes([1, fold], files), fold=fold, number="1.1", options={"bn": True})
    write(tmp_path, classes([1, 1], ["0-0.jpg", "0-1.jpg"]), state=1)
    table = effects.single_differences("utkface", tmp_path).set_index("factor")
    assert table.loc["architecture", ["difference", "n"]].tolist() == [75, 4]
    assert table.loc["random state", ["difference", "n"]].tolist() == [100, 2]
    # The pair of architectures is one of whole networks as well, and told once.
    assert len(table) == 2


def test_another_protocol_is_compared_with_the_folds_as_two_means(tmp_path):
    write(tmp_path, classes([1, 0, 1, 0], list("abcd")))
    write(tmp_path, classes([1, 1, 1, 0], list("efgh")), protocol="p1-decades", fold=None)
    row = effects.single_differences("utkface", tmp_path).iloc[0]
    assert (row["factor"], row["difference"], row["protocol"]) == ("protocol", 25, "p1-decades")
    variance = np.var([100, 0, 100, 0], ddof=1) / 4 + np.var([100, 100, 100, 0], ddof=1) / 4
    assert row["high"] - row["difference"] == pytest.approx(1.96 * np.sqrt(variance))


def test_weights_from_imagenet_count_over_what_a_network_starts_from(tmp_path):
    write(tmp_path, classes([0, 1]), options={"weights": None})
    write(tmp_path, classes([1, 1]), number="1.1", options={"weights": "imagenet"})
    table = effects.single_differences("utkface", tmp_path).set_index("factor")
    assert table.loc["initial weights", "difference"] == 50
    first = {"options": {"weights": "imagenet"}, "init": None}
    assert effects._pretrained({"options": {"weights": None}, "init": first})
    assert not effects._pretrained({"options": {}, "init": None})


def test_the_interval_of_a_quantile_by_hand():
    value, low, high = headline.quantile_interval(np.arange(1, 101), 0.8)
    # 1.96 sqrt(100 * 0.8 * 0.2) = 7.84: the ranks are 72 and 88, one further on either side.
    assert value == pytest.approx(80.2) and (low, high) == (72, 89)


def test_the_interval_of_a_quantile_covers(rounds=400):
    generator = np.random.default_rng(0)
    ends = (headline.quantile_interval(generator.random(200), 0.8) for _ in range(rounds))
    covered = np.mean([low <= 0.8 <= high for _, low, high in ends])
    assert 0.92 < covered < 0.99


def test_the_protocol_whose_numbers_count():
    for name in datasets.names():
        assert headline.honest_protocol(name) == datasets.get(name).five_fold
    assert headline.honest_protocol("adience-faces") == "adience-folds"
    assert headline.honest_protocol("nothing") is None


def test_the_table_as_text_says_what_is_missing_and_what_is_small():
    row = dict.fromkeys(headline.COLUMNS) | {"question": "mean error (years)", "metric": "mae"}
    row |= {"value": 5.0, "low": 4.5, "high": 5.5, "n": 4548, "folds": 1, "network": "10: 3.0 A"}
    row |= {"reduced": "epochs 4 of 10", "reported": 5.67, "reported_by": "P5"}
    table = pd.DataFrame([row])
    text = headline_text.answers_text(table).iloc[0]
    assert text.tolist() == [
        *("", "5.67 (P5, validation)", "5.00 [4.50, 5.50]"),
        *("4,548, 1 of 5 folds", "10: 3.0 A; epochs 4 of 10"),
    ]


def test_no_number_is_no_quantile():
    for values in ([], [1.0, np.nan]):
        with pytest.raises(ValueError, match="finite numbers"):
            headline.quantile_interval(values, 0.8)


def test_folds_have_their_first_and_their_spread_beside_the_mean():
    row = BASE | {"dataset": "utkface", "reduced": "", "state": 0}
    runs = [row | {"fold": fold, "mae": mae} for fold, mae in ((1, 7.0), (0, 5.0), (2, 6.0))]
    runs += [row | {"fold": 0, "mae": 1.0, "state": 1}, row | {"number": "2.0", "mae": 4.0}]
    rows = pd.DataFrame([row, row | {"number": "2.0"}])
    found = headline.over_folds(rows, pd.DataFrame(runs).astype({"fold": "Int64"}))
    assert found["first_fold"].tolist() == [5.0, 4.0]
    assert found["folds_sd"].fillna(-1).tolist() == [1.0, -1.0]


def test_the_best_is_sought_among_those_tested_on_most_folds():
    rows = pd.DataFrame({"folds": [1, 5, 5, None], "mae": [4.0, 5.0, 6.0, 3.0]})
    assert headline._on_most_folds(rows.astype({"folds": "Int64"}))["mae"].tolist() == [5.0, 6.0]


def test_a_row_without_records_is_refused(tmp_path):
    row = pd.Series(BASE)
    with pytest.raises(DataError, match="no longer"):
        headline.records_of(row, tmp_path)


def test_records_of_a_row_are_its_folds_of_the_lowest_state(tmp_path):
    for fold, state in ((0, 1), (1, 0), (0, 0)):
        write(tmp_path, classes([1], [f"{fold}.jpg"]), fold=fold, state=state)
    smaller = FULL | {"epochs": 2, "reduced": {"epochs": 5}}
    write(tmp_path, classes([0], ["0.jpg"]), facts=smaller)
    found = headline.records_of(pd.Series(BASE | {"reduced": ""}), tmp_path)
    folds = [(record.experiment["fold"], record.experiment["state"]) for record in found]
    assert folds == [(0, 0), (1, 0)]
    (found,) = headline.records_of(pd.Series(BASE | {"reduced": "epochs 2 of 5"}), tmp_path)
    assert found.summary["epochs"] == 2


def test_a_guess_by_hand(monkeypatch):
    ages = pd.array([10, 20, 30, None, None, None], "Int64")
    first, last = ([None, None, None, *ends] for ends in ([0, 60, 60], [2, 100, 100]))
    ends = {"age_from": pd.array(first, "Int64"), "age_to": pd.array(last, "Int64")}
    catalog = pd.DataFrame({"age": ages, **ends})
    catalog["gender"] = ["male", "male", "female", None, "male", "female"]
    parts = SimpleNamespace(training=[0, 1, 4, 5], test=[2, 3, 4])
    monkeypatch.setattr(guesses.manifests, "load_manifest", lambda dataset: catalog)
    monkeypatch.setattr(guesses, "split", lambda *a, **how: parts)
    record = SimpleNamespace(experiment={"protocol": "p", "fold": 0})
    found = guesses.guess("adience", [record], labels=None)
    # The median of 10 and 20; of the known genders one of two is male.
    assert (found["mae"], found["gender_accuracy"]) == (15, 0.5)
    # Where no gender is known, none is guessed.
    monkeypatch.setattr(
        guesses.manifests, "load_manifest", lambda dataset: catalog.assign(gender=None)
    )
    found = guesses.guess("adience", [record], labels=None)
    assert set(found) == {"mae", "median_error", "within_80", "cs5"}
    # The class that most of the training part has, 60 and above, is that of one in three.
    found = guesses.guess("adience", [record], labels="adience-8")
    assert found == {"accuracy": pytest.approx(1 / 3)}


def test_where_the_true_age_lies_given_the_estimate():
    predictions = pd.DataFrame({"predicted": [29.7] * 31 + [80.0], "age": [*range(20, 51), 80]})
    table = plots_summary.sureness_table(predictions)
    # 29.7 is told as 30; the bin of 80 has one image and is left out.
    assert list(table.index) == [30] and table.loc[30, "n"] == 31
    assert table.loc[30, ["10 %", "50 %", "90 %"]].tolist() == pytest.approx([-6.7, 5.3, 17.3])
    ax = plots_summary.truth_given_estimate(predictions)
    assert [patch.get_height() for patch in ax.patches] == pytest.approx([24, 15])
    with pytest.raises(ValueError, match="30 images"):
        plots_summary.truth_given_estimate(predictions.iloc[-1:])


def test_what_matters_has_a_panel_a_unit_and_the_largest_factor_on_top():
    rows = [("head", 1.0, "years"), ("head", 3.0, "years"), ("protocol", -4.0, "years")]
    table = pd.DataFrame(rows, columns=["factor", "difference", "unit"])
    table = table.assign(low=table["difference"] - 2, high=table["difference"] + 2)
    (ax,) = plots_summary.what_matters(table)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["protocol\n1 pair, 4.0", "head\n2 pairs, 2.0"]
    # Fewer years are better: to the right.
    assert {x for line in ax.lines for x in line.get_xdata()} >= {4.0, -1.0, -3.0}
    with pytest.raises(ValueError, match="tweak"):
        plots_summary.what_matters(table.iloc[:0])


def test_years_off_stands_between_literature_and_a_guess():
    networks = pd.DataFrame({"label": ["A"], "value": [5.0], "low": [4.8], "high": [5.2], "n": 9})
    anchors = pd.DataFrame({"start": ["random weights"], "value": [5.33], "sd": [0.16]})
    ax = plots_summary.years_off(networks, guess=15.0, anchors=anchors)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["A", "literature: ResNet-50, random weights", "a guess: the median age"]
    assert "n = 9 images" in ax.get_title() + ax.get_title(loc="left")
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["5.00 [4.80, 5.20]", "5.33 (sd 0.16)", "15.00"]


def summary():
    rows = [
        ("03-lenet", "1.0", "LeNet-5", "p1-decades", "decades-7", 0.5, np.nan, ""),
        (
            "03-lenet",
            "1.1",
            "LeNet-5 + L2",
            "p1-decades",
            "decades-7",
            0.6,
            np.nan,
            "epochs 1 of 9",
        ),
        ("10-al-resnet", "4.0", "Small", "utkface-5fold", "per-year-101", 0.1, 5.4, ""),
        ("10-al-resnet", "3.0", "EfficientNet", "utkface-5fold", "per-year-101", 0.1, 4.9, ""),
    ]
    names = ["chapter", "number", "name", "protocol", "labels", "accuracy", "mae", "reduced"]
    table = pd.DataFrame(rows, columns=names).assign(dataset="utkface", n=384, parameters=10)
    ends = {"low": 0.4, "high": 0.7, "mae_low": 4.8, "mae_high": 5.6, "cs5": 0.6}
    return table.assign(
        **ends, one_off_accuracy=0.8, gender_accuracy=np.nan, seconds=90, folds=pd.NA, states=1
    )


def test_the_leaderboard_ranks_years_upwards_and_accuracy_downwards():
    table = board.board(summary()).reset_index()
    assert table["experiment"].tolist() == [
        *("1.1 LeNet-5 + L2", "1.0 LeNet-5", "3.0 EfficientNet", "4.0 Small")
    ]
    assert table["rank"].tolist() == [1, 2, 1, 2]
    assert table["result"].iloc[[0, 2]].tolist() == [
        *("0.600 [0.400, 0.700]", "4.90 [4.80, 5.60] years")
    ]
    assert table["within 5 y / one off"].tolist() == ["0.800", "0.800", "0.600", "0.600"]
    assert (table["minutes"] == "1.5").all()


def test_a_filter_shows_less_and_changes_no_rank():
    of_size = board.board(summary(), full_size=True, labels="decades-7").reset_index()
    assert of_size[["experiment", "rank"]].values.tolist() == [["1.0 LeNet-5", 2]]
    assert len(board.board(summary(), containing="small", protocol="utkface-5fold")) == 1
    assert board.board(summary(), protocol="utkface-5fold", containing="LENET").empty
