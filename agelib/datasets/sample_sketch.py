"""Drawing tools of the built-in sample: soft shapes on a turned head, a background, a camera.

They keep to plain arithmetic (sines are rounded), so that the same random state gives the same
picture on another machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 200  # pixels of the finished picture, each way
ZOOM = 1.5  # drawn this much larger, then reduced: smooth edges

Point = tuple[float, float]
Shape = tuple[list[Point], float]
Color = tuple[int, ...]


def tone(color: Color, factor: float, warmth: float = 0) -> Color:
    """Return ``color`` brightened by ``factor`` and moved from blue to red by ``warmth`` levels."""
    r, g, b = color
    levels = (r * factor + warmth, g * factor, b * factor - warmth)
    return tuple(min(255, max(0, round(v))) for v in levels)


def mix(a: Color, b: Color, t: float) -> Color:
    """Return the colour a share ``t`` of the way from ``a`` to ``b``."""
    return tuple(min(255, max(0, round(x + (y - x) * t))) for x, y in zip(a, b, strict=True))


_WEIGHTS = [  # of the four controls around a step, Catmull-Rom
    (
        -0.5 * t * (1 - t) ** 2,
        1 + t * t * (1.5 * t - 2.5),
        t * (0.5 + t * (2 - 1.5 * t)),
        -0.5 * t * t * (1 - t),
    )
    for t in (0, 0.2, 0.4, 0.6, 0.8)
]


def curve(points: list[Point], *, closed: bool = False) -> list[Point]:
    """Return a smooth curve through ``points``, five steps from one to the next."""
    p = [points[-1], *points, *points[:2]] if closed else [points[0], *points, points[-1]]
    out = [
        (
            wa * a[0] + wb * b[0] + wc * c[0] + wd * d[0],
            wa * a[1] + wb * b[1] + wc * c[1] + wd * d[1],
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
        for wa, wb, wc, wd in _WEIGHTS
    ]
    return out if closed else [*out, points[-1]]


def mirror(points: list[Point]) -> list[Point]:
    """Return ``points`` on the other half of the face."""
    return [(-x, y) for x, y in points]


_ANGLES = [k * math.pi / 8 for k in range(16)]
_CIRCLE = [(round(math.cos(a), 6), round(math.sin(a), 6)) for a in _ANGLES]


def oval(x: float, y: float, rx: float, ry: float) -> list[Point]:
    """Return an ellipse around (x, y)."""
    return [(x + rx * c, y + ry * s) for c, s in _CIRCLE]


def bounds(points: list[Point], pad: int = 8) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) around ``points`` and ``pad`` pixels more."""
    xs, ys = zip(*points, strict=True)
    return int(min(xs)) - pad, int(min(ys)) - pad, int(max(xs)) + pad, int(max(ys)) + pad


class Sketch:
    """A canvas, larger than the picture, with the head's pose.

    Points are given in pixels of the picture as if the face looked straight ahead: x from its
    middle, y from the top, eyes at (-38.5, 61) and (38.5, 61). ``depth`` says how far a point
    stands out, so that it moves when the head turns.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        normal = rng.standard_normal
        self.yaw = min(10.0, max(-10.0, 4.5 * normal()))
        angle = math.radians(min(14.0, max(-14.0, 4.5 * normal())))
        scale = 0.95 + 0.035 * normal()
        self.cos, self.sin = scale * round(math.cos(angle), 6), scale * round(math.sin(angle), 6)
        self.x, self.y = 98 + 2.5 * normal(), 88 + 2.5 * normal()
        self.image = _background(rng)
        self.draw = ImageDraw.Draw(self.image)

    def at(self, points: list[Point], depth: float = 0.0, zoom: float = ZOOM) -> list[Point]:
        """Return pixel positions: turned head (yaw), tilt, scale and shift."""
        cos, sin = zoom * self.cos, zoom * self.sin
        turn, bend = self.yaw * (0.5 + depth), self.yaw / 85**2
        left, top = zoom * self.x, zoom * self.y
        out = []
        for x, y in points:
            x, y = x + turn - bend * x * x, y - 88
            out.append((left + cos * x - sin * y, top + sin * x + cos * y))
        return out

    def fill(self, points: list[Point], color: Color, depth: float = 0.0) -> None:
        """Draw a polygon."""
        self.draw.polygon(self.at(points, depth), fill=color)

    def stroke(self, points: list[Point], color: Color, width: float, depth: float = 0.0) -> None:
        """Draw a line ``width`` pixels thick."""
        width = max(1, round(ZOOM * width))
        self.draw.line(self.at(points, depth), fill=color, width=width, joint="curve")

    def soft(
        self, shapes: list[Shape], paint: Color | Image.Image, blur: float, depth: float = 0.0
    ) -> None:
        """Paint ``shapes`` (points, strength 0-255) with edges ``blur`` pixels soft.

        ``paint`` is a colour or a canvas-sized layer. A later shape overrides an earlier one,
        so strength 0 cuts a hole. Only the part of the canvas that they touch is worked on.
        """
        if max((level for _, level in shapes), default=0) < 5:
            return
        zoom = 0.5  # what is blurred anyway is drawn small
        shapes = [(self.at(points, depth, zoom), level) for points, level in shapes]
        pad = math.ceil(2.5 * blur * zoom) + 2
        box = bounds([point for points, _ in shapes for point in points], pad)
        # Even bounds, so that they fall on whole pixels of the canvas.
        left, top, right, low = (min(int(SIZE * zoom), max(0, v // 2 * 2)) for v in box)
        if left >= right or top >= low:
            return
        mask = Image.new("L", (right - left, low - top))
        draw = ImageDraw.Draw(mask)
        for points, level in shapes:
            inside = [(x - left, y - top) for x, y in points]
            draw.polygon(inside, fill=min(255, max(0, round(level))))
        mask = mask.filter(ImageFilter.BoxBlur(1.4 * blur * zoom))
        box = tuple(int(v * ZOOM / zoom) for v in (left, top, right, low))
        mask = mask.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR)
        self.image.paste(paint if isinstance(paint, tuple) else paint.crop(box), box, mask)

    def lines(self, lines: list[Shape], color: Color, width: float) -> None:
        """Draw fine lines (points, strength 0-1) that fade into the skin."""
        lines = [(points, strength) for points, strength in lines if strength > 0.05]
        if not lines:
            return
        mask = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(mask)
        for points, strength in lines:
            level = min(255, round(255 * strength))
            draw.line(self.at(points), fill=level, width=round(ZOOM * width), joint="curve")
        self.image.paste(color, mask=mask.filter(ImageFilter.BoxBlur(0.6)))

    def strands(
        self,
        color: Color,
        other: Color,
        share: float,
        path: Callable[[float, float, float], list[Point]],
        rng: np.random.Generator,
    ) -> Image.Image:
        """Return a layer of hair in ``color``, strands lighter or darker, a share in ``other``.

        ``path`` gives the points of the strand that starts at (x, y), its third argument bends it.
        """
        layer = Image.new("RGB", self.image.size, color)
        draw = ImageDraw.Draw(layer)
        starts = rng.uniform((-95, -60, -1, 0), (95, 200, 1, 1), size=(110, 4)).tolist()
        tints = [tone(color, 0.75 + 0.07 * k) for k in range(8)]
        pale = mix(color, other, 0.8 * share)
        for x, y, bend, shade in starts:
            tint = pale if shade > 1.2 - share else tints[int(8 * shade)]
            draw.line(self.at(path(x, y, bend)), fill=tint)
        return layer


def _background(rng: np.random.Generator) -> Image.Image:
    """Draw something out of focus: a wash of two colours and a few shapes."""
    grey = rng.integers(10, 246, size=(2, 2, 1)).astype(np.float32)
    grey = 0.5 * grey + 0.5 * int(rng.integers(10, 246))
    small = 0.7 * grey + 0.3 * rng.integers(10, 246, size=(2, 2, 3))
    image = Image.fromarray(small.astype(np.uint8)).resize((50, 50), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 5))):
        x, y, w, h = (int(v) for v in rng.integers((-15, -15, 8, 8), (45, 45, 36, 36)))
        shape = draw.rectangle if rng.random() < 0.6 else draw.ellipse
        grey, *color = rng.integers(15, 240, 4).tolist()
        shape((x, y, x + w, y + h), fill=mix((grey, grey, grey), color, 0.35))
    return image.filter(ImageFilter.GaussianBlur(1.2)).resize(
        (int(ZOOM * SIZE),) * 2, Image.Resampling.BILINEAR
    )


def photograph(
    sketch: Sketch, skin: list[Point], roughness: float, rng: np.random.Generator
) -> Image.Image:
    """Light the scene and take the picture: skin texture, blur, grain, exposure, colour cast.

    Parameters
    ----------
    sketch : Sketch
        What stands before the camera.
    skin : list of (x, y)
        Outline of the face, which gets the texture.
    roughness : float
        Strength of the texture, 0 to 1.
    rng : numpy.random.Generator
        Source of light and camera.

    Returns
    -------
    PIL.Image.Image
        RGB, 200 x 200 px.
    """
    normal = rng.standard_normal
    image = sketch.image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    contrast, level = 1 + 0.13 * normal(), min(1.2, max(0.7, 0.98 + 0.12 * normal()))
    light = _light(sketch.at(skin, zoom=1), roughness, rng)
    light = light * np.float32(contrast * level)
    cast = (1 + 0.04 * normal(), 1.0, 1 + 0.05 * normal())
    if rng.random() < 0.05:  # an old print
        image = image.convert("L").convert("RGB")
    grain = rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8).astype(np.float32) - 127.5
    grain = grain * np.float32(0.02 + 0.05 * rng.random())
    grain = grain + np.float32(118 * level * (1 - contrast))
    bands = [  # one at a time: NumPy is slow over a last axis of three
        np.clip(np.asarray(band, np.float32) * light * np.float32(warmth) + grain, 0, 255)
        for band, warmth in zip(image.split(), cast, strict=True)
    ]
    image = Image.merge("RGB", [Image.fromarray(band.astype(np.uint8)) for band in bands])
    blur = 1.6 * rng.random() - 0.8
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur > 0 else image


def _light(skin: list[Point], roughness: float, rng: np.random.Generator) -> np.ndarray:
    """Return the light on each pixel, 1 on average, uneven where the skin is rough."""
    across, down, bend = (rng.standard_normal(3) * (0.17, 0.13, 0.1)).tolist()
    x = np.arange(SIZE, dtype=np.float32) / (SIZE / 2) - 1
    y = x[:, None]
    coarse = rng.integers(0, 256, (SIZE // 2, SIZE // 2), dtype=np.uint8)
    coarse = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    face = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(face).polygon(skin, fill=1)
    rough = np.float32(0.0003 + 0.0004 * roughness) * (np.asarray(coarse, np.float32) - 127.5)
    return 1 + across * x + down * y + bend * x * y + rough * np.asarray(face)
