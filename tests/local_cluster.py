"""A Dask cluster of two workers on this machine, and a network that trains in seconds."""

from __future__ import annotations

import dataclasses
import os

import made_experiments
import pytest

from agelib import paths

LENET = dataclasses.replace(made_experiments.LENET, image_size=16)


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
