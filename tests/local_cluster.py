"""A Dask cluster of two workers on this machine."""

from __future__ import annotations

import os

import pytest

from agelib import paths


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
