"""Cells, gaps and corrections against cases counted by hand and against SciPy."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agelib.fairness import balanced, cell_text, cells, compared
from agelib.gaps import gap_table, gaps, gaps_by_stratum
from agelib.intervals import holm
from agelib.reference import subject


def people(n=600, *, state=0, harder=0.0):
    """Return a subject table in which group "b" errs ``harder`` years more."""
    random = np.random.default_rng(state)
    race = np.where(np.arange(n) % 3 == 0, "b", "a")
    error = random.normal(0, 4, n) + np.where(race == "b", harder, 0) * random.choice([-1, 1], n)
    return pd.DataFrame(
        {
            "race": race,
            "gender": np.where(np.arange(n) % 2, "male", "female"),
            "age_group": pd.Categorical(np.where(np.arange(n) % 5 < 2, "young", "old")),
            "error": error,
            "gender_right": random.random(n) < 0.9,
        }
    )


def test_cells_by_hand_small_ones_marked_and_unknown_left_out():
    table = pd.DataFrame(
        {
            "race": ["a"] * 40 + ["b", "b", None],
            "error": [1.0, -3.0] * 20 + [2.0, 2.0, 50.0],
            "gender_right": [True, False] * 20 + [True, True, False],
        }
    )
    found = cells(table, ["race"])
    assert found.loc["a", ["mae", "bias", "gender accuracy", "n"]].tolist() == [2, -1, 0.5, 40]
    assert found.loc["b", ["mae", "bias", "gender accuracy", "n"]].tolist() == [2, 2, 1, 2]
    assert found["small"].tolist() == [False, True]
    assert found.loc["a", "mae low"] < 2 < found.loc["a", "mae high"]


def test_cells_of_combinations_are_those_that_occur():
    found = cells(people(), ["race", "gender", "age_group"])
    assert len(found) == 8
    assert found["n"].sum() == 600
    assert found.index.names == ["race", "gender", "age_group"]


def test_gap_is_the_difference_of_means_and_p_that_of_scipy():
    table = people(harder=2.0)
    values = table["error"].abs().to_numpy()
    found = gaps(values, table["race"], permutations=3000)
    b = (table["race"] == "b").to_numpy()
    assert found.loc["b", "gap"] == pytest.approx(values[b].mean() - values[~b].mean())
    assert found.loc["a", "gap"] == pytest.approx(-found.loc["b", "gap"])
    theirs = stats.permutation_test(
        (values[b], values[~b]),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True, n_resamples=3000, rng=1,
    )  # fmt: skip
    assert found.loc["b", "p"] == pytest.approx(theirs.pvalue, abs=0.03)


def test_p_is_uniform_where_there_is_no_gap():
    p = [
        gaps(t["error"].abs().to_numpy(), t["race"], permutations=99, resamples=2).loc["b", "p"]
        for t in (people(90, state=state) for state in range(200))
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_strata_take_away_what_another_composition_explains():
    # The old err by 8 years, the young by 2, whatever their group; "b" has more of the old.
    old = np.array([True] * 30 + [False] * 170 + [True] * 170 + [False] * 30)
    group = np.repeat(["a", "b"], 200)
    values = np.where(old, 8.0, 2.0)
    raw = gaps(values, group, permutations=200, resamples=50)
    assert raw.loc["b", "gap"] == pytest.approx(6 * (170 - 30) / 200)
    assert raw.loc["b", "p"] == pytest.approx(1 / 201)
    like = gaps(values, group, old, permutations=200, resamples=50)
    assert like.loc["b", "gap"] == pytest.approx(0)
    assert like.loc["b", "p"] == 1


def test_strata_weigh_as_the_group_is_made_up():
    # Young: a 1, b 2; old: a 5, b 9. b has one young and three old, so its gap is (1 + 3 * 4) / 4.
    values = np.array([1.0, 5.0, 2.0, 9.0, 9.0, 9.0])
    group = ["a", "a", "b", "b", "b", "b"]
    old = [0, 1, 0, 1, 1, 1]
    found = gaps(values, group, old, permutations=10, resamples=10)
    assert found.loc["b", "gap"] == pytest.approx(13 / 4)
    assert found.loc["a", "gap"] == pytest.approx(-(1 + 4) / 2)


def test_a_group_alone_in_its_strata_has_no_gap():
    found = gaps(np.arange(4.0), ["a", "a", "b", "b"], [0, 0, 1, 1], permutations=10, resamples=5)
    assert found["gap"].isna().all()
    assert found["p"].isna().all()
    with pytest.raises(ValueError, match="needs two"):
        gaps(np.arange(3.0), ["a", "a", None])


def test_holm_by_hand():
    p = np.array([0.04, 0.01, np.nan, 0.03])
    # Ordered 0.01, 0.03, 0.04 times 3, 2, 1; never below the one before.
    assert holm(p) == pytest.approx([0.06, 0.03, np.nan, 0.06], nan_ok=True)
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_gap_table_corrects_over_all_its_rows():
    table = gap_table(people(harder=6.0), ["gender", "race"], strata="age_group")
    # Within strata the second of two groups does not mirror the first.
    assert len(table) == 12
    assert table["p holm"].to_numpy() == pytest.approx(holm(table["p"].to_numpy()))
    assert table.loc[("mae", "race", "a"), "clear"] == "yes"
    assert set(table.index[table["clear"] == "yes"]) == {("mae", "race", "a"), ("mae", "race", "b")}
    # As they are it does: one row for each measure and attribute.
    assert len(gap_table(people(harder=6.0), ["gender", "race"])) == 6


def test_an_attribute_of_one_group_has_no_gap():
    table = gap_table(people().assign(race="not annotated"), ["gender", "race"])
    assert set(table.index.get_level_values("attribute")) == {"gender"}
    none = gap_table(people().assign(race="not annotated"), ["race"])
    assert none.empty and none.index.names == table.index.names
    assert list(none.columns) == list(table.columns)
    assert none.drop(columns="p").round(4).empty


@pytest.mark.parametrize(
    ("races", "told"),
    [([None, None], ["not annotated"] * 2), (["asian", None], ["asian", None])],
)
def test_a_data_set_without_races_says_so_in_one_group(races, told):
    catalog = pd.DataFrame(
        {"file": ["a", "b"], "gender": ["female", "male"], "race": pd.array(races, "str")}
    )
    predictions = pd.DataFrame(
        {"file": ["a", "b"], "age": [5, 50], "expected_age": [7.0, 40.0]}
    ).assign(true=[5, 50], female=[1, 0], p_female=[0.9, 0.8])
    lab = SimpleNamespace(catalog=catalog.assign(cluster=[0, 1], fold=0))
    table = subject(lab, [SimpleNamespace(predictions=predictions)])
    assert table["race"].astype(object).where(table["race"].notna(), None).tolist() == told
    assert table["error"].tolist() == [2.0, -10.0]
    assert table["gender_right"].tolist() == [True, False]


def test_cells_as_text_mark_the_small_ones():
    found = cells(people(), ["race", "gender", "age_group"])
    found.loc[("b", "male", "old"), "small"] = True
    text = cell_text(found, "mae")
    assert text.shape == (4, 2)
    cell = found.loc[("b", "male", "old")]
    shown = f"({cell['mae']:.1f} [{cell['mae low']:.1f}, {cell['mae high']:.1f}], n = {cell['n']})"
    assert text.loc[("b", "male"), "old"] == shown
    assert not text.loc[("a", "male"), "old"].startswith("(")


def test_a_handful_of_images_gets_no_interval():
    found = cells(people().iloc[:8], ["race", "gender"])
    assert (found["n"] < 5).all()
    assert found[["mae low", "mae high"]].isna().all(axis=None)
    a_male = found.loc[("a", "male")]
    assert cell_text(found, "bias").loc["a", "male"] == f"({a_male['bias']:.1f}, n = {a_male['n']})"


def test_all_right_or_all_wrong_is_not_certain():
    table = people(80).assign(gender_right=lambda t: t["race"] == "a")
    found = cells(table, ["race"])[["gender accuracy low", "gender accuracy high"]]
    for race, right in (("a", 1), ("b", 0)):
        n = int((table["race"] == race).sum())
        theirs = stats.binomtest(right * n, n).proportion_ci(method="wilson")
        assert found.loc[race].tolist() == pytest.approx([theirs.low, theirs.high], abs=1e-4)
    # One that is wrong is enough for draws that differ.
    table.loc[1, "gender_right"] = False
    assert 0.8 < cells(table, ["race"]).loc["a", "gender accuracy low"] < 1


@pytest.mark.parametrize(("n", "known"), [(1, False), (4, False), (5, True)])
def test_a_gap_of_a_handful_has_no_interval(n, known):
    values = np.arange(20.0 + n)
    found = gaps(values, ["a"] * 20 + ["b"] * n, permutations=20, resamples=50)
    assert found["gap"].notna().all() and found["p"].notna().all()
    assert found[["low", "high"]].notna().all(axis=1).tolist() == [known, known]
    # Of many images only those count that have others to be compared with.
    group, stratum = ["a"] * 20 + ["b"] * (n + 20), [0] * (20 + n) + [1] * 20
    found = gaps(np.arange(40.0 + n), group, stratum, permutations=20, resamples=50)
    assert found["low"].notna().tolist() == [known, known]


def test_balanced_needs_a_combination_of_30_images():
    with pytest.raises(ValueError, match="no combination of race, gender has 30 images"):
        balanced(people(80), ["race", "gender"])


def test_balanced_gives_each_cell_the_same_weight():
    table = pd.DataFrame(
        {
            "race": ["a"] * 90 + ["b"] * 30 + ["c"],
            "error": [2.0] * 90 + [-6.0] * 30 + [99.0],
            "gender_right": [True] * 90 + [False] * 31,
        }
    )
    found = balanced(table, ["race"], resamples=100)
    assert found.loc["mae", ["as they are", "balanced"]].tolist() == [3, 4]
    assert found.loc["bias", "balanced"] == -2
    assert found.loc["gender accuracy", "balanced"] == 0.5
    assert (found["cells"] == 2).all()  # "c" is too small to count
    # Every cell has one value, so no resample can move its mean.
    assert found.loc["mae", ["low", "high"]].tolist() == [4, 4]


def test_two_networks_are_compared_image_by_image():
    before = people().assign(file=[str(k) for k in range(600)])
    young = before["age_group"] == "young"
    after = before.assign(error=before["error"] + np.where(young, 2.0, 0.0))
    table = compared(before, after, "age_group")
    assert table.loc[("bias", "young"), ["change", "low", "high"]].tolist() == pytest.approx(
        [2] * 3
    )
    assert table.loc[("bias", "old"), "change"] == 0
    mean = table.loc[("bias", "young"), "before"]
    assert mean == pytest.approx(before.loc[young, "error"].mean())
    assert table.loc[("mae", "young"), "n"] == young.sum()
    with pytest.raises(ValueError, match="different images"):
        compared(before, after.iloc[1:], "age_group")


@pytest.mark.parametrize("strata", [[None, None], ["old", None]])
def test_a_gap_needs_two_groups_with_strata(strata):
    with pytest.raises(ValueError, match="a gap needs two groups"):
        gaps(np.array([1.0, 2.0]), ["a", "b"], pd.Series(strata, dtype="str"), permutations=1)


def test_gaps_by_stratum_by_hand():
    subject = pd.DataFrame(
        {
            "error": [3.0, 1.0, -4.0, 2.0, 5.0],
            "gender_right": True,
            "race": ["a", "b", "a", "b", "a"],
            "age_group": ["young", "young", "old", "old", "ancient"],
        }
    )
    found = gaps_by_stratum(subject, "bias", "race", "age_group")["gap"].to_dict()
    # The ancient are all of one race.
    assert found == {("old", "a"): -6, ("old", "b"): 6, ("young", "a"): 2, ("young", "b"): -2}
    assert gaps_by_stratum(subject.iloc[4:], "bias", "race", "age_group").empty
