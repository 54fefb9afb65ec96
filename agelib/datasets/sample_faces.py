"""Schematic portraits: the built-in sample shows nobody and needs no download."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw

from agelib.datasets.sample_person import GREY, draw_person
from agelib.datasets.sample_sketch import (
    Color,
    Point,
    Shape,
    Sketch,
    bounds,
    curve,
    mirror,
    mix,
    oval,
    photograph,
    tone,
)
from agelib.datasets.utkface import GENDERS, RACES


def draw_face(age: float, gender: str, race: str, rng: np.random.Generator) -> Image.Image:
    """Draw one face, framed like a UTKFace chip.

    Parameters
    ----------
    age : float
        Age in years, 0 to 120.
    gender : {"male", "female"}
        Sets how likely hair length, beard, brows, jaw and lips are; none of them for certain.
    race : {"white", "black", "asian", "indian", "other"}
        Sets the skin tone and nothing else.
    rng : numpy.random.Generator
        Source of everything else: person, pose, light, background, camera.

    Returns
    -------
    PIL.Image.Image
        RGB, 200 x 200 px, eyes near (59.5, 61) and (136.5, 61), nose base near (98, 118).

    Raises
    ------
    ValueError
        When the age, gender or race is outside the values above.
    """
    if not 0 <= age <= 120:
        raise ValueError(f"age {age!r} cannot be drawn: give years from 0 to 120")
    if gender not in GENDERS or race not in RACES:
        raise ValueError(f"unknown {gender!r}, {race!r}: choose from {GENDERS} and {RACES}")
    person = draw_person(float(age), gender, race, rng)
    sketch = Sketch(rng)
    _head(sketch, person, rng)
    _skin(sketch, person, rng)
    _eyes(sketch, person)
    _nose(sketch, person)
    _mouth(sketch, person)
    _beard(sketch, person, rng)
    _hair(sketch, person, rng)
    _glasses(sketch, person)
    return photograph(sketch, _outline(person), person.old, rng)


def _outline(p: SimpleNamespace) -> list[Point]:
    half = [(0, -44), (44 + 10 * p.child, -28), (64 + 9 * p.child, 14), (p.cheek, 64)]
    half += [(p.cheek - 1 + p.child, 100), (p.jaw, p.chin - 42)]
    half += [((0.58 + 0.06 * p.child) * p.jaw, p.chin - 11), (0, p.chin)]
    return curve(half + mirror(half[-2:0:-1]), closed=True)


def _head(s: Sketch, p: SimpleNamespace, rng: np.random.Generator) -> None:
    """Draw what lies behind the face, then the bare face."""
    shade = tone(p.skin, 0.74, 2)
    if p.long:
        w, end = p.cheek + p.volume + 8, p.length
        half = [(0, -60), (60, -46), (w, 20), (w + 3, 90)]
        half += [(w - 4, end), (w - 30, end + 9), (0, end + 6)]
        s.fill(curve(half + mirror(half[:0:-1]), closed=True), tone(p.hair_now, 0.72))
    cloth = tuple(rng.integers(25, 230, 3).tolist())
    top, neck = p.chin + 12, (46 - 8 * p.female) * (1 - 0.3 * p.child)
    half = [(neck, top - 50), (neck, top + 10), (neck + 14, top + 60)]
    s.fill(half + mirror(half[::-1]), shade)
    half = [(neck - 4, top + 14), (neck + 40, top + 22), (120, top + 44), (120, 330), (0, 330)]
    s.fill(curve(half + mirror(half[::-1]), closed=True), cloth)
    ear = 17 + 4 * p.old - 2 * p.child
    for side in (-1, 1):
        x, y = side * (p.cheek + 3), 82 + 4 * p.old
        s.fill(oval(x, y, 8, ear), tone(p.skin, 0.9, 4), -0.3)
        s.fill(oval(x + side, y, 4, ear - 6), shade, -0.3)
    s.fill(_outline(p), p.skin)


def _skin(s: Sketch, p: SimpleNamespace, rng: np.random.Generator) -> None:
    """Model the face with shadows, blush, folds, wrinkles and spots."""
    deep, chin = tone(p.skin, 0.62, 6), p.chin
    side = [(p.cheek + 2, 60), (p.cheek + 2, 120), (p.jaw + 2, chin - 38), (28, chin)]
    side += [(38, chin - 22), (p.jaw - 14, 118)]
    hollow = 60 + 50 * (1 - p.child) + 60 * p.sag
    shadows = [(side, hollow), (mirror(side), hollow), (oval(0, p.mouth + 15, 15, 4), 70)]
    for k in (-1, 1):
        shadows.append((oval(k * 38.5, 56, 23, 13), 50 + 40 * p.sag))
        shadows.append((oval(k * 0.72 * p.jaw, chin - 26, 11, 15), 150 * p.sag))
    s.soft(shadows, deep, 7)
    blush = 70 + 110 * p.child - 50 * p.old
    s.soft([(oval(k, 106, 17, 12), blush) for k in (-45, 45)], mix(p.skin, (214, 84, 76), 0.45), 8)
    ridge, tip = oval(0, 0.6 * p.nose + 24, 4, 22), oval(0, chin - 14, 10, 6)
    light = mix(p.skin, (255, 246, 232), 0.5)
    s.soft([(oval(0, 22, 34, 14), 90), (ridge, 120), (tip, 90)], light, 6)
    _wrinkles(s, p, rng, deep)
    s.soft(_scatter(26 * p.spots, 2.6, rng), tone(p.skin, 0.66, 8), 1.2)
    pimples = _scatter(9 * p.acne * rng.random(), 1.8, rng)
    s.soft(pimples, mix(p.skin, (190, 50, 50), 0.6), 1.2)


def _scatter(count: float, largest: float, rng: np.random.Generator) -> list[Shape]:
    """Return ``count`` small spots somewhere on the face."""
    spots = rng.uniform((-58, 4, 0.9), (58, 150, largest), size=(int(count), 3)).tolist()
    return [(oval(x, y, r, 0.9 * r), 160) for x, y, r in spots]


def _wrinkles(s: Sketch, p: SimpleNamespace, rng: np.random.Generator, color: Color) -> None:
    """Draw forehead lines, crow's feet, bags, nasolabial and marionette folds."""
    m, w, n, eye = p.mouth, p.mouth_w, p.nose, 38.5 + p.eye_w
    lines = []
    for k in range(4):
        y, wide, bend = 32 - 8.5 * k, 36 - 4 * k + 6 * rng.normal(), 2.5 * rng.normal()
        points = [(-wide, y + 2 + bend), (-wide / 2, y - 1), (0, y + 1.5)]
        points += [(wide / 2, y - 1), (wide, y + 2 - bend)]
        lines.append((curve(points), 1.15 * p.lines - 0.16 * k))
    half = [([(5, 38), (4, 50)], 0.8 * p.lines - 0.15)]
    for k in (-1, 0, 1):
        foot = [(eye + 4, 61 + 2 * k), (eye + 9, 60 + 5 * k), (eye + 13, 60 + 8.5 * k)]
        half.append((foot, p.feet - 0.1 * abs(k)))
    bag = [(24, 71), (32, 77 + 3 * p.bags), (42, 78 + 3 * p.bags), (52, 72)]
    fold = [(p.nose_w + 3, n - 9), (w + 2, n + 8), (w + 6, m - 3), (w + 5, m + 4 + 8 * p.folds)]
    corner = [(w + 1, m + 5), (w + 4, m + 14), (w + 3, m + 14 + 10 * p.sag)]
    half += [(curve(bag), 0.12 + 0.75 * p.bags), (curve(fold), 0.05 + 0.95 * p.folds)]
    half.append((curve(corner), 0.9 * p.sag))
    lines += half + [(mirror(points), strength) for points, strength in half]
    s.lines(lines, color, 1.4)
    s.soft([(oval(x, 76, 15, 5), 150 * p.bags) for x in (-38, 38)], color, 4)


def _eyes(s: Sketch, p: SimpleNamespace) -> None:
    """Draw eyes, lids and brows."""
    w, h, drop = p.eye_w, max(3.0, p.eye_h), 3 * p.sag
    lash = 1.1 + 0.7 * p.female * (1 - p.child) * (1 - 0.6 * p.old)
    hair = mix(p.skin, p.hair, 0.85 - 0.4 * p.baby - 0.25 * p.child)
    y, t = p.brow_y, max(0.7, p.brow_t)
    brow = [(18, y - t), (33, y - 4 - t), (47, y - 4 - t), (59, y + 3 + drop)]
    brow += [(47, y - 3 + t / 2), (33, y - 2.5 + t), (18, y + 1 + t)]
    for side in (-1, 1):
        x = side * 38.5
        upper = [(-w, 2), (-0.5 * w, -0.75 * h), (0.1 * w, -h)]
        upper += [(0.7 * w, -0.55 * h + drop / 2), (w, 1 + drop)]
        lower = [(0.5 * w, 0.5 * h + 1), (-0.1 * w, 0.62 * h + 1), (-0.6 * w, 0.45 * h + 1)]
        upper, lower = ([(x + side * a, 61 + b) for a, b in part] for part in (upper, lower))
        _eyeball(s, p, x, curve(upper) + curve(lower))
        s.stroke(curve(upper), mix(p.skin, (22, 16, 16), 0.75), lash)
        s.stroke(curve(lower), tone(p.skin, 0.72, 4), 0.6)
        lid = [(a, b - 4 + 1.6 * p.sag) for a, b in upper]
        s.stroke(curve(lid), tone(p.skin, 0.7, 4), 0.7 + 0.8 * p.sag)
        shape = curve([(side * a, b) for a, b in brow], closed=True)
        s.fill(shape, mix(hair, GREY, 0.75 * p.grey))


def _eyeball(s: Sketch, p: SimpleNamespace, x: float, opening: list[Point]) -> None:
    """Draw what shows of the eye at ``x`` between the lids."""
    edge = s.at(opening)
    box = bounds(edge)
    around = s.image.crop(box)
    s.fill(opening, mix((242, 240, 236), (226, 208, 190), p.old))
    s.fill(oval(x, 60.5, p.iris, p.iris), tone(p.eye, 0.75))
    s.fill(oval(x, 60.5, p.iris - 1.4, p.iris - 1.4), p.eye)
    s.fill(oval(x, 60.5, 0.42 * p.iris, 0.42 * p.iris), (14, 12, 12))
    s.fill(oval(x + 2.2, 57.8, 1.5, 1.5), (250, 250, 250))
    lids = Image.new("L", around.size, 255)
    ImageDraw.Draw(lids).polygon([(a - box[0], b - box[1]) for a, b in edge], fill=0)
    s.image.paste(around, box[:2], lids)


def _nose(s: Sketch, p: SimpleNamespace) -> None:
    n, w, side = p.nose, p.nose_w, math.copysign(1, s.yaw)
    shadow = [(-3, 62), (-9, n - 18), (-w - 2, n - 4), (-4, n - 4)]
    s.soft([([(side * x, y) for x, y in shadow], 110)], tone(p.skin, 0.66, 6), 3, 0.3)
    deep = tone(p.skin, 0.72, 5)
    for k in (-1, 1):
        wing = [(w - 1, n - 10), (w + 1, n - 4), (w - 2, n + 1), (0.55 * w, n)]
        wing = curve([(k * x, y) for x, y in wing])
        s.stroke(wing, mix(deep, p.skin, 0.6 * p.child), 1.2, 0.35)
        s.fill(oval(k * 0.45 * w, n, 0.24 * w, 1.9), tone(p.skin, 0.45, 4), 0.35)
    s.stroke(curve([(-0.3 * w, n + 2.5), (0, n + 4), (0.3 * w, n + 2.5)]), deep, 1, 0.35)


def _mouth(s: Sketch, p: SimpleNamespace) -> None:
    """Draw the lips and, when they show, teeth."""
    m, w, lip = p.mouth, p.mouth_w, max(1.2, p.lip)
    end, gap = m - 6 * p.smile, (3 + 5 * p.smile) * p.teeth
    color = mix(mix(p.skin, (168, 66, 70), 0.42 - 0.15 * p.old), (176, 30, 48), p.lipstick)
    line = curve([(-w, end), (-w / 2, m + 0.5), (0, m + 1.2), (w / 2, m + 0.5), (w, end)])
    low = curve([(w, end), (w / 2, m + gap), (0, m + gap + 1), (-w / 2, m + gap), (-w, end)])
    bow = [(w, end), (0.35 * w, m - 0.9 * lip), (0, m - 0.55 * lip), (-0.35 * w, m - 0.9 * lip)]
    chin = [(-w, end), (-0.5 * w, m + gap + lip), (0, m + gap + 1.4 * lip + 1)]
    chin += [(0.5 * w, m + gap + lip), (w, end)]
    s.fill(line + curve([*bow, (-w, end)]), tone(color, 0.9), 0.15)
    s.fill(curve(chin) + low, color, 0.15)
    if gap:
        s.fill(line + low, (244, 240, 230), 0.15)
    s.stroke(line, tone(color, 0.55), 0.9, 0.15)


def _beard(s: Sketch, p: SimpleNamespace, rng: np.random.Generator) -> None:
    """Draw stubble (1), moustache (2), full beard (3) or goatee (4)."""
    if not p.beard:
        return
    m, w, n = p.mouth, p.mouth_w, p.nose
    color = mix(p.skin, p.beard_now, 0.45 if p.beard == 1 else 0.9)
    moustache = [(0, n + 8), (w * 0.6, n + 9), (w + 5, m - 1), (w * 0.7, m - 4), (0, m - 5)]
    moustache = [(moustache + mirror(moustache[-2:0:-1]), 240)]
    full = [(p.cheek - 8, 104), (p.cheek - 1, 96), (p.jaw + 1, p.chin - 40)]
    full += [(0.56 * p.jaw, p.chin - 6), (0, p.chin + 4)]
    full += [*mirror(full[-2::-1]), (-w - 14, m - 10), (-w - 4, n + 10)]
    full += [(w + 4, n + 10), (w + 14, m - 10)]
    lips = (oval(0, m + 3, w + 1, 8 + p.lip), 0)
    chin = (oval(0, 0.5 * (m + p.chin) + 9, w - 3, 0.5 * (p.chin - m) - 5), 235)
    shapes = ([(full, 190), lips], moustache, [(full, 250), lips], [*moustache, chin])
    layer = s.strands(color, GREY, p.grey, lambda x, y, r: [(x, y), (x + 2 * r, y + 7)], rng)
    s.soft(shapes[p.beard - 1], layer, 1.6)


def _hair(s: Sketch, p: SimpleNamespace, rng: np.random.Generator) -> None:
    """Draw the hair that frames the face, from the hairline outwards."""
    line, top, wide = p.hairline, -36 - p.volume, p.cheek + 0.6 * p.volume
    temple = 62 - 26 * min(1.0, p.bald) * (p.bald > 0.3)
    end = p.length - 4 if p.long else 74 + 10 * rng.random()
    side = p.cheek - (4 + 6 * rng.random() if p.long else 6)
    c = [p.curl * v for v in rng.standard_normal(8).tolist()]
    outer = [(-wide + c[0], end), (-wide - 2 + c[1], 50), (-wide + 10, c[2]), (-40, top)]
    outer += [(0, top - 9), (40, top), (wide - 10, c[3]), (wide + 2 + c[4], 50), (wide + c[5], end)]
    front = line + p.fringe
    inner = [(side, end - 6), (side, 52), (temple, line + 22), (36, front + 4 + c[6])]
    inner += [(p.part, front - 3), (-36, front + 4 + c[7])]
    inner += [(-temple, line + 22), (-side, 52), (-side, end - 6)]
    strength = 255 * (1 - 0.8 * p.baby) * (1 - 0.3 * p.old * (1 - p.female))

    def path(x: float, y: float, bend: float) -> list[Point]:
        lean = (x - p.part) / 90
        return [(x, y), (x + 14 * lean, y + 9), (x + 20 * lean + p.curl * bend, y + 26)]

    layer = s.strands(p.hair_now, GREY, p.grey, path, rng)
    s.soft([(curve(outer) + curve(inner), strength)], layer, 1.1)


def _glasses(s: Sketch, p: SimpleNamespace) -> None:
    if not p.glasses:
        return
    lens = curve([(14, 50), (38, 46), (62, 50), (61, 70), (40, 78), (18, 72)], closed=True)
    for half in ([*lens, lens[0]], [(62, 54), (p.cheek + 4, 58)]):
        s.stroke(half, p.frame, 1.7, 0.1)
        s.stroke(mirror(half), p.frame, 1.7, 0.1)
    s.stroke(curve([(-15, 56), (0, 52), (15, 56)]), p.frame, 1.8, 0.1)
