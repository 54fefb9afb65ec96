"""Images read into memory, for tests of what is read."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from agelib.catalog import describe
from agelib.reading import BLOCK, FACTS, THUMBNAIL, read_files


class Held:
    """A sink for `read_files` that holds everything in memory."""

    size, color = 8, "grey"

    def __init__(self, n):
        self.facts = np.zeros(n, dtype=FACTS)
        self.thumbnails = np.zeros((n, THUMBNAIL), dtype=np.uint8)
        self.images = np.full((n, 8, 8, 1), 77, dtype=np.uint8)

    def missing(self, folder, files):
        return list(range(0, len(files), BLOCK))

    def write(self, start, block):
        rows = slice(start, start + len(block.facts))
        self.facts[rows], self.thumbnails[rows], self.images[rows] = block


class Scan(NamedTuple):
    catalog: pd.DataFrame
    thumbnails: np.ndarray


def scan(folder, files, parse, *, jobs=None):
    """Read files; return the catalog, before any cleaning, and the thumbnails."""
    held = Held(len(files))
    read_files(folder, files, sink=held, jobs=jobs)
    return Scan(describe(files, held.facts, parse), held.thumbnails)
