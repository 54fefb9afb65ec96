"""Parts of a split and their batches, in memory and streamed."""

import numpy as np
import pandas as pd
import pytest
from test_training import STRIPES, N, data  # noqa: F401 - data is a fixture

from agelib.files import DataError
from agelib.models import head_of
from agelib.parts import make_part
from agelib.pipeline import Batches, Images, class_weights, epoch_order, without_small_last


def test_a_scheme_that_takes_no_image_is_refused(data):  # noqa: F811
    catalog = data.catalog.assign(age=pd.array([100] * N, "Int64"))
    with pytest.raises(DataError, match="takes none of the 4 images"):
        make_part(data.store, catalog, np.arange(4), head_of(STRIPES))


def test_a_gender_that_nobody_has_is_said_so(data):  # noqa: F811
    catalog = data.catalog.assign(gender=pd.array([None] * N, "str"))
    with pytest.raises(DataError, match="none of the 4 images of a part has one; .* gender=0"):
        make_part(data.store, catalog, np.arange(4), head_of(STRIPES), gender=True)


def test_batches_are_the_same_in_memory_and_streamed(data):  # noqa: F811
    order = epoch_order(48, state=3, epoch=1)
    held = Images(data.store, np.arange(48))
    streamed = Images(data.store, np.arange(48), memory_limit=0)
    assert held._pixels is not None and streamed._pixels is None
    targets = np.arange(48)
    one, two = (Batches(images, targets, batch_size=20, order=order) for images in (held, streamed))
    assert [len(one[i][1]) for i in range(len(one))] == [20, 20, 8]
    for i in range(len(one)):
        np.testing.assert_array_equal(one[i][0], two[i][0])
        np.testing.assert_array_equal(one[i][1], order[i * 20 : (i + 1) * 20])


def test_order_depends_on_state_and_epoch_alone():
    orders = {(s, e): tuple(epoch_order(30, s, e)) for s in (0, 1) for e in (0, 1)}
    assert len(set(orders.values())) == 4
    assert all(sorted(order) == list(range(30)) for order in orders.values())
    assert orders[0, 1] == tuple(epoch_order(30, 0, 1))


@pytest.mark.parametrize(
    ("n", "batch", "left"),
    [
        (6177, 32, 6176),
        (65, 32, 64),
        (79, 32, 64),
        (80, 32, 80),
        (64, 32, 64),
        (5, 32, 5),
        (0, 8, 0),
    ],
)
def test_a_last_batch_of_less_than_half_is_left_out_of_an_epoch(n, batch, left):
    order = np.arange(n)
    assert without_small_last(order, batch).tolist() == list(range(left))


def test_batches_follow_an_order_that_leaves_images_out(data):  # noqa: F811
    images, targets = Images(data.store, np.arange(48)), np.arange(48)
    order = without_small_last(epoch_order(48, state=0, epoch=0), 20)
    batches = Batches(images, targets, batch_size=20, order=order)
    assert len(batches) == 2
    seen = np.concatenate([batches[i][1] for i in range(2)])
    np.testing.assert_array_equal(seen, order)


def test_class_weights_follow_p3():
    # P3's training counts and the weights that its notebook prints.
    targets = np.repeat(np.arange(5), [2977, 2269, 3409, 1978, 484])
    weights = class_weights(targets)
    assert weights.dtype == "float32"
    each = [set(weights[targets == k].tolist()) for k in range(5)]
    assert [round(w, 4) for (w,) in each] == [1.1451, 1.5024, 1.0, 1.7235, 7.0434]
