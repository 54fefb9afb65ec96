"""How many cores there are."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the number of cores that this process may use, maybe not all of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
