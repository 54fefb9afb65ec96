import json

import numpy as np
import pandas as pd
import pytest
from imdb_mat import BORN_1960, NAN, ROWS, cells, write_mat

from agelib import imdb_facts
from agelib.files import DataError
from agelib.paths import root


@pytest.fixture
def counted(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    write_mat(imdb_facts.metadata_path("wiki"))
    return imdb_facts.metadata_facts()


def test_counts_of_a_small_file(counted):
    assert counted["rows"] == 12
    facts = counted["facts"]
    assert facts["persons by name"] == 11
    assert facts["names on more than one image"] == 1
    assert facts["of them with more than one date of birth"] == 1
    assert (facts["male"], facts["female"], facts["no gender"]) == (8, 3, 1)
    assert (facts["no face found"], facts["face score from 0 to 1"]) == (1, 1)
    assert (facts["a second face"], facts["photographed before birth"]) == (1, 1)
    assert (facts["aged 0"], facts["aged more than 122"]) == (1, 2)
    assert facts["born before the year 1800"] == 2
    assert facts["age differs by the rule"] == 2  # 1 July, and the day 0 before the year 1
    assert facts["born on 1 January"] == 8
    assert counted["ages"]["all"][40] == 6
    assert counted["ages"]["kept"][40] == 2
    assert counted["minimum_score"]["1"] == 5
    assert counted["minimum_score"]["3"] == 3
    assert sum(counted["scores"]["images"]) == 11
    assert [row["removed"] for row in counted["filters"]["p4-code"]] == [2, 1, 3, 1]


def test_no_name_and_no_path_is_counted(counted):
    text = json.dumps(counted)
    assert "Example" not in text
    assert ".jpg" not in text


def test_days_that_do_not_exist_are_found_in_the_names(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    days = ["1984-15-03", "1953-10-00", "1999-02-29", "2000-02-29", "829-09-08", "1994-11-18.", "x"]
    files = [f"{row:02d}/{row}_{day}_2014.jpg" for row, day in enumerate(days)]
    write_mat(imdb_facts.metadata_path("wiki"), ROWS[:7], full_path=cells(files))
    assert imdb_facts.metadata_facts()["facts"]["date of birth that does not exist"] == 3


def test_nobody_leaks_who_is_there_once_and_everybody_who_is_there_often():
    alone = imdb_facts.leak(pd.Series(range(1000)))
    assert (alone["leaked"], alone["repeated"], alone["held_out"]) == (0, 0, 100)
    often = imdb_facts.leak(pd.Series(np.arange(1000) % 10))
    assert often["leaked"] == 1
    # Of two images of a person one is met again unless both are held out: 9 times in 10.
    twice = imdb_facts.leak(pd.Series(np.arange(20_000) // 2))
    assert twice["leaked"] == pytest.approx(0.9, abs=0.005)
    assert 0 < twice["sd"] < 0.02


def test_folds_have_a_fingerprint_that_everybody_gets(tmp_path, monkeypatch, counted):
    # Changes when the rule of the folds does: then all records under imdb-wiki are void.
    assert counted["folds"]["fingerprint"] == "b23c757098d18348"
    assert sum(row["images"] for row in counted["folds"]["rows"]) == 5
    rows = [*ROWS, (BORN_1960, 2000, 1, "Left Out", NAN, NAN)]
    write_mat(imdb_facts.metadata_path("wiki"), rows)
    assert imdb_facts.metadata_facts()["folds"] == counted["folds"]


def test_without_the_file_the_published_counts_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    published = imdb_facts.metadata_facts("wiki")
    assert published["rows"] == 62_328
    with pytest.raises(DataError, match=r"imdb\.mat is missing and its counts are not published"):
        imdb_facts.metadata_facts("imdb")
    with pytest.raises(ValueError, match="source 'film' is unknown; choose one of imdb, wiki"):
        imdb_facts.metadata_facts("film")


def test_the_published_counts_are_those_of_wiki_mat():
    if not imdb_facts.metadata_path("wiki").is_file():
        pytest.skip("wiki.mat is not placed")
    kept = root() / "models-and-results" / "imdb-wiki" / imdb_facts.CHAPTER / "wiki.json"
    assert json.loads(kept.read_text()) == json.loads(json.dumps(imdb_facts.metadata_facts()))
