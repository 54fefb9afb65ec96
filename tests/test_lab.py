"""The lab: records on demand, on the built-in sample."""

import dataclasses
import json
import threading
from types import SimpleNamespace

import filelock
import numpy as np
import pandas as pd
import pytest
from made_experiments import LENET

from agelib import averages, backend, comparison, models, report, results
from agelib.experiment import Experiment, Recipe
from agelib.files import DataError
from agelib.lab import start
from agelib.labels import get_scheme
from agelib.paths import results_dir
from agelib.pipeline import Images
from agelib.reference import reference
from agelib.throughput import feeding_rate, store_facts


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGELIB_DATASETS", str(folder / "datasets"))
        patch.setenv("AGELIB_RESULTS", str(folder / "results"))
        yield start("sample", sample_size=300)


def test_a_record_is_trained_once_and_then_read(lab):
    assert "record" in repr(lab)
    first = lab.record(LENET)
    stamp = (first.folder / "record.json").stat().st_mtime_ns
    again = lab.record(LENET)
    assert (again.folder / "record.json").stat().st_mtime_ns == stamp
    assert again.summary == first.summary
    network = lab.network(LENET)
    assert network.count_params() == first.summary["parameters"]


def test_tables_of_a_notebook_cut_no_name(lab):
    name = " and ".join(["distribution over years"] * 9)
    assert name in pd.DataFrame({"name": [name]})._repr_html_()


def test_retrain_trains_each_experiment_once_more_in_a_session(lab):
    first = lab.record(LENET)
    stamp = (first.folder / "record.json").stat().st_mtime_ns
    again = start("sample", retrain=True, sample_size=300)
    second = again.record(LENET)
    renewed = (second.folder / "record.json").stat().st_mtime_ns
    assert renewed > stamp
    again.record(LENET)
    assert (second.folder / "record.json").stat().st_mtime_ns == renewed
    np.testing.assert_array_equal(first.predictions["predicted"], second.predictions["predicted"])


def test_a_changed_experiment_under_an_old_number_is_refused_with_both_ways_out(lab):
    lab.record(LENET)
    changed = Experiment(**{**vars(LENET), "options": {"l2": 0.5}})
    with pytest.raises(DataError, match=r"options\.l2: None -> 0\.5.*tweak.*RETRAIN"):
        lab.record(changed)


def test_fewer_epochs_make_a_record_of_their_own(lab):
    short = start("sample", epochs=1, sample_size=300)
    record = short.record(LENET)
    assert record.summary["reduced"] == {"epochs": 2}
    assert record.folder.name.endswith("__epochs-1") and record.summary["epochs"] == 1


BFLOAT16 = LENET.tweak("6.0", "half", recipe={"precision": "mixed_bfloat16", "epochs": 1})


def test_where_bfloat16_is_emulated_float32_is_trained_and_the_record_says_so(lab, monkeypatch):
    monkeypatch.setattr(backend, "_emulates_bfloat16", lambda: True)
    record = lab.record(BFLOAT16)
    assert record.experiment["recipe"]["precision"] == "mixed_bfloat16"
    assert record.summary["precision"] == "float32"
    assert keras_policies(lab.network(BFLOAT16)) == {"float32"}
    monkeypatch.setattr(backend, "_emulates_bfloat16", lambda: False)
    assert "mixed_bfloat16" in keras_policies(models.build(BFLOAT16))
    # Another machine of a cluster, which has bfloat16, reads that record.
    assert lab.record(BFLOAT16).summary == record.summary


def keras_policies(network):
    return {layer.dtype_policy.name for layer in network.layers}


@pytest.mark.parametrize(
    ("text", "gpu", "emulated"),
    [
        ("flags : avx512_bf16", None, False),
        ("flags : avx2", None, True),
        ("flags : avx2", "a GPU", False),
        (None, None, False),
    ],
)
def test_linux_tells_whether_the_processor_has_bfloat16(monkeypatch, text, gpu, emulated):
    def read_text(path, encoding):
        assert str(path) == "/proc/cpuinfo"
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr("agelib.backend.Path.read_text", read_text)
    monkeypatch.setattr(backend, "_gpu", lambda: gpu)
    assert backend._emulates_bfloat16.__wrapped__() is emulated


def test_facts_and_arrays_are_computed_once_and_kept_plain(lab):
    calls = []

    def compute():
        calls.append(1)
        return {"images": 3}

    assert lab.facts("99-test", "facts", compute) == {"images": 3}
    assert lab.facts("99-test", "facts", compute) == {"images": 3}
    drawn = lab.arrays("99-test", "arrays", lambda: {"x": np.arange(3)})
    again = lab.arrays("99-test", "arrays", lambda: 1 / 0)
    np.testing.assert_array_equal(drawn["x"], again["x"])
    assert len(calls) == 1


def test_damaged_facts_are_named(lab):
    lab.facts("99-test", "damaged", lambda: {"n": 1})
    (path,) = results_dir().rglob("damaged.json")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged\.json: .*restore it from git or make it again"):
        lab.facts("99-test", "damaged", dict)
    assert lab.planned("none", []) == []


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "words", "array"])
def test_damaged_arrays_are_named(lab, damage):
    lab.arrays("99-test", damage, lambda: {"x": np.arange(1000) ** 2})
    (path,) = results_dir().rglob(f"{damage}.npz")
    whole = path.read_bytes()
    half = len(whole) // 2
    wrong = {"empty": b"", "cut": whole[:half], "words": b"no arrays"}
    wrong["changed"] = whole[:half] + bytes(99) + whole[half + 99 :]
    if damage == "array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    else:
        path.write_bytes(wrong[damage])
    with pytest.raises(DataError, match=rf"{damage}\.npz: .*restore it from git or make it again"):
        lab.arrays("99-test", damage, dict)


def test_a_reader_without_weights_is_told_the_remedy(lab):
    record = lab.record(LENET)
    kept = (record.folder / "model.keras").rename(record.folder / "away.keras")
    with pytest.raises(DataError, match="RETRAIN"):
        lab.network(LENET)
    kept.rename(record.folder / "model.keras")


@pytest.fixture
def without_network(lab):
    """LENET's record as it is published: without its network."""
    record = lab.record(LENET)
    kept = (record.folder / "model.keras").rename(record.folder / "away.keras")
    yield record
    kept.rename(record.folder / "model.keras")


def test_a_network_trained_again_to_start_from_leaves_the_published_record(lab, without_network):
    published = without_network.folder / "record.json"
    before = published.read_bytes()
    brief = {"epochs": 1}
    for number in ("5.0", "5.1"):
        lab.record(LENET.tweak(number, "goes on", init=LENET, recipe=brief))
        again = published.parent / "again"
        made = (again / "model.keras").stat().st_mtime_ns
        assert published.read_bytes() == before and not (published.parent / "model.keras").exists()
    assert (again / "model.keras").stat().st_mtime_ns == made  # once for both
    found = results.results_table()
    assert found["name"].eq("goes on").sum() == 2
    assert ((found["number"] == "1.0") & (found["reduced"] == "")).sum() == 1
    # What is damaged or of another description there is trained once more.
    (again / "model.keras").unlink()
    summary = json.loads((again / "record.json").read_text(encoding="utf-8"))
    lab.record(LENET.tweak("5.2", "goes on", init=LENET, recipe=brief))
    assert (again / "model.keras").exists()
    summary["experiment"]["recipe"]["learning_rate"] = 0.5
    (again / "record.json").write_text(json.dumps(summary), encoding="utf-8")
    lab.record(LENET.tweak("5.3", "goes on", init=LENET, recipe=brief))
    renewed = json.loads((again / "record.json").read_text(encoding="utf-8"))
    assert renewed["experiment"] == lab.record(LENET).experiment


def test_what_another_process_trains_to_start_from_is_waited_for(lab, monkeypatch, capsys):
    base = LENET.tweak("6.0", "slow elsewhere", recipe={"epochs": 1})
    lock = filelock.FileLock(lab.folder(base) / ".lock")
    waited = []

    def released(seconds):
        waited.append(seconds)
        lock.release()

    lab.folder(base).mkdir(parents=True)
    lock.acquire()
    monkeypatch.setattr("agelib.initial.time", SimpleNamespace(sleep=released))
    lab.record(LENET.tweak("6.1", "waits", init=base, recipe={"epochs": 1}))
    assert len(waited) == 1 and lab.has_record(base)
    told = capsys.readouterr().err
    assert told.count("waiting: 6.0-slow-elsewhere__p1-decades__state-0 is being trained") == 1


def test_fewer_epochs_of_what_it_starts_from_make_a_record_of_their_own(lab):
    short = LENET.tweak("7.0", "short", init=LENET, recipe={"epochs": 1})
    limited = start("sample", sample_size=300, epochs=1).limited(short)
    assert limited.slug == f"{short.slug}__init-epochs-1"
    assert limited.full_size() == short
    # Also of one that is reduced by itself: its own epochs are below the limit, the other's not.
    long = dataclasses.replace(LENET, recipe=Recipe(epochs=5))
    own = LENET.tweak("7.2", "own", init=long, recipe={"epochs": 4}).reduced(epochs=2)
    first, second = (start("sample", sample_size=300, epochs=n).limited(own) for n in (3, 4))
    assert (
        first.slug == f"{own.slug}__init-epochs-3" and second.slug == f"{own.slug}__init-epochs-4"
    )
    assert first.full_size() == own.full_size()
    assert first.tweak("7.3", "whole", init=long).slug.endswith("__epochs-2")
    assert start("sample", sample_size=300, epochs=9).limited(own) == own
    after = LENET.tweak("7.1", "last", init=short, recipe={"epochs": 1})
    limited = start("sample", sample_size=300, epochs=1).limited(after)
    assert limited.slug == f"{after.slug}__init-epochs-1" and limited.full_size() == after
    summary = {"experiment": limited.describe(), "reduced": dict(limited.reduction), "epochs": 1}
    assert results.reduced_text(summary) == f"init_epochs 1 of {LENET.recipe.epochs}"


def test_an_unknown_data_set_is_refused():
    with pytest.raises(DataError, match="utkface"):
        start("utkfaces")


def test_an_average_shows_nobody(lab):
    store = lab.store(32, "grey")
    rows = np.arange(40)
    mean = averages.average_faces(store, {"all": rows})["all"]
    np.testing.assert_array_equal(mean, np.rint(store.read(rows).mean(0)).astype("uint8"))
    with pytest.raises(DataError, match="fewer than 30"):
        averages.average_faces(store, {"few": rows[:29]})
    by_class = averages.average_by_class(store, lab.catalog, get_scheme("decades-7"))
    kept = lab.catalog[lab.catalog["keep"]]
    counts = np.bincount(get_scheme("decades-7").encode(kept["age"]).clip(-1) + 1, minlength=8)[1:]
    assert len(by_class) == (counts >= 30).sum()


def test_a_store_tells_its_layout_and_feeds(lab):
    before = threading.active_count()
    facts = store_facts(lab.store(32, "grey"), most=64)
    assert threading.active_count() == before  # nobody reads ahead any more
    assert facts["shape"] == [len(lab.catalog), 32, 32, 1]
    assert facts["in_memory"] > 0 and facts["streamed"] > 0
    json.dumps(facts)
    held = Images(lab.store(32, "grey"), np.arange(64))
    assert feeding_rate(held, seconds=0.05) > 1000


def test_report_shows_a_record(lab):
    record = lab.record(LENET)
    axes = report.overview(record)
    assert "1.0 LeNet-5, p1-decades" in axes[0].figure.get_suptitle()
    row = report.metrics_row(record).iloc[0]
    value = record.metrics.loc["accuracy", "value"]
    assert row["accuracy"].startswith(f"{value:.3f} [") and row["n"] == len(record.predictions)


def test_report_shows_a_regression(lab):
    years = LENET.tweak("3.0", "years", labels="age")
    record = lab.record(years)
    assert len(report.overview(record)) == 2
    assert "mae" in report.metrics_row(record)


def test_age_and_gender_are_shown_as_errors_in_years_and_as_four_curves(lab):
    number = LENET.tweak("4.0", "years", labels="age", gender=1.0)
    years = LENET.tweak("4.1", "one class a year", labels="per-year-101", gender=1.0)
    number, years = lab.records([number, years])
    # A confusion matrix of 101 classes tells nothing.
    axes = report.overview(years)
    error = years.metrics.loc["mae", "value"]
    assert axes[0].get_ylabel() == "Mean absolute error (years)"
    assert axes[1].get_title(loc="left").startswith(f"Mean absolute error {error:.2f} years")
    curves = report.two_task_curves(years)
    labels = [ax.get_ylabel().split(" (")[0] for ax in curves.flat]
    assert labels == ["Gender loss", "Gender accuracy", "Age loss", "Mean absolute error"]
    with pytest.raises(ValueError, match="gender_loss"):
        report.two_task_curves(lab.record(LENET))

    for metric in ("mae", "gender_accuracy"):
        row = comparison.differences_from([number], [[years]], metric=metric).iloc[0]
        a, b = (record.metrics.loc[metric, "value"] for record in (years, number))
        assert row["difference"] == pytest.approx(a - b) and row["n"] == len(years.predictions)
    with pytest.raises(DataError, match="lack"):
        comparison.differences_from([number], [[lab.record(LENET)]], metric="mae")


def test_reported_replicated_and_honest_stand_in_one_row(lab):
    lab.records([LENET, *LENET.over_folds(lab.five_fold, 2)])
    l2 = LENET.tweak("1.2", "LeNet-5 + L2", options={"l2": 0.001})
    folds = lab.records(l2.over_folds(lab.five_fold, 2))
    told = comparison.reported("03-lenet").assign(chapter="99-test", dataset="sample")
    table = comparison.reported_and_ours(results.summarise(), told).set_index("label")
    assert set(table.index) == {"1.0 LeNet-5", "1.2 LeNet-5 + L2"}
    row = table.loc["1.0 LeNet-5"]
    record = lab.record(LENET)
    assert (row["reported"], row["reported_n"]) == (0.5443, 384)
    assert row["replicated"] == record.metrics.loc["accuracy", "value"]
    assert row["honest_low"] <= row["honest"] <= row["honest_high"]
    assert row["honest_n"] == sum(len(f.predictions) for f in folds)
    assert np.isnan(table.loc["1.2 LeNet-5 + L2", "replicated"])
    elsewhere = told.assign(dataset="utkface")
    assert comparison.reported_and_ours(results.summarise(), elsewhere)["reported"].isna().all()
    base = lab.records(LENET.over_folds(lab.five_fold, 2))
    gains = comparison.differences_from(base, [folds, base])
    assert gains.loc[1, "difference"] == 0 and gains.loc[1, "clear"] == "no"
    assert gains.loc[0, "n"] == row["honest_n"]


def test_a_chapters_table_tells_what_was_reported_measured_and_spent(lab):
    lab.records([LENET, *LENET.over_folds(lab.five_fold, 2)])
    years = LENET.tweak("5.0", "per year", labels="per-year-101", gender=1.0)
    lab.record(years)
    told = comparison.reported().assign(chapter="99-test")
    told = told[told["number"].isin(["1.0"]) & (told["labels"] == "decades-7")].head(1)
    table = report.chapter_table(results.summarise(), told, "99-test")
    row = table.loc["1.0 LeNet-5"]
    assert (row["metric"], row["reported"]) == ("accuracy", "0.544 (n = 384, on utkface)")
    value = lab.record(LENET).metrics.loc["accuracy", "value"]
    assert row["their protocol"].startswith(f"{value:.3f} [")
    assert row["five folds"].endswith("2 of 5 folds)")
    # One class a year: errors in years and gender, not the accuracy of single years.
    assert table.loc["5.0 per year", "metric"].tolist() == ["mae", "gender_accuracy"]
    assert set(table.loc["5.0 per year", "reported"]) == {""}
    # Other folds and other splits stand beside neither.
    lab.record(LENET.on("p2-random"))
    assert report.chapter_table(results.summarise(), told, "99-test").loc["1.0 LeNet-5"].equals(row)
    only_validation = told.assign(value=np.nan, n=np.nan, validation=0.5, dataset="sample")
    table = report.chapter_table(results.summarise(), only_validation, "99-test")
    assert table.loc["1.0 LeNet-5", "reported"] == "0.500 (validation)"
    assert report.chapter_table(results.summarise(), told, "98-nothing").empty


def test_a_record_on_a_public_list_is_read_without_the_list(monkeypatch):
    for name in ("AGELIB_DATASETS", "AGELIB_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    lab = start("utkface")
    shorter = reference(lab).tweak("3.1", "small model, ages 21 to 60", recipe={"epochs": 25})
    listed = shorter.on("utkface-21-60")
    assert len(lab.record(listed).predictions) == 3287
