"""IMDB-WIKI from metadata and images to manifest, store and split."""

import io
import tarfile

import numpy as np
import pytest
from imdb_mat import BORN_1960, NAN, cells, write_mat
from layout import lay_out
from PIL import Image

from agelib import datasets
from agelib.cli import main
from agelib.datasets import imdb_wiki
from agelib.datasets.imdb_filters import FILTERS
from agelib.files import DataError
from agelib.manifests import load_manifest
from agelib.prepare import prepare
from agelib.protocols import split

# Thirty people with two photographs each.
PEOPLE = tuple(
    (BORN_1960, 1980 + row % 40, row % 2, f"Person {row // 2}", 3.0, NAN) for row in range(60)
)
FILES = [f"{row:02d}/{row}.jpg" for row in range(60)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    folder = tmp_path / "imdb-wiki" / "images" / "wiki_crop"
    write_mat(folder / "wiki.mat", PEOPLE, full_path=cells(FILES))
    return folder


def test_from_images_to_a_split_that_shares_nobody(place):
    lay_out(place, FILES)
    prepared = prepare("imdb-wiki", size=16)
    assert prepared.notes == ()
    catalog = load_manifest("imdb-wiki")
    assert len(catalog) == 60
    assert catalog["usable"].all()
    assert catalog["file"][0] == "wiki_crop/00/0.jpg"
    for fold in range(5):
        parts = split(catalog, "imdb-wiki", fold=fold).parts()
        persons = [set(catalog["person"].iloc[rows]) for rows in parts.values()]
        assert not (persons[0] & persons[1] or persons[0] & persons[2] or persons[1] & persons[2])
    assert datasets.get("imdb-wiki").five_fold == "imdb-wiki"


def test_the_same_people_are_in_a_fold_whichever_images_are_there(place):
    lay_out(place, FILES[20:])
    prepare("imdb-wiki", size=16)
    catalog = load_manifest("imdb-wiki")
    assert (catalog["fold"] == [int(mark, 16) % 5 for mark in catalog["person"]]).all()


def test_thirty_percent_missing_is_said_and_the_rest_goes_on(place):
    lay_out(place, [file for row, file in enumerate(FILES) if row % 10 >= 3])
    prepared = prepare("imdb-wiki", size=16)
    assert len(prepared.notes) == 1
    assert "18 of 60 images that the metadata name are missing (30%)" in prepared.notes[0]
    assert len(load_manifest("imdb-wiki")) == 42


def test_all_missing_is_an_error_with_an_expected_path(place):
    with pytest.raises(DataError, match=r"none of the 60 images .*wiki_crop/00/0\.jpg"):
        prepare("imdb-wiki", size=16)
    assert not (place.parents[1] / "manifest.csv").exists()
    assert not list(place.parents[1].glob("*.h5"))


def test_images_of_one_pixel_and_broken_ones_are_flagged(place):
    lay_out(place, FILES)
    Image.new("RGB", (1, 1)).save(place / FILES[0])
    whole = (place / FILES[2]).read_bytes()
    (place / FILES[1]).write_bytes(whole[: len(whole) // 2])
    (place / FILES[3]).write_bytes(b"")
    Image.new("RGB", (40, 1)).save(place / FILES[4])
    prepare("imdb-wiki", size=16)
    catalog = load_manifest("imdb-wiki")
    assert catalog["flags"].tolist()[:2] == [
        "corrupt: too small, 1x1 pixels",
        "corrupt: truncated",
    ]
    assert catalog["flags"].tolist()[3:5] == [
        "corrupt: empty file",
        "corrupt: too small, 40x1 pixels",
    ]
    assert np.flatnonzero(~catalog["usable"]).tolist() == [0, 1, 3, 4]
    assert (catalog["fold"][~catalog["usable"]] == -1).all()


def test_what_is_filtered_out_stays_in_the_catalog_with_its_reason(place):
    rows = [list(row) for row in PEOPLE]
    rows[5][4], rows[6][5], rows[7][2], rows[8][1] = 0.5, 2.0, NAN, 1930
    write_mat(place / "wiki.mat", rows, full_path=cells(FILES))
    lay_out(place, FILES)
    prepare("imdb-wiki", size=16)
    catalog = load_manifest("imdb-wiki")
    assert np.flatnonzero(~catalog["usable"]).tolist() == [5, 6, 7, 8]
    assert catalog["flags"].tolist()[5:9] == [
        "left out: face score below 1",
        "left out: a second face",
        "left out: no gender",
        "no age: photographed 30 years before birth; left out: age outside 0 to 100",
    ]
    assert catalog["age"][5] == 1985 - 1960


def test_another_rule_of_age_and_other_filters(place, capsys):
    rows = [list(row) for row in PEOPLE]
    rows[5][0] = BORN_1960 + 182  # 1 July
    rows[6][5] = 2.0  # a second face
    write_mat(place / "wiki.mat", rows, full_path=cells(FILES))
    lay_out(place, FILES)
    prepare("imdb-wiki", size=16)
    usual = load_manifest("imdb-wiki")
    words = ["prepare", "imdb-wiki", "--size", "16"]
    assert main([*words, "--age-rule", "mid-year", "--filters", "p4-text"]) == 0
    assert "usable: 1\n" in capsys.readouterr().out
    catalog = load_manifest("imdb-wiki")
    assert catalog.index[catalog["age"] != usual["age"]].tolist() == [5]
    assert catalog["age"][5] == usual["age"][5] + 1
    assert catalog.index[catalog["usable"]].tolist() == [6]
    assert "left out: no second face" in catalog["flags"][5]


@pytest.mark.parametrize("option", [("--age-rule", "mid-year"), ("--filters", "p4-text")])
def test_choices_of_imdb_wiki_are_no_others(place, capsys, option):
    assert main(["prepare", "utkface", *option]) == 2
    assert f"{option[0]} is for imdb-wiki; utkface has nothing" in capsys.readouterr().err


def test_the_command_knows_every_rule_and_filter(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    told = capsys.readouterr().out
    assert "{" + ",".join(imdb_wiki.AGE_RULES) + "}" in told
    assert "{" + ",".join(FILTERS) + "}" in told


def test_both_files_in_one_catalog(place):
    imdb = place.parent / "imdb_crop"
    write_mat(imdb / "imdb.mat", PEOPLE[:10], source="imdb", full_path=cells(FILES[:10]))
    lay_out(place, FILES)
    lay_out(imdb, FILES[:9])
    prepared = prepare("imdb-wiki", size=16)
    assert "1 of 70 images that the metadata name are missing" in prepared.notes[0]
    catalog = load_manifest("imdb-wiki").set_index("file")
    for file in FILES[:9]:
        one, other = catalog.loc[f"imdb_crop/{file}"], catalog.loc[f"wiki_crop/{file}"]
        assert (one["person"], one["fold"]) == (other["person"], other["fold"])


def test_a_folder_without_metadata(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    images = tmp_path / "imdb-wiki" / "images"
    images.mkdir(parents=True)
    with pytest.raises(DataError, match=r"neither .*imdb\.mat nor .*wiki\.mat exists; unpack"):
        prepare("imdb-wiki")
    (images / "wiki_crop").mkdir()
    with pytest.raises(DataError, match=r"wiki\.mat is missing"):
        prepare("imdb-wiki")


def test_archives_are_unpacked_where_they_belong(place, tmp_path):
    lay_out(place, FILES)
    with tarfile.open(tmp_path / "wiki_crop.tar", "w") as archive:
        archive.add(place, "wiki_crop")
    place.rename(tmp_path / "away")
    place.parent.rmdir()
    prepare("imdb-wiki", size=16)
    assert (place / "wiki.mat").is_file()
    assert len(load_manifest("imdb-wiki")) == 60


def test_an_archive_of_another_name_is_refused(place, tmp_path):
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("x.jpg"), io.BytesIO())
    with pytest.raises(DataError, match=r"none of the archives of IMDB-WIKI: imdb_crop\.tar, wiki"):
        prepare("imdb-wiki", tmp_path / "faces.tar")
