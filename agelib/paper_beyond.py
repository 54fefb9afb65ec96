"""What the paper says beyond the test images as they are: worse images, and photographs."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import pandas as pd

from agelib import peer_table, reference, robustness
from agelib.corruptions import CORRUPTIONS
from agelib.experiment import Experiment
from agelib.faces import SMALLEST_EYES
from agelib.files import DataError
from agelib.lab import Lab
from agelib.paper_text import count, in_text, listed, text_table, told_apart, with_ends

ROBUSTNESS, PEERS, USE = "18-robustness", "20-peers", "24-predict-your-own-photo"
# Whatever moves an estimate by more is another network, not another rounding.
_SAME = 0.05


def kept_files(lab: Lab) -> list[str]:
    """Return what chapters keep beside their records and the paper reads.

    Parameters
    ----------
    lab : Lab
        An open data set.

    Returns
    -------
    list of str
        Paths in the folder of the results, whether the files are there or not.
    """
    names = [
        f"{ROBUSTNESS}/{reference.reference(lab).slug}.npz",
        f"{PEERS}/{peer_table.key(_own_peers(lab), [])}.npz",
        *(f"{USE}/{name}.json" for name in ("gap", "latency")),
    ]
    return [f"{lab.dataset}/{name}" for name in names]


def _not_measured(chapter: str) -> NoReturn:
    raise DataError(f"the paper needs what chapter {chapter} measures; run that notebook first")


def _kept_arrays(lab: Lab, chapter: str, name: str) -> dict[str, np.ndarray]:
    return lab.arrays(chapter, name, lambda: _not_measured(chapter))


def _kept_facts(lab: Lab, name: str) -> dict[str, Any]:
    return lab.facts(USE, name, lambda: _not_measured(USE))


def responses(lab: Lab) -> dict[str, np.ndarray]:
    """Return what the small network said of corrupted images, see `agelib.robustness.responses`.

    Parameters
    ----------
    lab : Lab
        An open data set.

    Raises
    ------
    DataError
        If chapter 18 has not measured it, or on another network than the record is of.
    """
    experiment = reference.reference(lab)
    found = _kept_arrays(lab, ROBUSTNESS, experiment.slug)
    told = lab.record(experiment).predictions.set_index("file")["expected_age"]
    clean = robustness.measured(found, next(iter(CORRUPTIONS)), "bias")[0] + found["age"]
    apart = np.abs(told.reindex(found["name"]).to_numpy() - clean)
    if not (apart <= _SAME).all():
        raise DataError(
            f"{experiment.slug}: what chapter {ROBUSTNESS} kept is of another network than the "
            "record; run that notebook with RETRAIN = True"
        )
    return found


def robustness_values(found: dict[str, np.ndarray]) -> dict[str, str]:
    """Return, by name, what worse images do; ``found`` is from `responses`."""
    error, bias = (robustness.changes(found, name) for name in ("mae", "bias"))
    gender = robustness.changes(found, "gender accuracy")
    clean = robustness.curve(found, next(iter(CORRUPTIONS)), "mae").iloc[0]
    most, least = error["change"].idxmax(), error["change"].idxmin()
    darkest = gender["change"].idxmin()
    names = bias.index.map(in_text)
    return {
        "robust.n": count(clean["n"]),
        "robust.kinds": count(len(error)),
        "robust.levels": count((found["level"] > 0).sum()),
        "robust.clean": with_ends(clean),
        "robust.most": in_text(most),
        "robust.most_change": with_ends(error.loc[most], 1, value="change"),
        "robust.least": in_text(least),
        "robust.least_change": with_ends(error.loc[least], 1, value="change"),
        "robust.older": listed(names[bias["low"] > 0]),
        "robust.younger": listed(names[bias["high"] < 0]),
        "robust.gender": in_text(darkest),
        "robust.gender_change": with_ends(100 * gender.loc[darkest], 0, value="change"),
    }


def robustness_table(found: dict[str, np.ndarray]) -> dict[str, list]:
    """Return each corruption's effect at its strongest; ``found`` is from `responses`."""
    error, bias = (robustness.changes(found, name) for name in ("mae", "bias"))
    gender = 100 * robustness.changes(found, "gender accuracy")
    bearable = robustness.bearable(found)["at"]
    rows = []
    for corruption in CORRUPTIONS.values():
        title = corruption.title
        at = "" if pd.isna(bearable[title]) else f"{bearable[title]:.2g}"
        changes = [with_ends(t.loc[title], 1, value="change") for t in (error, bias)]
        gendered = with_ends(gender.loc[title], 0, value="change")
        measured = f"{title}: {corruption.strength[0].lower()}{corruption.strength[1:]}"
        rows.append([measured, at, f"{corruption.at[1]:g}", *changes, gendered])
    names = ["corruption: strength", "a year worse", "strongest", "error (years)", "bias (years)"]
    return text_table([*names, "gender right (points)"], rows)


def _own_peers(lab: Lab) -> dict[str, Experiment]:
    """Return our own peers of chapter 20, called as there."""
    return {"64 pixels": reference.reference(lab), "32 pixels": reference.quick(lab)}


def use_values(lab: Lab) -> dict[str, str]:
    """Return, by name, what is lost between chips and photographs, and what an estimate costs.

    Parameters
    ----------
    lab : Lab
        An open data set.

    Raises
    ------
    DataError
        If chapter 20 or 24 has not measured it.
    """
    gap, times = _kept_facts(lab, "gap"), _kept_facts(lab, "latency")
    errors = pd.DataFrame.from_dict(gap["errors"], orient="index")
    sizes = pd.DataFrame(gap["sizes"]).set_index("pixels between the eyes")
    words = ("smaller than", "larger than", "not to be told apart from")
    values = {
        "use.n": count(gap["n"]),
        "use.found": count(gap["found"]),
        "use.difference": with_ends(gap["difference"]),
        "use.words": told_apart(gap["difference"], *words),
        "use.eyes": f"{sizes.index[0]:.0f}",
        "use.eyes_mae": with_ends(sizes.iloc[0], value="mae"),
        "use.least": count(SMALLEST_EYES),
        "use.least_mae": with_ends(sizes.loc[SMALLEST_EYES], value="mae"),
        "use.megabytes": f"{times['formats']['onnx']['megabytes']:.1f}",
        "use.ms": f"{times['formats']['onnx']['ms, 1 a call']:.1f}",
        "use.hardware": times["hardware"].replace(" x ", " × "),
    }
    for name, row in zip(("given", "aligned", "box"), errors.index, strict=True):
        values[f"use.{name}"] = with_ends(errors.loc[row], value="mae")
    return values | _peer_values(lab)


def _peer_values(lab: Lab) -> dict[str, str]:
    own = _own_peers(lab)
    found = _kept_arrays(lab, PEERS, peer_table.key(own, []))
    rows, values = peer_table.table(found), {}
    names = [str(name) for name in found["name"]]
    ages = pd.DataFrame({name: found[f"{place} age"] for place, name in enumerate(names)})
    apart = 0.0
    for title, label in zip(own, ("large", "small"), strict=True):
        formats = ages[[name for name in names if name.startswith(f"{title}, ")]]
        apart = max(apart, (formats.max(axis=1) - formats.min(axis=1)).max())
        row = rows.loc[f"{title}, onnx"]
        values[f"peers.{label}"] = with_ends(row, value="mae")
        values[f"peers.{label}_ms"] = f"{row['ms, 1 image']:.1f}"
        values[f"peers.{label}_side"] = title.partition(" ")[0]
    return values | {"peers.apart": f"{apart:.3f}", "peers.n": count(len(ages))}
