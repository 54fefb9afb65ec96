"""Adience: every label, five folds that share nobody, P3's random parts, and bad input."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from layout import PUBLISHED_RANDOM, adience_files, adience_rows, lay_out, write_folds

from agelib import datasets, manifests, prepare
from agelib.cli import main
from agelib.datasets import adience
from agelib.files import DataError
from agelib.labels import get_scheme
from agelib.manifests import load_manifest
from agelib.paths import datasets_dir
from agelib.protocols import class_counts, split
from agelib.store import open_store

SMALL = {"size": 16, "color": "grey"}
# Label: class of adience-8 and of groups-5, by hand from the edges and from P3's own mapping.
CLASSES = {
    "(0, 2)": (0, 0),
    "(4, 6)": (1, 0),
    "(8, 12)": (2, 1),
    "(15, 20)": (3, 1),
    "(25, 32)": (4, 2),
    "(38, 43)": (5, 3),
    "(48, 53)": (6, 3),
    "(60, 100)": (7, 4),
    "(8, 23)": (-1, 1),
    "(25, 23)": (-1, 2),
    "(27, 32)": (4, 2),
    "(38, 42)": (5, 3),
    "(38, 48)": (5, 3),
    "2": (0, 0),
    "3": (-1, 0),
    "13": (-1, 1),
    "22": (-1, 2),
    "23": (-1, 2),
    "29": (4, 2),
    "32": (4, 2),
    "34": (-1, 2),
    "35": (-1, 2),
    "36": (-1, 2),
    "42": (5, 3),
    "45": (-1, 3),
    "46": (-1, 3),
    **dict.fromkeys(("55", "56", "57", "58"), (-1, 3)),
    "None": (-1, -1),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Give small fold files and drawn faces under all paths they name."""
    folder = tmp_path_factory.mktemp("drawn") / "Adience"
    folds = adience_rows()
    write_folds(folder, folds)
    for layout in ("aligned", "faces"):
        lay_out(folder / layout, adience_files(folds, layout))
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path / "data"))
    for module in (prepare, manifests):
        monkeypatch.setattr(module, "manifests_dir", lambda: tmp_path / "committed")
    return tmp_path / "data" / "Adience"


@pytest.fixture
def placed(place, drawn):
    return shutil.copytree(drawn, place)


@pytest.fixture(scope="module")
def public():
    """Give the public fold files where a user has placed them."""
    folder = datasets_dir() / "Adience"
    if not (folder / adience.FOLD_FILES[0]).is_file():
        pytest.skip("Adience's fold files are not placed")
    return adience.read_folds(folder)


def persons(catalog, rows):
    return set(catalog["person"].iloc[rows].dropna())


def albums(catalog, rows):
    return {file.partition("/")[0] for file in catalog["file"].iloc[rows]}


def test_every_label_has_the_class_that_the_table_says(drawn):
    table = adience.read_folds(drawn)
    assert set(table["age_label"]) == set(adience.AGES) == set(CLASSES)
    for place, name in enumerate(("adience-8", "groups-5")):
        labels = get_scheme(name).of_catalog(table)
        found = dict(zip(table["age_label"], labels, strict=True))
        assert found == {label: classes[place] for label, classes in CLASSES.items()}


def test_gender_u_and_none_are_unknown(drawn):
    table = adience.read_folds(drawn)
    raw = {row["face_id"]: row["gender"] for rows in adience_rows() for row in rows}
    known = table["gender"].map({"female": "f", "male": "m"}).fillna("").tolist()
    assert known == [raw[person].replace("u", "") for person in table["person"]]


@pytest.mark.parametrize(("name", "layout"), [("adience", "aligned"), ("adience-faces", "faces")])
def test_prepare_gives_the_catalog_that_everything_else_reads(placed, name, layout):
    made = prepare.prepare(name, **SMALL)
    catalog = load_manifest(name)
    assert made.images == placed / layout
    assert catalog["file"].tolist() == sorted(adience_files(adience_rows(), layout))
    assert made.counts["usable"] == len(catalog) - 3  # one person without age, three images
    grouped = catalog["age_from"].notna()
    assert (catalog["age"].notna() ^ grouped)[catalog["usable"]].all()
    assert (catalog.loc[~catalog["usable"], "flags"].str.contains("age-label: None")).all()
    assert made.notes == (
        "the fold files are not the public ones: results are not comparable with others'",
    )
    with open_store(made.store, catalog=catalog) as store:
        assert store.read(np.arange(len(catalog))).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("protocol", ["adience-folds", "adience-frontal"])
def test_no_person_and_no_album_crosses_the_parts_of_a_fold(placed, protocol):
    prepare.prepare("adience", **SMALL)
    catalog = load_manifest("adience")
    tested = []
    for fold in range(5):
        parts = split(catalog, protocol, fold=fold)
        tested += parts.test.tolist()
        for of in (persons, albums):
            training, validation, test = (of(catalog, rows) for rows in parts.parts().values())
            assert training and validation and test
            assert not training & validation and not training & test and not validation & test
        assert set(catalog["fold"].iloc[parts.test]) == {fold}
        assert not any("person" in note for note in parts.notes)
    wanted = catalog["usable"].to_numpy()
    if protocol == "adience-frontal":
        wanted = wanted & ~catalog["flags"].str.contains("yaw").to_numpy()
        assert 0 < wanted.sum() < catalog["usable"].sum()
    assert sorted(tested) == np.flatnonzero(wanted).tolist()


def test_random_parts_share_persons_and_say_so(placed):
    prepare.prepare("adience", **SMALL)
    catalog = load_manifest("adience")
    parts = split(catalog, "adience-random")
    shared = persons(catalog, parts.test) & persons(catalog, parts.training)
    assert shared
    assert any(note.endswith("show a person of another part") for note in parts.notes)
    counts = class_counts(catalog, parts, get_scheme("groups-5"))
    assert (
        np.abs(counts.to_numpy() - counts.sum(axis=1).to_numpy()[:, None] * [0.6, 0.2, 0.2]).max()
        <= 1
    )
    assert sum(parts.counts().values()) == catalog["usable"].sum()


def test_the_draw_depends_on_the_fold_files_alone(placed):
    prepare.prepare("adience", **SMALL)
    whole = load_manifest("adience").set_index("file")["adience_random"]
    for file in whole.index[::3]:
        (placed / "aligned" / file).unlink()
    prepare.prepare("adience", **SMALL)
    rest = load_manifest("adience").set_index("file")["adience_random"]
    assert len(rest) < len(whole)
    pd.testing.assert_series_equal(rest, whole[rest.index])


def test_copies_are_flagged_and_do_not_cross(placed):
    prepare.prepare("adience", **SMALL)
    catalog = load_manifest("adience")
    usable = catalog[catalog["usable"]]
    first, second = (usable.loc[usable["fold"] == fold, "file"].iloc[0] for fold in (0, 1))
    shutil.copy(placed / "aligned" / first, placed / "aligned" / second)
    prepare.prepare("adience", **SMALL)
    catalog = load_manifest("adience")
    rows = catalog.index[catalog["file"].isin([first, second])].tolist()
    assert catalog["flags"].iloc[rows].str.contains("exact-duplicate: 2 files").all()
    tested = split(catalog, "adience-folds", fold=0)
    learnt = np.concatenate([tested.training, tested.validation])
    assert set(rows) & set(tested.test) and not set(rows) & set(learnt)
    assert tested.notes == ("1 images dropped: copies of images in another part",)
    uncleaned = split(catalog, "adience-folds", fold=0, cleaned=False)
    assert any("duplicate in another part" in note for note in uncleaned.notes)
    random = split(catalog, "adience-random")
    assert len(set(rows) & set(np.concatenate(list(random.parts().values())))) == 1


def test_what_the_fold_files_list_twice_is_one_image_and_flagged(place, drawn):
    folds = adience_rows()
    folds[0].append(folds[0][0])
    write_folds(place, folds)
    table = adience.read_folds(place)
    assert len(table) == len(adience_files(folds))
    shutil.copytree(drawn / "aligned", place / "aligned")
    prepare.prepare("adience", **SMALL)
    flags = load_manifest("adience").set_index("file")["flags"]
    twice = flags.index[flags.str.contains("listed: 2 times")].tolist()
    assert twice == adience_files([folds[0][:1]])


def test_thirty_percent_missing_is_a_note_with_counts(placed, capsys):
    files = adience_files(adience_rows())
    for file in files[: round(0.3 * len(files))]:
        (placed / "aligned" / file).unlink()
    assert main(["prepare", "adience", "--size", "16"]) == 0
    said = capsys.readouterr().out
    assert f"note: {round(0.3 * len(files))} of {len(files)} images" in said
    assert "are missing (30%)" in said


def test_all_missing_is_an_error_that_shows_one_path(place):
    write_folds(place, adience_rows())
    (place / "aligned").mkdir()
    with pytest.raises(
        DataError, match=r"none of the 135 images .* expected for example .*aligned"
    ):
        prepare.prepare("adience", **SMALL)
    assert not (datasets_dir() / "adience" / "manifest.csv").exists()


def test_images_without_fold_files_say_what_to_place(placed):
    (placed / "fold_3_data.txt").unlink()
    with pytest.raises(DataError, match=r"lacks fold_3_data.txt; place the five fold files"):
        prepare.prepare("adience", **SMALL)


def broken(edit):
    folds = adience_rows()
    edit(folds)
    return folds


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f[2][0].update(user_id=f[1][0]["user_id"]), "1 albums lie in several"),
        (lambda f: f[2][0].update(face_id=f[1][0]["face_id"]), "1 persons lie in several"),
        (lambda f: f[4][1].update(user_id="../up"), r"fold_4_data.txt: 1 impossible .*\(line 3\)"),
        (lambda f: f[4][1].update(user_id=".."), "impossible values of user_id"),
        (lambda f: f[0][0].update(face_id="x1"), "impossible values of face_id: 'x1'"),
        (lambda f: f[0][0].update(gender="male"), "impossible values of gender"),
        (lambda f: f[0][0].update(fiducial_yaw_angle=""), "impossible values of fiducial_yaw"),
        (lambda f: f[0].append(f[0][0] | {"age": "3"}), "1 images are listed with different"),
    ],
)
def test_fold_files_that_are_not_adiences_are_refused(tmp_path, edit, message):
    write_folds(tmp_path, broken(edit))
    with pytest.raises(DataError, match=message):
        adience.read_folds(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        b"10_o.jpg 3 f\n",  # lists of other projects
        b"user_id\toriginal_image\tage\n1@N00\tx.jpg\t3\n",
        b"",
        b"\xff\xfe\x00",
        b"a\tb\n1\t2\t3\t4\t5\n1\t2\n",
    ],
)
def test_a_fold_file_of_another_version_is_refused(drawn, tmp_path, text):
    shutil.copytree(drawn, tmp_path / "a", ignore=shutil.ignore_patterns("aligned", "faces"))
    (tmp_path / "a" / "fold_1_data.txt").write_bytes(text)
    with pytest.raises(DataError, match=r"fold_1_data.txt is (not )?a fold file.*not the frontal"):
        adience.read_folds(tmp_path / "a")


def test_unknown_age_labels_are_no_age_and_named(place):
    folds = adience_rows()
    folds[0][0]["age"] = folds[0][1]["age"] = folds[0][2]["age"] = "(61; 70)"
    write_folds(place, folds)
    lay_out(place / "aligned", adience_files(folds)[:12])
    source = adience.read_aligned(place / "aligned")
    assert "3 images have an unknown age label, taken as none: '(61; 70)'" in source.notes
    labels = source.parse(adience_files(folds)[0])
    assert labels["remarks"] == "age-label: (61, 70)" and pd.isna(labels["age"])


def test_a_class_without_an_image_is_counted_and_trainable_data_remain(place):
    folds = [[r for r in rows if r["age"] != "(60, 100)"] for rows in adience_rows()]
    write_folds(place, folds)
    lay_out(place / "aligned", adience_files(folds))
    prepare.prepare("adience", **SMALL)
    catalog = load_manifest("adience")
    counts = class_counts(catalog, split(catalog, "adience-folds", fold=0), get_scheme("adience-8"))
    assert counts.loc["60-100"].sum() == 0 and counts.to_numpy().sum() > 0


def test_names_in_other_letters(place):
    folds = adience_rows(n_albums=1)
    for rows in folds:
        for row in rows:
            row["original_image"] = f"фото-é中_{row['original_image']}"
    write_folds(place, folds)
    lay_out(place / "aligned", adience_files(folds))
    made = prepare.prepare("adience", **SMALL)
    catalog = load_manifest("adience")
    assert len(catalog) == made.counts["images"] == 45
    assert catalog["file"].str.contains("фото-é中").all()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_a_read_only_folder_is_said_so(placed, capsys):
    place = datasets_dir()
    place.chmod(0o500)
    try:
        assert main(["prepare", "adience", "--size", "16"]) == 1
    finally:
        place.chmod(0o700)
    assert "Permission denied" in capsys.readouterr().err


def test_other_data_sets_have_no_part_under_adience_random(placed):
    prepare.prepare("adience", **SMALL)
    catalog = load_manifest("adience").drop(columns=["adience_random"])
    with pytest.raises(DataError, match="of another data set"):
        split(catalog, "adience-random")


def test_the_registry_names_both_layouts():
    assert {"adience", "adience-faces"} <= set(datasets.names())
    assert datasets.get("adience").five_fold == "adience-folds"


def test_the_public_fold_files_are_the_published_ones(public):
    assert adience.mark(public) == adience.PUBLISHED
    assert adience.mark(public, "adience_random") == PUBLISHED_RANDOM
    assert len(public) == 19_370 and public["times"].sum() == 19_487
    assert set(public["age_label"]) == set(adience.AGES)
    assert public["person"].nunique() == 2_284
    assert (public["yaw"] == 0).sum() > 13_000
