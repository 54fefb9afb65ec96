"""Manifests: the same catalog and the same bytes after a round trip; unsound ones refused."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agelib.files import DataError
from agelib.manifests import (
    PART_COLUMNS,
    SCHEMA,
    fingerprint,
    load_manifest,
    manifest_path,
    read_manifest,
    save_manifest,
)


@pytest.fixture
def catalog():
    """Six images: a duplicate pair, one without age, one undecodable, two in a folder."""
    rows = {
        "file": ["1_0_0_1.jpg", "2_1_0_2.jpg", "2_1_0_3.jpg", "b,\"'é.jpg", "c/4.jpg", "c/NA"],
        "age": [1, 2, 2, None, 116, 5],
        "gender": ["male", "female", "female", None, "male", None],
        "race": ["white", None, "black", None, "asian", "other"],
        "width": [200, 200, 200, 30, 200, None],
        "height": [200, 200, 200, 40, 200, None],
        "mode": ["RGB", "L", "RGB", "RGBA", "RGB", None],
        "size": [2**40, 1, 1, 2, 3, 0],
        "md5": [hashlib.md5(bytes([i])).hexdigest() for i in (0, 1, 1, 2, 3, 4)],
        "exact": [None, 0, 0, None, None, None],
        "cluster": [0, 1, 1, 3, 4, 5],
        "flags": ["", "exact-duplicate; mode: L", "exact-duplicate", "name: no age", "", "corrupt"],
        "usable": [True, True, True, False, True, False],
        "keep": [True, True, False, False, True, False],
        "fold": [0, 4, 4, -1, 2, -1],
        "p1_decades": ["training", "", "test", "", "validation", ""],
        "p2_random": ["training", "validation", "test", "", "test", ""],
        "p5_5000": ["test", "training", "training", "", "validation", ""],
    }
    return pd.DataFrame(rows).astype(SCHEMA)


def test_round_trip_gives_the_same_values_and_dtypes(catalog, tmp_path):
    save_manifest(catalog, tmp_path / "a.csv")
    back = read_manifest(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(back, catalog)
    assert {name: str(dtype) for name, dtype in back.dtypes.items()} == SCHEMA
    assert isinstance(back.index, pd.RangeIndex)


def test_bytes_are_the_same_whatever_the_dtypes_of_the_catalog(catalog, tmp_path):
    save_manifest(catalog, tmp_path / "a.csv")
    loose = catalog.astype(object).where(catalog.notna(), None)
    save_manifest(loose, tmp_path / "b.csv")
    save_manifest(read_manifest(tmp_path / "a.csv"), tmp_path / "c.csv")
    written = (tmp_path / "a.csv").read_bytes()
    assert written == (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert b"\r" not in written
    first = "1_0_0_1.jpg,1,male,white,200,200,RGB,1099511627776,93b885adfe0da089cdf634904fd59f71,"
    assert written.decode().splitlines()[1] == f"{first},0,,True,True,0,training,training,test"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "c.csv"]


def test_an_empty_catalog_keeps_its_dtypes(catalog, tmp_path):
    save_manifest(catalog.iloc[:0], tmp_path / "a.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "a.csv"), catalog.iloc[:0])


name = st.text(st.characters(codec="utf-8", exclude_characters="\0/\r\n"), min_size=1)


@settings(max_examples=30, deadline=None)
@given(files=st.lists(name, min_size=1, max_size=8, unique=True), data=st.data())
def test_any_names_and_flags_survive(files, data, tmp_path_factory):
    files = sorted(files, key=str.encode)
    n = len(files)
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"))
    catalog = pd.DataFrame(
        {
            **dict.fromkeys(SCHEMA, 0),
            "file": files,
            "age": pd.array(data.draw(st.lists(st.none(), min_size=n, max_size=n)), "Int64"),
            **dict.fromkeys(("gender", "race", "mode")),
            "md5": "0" * 32,
            "cluster": np.arange(n),
            "flags": data.draw(st.lists(text, min_size=n, max_size=n)),
            "usable": False,
            "keep": False,
            "fold": -1,
            **dict.fromkeys(PART_COLUMNS, ""),
        },
        index=range(n),
    ).astype(SCHEMA)
    path = tmp_path_factory.mktemp("names") / "a.csv"
    save_manifest(catalog, path)
    pd.testing.assert_frame_equal(read_manifest(path), catalog)


def test_fingerprint_follows_names_contents_and_order_only(catalog):
    mark = fingerprint(catalog)
    pairs = zip(catalog["file"], catalog["md5"], strict=True)
    text = "\n".join(f"{file}\0{md5}" for file, md5 in pairs)
    assert mark == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert fingerprint(catalog.assign(fold=0, flags="x")) == mark
    assert fingerprint(catalog.assign(md5="0" * 32)) != mark
    assert fingerprint(catalog.iloc[::-1]) != mark
    assert fingerprint(catalog.iloc[1:]) != mark


def test_a_users_own_manifest_goes_first(catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setattr("agelib.manifests.manifests_dir", lambda: tmp_path / "committed")
    save_manifest(catalog, tmp_path / "committed" / "faces.csv")
    assert manifest_path("faces") == tmp_path / "committed" / "faces.csv"
    assert len(load_manifest("faces")) == 6
    save_manifest(catalog.iloc[:1], tmp_path / "datasets" / "faces" / "manifest.csv")
    assert manifest_path("faces") == tmp_path / "datasets" / "faces" / "manifest.csv"
    assert len(load_manifest("faces")) == 1


def test_a_missing_manifest_says_where_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    with pytest.raises(DataError, match=r"no manifest for data set 'nothing'.*prepare nothing"):
        load_manifest("nothing")


# Row numbers below are lines of the file: the header is line 1.
@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("age", 1, "2.5", r"1 of column 'age': '2.5' \(line 3\) is not a whole number"),
        ("age", 4, "old", r"'old' \(line 6\) is not a whole number"),
        ("size", 0, "", r"'' \(line 2\) is not a whole number"),
        ("size", 0, "9" * 30, "is not a whole number"),
        ("gender", 2, "F", r"'F' \(line 4\) must be one of 'male', 'female'"),
        ("race", 2, "0", "must be one of 'white'"),
        ("usable", 0, "yes", "must be one of 'True', 'False'"),
        ("p1_decades", 0, "train", "must be one of '', 'training'"),
        ("p2_random", 1, "val", r"'val' \(line 3\) must be one of '', 'training'"),
        ("p5_5000", 1, "Test", r"'Test' \(line 3\) must be one of '', 'training'"),
        ("file", 0, "", "is empty"),
        ("file", 1, "1_0_0_1.jpg", r"1 of column 'file': '1_0_0_1.jpg' \(line 3\) appears twice"),
        ("file", 0, "zzz.jpg", "is out of byte order"),
        ("cluster", 0, "3", r"column 'cluster': 3 \(line 2\) is not the row of a first member"),
        ("cluster", 5, "2", "has no first member"),
        ("cluster", 5, "-1", "is not the row of a first member"),
        ("age", 0, "", "is usable but has no age"),
        ("keep", 3, "True", "is kept but not usable"),
        ("keep", 2, "True", "is kept twice"),
        ("fold", 0, "-1", "must be -1 exactly when not usable"),
        ("fold", 2, "3", "has its cluster in several folds"),
        ("p5_5000", 2, "test", r"'2_1_0_2.jpg' \(line 3\).*has its cluster in several parts of p5"),
    ],
)
def test_unsound_manifests_are_refused_with_the_offender(
    catalog, tmp_path, column, row, value, message
):
    path = tmp_path / "a.csv"
    save_manifest(catalog, path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[row, column] = value
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=f"a.csv is not a sound manifest: .*(?:{message})"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not a CSV file"),
        (b"\xff\xfe\x00", "not a CSV file"),
        (b"file,age\na,1\n", "columns missing: .*'gender'.*unknown: none"),
        (",".join([*SCHEMA, "mood"]).encode(), r"missing: none, unknown: \['mood'\]"),
        (",".join(reversed(SCHEMA)).encode(), "columns are in the order"),
        (",".join(SCHEMA).encode() + b"\n" + b"a," * 40 + b"\n", "not a CSV file|column"),
    ],
)
def test_files_that_are_no_manifest_are_refused(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_a_manifest_of_an_earlier_version_says_how_to_renew_it(catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    path = tmp_path / "utkface" / "manifest.csv"
    path.parent.mkdir()
    catalog.drop(columns=["p2_random", "p5_5000"]).to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        load_manifest("utkface")
    said = str(caught.value)
    assert said.startswith(f"{path} is not a sound manifest: it lacks the columns ['p2_random', ")
    assert "as the manifests of earlier versions do" in said
    assert "make it anew with `python -m agelib prepare DATASET` (with --own" in said


def test_a_truncated_manifest_is_refused(catalog, tmp_path):
    path = tmp_path / "a.csv"
    save_manifest(catalog, path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match="not a sound manifest"):
        read_manifest(path)


def test_an_unsound_catalog_is_not_written(catalog, tmp_path):
    path = tmp_path / "a.csv"
    for bad in (
        catalog.drop(columns="md5"),
        catalog.assign(gender="M"),
        catalog.assign(fold="first"),
        catalog.assign(file=["1_0_0_1\r.jpg", *catalog["file"][1:]]),
        catalog.iloc[::-1].reset_index(drop=True),
        catalog.assign(age=pd.array([None] * 6, dtype="Int64")),
    ):
        with pytest.raises(DataError, match=r"a\.csv"):
            save_manifest(bad, path)
    with pytest.raises(DataError, match="not valid UTF-8; rename it"):
        save_manifest(catalog.assign(file=[*catalog["file"][:-1], "z\udcff.jpg"]), path)
    assert list(tmp_path.iterdir()) == []


def in_groups(catalog):
    """Return the six images with two of their ages as groups, and persons."""
    grouped = catalog.assign(
        age_from=pd.array([None, 0, None, None, 60, None], dtype="Int64"),
        age_to=pd.array([None, 2, None, None, 100, None], dtype="Int64"),
        person=pd.Series(["p", "q", "q", None, "r", "s"], dtype="str"),
    )
    grouped.loc[[1, 4], "age"] = pd.NA
    return grouped


def test_groups_of_ages_and_persons_survive_a_round_trip(catalog, tmp_path):
    save_manifest(in_groups(catalog), tmp_path / "a.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "a.csv"), in_groups(catalog))


@pytest.mark.parametrize(
    ("row", "changes", "message"),
    [
        (1, {"age_to": -1}, "no sound group"),
        (1, {"age_to": pd.NA}, "no sound group"),
        (1, {"age": 1}, "an age and a group"),
        (1, {"age_from": pd.NA, "age_to": pd.NA}, "usable but has no age"),
        (4, {"person": "p"}, "has its person in several folds"),
    ],
)
def test_groups_and_persons_that_contradict_each_other_are_refused(
    catalog, tmp_path, row, changes, message
):
    bad = in_groups(catalog)
    bad.loc[row, list(changes)] = list(changes.values())
    with pytest.raises(DataError, match=message):
        save_manifest(bad, tmp_path / "a.csv")
    assert not any(tmp_path.iterdir())


def test_copies_may_lie_in_several_folds_where_folds_keep_persons_together(catalog, tmp_path):
    apart = in_groups(catalog).assign(person=list("pqwxyz"))
    apart.loc[2, "fold"] = 0
    save_manifest(apart, tmp_path / "a.csv")
    with pytest.raises(DataError, match="has its cluster in several folds"):
        save_manifest(apart.drop(columns="person"), tmp_path / "b.csv")
