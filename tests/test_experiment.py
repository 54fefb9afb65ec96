"""An experiment is a value."""

import dataclasses
import json

import made_experiments
import pytest

from agelib.descriptions import differences
from agelib.experiment import Recipe

LENET = dataclasses.replace(made_experiments.LENET, chapter="03-lenet", recipe=Recipe(epochs=15))


def test_a_tweak_changes_one_thing_and_keeps_the_original():
    tweak = LENET.tweak("1.1", "LeNet-5, L2", options={"l2": 0.001}, recipe={"epochs": 20})
    assert dict(tweak.options) == {"l2": 0.001}
    assert (tweak.recipe.epochs, LENET.recipe.epochs) == (20, 15)
    assert tweak.recipe.batch_size == LENET.recipe.batch_size
    again = tweak.tweak("1.2", "both", options={"batch_norm": True})
    assert dict(again.options) == {"l2": 0.001, "batch_norm": True}


def test_a_tweak_without_a_number_of_its_own_is_refused():
    with pytest.raises(ValueError, match="another number than 1.0"):
        LENET.tweak("1.0", "LeNet-5, again")


def test_slug_names_number_protocol_fold_state_and_reduction():
    assert LENET.slug == "1.0-lenet-5__p1-decades__state-0"
    folds = LENET.over_folds("sample-5fold")
    assert [e.slug for e in folds][3] == "1.0-lenet-5__sample-5fold-3__state-0"
    small = folds[0].reduced(epochs=3)
    assert small.slug == "1.0-lenet-5__sample-5fold-0__state-0__epochs-3"


def test_a_reduction_remembers_the_full_size_and_never_enlarges():
    assert LENET.reduced(epochs=15) == LENET.reduced(epochs=None) == LENET
    twice = LENET.reduced(epochs=5).reduced(epochs=2, image_size=16)
    assert dict(twice.reduction) == {"epochs": 15, "image_size": 32}
    assert (twice.recipe.epochs, twice.image_size) == (2, 16)


def test_description_survives_json_and_names_do_not_enter_the_fingerprint():
    values = LENET.describe()
    assert json.loads(json.dumps(values)) == values
    renamed = LENET.tweak("9.0", "Same network, other name")
    assert renamed.fingerprint == LENET.fingerprint
    other = [LENET.on("p1-decades", state=1), LENET.tweak("1.2", "L2", options={"l2": 0.1})]
    assert len({e.fingerprint for e in (*other, LENET)}) == 3


def test_differences_name_the_nested_key():
    tweak = LENET.tweak("1.1", "LeNet-5", recipe={"learning_rate": 0.01})
    lines = list(differences(LENET.describe(), tweak.describe()))
    assert lines == ["number: '1.0' -> '1.1'", "recipe.learning_rate: 0.001 -> 0.01"]


def test_experiments_are_hashable_whatever_the_order_of_their_options():
    one = LENET.tweak("1.1", "x", options={"l2": 0.1, "batch_norm": True})
    two = LENET.tweak("1.1", "x", options={"batch_norm": True, "l2": 0.1})
    assert one == two and hash(one) == hash(two)


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"epochs": 0}, "epochs is 0"), ({"epochs": 1, "learning_rate": 0.0}, "above 0")],
)
def test_an_impossible_recipe_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**bad)
