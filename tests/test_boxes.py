"""Boxes read out of a network, and their drawing."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from agelib import plots
from agelib.backend import keras
from agelib.boxes import inside_share, plot_boxes, predicted_boxes


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def telling_network():
    """A network whose box is written in its first four pixels."""
    pixels = keras.Input((1, 4, 1))
    box = keras.layers.Reshape((4,), name="box")(keras.layers.Rescaling(0.01)(pixels))
    return keras.Model(pixels, keras.layers.Dense(2)(box), name="telling")


def test_boxes_are_sorted_and_in_the_order_of_the_images():
    # 70 images: more than two batches.
    images = np.random.default_rng(0).integers(0, 101, (70, 1, 4, 1), dtype="uint8")
    boxes = predicted_boxes(telling_network(), images)
    assert boxes.shape == (70, 4) and boxes.dtype == np.float32
    y1, x1, y2, x2 = (images[:, 0, k, 0] / 100 for k in range(4))
    expected = np.c_[np.minimum(y1, y2), np.minimum(x1, x2), np.maximum(y1, y2), np.maximum(x1, x2)]
    np.testing.assert_allclose(boxes, expected, atol=1e-6)


def test_networks_without_a_box_and_single_images_are_refused():
    pixels = keras.Input((4,))
    plain = keras.Model(pixels, keras.layers.Dense(2)(pixels), name="plain")
    with pytest.raises(ValueError, match="plain.*no layer called 'box'"):
        predicted_boxes(plain, np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"shape \(1, 4, 1\)"):
        predicted_boxes(telling_network(), np.zeros((1, 4, 1)))


def test_the_share_counts_the_boxes_over_each_pixel():
    boxes = np.array([[0, 0, 0.5, 1], [0, 0.5, 1, 1]])
    np.testing.assert_array_equal(inside_share(boxes, (2, 2)), [[0.5, 1], [0, 0.5]])


def test_the_drawing_says_n_the_mean_area_and_the_mean_box():
    face = np.full((10, 20, 3), 128, dtype="uint8")
    # The second is the first with its ends reversed.
    ax = plot_boxes(face, np.array([[0.2, 0, 0.6, 0.5], [0.6, 0.5, 0.2, 0]]))
    first, second = ax.get_title(loc="left").split("\n")
    assert first.startswith("Chosen boxes: 20.0% of the picture") and second == "n = 2 images"
    box = ax.patches[0]
    drawn = (*box.get_xy(), box.get_width(), box.get_height())
    assert drawn == pytest.approx((-0.5, 1.5, 10, 4))
    heat = ax.images[1].get_array()
    assert heat.shape == (10, 20) and heat[2:6, :10].min() == 1 and heat.sum() == 40
    assert "pixels" in ax.get_xlabel() and "pixels" in ax.get_ylabel()


def test_it_draws_on_the_given_axes():
    _, ax = plt.subplots()
    assert plot_boxes(np.zeros((4, 4), "uint8"), np.array([[0, 0, 1, 1]]), ax=ax) is ax
    assert ax.get_title(loc="left").endswith("n = 1 image")


@pytest.mark.parametrize(
    ("face", "boxes", "message"),
    [
        (np.zeros((4, 4, 3)), [[0, 0, 1, 1]], "float64.*uint8"),
        (np.zeros((4, 4, 3), "uint8"), np.zeros((0, 4)), "n from 1 up"),
        (np.zeros((4, 4, 3), "uint8"), [[0, 0, 1]], r"\(1, 3\)"),
        (np.zeros((4, 4, 3), "uint8"), [[0, 0, 1, 1], [0, 0, 1, 1.5]], "box 1 is.*1.5"),
        (np.zeros((4, 4, 3), "uint8"), [[0, np.nan, 1, 1]], "box 0 is.*nan"),
    ],
)
def test_bad_faces_and_boxes_are_refused(face, boxes, message):
    with pytest.raises(ValueError, match=message):
        plot_boxes(face, boxes)
