"""The topology search: shared, pruned, resumable, with proposals, and its command."""

import argparse
import itertools
import json
import subprocess
import sys

import optuna
import pytest
from made_trials import FIVE, THREE, few, record

from agelib import cli_search, lab, paths, search, study, trials
from agelib.experiment import Experiment
from agelib.files import DataError, DivergedError


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGELIB_DATASETS", str(folder))
        lab.start("sample", sample_size=300)
        yield folder


@pytest.fixture
def faces(datasets, tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(datasets))
    monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path / "results"))
    return lab.start("sample", sample_size=300)


@pytest.fixture
def scripted(monkeypatch):
    """Validation accuracies by number of experiment in place of training; a list of what ran."""
    ran, script = [], {}
    really = lab.Lab.train_into

    def train(self, experiment, folder, *, after_epoch, init):
        scores = script.get(experiment.number, [0.5] * experiment.recipe.epochs)
        ran.append(experiment.number)
        if scores == "really":
            return really(self, experiment, folder, after_epoch=after_epoch, init=init)
        if isinstance(scores, Exception):
            raise scores
        for epoch, score in enumerate(scores, 1):
            pruned = bool(after_epoch and after_epoch(epoch, score))
            if pruned:
                break
        self._made.add(folder / "record.json")
        split = self.split(experiment.protocol, experiment.fold).fingerprint
        return record(folder, experiment, scores[:epoch], split=split, pruned=pruned)

    monkeypatch.setattr(lab.Lab, "train_into", train)
    return argparse.Namespace(ran=ran, script=script)


def shared_trials(faces, experiments):
    opened = study.Study(faces, experiments, 0)
    opened.open()
    return opened.study.get_trials()


def states(faces, experiments):
    return [
        (trial.user_attrs["number"], trial.state.name)
        for trial in shared_trials(faces, experiments)
    ]


# Searching


def test_each_trial_is_trained_once_in_order_and_then_read(faces, scripted):
    told = []
    records = search.search(faces, few(), told=told.append)
    assert scripted.ran == ["3.0", "3.1", "6.0", "6.1"]
    assert [outcome.status for outcome in told] == ["done"] * 4
    assert [record.experiment["number"] for record in records] == scripted.ran
    assert states(faces, few()) == [(number, "COMPLETE") for number in scripted.ran]
    (trial,) = [t for t in shared_trials(faces, few()) if t.user_attrs["number"] == "3.1"]
    assert trial.params == trials.hyperparameters(few()[1])
    assert trial.intermediate_values == {1: 0.5, 2: 0.5}
    again = search.search(faces, few(), told=told.append)
    assert [r.summary for r in again] == [r.summary for r in records]
    assert len(scripted.ran) == len(told) == 4


def test_a_hopeless_trial_is_pruned_at_half_of_its_epochs_and_has_a_record(
    faces, scripted, monkeypatch
):
    monkeypatch.setattr(study, "WHOLE_TRIALS", 2)
    scripted.script |= {
        "3.0": [0.1, 0.99, 0.99, 0.99],
        "3.1": [0.1, 0.97, 0.99, 0.99],
        # Its best so far counts, not how it stands.
        "6.0": [0.995, 0.1, 0.1, 0.1],
        "6.1": "really",
    }
    told = []
    records = search.search(faces, few(epochs=4), told=told.append)
    assert [bool(record.summary.get("pruned")) for record in records] == [False, False, False, True]
    assert told[3].reason == "pruned after epoch 2"
    pruned = records[3]
    assert pruned.summary["epochs"] == len(pruned.history) == 2
    assert pruned.summary["reduced"] == {"epochs": 100, "image_size": 256}
    assert states(faces, few(epochs=4))[3] == ("6.1", "PRUNED")


def test_a_loss_that_is_no_number_fails_that_trial_alone_and_for_good(faces, scripted):
    experiments = few(epochs=1)[:2]
    wild = experiments[0].tweak("3.2", "wild", recipe={"learning_rate": 1e30})
    experiments.insert(1, wild)
    scripted.script["3.2"] = "really"
    told = []
    records = search.search(faces, experiments, told=told.append)
    assert [outcome.status for outcome in told] == ["done", "failed", "done"]
    assert [record.experiment["number"] for record in records] == ["3.0", "3.1"]
    (reason,) = search.failures(faces, experiments).values()
    assert reason == told[1].reason and "lower the learning rate" in reason
    (failed,) = [t for t in shared_trials(faces, experiments) if t.state.name == "FAIL"]
    assert failed.user_attrs["reason"] == reason
    # Neither the study nor, without it, the note lets it be trained once more.
    search.search(faces, experiments)
    (records[0].folder.parent / "study.log").unlink()
    search.search(faces, [*experiments, *few(epochs=1)[2:3]])
    assert scripted.ran == ["3.0", "3.2", "3.1", "6.0"]


def test_what_cannot_be_trained_for_now_is_left_to_the_next_call(faces, scripted):
    # As TensorFlow's ResourceExhaustedError, which is of no more special kind.
    scripted.script["3.1"] = Exception("no memory")
    told = []
    search.search(faces, few(), told=told.append)
    assert [(o.status, o.reason) for o in told if o.status != "done"] == [("failed", "no memory")]
    assert scripted.ran == ["3.0", "3.1", "6.0", "6.1"]
    del scripted.script["3.1"]
    assert len(search.search(faces, few())) == 4
    assert scripted.ran[4:] == ["3.1"]


def test_a_study_is_rebuilt_from_records(faces, scripted, monkeypatch):
    monkeypatch.setattr(study, "WHOLE_TRIALS", 2)
    scripted.script["6.0"] = [0.3, 0.3]
    experiments = few(epochs=2)
    before = search.search(faces, experiments[:3])
    log = before[0].folder.parent / "study.log"
    log.unlink()
    # Nothing to train: a reader's folder is left as it is.
    search.search(faces, experiments[:3])
    assert not log.exists()
    search.search(faces, experiments)
    assert scripted.ran == ["3.0", "3.1", "6.0", "6.1"]
    found = shared_trials(faces, experiments)
    assert [t.state.name for t in found] == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert found[2].intermediate_values == {1: 0.3}
    assert found[0].value == 0.5


def test_a_record_of_another_description_is_refused(faces, scripted):
    search.search(faces, few())
    changed = few()
    changed[0] = Experiment(**{**vars(changed[0]), "options": {"family": "VI"}})
    with pytest.raises(DataError, match="another description"):
        search.search(faces, changed)


def test_two_experiments_of_one_number_and_none_are_refused(faces):
    for wrong in ([], [*few(), few()[0]]):
        with pytest.raises(ValueError, match="a number of its own"):
            search.search(faces, wrong)


def test_a_damaged_study_is_named_with_the_remedy(faces, scripted):
    records = search.search(faces, few()[:1])
    log = records[0].folder.parent / "study.log"
    log.write_text("{\n" + log.read_text())
    with pytest.raises(DataError, match="study.log is damaged.*remove it"):
        search.search(faces, few())


def test_fewer_epochs_of_the_lab_make_another_study(faces, scripted):
    search.search(faces, few()[:1])
    short = lab.start("sample", sample_size=300, epochs=1)
    (record,) = search.search(short, few()[:1])
    assert record.summary["epochs"] == 1 and record.folder.name.count("epochs-1") == 1


def test_retrain_trains_all_once_more_and_leaves_the_study_alone(faces, scripted):
    (record,) = search.search(faces, few()[:1])
    (record.folder.parent / "study.log").unlink()
    again = lab.start("sample", sample_size=300, retrain=True)
    for _ in range(2):
        search.search(again, few(numbers=FIVE), extra=1)
    assert scripted.ran == ["3.0", *FIVE, "40.1"]
    assert not (record.folder.parent / "study.log").exists()


# Budget and several processes


def test_the_budget_pauses_a_trial_after_an_epoch(faces, scripted, monkeypatch):
    assert search.search(faces, few(), budget=0) == [] == scripted.ran
    clock = itertools.count()
    monkeypatch.setattr(search.time, "time", lambda: next(clock))
    told = []
    assert search.search(faces, few(), budget=2, told=told.append) == []
    assert [(o.status, o.reason) for o in told] == [("paused", "after epoch 1 of 2")]
    assert len(search.search(faces, few())) == 4
    # The trial went on as another one, which knows of the first epoch.
    found = [t for t in shared_trials(faces, few()) if t.user_attrs["number"] == "3.0"]
    assert [t.state.name for t in found] == ["FAIL", "COMPLETE"]
    assert found[1].user_attrs["reported"] == {"1": 0.5}
    assert found[1].intermediate_values == {1: 0.5, 2: 0.5}


def test_a_trial_at_work_is_nobody_elses_until_its_lock_is_free(faces, scripted):
    one, two = (study.Study(faces, few()[:2], 0) for _ in range(2))
    one.open()
    two.open()
    first, second = one.take_turn(), two.take_turn()
    assert (first.experiment.number, second.experiment.number) == ("3.0", "3.1")
    assert one.take_turn() is None and two.take_turn() is None
    first.lock.release()
    third = two.take_turn()
    assert third.experiment == first.experiment
    assert one.take_turn() is None


def test_another_study_at_the_same_experiment_is_not_disturbed(faces, scripted):
    one, other = study.Study(faces, few()[:2], 0), study.Study(faces, few()[:3], 0)
    one.open()
    other.open()
    turns = [one.take_turn(), other.take_turn(), other.take_turn()]
    assert [turn.experiment.number for turn in turns] == ["3.0", "3.1", "6.0"]
    assert other.take_turn() is None


WORKER = """
import os, signal, sys
from agelib import search, training, trials
from agelib.lab import start
if sys.argv[1] == "killed":
    save = training.Checkpoints.save
    def killed(self, network, row):
        save(self, network, row | {"seconds": 1234.5})
        os.kill(os.getpid(), signal.SIGKILL)
    training.Checkpoints.save = killed
small = trials.candidates("sample", image_size=32, epochs=2, precision="float32")
few = [e for e in small if e.number in ("3.0", "3.1", "6.0")]
lab = start("sample", sample_size=300)
records = search.search(lab, few, told=lambda o: print(o.status, o.experiment.number, flush=True))
"""


def test_processes_share_the_trials_and_take_over_that_of_a_killed_one(faces):
    def worker(what):
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, what],
            cwd=paths.root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    killed = worker("killed")
    assert killed.communicate(timeout=120)[0] == "" and killed.returncode == -9
    assert states(faces, few(numbers=THREE))[0] == ("3.0", "RUNNING")
    workers = [worker("whole"), worker("whole")]
    done = []
    for process in workers:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0 and "Warning" not in err, err
        done += out.splitlines()
    assert sorted(done) == [f"done {number}" for number in THREE]
    records = search.search(faces, few(numbers=THREE))
    assert [record.summary["epochs"] for record in records] == [2] * 3
    # The killed one's epoch counts: it was not trained again.
    assert records[0].history["seconds"][1] == 1234.5
    whole = [number for number, state in states(faces, few(numbers=THREE)) if state == "COMPLETE"]
    assert sorted(whole) == [*THREE]


# Proposals


def test_the_sampler_proposes_new_trials_the_same_each_time(faces, scripted, monkeypatch, tmp_path):
    records = search.search(faces, few(numbers=FIVE), extra=3)
    proposed = records[5:]
    assert [r.label for r in proposed] == ["40.1 TPE 1", "40.2 TPE 2", "40.3 TPE 3"]
    chosen = [trials.hyperparameters(Experiment.from_description(r.experiment)) for r in records]
    assert len({json.dumps(each) for each in chosen}) == 8
    space = trials.search_space(chosen[:5])
    assert all(value in space[name].choices for each in chosen for name, value in each.items())
    assert all(r.experiment["image_size"] == 32 for r in records)
    # Rebuilt, the study has its three.
    (proposed[0].folder.parent / "study.log").unlink()
    assert len(search.search(faces, few(numbers=FIVE), extra=3)) == 8
    assert len(search.search(faces, few(numbers=FIVE), extra=4)) == 9
    assert scripted.ran == [*FIVE, *(f"40.{n}" for n in range(1, 5))]
    monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path / "elsewhere"))
    again = search.search(faces, few(numbers=FIVE), extra=3)
    assert [r.experiment for r in again] == [r.experiment for r in records]


def test_proposals_end_when_everything_is_tried(faces, scripted):
    one_choice = [*few()[:1], few()[0].tweak("3.9", "smaller batch", recipe={"batch_size": 32})]
    records = search.search(faces, one_choice, extra=5)
    assert len(records) == 2


def test_optuna_says_nothing(faces, scripted, capsys, recwarn):
    search.search(faces, few(numbers=FIVE), extra=1)
    assert capsys.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn if "optuna" in w.filename] == []
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR


# Command line


def command(*words):
    parser = argparse.ArgumentParser()
    cli_search.add_search_command(parser.add_subparsers())
    options = parser.parse_args(["search", *words])
    return options.command(options)


def test_the_command_searches_and_says_what_is_there(faces, scripted, monkeypatch, capsys):
    monkeypatch.setattr(trials, "candidates", lambda dataset, *, image_size, epochs, precision: [
        experiment.tweak(experiment.number + "a", "x", recipe={"precision": precision})
        for experiment in few(epochs, FIVE)
    ])  # fmt: skip
    scripted.script["6.0a"] = DivergedError(
        "x: the loss is nan in epoch 1; lower the learning rate"
    )
    words = ["--dataset", "sample", "--extra", "1", "--epochs", "1", "--precision"]
    assert command(*words, "mixed_bfloat16") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:5]] == [
        *["done"] * 2,
        "failed",
        *["done"] * 2,
    ]
    assert lines[-1] == "5 of 6 trials have a record, 0 of them pruned"
    assert command(*words, "mixed_bfloat16") == 0
    assert len(scripted.ran) == 6


def test_the_plain_command_goes_on_with_the_published_study(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(search, "search", lambda opened, given, **_: asked.extend(given) or [])
    assert command() == 0
    published = lab.Lab("utkface", retrain=False, epochs=None, jobs=None)
    assert len(asked) == 68 and all(published.has_record(each) for each in asked)
    assert asked == trials.candidates("utkface")


def test_the_command_refuses_what_is_no_number(capsys):
    with pytest.raises(SystemExit):
        command("--budget", "0")
    assert "'0' is not a whole number from 1 up" in capsys.readouterr().err
