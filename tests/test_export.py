"""Exported networks: bytes in, the same numbers out, and nothing written that is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from agelib import cli, export, networks
from agelib.backend import keras
from agelib.backend import name as backend_name
from agelib.datasets.sample import draw_face
from agelib.experiment import Experiment, Recipe
from agelib.files import DataError
from agelib.models import build
from agelib.predict import Predictor

tensorflow_only = pytest.mark.skipif(
    backend_name() != "tensorflow", reason="only TensorFlow writes this format"
)


def experiment(**changes):
    values = {
        "number": "1.0", "name": "Tiny", "chapter": "03-lenet", "architecture": "lenet5",
        "labels": "decades-7", "dataset": "sample", "protocol": "sample-5fold",
        "recipe": Recipe(epochs=1),
    }  # fmt: skip
    return Experiment(**{**values, **changes})


@pytest.fixture(scope="module")
def two_heads():
    """A residual network of mixed precision with an age distribution and a gender."""
    described = experiment(
        architecture="residual",
        options={"widths": (4, 8)},
        labels="per-year-101",
        head="distribution",
        gender=1.0,
        preprocessing="minus-one-to-one",
        recipe=Recipe(epochs=1, precision="mixed_bfloat16"),
    )
    return build(described)


@pytest.fixture(scope="module")
def saved(two_heads, tmp_path_factory):
    path = tmp_path_factory.mktemp("networks") / "model.keras"
    two_heads.save(path)
    return path


def test_a_network_of_mixed_precision_is_loaded_in_float32(two_heads, saved):
    loaded = networks.load_network(saved)
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    for ours, theirs in zip(loaded.get_weights(), two_heads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert networks.in_float32(loaded) is loaded


every_format = pytest.mark.parametrize(
    "form",
    ["keras", *(pytest.param(f, marks=tensorflow_only) for f in ("onnx", "saved-model", "tflite"))],
)


@every_format
def test_predictions_agree_with_keras(saved, tmp_path, form):
    network = networks.load_network(saved)
    target = tmp_path / f"network{export.FORMATS[form]}"
    assert export.export(network, target, form) <= export.TOLERANCE
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype="uint8")
    found = export.runner(target, form)(images)
    wanted = network.predict(images.astype("float32"), verbose=0)
    assert set(found) == {"age", "gender"}
    for key, value in found.items():
        np.testing.assert_allclose(value, wanted[key], atol=1e-3)
    np.testing.assert_allclose(found["age"].sum(axis=1), 1, atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def one_sided():
    """Return a network that looks at the left half of a face alone."""
    inputs = keras.Input((32, 32, 3))
    left = keras.layers.Cropping2D(((0, 0), (0, 16)))(inputs)
    level = keras.layers.GlobalAveragePooling2D()(left)[:, :1]
    ages = keras.layers.Softmax()(-keras.ops.abs(level - np.arange(101, dtype="float32")) / 4)
    return keras.Model(inputs, {"age": ages, "gender": level / 255})


@every_format
@pytest.mark.parametrize("mirrored", [True, False])
def test_an_export_answers_as_the_predictor_does(tmp_path, form, mirrored):
    network = one_sided()
    target = tmp_path / f"network{export.FORMATS[form]}"
    export.export(network, target, form, mirrored=mirrored)
    images = np.random.default_rng(4).integers(0, 120, (3, 32, 32, 3), dtype="uint8")
    images[:, :, :16] //= 3
    chips = [Image.fromarray(image) for image in images]
    for some in (slice(0, 1), slice(0, 3)):  # any length of batch, with twice as many inside
        found = export.runner(target, form)(images[some])
        wanted = Predictor(network, mirrored=mirrored).estimate(chips[some])
        ages = np.stack([estimate.distribution for estimate in wanted])
        np.testing.assert_allclose(found["age"], ages, atol=1e-3)
        female = [estimate.female for estimate in wanted]
        np.testing.assert_allclose(found["gender"][:, -1], female, atol=1e-3)
    other = Predictor(network, mirrored=not mirrored).estimate(chips)
    assert abs(found["gender"][:, -1] - [estimate.female for estimate in other]).min() > 0.05


@every_format
def test_the_shipped_file_and_predict_agree(tmp_path, capsys, form):
    target = tmp_path / f"shipped{export.FORMATS[form]}"
    assert cli.main(["export", "shipped", "--to", form, "--out", str(target)]) == 0
    predictor = Predictor.shipped()
    assert ("with its mirror image" in capsys.readouterr().out) == predictor.mirrored
    chips = [draw_face(age, "female", "white", np.random.default_rng(age)) for age in (8, 40, 75)]
    pixels = predictor.pixels(chips)
    found = export.runner(target, form)(pixels.astype("uint8"))
    ages = np.stack([estimate.distribution for estimate in predictor.estimate(chips)])
    np.testing.assert_allclose(found["age"], ages, atol=1e-3)


def test_race_is_not_exported():
    options = {"architecture": "residual", "options": {"widths": (4,)}, "gender": 1.0}
    alone, along = (build(experiment(race=race, **options)) for race in (0.0, 0.2))
    of_bytes = export.byte_network(along)
    assert set(along.output) == {"age", "gender", "race"}
    assert set(of_bytes.output) == {"age", "gender"}
    assert of_bytes.count_params() == alone.count_params()


def test_a_grey_network_takes_colour(tmp_path):
    network = build(experiment(color="grey"))
    of_bytes = export.byte_network(network)
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype="uint8")
    grey = np.asarray(Image.fromarray(image).convert("L"))[None, :, :, None]
    wanted = network.predict(grey.astype("float32"), verbose=0)
    found = of_bytes.predict(image[None], verbose=0)["age"]
    np.testing.assert_allclose(found, wanted, atol=5e-3)  # a pixel may differ by one of 255


def test_an_export_that_disagrees_is_not_kept(saved, tmp_path, monkeypatch):
    wrong = {"age": np.zeros((8, 101), "float32"), "gender": np.zeros((8, 1), "float32")}
    monkeypatch.setitem(export._RUNNERS, "keras", lambda path: lambda images: wrong)
    with pytest.raises(DataError, match="differs from Keras by .* not written"):
        export.export(networks.load_network(saved), tmp_path / "a.keras", "keras")
    assert not list(tmp_path.iterdir())


def test_what_is_no_export_is_not_replaced(saved, tmp_path):
    network = networks.load_network(saved)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "aunt.jpg").write_bytes(b"x")
    for form in ("onnx", "saved-model", "keras"):
        with pytest.raises(DataError, match="photos is"):
            export.export(network, tmp_path / "photos", form)
    assert (tmp_path / "photos" / "aunt.jpg").exists()
    with pytest.raises(ValueError, match="format 'pt' is unknown; choose from keras, onnx"):
        export.export(network, tmp_path / "a", "pt")


def test_a_keras_file_has_its_ending(saved, tmp_path):
    with pytest.raises(DataError, match=r"name it .*age-net\.keras"):
        export.export(networks.load_network(saved), tmp_path / "age-net", "keras")


def test_times_are_per_image(saved, monkeypatch):
    monkeypatch.setattr(export, "FORMATS", {"keras": ".keras"})
    table = export.latency(networks.load_network(saved), batches=(1, 4), repeats=2)
    row = table["keras"]
    assert row["ms, 1 a call"] > 0
    assert row["ms, 4 a call"] > 0
    assert row["megabytes"] > 0.001
    assert row["largest difference"] <= 1e-6


def test_command_writes_and_tells(saved, tmp_path, capsys):
    target = tmp_path / "small.keras"
    assert cli.main(["export", str(saved), "--to", "keras", "--out", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: uint8 RGB (32x32), within 0 of Keras\n"
    loaded = keras.saving.load_model(target)
    assert loaded.input_shape == (None, 32, 32, 3)
    assert loaded.inputs[0].dtype == "uint8"


def test_the_command_mirrors_where_the_record_does_or_as_told(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path / "results"))
    record = tmp_path / "results" / "sample" / "03-lenet" / "1.0-tiny"
    record.mkdir(parents=True)
    (record / "model.keras").write_bytes(saved.read_bytes())
    for tested in ({"flip_at_test": True}, {}):
        (record / "record.json").write_text(json.dumps({"experiment": tested}))
        for option in ([], ["--mirror"], ["--no-mirror"]):
            words = ["export", "03-lenet/1.0-tiny", "--to", "keras", *option]
            assert cli.main([*words, "--out", str(tmp_path / "a.keras")]) == 0
            told = "with its mirror image" in capsys.readouterr().out
            assert told == (bool(tested) if not option else option == ["--mirror"])
    for damage in ("{", "[]", '{"experiment": 3}'):
        (record / "record.json").write_text(damage)
        assert cli.main(["export", "03-lenet/1.0-tiny", "--to", "keras"]) == 2
        said = capsys.readouterr().err
        assert "record.json: " in said and "restore it from git or make it again" in said


def test_what_cannot_be_found_or_loaded_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path))
    record = tmp_path / "utkface" / "03-lenet" / "1.0-tiny"
    record.mkdir(parents=True)
    (record / "record.json").write_text("{}")
    for word, message in (
        ("03-lenet/9.9", "'03-lenet/9.9' is no record"),
        ("03-lenet/1.0-tiny", "model.keras of 1.0-tiny is not here"),
        (str(tmp_path / "no.keras"), "no.keras: there is no such file; give one"),
    ):
        assert cli.main(["export", word, "--to", "keras"]) == 2
        assert message in capsys.readouterr().err
    (record / "model.keras").write_bytes(b"not a network")
    assert networks.find_network("03-lenet/1.0-tiny") == record / "model.keras"
    assert cli.main(["export", "03-lenet/1.0-tiny", "--to", "keras"]) == 2
    said = capsys.readouterr().err
    assert "not a network that can be loaded" in said and "train again" in said


def test_code_inside_a_network_is_refused(tmp_path):
    inputs = keras.Input((4, 4, 3))
    outputs = keras.layers.Lambda(lambda x: x[:, 0, 0], output_shape=(3,))(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "lambda.keras")
    with pytest.raises(DataError, match=r"lambda.keras: not a network that can be loaded"):
        networks.load_network(tmp_path / "lambda.keras")
