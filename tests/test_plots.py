"""What stands on the figures: titles with n, axis names with units, the numbers drawn."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from agelib import plots
from agelib.backend import keras
from agelib.plots_results import COLOURS

layers = keras.layers


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def history(training, validation, metric="accuracy"):
    index = pd.RangeIndex(1, len(training) + 1, name="epoch")
    return pd.DataFrame({metric: training, f"val_{metric}": validation}, index=index, dtype=float)


def title(ax):
    return ax.get_title(loc="left")  # as the style sheet has it


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def catalog():
    return pd.DataFrame(
        {
            "age": pd.array([1, 1, 4, 30, 116, pd.NA], dtype="Int64"),
            "gender": ["male", "female", None, "female", "female", "male"],
            "width": pd.array([200, 200, 200, 100, 816, pd.NA], dtype="Int64"),
            "height": pd.array([200, 200, 200, 200, 816, pd.NA], dtype="Int64"),
        }
    )


# Learning curves


def test_best_epoch_and_overfitting_are_marked():
    ax = plots.learning_curves(history([0.3, 0.5, 0.7, 0.9], [0.3, 0.5, 0.4, 0.4]))
    assert title(ax) == "Best validation accuracy 0.500 at epoch 2\nn = 4 epochs"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Accuracy (share of images)")
    assert legend(ax) == ["training", "validation", "overfitting", "best epoch (2)"]
    assert ax.lines[1].get_ydata().tolist() == [0.3, 0.5, 0.4, 0.4]
    assert ax.lines[2].get_xydata().tolist() == [[2, 0.5]]
    # At the best epoch both are equal, so the zone begins between it and the next.
    shaded = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    assert shaded[:, 0].min() >= 2 and shaded[:, 0].max() == 4


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        ([0.3, 0.5, 0.6], [0.2, 0.4, 0.5]),  # best at the end
        ([0.3, 0.4, 0.4], [0.4, 0.6, 0.5]),  # training stays below validation
        ([0.3, 0.6, 0.5], [0.2, 0.5, 0.4]),  # both fall: not overfitting
    ],
)
def test_no_overfitting_no_shade(training, validation):
    assert "overfitting" not in legend(plots.learning_curves(history(training, validation)))


@pytest.mark.parametrize(("metric", "label"), [("loss", "Loss"), ("mae", "(years)")])
def test_lower_is_better_for_errors(metric, label):
    ax = plots.learning_curves(history([3, 2, 1], [3, 2, 4], metric), metric=metric)
    assert "at epoch 2\nn = 3 epochs" in title(ax)
    assert ax.get_ylabel().endswith(label)


def test_metric_of_one_head():
    ax = plots.learning_curves(
        history([0.1, 0.2], [0.2, 0.1], "gender_accuracy"), metric="gender_accuracy"
    )
    assert title(ax).startswith("Best validation gender accuracy 0.200 at epoch 1")


def test_one_epoch_and_diverged_histories_are_drawn():
    ax = plots.learning_curves(history([0.3], [0.4]))
    assert title(ax).endswith("n = 1 epoch") and ax.lines[0].get_marker() == "o"
    assert legend(ax)[:2] == ["training 0.300", "validation 0.400"]
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 0.4
    assert plots.learning_curves(history([0.3, 0.3], [0.4, 0.4])).get_ylim()[0] > 0.2
    ax = plots.learning_curves(history([np.nan] * 2, [np.nan] * 2, "loss"), metric="loss")
    assert title(ax) == "No finite validation loss\nn = 2 epochs"


def test_unknown_metric_and_empty_history_are_refused():
    with pytest.raises(ValueError, match=r"'mae'.*\['accuracy'\]"):
        plots.learning_curves(history([0.3], [0.4]), metric="mae")
    with pytest.raises(ValueError, match="no epoch"):
        plots.learning_curves(history([], []))


def test_given_axes_are_used_and_nothing_is_shown_or_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    _, ax = plt.subplots()
    assert plots.learning_curves(history([0.3], [0.4]), ax=ax) is ax
    assert not list(tmp_path.iterdir())


def test_style():
    assert plt.rcParams["figure.figsize"] == [5, 3.2]
    assert plt.rcParams["figure.dpi"] == 110
    assert plt.rcParams["font.family"] == ["DejaVu Sans"]


# Data


def test_age_distribution_counts_each_year(catalog):
    ax = plots.age_distribution(catalog)
    heights = {round(bar.get_x()): bar.get_height() for bar in ax.patches}
    assert {age: n for age, n in heights.items() if n} == {1: 2, 4: 1, 30: 1, 116: 1}
    assert title(ax) == ("Ages 1 to 116, median 4 years\nn = 5 images; 1 without age left out")
    assert ax.get_xlabel() == "Age (years)"


def test_age_distribution_by_gender_stacks_up_to_the_total(catalog):
    ax = plots.age_distribution(catalog, years=5, by_gender=True)
    assert legend(ax) == ["male (1)", "female (3)", "unknown (1)"]
    first = [bar for bar in ax.patches if bar.get_x() == 0]
    assert max(bar.get_y() + bar.get_height() for bar in first) == 3
    assert "5 years" in ax.get_ylabel()


def test_age_distribution_without_ages_is_refused(catalog):
    with pytest.raises(ValueError, match="images with an age"):
        plots.age_distribution(catalog[5:])
    with pytest.raises(ValueError, match="years >= 1"):
        plots.age_distribution(catalog, years=0)


def test_gender_distribution(catalog):
    ax = plots.gender_distribution(catalog)
    assert [bar.get_height() for bar in ax.patches] == [2, 3, 1]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["male", "female", "unknown"]
    assert title(ax) == "Gender as annotated\nn = 6 images"


def test_category_bars_write_their_counts():
    ax = plots.category_bars({"1-10": 1170, "11-20": 3}, title="Classes")
    assert [t.get_text() for t in ax.texts] == ["1,170", "3"]
    assert title(ax) == "Classes\nn = 1,173 images" and ax.get_ylabel() == "Images"
    parts = pd.DataFrame({"training": [6, 4], "test": [2, 0]}, index=["a", "b"])
    ax = plots.category_bars(parts, title="Parts")
    assert legend(ax) == ["training", "test"] and title(ax).endswith("n = 12 images")
    with pytest.raises(ValueError, match="no category"):
        plots.category_bars({}, title="Nothing")


def test_resolution_scatter_has_one_dot_a_size(catalog):
    ax = plots.resolution_scatter(catalog)
    dots = ax.collections[0]
    assert dots.get_offsets().tolist() == [[100, 200], [200, 200], [816, 816]]
    assert dots.get_array().tolist() == [1, 3, 1]
    assert title(ax) == "3 sizes, 80.0% of the images square\nn = 5 images"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Width (pixels)", "Height (pixels)")
    assert legend(ax) == ["1:1"]
    with pytest.raises(ValueError, match="no image"):
        plots.resolution_scatter(catalog[5:])


def test_sample_grid_draws_colour_and_grey():
    images = [np.full((4, 4, 3), 9, np.uint8), np.full((5, 5, 1), 8, np.uint8)] * 5
    axes = plots.sample_grid(images, [f"t{k}" for k in range(10)], columns=4)
    assert len(axes) == 10 and [ax.get_title() for ax in axes][-1] == "t9"
    assert len(axes[0].figure.axes) == 12
    assert axes[1].images[0].get_array().shape == (5, 5)
    assert axes[0].figure.get_suptitle() == "Samples (10 pictures)"


def test_sample_grid_refuses_what_it_cannot_show():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="image 0 is float64"):
        plots.sample_grid([image / 255])
    with pytest.raises(ValueError, match="got 1 and 2 titles"):
        plots.sample_grid([image], ["a", "b"])
    with pytest.raises(ValueError, match="got 0 and no titles"):
        plots.sample_grid([])


# Results


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {
            "age": [5, 6, 25, 26],
            "true": [0, 0, 1, 1],
            "predicted": [0, 1, 1, 1],
            "p0": [0.9, 0.4, 0.3, 0.1],
            "p1": [0.1, 0.5, 0.6, 0.8],
            "p2": [0.0, 0.1, 0.1, 0.1],
        }
    )


def test_roc_curves_one_a_class(predictions):
    ax = plots.roc_curves(predictions, ["young", "middle", "old"])
    assert legend(ax) == ["young: 1.00", "middle: 1.00", "old: no images"]
    assert title(ax) == "Each class against the rest: mean AUC 1.000\nn = 4 images"
    assert ax.get_xlabel().startswith("False positive rate")
    predictions["p0"] = [0.9, 0.2, 0.3, 0.1]  # one of four pairs in the wrong order
    assert legend(plots.roc_curves(predictions, ["a", "b", "c"]))[0] == "a: 0.75"
    with pytest.raises(ValueError, match=r"missing: \['p3'\]"):
        plots.roc_curves(predictions, list("abcd"))


def test_error_by_age_in_years():
    table = pd.DataFrame({"age": [20, 21, 60, np.nan], "predicted": [22.0, 25.0, 50.0, 1.0]})
    ax = plots.error_by_age(table)
    assert title(ax) == "Mean absolute error 5.33 years\nn = 3 images"
    assert ax.get_ylabel() == "Mean error (years)" and "years" in ax.get_xlabel()
    dots = ax.containers[0].lines[0]
    assert dots.get_xydata().tolist() == [[22, 3], [62, 10]]
    signed = next(line for line in ax.lines if "signed" in str(line.get_label()))
    assert signed.get_ydata().tolist() == [3, -10]
    bars = ax.containers[0].lines[2][0].get_segments()
    assert np.ptp(bars[0][:, 1]) == pytest.approx(2 * 1.96)  # sd of 2 and 4, over the root of 2
    with pytest.raises(ValueError, match="'age'"):
        plots.error_by_age(table[3:])


def test_error_by_age_of_a_classification(predictions):
    assert "0.25 classes" in title(plots.error_by_age(predictions))
    years = plots.error_by_age(predictions.assign(expected_age=[7.0, 6.0, 25.0, 26.0]))
    assert "0.50 years" in title(years)


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "label": ["1.0 LeNet-5", "1.1 batch norm"],
            "value": [5.25, 6.0],
            "low": [5.0, np.nan],
            "high": [5.5, np.nan],
            "n": [384, 384],
        }
    )


def test_metric_comparison(table):
    ax = plots.metric_comparison(table, "Mean absolute error (years)", chance=14.9)
    assert [t.get_text() for t in ax.texts] == ["5.25 [5.00, 5.50]", "6.00"]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(table["label"])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # first row on top
    assert ax.get_xlabel() == "Mean absolute error (years)"
    assert title(ax) == "Mean absolute error with 95 % intervals\nn = 384 images"
    assert legend(ax) == ["a guess"]


def test_metric_comparison_says_n_beside_each_name_when_they_differ(table):
    ax = plots.metric_comparison(table.assign(n=[384, 23000]), "Accuracy")
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == ["1.0 LeNet-5 (n = 384)", "1.1 batch norm (n = 23,000)"]
    # Of a number of others nobody knows how many images are behind it.
    ax = plots.metric_comparison(table.assign(n=pd.array([384, None], "Int64")), "Accuracy")
    assert [t.get_text() for t in ax.get_yticklabels()][1] == "1.1 batch norm"
    with pytest.raises(ValueError, match=r"missing: \['low'\]"):
        plots.metric_comparison(table.drop(columns="low"), "Accuracy")
    with pytest.raises(ValueError, match="needs rows"):
        plots.metric_comparison(table[:0], "Accuracy")


def test_reported_versus_ours(table):
    kinds = ("replicated", "honest")
    ours = {f"{kind}{end}": [0.5, 0.4] for kind in kinds for end in ("", "_low", "_high")}
    frame = pd.DataFrame({"label": table["label"], "reported": [0.56, 0.51], **ours})
    frame = frame.assign(replicated_n=384, honest_n=[23000, np.nan])
    frame.loc[1, "honest"] = np.nan
    ax = plots.reported_versus_ours(frame, "Accuracy (share of images)")
    assert legend(ax) == ["reported", "replicated", "honest"]
    assert title(ax).endswith("\nn = 384 replicated, n = 23,000 honest")
    drawn = [c.lines[0].get_xdata() for c in ax.containers]
    assert drawn[0].tolist() == [0.56, 0.51] and np.isnan(drawn[2][1])
    assert ax.containers[2].lines[0].get_color() == COLOURS["honest"]
    with pytest.raises(ValueError, match=r"missing: \['honest_n'\]"):
        plots.reported_versus_ours(frame.drop(columns="honest_n"), "Accuracy")


# Networks


@pytest.fixture(scope="module")
def network():
    inner = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(inner))
    backbone = keras.Model(inner, x, name="backbone")
    backbone.get_layer("conv").trainable = False
    pixels = keras.Input((8, 8, 3))
    x = layers.Flatten(name="flatten")(backbone(layers.Rescaling(1 / 255, name="scale")(pixels)))
    x = layers.Dense(5, name="dense")(x)
    heads = [layers.Dense(1, name="age")(x), layers.Dense(2, name="gender")(x)]
    return keras.Model(pixels, heads, name="two_heads")


def test_layer_table_adds_up(network):
    table = plots.layer_table(network).set_index("layer")
    names = ["scale", "backbone/conv", "backbone/norm", "flatten", "dense", "age", "gender"]
    assert list(table.index) == names
    assert table["parameters"].sum() == network.count_params()
    assert table.loc["backbone/conv"].tolist() == ["Conv2D", "6 x 6 x 4", 112, 0]
    assert table.loc["backbone/norm", "trainable"] == 8  # of 16
    assert table.loc["flatten", "output_shape"] == "144"


def test_network_drawing(network):
    ax = plots.network_drawing(network)
    texts = [t.get_text() for t in ax.texts if t.get_text()]
    assert texts == [
        "8 x 8 x 3, input",
        "6 x 6 x 4, Conv",
        "144, Flatten",
        "5, Dense",
        "age\n1",
        "gender\n2",
    ]
    assert title(ax) == f"two_heads: {network.count_params()} parameters\nn = 7 layers"
    assert len(ax.patches) == 6
    assert legend(ax) == ["input", "convolution", "dense", "output", "other"]


def test_deep_network_is_drawn_by_stage():
    x = pixels = keras.Input((32, 32, 1))
    for stage in range(4):
        for filters in range(1, 7):
            x = layers.Conv2D(filters * 2**stage, 3, padding="same")(x)
        x = layers.MaxPooling2D(2)(x)
    outputs = layers.Dense(7)(layers.GlobalAveragePooling2D()(x))
    ax = plots.network_drawing(keras.Model(pixels, outputs))
    texts = [t.get_text() for t in ax.texts]
    assert "32 x 32 x 6, 6 Conv" in texts and "16 x 16 x 12, 6 Conv" in texts
    assert len(ax.patches) <= 16


def test_sequential_network_is_drawn():
    network = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])
    assert len(plots.network_drawing(network).patches) == 3


def test_every_public_function_says_n(network, catalog, predictions, table):
    drawn = [
        plots.age_distribution(catalog),
        plots.gender_distribution(catalog),
        plots.category_bars({"a": 1}, title="t"),
        plots.resolution_scatter(catalog),
        plots.learning_curves(history([0.3], [0.4])),
        plots.roc_curves(predictions, ["a", "b", "c"]),
        plots.error_by_age(predictions),
        plots.metric_comparison(table, "Accuracy"),
        plots.network_drawing(network),
    ]
    for ax in drawn:
        assert "n = " in title(ax) and ax.get_xlabel()
        ax.figure.canvas.draw()
