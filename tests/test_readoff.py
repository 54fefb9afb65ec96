"""Classes read off a distribution over years."""

import numpy as np
import pandas as pd
import pytest

from agelib.evaluation import evaluate
from agelib.files import DataError
from agelib.readoff import YEARS, read_off


def distribution(ages, rows):
    outputs = np.zeros((len(ages), YEARS))
    for row, entries in enumerate(rows):
        for year, share in entries.items():
            outputs[row, year] = share
    table = pd.DataFrame({"file": [f"{k}.jpg" for k in range(len(ages))], "age": ages})
    return pd.concat(
        [table, pd.DataFrame(outputs, columns=[f"p{k}" for k in range(YEARS)])], axis=1
    )


def test_probabilities_of_years_add_up_to_those_of_classes():
    # 0 lies below the first decade and counts for it, 80 above the last one.
    years = distribution([5, 34], [{0: 0.2, 10: 0.4, 11: 0.4}, {30: 0.3, 31: 0.45, 80: 0.25}])
    table = read_off(years, "decades-7")
    assert table["true"].tolist() == [0, 3]
    assert table["predicted"].tolist() == [0, 3]
    np.testing.assert_allclose(table.loc[0, ["p0", "p1"]].astype(float), [0.6, 0.4])
    np.testing.assert_allclose(table.loc[1, ["p2", "p3", "p6"]].astype(float), [0.3, 0.45, 0.25])
    assert evaluate(table, kind="classification").loc["accuracy", "value"] == 1


def test_the_most_likely_class_need_not_hold_the_most_likely_year():
    years = distribution([25], [{40: 0.4, 21: 0.3, 29: 0.3}])
    assert read_off(years, "decades-7")["predicted"].tolist() == [2]


def test_images_outside_the_scheme_are_left_out():
    table = read_off(distribution([71, 20], [{70: 1.0}, {20: 1.0}]), "decades-7")
    assert table["file"].tolist() == ["1.jpg"] and table["true"].tolist() == [1]


def test_predictions_without_years_and_schemes_without_classes_are_refused():
    with pytest.raises(DataError, match=r"first p7.*per-year-101"):
        read_off(distribution([5], [{5: 1.0}]).drop(columns="p7"), "decades-7")
    for nothing in (0.0, np.nan):
        with pytest.raises(DataError, match=r"the prediction of 1\.jpg has no probabilities"):
            read_off(distribution([5, 6], [{5: 1.0}, {5: nothing}]), "decades-7")
    with pytest.raises(ValueError, match="no classes"):
        read_off(distribution([5], [{5: 1.0}]), "age")
