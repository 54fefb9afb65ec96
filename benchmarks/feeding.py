"""How fast a store feeds a network, beside the rate at which LeNet-5 trains on the same images.

    python benchmarks/feeding.py [DATASET] [--rounds 3]

Both sides take shuffled batches of 32 grey images of 32 pixels. Feeding hands each batch to a
network that does nothing; training is Keras's ``fit`` of LeNet-5. The rounds alternate, medians
are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from agelib import backend, training
from agelib.experiment import Experiment, Recipe
from agelib.heads import make_head
from agelib.lab import start
from agelib.labels import get_scheme
from agelib.models import build
from agelib.parts import Part, make_part
from agelib.pipeline import Batches, Images, epoch_order
from agelib.throughput import feeding_rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", default="sample")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lab = start(options.dataset)
    lenet = Experiment(
        number="1.0", name="LeNet-5", chapter="benchmark", architecture="lenet5",
        labels="decades-7", dataset=options.dataset, protocol=lab.five_fold, fold=0,
        color="grey", recipe=Recipe(epochs=1),
    )  # fmt: skip
    head = make_head("", get_scheme(lenet.labels), {})
    store = lab.store(lenet.image_size, lenet.color)
    part = make_part(store, lab.catalog, lab.split(lab.five_fold, 0).training, head)
    network = build(lenet)
    training.compile_network(network, lenet, head, len(part.rows))
    streamed = Images(store, part.rows, memory_limit=0)
    rates: dict[str, list[float]] = {"trains LeNet-5": [], "feeds, in memory": [], "streamed": []}
    for epoch in range(options.rounds + 1):
        rate = _training_rate(network, part, epoch)
        if epoch:  # the first pass builds the graph
            rates["trains LeNet-5"].append(rate)
            rates["feeds, in memory"].append(feeding_rate(part.images))
            rates["streamed"].append(feeding_rate(streamed))
    base = statistics.median(rates["trains LeNet-5"])
    print(f"{options.dataset}: {len(part.rows):,} images, {backend.hardware()}, {backend.name()}")
    for name, values in rates.items():
        median = statistics.median(values)
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{name:18} {median:12,.0f} images/s ({spread}), {median / base:.1f} x")


def _training_rate(network, part: Part, epoch: int) -> float:
    order = epoch_order(len(part.rows), 0, epoch)
    batches = Batches(part.images, np.asarray(part.targets), batch_size=32, order=order)
    start_time = time.perf_counter()
    network.fit(batches, verbose=0, shuffle=False)
    return len(part.rows) / (time.perf_counter() - start_time)


if __name__ == "__main__":
    main()
