import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imdb_mat import BORN_1960, NAN, ROWS, cells, write_mat
from scipy.io import savemat

from agelib.datasets.imdb_filters import FILTERS, age_outside, apply_filters, face_below
from agelib.datasets.imdb_wiki import ages_at_photo, labels, matlab_dates, read_metadata
from agelib.files import DataError
from agelib.paths import root

REAL = root() / "datasets" / "imdb-wiki" / "images" / "wiki_crop" / "wiki.mat"
real = pytest.mark.skipif(not REAL.is_file(), reason="wiki.mat is not placed")


@pytest.fixture
def metadata(tmp_path):
    return read_metadata(write_mat(tmp_path / "wiki.mat"))


@pytest.mark.parametrize(
    ("day", "date"),
    [
        (1, "0000-01-01"),
        (0, "-0001-12-31"),
        (-365, "-0002-12-31"),
        (60, "0000-02-29"),  # the year 0 has a leap day
        (366, "0000-12-31"),
        (367, "0001-01-01"),
        (694_020, "1900-02-28"),
        (694_021, "1900-03-01"),  # 1900 has none
        (719_529, "1970-01-01"),
        (730_545, "2000-02-29"),  # 2000 has one
        (730_545.9, "2000-02-29"),
        (800_000, "2190-04-28"),
    ],
)
def test_matlab_day_numbers(day, date):
    assert matlab_dates([day])[0] == np.datetime64(date)


@given(st.integers(367, 3_652_424))
def test_day_numbers_agree_with_pythons_calendar(day):
    assert matlab_dates([day])[0] == np.datetime64(datetime.date.fromordinal(day - 366))


def test_missing_day_numbers_have_no_date():
    assert np.isnat(matlab_dates([np.nan, np.inf, -np.inf])).all()
    assert matlab_dates([]).shape == (0,)


@pytest.mark.parametrize(
    ("born", "p4", "mid_year"),
    [
        ("1960-01-01", 40, 40),
        ("1960-06-30", 40, 40),
        ("1960-07-01", 39, 40),  # the day on which the rules differ
        ("1960-07-02", 39, 39),
        ("1960-12-31", 39, 39),
        ("2000-02-29", 0, 0),
        ("2000-09-01", -1, -1),
        ("2015-01-01", -15, -15),
    ],
)
def test_age_in_a_photograph_of_2000(born, p4, mid_year):
    day = (np.datetime64(born) - np.datetime64("1970-01-01")).astype(int) + 719_529
    assert ages_at_photo([day], [2000])[0] == p4
    assert ages_at_photo([day], [2000], rule="mid-year")[0] == mid_year


def test_p4_clamps_births_before_the_year_1():
    assert ages_at_photo([0, -500], [2000, 2000]).tolist() == [1999, 1999]
    assert ages_at_photo([0, -500], [2000, 2000], rule="mid-year").tolist() == [2000, 2001]


def test_ages_need_both_numbers_and_a_known_rule():
    assert pd.isna(ages_at_photo([NAN, BORN_1960], [2000, NAN])).all()
    with pytest.raises(ValueError, match="'year' is unknown; choose one of p4, mid-year"):
        ages_at_photo([BORN_1960], [2000], rule="year")


@given(st.integers(367, 740_000), st.integers(1800, 2100))
def test_age_is_p4s_for_any_date(day, year):
    # P4's rule in plain Python, one image at a time.
    birth = datetime.date.fromordinal(max(day - 366, 1))
    expected = year - birth.year - (birth.month >= 7)
    assert ages_at_photo([day], [year])[0] == expected


def test_metadata_rows(metadata):
    assert metadata["file"].tolist()[:2] == ["00/0_1900-01-01_2000.jpg", "01/1_1901-01-01_2000.jpg"]
    assert metadata["age"].tolist() == [40, 39, 40, 40, 40, 40, 40, -10, 1989, 1999, 100, 0]
    assert metadata["gender"].tolist()[:2] == ["male", "female"]
    assert metadata["gender"].isna().sum() == 1
    assert metadata["birth"].iloc[0] == pd.Timestamp(1960, 1, 1)
    assert metadata["photo_year"].iloc[10] == 2060
    assert "name" not in metadata


def test_persons_are_told_apart_without_their_names(metadata):
    person = metadata["person"]
    assert person[1] == person[2]
    # Two rows without a name are not taken for one person.
    assert person.nunique() == len(ROWS) - 1
    assert person.str.fullmatch("[0-9a-f]{16}").all()


def test_a_person_is_the_same_in_both_files(tmp_path, metadata):
    imdb = read_metadata(write_mat(tmp_path / "imdb.mat", ROWS[:9], source="imdb"))
    assert imdb["person"].tolist() == metadata["person"].tolist()[:9]


def test_the_number_of_a_celebrity_decides(tmp_path):
    numbers = np.array([[2, 2, 99]])
    names = cells(["Ann Other", "Ada Example"])
    path = write_mat(
        tmp_path / "imdb.mat", ROWS[:3], source="imdb", celeb_names=names, celeb_id=numbers
    )
    person = read_metadata(path)["person"]
    assert person[0] == person[1] != person[2]
    wiki = read_metadata(write_mat(tmp_path / "wiki.mat"))["person"]
    assert (person[0], person[2]) == (wiki[0], wiki[2])


def test_what_a_catalog_takes(metadata):
    table = labels(metadata)
    assert table["usable"].tolist() == [i in (0, 1, 2, 10, 11) for i in range(12)]
    assert table["remarks"].tolist() == [
        *["", "", "", "left out: no gender"],
        *["left out: face score below 1"] * 2,
        "left out: a second face",
        "no age: photographed 10 years before birth; left out: age outside 0 to 100",
        "no age: photographed 1989 years after birth; left out: age outside 0 to 100",
        "no age: photographed 1999 years after birth; left out: age outside 0 to 100",
        *["", ""],
    ]
    ages = table["age"].tolist()
    assert ages[6:] == [40, None, None, None, 100, 0]
    assert table["gender"].tolist()[2:4] == ["female", None]
    assert table["race"].isna().all()


def test_folds_follow_from_the_person_alone(metadata):
    whole = labels(metadata)
    assert whole["fold"].tolist() == [int(mark, 16) % 5 for mark in whole["person"]]
    assert whole["fold"][1] == whole["fold"][2]
    part = labels(metadata.iloc[5:].reset_index(drop=True))
    assert part["fold"].tolist() == whole["fold"].tolist()[5:]


def test_rows_without_an_age_say_so(metadata):
    missing = metadata.assign(age=pd.array([pd.NA] * len(metadata), dtype="Int64"))
    table = labels(missing, filters=())
    assert set(table["remarks"]) == {"no age: cannot be told"}
    assert not table["usable"].any()
    assert labels(metadata, filters=())["usable"].sum() == 9


def test_p4_as_coded(metadata):
    done = apply_filters(metadata, "p4-code")
    assert done.counts["removed"].tolist() == [2, 1, 3, 1]
    assert done.counts["left"].tolist() == [10, 9, 6, 5]
    assert done.counts["alone"].tolist() == [2, 1, 3, 1]
    assert np.flatnonzero(done.keep).tolist() == [0, 1, 2, 10, 11]
    assert done.reasons[4] == "face score below 1"
    assert (done.reasons == "").tolist() == done.keep.tolist()


def test_p4_as_written_keeps_only_images_with_a_second_face(metadata):
    done = apply_filters(metadata, "p4-text")
    assert done.counts.index[2] == "no second face"
    assert np.flatnonzero(done.keep).tolist() == [6]
    # 0 and 100 go as well.
    assert done.counts.loc["age outside 1 to 99", "alone"] == 5


def test_filters_of_your_own_and_unknown_ones(metadata):
    done = apply_filters(metadata, [face_below(3.0), age_outside(30, 50)])
    assert np.flatnonzero(done.keep).tolist() == [0, 3, 6]
    unknown = metadata.assign(age=pd.array([pd.NA] * len(metadata), dtype="Int64"))
    assert not apply_filters(unknown, [age_outside(0, 100)]).keep.any()
    with pytest.raises(ValueError, match="no filters 'p4'; choose one of p4-code, p4-text"):
        apply_filters(metadata, "p4")


def test_a_missing_score_is_not_a_face(metadata):
    unscored = metadata.assign(face_score=np.nan)
    assert not apply_filters(unscored, [face_below(-10.0)]).keep.any()


def test_a_path_that_comes_twice_keeps_its_first_row(tmp_path):
    path = write_mat(tmp_path / "wiki.mat", ROWS[:3], full_path=cells(["a.jpg", "b.jpg", "a.jpg"]))
    found = read_metadata(path)
    assert found["file"].tolist() == ["a.jpg", "b.jpg"]
    assert found["age"].tolist() == [40, 39]


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"wiki\.mat is missing; place"):
        read_metadata(tmp_path / "wiki.mat")


def test_another_struct(tmp_path):
    savemat(tmp_path / "x.mat", {"faces": {"dob": [1]}, "n": 3})
    with pytest.raises(DataError, match="holds 'faces', 'n' but no struct 'imdb' or 'wiki'"):
        read_metadata(tmp_path / "x.mat")
    savemat(tmp_path / "y.mat", {"wiki": np.arange(3)})
    with pytest.raises(DataError, match="'wiki' lacks dob, photo_taken, .* no fields"):
        read_metadata(tmp_path / "y.mat")


def test_another_version_of_the_struct(tmp_path):
    path = write_mat(tmp_path / "wiki.mat", without=("second_face_score",))
    with pytest.raises(DataError, match=r"lacks second_face_score \(it has dob, "):
        read_metadata(path)
    path = write_mat(tmp_path / "imdb.mat", source="imdb", without=("celeb_id",))
    with pytest.raises(DataError, match="'imdb' lacks celeb_id"):
        read_metadata(path)


def test_fields_of_different_length(tmp_path):
    path = write_mat(tmp_path / "wiki.mat", dob=np.array([[1, 2]]))
    with pytest.raises(DataError, match="differ in length: dob 2, photo_taken 12"):
        read_metadata(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9])
def test_truncated_file(tmp_path, share):
    whole = write_mat(tmp_path / "wiki.mat").read_bytes()
    broken = tmp_path / "broken.mat"
    broken.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        DataError, match=r"broken\.mat .*get imdb_crop\.tar or wiki_crop\.tar again"
    ):
        read_metadata(broken)


def test_not_a_mat_file(tmp_path):
    (tmp_path / "wiki.mat").write_text("name,age\nAda,40\n" * 40)
    with pytest.raises(DataError, match="is broken or not a .mat file of Matlab 5 to 7.2"):
        read_metadata(tmp_path / "wiki.mat")


@pytest.mark.parametrize("bad", ["../../secret.jpg", "/etc/x.jpg", "00\\x.jpg", "", np.array([1])])
def test_paths_that_name_no_file_below_the_folder(tmp_path, bad):
    path = write_mat(tmp_path / "wiki.mat", ROWS[:2], full_path=cells(["00/a.jpg", bad]))
    with pytest.raises(DataError, match=r"1 of 2 values of full_path name no file .* \(row 2\)"):
        read_metadata(path)


@real
def test_the_real_wiki_mat():
    metadata = read_metadata(REAL)
    assert len(metadata) == 62_328
    assert metadata["second_face_score"].notna().sum() == 4_096
    assert np.isneginf(metadata["face_score"]).sum() == 18_016
    assert metadata["face_score"].between(0, 1, inclusive="left").sum() == 1_319
    assert metadata["gender"].value_counts(dropna=False).tolist() == [47_063, 12_622, 2_643]
    assert metadata["person"].nunique() == 61_451
    coded = apply_filters(metadata, "p4-code").counts
    assert coded["removed"].tolist() == [19_335, 4_070, 49, 736]
    assert coded["left"].iloc[-1] == 38_138
    assert apply_filters(metadata, "p4-text").counts["left"].iloc[-1] == 3_962
    assert set(FILTERS) == {"p4-code", "p4-text"}
