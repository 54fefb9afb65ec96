"""Peers: descriptions, preparation and outputs by hand; every format against Keras."""

import dataclasses
import json

import numpy as np
import pytest

from agelib import peer_table, peers
from agelib.files import DataError
from agelib.peer_runners import load_runner
from agelib.peers import Peer

PIXELS = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)


def peer(**changes):
    return Peer(**({"name": "theirs", "file": "theirs.onnx", "size": 4} | changes))


def test_pixels_are_scaled_in_the_peers_own_order_of_channels():
    plain = peers.prepared(peer(), PIXELS)
    assert plain.dtype == np.float32
    assert (plain == PIXELS).all()
    scaled = peers.prepared(peer(color="bgr", mean=[0, 1, 2], std=[1, 2, 4]), PIXELS)
    assert scaled[0, 0, 0].tolist() == [2, 0, -0.5]  # blue 2, (green 1 - 1) / 2, (red 0 - 2) / 4
    assert peers.prepared(peer(dtype="uint8"), PIXELS).dtype == np.uint8
    with pytest.raises(DataError, match="mean and std are for float32"):
        peer(dtype="uint8", mean=9)
    with pytest.raises(DataError, match=r"std is \[1, 0, 1\]"):
        peer(std=[1, 0, 1])
    turned = peers.prepared(peer(layout="nchw"), PIXELS)
    assert turned.shape == (2, 3, 4, 4)
    assert turned[0, :, 0, 0].tolist() == [0, 1, 2]
    assert turned.flags["C_CONTIGUOUS"]


def test_outputs_are_read_as_described():
    years = {"age": np.array([[0.31], [0.5]]), 1: np.array([[0.2, 0.8], [0.9, 0.1]])}
    age, female = peers.read_outputs(peer(age_factor=100, gender=1, female=1), years)
    assert age.tolist() == [31, 50]
    assert female.tolist() == [True, False]
    distribution = {"age": np.array([[0, 100, 100, 0], [0, 0, 0, 201]])}  # in bytes
    age, female = peers.read_outputs(peer(age_as="distribution"), distribution)
    assert age.tolist() == [1.5, 3]
    assert female is None
    male = years | {"gender": np.array([0.9, 0.2])}
    _, female = peers.read_outputs(peer(gender="gender", female=1), male)
    assert female.tolist() == [False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": "years"}, "no output 'years'; it has 'age', 1"),
        ({"age": 1}, "has 2 columns; is age_as 'distribution'"),
        ({"gender": 1, "female": 5}, "female is column 5"),
    ],
)
def test_outputs_that_are_not_as_described_are_named(changes, message):
    outputs = {"age": np.array([31.0]), 1: np.array([[0.2, 0.8]])}
    with pytest.raises(DataError, match=message):
        peers.read_outputs(peer(**changes), outputs)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[-1.5, 3.0], [2.0, 0.5]], "begin at -1.5"),  # before the soft-max
        ([[0.9, 0.1, 0.0], [0.9, 0.9, 0.7]], "sum to 1 to 2.5 a face"),  # older than 0, 1, 2?
        ([[0.0, 0.0], [0.5, 0.5]], "sum to 0 to 1"),
        ([[0.0, 0.0], [0.0, 0.0]], "sum to 0 to 0"),
    ],
)
def test_what_is_no_distribution_is_not_read_as_one(values, message):
    with pytest.raises(DataError, match=f"'theirs': output 'age' is no distribution: .*{message}"):
        peers.read_outputs(peer(age_as="distribution"), {"age": np.array(values)})


def test_an_answer_that_is_no_number_is_named():
    outputs = {"age": np.array([[31.0], [np.nan]])}
    with pytest.raises(DataError, match="'theirs': output 'age' holds values that are no numbers"):
        peers.read_outputs(peer(), outputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color": "cmyk"}, "'theirs': color is 'cmyk'; choose one of rgb, bgr, grey"),
        ({"file": "theirs.pt"}, "theirs.pt is none of .onnx, .tflite, .keras"),
        ({"size": 0}, "size is 0"),
        ({"size": True}, "size is True; give 1 to 1024"),
        ({"size": 64.0}, "size is 64.0"),
        ({"mean": "a"}, "mean is 'a'; give one number, or one for each of the 3 channels"),
        ({"std": [1, 2]}, r"std is \[1, 2\]; give one number"),
        ({"std": [[1, 2, 3]]}, "std is .*give one number"),
        ({"mean": [0, 0, True]}, "mean is .*give one number"),
        ({"mean": float("nan")}, "mean is nan; give one number"),
        ({"std": None}, "std is None; give one number"),
    ],
)
def test_impossible_descriptions_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        peer(**changes)


def test_descriptions_are_found_beside_their_files(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    folder = tmp_path / "peers"
    assert peers.find_peers() == []
    folder.mkdir()
    (folder / "b.json").write_text(json.dumps({"name": "B", "file": "b.onnx", "size": 64}))
    with pytest.raises(DataError, match=r"b\.json: its model file b\.onnx is not beside it"):
        peers.find_peers()
    (folder / "b.onnx").write_bytes(b"")
    (found,) = peers.find_peers()
    assert found == Peer(name="B", file=str(folder / "b.onnx"), size=64)
    for text, message in (
        ('{"name": "B", "file": "b.onnx", "size": 64}', "two peers are called 'B'"),
        ('{"name": "C", "file": "b.onnx", "width": 64}', r"c\.json: no description.*width"),
        ('{"name": "C", "file": "b.pt", "size": 64}', r"c\.json: peer 'C': b\.pt is none of"),
        ("{", r"c\.json: no description"),
    ):
        (folder / "c.json").write_text(text)
        with pytest.raises(DataError, match=message):
            peers.find_peers()


def test_another_set_description_or_file_has_another_key(tmp_path):
    def key(content, folder="here", **how):
        path = tmp_path / folder / "theirs.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return peer_table.key({}, [dataclasses.replace(peer(**how), file=str(path))])

    assert key(b"a") == key(b"a", "elsewhere")  # where the file lies does not matter
    assert len({key(b"a"), key(b"b"), key(b"a", mean=1.0), peer_table.key({}, [])}) == 4


def test_a_peer_that_takes_other_batches_is_named():
    def run(images):
        raise ValueError("Got: 64 Expected: 1\nPlease fix")

    with pytest.raises(DataError, match=r"'theirs': theirs\.onnx does not take .*Expected: 1\)"):
        peer_table._answer(peer(), run, PIXELS)


def test_damaged_files_are_named(tmp_path):
    for suffix in (".onnx", ".tflite", ".keras"):
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(b"nothing")
        with pytest.raises(DataError, match=rf"broken\{suffix}"):
            load_runner(path)


@pytest.fixture(scope="module")
def network():
    from agelib.backend import keras, seed

    seed(0)
    inputs = keras.Input((8, 8, 3))
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    age = keras.layers.Dense(101, "softmax", name="age")(features)
    gender = keras.layers.Dense(1, "sigmoid", name="gender")(features)
    return keras.Model(inputs, {"age": age, "gender": gender})


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".keras"])
def test_every_format_answers_as_keras_does(network, tmp_path, suffix):
    from agelib.backend import name
    from agelib.export import export

    if name() != "tensorflow" and suffix != ".keras":
        pytest.skip("only TensorFlow writes this format")
    path = tmp_path / f"network{suffix}"
    export(network, path, suffix[1:])
    described = peer(file=str(path), size=8, dtype="uint8", age_as="distribution", gender="gender")
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    wanted = network.predict_on_batch(images.astype("float32"))
    run, parameters = load_runner(path)
    for batch in (images, images[:1]):
        age, female = peers.read_outputs(described, run(peers.prepared(described, batch)))
        n = len(batch)
        expected = np.asarray(wanted["age"], float)[:n] @ np.arange(101)
        assert age == pytest.approx(expected, abs=1e-3)
        assert (female == (np.asarray(wanted["gender"])[:n, 0] > 0.5)).all()
    if parameters is not None:
        # An exporter may fold constants and store equal ones once.
        assert parameters == pytest.approx(network.count_params(), rel=0.01)


def test_table_by_hand():
    found = {
        "name": np.array(["worse", "better"]),
        "ages": np.array([20.0, 40.0]),
        "females": np.array([True, False]),
        "0 age": np.array([24.0, 40.0]),
        "0 female": np.array([True, True]),
        "1 age": np.array([21.0, 40.0]),
        "megabytes": np.array([2.0, 1.0]),
        "parameters": np.array([100.0, np.nan]),
        "milliseconds": np.array([[3.0, 64.0], [1.0, 32.0]]),
    }
    table = peer_table.table(found)
    assert table.index.tolist() == ["better", "worse"]
    assert table["mae"].tolist() == [0.5, 2]
    assert table.loc["worse", "gender accuracy"] == 0.5
    assert np.isnan(table.loc["better", "gender accuracy"])
    assert table["ms an image, 64 at a time"].tolist() == [0.5, 1]
    assert table["n"].tolist() == [2, 2]
