"""How the estimate changes when images get worse, measured on a subset of the test images."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from agelib.corruptions import CORRUPTIONS, corrupt
from agelib.experiment import Experiment
from agelib.intervals import mean_intervals

if TYPE_CHECKING:
    from agelib.lab import Lab

_MOST = 1000  # test images
LEVELS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MEASURES = ("mae", "bias", "gender accuracy")


class Corrupted:
    """Images that are corrupted as they are taken; stands in for `agelib.pipeline.Images`."""

    def __init__(self, images: np.ndarray, kind: str, level: float) -> None:
        self._images = corrupt(images, kind, level)

    def __len__(self) -> int:
        return len(self._images)

    def take(self, positions: np.ndarray | slice) -> np.ndarray:
        """Return the corrupted images at ``positions``."""
        return self._images[positions]


def responses(lab: Lab, experiment: Experiment) -> dict[str, np.ndarray]:
    """Estimate age and gender of test images under every corruption and level.

    Parameters
    ----------
    lab : Lab
        An open data set with its images.
    experiment : Experiment
        Whose network estimates; one that answers in years and knows gender.

    Returns
    -------
    dict of str to ndarray
        ``name``, ``age``, ``female`` (as annotated), each (n,), of 1,000 images spread evenly over
        the test part in order of file name (in UTKFace it begins with the age), or of all where
        there are fewer; ``level`` (l,); for each
        corruption ``<kind> age`` (l, n), years to two decimals, and ``<kind> female`` (l, n),
        whether the network says female.
    """
    # Imported here: a reader of kept arrays needs no backend, and its import takes seconds.
    from agelib.models import head_of
    from agelib.parts import make_part, predict

    test = lab.split(experiment.protocol, experiment.fold).test
    rows = test[np.linspace(0, len(test) - 1, min(_MOST, len(test))).round().astype(int)]
    store, head = lab.store(experiment.image_size, experiment.color), head_of(experiment)
    network = lab.network(experiment)
    part = make_part(store, lab.catalog, rows, head, gender=True)
    pixels = part.images.take(slice(None))

    def estimate(kind: str, level: float) -> pd.DataFrame:
        changed = dataclasses.replace(part, images=Corrupted(pixels, kind, level))
        return predict(network, changed, lab.catalog, head, flip=experiment.flip_at_test)

    clean = estimate("grey", 0)
    found = {
        "name": clean["file"].to_numpy().astype(str),
        "age": clean["age"].to_numpy(np.float32),
        "female": clean["female"].to_numpy(bool),
        "level": np.array(LEVELS),
    }
    for kind in CORRUPTIONS:
        tables = [clean, *(estimate(kind, level) for level in LEVELS[1:])]
        ages = np.stack([table["expected_age"].to_numpy(np.float32) for table in tables])
        female = np.stack([table["p_female"].to_numpy() > 0.5 for table in tables])
        found |= {f"{kind} age": ages.round(2), f"{kind} female": female}
    return found


def measured(found: dict[str, np.ndarray], kind: str, measure: str) -> np.ndarray:
    """Return a measure of each image at each level of a corruption.

    Parameters
    ----------
    found : dict of str to ndarray
        From `responses`.
    kind : str
        Key of `agelib.corruptions.CORRUPTIONS`.
    measure : {'mae', 'bias', 'gender accuracy'}
        Absolute error and error (expected minus true age) in years; 1 where the gender is right.

    Returns
    -------
    ndarray of shape (levels, n)

    Raises
    ------
    ValueError
        If the measure is unknown.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r} is unknown; choose from {', '.join(MEASURES)}")
    if measure == "gender accuracy":
        return (found[f"{kind} female"] == found["female"]).astype(np.float64)
    error = found[f"{kind} age"].astype(np.float64) - found["age"]
    return np.abs(error) if measure == "mae" else error


def curve(found: dict[str, np.ndarray], kind: str, measure: str) -> pd.DataFrame:
    """Return a measure against the strength of a corruption, with 95 % intervals.

    Returns
    -------
    DataFrame
        One row a level: ``level``, ``strength`` (in the corruption's unit), ``value``, ``low``,
        ``high``, ``n``. Every level is scored on the same resampled images.
    """
    values = measured(found, kind, measure)
    rows = [mean_intervals(row).loc["all"] for row in values]
    table = pd.DataFrame(rows).reset_index(drop=True)
    strength = [CORRUPTIONS[kind].strength_at(level) for level in found["level"]]
    return table.assign(level=found["level"], strength=strength)


def changes(found: dict[str, np.ndarray], measure: str) -> pd.DataFrame:
    """Return how much each corruption at its strongest changes a measure, paired by image.

    Returns
    -------
    DataFrame
        One row a corruption: ``clean``, ``strongest``, ``change`` with ``low`` and ``high`` (95 %
        interval over the same images) and ``n``.
    """
    rows = {}
    for kind, corruption in CORRUPTIONS.items():
        values = measured(found, kind, measure)
        gain = mean_intervals(values[-1] - values[0]).loc["all"]
        row = {"clean": values[0].mean(), "strongest": values[-1].mean(), "change": gain["value"]}
        rows[corruption.title] = row | {name: gain[name] for name in ("low", "high", "n")}
    return pd.DataFrame.from_dict(rows, orient="index").astype({"n": int})


def bearable(found: dict[str, np.ndarray], *, years: float = 1.0) -> pd.DataFrame:
    """Return at which strength each corruption has raised the mean absolute error by ``years``.

    Returns
    -------
    DataFrame
        One row a corruption: ``strength`` (what it is and its unit) and ``at``, straight between
        the levels measured; missing where the strongest costs less.
    """
    rows = {}
    for kind, corruption in CORRUPTIONS.items():
        rise = measured(found, kind, "mae").mean(axis=1)
        rise = rise - rise[0]
        over = np.flatnonzero(rise >= years)
        at = np.nan
        if len(over):
            last, first = over[0] - 1, over[0]
            share = (years - rise[last]) / (rise[first] - rise[last])
            levels = found["level"]
            level = levels[last] + share * (levels[first] - levels[last])
            at = corruption.strength_at(float(level))
        rows[corruption.title] = {"strength": corruption.strength, "at": at}
    return pd.DataFrame.from_dict(rows, orient="index")
