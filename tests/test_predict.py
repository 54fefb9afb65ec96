"""Predictions: numbers by hand, files and folders from the command line, nothing guessed."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from agelib import cli, faces, predict, predictions_file
from agelib.backend import keras
from agelib.faces import LANDMARKS, Face
from agelib.files import DataError
from agelib.predict import Predictor, interval
from agelib.shipped import load_shipped


def one_year(year, n=101):
    return np.eye(n)[year]


@pytest.mark.parametrize(
    ("distribution", "tail", "ends"),
    [
        ([0.1, 0.2, 0.4, 0.2, 0.1], 0.1, (0, 3)),
        ([0.05, 0.05, 0.8, 0.1], 0.1, (1, 2)),
        ([1] * 10, 0.2, (1, 7)),  # a sum of 10 is shares too
        (one_year(33), 0.1, (33, 33)),
        ([1 / 3, 1 / 3, 1 / 3], 0.0, (0, 2)),
    ],
)
def test_interval_by_hand(distribution, tail, ends):
    low, high = interval([distribution, distribution], tail)
    assert (low.tolist(), high.tolist()) == ([ends[0]] * 2, [ends[1]] * 2)


@pytest.fixture(scope="module")
def network():
    """Says the mean brightness of a 4 x 4 picture as a year, and that as a share of 255."""
    inputs = keras.Input((4, 4, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)[:, :1]
    ages = keras.layers.Softmax()(-keras.ops.abs(mean - np.arange(101.0)) * 4)
    return keras.Model(inputs, {"age": ages, "gender": mean / 255})


@pytest.fixture
def predictor(network, monkeypatch):
    made = Predictor(network, tail=0.1)
    monkeypatch.setattr(Predictor, "shipped", lambda: made)
    return made


def grey(level, size=(40, 40)):
    return Image.new("RGB", size, (level,) * 3)


def face_at(left, eyes=77.0):
    scale = eyes / 77.0
    points = tuple((left + scale * x, scale * y) for x, y in LANDMARKS)
    return Face((left, 0, 200 * scale, 200 * scale), 0.99, points)


@pytest.fixture
def two_faces(monkeypatch):
    """Every photograph has a large face at its left and a tiny one at its right."""
    monkeypatch.setattr(predict, "find_faces", lambda image: [face_at(0), face_at(300, eyes=6)])


def test_estimates_by_hand(predictor):
    young, old = predictor.estimate([grey(20), grey(90)])
    assert young.age == pytest.approx(20, abs=1e-3)
    assert (young.low, young.high) == (20, 20)
    assert young.distribution.argmax() == 20
    assert young.distribution.sum() == pytest.approx(1)
    assert young.female == pytest.approx(20 / 255)
    assert (young.gender, young.gender_probability) == ("male", pytest.approx(1 - 20 / 255))
    assert old.age == pytest.approx(90, abs=1e-3)
    many = [estimate.age for estimate in predictor.estimate([grey(20)] * 150)]
    assert many == pytest.approx([20] * 150, abs=1e-3)


def test_a_tiny_face_is_refused_and_the_rest_estimated(predictor, two_faces):
    out = io.BytesIO()
    grey(50, (400, 200)).save(out, "PNG")
    large, tiny = predictor.predict(out.getvalue(), name="p").faces
    assert large.estimate.age == pytest.approx(50, abs=1)
    assert tiny.estimate is None
    assert tiny.problem == "too small, 6 px between the eyes"


def test_no_face_is_said_and_not_guessed(predictor, monkeypatch):
    monkeypatch.setattr(predict, "find_faces", lambda image: [])
    out = io.BytesIO()
    grey(50).save(out, "PNG")
    found = predictor.predict(out.getvalue())
    assert (found.faces, found.problem, found.failed) == ([], "no face found", False)


@pytest.fixture
def folder(tmp_path):
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    grey(50, (400, 200)).save(photos / "a.png")
    grey(60, (400, 200)).save(photos / "sub" / "a.png")
    (photos / "bad.jpg").write_text("no picture")
    return photos


def test_one_bad_photo_stops_nothing_and_sets_the_status(
    folder, tmp_path, predictor, two_faces, capsys
):
    table = tmp_path / "out.csv"
    assert cli.main(["predict", str(folder), "--out", str(table)]) == 1
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = [row["photo"].removeprefix(f"{folder}/") for row in rows]
    assert names == ["a.png", "a.png", "bad.jpg", "sub/a.png", "sub/a.png"]
    assert [row["face"] for row in rows] == ["1", "2", "", "1", "2"]
    assert float(rows[0]["age"]) == pytest.approx(50, abs=1)
    assert (rows[0]["gender"], rows[0]["problem"]) == ("male", "")
    assert (rows[1]["age"], rows[1]["problem"]) == ("", "too small, 6 px between the eyes")
    assert rows[2]["problem"] == "not an image, or of a format that is not read here"
    assert [rows[0][key] for key in ("left", "top", "width", "height")] == ["0", "0", "200", "200"]
    told = capsys.readouterr()
    assert told.out == f"3 photos, 4 faces, 1 not read: {table}\n"
    assert f"agelib: {folder}/bad.jpg: not an image" in told.err


def test_json_has_the_whole_distribution(folder, tmp_path, predictor, two_faces):
    target = tmp_path / "out.json"
    words = ["predict", str(folder / "a.png"), "--out", str(target)]
    assert cli.main(words) == 0
    (photo,) = json.loads(target.read_text())
    assert photo["searched_at"] == [400, 200]
    assert photo["problem"] is None
    large, tiny = photo["faces"]
    assert len(large["distribution"]) == 101
    assert sum(large["distribution"]) == pytest.approx(1, abs=1e-3)
    years = sum(year * share for year, share in enumerate(large["distribution"]))
    assert years == pytest.approx(large["age"], abs=0.1)
    assert "distribution" not in tiny


def test_lines_of_text(folder, predictor, two_faces, capsys):
    assert cli.main(["predict", str(folder / "a.png")]) == 0
    assert capsys.readouterr().out == (
        f"{folder}/a.png, face 1: 50 years (80 %: 50 to 50), male 80 %\n"
        f"{folder}/a.png, face 2: too small, 6 px between the eyes\n"
    )


def test_a_chip_from_standard_input(predictor, monkeypatch, capsys):
    out = io.BytesIO()
    grey(30).save(out, "PNG")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(out.getvalue())))
    assert cli.main(["predict", "-", "--aligned"]) == 0
    assert capsys.readouterr().out == "stdin: 30 years (80 %: 30 to 30), male 88 %\n"


def test_drawn_copies_keep_their_names_apart(folder, predictor, two_faces, capsys):
    drawn = folder / "drawn"
    words = ["predict", str(folder), str(folder / "sub" / "a.png"), "--draw", str(drawn)]
    for _ in range(2):  # the second call does not take the copies for photos
        assert cli.main(words) == 1
        found = sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.png"))
        assert found == ["a.png-2.png", "a.png.png", "sub/a.png.png"]
    copy = np.asarray(Image.open(drawn / "a.png.png"))
    assert copy.shape == (200, 400, 3)
    assert (copy == (255, 176, 0)).all(axis=2).sum() > 500  # boxes and labels


def test_odd_names_are_written_and_drawn(tmp_path, predictor, two_faces):
    photos, drawn, table = (tmp_path / name for name in ("photos", "drawn", "out.csv"))
    photos.mkdir()
    long = "\u8a9e" * 77 + ".png"  # 235 bytes
    out = io.BytesIO()
    grey(50, (400, 200)).save(out, "PNG")
    for name in (os.fsencode(long), b"caf\xe9.png"):
        (photos / os.fsdecode(name)).write_bytes(out.getvalue())
    assert cli.main(["predict", str(photos), "--draw", str(drawn), "--out", str(table)]) == 0
    text = table.read_text(encoding="utf-8")
    assert "caf\\xe9.png" in text and long in text
    assert len(list(drawn.iterdir())) == 2


def test_a_long_label_stays_inside_the_picture():
    estimate = predict.Estimate(42.0, 30, 55, one_year(42), 0.25)
    corner = predict.Found(Face((280, 190, 30, 30), 1.0, LANDMARKS), None, estimate)
    found = predict.Prediction("p", [corner], image=grey(0, (300, 200)))
    drawn = np.asarray(predictions_file.draw(found)).astype(int)
    boxed = np.argwhere((drawn == (255, 176, 0)).all(axis=2))
    assert boxed[:, 1].min() < 280  # begins left of the face, so that it fits


def test_bad_words_are_told_before_the_work(tmp_path, predictor, capsys):
    for words, message in (
        ([str(tmp_path)], "no photos in this folder"),
        ([str(tmp_path), "--draw", str(tmp_path.parent)], "holds the photos; name a folder of"),
        (["a.jpg", "--out", "a.xlsx"], "predictions are written as .csv or .json"),
        (["a.jpg", "--out", str(tmp_path) + "/"], "written as .csv or .json"),
    ):
        assert cli.main(["predict", *words]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["predict", str(tmp_path / "no.jpg")]) == 1
    assert "there is no such file" in capsys.readouterr().out


def test_a_table_that_cannot_be_written_is_told_before_the_work(
    tmp_path, predictor, monkeypatch, capsys
):
    (tmp_path / "file").write_text("no folder")
    assert cli.main(["predict", "a.jpg", "--out", str(tmp_path / "file" / "out.csv")]) == 2
    assert "file: " in capsys.readouterr().err
    monkeypatch.setattr(predictions_file.os, "access", lambda path, mode: False)
    assert cli.main(["predict", "a.jpg", "--out", str(tmp_path / "out.csv")]) == 2
    assert "out.csv: its folder cannot be written to" in capsys.readouterr().err


def test_what_is_done_is_kept_when_the_work_ends_early(
    folder, tmp_path, predictor, two_faces, monkeypatch, capsys
):
    def full(place, prediction):
        if "sub" in str(place):
            raise OSError(28, "No space left on device", str(place))

    def interrupted(place, prediction):
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions_file, "write_drawing", full)
    table = tmp_path / "out.csv"
    words = ["predict", str(folder), "--out", str(table), "--draw", str(tmp_path / "drawn")]
    assert cli.main(words) == 1
    assert table.read_text().count(f"{folder}/") == 5
    monkeypatch.setattr(predictions_file, "write_drawing", interrupted)
    assert cli.main(words) == 130
    assert table.read_text().count(f"{folder}/") == 2  # the faces of the first photo
    assert f"agelib: 1 of 3 photos done; {table} has them" in capsys.readouterr().err


def test_progress_is_shown_for_many(tmp_path, predictor, two_faces, monkeypatch, capsys):
    for number in range(100):
        grey(50).save(tmp_path / f"{number:03}.png")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(["predict", str(tmp_path), "--out", str(tmp_path / "out.csv")]) == 0
    told = capsys.readouterr()
    assert "/100 [" in told.err
    assert told.out.startswith("100 photos, 200 faces: ")


def test_a_mirrored_face_has_its_say():
    inputs = keras.Input((4, 4, 3))
    left = keras.layers.Cropping2D(((0, 0), (0, 2)))(inputs)
    level = keras.layers.GlobalAveragePooling2D()(left)[:, :1]
    ages = keras.layers.Softmax()(-keras.ops.abs(level - np.arange(101.0)) * 40)
    network = keras.Model(inputs, {"age": ages, "gender": level / 255})
    face = grey(20, (40, 40))
    face.paste(grey(60, (20, 40)), (20, 0))
    (alone,) = Predictor(network).estimate([face])
    (both,) = Predictor(network, mirrored=True).estimate([face])
    assert alone.age < 25 and both.age == pytest.approx(40, abs=0.5)
    assert both.female == pytest.approx(40 / 255, abs=5e-3)
    assert both.low < 25 and both.high > 55


def test_the_shipped_network_sees_what_it_was_made_for():
    network, facts = load_shipped()
    predictor = Predictor.shipped()
    assert predictor.tail == facts["interval"]["tail"]
    assert predictor.mirrored == facts["experiment"].get("flip_at_test", False)
    chip = grey(128, (200, 200))
    (estimate,) = predictor.estimate([chip])
    assert estimate.distribution.shape == (101,)
    assert 0 <= estimate.low <= estimate.age <= estimate.high <= 100
    assert 0 <= estimate.female <= 1
    assert 77 * network.input_shape[1] / faces.CHIP > faces.SMALLEST_EYES


def test_a_damaged_shipped_network_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no whole shipped network .*python -m agelib ship"):
        load_shipped(tmp_path)
    (tmp_path / "facts.json").write_text(json.dumps({"network": {"sha256": "0"}}))
    (tmp_path / "age-and-gender.keras").write_bytes(b"x")
    with pytest.raises(DataError, match=r"is not the file that facts.json is about"):
        load_shipped(tmp_path)
