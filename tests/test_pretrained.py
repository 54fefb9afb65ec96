"""Backbones: the projects' counts, what is frozen, and where weights come from."""

import sys
import time
import urllib.error

import numpy as np
import pytest

from agelib.backend import keras, precision
from agelib.experiment import Experiment, Recipe
from agelib.files import DataError
from agelib.frozen import cacheable
from agelib.models import build, pretrained
from agelib.models.batch_statistics import BatchStatistics
from agelib.models.coursework_b import coursework_b
from agelib.models.inception import INCEPTION_V3, inception_v3
from agelib.models.pretrained import Backbone, set_trainable, trunk
from agelib.models.resnet import RESNET50, RESNET50_V2, resnet50, resnet50_v2
from agelib.models.vgg import VGG16, VGG19, vgg16, vgg19

layers = keras.layers


# The networks of the projects


def with_head(builder, size, classes, **options):
    images = keras.Input((size, size, 3))
    features = builder(images, **options)
    heads = features.values() if isinstance(features, dict) else [features]
    return keras.Model(images, [layers.Dense(classes)(f) for f in heads])


def trained(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.parametrize(
    ("builder", "size", "classes", "options", "parameters", "trainable"),
    [
        (vgg16, 200, 7, {"frozen_dense": 1}, 24_418_631, 266_247),  # P1 3.0
        (vgg19, 224, 7, {"frozen_dense": 1}, 33_136_199, 266_247),  # P1 3.1
        (inception_v3, 256, 14, {}, 21_831_470, None),  # P2
        (inception_v3, 256, 14, {"trainable": "none", "dense": [512]}, 22_859_054, 1_056_270),
        (resnet50, 224, 7, {"trainable": "none"}, 23_602_055, 14_343),  # P1 R1.0
        (resnet50, 224, 7, {"trainable": "none", "batch_statistics": True}, 23_602_055, 14_343),
        (resnet50, 224, 7, {}, 23_602_055, 23_548_935),  # P1 R2.0, R3.0
        (resnet50, 224, 7, {"trainable": "none", "dense": [512, 512]}, 24_903_047, 1_315_335),
        (resnet50_v2, 256, 14, {"dense": [512]}, 24_621_070, None),  # P2
        (coursework_b, 128, 1, {}, 19_435_330, 4_720_642),  # P5
    ],
)
def test_counts_are_those_of_the_projects(builder, size, classes, options, parameters, trainable):
    network = with_head(builder, size, classes, **options)
    assert network.count_params() == parameters
    assert trainable is None or trained(network) == trainable
    assert network.get_layer("trunk").count_params() > 14e6


def test_the_original_top_of_vgg19_has_171_million_at_256_pixels():
    # Built at 64 pixels: only the first dense layer depends on the size, as (size / 32) squared.
    network = with_head(vgg19, 64, 14, trainable="all", dense=[4096, 4096])
    assert trained(network) == network.count_params()
    per_position = 512 * 4096
    assert network.count_params() + (8 * 8 - 2 * 2) * per_position == 171_084_878


def test_the_branches_of_model_b_are_separate_and_penalised():
    network = with_head(coursework_b, 32, 1)
    kernels = [network.get_layer(f"{task}_dense_256").kernel for task in ("age", "gender")]
    expected = sum(1e-4 * float(keras.ops.sum(keras.ops.square(k))) for k in kernels)
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-5)
    assert [network.get_layer(f"{t}_dropout").rate for t in ("age", "gender")] == [0.5, 0.5]


def test_a_frozen_dense_layer_stays_at_its_random_start():
    keras.utils.set_random_seed(0)  # from some starts no unit fires and nothing is learnt
    network = with_head(vgg16, 32, 2, dense=[16, 16], frozen_dense=1)
    dense = [network.get_layer(name) for name in ("dense_1_16", "dense_2_16")]
    before = [layer.get_weights()[0] for layer in dense]
    fit(network)
    after = [layer.get_weights()[0] for layer in dense]
    assert np.array_equal(before[0], after[0]) and not np.array_equal(before[1], after[1])


@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        (inception_v3, {}, "32x32.*InceptionV3.*75"),
        (vgg16, {"frozen_dense": 3}, "3 frozen dense layers of 2"),
        (coursework_b, {"backbone": "vgg61"}, "vgg61.*vgg16"),
        (vgg16, {"trainable": "some"}, "'some'.*'all', 'none'.*1 to 19"),
        (vgg16, {"trainable": 0}, "0;.*1 to 19"),
        (vgg16, {"trainable": True}, "True;.*1 to 19"),
        (vgg16, {"trainable": 20}, "20;.*1 to 19"),
        (vgg16, {"trainable": 1}, "last 1 layers hold no weights"),  # a pooling
        (resnet50, {"batch_statistics": True}, "batch_statistics.*leave it out"),
    ],
)
def test_bad_options_are_refused_with_the_choices(builder, options, message):
    with pytest.raises(ValueError, match=message):
        builder(keras.Input((32, 32, 3)), **options)


# Freezing, on a backbone of two convolutions


def tiny_network(include_top, weights, input_shape, name):
    inputs = x = keras.Input(input_shape)
    for number in (1, 2):
        x = layers.Conv2D(4, 3, name=f"conv_{number}")(x)
        x = layers.BatchNormalization(name=f"norm_{number}", momentum=0.5)(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
    return keras.Model(inputs, x, name=name)


TINY = Backbone("Tiny", tiny_network, "https://example.invalid/tiny.weights.h5", "?", smallest=8)
IMAGES = np.random.default_rng(0).normal(3, 2, (16, 8, 8, 3)).astype("float32")


def tiny(*, shape=(8, 8, 3), weights=None, trainable="none", **options):
    images = keras.Input(shape)
    maps = trunk(TINY, images, weights=weights, trainable=trainable, **options)
    return keras.Model(images, layers.Dense(2)(layers.Flatten()(maps)))


def fit(network):
    shape = network.input_shape[1:]
    images = IMAGES if shape == IMAGES.shape[1:] else np.ones((2, *shape), "float32")
    network.compile("sgd", "mse")
    network.fit(images, np.ones((len(images), 2)), batch_size=8, epochs=2, verbose=0)


def changed_by_training(network):
    """Return names of the trunk's weights that an epoch changes, as layer/weight."""
    weights = network.get_layer("trunk").weights
    before = [keras.ops.convert_to_numpy(w) for w in weights]
    fit(network)
    return {
        "/".join(w.path.split("/")[-2:])
        for w, b in zip(weights, before, strict=True)
        if not np.array_equal(b, keras.ops.convert_to_numpy(w))
    }


def outputs(network, training):
    return np.asarray(network.get_layer("trunk")(IMAGES, training=training))


def test_a_frozen_trunk_changes_in_nothing():
    network = tiny(trainable="none")
    assert changed_by_training(network) == set()
    np.testing.assert_array_equal(outputs(network, True), outputs(network, False))
    assert not network.get_layer("trunk").trainable


def test_of_a_partly_frozen_trunk_only_the_last_layers_train_and_no_batch_norm():
    network = tiny(trainable=3)
    assert changed_by_training(network) == {"conv_2/kernel", "conv_2/bias"}
    np.testing.assert_array_equal(outputs(network, True), outputs(network, False))


def test_a_trunk_that_is_all_trained_adapts_its_statistics():
    changed = changed_by_training(tiny(trainable="all"))
    assert {"conv_1/kernel", "norm_1/gamma", "norm_2/beta", "norm_1/moving_mean"} <= changed


def test_batch_statistics_normalise_by_the_batch_in_training_only_and_change_nothing():
    network = tiny(trainable="none", batch_statistics=True)
    body = network.get_layer("trunk")
    values = np.random.default_rng(1).uniform(0.5, 2, (4, 4)).astype("float32")
    body.get_layer("norm_1").set_weights(values)
    gamma, beta, mean, variance = values
    x = np.asarray(body.get_layer("conv_1")(IMAGES))
    norm = body.get_layer("norm_1")
    by_batch = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3) * gamma + beta
    np.testing.assert_allclose(np.asarray(norm(x, training=True)), by_batch, atol=1e-4)
    stored = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(np.asarray(norm(x, training=False)), stored, atol=1e-4)

    assert changed_by_training(network) == set()
    assert not np.allclose(outputs(network, True), outputs(network, False))
    # Its outputs must not be kept from one epoch to the next.
    assert body.trainable and not body.trainable_variables


def test_batch_statistics_leave_inference_as_it_is():
    keras.utils.set_random_seed(0)
    plain = tiny()
    slip = tiny(batch_statistics=True)
    slip.set_weights(plain.get_weights())
    np.testing.assert_array_equal(outputs(plain, False), outputs(slip, False))


@pytest.mark.parametrize("options", [
    {"trainable": "none"}, {"trainable": 3}, {"trainable": "none", "batch_statistics": True},
])  # fmt: skip
def test_what_is_frozen_stays_frozen_in_a_saved_network(tmp_path, options):
    network = tiny(**options)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert trained(again) == trained(network)
    assert again.get_layer("trunk").trainable == network.get_layer("trunk").trainable
    np.testing.assert_array_equal(outputs(network, True), outputs(again, True))
    assert changed_by_training(again) == changed_by_training(network)


@pytest.mark.parametrize(
    "options",
    [
        {"trainable": "none"},
        {"trainable": 3},
        {"trainable": "none", "batch_statistics": True},
        {"trainable": 3, "batch_statistics": True},
    ],
)
def test_a_trunk_is_thawed_with_the_weights_it_has_and_frozen_again(options):
    network = tiny(**options)
    body = network.get_layer("trunk")
    before = network.get_weights()
    set_trainable(body, "all")
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert {"conv_1/kernel", "norm_1/gamma", "norm_1/moving_mean"} <= changed_by_training(network)
    set_trainable(body, options["trainable"])
    assert all(name.startswith("conv_2") for name in changed_by_training(network))


def test_batch_statistics_work_in_half_precision():
    with precision("mixed_bfloat16"):
        network = tiny(batch_statistics=True)
    maps = network.get_layer("trunk")(IMAGES, training=True)
    assert keras.backend.standardize_dtype(maps.dtype) == "bfloat16"
    assert isinstance(network.get_layer("trunk").get_layer("norm_1"), BatchStatistics)


# Weights: local files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AGELIB_DATASETS", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.mark.parametrize("name", ["mine.weights.h5", "mine.h5", "mine.keras"])
def test_weights_come_from_a_file_by_relative_or_absolute_path(folder, name):
    network = tiny_network(False, None, (8, 8, 3), "trunk")
    save = network.save_weights if ".weights." in name else network.save
    save(folder / name)
    for path in (name, str(folder / name)):
        loaded = tiny(weights=path).get_layer("trunk")
        for a, b in zip(network.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_files_that_do_not_fit_are_refused_by_name(folder):
    network = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(5, 3)])
    network.save_weights(folder / "other.weights.h5")
    network.save(folder / "other.keras")
    whole = (folder / "other.weights.h5").read_bytes()
    (folder / "cut.weights.h5").write_bytes(whole[: len(whole) // 2])
    for name in ("junk.h5", "junk.keras", "junk.pth"):
        (folder / name).write_bytes(b"junk" * 100)
    for path in sorted(folder.iterdir()):
        with pytest.raises(DataError, match=path.name):
            tiny(weights=path.name)
    with pytest.raises(DataError, match="missing.h5.*'imagenet'.*Tiny"):
        tiny(weights="missing.h5")


def test_weights_for_colour_are_refused_for_grey_images():
    with pytest.raises(ValueError, match="Tiny.*colour.*1 channel.*color='rgb'"):
        tiny(weights="imagenet", shape=(8, 8, 1))


# Weights: ImageNet's


@pytest.mark.parametrize("backbone", [VGG16, VGG19, INCEPTION_V3, RESNET50, RESNET50_V2])
def test_addresses_and_sums_are_those_that_keras_downloads(monkeypatch, backbone):
    class Stop(Exception):
        pass

    def note(name, origin, *, file_hash, **_):
        assert (name, origin, file_hash) == (
            backbone.url.rpartition("/")[2], backbone.url, backbone.md5,
        )  # fmt: skip
        raise Stop

    monkeypatch.setattr(sys.modules[keras.utils.get_file.__module__], "get_file", note)
    with pytest.raises(Stop):
        backbone.builder(include_top=False, weights="imagenet", input_shape=(75, 75, 3))


def test_without_network_imagenet_fails_at_once_and_says_what_to_do(folder, monkeypatch):
    def no_network(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: pytest.fail("downloads"))
    start = time.perf_counter()
    with pytest.raises(DataError, match="Tiny.*Download https://example.invalid/tiny") as raised:
        tiny(weights="imagenet")
    assert time.perf_counter() - start < 2
    assert str(folder) in str(raised.value) and "weights='FILE'" in str(raised.value)


def test_a_silent_server_counts_as_no_network(folder, monkeypatch):
    def silent(*_, **__):
        time.sleep(3)
        raise urllib.error.URLError("timed out")

    monkeypatch.setattr("urllib.request.urlopen", silent)
    monkeypatch.setattr(pretrained, "_PATIENCE", 0.1)
    start = time.perf_counter()
    with pytest.raises(DataError, match="does not answer"):
        tiny(weights="imagenet")
    assert time.perf_counter() - start < 2


def test_a_download_that_breaks_off_says_what_to_do(folder, monkeypatch):
    def broken(*_, **__):
        raise ValueError("file hash does not match")

    monkeypatch.setattr(pretrained, "_answers", lambda url: True)
    monkeypatch.setattr(keras.utils, "get_file", broken)
    with pytest.raises(DataError, match="does not match.*by hand"):
        tiny(weights="imagenet")


def test_a_file_placed_by_hand_needs_no_network_and_is_checked(folder, monkeypatch):
    import hashlib

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("network"))
    network = tiny_network(False, None, (8, 8, 3), "trunk")
    placed = folder / "tiny.weights.h5"
    network.save_weights(placed)
    with pytest.raises(DataError, match=r"tiny.weights.h5 is damaged, or not .*download https"):
        tiny(weights="imagenet")
    known = Backbone(
        "Tiny", tiny_network, TINY.url, hashlib.md5(placed.read_bytes()).hexdigest(), smallest=8
    )
    monkeypatch.setitem(globals(), "TINY", known)
    loaded = tiny(weights="imagenet").get_layer("trunk")
    np.testing.assert_array_equal(loaded.get_weights()[0], network.get_weights()[0])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"trainable": "none"}, True),
        ({"trainable": "none", "batch_statistics": True}, False),
        ({"trainable": 6}, False),
        ({"trainable": "all"}, False),
    ],
)
def test_only_a_trunk_that_never_changes_its_outputs_runs_once(options, expected, monkeypatch):
    experiment = Experiment(
        number="1.0", name="x", chapter="99-test", architecture="resnet50", options=options,
        labels="decades-7", dataset="sample", protocol="p1-decades", image_size=32,
        recipe=Recipe(epochs=1),
    )  # fmt: skip
    network = build(experiment)
    assert cacheable(network, experiment, 10) is expected
    each = 4 * np.prod(network.get_layer("trunk").output.shape[1:])
    for spare, fits in ((1, expected), (-1, False)):
        monkeypatch.setenv("AGELIB_MEMORY", f"{(10 * each + spare) / 1e9:.9f}")
        assert cacheable(network, experiment, 10) is fits
