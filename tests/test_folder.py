"""A folder of one's own: tables, patterns of names, and everything that can be wrong with them."""

import itertools
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout import lay_out

from agelib import manifests, prepare
from agelib.cli import main
from agelib.datasets import folder
from agelib.files import DataError
from agelib.lab import start
from agelib.labels import get_scheme
from agelib.manifests import load_manifest
from agelib.paths import datasets_dir
from agelib.protocols import class_counts

SMALL = {"size": 16, "color": "grey"}
N = 60
FILES = [f"année {k % 3}/лицо-{k:02d}.jpg" for k in range(N)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("drawn") / "mine", FILES, size=32, faces=20)


@pytest.fixture
def images(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "data"))
    for module in (prepare, manifests):
        monkeypatch.setattr(module, "manifests_dir", lambda: tmp_path / "committed")
    return shutil.copytree(drawn, tmp_path / "mine")


@pytest.fixture
def write(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "ages.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def keep(images, **how):
    return folder.label(images, datasets_dir() / "folder", **how)


def rows(**columns):
    """Return a table of all images; twelve persons of five images each."""
    table = {"file": FILES, "age": [5 + k % 60 for k in range(N)]}
    table |= {"gender": ["F", "male", ""] * (N // 3), "person": [f"p{k % 12}" for k in range(N)]}
    return pd.DataFrame(table | columns).to_csv(index=False)


def test_a_table_gives_a_catalog_with_folds_by_person(images, write):
    words = ["prepare", "folder", str(images), "--size", "16"]
    assert main([*words, "--table", str(write(rows()))]) == 0
    catalog = load_manifest("folder")
    assert catalog["file"].tolist() == sorted(FILES)
    by_name = catalog.set_index("file")
    assert by_name.loc[FILES, "age"].tolist() == [5 + k % 60 for k in range(N)]
    assert by_name.loc[FILES[:3], "gender"].fillna("").tolist() == ["female", "male", ""]
    assert catalog["usable"].all()
    lab = start("folder")
    for fold in range(5):
        parts = lab.split(lab.five_fold, fold)
        persons = [set(catalog["person"].iloc[rows]) for rows in parts.parts().values()]
        assert not any(a & b for a, b in itertools.combinations(persons, 2)) and all(persons)
        assert class_counts(catalog, parts, get_scheme("groups-5")).to_numpy().sum() == N
    assert len(lab.store(16, "rgb")) == N


def test_without_persons_copies_stay_together(images, write):
    for copy, of in zip(FILES[::2], FILES[1::2], strict=True):
        shutil.copy(images / of, images / copy)
    keep(images, table=write(rows(person="")))
    prepare.prepare("folder", images, **SMALL)
    catalog = load_manifest("folder")
    assert "person" not in catalog
    assert catalog["keep"].sum() == N // 2
    assert (catalog.groupby("cluster")["fold"].nunique() == 1).all()
    assert set(catalog["fold"]) == set(range(5))


def test_labels_are_kept_and_renewed(images, write):
    keep(images, table=write(rows()))
    prepare.prepare("folder", images, **SMALL)
    shutil.rmtree(images / "année 0")
    made = prepare.prepare("folder", **SMALL)
    assert made.counts["images"] == 40
    keep(images, table=write(rows(age=33)))
    prepare.prepare("folder", **SMALL)
    assert set(load_manifest("folder")["age"]) == {33}


@pytest.mark.parametrize(
    ("pattern", "name", "labels"),
    [
        ("{age}_*", "31_x_y.jpg", ("31", "", "")),
        ("{age}/*", "31/x.jpg", ("31", "", "")),
        ("{person}_{age}_{gender}.jpg", "a_b_7_F.jpg", ("7", "female", "a_b")),
        ("*-{gender}-{age}.*", "x/7-m-8.png", ("8", "male", "")),
        ("{age}.jpg", "x31.jpg", None),
        ("{age}.jpg", "x/31.jpg", ("31", "", "")),
        ("{age}_*", "131_x.jpg", None),
        ("*{age}_*", "img25_a.jpg", ("25", "", "")),
        ("*{age}.jpg", "face_31.jpg", ("31", "", "")),
        ("*{age}/*", "age30/1.jpg", ("30", "", "")),
        ("{age}*", "1190_x.jpg", None),
        ("{person}{age}.jpg", "anna12.jpg", ("12", "", "anna")),
    ],
)
def test_patterns(pattern, name, labels, tmp_path):
    lay_out(
        tmp_path / "mine", [name, "50_m.jpg", "50/m.jpg", "a_50_m.jpg", "-m-50.x.jpg", "50.jpg"]
    )
    path = folder.label(tmp_path / "mine", tmp_path, pattern=pattern)
    table = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("file")
    assert tuple(table.loc[name]) == (labels or ("", "", ""))


def test_a_pattern_from_the_command_line_lists_what_does_not_fit(images, capsys):
    words = ["prepare", "folder", str(images), "--size", "16"]
    assert main([*words, "--pattern", "лицо-{age}.jpg"]) == 0
    assert load_manifest("folder")["age"].tolist() == [int(f[-6:-4]) for f in sorted(FILES)]
    (images / FILES[0]).rename(images / "other.jpg")
    assert main([*words, "--pattern", "лицо-{age}.jpg"]) == 0
    catalog = load_manifest("folder").set_index("file")
    assert catalog.loc["other.jpg", "flags"] == "no age" and not catalog.loc["other.jpg", "usable"]
    assert "usable: 59\n" in capsys.readouterr().out


@pytest.mark.parametrize("pattern", ["*", "{gender}", "{age}{age}", "{age}_{race}"])
def test_impossible_patterns_are_refused(pattern, tmp_path):
    lay_out(tmp_path, ["1.jpg"])
    with pytest.raises(DataError, match=r"is not possible: it needs \{age\}"):
        folder.label(tmp_path, tmp_path, pattern=pattern)


def test_a_pattern_that_fits_no_name_shows_ten_names(images):
    with pytest.raises(DataError, match="no name in .* fits the pattern") as raised:
        keep(images, pattern="{age}-*")
    assert str(raised.value).count(".jpg'") == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a CSV file in UTF-8"),
        ("file,age\n", "has no rows"),
        ("path,years\na.jpg,3\n", "lacks the column file and age: it has 'path', 'years'"),
        ("file;age\na.jpg;3\n", "separate the columns by commas"),
        ("file,Age,age\na.jpg,3,4\n", "two columns of one name"),
        ("file,age,age\na.jpg,3,4\n", "two columns of one name"),
        ("file,age\na,b.jpg,3\n", "more fields than the first line names"),
        ("file,age\na.jpg,25.5\n", r"age is no whole age, 0 to 120: '25.5' \(line 2\)"),
        ("file,age\na.jpg,-3\nb.jpg,121\n", r"'-3' \(line 2\), '121' \(line 3\)"),
        ("file,age\n/a.jpg,3\n", "file is no path below the image folder: '/a.jpg'"),
        ("file,age\n../a.jpg,3\n", "is no path below"),
        ("file,age\nC:\\a.jpg,3\n", "is no path below"),
        ("file,age\n,3\n", "is no path below"),
        ("file,age\na.jpg,3\na.jpg,4\n", r"file stands there twice: 'a.jpg' \(line 3\)"),
        ("file,age,gender\na.jpg,3,x\n", "gender is neither male nor female nor empty: 'x'"),
    ],
)
def test_wrong_tables_are_refused_and_nothing_is_written(images, write, text, message):
    with pytest.raises(DataError, match=message) as raised:
        keep(images, table=write(text))
    assert "ages.csv" in str(raised.value)
    assert not (datasets_dir() / "folder" / folder.LABELS).exists()


def test_all_kinds_of_trouble_are_told_at_once_with_ten_offenders_each(images, write):
    lines = [f"{k}.jpg,old,x" for k in range(12)]
    with pytest.raises(DataError) as raised:
        keep(images, table=write("\n".join(["file,age,gender", *lines])))
    said = str(raised.value)
    assert said.count("'old' (line") == 10 and said.count("'x' (line") == 10
    assert said.count("and 2 more") == 2


def test_what_spreadsheets_do_to_a_table_is_read(images, write):
    text = "File, AGE ,Gender,hobby\r\nannée 0\\лицо-00.jpg,25.0,Female,chess\r\n"
    keep(images, table=write(text, "utf-8-sig"))
    source = folder.read(images.rename(datasets_dir() / "folder" / "images"))
    assert source.files == [FILES[0]]
    labels = source.parse(FILES[0])
    assert (labels["age"], labels["gender"]) == (25, "female") and "person" not in labels
    assert source.notes == ("59 images in the folder are not named by the labels: left aside",)


def test_a_table_in_another_encoding_or_missing_is_refused(images, write, tmp_path):
    with pytest.raises(DataError, match="UTF-8"):
        keep(images, table=write("file,age\né.jpg,3\n", "latin-1"))
    with pytest.raises(DataError, match=r"none.csv cannot be read \(No such file"):
        keep(images, table=tmp_path / "none.csv")


def test_missing_images_are_noted_and_all_missing_is_an_error(images, write):
    keep(images, table=write(rows()))
    for file in FILES[:18]:
        (images / file).unlink()
    made = prepare.prepare("folder", images, **SMALL)
    assert made.notes[0].startswith("18 of 60 images that the labels name are missing (30%), first")
    assert made.notes[0].count(".jpg") == 10
    for file in FILES[18:]:
        (images / file).unlink()
    with pytest.raises(DataError, match=f"none of the 60 images .* for example .*{FILES[0]}"):
        prepare.prepare("folder", images, **SMALL)


def test_without_labels_the_error_says_how_to_give_them(images):
    with pytest.raises(DataError, match=r"--table FILE.csv.*--pattern"):
        prepare.prepare("folder", images, **SMALL)


def test_a_refused_source_leaves_the_labels_in_place(images, write, tmp_path, capsys):
    prepare.prepare("folder", images, labels={"table": write(rows(age=20))}, **SMALL)
    kept = (datasets_dir() / "folder" / folder.LABELS).read_bytes()
    place = datasets_dir() / "folder" / "images"
    place.unlink()
    shutil.copytree(images, place)
    other = shutil.copytree(images, tmp_path / "other")
    words = ["--table", str(write(rows(age=70))), "--size", "16", "--color", "grey"]
    assert main(["prepare", "folder", str(other), *words]) == 2
    assert "exists beside the given" in capsys.readouterr().err
    assert main(["prepare", "folder", str(tmp_path / "typo"), *words]) == 2
    assert "typo is not a file" in capsys.readouterr().err
    assert (datasets_dir() / "folder" / folder.LABELS).read_bytes() == kept
    prepare.prepare("folder", **SMALL)
    assert set(load_manifest("folder")["age"]) == {20}


def test_a_wrong_table_leaves_the_images_in_place(images, write, tmp_path):
    prepare.prepare("folder", images, labels={"table": write(rows())}, **SMALL)
    other = lay_out(tmp_path / "other", ["a.jpg"])
    with pytest.raises(DataError, match="none of the 60 images"):
        prepare.prepare("folder", other, labels={"table": write(rows())}, **SMALL)
    assert (datasets_dir() / "folder" / "images").samefile(images)


def test_an_archive_takes_a_pattern(images, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "mine"), "tar", images)
    made = prepare.prepare("folder", archive, labels={"pattern": "лицо-{age}.jpg"}, **SMALL)
    assert made.counts["usable"] == N


def test_blanks_and_backslashes_in_names_are_kept(tmp_path, monkeypatch):
    names = [" 25_a.png", "35_c\\d.png"]
    lay_out(tmp_path / "images", names)
    folder.label(tmp_path / "images", tmp_path, pattern="*{age}_*")
    source = folder.read(tmp_path / "images")
    assert source.files == names and source.notes == ()
    assert [source.parse(name)["age"] for name in names] == [25, 35]


def test_other_data_sets_take_no_labels(images, write, capsys):
    assert main(["prepare", "sample", "--table", str(write(rows()))]) == 2
    assert "sample has labels of its own" in capsys.readouterr().err
    with pytest.raises(ValueError, match="either a table or a pattern"):
        folder.label(images, images)


def test_an_age_that_no_class_holds_is_left_out_of_the_counts(images, write):
    keep(images, table=write(rows(age=[0, 90, 45] * 20)))
    prepare.prepare("folder", images, **SMALL)
    lab = start("folder")
    counts = class_counts(lab.catalog, lab.split("folder-5fold", 0), get_scheme("decades-7"))
    assert counts.sum(axis=1).to_dict() == {
        name: 20 * (name == "41-50") for name in get_scheme("decades-7").names
    }


def test_a_folder_that_cannot_be_written_is_said_so(images, write, capsys):
    datasets_dir().parent.mkdir(exist_ok=True)
    datasets_dir().write_text("a file in the way")
    assert main(["prepare", "folder", str(images), "--table", str(write(rows()))]) == 2
    assert str(datasets_dir()) in capsys.readouterr().err


@given(st.text(max_size=20))
def test_any_pattern_is_either_refused_or_compiled(pattern):
    try:
        fits = folder._matcher(pattern)
    except DataError:
        return
    assert fits("x" * 30) is None


def test_persons_and_copies_are_joined_before_dealing():
    from agelib.folds import kept_together

    catalog = pd.DataFrame({"cluster": [0, 0, 2, 3, 4], "person": ["a", "b", "b", None, "c"]})
    units = kept_together(catalog)
    assert units[0] == units[1] == units[2]
    assert len(set(units)) == 3
    assert np.array_equal(kept_together(catalog[["cluster"]]), catalog["cluster"])


def test_a_table_of_other_images_does_not_replace_the_labels(images, write):
    kept = keep(images, table=write(f"file,age\n./{FILES[0]},30\n"))
    before = kept.read_text()
    assert before.splitlines()[1].startswith(f"{FILES[0]},30")
    with pytest.raises(DataError, match="none of the 1 images that .* names? is in place"):
        keep(images, table=write("file,age\nno/such.jpg,3\n"))
    assert kept.read_text() == before
