"""Several devices that share each batch: two virtual ones of the CPU, beside one."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from agelib import backend, paths
from agelib.backend import keras
from agelib.experiment import Experiment, Recipe
from agelib.training import train

# In a process of its own: how many devices there are is settled when a backend starts.
TRAIN = """
import json, sys
from pathlib import Path

if sys.argv[1] == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import numpy as np
import pandas as pd
from agelib.backend import hardware, name
from agelib.experiment import Experiment, Recipe
from agelib.protocols import Split
from agelib.training import train

N = 131  # validation and test are odd numbers, and the last batch of training a small one


class Drawn:
    size, color = 16, "grey"
    pixels = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 1), dtype="uint8")

    def read(self, rows):
        return self.pixels[rows]


catalog = pd.DataFrame({
    "file": [f"{k}.jpg" for k in range(N)], "cluster": np.arange(N), "usable": True,
    "age": pd.array(np.random.default_rng(1).integers(0, 100, N), "Int64"),
    "gender": pd.array((["male", "female"] * N)[:N], "str"), "race": "other",
})
rows = np.arange(N)
data = dict(
    store=Drawn(), catalog=catalog, manifest="m",
    split=Split("sample-5fold", 0, rows[:78], rows[78:105], rows[105:], "f" * 64),
)
experiment = Experiment(
    number="1.0", name="shared", chapter="99-test", architecture="residual",
    options={"widths": (8, 16)},
    labels="per-year-101", head="distribution", gender=1.0, flip_at_test=True,
    dataset="sample", protocol="sample-5fold", fold=0, image_size=16, color="grey",
    recipe=Recipe(epochs=3, batch_size=16, optimizer="adamw", learning_rate=3e-3, ema=0.9),
)


def stop(epoch, score):
    if epoch == 1:
        raise KeyboardInterrupt


told = {"backend": name()}
for devices in (1, 2):
    folder = Path(sys.argv[2]) / str(devices)
    # Two are interrupted and go on: as if they had not been, and as one would.
    try:
        after = stop if devices == 2 else None
        record = train(experiment, folder, devices=devices, after_epoch=after, **data)
    except KeyboardInterrupt:
        record = train(experiment, folder, devices=devices, **data)
    # Keras means a loss over batches, whatever their sizes; metrics it means over images.
    columns = record.history.filter(regex="^(?!seconds|val_.*loss)")
    table = record.predictions[["expected_age", "p_female"]]
    told[devices] = [columns.to_numpy().tolist(), table.to_numpy().tolist()]
    told["hardware"] = record.summary["hardware"] == hardware(devices)
print(json.dumps(told))
"""

SHARES = """
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import numpy as np
from agelib.backend import sharing
from agelib.heads import make_head
from agelib.labels import get_scheme

head = make_head("corn", get_scheme("per-year-101"), {})
targets = head.targets(np.array([1, 2, 90, 95]))
answers = np.random.default_rng(0).uniform(0.1, 0.9, targets.shape).astype("float32")
print(float(head.loss()(targets, answers)))
with sharing(2):
    strategy = tf.distribute.get_strategy()
    shares = [
        strategy.experimental_distribute_values_from_function(
            lambda replica: np.split(rows, 2)[replica.replica_id_in_sync_group]
        )
        for rows in (targets, answers)
    ]
    losses = strategy.run(head.loss(), args=shares)
    print(sum(map(float, strategy.experimental_local_results(losses))))  # each is halved already
"""


def in_new_process(script, *arguments, backend):
    several = {
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(paths.root()), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | several, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("which", ["tensorflow", "jax"])
def test_two_devices_learn_what_one_does(tmp_path, which):
    told = json.loads(in_new_process(TRAIN, which, tmp_path, backend=which)[-1])
    assert told["backend"] == which and told["hardware"]
    (curves, answers), (shared_curves, shared_answers) = told["1"], told["2"]
    assert len(shared_curves) == 3
    np.testing.assert_allclose(shared_curves, curves, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(shared_answers, answers, rtol=5e-3, atol=5e-3)


def test_corn_counts_the_questions_of_all_devices():
    # Those of old faces are many: a device that has only them must not divide by its own.
    whole, shared = map(float, in_new_process(SHARES, backend="tensorflow")[-2:])
    assert shared == pytest.approx(whole, rel=1e-5)


EXPERIMENT = Experiment(
    number="1.0", name="x", chapter="99-test", architecture="lenet5", labels="decades-7",
    dataset="sample", protocol="sample-5fold", fold=0, recipe=Recipe(epochs=1, batch_size=32),
)  # fmt: skip
NOTHING = {"store": None, "catalog": pd.DataFrame(), "split": None, "manifest": "m"}


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (3, "3 devices cannot share a batch of 32 equally"),
        (16, "16 devices are asked for, and .* sees 1 here .*; ask for 1 to 1"),
    ],
)
def test_devices_that_cannot_share(tmp_path, devices, message):
    with pytest.raises(ValueError, match=message):
        train(EXPERIMENT, tmp_path / "record", devices=devices, **NOTHING)


@pytest.mark.skipif(backend.name() != "tensorflow", reason="TensorFlow's way to share")
def test_images_too_few_for_the_devices_are_refused(monkeypatch):
    shared = SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(backend.tf.distribute, "has_strategy", lambda: True)
    monkeypatch.setattr(backend.tf.distribute, "get_strategy", lambda: shared)
    assert backend.prediction_batch(10) == 10
    with pytest.raises(ValueError, match="2 devices cannot share 3 images"):
        backend.prediction_batch(3)


def test_under_jax_augmentation_is_compiled_with_the_rest(monkeypatch):
    # Keras refuses to compile anything once TensorFlow was asked for deterministic kernels.
    monkeypatch.setattr("keras.src.trainers.trainer.model_supports_jit", _all_support_jit)
    shifted = keras.Sequential(
        [keras.layers.RandomTranslation(0.1, 0.1), keras.layers.Dense(1)]
    )  # fmt: skip
    shifted.compile(loss="mse", jit_compile="auto")
    backend.compile_augmentation(shifted)
    assert [layer.supports_jit for layer in shifted.layers] == [False, True]
    assert shifted.jit_compile is False
    monkeypatch.setattr(backend, "name", lambda: "jax")
    backend.compile_augmentation(shifted)
    assert all(layer.supports_jit for layer in shifted.layers)
    assert shifted.jit_compile is True


def _all_support_jit(network):
    return all(layer.supports_jit for layer in network._flatten_layers())


def test_a_backend_that_cannot_share(monkeypatch):
    monkeypatch.setattr(backend, "name", lambda: "torch")
    with pytest.raises(ValueError, match="torch backend trains on one device"), backend.sharing(2):
        pass
