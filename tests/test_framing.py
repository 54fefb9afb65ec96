import numpy as np
import pandas as pd
import pytest

from agelib.backend import keras
from agelib.experiment import Experiment, Recipe
from agelib.framing import framing_sweep
from agelib.models import build
from agelib.models.framed import Framing
from agelib.protocols import Split

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 2)).astype("float32")


def framed(share, images=IMAGES):
    return keras.ops.convert_to_numpy(Framing(share)(images))


def test_the_whole_picture_stays_as_it_is():
    np.testing.assert_array_equal(framed(1.0), IMAGES)
    np.testing.assert_array_equal(framed(0.999), IMAGES)


def test_a_smaller_face_stands_in_the_middle_of_its_repeated_border():
    out = framed(0.5)
    assert out.shape == IMAGES.shape
    inner = out[:, 3:9, 3:9]
    np.testing.assert_array_equal(out[:, :3, 3:9], np.repeat(inner[:, :1], 3, axis=1))
    np.testing.assert_array_equal(out[:, 3:9, 9:], np.repeat(inner[:, :, -1:], 3, axis=2))
    np.testing.assert_array_equal(out[:, :3, :3], np.broadcast_to(inner[:, :1, :1], (3, 3, 3, 2)))
    # Shrunk with antialiasing, a picture keeps its mean brightness.
    np.testing.assert_allclose(inner.mean((1, 2)), IMAGES.mean((1, 2)), rtol=0.05)


def test_a_tighter_frame_shows_the_enlarged_middle():
    steps = np.arange(12, dtype="float32")[None, :, None, None] * np.ones((1, 12, 12, 1), "float32")
    out = framed(2.0, steps)
    assert out.shape == steps.shape
    assert out.min() >= 3
    assert out.max() <= 8
    assert (np.diff(out[0, :, 0, 0]) >= 0).all()


def test_a_share_must_be_above_zero_and_is_kept_in_a_file(tmp_path):
    with pytest.raises(ValueError, match="share is 0; a face needs some of the picture"):
        Framing(0)
    network = keras.Sequential([keras.Input((12, 12, 2)), Framing(0.5)])
    network.save(tmp_path / "framed.keras")
    again = keras.saving.load_model(tmp_path / "framed.keras")
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), framed(0.5))


def lenet(**options):
    return Experiment(
        number="1.0", name="LeNet-5", chapter="x", architecture="lenet5", labels="decades-7",
        dataset="sample", protocol="sample-5fold", fold=0, image_size=12, color="grey",
        options=options, recipe=Recipe(epochs=1),
    )  # fmt: skip


def test_lenet_may_see_a_face_from_further_away():
    plain, wide = build(lenet()), build(lenet(share=0.5))
    assert "framing" in [layer.name for layer in wide.layers]
    assert "framing" not in [layer.name for layer in plain.layers]
    assert plain.count_params() == wide.count_params()


class Pixels:
    """A store of images whose brightness is their decade."""

    size, color = 12, "grey"

    def __init__(self, decades):
        self.images = np.broadcast_to(
            (decades * 30).astype("uint8")[:, None, None, None], (len(decades), 12, 12, 1)
        )

    def read(self, rows):
        return self.images[rows]


def test_a_sweep_measures_the_test_part_in_every_frame():
    decades = np.arange(70) % 7
    catalog = pd.DataFrame(
        {"file": [f"{n}.jpg" for n in range(70)], "age": decades * 10 + 5, "gender": "male"}
    )
    rows = np.arange(70)
    split = Split("x", None, rows[:7], rows[7:14], rows[14:], "")
    inputs = keras.Input((12, 12, 1))
    level = keras.layers.GlobalAveragePooling2D()(inputs)
    # Nearest decade by brightness: right for every flat image, in every frame.
    distance = keras.layers.Lambda(
        lambda x: -keras.ops.square(x - keras.ops.arange(7, dtype="float32") * 30) / 10
    )(level)
    network = keras.Model(inputs, keras.layers.Softmax()(distance))
    found = framing_sweep(
        network, lenet(), [0.5, 1, 2], store=Pixels(decades), catalog=catalog, split=split
    )
    table = pd.DataFrame(found["rows"])
    assert table["share"].tolist() == [0.5, 0.5, 1, 1, 2, 2]
    assert table["metric"].tolist() == ["accuracy", "macro_recall"] * 3
    assert (table["value"] == 1).all()
    assert (table["n"] == 56).all()
