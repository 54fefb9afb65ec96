"""AL-ResNet: counts of the project, the crop against TensorFlow's own, the fused output."""

import numpy as np
import pytest

from agelib import backend
from agelib.backend import keras
from agelib.boxes import predicted_boxes
from agelib.experiment import Experiment, Recipe
from agelib.files import DataError
from agelib.gradients import gradient
from agelib.heads import make_head
from agelib.labels import get_scheme
from agelib.models import build
from agelib.models.al_resnet import al_resnet
from agelib.models.crop import CropAndResize
from agelib.training import take_over


def network(size=64, labels="five-year-14", **options):
    inputs = keras.Input((size, size, 3), name="pixels")
    features = al_resnet(inputs, **options)
    return keras.Model(inputs, make_head("", get_scheme(labels), {}).output(features))


def small(**options):
    return network(trunk="residual", widths=(4, 8), **options)


def trained(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def maps_and_boxes(n=20, height=5, width=7):
    random = np.random.default_rng(0)
    maps = random.normal(size=(n, height, width, 3)).astype("float32")
    return maps, random.random((n, 4)).astype("float32")


# The crop


@pytest.mark.skipif(backend.name() != "tensorflow", reason="compares with TensorFlow's operation")
@pytest.mark.parametrize("size", [1, 2, 8])
def test_crops_are_those_of_tensorflow(size):
    import tensorflow as tf

    maps, boxes = maps_and_boxes()
    boxes[:2] = [[0, 0, 1, 1], [1, 1, 0, 0]]
    assert (boxes[:, 0] > boxes[:, 2]).any() and (boxes[:, 1] > boxes[:, 3]).any()
    ours = CropAndResize(size)([maps, boxes])
    theirs = tf.image.crop_and_resize(maps, boxes, np.arange(len(boxes)), (size, size))
    np.testing.assert_allclose(np.asarray(ours), theirs, atol=1e-5)


def test_the_whole_box_at_the_size_of_the_maps_gives_the_maps():
    maps, _ = maps_and_boxes(2, 4, 4)
    whole = np.array([[0, 0, 1, 1], [1, 0, 0, 1]], dtype="float32")
    crops = np.asarray(CropAndResize(4)([maps, whole]))
    np.testing.assert_allclose(crops[0], maps[0], atol=1e-5)
    np.testing.assert_allclose(crops[1], maps[1, ::-1], atol=1e-5)


def test_gradients_reach_boxes_and_maps():
    # On a ramp y + 2x the mean of a crop is the ramp's value in the middle of the box.
    y, x = np.mgrid[:5, :7].astype("float32")
    ramp = (y + 2 * x)[None, :, :, None]
    crop = CropAndResize(8)
    box = np.array([[0.2, 0.9, 0.7, 0.3]], dtype="float32")
    slope = gradient(lambda b: keras.ops.mean(crop([ramp, b])), box)
    np.testing.assert_allclose(slope, [[4 / 2, 2 * 6 / 2, 4 / 2, 2 * 6 / 2]], rtol=1e-4)
    shares = gradient(lambda m: keras.ops.sum(crop([m, box])), ramp)
    assert shares.sum() == pytest.approx(64, rel=1e-5)


def test_a_crop_layer_is_saved_and_loaded(tmp_path):
    inputs = [keras.Input((5, 7, 3)), keras.Input((4,))]
    model = keras.Model(inputs, CropAndResize(3)(inputs))
    assert model.output_shape == (None, 3, 3, 3)
    model.save(tmp_path / "crop.keras")
    again = keras.saving.load_model(tmp_path / "crop.keras")
    given = list(maps_and_boxes())
    np.testing.assert_array_equal(again.predict(given, verbose=0), model.predict(given, verbose=0))


def test_a_crop_without_rows_is_refused():
    with pytest.raises(ValueError, match="size is 0"):
        CropAndResize(0)


# The network


@pytest.mark.parametrize(
    ("branches", "labels", "parameters"),
    [
        ("local", "five-year-14", 1_144_585),
        ("both", "five-year-14", 2_172_183),
        ("both", "uneven-8", 2_169_099),
    ],
)
def test_trained_parameters_are_those_that_p2_printed(branches, labels, parameters):
    model = network(256, labels, branches=branches)
    assert trained(model) == parameters
    trunk = model.get_layer("trunk")
    assert trunk.output_shape == (None, 8, 8, 2048) and not trunk.trainable_weights


@pytest.fixture(scope="module")
def fused():
    keras.utils.set_random_seed(0)
    return network()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((3, 64, 64, 3)).astype("float32")


def test_the_output_is_the_mean_of_two_softmaxes_with_weights_1_and_a_half(fused, images):
    parts = [fused.get_layer(f"probabilities_{k}").output for k in range(2)]
    whole, local = keras.Model(fused.input, parts).predict(images, verbose=0)
    assert not np.allclose(whole, local)
    together = fused.predict(images, verbose=0)
    np.testing.assert_allclose(together, (whole + 0.5 * local) / 1.5, atol=1e-6)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)


def test_a_box_of_four_shares_is_read_out_of_maps_of_2x2(fused, images):
    assert fused.get_layer("trunk").output_shape == (None, 2, 2, 2048)
    assert fused.get_layer("crop").output.shape == (None, 8, 8, 2048)
    box = keras.Model(fused.input, fused.get_layer("box").output).predict(images, verbose=0)
    assert box.shape == (3, 4) and (box > 0).all() and (box < 1).all()
    found = predicted_boxes(fused, images)
    np.testing.assert_allclose(found[:, 0], box[:, [0, 2]].min(1), atol=1e-6)
    np.testing.assert_allclose(found[:, 3], box[:, [1, 3]].max(1), atol=1e-6)


@pytest.mark.parametrize(
    ("trunk", "maps"), [("efficientnet_lite0", (2, 2, 1280)), ("residual", (4, 4, 256))]
)
def test_other_trunks_stand_in_the_same_place(trunk, maps):
    model = network(trunk=trunk)
    assert model.get_layer("trunk").output_shape[1:] == maps
    assert model.get_layer("local_mean").output.shape == (None, maps[-1])
    assert not model.get_layer("trunk").trainable_weights
    assert network(trunk=trunk, trainable="all").get_layer("trunk").trainable_weights


def test_the_branches_have_the_parts_that_they_need():
    names = {b: {x.name for x in small(branches=b).layers} for b in ("global", "local", "both")}
    assert {"global_dense_256", "probabilities"} < names["global"]
    assert not {"box", "crop"} & names["global"]
    # In P2's first stage the soft-max stands on the crop's mean itself.
    assert {"box", "crop", "probabilities"} < names["local"]
    assert not {"local_dense_256", "global_dense_256"} & names["local"]
    assert names["both"] >= names["local"] - {"probabilities"} | {"global_dense_256"}


@pytest.mark.parametrize(
    "change",
    [{"gender": 1.0}, {"race": 0.2}, {"labels": "age"}, {"head": "coral"}, {"head": "corn"}],
)
def test_two_branches_give_a_soft_max_over_the_age_alone(change):
    experiment = Experiment(
        number="1.0", name="x", chapter="99-test", architecture="al_resnet", image_size=32,
        options={"trunk": "residual", "widths": (4,)}, dataset="sample", protocol="sample-5fold",
        recipe=Recipe(epochs=1), **{"labels": "per-year-101", **change},
    )  # fmt: skip
    with pytest.raises(ValueError, match="branches='both' goes with a soft-max over the age alone"):
        build(experiment)


def test_without_the_lstm_a_dense_layer_gives_the_box():
    with_lstm, without = small(), small(lstm=False)
    assert without.get_layer("box").output.shape == (None, 4)
    # LSTM: 4 gates of 128 units on 1 + 128 inputs and a bias; convolution: 250 + 1.
    lstm, conv, dense = 4 * 128 * (1 + 128 + 1), 251, 512 * 4 + 4
    assert trained(with_lstm) - trained(without) == lstm + conv - dense


@pytest.mark.parametrize("lstm", [True, False])
def test_training_moves_the_box_and_not_the_trunk(images, lstm):
    keras.utils.set_random_seed(0)
    model = small(branches="local", lstm=lstm)
    box = [x for x in model.layers if x.name.startswith("box") and x.weights]
    before = {x.name: x.get_weights() for x in [*box, model.get_layer("trunk")]}
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=backend.jit_compile())
    model.train_on_batch(images, np.array([0, 5, 13]))
    same = {
        name: all(map(np.array_equal, old, model.get_layer(name).get_weights()))
        for name, old in before.items()
    }
    assert same.pop("trunk") and len(same) == (3 if lstm else 2) and not any(same.values())


def test_the_second_stage_takes_over_the_trunk_and_the_box_of_the_first():
    first, second = small(branches="local"), small()
    filled = take_over(second, first)
    assert filled == ["trunk", "box_dense_512", "box_lstm_128", "box_conv_250"]


def test_a_saved_network_predicts_the_same(tmp_path, images):
    model = small()
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        again.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        predicted_boxes(again, images), predicted_boxes(model, images), rtol=1e-5
    )


def test_boxes_stay_exact_in_mixed_precision(images):
    with backend.precision("mixed_bfloat16"):
        model = small()
    crop = model.get_layer("crop")
    assert [x.dtype for x in crop.input] == ["bfloat16", "float32"]
    assert crop.output.dtype == "bfloat16"
    assert np.isfinite(model.predict(images, verbose=0)).all()


def test_maps_of_a_single_cell_are_cropped_too():
    model = network(32)
    assert model.get_layer("trunk").output_shape == (None, 1, 1, 2048)
    parts = [model.get_layer(name).output for name in ("global_mean", "local_mean")]
    whole, local = keras.Model(model.input, parts)(np.ones((1, 32, 32, 3), "float32"))
    np.testing.assert_allclose(np.asarray(local), np.asarray(whole), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trunk": "vgg"}, ValueError, "'vgg'.*resnet50_v2, efficientnet_lite0, residual"),
        ({"branches": "left"}, ValueError, "'left'.*'both', 'local' or 'global'"),
        ({"trainable": "some"}, ValueError, "'some'"),
        ({"widths": (4, 8)}, ValueError, "'resnet50_v2' has no options; leave out widths"),
        ({"trunk": "residual", "weights": "imagenet"}, DataError, "no ImageNet weights"),
    ],
)
def test_bad_options_are_refused_with_the_choices(options, error, message):
    with pytest.raises(error, match=message):
        network(**options)
