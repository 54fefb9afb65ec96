"""Training from a store larger than memory: what is read when, and what that changes."""

import numpy as np
import pandas as pd
import pytest
from test_training import STRIPES, data, run  # noqa: F401 - data is a fixture

from agelib import streaming
from agelib.files import DataError
from agelib.pipeline import Batches, Images, epoch_order
from agelib.streaming import Windows, memory_budget


class Numbered:
    """A store of grey images of one pixel that notes what is read of it."""

    size, color = 1, "grey"

    def __init__(self, n):
        self.pixels = (np.arange(n) % 251).astype(np.uint8).reshape(n, 1, 1, 1)
        self.shape, self.reads = self.pixels.shape, []

    def read(self, rows):
        self.reads.append(np.asarray(rows))
        return self.pixels[rows]


def test_an_epoch_has_every_image_once_and_batches_are_right():
    store = Numbered(5000)
    rows = np.flatnonzero(np.arange(5000) % 5 != 0)
    images = Images(store, rows, memory_limit=0, window=700)
    assert images._pixels is None
    order = images.order(3, 1)
    assert sorted(order) == list(range(4000))
    batches = Batches(images, np.arange(4000), batch_size=64, order=order)
    taken = [batches[index] for index in range(len(batches))]
    targets = np.concatenate([batch[1] for batch in taken])
    np.testing.assert_array_equal(targets, order)
    pixels = np.concatenate([batch[0] for batch in taken])
    np.testing.assert_array_equal(pixels, store.pixels[rows[order]])
    # Every row was read once, in ascending windows of at most 700 images.
    assert sorted(np.concatenate(store.reads)) == rows.tolist() and len(store.reads) == 6
    assert all((np.diff(read) > 0).all() and len(read) <= 700 for read in store.reads)


def test_batches_are_mixed_and_epochs_differ():
    store = Numbered(20_000)
    one, two = (Windows(store, np.arange(20_000), 0, epoch, 4000).order for epoch in (0, 1))
    assert (one != two).any()
    np.testing.assert_array_equal(one, Windows(store, np.arange(20_000), 0, 0, 4000).order)
    # A batch of 64 has images of many runs of 64, wherever in the store they lie.
    runs = [len(set(one[start : start + 64] // 64)) for start in range(0, 19_968, 64)]
    assert np.median(runs) > 35 and min(runs) > 20
    assert np.std(one[:4000]) > 4000


def test_a_window_that_covers_everything_is_the_order_in_memory():
    np.testing.assert_array_equal(
        Windows(Numbered(300), np.arange(300), 5, 2, 300).order, epoch_order(300, 5, 2)
    )


def test_training_streamed_is_training_in_memory(tmp_path, data, monkeypatch):  # noqa: F811
    data.store.shape = data.store.pixels.shape
    held = run(STRIPES, tmp_path / "held", data)
    monkeypatch.setenv("AGELIB_MEMORY", "0")
    streamed = run(STRIPES, tmp_path / "streamed", data)
    columns = ["loss", "val_loss", "accuracy", "val_accuracy"]
    pd.testing.assert_frame_equal(streamed.history[columns], held.history[columns])
    pd.testing.assert_frame_equal(streamed.predictions, held.predictions)


def test_the_budget_is_half_of_what_is_there_or_as_told(monkeypatch):
    monkeypatch.setattr(streaming, "_available", lambda: 10)
    assert memory_budget() == 5
    monkeypatch.setenv("AGELIB_MEMORY", "0.5")
    assert memory_budget() == 500_000_000
    for wrong in ("much", "-1", "inf", "nan"):
        monkeypatch.setenv("AGELIB_MEMORY", wrong)
        with pytest.raises(DataError, match=f"AGELIB_MEMORY is '{wrong}'; give gigabytes"):
            memory_budget()


@pytest.mark.parametrize(
    ("limit", "used", "cached"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_a_container_has_what_its_limit_leaves_and_what_is_given_up(
    tmp_path, monkeypatch, limit, used, cached
):
    monkeypatch.setattr(streaming, "_ACCOUNTS", tmp_path)
    without = streaming._available()
    (tmp_path / "memory").mkdir()
    (tmp_path / limit).write_text("1000\n")
    (tmp_path / used).write_text("900\n")
    (tmp_path / used).with_name("memory.stat").write_text(f"anon 200\n{cached} 700\n")
    assert streaming._available() == 800
    (tmp_path / used).with_name("memory.stat").unlink()
    assert streaming._available() == 100
    (tmp_path / limit).write_text("max\n")
    assert streaming._available() == pytest.approx(without, rel=0.5)


def test_what_is_available_is_a_sensible_number():
    assert 10**7 < streaming._available() < 10**14
