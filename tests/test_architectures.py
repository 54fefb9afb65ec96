"""The networks trained from scratch are those of the source projects, weight for weight."""

import itertools

import numpy as np
import pytest

from agelib.backend import keras
from agelib.models import (
    alexnet,
    baselines,
    convnext,
    coursework,
    inverted,
    lenet,
    levi_hassner,
    residual,
    topologies,
    topology_grid,
    wide_resnet,
)
from agelib.models.sizes import smallest_size


def network(builder, size, *, classes=None, channels=3, **options):
    """Return the builder's features, or class probabilities behind them, as a model."""
    inputs = keras.Input((size, size, channels))
    outputs = builder(inputs, **options)
    if classes:
        outputs = keras.layers.Dense(classes, activation="softmax", name="head")(outputs)
    return keras.Model(inputs, outputs)


# Printed by the projects, or worked out by hand: 256 * 256 * 3 values into 256 units, and those
# into 14, are the 50.3 M of the DNN.
@pytest.mark.parametrize(
    ("builder", "size", "classes", "options", "features", "parameters"),
    [
        (baselines.softmax_regression, 256, 14, {}, 196_608, 2_752_526),
        (baselines.dnn, 256, 14, {}, 256, 50_335_502),
        (baselines.simple_cnn, 256, 14, {}, 512, 6_439_630),
        (lenet.lenet5, 32, 14, {"pool_stride": 2}, 84, 81_642),
        (alexnet.alexnet, 224, 14, {}, 1000, 28_051_494),
        (levi_hassner.four_c_two_f, 227, 14, {}, 512, 7_913_230),
        (levi_hassner.four_c_two_f_modified, 227, 14, {}, 128, 899_726),
        (topologies.topology, 256, 5, {"family": "I"}, 128, 11_072_581),
        (topologies.topology, 256, 5, {"family": "II"}, 128, 1_281_621),
        (topologies.topology, 256, 5, {"family": "III"}, 128, 7_414_005),
        (topologies.topology, 256, 5, {}, 128, 658_773),
        (topologies.topology, 256, 5, {"family": "V"}, 256, 2_138_901),
        (topologies.topology, 256, 5, {"family": "VI"}, 256, 1_206_693),
    ],
)
def test_parameter_counts_are_those_of_the_projects(
    builder, size, classes, options, features, parameters
):
    built = network(builder, size, classes=classes, **options)
    assert built.count_params() == parameters
    assert built.get_layer("head").kernel.shape == (features, classes)


def test_model_a_of_the_coursework_has_two_branches_and_its_2_295_026_weights():
    inputs = keras.Input((128, 128, 3))
    features = coursework.coursework_a(inputs)
    assert {name: branch.shape[1] for name, branch in features.items()} == {
        "age": 32,
        "gender": 128,
    }
    heads = {name: keras.layers.Dense(1, name=name)(branch) for name, branch in features.items()}
    built = keras.Model(inputs, heads)
    assert built.count_params() == 2_295_026
    # The rule of the coursework: below 10x10 where the first dense layer looks.
    assert built.get_layer("age_flatten").input.shape[1:] == (7, 7, 128)
    assert built.get_layer("gender_flatten").input.shape[1:] == (4, 4, 64)


@pytest.mark.parametrize(
    ("pooling", "features", "with_heads"),
    [("as-coded", 131_072, 24_463_856), ("global", 512, 11_016_176)],
)
def test_wrn_16_8_is_that_of_p4(pooling, features, with_heads):
    built = network(wide_resnet.wide_resnet, 64, pooling=pooling)
    counts = {keras.layers.Conv2D: 0, keras.layers.BatchNormalization: 0}
    for layer in built.layers:
        if type(layer) in counts:
            counts[type(layer)] += layer.count_params()
    assert list(counts.values()) == [10_949_040, 14_400]
    assert built.output_shape == (None, features)
    assert built.count_params() + features * (2 + 101) == with_heads


def test_wrn_penalises_each_kernel():
    built = network(wide_resnet.wide_resnet, 8, depth=10, width=1)
    kernels = [layer.kernel for layer in built.layers if isinstance(layer, keras.layers.Conv2D)]
    expected = sum(5e-4 * float(keras.ops.sum(keras.ops.square(kernel))) for kernel in kernels)
    assert float(sum(built.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("size", "stem_stride"), [(64, 2), (128, 4)])
def test_our_residual_network_is_small_and_has_no_bias_before_a_normalisation(size, stem_stride):
    built = network(residual.residual, size, stem_stride=stem_stride)
    assert built.output_shape == (None, 256)
    assert 1.1e6 < built.count_params() < 1.3e6
    convolutions = [layer for layer in built.layers if isinstance(layer, keras.layers.Conv2D)]
    assert not any(layer.use_bias for layer in convolutions)
    assert built.get_layer("pool").input.shape[1:3] == (4, 4)


@pytest.mark.parametrize(
    ("builder", "options", "weights"),
    [
        (residual.residual, {"blocks": 2}, 2_799_840),
        (residual.residual, {"widths": (64, 128, 256, 512)}, 4_903_872),
        (inverted.inverted, {}, 588_544),
        (convnext.convnext, {"stem_stride": 2}, 3_371_240),
    ],
)
def test_networks_of_the_best_model_have_width_and_depth(builder, options, weights):
    built = network(builder, 64, **options)
    assert built.count_params() == weights
    assert built.output_shape == (None, built.get_layer("pool").input.shape[-1])


def test_the_weights_of_a_convnext_by_hand():
    built = network(convnext.convnext, 64, stem_stride=2)
    widths, repeats = (40, 80, 160, 320), (2, 2, 6, 2)
    # Depthwise 7x7 and bias, norm, to four times the width and back, each with a bias.
    blocks = [(49 * w + w) + 2 * w + (4 * w * w + 4 * w) + (4 * w * w + w) for w in widths]
    downs = [2 * a + (4 * a * b + b) for a, b in itertools.pairwise(widths)]
    stem, last = (2 * 2 * 3 * 40 + 40) + 2 * 40, 2 * 320
    assert built.count_params() == stem + np.dot(blocks, repeats) + sum(downs) + last
    assert built.get_layer("pool").input.shape[1:3] == (4, 4)


def test_the_constant_baseline_learns_the_class_frequencies_and_nothing_else():
    images = np.random.default_rng(0).random((32, 6, 6, 3)).astype("float32")
    labels = np.repeat([0, 1, 2], [16, 8, 8])
    built = network(baselines.constant, 6, classes=3)
    kernel = np.asarray(built.get_layer("head").kernel)
    built.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    built.fit(images, labels, batch_size=32, epochs=60, verbose=0)
    np.testing.assert_allclose(built(images), np.tile([0.5, 0.25, 0.25], (32, 1)), atol=1e-3)
    np.testing.assert_array_equal(built.get_layer("head").kernel, kernel)


def test_the_recurrent_network_takes_one_row_of_pixels_a_time_step():
    inputs = keras.Input((9, 5, 3))
    built = keras.Model(inputs, baselines.rnn(inputs))
    lstm = built.get_layer("lstm")
    assert lstm.input.shape == (None, 9, 5 * 3)
    assert lstm.count_params() == 4 * 128 * (5 * 3 + 128 + 1)
    image = np.arange(9 * 5 * 3, dtype="float32").reshape(1, 9, 5, 3)
    rows = keras.Model(inputs, lstm.input)(image)
    np.testing.assert_array_equal(np.asarray(rows)[0, 4], image[0, 4].ravel())


def layer_kinds(built):
    return [type(layer).__name__ for layer in built.layers]


def test_p3_normalises_before_the_activation_and_its_slip_only_loses_the_biases():
    units = 16 + 16 + 32 + 32 + 64 + 256 + 128
    plain = network(topologies.topology, 256, classes=5)
    normalised = network(topologies.topology, 256, classes=5, batch_norm="all")
    slip = network(topologies.topology, 256, classes=5, batch_norm="all", batch_norm_inserted=False)
    assert normalised.count_params() == plain.count_params() - units + 4 * units
    assert slip.count_params() == plain.count_params() - units
    assert layer_kinds(slip) == layer_kinds(plain)
    kinds = layer_kinds(normalised)
    places = [place for place, kind in enumerate(kinds) if kind == "BatchNormalization"]
    assert len(places) == 7
    assert {kinds[place + 1] for place in places} == {"ReLU"}
    assert {kinds[place - 1] for place in places} == {"Conv2D", "Dense"}


@pytest.mark.parametrize(("part", "convolutions", "denses"), [
    ("all", 5, 2), ("conv", 5, 0), ("dense", 0, 2),
])  # fmt: skip
def test_p3_regularises_the_layers_that_are_named(part, convolutions, denses):
    built = network(topologies.topology, 80, max_norm=part, l2=part, batch_norm=part)
    found = {"Conv2D": [], "Dense": []}
    for layer in built.layers:
        if getattr(layer, "kernel_constraint", None):
            assert layer.kernel_regularizer and not layer.use_bias
            found[type(layer).__name__].append(float(layer.kernel_regularizer.l2))
    assert found["Conv2D"] == pytest.approx([0.005] * convolutions)
    assert found["Dense"] == pytest.approx([0.01] * denses)


def test_max_norm_bounds_the_weights_into_one_filter_or_unit():
    built = network(topologies.topology, 80, max_norm="all")
    for name in ("conv_2", "dense_128"):
        layer = built.get_layer(name)
        bounded = np.asarray(layer.kernel_constraint(keras.ops.ones(layer.kernel.shape)))
        norms = np.sqrt((bounded**2).reshape(-1, bounded.shape[-1]).sum(0))
        np.testing.assert_allclose(norms, 3.0, rtol=1e-4)


@pytest.mark.parametrize(
    ("dropout", "after"),
    [("both", {"dense_256", "dense_128"}), ("first", {"dense_256"}), ("second", {"dense_128"})],
)
def test_dropout_stands_after_the_dense_layers_that_are_named(dropout, after):
    built = network(topologies.topology, 80, dropout=dropout)
    names = [layer.name for layer in built.layers]
    found = {names[place - 2] for place, name in enumerate(names) if name.startswith("dropout")}
    assert found == after


@pytest.mark.parametrize(
    ("builder", "smallest", "options"),
    [
        (alexnet.alexnet, 215, {}),
        (levi_hassner.four_c_two_f, 35, {}),
        (levi_hassner.four_c_two_f_modified, 99, {}),
        (baselines.simple_cnn, 64, {}),
        (topologies.topology, 22, {"family": "III"}),
        (topologies.topology, 80, {"family": "IV"}),
        (topologies.topology, 128, {"family": "V"}),
        (topologies.topology, 32, {"family": "VI"}),
        (coursework.coursework_a, 68, {}),
    ],
)
def test_too_small_images_are_refused_with_the_smallest_size_that_works(builder, smallest, options):
    with pytest.raises(ValueError, match=f"{smallest - 1}x{smallest - 1}.*to {smallest} or more"):
        builder(keras.Input((smallest - 1, smallest - 1, 3)), **options)
    outputs = builder(keras.Input((smallest, smallest, 3)), **options)
    for features in outputs.values() if isinstance(outputs, dict) else [outputs]:
        assert features.shape[1] > 0


def test_the_smallest_size_undoes_strides_and_windows():
    assert smallest_size([]) == 1
    assert smallest_size([(5, 2)]) == 5
    assert smallest_size([(5, 2), (3, 1)]) == 9  # 9 -> 3 -> 1


@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        (topologies.topology, {"family": "VII"}, "VII.*'I', 'II'"),
        (topologies.topology, {"dropout": "third"}, "third.*'both'"),
        (topologies.topology, {"l2": "kernel"}, "kernel.*'conv'"),
        (wide_resnet.wide_resnet, {"depth": 18}, "18.*16, 22"),
        (wide_resnet.wide_resnet, {"pooling": "max"}, "max.*as-coded"),
    ],
)
def test_unknown_choices_are_refused_with_the_known_ones(builder, options, message):
    with pytest.raises(ValueError, match=message):
        builder(keras.Input((80, 80, 3)), **options)


def test_the_search_has_the_53_trials_of_p3_and_the_combinations_it_only_claimed():
    trials = topology_grid.p3_trials()
    described = [trial for trial in trials if trial.described]
    assert len(described) == 53
    assert len(trials) >= 62
    assert len({trial.id for trial in trials}) == len(trials)
    assert len([trial for trial in described if "cannot run" in trial.note]) == 5
    assert len([trial for trial in described if "went on training" in trial.note]) == 3
    # Batch normalisation and L2 stood alone in P3; with anything else they are ours.
    for trial in trials:
        assert set(trial.options) <= set(topologies.topology.__kwdefaults__)
        partners = {"dropout", "max_norm", "batch_norm", "l2"} & set(trial.options)
        mixed = len(partners) > 1 and partners & {"batch_norm", "l2"}
        assert not (mixed and trial.described)
    added = [trial for trial in trials if not trial.described]
    assert all(trial.note for trial in added)
    assert len({tuple(trial.options.items()) for trial in added}) == len(added)


def test_trials_carry_what_p3_wrote():
    trials = {trial.id: trial for trial in topology_grid.p3_trials()}
    winner, variant = trials["IV"], trials["XIb"]
    assert (winner.options, winner.learning_rate, winner.batch_size) == ({"family": "IV"}, 1e-3, 64)
    assert variant.options == {"family": "IV", "max_norm": "dense"}
    assert (variant.learning_rate, variant.batch_size) == (0.05, 32)
    assert trials["XVIII"].options == {"family": "IV", "batch_norm": "all"}
    assert trials["XVIIIs"].options["batch_norm_inserted"] is False
    assert trials["XIII"].title == "topology IV, dropout both, max-norm dense"
    assert trials["XXs"].title == "topology IV, no bias dense"


@pytest.mark.parametrize("trial", topology_grid.p3_trials()[-3:], ids=lambda trial: trial.id)
def test_a_regularised_network_is_saved_and_predicts_the_same(tmp_path, trial):
    images = np.random.default_rng(0).random((2, 80, 80, 3)).astype("float32")
    built = network(topologies.topology, 80, classes=5, **trial.options)
    built.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(built(images), again(images), atol=1e-6)
    if "max_norm" in trial.options:
        again.get_layer("conv_1").kernel_constraint(keras.ops.ones((3, 3, 3, 16)))
