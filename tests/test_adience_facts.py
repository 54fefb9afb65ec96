"""Counts of Adience's fold files: by hand on small ones, and the published ones agree."""

import json

import pandas as pd
import pytest
from layout import PUBLISHED_RANDOM, adience_rows, write_folds

from agelib import adience_facts, paths
from agelib.datasets import adience
from agelib.files import DataError
from agelib.paths import datasets_dir


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    folder = write_folds(tmp_path_factory.mktemp("folds"), adience_rows())
    return adience_facts.count(adience.read_folds(folder))


@pytest.fixture(scope="module")
def published():
    path = paths.root() / "models-and-results" / "adience" / adience_facts.CHAPTER
    return json.loads((path / "fold-files.json").read_text(encoding="utf-8"))


def test_totals_of_small_files(facts):
    # Five folds of three albums, of three persons each, of three images; 31 labels in turn.
    totals = facts["totals"]
    assert (totals["rows"], totals["images"], totals["persons"], totals["albums"]) == (
        135,
        135,
        45,
        15,
    )
    assert totals["without an age"] == 3 and totals["frontal"] == 90
    assert facts["sizes"][2] == {"images per person": "3 to 5", "persons": 45, "images": 135}
    assert [row["images"] for row in facts["folds"]] == [27] * 5


def test_the_folds_leak_nobody_and_random_images_nearly_all(facts):
    leak = pd.DataFrame(facts["leak"]).set_index("split")
    assert (leak.loc["adience-folds", list(adience_facts.UNITS)] == 0).all()
    assert leak.loc["persons at random, 80/20", "person"] == 0
    # Three images a person: at most 1 in 25 test images has both others in the test part.
    assert leak.loc["images at random, 80/20", "person"] > 0.9
    assert leak.loc["images at random, 80/20", "photograph"] == 0


@pytest.mark.parametrize("which", ["facts", "published"])
def test_the_tables_add_up(which, request):
    facts = request.getfixturevalue(which)
    totals = facts["totals"]
    labels = pd.DataFrame(facts["labels"])
    assert labels["images"].sum() == totals["images"]
    assert labels.loc[labels["eight"] != "", "images"].sum() == totals["in one of eight classes"]
    assert labels.loc[labels["five"] != "", "images"].sum() == totals["in one of five groups"]
    folds = pd.DataFrame(facts["folds"])
    for column in ("images", "persons", "albums", "with one of the eight labels"):
        assert folds[column].sum() == totals[column]
    filters = pd.DataFrame(facts["filters"])
    assert (filters["left"] + filters["removed"].cumsum() == totals["rows"]).all()
    groups = pd.DataFrame(facts["groups"]).set_index("class").sum(axis=1)
    all_of = pd.DataFrame(facts["filtered_groups"]).set_index("class")["all"]
    assert groups.tolist() == all_of.tolist() and groups.sum() == totals["in one of eight classes"]
    assert sum(row["images"] for row in facts["sizes"]) == totals["images"]


def test_the_published_counts_name_nobody_and_are_of_the_published_files(published):
    assert published["marks"] == {
        "fold files": adience.PUBLISHED,
        "adience-random": PUBLISHED_RANDOM,
    }
    text = json.dumps(published)
    assert "@N" not in text and ".jpg" not in text
    assert published["totals"]["rows"] == 19_487


def test_without_fold_files_the_published_counts_are_read(published, tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    assert adience_facts.fold_file_facts() == published
    write_folds(tmp_path / "Adience", adience_rows())
    assert adience_facts.fold_file_facts()["totals"]["rows"] == 135
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    (tmp_path / "Adience" / adience.FOLD_FILES[0]).unlink()
    with pytest.raises(DataError, match="has no fold files"):
        adience_facts.fold_file_facts()


def test_the_placed_fold_files_give_the_published_counts(published):
    if not (datasets_dir() / "Adience" / adience.FOLD_FILES[0]).is_file():
        pytest.skip("Adience's fold files are not placed")
    assert adience_facts.fold_file_facts() == published
