"""Confusion matrices: the counts, the drawing, the table."""

import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from agelib.confusion import confusion_matrix, plot_confusion
from agelib.plots import use_style

NAMES = ["young", "middle", "old", "nobody"]


@pytest.fixture(autouse=True)
def style():
    # Whether another test of this process has set the style already must not matter.
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


@pytest.fixture
def predictions():
    """Seven images; class 3 has none and is never predicted."""
    return pd.DataFrame({"true": [0, 0, 0, 1, 1, 2, 2], "predicted": [0, 0, 1, 1, 2, 2, 2]})


def test_rows_are_true_and_columns_predicted(predictions):
    matrix = confusion_matrix(predictions, 4)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]


def test_stored_prediction_counts_not_rounded_probabilities():
    # P3 rounded these to (0, 0, 0) and so to class 0.
    table = pd.DataFrame({"true": [2], "predicted": [2], "p0": [0.3], "p1": [0.3], "p2": [0.4]})
    assert confusion_matrix(table, 3)[2].tolist() == [0, 0, 1]


def test_no_images_give_zeros():
    empty = pd.DataFrame({"true": [], "predicted": []})
    assert confusion_matrix(empty, 2).tolist() == [[0, 0], [0, 0]]
    ax = plot_confusion(np.zeros((2, 2), dtype=int), ["a", "b"], normalize=True)
    assert ax.get_title(loc="left") == "Recall by true class, accuracy undefined\nn = 0 images"


@pytest.mark.parametrize("bad", [-1, 4, 1.5, np.nan])
def test_foreign_class_is_refused(predictions, bad):
    table = predictions.astype(float)
    table.loc[0, "predicted"] = bad
    with pytest.raises(ValueError, match=rf"class {bad}.* is not one of 0 … 3"):
        confusion_matrix(table, 4)


def test_regression_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"\['true'\].*encode"):
        confusion_matrix(pd.DataFrame({"age": [30], "predicted": [31.5]}), 4)


def test_counts_are_drawn(predictions):
    ax = plot_confusion(confusion_matrix(predictions, 4), NAMES)
    assert [t.get_text() for t in ax.texts][:6] == ["2", "1", "0", "0", "0", "1"]
    assert ax.get_title(loc="left") == "Confusion matrix, accuracy 0.714\nn = 7 images"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class", "True class")
    assert [t.get_text() for t in ax.get_yticklabels()] == NAMES
    assert ax.figure.axes[1].get_ylabel() == "Images"


def test_shares_are_drawn_without_warning_for_an_empty_row(predictions):
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        ax = plot_confusion(confusion_matrix(predictions, 4), NAMES, normalize=True)
        ax.figure.canvas.draw()
    texts = [t.get_text() for t in ax.texts]
    assert texts[:4] == ["0.67", "0.33", "0.00", "0.00"]
    assert texts[-1] == "no images" and "nan" not in texts
    assert ax.collections[0].get_clim() == (0, 1)


def test_numbers_are_readable_on_their_cell():
    ax = plot_confusion(np.array([[100, 0], [0, 100]]), ["a", "b"])
    dark, light = (sum(to_rgb(ax.texts[i].get_color())) for i in (0, 1))
    assert dark > 2.5 and light < 1  # white on dark blue, dark on nearly white


def test_shares_of_ten_classes_do_not_touch():
    matrix = np.diag([100] * 10)
    matrix[0, :4] = 5, 90, 5, 0
    _, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    ax = plot_confusion(matrix, [str(k) for k in range(10)], normalize=True, ax=axes[1])
    texts = [t.get_text() for t in ax.texts]
    assert texts[:5] == [".05", ".90", ".05", "", ""] and texts[11] == "1"
    ax.figure.canvas.draw()
    first, second = (t.get_window_extent() for t in ax.texts[:2])
    assert first.x1 < second.x0


def test_many_classes_are_drawn_without_numbers():
    names = [str(age) for age in range(101)]
    ax = plot_confusion(np.eye(101, dtype=int), names, normalize=True)
    assert not ax.texts
    labels = [t.get_text() for t in ax.get_xticklabels()]
    assert labels[:3] == ["0", "5", "10"] and labels[-1] == "100"


def test_given_axes_are_used():
    _, ax = plt.subplots()
    assert plot_confusion(np.eye(2, dtype=int), ["a", "b"], ax=ax) is ax


def test_names_must_fit():
    with pytest.raises(ValueError, match=r"\(2, 2\), but there are 3"):
        plot_confusion(np.eye(2), ["a", "b", "c"])
