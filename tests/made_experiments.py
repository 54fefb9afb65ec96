"""A small experiment that tests make theirs of, with `dataclasses.replace`."""

from agelib.experiment import Experiment, Recipe

LENET = Experiment(
    number="1.0",
    name="LeNet-5",
    chapter="99-test",
    architecture="lenet5",
    labels="decades-7",
    dataset="sample",
    protocol="p1-decades",
    color="grey",
    recipe=Recipe(epochs=2),
)
