"""Made-up catalogs with the columns that protocols read."""

import itertools

import numpy as np
import pandas as pd
import pytest

from agelib.folds import assign_folds
from agelib.recipes import p1_decades, p2_random, p5_5000


def make_catalog(ages, *, clusters=None, usable=None, files=None):
    """Return the columns that protocols read; ``clusters`` are any labels, one a row."""
    n = len(ages)
    first = {}
    clusters = range(n) if clusters is None else clusters
    cluster = [first.setdefault(label, row) for row, label in enumerate(clusters)]
    usable = np.ones(n, dtype=bool) if usable is None else np.array(usable, dtype=bool)
    chosen = pd.Series(cluster)[usable].drop_duplicates().index
    catalog = pd.DataFrame(
        {
            "file": files or [f"{age}_0_0_{row:05d}.jpg.chip.jpg" for row, age in enumerate(ages)],
            "age": pd.array(ages, dtype="Int64"),
            "gender": pd.Series(["male", "female", None] * n, dtype="str")[:n],
            "race": pd.Series([None, "white"] * n, dtype="str")[:n],
            "cluster": np.array(cluster, dtype=np.int64),
            "usable": usable,
            "keep": np.isin(np.arange(n), chosen),
        }
    )
    return catalog.assign(
        fold=assign_folds(catalog),
        p1_decades=p1_decades(catalog),
        p2_random=p2_random(catalog),
        p5_5000=p5_5000(catalog),
    )


def crossing(catalog, parts):
    """Return the clusters with images in more than one part."""
    clusters = [set(catalog["cluster"].iloc[rows]) for rows in parts.values()]
    return set().union(*(a & b for a, b in itertools.combinations(clusters, 2)))


@pytest.fixture(scope="module")
def catalog():
    random = np.random.default_rng(0)
    ages = np.sort(np.clip(random.normal(33, 20, 2000), 1, 110).astype(int))
    return make_catalog(ages, clusters=random.integers(0, 1900, 2000))
