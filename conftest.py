"""What every test starts from, and how nbval compares the committed notebooks."""

from __future__ import annotations

import os

# TensorFlow and Jupyter write process numbers and times there; and a reader's viewer shows
# one of several formats of a figure, so those that are not compared anyway stay out.
_NOT_COMPARED = ("stderr", "image/svg+xml", "application/pdf")


def pytest_configure(config):
    # What a user has pointed elsewhere must not decide whether a test passes.
    for name in [name for name in os.environ if name.startswith("AGELIB_")]:
        del os.environ[name]


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += _NOT_COMPARED


def pytest_itemcollected(item):
    # nbval waits 5 s for each message of a kernel, too short on a busy machine.
    if hasattr(item, "output_timeout"):
        item.output_timeout = 60
