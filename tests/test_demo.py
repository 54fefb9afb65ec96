"""The upload field: a sentence for everything, nothing kept, and the loss that it cannot see."""

from __future__ import annotations

import io
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from agelib import backend, demo, in_use, plots_prediction, predict
from agelib.backend import keras
from agelib.datasets.sample import draw_face
from agelib.faces import LANDMARKS, Face
from agelib.predict import Predictor


@pytest.fixture(scope="module")
def predictor():
    """Says the mean brightness as a year, from maps, so that there is evidence to show."""
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.AveragePooling2D(2, name="maps")(inputs)
    mean = keras.layers.GlobalAveragePooling2D()(maps)
    ages = keras.layers.Dense(101, "softmax", name="probabilities")(mean)
    gender = keras.layers.Dense(1, "sigmoid", name="gender")(mean)
    return Predictor(keras.Model(inputs, {"age": ages, "gender": gender}))


def upload(image=None):
    out = io.BytesIO()
    (image or draw_face(25, "female", "white", np.random.default_rng(4))).save(out, "PNG")
    return out.getvalue()


def test_headless_there_is_a_sentence_and_no_field(monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    demo.show()
    assert capsys.readouterr().out == (
        "The upload field appears here in JupyterLab, or with `make demo`.\n"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("JPY_SESSION_NAME", "24.ipynb"), ("SERVER_SOFTWARE", "voila/0.5.13")]
)
def test_with_somebody_there_it_is_shown(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert demo.somebody_is_there()


def test_a_face_gives_boxes_and_details(predictor, monkeypatch):
    monkeypatch.setattr(
        predict, "find_faces", lambda image: [Face((5, 5, 190, 190), 0.9, LANDMARKS)] * 2
    )
    text, pictures = demo.answer(predictor, "a.png", upload())
    assert text == "a.png: 2 faces."
    assert [caption[:6] for caption, _ in pictures] == ["The ph", "Face 1", "Face 2"]
    for _, png in pictures:
        assert Image.open(io.BytesIO(png)).width > 190


def test_a_crowd_is_not_drawn_whole(predictor, monkeypatch):
    monkeypatch.setattr(
        predict, "find_faces", lambda image: [Face((5, 5, 9, 9), 0.9, LANDMARKS)] * 20
    )
    monkeypatch.setattr(demo, "_details", lambda *words: b"x")
    text, pictures = demo.answer(predictor, "a.png", upload())
    assert text == "a.png: 20 faces. The first 8 from the left are shown in detail."
    assert len(pictures) == 9


def test_bad_uploads_get_a_sentence(predictor, monkeypatch):
    monkeypatch.setattr(predict, "find_faces", lambda image: [])
    assert demo.answer(predictor, "a.png", upload()) == ("a.png: no face found.", [])
    sentence = "b.txt: not an image, or of a format that is not read here."
    assert demo.answer(predictor, "b.txt", b"words") == (sentence, [])
    monkeypatch.setattr(demo, "MOST_BYTES", 10)
    assert demo.answer(predictor, "c", bytes(11))[0].startswith("c: too large")
    monkeypatch.setattr(demo, "MOST_BYTES", 10**6)

    def broken(image):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(predict, "find_faces", broken)
    found = "a.png: something went wrong here (RuntimeError: out of luck)."
    assert demo.answer(predictor, "a.png", upload()) == (found, [])


def test_the_field_lets_the_upload_go(predictor):
    pytest.importorskip("ipywidgets")
    panel = demo.panel(predictor)
    (field, aligned), sentence, results = panel.children[0].children, *panel.children[1:]
    aligned.value = True
    given = {"name": "<b>.png", "type": "image/png", "size": 9, "last_modified": datetime.now()}
    field.value = ({**given, "content": memoryview(upload())},)
    assert field.value == ()
    assert sentence.value == "&lt;b&gt;.png: one face."
    ((caption, picture),) = (box.children for box in results.children)
    assert caption.value.startswith("<b>Face 1: ")
    assert Image.open(io.BytesIO(picture.value)).width > 500
    field.value = ({**given, "name": "b.txt", "content": memoryview(b"words")},)
    assert sentence.value.startswith("b.txt: not an image")
    assert results.children == ()


def test_the_figure_shows_the_interval(predictor):
    (estimate,) = predictor.estimate([Image.new("RGB", (200, 200), (50, 60, 70))])
    found = predict.Found(None, Image.new("RGB", (200, 200), (50, 60, 70)), estimate)
    heat = plots_prediction.evidence(predictor, found)
    assert heat.shape == (8, 8)
    _, _, ax = plots_prediction.plot_prediction(found, heat, title="face 1")
    inside = [bar for bar in ax.patches if bar.get_facecolor()[:3] != (0.8, 0.8, 0.8)]
    assert len(inside) == estimate.high - estimate.low + 1
    assert ax.lines[0].get_xdata()[0] == pytest.approx(estimate.age)


def test_a_chip_in_a_photograph_is_turned_and_scaled():
    white = Image.new("RGB", (200, 200), "white")
    photo = np.asarray(in_use.into_photograph(white, np.random.default_rng(3)))
    assert photo.shape == (600, 600, 3)
    assert photo[300, 300].tolist() == [255, 255, 255]
    assert photo[5, 5].tolist() == [127, 127, 127]
    area = (photo[..., 0] > 200).sum()
    assert (0.6 * 200) ** 2 * 0.97 < area < (1.6 * 200) ** 2 * 1.03


def test_the_loss_counts_what_is_found(predictor):
    pytest.importorskip("mtcnn")
    if backend.name() != "tensorflow":
        pytest.skip("the detector is made for TensorFlow")
    chips = [draw_face(25, "female", "white", np.random.default_rng(4))] * 3
    chips.append(Image.new("RGB", (200, 200), (90, 90, 90)))
    gap = in_use.gap(predictor, chips, [25, 30, 35, 40])
    assert (gap["n"], gap["found"]) == (4, 3)
    assert {row["n"] for row in gap["errors"].values()} == {3}
    given, aligned = gap["errors"]["chip as given"], gap["errors"]["found and aligned"]
    assert gap["difference"]["value"] == pytest.approx(aligned["mae"] - given["mae"], abs=2e-3)
    assert [row["pixels between the eyes"] for row in gap["sizes"]][:2] == [77, 38.5]
    assert {row["n"] for row in gap["sizes"]} == {4}
