"""Every architecture saves and reloads as ``.keras`` with equal predictions, for both tasks."""

import numpy as np
import pytest

from agelib import models
from agelib.backend import keras
from agelib.experiment import Experiment, Recipe

SIZES = {
    "constant": (8, {}),
    "softmax_regression": (8, {}),
    "dnn": (8, {}),
    "simple_cnn": (64, {}),
    "rnn": (16, {}),
    "lenet5": (16, {}),
    "sithungu": (20, {}),
    "alexnet": (215, {}),
    "four_c_two_f": (35, {}),
    "four_c_two_f_modified": (99, {}),
    "vgg16": (32, {"dense": [8], "frozen_dense": 1}),
    "vgg19": (32, {"dense": [8]}),
    "inception_v3": (75, {}),
    "resnet50": (32, {"trainable": "none", "batch_statistics": True}),
    "resnet50_v2": (32, {}),
    "efficientnet_lite0": (32, {"dense": [8]}),
    "al_resnet": (32, {"trunk": "residual", "trainable": "all"}),
    "topology": (80, {"batch_norm": "all", "dropout": "both", "max_norm": "all"}),
    "wide_resnet": (16, {"width": 1}),
    "coursework_a": (68, {}),
    "coursework_b": (32, {"backbone": "efficientnet_lite0"}),
    "residual": (32, {}),
    "convnext": (32, {}),
    "inverted": (32, {}),
}


def test_no_architecture_is_left_out():
    assert set(SIZES) == set(models.ARCHITECTURES)


@pytest.mark.parametrize("architecture", SIZES)
def test_a_saved_network_predicts_the_same(architecture, tmp_path):
    size, options = SIZES[architecture]
    # AL-ResNet's fused output is one of the age alone.
    both = architecture != "al_resnet"
    experiment = Experiment(
        number="1.0", name="x", chapter="99-test", architecture=architecture, options=options,
        labels="per-year-101" if both else "groups-5", head="distribution" if both else "",
        gender=float(both), dataset="sample", protocol="sample-5fold", image_size=size,
        recipe=Recipe(epochs=1),
    )  # fmt: skip
    keras.utils.set_random_seed(0)
    network = models.build(experiment)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype("float32")
    outputs = [n(pixels, training=False) for n in (network, again)]
    first, second = ([np.asarray(x) for x in keras.tree.flatten(o)] for o in outputs)
    assert [x.shape for x in first] == ([(2, 101), (2, 1)] if both else [(2, 5)])
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
