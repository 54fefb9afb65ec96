"""Label schemes: every boundary age, and every choice for ages outside."""

import numpy as np
import pandas as pd
import pytest

from agelib.labels import SCHEMES, LabelScheme, get_scheme

# First and last year of each class, written out a second time from the source projects.
EDGES = {
    "decades-7": [(1, 10), (11, 20), (21, 30), (31, 40), (41, 50), (51, 60), (61, 70)],
    "five-year-14": [
        *[(1, 5), (6, 10), (11, 15), (16, 20), (21, 25), (26, 30), (31, 35), (36, 40)],
        *[(41, 45), (46, 50), (51, 55), (56, 60), (61, 65), (66, 116)],
    ],
    "uneven-8": [(1, 5), (6, 18), (19, 25), (26, 35), (36, 45), (46, 50), (51, 65), (66, 116)],
    "groups-5": [(0, 6), (7, 20), (21, 37), (38, 59), (60, 116)],
    "adience-8": [(0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100)],
    "per-year-101": [(year, year) for year in range(101)],
}
DEFAULT = {
    "decades-7": "drop",
    "five-year-14": "drop",
    "uneven-8": "drop",
    "groups-5": "last",
    "adience-8": "drop",
    "per-year-101": "clip",
    "age": "drop",
}


def test_registry_is_complete():
    assert {name: scheme.out_of_range for name, scheme in SCHEMES.items()} == DEFAULT
    assert all(get_scheme(name) is scheme for name, scheme in SCHEMES.items())


@pytest.mark.parametrize("name", EDGES)
def test_every_boundary_age(name):
    scheme = get_scheme(name)
    assert scheme.n_classes == len(EDGES[name]) == len(scheme.names)
    for label, (low, high) in enumerate(EDGES[name]):
        assert scheme.encode([low, high]).tolist() == [label, label], (low, high)


@pytest.mark.parametrize("name", EDGES)
def test_every_age_by_every_choice(name):
    ages = np.arange(0, 131)
    edges = EDGES[name]

    def distance(age, label):
        low, high = edges[label]
        return max(low - age, age - high, 0)

    labels = range(len(edges))
    nearest = [min(labels, key=lambda label: distance(age, label)) for age in ages]
    inside = [distance(age, label) == 0 for age, label in zip(ages, nearest, strict=True)]
    drop = np.where(inside, nearest, -1)
    last = np.where(ages > edges[-1][1], len(edges) - 1, drop)
    scheme = get_scheme(name)
    assert scheme.with_out_of_range("clip").encode(ages).tolist() == nearest
    assert scheme.with_out_of_range("drop").encode(ages).tolist() == drop.tolist()
    assert scheme.with_out_of_range("last").encode(ages).tolist() == last.tolist()


@pytest.mark.parametrize(
    ("name", "age", "label"),
    [
        ("decades-7", 0, -1),
        ("decades-7", 71, -1),
        ("five-year-14", 0, -1),
        ("five-year-14", 117, -1),
        ("uneven-8", 117, -1),
        ("groups-5", 117, 4),
        ("adience-8", 3, -1),
        ("adience-8", 13, -1),
        ("adience-8", 59, -1),
        ("adience-8", 101, -1),
        ("per-year-101", 116, 100),
        ("age", 116, 116),
        ("age", 117, -1),
        ("age", 0, 0),
    ],
)
def test_ages_outside_by_default(name, age, label):
    assert get_scheme(name).encode([age]).tolist() == [label]


def test_clip_in_the_middle_of_a_gap_takes_the_younger_class():
    scheme = get_scheme("adience-8").with_out_of_range("clip")
    assert scheme.encode([3, 7, 13, 14, 24]).tolist() == [0, 1, 2, 3, 4]


def test_regression_labels_are_ages():
    scheme = get_scheme("age")
    assert scheme.kind == "regression" and scheme.n_classes == 0
    assert scheme.encode([1, 26, 116]).tolist() == [1, 26, 116]
    assert scheme.with_out_of_range("clip").encode([-3, 130]).tolist() == [0, 116]


@pytest.mark.parametrize("choice", ["drop", "clip", "last"])
def test_a_missing_age_has_no_label_whatever_the_choice(choice):
    scheme = get_scheme("groups-5").with_out_of_range(choice)
    for ages in (
        pd.Series([5, None], dtype="Int64"),
        pd.Series([5, pd.NA], dtype=object),
        np.array([5, np.nan]),
        [5, None],
    ):
        labels = scheme.encode(ages)
        assert labels.tolist() == [0, -1] and labels.dtype == np.int64


def test_no_ages_give_no_labels():
    assert get_scheme("decades-7").encode([]).tolist() == []


def test_ages_between_years_are_refused():
    with pytest.raises(ValueError, match=r"20\.5 at position 1 is not in whole years"):
        get_scheme("decades-7").encode([20, 20.5])


@pytest.mark.parametrize("name", SCHEMES)
def test_folder_names_sort_in_class_order(name):
    folders = get_scheme(name).folder_names
    assert list(folders) == sorted(set(folders))


def test_folder_names_are_padded():
    assert get_scheme("decades-7").folder_names[0] == "01-10"
    assert get_scheme("five-year-14").folder_names[-2:] == ("61-65", "66-116")
    assert get_scheme("groups-5").folder_names[-1] == "60+"
    assert get_scheme("per-year-101").folder_names[7] == "007"


def test_unknown_names_and_choices_are_refused():
    with pytest.raises(ValueError, match="no label scheme 'decades'; choose one of decades-7"):
        get_scheme("decades")
    with pytest.raises(ValueError, match="out_of_range is 'ignore'"):
        get_scheme("age").with_out_of_range("ignore")


@pytest.mark.parametrize(
    ("lower", "upper", "names"),
    [
        ((1, 5), (5, 9), ("a", "b")),  # 5 in both
        ((6, 1), (9, 5), ("a", "b")),  # descending
        ((9,), (1,), ("a",)),
        ((1, 6), (5, 9), ("a",)),
        ((), (), ()),
    ],
)
def test_bad_edges_are_refused(lower, upper, names):
    with pytest.raises(ValueError):
        LabelScheme("bad", "bad", lower, upper, names)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="bad: unknown kind 'ordinal'; choose classification or"):
        LabelScheme("bad", "bad", (1,), (5,), ("a",), kind="ordinal")


GROUPS = {  # group of ages: its class of adience-8, groups-5 and decades-7, by hand
    (0, 2): (0, 0, 0),  # 1 and 2 of 3 years
    (8, 12): (2, 1, 0),  # 8, 9, 10 of 5
    (8, 23): (-1, 1, 1),  # 6 of 16 years in 15-20, 13 in 7-20 as P3 chose, 10 in 11-20
    (23, 25): (-1, 2, 2),  # only 25 lies in 25-32
    (27, 32): (4, 2, 2),
    (38, 42): (5, 3, 3),  # 38, 39, 40
    (38, 43): (5, 3, -1),  # three years on each side of 40
    (38, 48): (5, 3, 4),  # 6 of 11 years in 38-43; 8 of 11 in 41-50
    (60, 100): (7, 4, -1),
}


@pytest.mark.parametrize(("group", "classes"), GROUPS.items())
def test_a_group_has_the_class_that_holds_more_than_half_of_its_years(group, classes):
    none = pd.array([None], dtype="Int64")
    catalog = pd.DataFrame({"age": none, "age_from": [group[0]], "age_to": [group[1]]})
    found = tuple(
        get_scheme(name).of_catalog(catalog)[0] for name in ("adience-8", "groups-5", "decades-7")
    )
    assert found == classes
    assert get_scheme("age").of_catalog(catalog).tolist() == [-1]


def test_ages_in_years_are_labelled_alike_with_and_without_groups_beside_them():
    ages = pd.array([3, 35, None, 61], dtype="Int64")
    catalog = pd.DataFrame({"age": ages})
    beside = catalog.assign(
        age_from=pd.array([None, None, 15, None], dtype="Int64"),
        age_to=pd.array([None, None, 20, None], dtype="Int64"),
    )
    for name in ("adience-8", "groups-5", "per-year-101", "age"):
        scheme = get_scheme(name)
        assert scheme.of_catalog(catalog).tolist() == scheme.encode(ages).tolist()
        assert (
            scheme.of_catalog(beside)[[0, 1, 3]].tolist() == scheme.encode(ages)[[0, 1, 3]].tolist()
        )
