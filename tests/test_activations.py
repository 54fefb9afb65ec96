"""Feature maps and class-activation maps on networks whose answer is known by construction."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from agelib import activations, averages
from agelib.backend import keras
from agelib.gradients import gradient, layer_output, output_names
from agelib.heads import make_head
from agelib.labels import get_scheme

layers = keras.layers
SIZE = 16


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def images():
    """Red patch in the left half, blue patch in the right half; in the second image no blue."""
    pixels = np.zeros((2, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[:, 4:7, 2:5, 0] = 255
    pixels[0, 9:12, 11:14, 2] = 255
    return pixels


def set_colour_detectors(network, *, sharpness=1.0):
    """Map 0 finds red, map 1 blue, map 2 nothing; class k counts map k, class 2 dislikes both."""
    detector = np.zeros((1, 1, 3, 3), dtype="float32")
    detector[0, 0, 0, 0] = detector[0, 0, 2, 1] = 1
    network.get_layer("colours").set_weights([detector])
    head = np.array([[1, 0, -1], [0, 1, -1], [0, 0, 0]], dtype="float32") * sharpness
    network.get_layer("class").set_weights([head])


def colour_network(activation="softmax", *, sharpness=1.0):
    """Red is class 0, blue is class 1; scaling is inside, as in every network of agelib."""
    pixels = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.Conv2D(3, 1, use_bias=False, activation="relu", name="colours")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(3, use_bias=False, activation=activation, name="class")(x)
    network = keras.Model(pixels, x, name="colour")
    set_colour_detectors(network, sharpness=sharpness)
    return network


def peak(heat):
    return np.unravel_index(heat.argmax(), heat.shape)


def inside(place, rows, columns):
    return place[0] in range(*rows) and place[1] in range(*columns)


def test_each_class_has_its_own_map(images):
    network = colour_network()
    red = activations.class_activation_map(network, images, 0)
    blue = activations.class_activation_map(network, images, 1)
    assert red.shape == (2, SIZE, SIZE) and red.dtype == np.float32
    assert red.min() >= 0 and red.max() == 1
    assert inside(peak(red[0]), (4, 7), (2, 5))
    assert inside(peak(blue[0]), (9, 12), (11, 14))
    assert red[0, :, 8:].max() == 0 and blue[0, :, :8].max() == 0


def test_evidence_by_class_asks_each_average_face_for_its_own_class(images):
    network, scheme = colour_network(), get_scheme("groups-5")
    found = averages.evidence_by_class(network, {scheme.names[1]: images[0]}, scheme, "colours")
    assert list(found) == [scheme.names[1]]
    blue = activations.class_activation_map(network, images[:1], 1, "colours")
    assert (found[scheme.names[1]] == blue[0]).all()


def test_map_without_evidence_is_zero_and_said(images):
    network = colour_network()
    with np.errstate(all="raise"):
        blue = activations.class_activation_map(network, images, 1)
        neither = activations.class_activation_map(network, images, 2)
    assert activations.no_evidence(blue).tolist() == [False, True]
    assert not neither.any() and np.isfinite(neither).all()
    axes = activations.plot_overlays(images, blue, ["a", "b"])
    assert [ax.get_title() for ax in axes] == ["a", "b\nno evidence"]
    assert axes[0].figure.get_suptitle().endswith("; yellow: most (2 pictures)")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_certain_network_still_has_a_map(images, activation):
    network = colour_network(activation, sharpness=1e5)
    assert network(images.astype("float32"))[0, 0] in (0.5, 1)  # the slope behind it is zero
    heat = activations.class_activation_map(network, images, 0)
    assert inside(peak(heat[0]), (4, 7), (2, 5))


def test_certain_answers_of_coral_have_a_map_too(images):
    base = colour_network(None)
    features = base.get_layer("mean").output
    network = keras.Model(
        base.input, make_head("coral", get_scheme("per-year-101"), {}).output(features)
    )
    network.get_layer("rank").set_weights([np.array([[1e5], [0], [0]], dtype="float32")])
    assert network(images.astype("float32"))[0, 50] == 1
    heat = activations.class_activation_map(network, images, 50)
    assert inside(peak(heat[0]), (4, 7), (2, 5))


def test_network_is_left_as_it_was(images):
    network = colour_network()
    before = network.predict(images, verbose=0)
    activations.class_activation_map(network, images, 1)
    activations.feature_maps(network, images, "colours")
    assert "call" not in vars(network.get_layer("colours"))
    assert network.get_layer("class").activation is keras.activations.softmax
    assert np.array_equal(before, network.predict(images, verbose=0))


def test_pixels_are_not_preprocessed_again(images):
    maps = activations.feature_maps(colour_network(), images, "colours")
    assert maps.shape == (2, SIZE, SIZE, 3)
    assert maps[0, 5, 3].tolist() == [1, 0, 0]  # 255 scaled once, by the network
    assert maps[0, 10, 12].tolist() == [0, 1, 0]


def test_more_images_than_a_batch(images):
    many = np.concatenate([images] * 20)
    heat = activations.class_activation_map(colour_network(), many, 0)
    assert heat.shape == (40, SIZE, SIZE) and np.array_equal(heat[0], heat[38])
    assert len(activations.feature_maps(colour_network(), many, "colours")) == 40


def test_nested_backbone_gives_the_map_of_the_flat_network(images):
    flat = colour_network()
    inner = keras.Input((SIZE, SIZE, 3))
    backbone = keras.Model(inner, flat.get_layer("colours")(inner), name="backbone")
    pixels = keras.Input((SIZE, SIZE, 3))
    x = layers.GlobalAveragePooling2D()(backbone(layers.Rescaling(1 / 255)(pixels)))
    head = keras.Sequential(
        [keras.Input((3,)), layers.Dense(3, use_bias=False, activation="softmax", name="inner")],
        name="head",
    )
    nested = keras.Model(pixels, head(x))
    head.set_weights(flat.get_layer("class").get_weights())
    assert activations.map_layers(nested)[-1] == "backbone/colours"
    for number in (0, 1):
        expected = activations.class_activation_map(flat, images, number)
        for layer in (None, "backbone/colours"):
            heat = activations.class_activation_map(nested, images, number, layer)
            assert np.allclose(heat, expected)


def test_any_convolution_also_across_a_skip_connection(images):
    pixels = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(pixels)
    y = layers.Conv2D(4, 3, padding="same", strides=1, name="second")(layers.ReLU()(x))
    x = layers.MaxPooling2D(2, name="pool")(layers.Add(name="sum")([x, y]))
    outputs = layers.Dense(5, activation="softmax")(layers.Flatten()(x))
    network = keras.Model(pixels, outputs)
    assert activations.map_layers(network)[-1] == "pool"
    for layer in ("first", "second", "sum", "pool"):
        heat = activations.class_activation_map(network, images, 4, layer)
        assert heat.shape == (2, SIZE, SIZE) and heat.max() <= 1


def two_heads():
    base = colour_network(None)
    features = base.get_layer("mean").output
    age = layers.Dense(1, use_bias=False, name="age")(features)
    gender = layers.Softmax(name="gender")(layers.Dense(2, use_bias=False, name="logits")(features))
    network = keras.Model(base.input, [age, gender])
    network.get_layer("age").set_weights([np.array([[1.0], [0.0], [0.0]])])
    network.get_layer("logits").set_weights([np.array([[0, 0], [0, 1e4], [0, 0]])])
    return network


def test_one_of_several_heads(images):
    network = two_heads()
    assert output_names(network) == ["age", "gender"]
    age = activations.class_activation_map(network, images, 0, output="age")
    gender = activations.class_activation_map(network, images, 1, output="gender")
    assert inside(peak(age[0]), (4, 7), (2, 5))
    assert inside(peak(gender[0]), (9, 12), (11, 14))
    with pytest.raises(ValueError, match=r"several outputs.*age.*gender"):
        activations.class_activation_map(network, images, 0)
    with pytest.raises(ValueError, match=r"'height' is unknown.*age"):
        activations.class_activation_map(network, images, 0, output="height")


@pytest.mark.parametrize("units", [1, 2])
def test_evidence_of_age_and_gender_asks_for_the_middle_year_and_for_female(images, units):
    base, scheme = colour_network(None), get_scheme("decades-7")
    features = base.get_layer("mean").output
    heads = [layers.Dense(101, name="probabilities"), layers.Dense(units, name="gender")]
    network = keras.Model(base.input, [head(features) for head in heads])
    means = dict(zip(scheme.names[2:4], images, strict=True))  # 21-30 and 31-40
    found = averages.evidence_of_age_and_gender(network, means, scheme)
    for place, (name, middle) in enumerate(zip(means, (25, 35), strict=True)):
        for row, (unit, output) in enumerate(((middle, "probabilities"), (units - 1, "gender"))):
            alone = activations.class_activation_map(network, images[[place]], unit, output=output)
            assert np.allclose(found[name][row], alone[0], atol=1e-3)


def test_evidence_by_class_asks_a_network_of_years_for_the_middle_one(images):
    base, scheme = colour_network(None), get_scheme("decades-7")
    older = layers.Dense(100, "sigmoid", name="older")(base.get_layer("mean").output)
    network = keras.Model(base.input, older)
    face = {"21-30": images[1]}
    found = averages.evidence_by_class(network, face, scheme, "colours", years=True)
    alone = activations.class_activation_map(network, images[1:], 25, "colours")
    assert list(found) == ["21-30"] and (found["21-30"] == alone[0]).all()


def test_bad_requests_name_what_is_allowed(images):
    network = colour_network()
    for number in (-1, 3):
        with pytest.raises(ValueError, match=rf"{number} is out of range: choose 0 … 2"):
            activations.class_activation_map(network, images, number)
    for layer in ("conv9", "class"):
        with pytest.raises(ValueError, match=rf"'{layer}'.*'colours'"):
            activations.class_activation_map(network, images, 0, layer)
    with pytest.raises(ValueError, match=r"\(16, 16, 3\); give a batch"):
        activations.feature_maps(network, images[0], "colours")
    vectors = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="no layer with maps"):
        activations.feature_maps(vectors, images, "dense")


def test_diverged_network_is_an_error(images):
    network = colour_network()
    network.get_layer("class").set_weights([np.full((3, 3), np.nan)])
    with pytest.raises(ValueError, match="infinite or undefined"):
        activations.class_activation_map(network, images, 0)


def test_layer_used_twice_is_refused(images):
    pixels = keras.Input((SIZE, SIZE, 3))
    twice = layers.Conv2D(3, 1, name="twice")
    network = keras.Model(pixels, layers.GlobalMaxPooling2D()(twice(twice(pixels))))
    with pytest.raises(ValueError, match="runs 2 times"):
        layer_output(network, images.astype("float32"), twice)
    assert "call" not in vars(twice)


def test_gradient_of_a_known_function():
    point = np.array([[1.0, -2.0], [3.0, 0.5]], dtype="float32")
    slope = gradient(lambda x: keras.ops.sum(x * x * x), point)
    assert slope == pytest.approx(3 * point**2)
    assert not gradient(lambda x: keras.ops.sum(keras.ops.ones((2, 2))), point).any()


def test_gradients_name_the_backends_that_have_them(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ValueError, match=r"'numpy'.*jax, tensorflow, torch"):
        gradient(lambda x: x, np.zeros(1, dtype="float32"))


def test_overlay_leaves_cold_pixels_alone(images):
    heat = np.zeros((SIZE, SIZE), dtype="float32")
    heat[5, 3] = 1
    picture = activations.overlay(images[0], heat, alpha=0.5)
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    cold = heat == 0
    assert np.array_equal(picture[cold], images[0][cold])
    assert (picture[5, 3] != images[0, 5, 3]).any()
    grey = activations.overlay(images[0, ..., :1], heat[::2, ::2])
    assert grey.shape == (SIZE, SIZE, 3)
    for alpha, bad in ((1.5, heat), (0.5, heat * 2)):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            activations.overlay(images[0], bad, alpha=alpha)


def test_feature_maps_are_drawn_on_one_scale(images):
    maps = activations.feature_maps(colour_network(), images, "colours")
    axes = activations.plot_feature_maps(maps[0], columns=2)
    assert len(axes) == 3
    assert {ax.images[0].get_clim() for ax in axes} == {(0.0, 1.0)}
    assert axes[0].figure.get_suptitle() == "Feature maps (3 of 3 channels; 1 of the 3 constant)"
    assert len(activations.plot_feature_maps(maps[0], most=2)) == 2
    with pytest.raises(ValueError, match="give one image's"):
        activations.plot_feature_maps(maps)


def test_overlay_grid_wants_one_map_an_image(images):
    with pytest.raises(ValueError, match="2 images, 1 heat-maps"):
        activations.plot_overlays(images, np.zeros((1, SIZE, SIZE)))
