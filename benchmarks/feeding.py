"""Whether training waits for images: each way to feed a network, beside Keras's bare ``fit``.

    python benchmarks/feeding.py [DATASET] [--network small] [--images 4000] [--rounds 3]

Four times the same network, compiled in the same way, goes once over the same images in batches of
the same size:

* bare: ``fit`` on arrays of floats that lie in memory, the fastest that Keras can be;
* in memory: as agelib trains, from a store's uint8 held in memory;
* streamed: as agelib trains when a store is larger than memory;
* directory: ``keras.utils.image_dataset_from_directory`` over JPEG files of the size that the
  network takes, shuffled.

All four shuffle. The rounds alternate; medians and their ratio to bare are printed. The files are
written to a temporary folder and removed.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from agelib import backend, training
from agelib.backend import keras
from agelib.experiment import Experiment, Recipe
from agelib.lab import Lab, start
from agelib.models import build, head_of, with_augmentation
from agelib.parts import Part, make_part
from agelib.pipeline import Batches, Images
from agelib.reference import reference


def networks(lab: Lab) -> dict[str, Experiment]:
    """Return what can be trained: P1's LeNet-5, the small network of chapter 15, P4's WRN-16-8."""
    lenet = Experiment(
        number="1.0", name="LeNet-5", chapter="benchmark", architecture="lenet5",
        labels="decades-7", dataset=lab.dataset, protocol=lab.five_fold, fold=0, color="grey",
        recipe=Recipe(epochs=1),
    )  # fmt: skip
    wide = dataclasses.replace(
        lenet, name="WRN-16-8", architecture="wide_resnet", labels="per-year-101",
        image_size=64, color="rgb", preprocessing="minus-one-to-one",
        recipe=Recipe(epochs=1, optimizer="sgd", precision="mixed_bfloat16"),
    )  # fmt: skip
    return {"lenet-5": lenet, "small": reference(lab), "wrn-16-8": wide}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", default="sample")
    parser.add_argument("--network", choices=("lenet-5", "small", "wrn-16-8"), default="small")
    parser.add_argument("--images", type=int, default=4000, help="of the training part")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lab = start(options.dataset)
    experiment = networks(lab)[options.network]
    head, store = head_of(experiment), lab.store(experiment.image_size, experiment.color)
    rows = np.sort(lab.split(lab.five_fold, 0).training[: options.images])
    part = make_part(store, lab.catalog, rows, head, gender=experiment.gender > 0)
    size = experiment.recipe.batch_size
    # Whole batches only: an odd last one has its graph built in the middle of a round.
    part = first(part, len(part.rows) // size * size)
    network = with_augmentation(build(experiment), experiment.recipe.augmentation)
    training.compile_network(network, experiment, head, len(part.rows))
    with tempfile.TemporaryDirectory() as folder:
        rates = measured(network, part, size, options.rounds, Path(folder))
    what = f"{experiment.name} on {len(part.rows):,} images of {options.dataset}"
    how = f"{store.size} pixels, batches of {size}; {backend.hardware()}, {backend.name()}"
    print(f"{what} at {how}")
    base = statistics.median(rates["bare"])
    for name, values in rates.items():
        median = statistics.median(values)
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{name:10} {median:10,.0f} images/s ({spread}), {median / base:.2f} of bare")


def first(part: Part, n: int) -> Part:
    """Return a part's first ``n`` images."""
    targets = keras.tree.map_structure(lambda values: values[:n], part.targets)
    rows = part.rows[:n]
    return Part(rows, Images(part.images.store, rows), part.labels[:n], targets)


def measured(
    network: keras.Model, part: Part, size: int, rounds: int, folder: Path
) -> dict[str, list[float]]:
    """Return images per second of each way in each round; a first round is not counted."""
    floats = part.images.take(slice(None)).astype("float32")
    streamed = Images(part.images.store, part.rows, memory_limit=0)
    files = directory(part, size, folder)
    ways: dict[str, Callable[[int], dict]] = {
        "bare": lambda epoch: {"x": floats, "y": part.targets, "batch_size": size},
        "in memory": lambda epoch: {"x": batches(part.images, part, size, epoch)},
        "streamed": lambda epoch: {"x": batches(streamed, part, size, epoch)},
        "directory": lambda epoch: {"x": files},
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(rounds + 1):
        for name, arguments in ways.items():
            begun = time.perf_counter()
            network.fit(**arguments(epoch), shuffle=name == "bare", verbose=0)
            if epoch:
                rates[name].append(len(part.rows) / (time.perf_counter() - begun))
    return rates


def batches(images: Images, part: Part, size: int, epoch: int) -> Batches:
    """Return an epoch as `agelib.training` feeds it."""
    return Batches(images, part.targets, batch_size=size, order=images.order(0, epoch))


def directory(part: Part, size: int, folder: Path) -> Any:
    """Return Keras's own data set over the same images as files, with the same targets."""
    pixels = part.images.take(slice(None))
    for number, image in enumerate(pixels):
        Image.fromarray(image.squeeze()).save(folder / f"{number:06}.jpg", quality=95)
    color = "grayscale" if pixels.shape[-1] == 1 else "rgb"
    numbered = keras.utils.image_dataset_from_directory(
        folder, labels=list(range(len(pixels))), label_mode="int", color_mode=color,
        batch_size=size, image_size=pixels.shape[1:3], seed=0, verbose=False,
    )  # fmt: skip

    def with_targets(images: Any, numbers: Any) -> tuple[Any, Any]:
        chosen = [keras.ops.take(values, numbers, axis=0) for values in flat]
        return images, keras.tree.pack_sequence_as(part.targets, chosen)

    flat = keras.tree.flatten(part.targets)
    return numbered.map(with_targets)


if __name__ == "__main__":
    main()
