"""The built-in sample: same files everywhere, faults planted, ages learnable."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import Ridge

from agelib.datasets.sample import FAULTS, NOTE, draw_face, write_sample
from agelib.datasets.utkface import parse_name
from agelib.files import DataError

NAME = re.compile(r"(\d+)_([01])_([0-4])_(\d{17})\.jpg\.chip\.jpg")
UNDECODABLE = {"truncated", "empty", "text"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("data") / "sample", n=400, state=3)


@pytest.fixture(scope="module")
def planted(folder):
    return json.loads((folder / NOTE).read_text())["planted"]


@pytest.fixture(scope="module")
def clean(folder, planted):
    names = sorted(path.name for path in folder.glob("*.jpg") if path.name not in planted)
    return sorted(names, key=lambda name: name.split("_")[3])


def digests(folder):
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def thumbnail(path, size=32):
    with Image.open(path) as image:
        small = image.convert("L").resize((size, size), Image.Resampling.BILINEAR)
    values = np.asarray(small, float).ravel()
    return (values - values.mean()) / np.linalg.norm(values - values.mean())


def test_same_state_same_bytes(tmp_path):
    first = digests(write_sample(tmp_path / "a", n=3, state=5))
    assert first == digests(write_sample(tmp_path / "b", n=3, state=5))
    other = digests(write_sample(tmp_path / "c", n=3, state=6, faults=False))
    assert not set(first.values()) & set(other.values())


def test_smaller_sample_is_the_beginning_of_a_larger_one(tmp_path):
    small = digests(write_sample(tmp_path / "small", n=3, faults=False))
    large = digests(write_sample(tmp_path / "large", n=5, faults=False))
    assert len(small) == 4 and len(large) == 6  # and the note
    assert {k: v for k, v in small.items() if k != NOTE}.items() <= large.items()


def test_clean_faces_are_named_and_framed_like_utkface(folder, clean):
    assert len(clean) == 400
    assert all(NAME.fullmatch(name) for name in clean)
    assert len({name.split("_")[3] for name in clean}) == 400
    for name in clean[:20]:
        with Image.open(folder / name) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (200, 200))
    parsed = [parse_name(name) for name in clean]
    assert {row["gender"] for row in parsed} == {"male", "female"}
    assert {row["race"] for row in parsed} == {"white", "black", "asian", "indian", "other"}
    assert not any(row["note"] for row in parsed)


def test_ages_are_spread_like_utkface(clean):
    ages = np.array([int(name.split("_")[0]) for name in clean])
    assert ages.min() == 1 and 80 < ages.max() <= 100
    assert 0.3 < np.mean((ages >= 20) & (ages <= 35)) < 0.55
    assert Counter(ages.tolist())[1] > 8 and np.mean(ages > 60) > 0.05


def test_every_fault_is_planted(folder, planted):
    counts = Counter(entry["fault"] for entry in planted.values())
    assert set(counts) == set(FAULTS)
    assert all((folder / name).is_file() for name in planted)
    broken = set()
    for name, entry in planted.items():
        try:
            with Image.open(folder / name) as image:
                image.load()
        except OSError:
            broken.add(entry["fault"])
    assert broken == UNDECODABLE


def test_faulty_names_and_modes(folder, planted):
    names = {entry["fault"]: name for name, entry in planted.items()}
    seen = {}
    for fault in ("png", "grey", "cmyk", "rgba", "not-square"):
        with Image.open(folder / names[fault]) as image:
            seen[fault] = (image.format, image.mode, image.width == image.height)
    assert seen == {
        "png": ("PNG", "RGB", True),
        "grey": ("JPEG", "L", True),
        "cmyk": ("JPEG", "CMYK", True),
        "rgba": ("PNG", "RGBA", True),
        "not-square": ("JPEG", "RGB", False),
    }
    assert names["ancient"].startswith("116_")
    assert names["name-no-race"].count("_") == 2
    assert re.search(r"\djpg\.chip\.jpg$", names["name-no-dot"])
    assert " .jpg" in names["name-space"] and names["name-no-age"].startswith("_")


def test_copies_carry_the_labels_they_should(folder, planted):
    for name, entry in planted.items():
        if "copy_of" not in entry:
            continue
        copy, source = (item.split("_") for item in (name, entry["copy_of"]))
        same_age, same_gender = copy[0] == source[0], copy[1] == source[1]
        identical = (folder / name).read_bytes() == (folder / entry["copy_of"]).read_bytes()
        assert (same_age, same_gender, identical) == {
            "duplicate": (True, True, True),
            "duplicate-age": (False, True, True),
            "duplicate-gender": (True, False, True),
            "near-duplicate": (False, True, False),
        }[entry["fault"]]


def test_only_planted_copies_look_alike(folder, planted, clean):
    rows = {name: thumbnail(folder / name) for name in clean}
    pixels = np.array(list(rows.values()))
    correlation = pixels @ pixels.T - 2 * np.eye(len(pixels))
    assert correlation.max() < 0.985
    near = [
        thumbnail(folder / name) @ rows[entry["copy_of"]]
        for name, entry in planted.items()
        if entry["fault"] == "near-duplicate"
    ]
    assert near and min(near) > 0.985


def test_age_can_be_learned_from_pixels(folder, clean):
    ages = np.array([int(name.split("_")[0]) for name in clean])
    pixels = np.array([thumbnail(folder / name) for name in clean])
    training, test = slice(0, 300), slice(300, 400)
    model = Ridge(alpha=0.1).fit(pixels[training], ages[training])
    error = np.abs(model.predict(pixels[test]) - ages[test]).mean()
    constant = np.abs(np.median(ages[training]) - ages[test]).mean()
    assert error < 0.8 * constant


def test_a_complete_folder_is_left_alone_and_a_damaged_one_restored(tmp_path):
    folder = write_sample(tmp_path / "sample", n=4, faults=False)
    before = digests(folder)
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_sample(folder, n=4, faults=False)
    assert stamps == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    next(folder.glob("*.jpg")).unlink()
    write_sample(folder, n=4, faults=False)
    assert digests(folder) == before
    write_sample(folder, n=2, faults=False)
    assert len(list(folder.glob("*.jpg"))) == 2


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("agelib.datasets.sample._plant", stop)
    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "sample", n=2)
    assert list(tmp_path.iterdir()) == []


def test_other_peoples_files_are_never_replaced(tmp_path):
    for name in ("precious.txt", "30_0_0_20170109000000000.jpg.chip.jpg"):
        folder = tmp_path / name[:2]
        folder.mkdir()
        (folder / name).write_bytes(b"mine")
        with pytest.raises(DataError, match="empty folder"):
            write_sample(folder, n=2)
        assert (folder / name).read_bytes() == b"mine"
    sample = write_sample(tmp_path / "sample", n=2, faults=False)
    (sample / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="notes.txt"):
        write_sample(sample, n=3)
    with pytest.raises(DataError, match="is a file"):
        write_sample(sample / "notes.txt", n=2)
    assert (sample / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("bad", [{"n": 0}, {"n": -3}, {"n": 2, "state": -1}])
def test_senseless_numbers_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="too small"):
        write_sample(tmp_path / "sample", **bad)
    assert not (tmp_path / "sample").exists()


def test_draw_face_takes_every_person_and_refuses_others():
    for age in (0, 1, 16, 40, 100, 116):
        for gender in ("male", "female"):
            for race in ("white", "black", "asian", "indian", "other"):
                image = draw_face(age, gender, race, np.random.default_rng(age))
                assert image.size == (200, 200) and image.mode == "RGB"
    rng = np.random.default_rng(0)
    for wrong in ((-1, "male", "white"), (200, "male", "white"), (30, "x", "white")):
        with pytest.raises(ValueError):
            draw_face(*wrong, rng)
    with pytest.raises(ValueError, match="choose from"):
        draw_face(30, "male", "green", rng)
