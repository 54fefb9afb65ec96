"""Time the clean-up and conversion of a folder of images beside a bare decode-and-resize loop.

The bare loop opens, decodes and resizes every file and forgets it. The other side is what
`agelib.conversion` does: hash, decode, thumbnail and resize in one pass, all pairs of thumbnails
compared, duplicates and conflicts flagged, and an HDF5 store with its manifest written. Both use
the same number of threads, run in turn, each in a process of its own, and are timed without
imports. Peak memory is the process's own, imports included.

    python benchmarks/conversion.py IMAGES SCRATCH [--size 128] [--rounds 3] [--jobs N] [--times 10]

``--times 10`` lists every image ten times over, through hard links in SCRATCH.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = 64


def bare(folder: Path, _: Path, size: int, jobs: int) -> int:
    """Decode and resize every file, and keep nothing."""
    import numpy as np
    from PIL import Image

    from agelib.catalog import list_images

    def block(names: list[str]) -> int:
        for name in names:
            with Image.open(folder / name) as image:
                rgb = image.convert("RGB")
                np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR))
        return len(names)

    files = list_images(folder)
    with ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(block, [files[i : i + BLOCK] for i in range(0, len(files), BLOCK)]))


def agelib(folder: Path, scratch: Path, size: int, jobs: int) -> int:
    """Scan, clean, draw the folds, write manifest and store."""
    from agelib.conversion import convert
    from agelib.datasets.source import from_names
    from agelib.datasets.utkface import parse_name

    with tempfile.TemporaryDirectory(dir=scratch) as place:
        catalog = convert(
            folder,
            from_names(parse_name)(folder),
            manifest=Path(place) / "manifest.csv",
            store=Path(place) / "store.h5",
            dataset="benchmark",
            licence="",
            size=size,
            jobs=jobs,
        )
    return len(catalog)


SIDES = {"bare": bare, "agelib": agelib}


def measure(side: str, options: argparse.Namespace, images: Path) -> dict[str, float]:
    """Run one side in a process of its own; return its figures."""
    words = [sys.executable, __file__, images, options.scratch, "--size", options.size]
    words += ["--jobs", options.jobs, "--side", side]
    # As many threads for the linear algebra as for the decoding.
    threads = {f"{name}_NUM_THREADS": str(options.jobs) for name in ("OPENBLAS", "OMP", "MKL")}
    path = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
    child = subprocess.run(
        [str(word) for word in words],
        env=os.environ | threads | {"PYTHONPATH": path},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(child.stdout)


def run_side(options: argparse.Namespace) -> None:
    """Be the child: do the work once and print the figures as JSON."""
    import h5py  # noqa: F401 - imported beforehand, as the rest, so as not to be timed
    import pandas  # noqa: F401
    from PIL import JpegImagePlugin  # noqa: F401

    import agelib.conversion  # noqa: F401

    started, work = time.perf_counter(), time.process_time()
    n = SIDES[options.side](options.images, options.scratch, options.size, options.jobs)
    seconds, work = time.perf_counter() - started, time.process_time() - work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    figures = {"seconds": seconds, "cpu": work, "megabytes": peak * unit / 1e6, "images": n}
    print(json.dumps(figures))


def multiplied(images: Path, times: int, scratch: Path) -> Path:
    """Make a folder that lists the images several times over, without copying them."""
    for copy in range(times):
        (scratch / str(copy)).mkdir()
        for image in images.iterdir():
            os.link(image, scratch / str(copy) / image.name)
    return scratch


def report(runs: dict[str, list[dict[str, float]]], jobs: int) -> str:
    """Return the table: medians of the rounds."""
    head = f"{'':8}{'images':>9}{'seconds':>9}{'CPU s':>8}{'images/s':>10}{'peak MB':>9}"
    lines = [f"{head}   rounds (s)"]
    medians = {}
    for side, rounds in runs.items():
        seconds = statistics.median(run["seconds"] for run in rounds)
        medians[side] = seconds
        n, peak = int(rounds[0]["images"]), max(run["megabytes"] for run in rounds)
        each = " ".join(f"{run['seconds']:.1f}" for run in rounds)
        work = statistics.median(run["cpu"] for run in rounds)
        row = f"{side:8}{n:>9,}{seconds:>9.2f}{work:>8.1f}{n / seconds:>10,.0f}{peak:>9.0f}"
        lines.append(f"{row}   {each}")
    ratio = medians["agelib"] / medians["bare"]
    return "\n".join([*lines, f"agelib / bare = {ratio:.2f} ({jobs} threads, medians)"])


def main() -> None:
    """Read the arguments, run the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("scratch", type=Path, help="folder for the stores, removed after each run")
    parser.add_argument("--size", type=int, default=128, help="side in pixels; default 128")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="threads; default all")
    parser.add_argument("--times", type=int, default=1, help="list every image so often")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return run_side(options)
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    options.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.scratch) as place:
        images = options.images.resolve()
        if options.times > 1:
            images = multiplied(images, options.times, Path(place))
        if options.rounds > 1:
            measure("bare", options, images)  # warms the disk's cache for both
        for _ in range(options.rounds):
            for side, rounds in runs.items():
                rounds.append(measure(side, options, images))
    print(report(runs, options.jobs))
    return None


if __name__ == "__main__":
    main()
