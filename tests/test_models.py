"""The networks in agelib are the ones in the projects' tables."""

import numpy as np
import pytest

from agelib.backend import keras
from agelib.experiment import Experiment, Recipe
from agelib.models import build, with_augmentation
from agelib.preprocessing import AUGMENTATIONS, IMAGENET_MEAN_BGR, preprocess


def experiment(architecture, size, color, **changes):
    return Experiment(
        number="1.0", name="x", chapter="03-lenet", architecture=architecture, image_size=size,
        color=color, dataset="utkface", protocol="p1-decades", recipe=Recipe(epochs=1),
        **{"labels": "decades-7", **changes},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "size", "color", "options", "parameters"),
    [
        ("lenet5", 32, "grey", {}, 1_309_739),
        ("lenet5", 32, "grey", {"batch_norm": True}, 1_309_827),
        ("lenet5", 32, "grey", {"l2": 0.001}, 1_309_739),
        ("sithungu", 200, "rgb", {}, 4_244_015),
    ],
)
def test_parameter_counts_are_those_that_p1_printed(architecture, size, color, options, parameters):
    network = build(experiment(architecture, size, color, options=options))
    assert network.count_params() == parameters
    assert network.output_shape == (None, 7)


def test_the_l2_penalty_is_on_the_two_dense_kernels():
    network = build(experiment("lenet5", 32, "grey", options={"l2": 0.001}))
    kernels = [network.get_layer(name).kernel for name in ("dense_120", "dense_84")]
    expected = sum(0.001 * float(keras.ops.sum(keras.ops.square(k))) for k in kernels)
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("preprocessing", ["scale", "caffe", "standardize"])
@pytest.mark.parametrize("labels", ["decades-7", "age"])
def test_a_saved_network_predicts_the_same(tmp_path, preprocessing, labels):
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype="uint8")
    network = build(
        experiment("lenet5", 20, "rgb", preprocessing=preprocessing, labels=labels), images=images
    )
    network.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(network.predict(images, verbose=0), again.predict(images, verbose=0))


def preprocessed(name, pixels):
    inputs = keras.Input(pixels.shape[1:])
    network = keras.Model(inputs, preprocess(inputs, name, images=pixels))
    return np.asarray(network(pixels))


def test_preprocessing_does_what_its_name_says():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype="uint8")
    np.testing.assert_allclose(preprocessed("scale", pixels), pixels / 255, atol=1e-6)
    caffe = pixels[..., ::-1].astype("float32") - IMAGENET_MEAN_BGR
    np.testing.assert_allclose(preprocessed("caffe", pixels), caffe, atol=1e-3)
    standard = preprocessed("standardize", pixels)
    np.testing.assert_allclose(standard.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std((0, 1, 2)), 1, atol=1e-3)


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_augmentation_acts_only_in_training_and_keeps_the_pixel_range(name):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype("float32")
    inputs = keras.Input((16, 16, 3))
    bare = keras.Model(inputs, keras.layers.Identity()(inputs))
    network = with_augmentation(bare, (name,))
    np.testing.assert_array_equal(network.predict(pixels, verbose=0), pixels)
    changed = np.asarray(network(pixels, training=True))
    assert not np.array_equal(changed, pixels)
    assert changed.min() >= 0 and changed.max() <= 255


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "lenet6"}, "lenet6.*lenet5"),
        ({"preprocessing": "magic"}, "magic.*choose"),
        ({"preprocessing": "caffe"}, "color='rgb'"),
        ({"recipe": Recipe(epochs=1, augmentation=("melt",))}, "melt.*choose"),
    ],
)
def test_unknown_names_are_refused_with_the_choices(change, message):
    fields = {**vars(experiment("lenet5", 32, "grey")), **change}
    bad = Experiment(**fields)
    with pytest.raises(ValueError, match=message):
        with_augmentation(build(bad), bad.recipe.augmentation)
