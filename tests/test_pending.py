"""What waits at full size, and training it within a budget."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest
from made_experiments import LENET

from agelib import cli
from agelib.experiment import Recipe
from agelib.files import DataError
from agelib.lab import Lab, start
from agelib.pending import pending, train_pending

FULL = dataclasses.replace(LENET, image_size=32, recipe=Recipe(epochs=4))
SMALL = FULL.reduced(epochs=2, image_size=16)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGELIB_DATASETS", str(folder))
        start("sample", sample_size=300)
        yield folder


@pytest.fixture
def lab(datasets, tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(datasets))
    monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path / "results"))
    return start("sample", sample_size=300)


def test_a_reduced_record_waits_until_the_full_one_is_there(lab):
    record = lab.record(SMALL)
    (entry,) = pending()
    assert entry.experiment == FULL
    assert entry.reason == "reduced: epochs 2 of 4; image_size 16 of 32"
    assert entry.seconds == pytest.approx(record.summary["seconds"] * 2 * 4)
    (outcome,) = train_pending([entry])
    assert (outcome.status, outcome.experiment) == ("done", FULL)
    assert pending() == []
    # The chapter asks for the reduced one and now gets the full one.
    assert lab.record(SMALL).summary["reduced"] == {}


def test_a_trial_that_was_stopped_early_at_full_size_does_not_wait(lab):
    for experiment, waits in ((FULL, False), (SMALL, True)):
        folder = lab.record(experiment).folder
        text = (folder / "record.json").read_text(encoding="utf-8")
        summary = json.loads(text) | {"pruned": True, "reduced": {"epochs": 4}}
        (folder / "record.json").write_text(json.dumps(summary), encoding="utf-8")
        assert bool(pending()) == waits
        shutil.rmtree(folder)


def test_missing_folds_wait_behind_and_the_quickest_goes_first(lab):
    lab.record(FULL.on("sample-5fold", fold=2).reduced(epochs=1))
    assert [e.experiment.fold for e in pending()] == [2]
    lab.record(FULL.on("sample-5fold", fold=0))
    lab.record(FULL.tweak("1.1", "longer", recipe={"epochs": 40}).reduced(epochs=1))
    waiting = pending()
    assert [e.experiment.fold for e in waiting] == [2, None, 1, 3, 4]
    assert waiting[0].seconds < waiting[1].seconds
    assert waiting[2].reason == "fold 1 is not trained"


def test_other_random_states_need_no_folds(lab):
    lab.record(FULL.on("sample-5fold", fold=0, state=1))
    assert pending() == []


def test_planned_experiments_are_noted_and_wait_last(lab):
    imagenet = FULL.tweak("2.0", "planned only")
    lab.record(SMALL)
    assert lab.planned("imagenet", [imagenet]) == []
    note = lab.folder(imagenet).parent / "imagenet-planned.json"
    stamp = note.stat().st_mtime_ns
    lab.planned("imagenet", [imagenet])
    assert note.stat().st_mtime_ns == stamp
    assert [e.reason for e in pending()][-1] == "planned"
    train_pending(e for e in pending() if e.reason == "planned")
    assert [r.label for r in lab.planned("imagenet", [imagenet])] == ["2.0 planned only"]


def test_a_budget_pauses_in_the_middle_and_the_next_call_goes_on(lab):
    lab.record(SMALL)
    (entry,) = pending()
    (outcome,) = train_pending([entry], budget=0.01)
    assert outcome.status == "paused" and "epoch 1 of 4" in outcome.reason
    assert (lab.folder(FULL) / "checkpoints" / "state.json").exists()
    assert train_pending(pending(), budget=0) == []
    train_pending(pending())
    assert len(lab.record(FULL).history) == 4


def test_a_budget_pauses_what_an_experiment_starts_from_too(lab, monkeypatch):
    after = FULL.tweak("2.0", "starts from it", init=FULL, recipe={"epochs": 1})
    lab.planned("after", [after])
    clock = iter([0.0, 0.0])
    monkeypatch.setattr("agelib.pending.time", SimpleNamespace(time=lambda: next(clock, 1e9)))
    (outcome,) = train_pending(pending(), budget=5)
    assert outcome.status == "paused" and "what it starts from" in outcome.reason
    assert (lab.folder(FULL) / "checkpoints" / "last-1.keras").exists()
    assert not lab.folder(after).exists()


def test_one_that_cannot_be_trained_is_reported_and_the_rest_goes_on(lab):
    bad = FULL.tweak("3.0", "cannot", options={"no_such_option": 1})
    lab.planned("bad", [bad])
    lab.record(SMALL)
    told = []
    outcomes = train_pending(reversed(pending()), told=told.append)
    assert [o.status for o in outcomes] == ["failed", "done"] and told == outcomes
    assert "no_such_option" in outcomes[0].reason


def test_what_fails_with_an_exception_of_its_own_kind_is_reported_too(lab, monkeypatch):
    def full(self, experiment, **how):
        # As TensorFlow's ResourceExhaustedError, which is of no more special kind.
        raise Exception("out of memory\nwhile allocating")

    lab.planned("wanted", [FULL])
    monkeypatch.setattr(Lab, "train", full)
    (outcome,) = train_pending(pending())
    assert (outcome.status, outcome.reason) == ("failed", "out of memory")


def test_the_commands_list_and_train(lab, capsys):
    assert cli.main(["results", "--pending"]) == 0
    assert capsys.readouterr().out == "nothing is pending\n"
    lab.record(SMALL)
    assert cli.main(["results", "--pending"]) == 0
    assert "reduced: epochs 2 of 4" in capsys.readouterr().out
    assert cli.main(["results", "--pending", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "LeNet-5"
    for chapter in ("12", "3", "03-lenet"):
        assert cli.main(["train", "--pending", "--chapter", chapter]) == 0
        assert capsys.readouterr().out == "0 trained, 0 pending\n"
    assert cli.main(["train", "--pending", "--budget", "5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 trained, 0 pending"


@pytest.mark.parametrize("name", ["x-planned.json", "1.0-broken/record.json"])
@pytest.mark.parametrize("damage", ["{", "{}", "[]", '{"planned": [3]}', '{"experiment": {}}'])
def test_a_damaged_plan_or_record_is_named(tmp_path, name, damage):
    path = tmp_path / "sample" / "99-test" / name
    path.parent.mkdir(parents=True)
    path.write_text(damage, encoding="utf-8")
    with pytest.raises(DataError, match=rf"{path}: .*restore it from git"):
        pending(tmp_path)


def test_a_damaged_number_in_a_record_is_named(lab):
    path = lab.record(SMALL).folder / "record.json"
    sound = json.loads(path.read_text(encoding="utf-8"))
    for damage in ({"epochs": 0}, {"seconds": None}, {"reduced": [1]}):
        path.write_text(json.dumps(sound | damage), encoding="utf-8")
        with pytest.raises(DataError, match=r"record\.json: .*restore it from git"):
            pending()


def test_a_chapter_is_found_by_its_number(lab, capsys):
    lab.planned("bad", [FULL.tweak("3.0", "cannot", options={"no": 1}, chapter="12-wide-resnet")])
    for chapter in ("12", "12-wide-resnet"):
        assert cli.main(["train", "--pending", "--chapter", chapter]) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "0 trained, 1 pending"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--pending", "--chapter", "nosuch"], "no chapter 'nosuch'; there are: 00-"),
        (["train", "--pending", "--dataset", "nosuch"], "no data set 'nosuch'; choose one of utk"),
        (["results", "--pending", "--dataset", "nosuch"], "no data set 'nosuch'; choose one of"),
        (["results", "--pending", "--protocol", "nosuch"], "no protocol 'nosuch'; there are: p1-"),
    ],
)
def test_a_name_that_nothing_has_is_refused(lab, capsys, words, message):
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err
