"""Curves and tables of robustness from responses made by hand."""

import numpy as np
import pytest

from agelib import robustness
from agelib.corruptions import CORRUPTIONS


@pytest.fixture
def found():
    """Return responses of 50 images in which only blur changes anything: 4 years too many."""
    level = np.array([0.0, 0.5, 1.0])
    age = np.arange(20.0, 70)
    arrays = {"age": age, "female": np.arange(50) % 2 == 1, "level": level}
    for kind in CORRUPTIONS:
        off = 4 * level if kind == "blur" else 0 * level
        arrays[f"{kind} age"] = age + 1 + off[:, None]
        arrays[f"{kind} female"] = np.stack([arrays["female"]] * 3)
    arrays["blur female"] = np.stack([arrays["female"], arrays["female"], np.zeros(50, bool)])
    return arrays


def test_curve_has_strengths_and_intervals(found):
    curve = robustness.curve(found, "blur", "mae")
    assert curve["value"].tolist() == [1, 3, 5]
    assert curve["strength"].tolist() == [0, 2, 4]
    assert curve[["low", "high"]].to_numpy().tolist() == [[1, 1], [3, 3], [5, 5]]
    assert robustness.curve(found, "blur", "gender accuracy")["value"].tolist() == [1, 1, 0.5]
    with pytest.raises(ValueError, match="'rmse' is unknown"):
        robustness.measured(found, "blur", "rmse")


def test_changes_are_paired(found):
    table = robustness.changes(found, "bias")
    assert table.loc["Blur", ["clean", "strongest", "change", "n"]].tolist() == [1, 5, 4, 50]
    # Every image changes by the same, so there is nothing to be unsure of.
    assert table.loc["Blur", ["low", "high"]].tolist() == [4, 4]
    assert (table["change"] != 0).sum() == 1


def test_bearable_lies_between_the_levels(found):
    table = robustness.bearable(found, years=3.0)
    # 2 more years at level 0.5 and 4 at level 1: three at 0.75, which is 3 % of the side.
    assert table.loc["Blur", "at"] == pytest.approx(3)
    assert table["at"].isna().sum() == len(CORRUPTIONS) - 1
