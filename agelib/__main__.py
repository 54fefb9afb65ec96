"""``python -m agelib``: see :mod:`agelib.cli`."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from agelib.cli import main


def _terminated(signum: int, frame: object) -> NoReturn:
    # An exception lets a cancelled run stop its notebooks, which the default would orphan.
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    # A script's shell starts what it puts in the background with SIGINT ignored. Ctrl-C ends it
    # all the same: several searches are started that way, and what is stopped goes on later.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(main())
