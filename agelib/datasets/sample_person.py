"""The people of the built-in sample: traits in which age shows through several imperfect cues."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from agelib.datasets.sample_sketch import mix, tone

GREY = (206, 205, 203)

_SKINS = {
    "white": (236, 196, 172),
    "black": (122, 80, 58),
    "asian": (233, 196, 150),
    "indian": (178, 126, 88),
    "other": (208, 158, 120),
}
_HAIR = ((28, 22, 22), (52, 36, 28), (92, 62, 40), (168, 128, 78), (142, 74, 40))
_HAIR_SHARES = ((0.2, 0.3, 0.24, 0.18, 0.08), (0.5, 0.35, 0.15, 0, 0))  # light skin, dark skin
_EYES = ((58, 38, 26), (92, 62, 36), (88, 108, 84), (92, 126, 158))
_EYE_SHARES = ((0.4, 0.2, 0.15, 0.25), (0.8, 0.2, 0, 0))

Cue = Callable[[float, float, float], float]


def draw_person(age: float, gender: str, race: str, rng: np.random.Generator) -> SimpleNamespace:
    """Draw the traits of one person.

    Parameters
    ----------
    age : float
        Age in years. The person looks older or younger (standard deviation about 6 % of the age),
        and each cue errs once more, so that no drawing gives its age away.
    gender : {"male", "female"}
        Shifts proportions and the odds of long hair, beard and lipstick.
    race : {"white", "black", "asian", "indian", "other"}
        Chooses the skin tone; hair and eyes follow the tone that came out.
    rng : numpy.random.Generator
        Source of everything else.

    Returns
    -------
    types.SimpleNamespace
        Lengths and positions in pixels of the picture, colours, and strengths from 0 to 1.
    """
    look = max(0.3, age + rng.standard_normal() * (0.4 + 0.055 * age))
    female = float(gender == "female")
    cue = _cues(look, rng)
    p = SimpleNamespace(look=look, female=female, **_growth(cue, female, rng))
    vars(p).update(_ageing(cue, look, female, rng))
    vars(p).update(_colours(p, race, rng))
    vars(p).update(_features(p, rng))
    vars(p).update(_style(p, rng))
    return p


def _cues(look: float, rng: np.random.Generator) -> Cue:
    """Return a function that says how far a change between two ages has come, 0 to 1."""

    def cue(start: float, end: float, spread: float) -> float:
        # A child's looks err by months, an adult's by ``spread`` years.
        error = rng.standard_normal() * spread * min(1.0, 0.15 + look / 30)
        t = min(1.0, max(0.0, (look + error - start) / (end - start)))
        # What starts at birth is quickest then; what comes later sets in slowly.
        return t * t * (3 - 2 * t) if start else t * (2 - t)

    return cue


def _growth(cue: Cue, f: float, rng: np.random.Generator) -> dict[str, float]:
    """Return the size of the head's parts as far as a child's grow into an adult's."""
    child, baby = 1 - cue(0, 19, 3), 1 - cue(0, 4, 0.8)
    e = rng.standard_normal(4).tolist()
    return {
        "child": child,
        "baby": baby,
        "cheek": 70 + 6 * child - 2 * f + 2 * e[0],
        "iris": 6.7 + 2.9 * child,
        "brow_t": 1.5 + (1.7 - 0.9 * f) * (1 - child) + 0.4 * e[1],
        "volume": (9 + 5 * f + 3.5 * e[2]) * (1 - 0.6 * baby),
        "hairline": 13 - 6 * child - 18 * baby + 5 * e[3],
    }


def _ageing(cue: Cue, look: float, f: float, rng: np.random.Generator) -> dict[str, float]:
    """Return how strongly each sign of age shows."""
    dyed = f * rng.random() > 0.82
    return {
        "old": cue(35, 95, 7),
        "sag": cue(38, 92, 8),
        "thin": cue(30, 85, 9),
        "lines": cue(19, 80, 5),
        "folds": cue(20, 76, 6),
        "bags": cue(28, 84, 9),
        "feet": cue(20, 72, 6),
        "spots": cue(30, 95, 8),
        "acne": max(0.0, 1 - abs(look - 15.5) / 4.5),
        "grey": cue(30, 76, 9) * (0.15 if dyed else 1),
        "bald": (1 - f) * cue(20, 85, 8) * min(1.4, max(0, 0.75 + 0.45 * rng.standard_normal())),
    }


def _colours(p: SimpleNamespace, race: str, rng: np.random.Generator) -> dict[str, Any]:
    e = rng.standard_normal(4).tolist()
    skin = tone(_SKINS[race], 1 + 0.07 * e[0], 4 * e[1])
    dark = sum(skin) < 560
    hair = _HAIR[int(rng.choice(len(_HAIR), p=_HAIR_SHARES[dark]))]
    hair = tone(hair, 1 + 0.12 * e[2])
    return {
        "skin": skin,
        "hair": hair,
        "hair_now": mix(hair, GREY, p.grey),
        "beard_now": mix(hair, GREY, 1.15 * p.grey),
        "eye": _EYES[int(rng.choice(len(_EYES), p=_EYE_SHARES[dark]))],
        "frame": tone((60, 48, 44), 0.3 + 1.2 * rng.random(), 20 * e[3]),
        "lipstick": p.female * (p.look > 15) * (rng.random() < 0.45) * (0.3 + 0.5 * rng.random()),
    }


def _features(p: SimpleNamespace, rng: np.random.Generator) -> dict[str, float]:
    """Return places and sizes that both growth and age change."""
    f, child, old, sag = p.female, p.child, p.old, p.sag
    e = rng.standard_normal(11).tolist()
    smile = min(1.0, max(-0.3, 0.35 + 0.4 * e[0]))
    return {
        "smile": smile,
        "chin": 186 - 30 * child - 3 * f + 3 * sag + 3 * e[1],
        "jaw": 58 + 9 * child - 4 * f + 6 * sag + 2.5 * e[2],
        "eye_w": 15.2 + 3.6 * child + 0.7 * f - 0.8 * sag + 0.7 * e[3],
        "eye_h": 8 + 3.9 * child + 0.5 * f - 2.6 * sag + 0.8 * e[4] - max(0, smile),
        "brow_y": 41 - 2 * f - child + 3 * sag + 1.5 * e[5],
        "nose": 117 - 14 * child + 4 * old + 1.5 * e[6],
        "nose_w": 13.5 - 5.5 * child - 1.2 * f + 2.5 * old + e[7],
        "mouth": 146 - 19 * child + 3 * old + 1.5 * e[8],
        "mouth_w": 25 - 10 * child - f + 4 * max(0, smile) + 1.5 * e[9],
        "lip": 5 - child + 1.3 * f - 2.8 * p.thin + 0.7 * e[10],
        "teeth": smile > 0.45 and p.look > 1.5 and rng.random() < 0.6,
    }


def _style(p: SimpleNamespace, rng: np.random.Generator) -> dict[str, float]:
    """Return what people choose: hair, beard (0 none to 4 goatee), glasses."""
    long = rng.random() < (0.68 - 0.35 * p.old if p.female else 0.06)
    shaven = p.female or p.look + 2.5 * rng.standard_normal() < 18
    fringe = rng.random() < 0.12 + 0.25 * p.child
    return {
        "long": long and p.look > 2.5,
        "length": 150 + 90 * rng.random(),
        "part": min(30, max(-30, 34 * rng.standard_normal())),
        "fringe": 16 * fringe * (1 - min(1, p.bald)),
        "curl": max(0, 2.2 * rng.standard_normal()),
        "beard": 0 if shaven else int(rng.choice(5, p=(0.46, 0.2, 0.12, 0.12, 0.1))),
        "glasses": rng.random() < (0.03 if p.look < 8 else 0.12 + 0.3 * p.old),
    }
