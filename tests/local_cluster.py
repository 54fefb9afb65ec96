"""A Dask cluster of two workers on this machine, and a network that trains in seconds."""

from __future__ import annotations

import os

import pytest

from agelib import paths
from agelib.experiment import Experiment, Recipe

LENET = Experiment(
    number="1.0", name="LeNet-5", chapter="99-test", architecture="lenet5", labels="decades-7",
    dataset="sample", protocol="p1-decades", color="grey", image_size=16,
    recipe=Recipe(epochs=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def scheduler():
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patch:
        # The workers are processes that import this module and the package.
        here = [str(paths.root()), str(paths.root() / "tests"), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(here))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            host="127.0.0.1",
        ) as two:  # fmt: skip
            yield two.scheduler_address
