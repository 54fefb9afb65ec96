"""What preparing costs at two numbers of images, and what is read again after a kill half-way.

Memory should not depend on the number of images, time should be proportional to it, and a
preparation that was killed should read again only what it had not finished.

    python benchmarks/scale.py SCRATCH [--images 10000 100000] [--side 64] [--jobs N]

Drawn faces are turned, cut, mirrored and shaded, and written into SCRATCH, where they stay for
the next call; of every hundred two are nearly the same. Each measurement is one
``python -m agelib prepare`` in a process of its own, imports included; it reads with threads, so
its peak is that of the whole preparation. Exit status 1 when, with more images, peak memory or
processor time per image (which other programs disturb less than the clock) is more than a tenth
larger, when memory passes 1 GB, or when the resumed run gives another manifest or reads more than
half of the images again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from agelib.datasets.sample_faces import draw_face
from agelib.datasets.utkface import GENDERS, RACES
from agelib.reading import FACTS

DRAWN = 200  # faces that are varied
TOLERANCE, MOST = 1.1, 1e9  # ratio of peaks and of times per image; bytes

# The program says its own peak: what the system says of a child that has ended begins with the
# memory of the process that started it.
MEASURED = """
import atexit, re, resource, runpy, sys, time

def peak():
    try:
        with open("/proc/self/status") as status:
            bytes = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1])
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        bytes = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak: {bytes:,}")
    print(f"processor: {round(1000 * time.process_time()):,}", flush=True)

atexit.register(peak)
runpy.run_module("agelib", run_name="__main__", alter_sys=True)
"""


class Run(NamedTuple):
    """One preparation: what it printed, and wall time in seconds."""

    text: str
    seconds: float

    @property
    def processor(self) -> int:
        """Processor time of all threads in milliseconds."""
        return self.count("processor")

    @property
    def peak(self) -> int:
        """Peak resident memory in bytes."""
        return self.count("peak")

    def count(self, name: str) -> int:
        """Return a number that it printed."""
        found = re.search(rf"^{name}: ([0-9,]+)$", self.text, re.MULTILINE)
        return int(found[1].replace(",", "")) if found else 0


def varied(face: Image.Image, rng: np.random.Generator, side: int) -> Image.Image:
    """Turn, cut, mirror and shade a face of twice the side."""
    face = face.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR)
    width = rng.uniform(1.1, 1.9) * side
    left, top = rng.uniform(0, 2 * side - width, 2)
    box = (left, top, left + width, top + width)
    face = face.resize((side, side), Image.Resampling.BILINEAR, box)
    if rng.random() < 0.5:
        face = ImageOps.mirror(face)
    shade = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return Image.blend(face, shade.resize(face.size, Image.Resampling.BICUBIC), 0.35)


def faces(n: int, side: int) -> Iterator[tuple[str, bytes]]:
    """Yield names like UTKFace's, and JPEG files; the same in every call."""
    rng = np.random.default_rng(0)
    drawn = [
        draw_face(1 + i % 90, GENDERS[i % 2], RACES[i % 5], rng).resize((2 * side, 2 * side))
        for i in range(DRAWN)
    ]
    face = drawn[0]
    for index in range(n):
        if index % 100:  # the hundredth is the one before once more, in another quality
            face = varied(drawn[index % DRAWN], rng, side)
        out = io.BytesIO()
        face.save(out, "JPEG", quality=int(rng.integers(75, 96)))
        who = index % DRAWN
        name = f"{1 + who % 90}_{who % 2}_{who % 5}_{20170116 * 10**9 + index}.jpg.chip.jpg"
        yield name, out.getvalue()


def lay_out(place: Path, numbers: list[int], side: int) -> dict[int, Path]:
    """Write the faces once; the folders of fewer images hold links to them."""
    folders = {n: place / f"faces-{side}-{n}" for n in numbers}
    if all(folder.is_dir() for folder in folders.values()):
        return folders
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".partial").mkdir(parents=True, exist_ok=True)
    whole = folders[max(numbers)].with_suffix(".partial")
    for index, (name, data) in enumerate(faces(max(numbers), side)):
        (whole / name).write_bytes(data)
        for n, folder in folders.items():
            if index < n < max(numbers):
                os.link(whole / name, folder.with_suffix(".partial") / name)
    for folder in folders.values():
        folder.with_suffix(".partial").rename(folder)
    return folders


def prepare(
    faces: Path, data: Path, options: argparse.Namespace, kill_after: int | None = None
) -> Run:
    """Prepare a folder with the command line; kill it after so many images if asked to."""
    words = ["prepare", "utkface", faces, "--own", "--size", options.side, "--jobs", options.jobs]
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    threads = {f"{name}_NUM_THREADS": str(options.jobs) for name in ("OPENBLAS", "OMP", "MKL")}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURED, *map(str, words)],
        env=os.environ | threads | {"PYTHONPATH": path, "AGELIB_DATASETS": str(data)},
        stdout=subprocess.PIPE,
        text=True,
    )
    if kill_after is not None:
        while process.poll() is None and _read(data) < kill_after:
            time.sleep(0.02)
        process.kill()
    text, _ = process.communicate()
    if process.returncode and kill_after is None:
        raise SystemExit(f"agelib prepare ended with status {process.returncode}")
    return Run(text, time.perf_counter() - started)


def _read(data: Path) -> int:
    """Return of how many images a preparation at work has noted the facts."""
    size = 0
    for facts in (data / "utkface").glob(".unfinished-*/facts"):
        with contextlib.suppress(OSError):
            size += facts.stat().st_size
    return size // FACTS.itemsize


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scratch", type=Path, help="folder for faces and stores")
    parser.add_argument("--images", type=int, nargs=2, default=[10_000, 100_000], metavar="N")
    parser.add_argument("--side", type=int, default=64, help="of the faces, in pixels; default 64")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="threads; default all")
    options = parser.parse_args()
    folders = lay_out(options.scratch.resolve(), sorted(options.images), options.side)
    data = options.scratch.resolve() / "data"
    runs = {}
    for n, folder in folders.items():
        shutil.rmtree(data, ignore_errors=True)
        runs[n] = run = prepare(folder, data, options)
        print(
            f"{n:,} images: {run.seconds:.1f} s, processors {run.processor / n:.2f} ms an image, "
            f"peak {run.peak / 1e6:.0f} MB, {run.count('cluster_files'):,} in near-duplicate "
            "clusters",
            flush=True,
        )
    few, many = runs.values()
    n, folder = max(folders.items())
    manifest = data / "utkface" / "manifest.csv"
    wanted = manifest.read_bytes()
    shutil.rmtree(data)
    prepare(folder, data, options, kill_after=n // 2)
    resumed = prepare(folder, data, options)
    kept, same = resumed.count("resumed"), manifest.read_bytes() == wanted
    shutil.rmtree(data)
    print(
        f"killed after {n // 2:,} images: {kept:,} were not read again, {resumed.seconds:.1f} s "
        f"for the rest, {'the same' if same else 'ANOTHER'} manifest"
    )
    ratios = {
        "peak memory": many.peak / few.peak,
        "processor time per image": many.processor / few.processor * min(runs) / max(runs),
    }
    for name, ratio in ratios.items():
        print(f"{name} {ratio:.2f} x, {'fine' if ratio <= TOLERANCE else 'TOO MUCH'}")
    small = max(ratios.values()) <= TOLERANCE and many.peak <= MOST
    return 0 if small and same and kept >= n // 2 else 1


if __name__ == "__main__":
    raise SystemExit(main())
