"""An experiment is a value: a frozen description from which a record follows."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agelib.descriptions import sizes
from agelib.files import sha256_text

# Fields younger than the first records, with their defaults. At its default such a field stays out
# of a description, so that older records, plans and checkpoints describe the same experiments.
_YOUNGER: dict[str, Any] = {
    "flip_at_test": False,
    "race": 0.0,
    "training_labels": "kept",
    "cutmix": 0.0,
    "balance": 0.0,
}


def _freeze(value: Mapping[str, Any] | tuple) -> tuple[tuple[str, Any], ...]:
    # Lists become tuples, so that a description is hashable.
    entries = dict(value).items()
    return tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in entries))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the training part, images per step.
    optimizer : {'rmsprop', 'adam', 'adamw', 'sgd'}
        Keras optimizer.
    learning_rate : float
        Learning rate; the highest one of a schedule.
    optimizer_options : mapping
        Further arguments of the optimizer, e.g. ``{'momentum': 0.9}``. A ``weight_decay`` reaches
        all that is trained, also biases, the factors of normalisation and the thresholds of
        CORAL; adamw has Keras's 0.004 where none is given, the others none.
    schedule : {'constant', 'steps', 'cosine'}
        How the learning rate changes, see :func:`agelib.optimizers.make_optimizer`.
    ema : float, optional
        Momentum of a moving average of the weights, which is what validation and test see.
    mixup : float
        Parameter of the Beta distribution of mixup (Zhang et al. 2018); 0: none.
    cutmix : float
        Parameter of the Beta distribution of cutmix (Yun et al. 2019); 0: none. Not with mixup.
    balance : float
        Weight images by how rare their age is, to this power; 0.5: the inverse square root, see
        :func:`agelib.pipeline.age_weights`; 0: all alike.
    class_weights : bool
        Weight images by how rare their class is, ``n_largest / n_class`` (P3). Not with balance.
    augmentation : tuple of str
        Names from :data:`agelib.preprocessing.AUGMENTATIONS`, applied while training.
    precision : {'float32', 'mixed_bfloat16'}
        Keras dtype policy; without a processor for it, see :func:`agelib.backend.affordable`.
    """

    epochs: int
    batch_size: int = 32
    optimizer: str = "rmsprop"
    learning_rate: float = 1e-3
    optimizer_options: Mapping[str, Any] | tuple = ()
    schedule: str = "constant"
    ema: float | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    balance: float = 0.0
    class_weights: bool = False
    augmentation: tuple[str, ...] = ()
    precision: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimizer_options", _freeze(self.optimizer_options))
        object.__setattr__(self, "augmentation", tuple(self.augmentation))
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"recipe: {name} is {value!r}; give a whole number from 1 up")
        if not self.learning_rate > 0:
            raise ValueError(f"recipe: learning_rate is {self.learning_rate!r}; it must be above 0")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"recipe: ema is {self.ema!r}; give a momentum between 0 and 1")
        for name in ("mixup", "cutmix", "balance"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"recipe: {name} is {value!r}; it must not be negative")
        if self.mixup and self.cutmix:
            raise ValueError("recipe: mixup and cutmix exclude each other; choose one")
        if self.balance and self.class_weights:
            raise ValueError("recipe: balance and class_weights exclude each other; choose one")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A network, its data and its training, described so that it can be repeated.

    Parameters
    ----------
    number, name : str
        ``1.0`` and the name that its authors gave it; a tweak has a number of its own.
    chapter : str
        Notebook that states it, e.g. ``03-lenet``.
    architecture : str
        Key of :data:`agelib.models.ARCHITECTURES`.
    options : mapping
        Arguments of the architecture's builder.
    labels : str
        Label scheme, see :func:`agelib.labels.get_scheme`.
    head : str
        Key of :data:`agelib.heads.HEADS`; empty: soft-max for classes, L1 for years.
    head_options : mapping
        Arguments of the head.
    gender : float
        Weight of the loss of a gender output beside the age; 0: no such output.
    race : float
        The same for the annotated race, learnt along for what it teaches about the age: never
        written into predictions, an export or the shipped network.
    dataset, protocol : str
        Data set and the published split of it.
    fold : int, optional
        Fold of a protocol that has folds.
    training_labels : str
        Which of several copies of a photograph train, and with which age: a key of
        :data:`agelib.relabel.TRAINING_LABELS`. Validation and test are the same with all.
    state : int
        Random state: initial weights, order of the images, augmentation.
    image_size : int
        Side of the square input in pixels.
    color : {'rgb', 'grey'}
        Channels of the input.
    preprocessing : str
        Key of :data:`agelib.preprocessing.PREPROCESSING`.
    flip_at_test : bool
        Whether a test image counts as the mean of the outputs for it and for its mirror image.
    recipe : Recipe
        How it is trained.
    init : Experiment, optional
        Another experiment whose trained weights are the initial ones, layer by layer wherever
        name and shapes agree: a trunk trained before, or the first of two phases.
    reduction : mapping
        What was made smaller than the description's full size: name to full value.
    """

    number: str
    name: str
    chapter: str
    architecture: str
    labels: str
    dataset: str
    protocol: str
    recipe: Recipe
    options: Mapping[str, Any] | tuple = ()
    head: str = ""
    head_options: Mapping[str, Any] | tuple = ()
    gender: float = 0.0
    race: float = 0.0
    init: Experiment | None = None
    fold: int | None = None
    training_labels: str = "kept"
    state: int = 0
    image_size: int = 32
    color: str = "rgb"
    preprocessing: str = "scale"
    flip_at_test: bool = False
    reduction: Mapping[str, Any] | tuple = field(default=())

    def __post_init__(self) -> None:
        for name in ("options", "head_options", "reduction"):
            object.__setattr__(self, name, _freeze(getattr(self, name)))
        if not re.fullmatch(r"[A-Z]?\d+\.\d+[a-z]?", self.number):
            raise ValueError(f"experiment number {self.number!r}; write it like '1.0' or '1.1'")

    def tweak(
        self,
        number: str,
        name: str,
        *,
        options: Mapping[str, Any] | None = None,
        recipe: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Experiment:
        """Return the same experiment with something changed, under a number of its own.

        Parameters
        ----------
        number, name : str
            Of the tweak; the number must be new.
        options, recipe : mapping, optional
            Entries to change in the architecture's options and in the recipe.
        **changes
            Other fields of the experiment.

        Raises
        ------
        ValueError
            If the number is the experiment's own.
        """
        if number == self.number:
            raise ValueError(
                f"the tweak {name!r} needs another number than {number} of {self.name!r}"
            )
        if options is not None:
            changes["options"] = {**dict(self.options), **options}
        if recipe is not None:
            changes["recipe"] = dataclasses.replace(self.recipe, **recipe)
        if "init" in changes:
            changes["reduction"] = {k: v for k, v in self.reduction if k != "init_epochs"}
        return dataclasses.replace(self, number=number, name=name, **changes)

    def on(self, protocol: str, *, fold: int | None = None, state: int | None = None) -> Experiment:
        """Return the same network and training on another split or from another random state.

        What it starts from moves along: a trunk that has seen the test images would be a leak.
        """
        state = self.state if state is None else state
        init = self.init and self.init.on(protocol, fold=fold, state=state)
        return dataclasses.replace(self, protocol=protocol, fold=fold, state=state, init=init)

    def over_states(self, n: int) -> list[Experiment]:
        """Return the experiment once per random state ``0 … n-1``."""
        return [self.on(self.protocol, fold=self.fold, state=state) for state in range(n)]

    def over_folds(self, protocol: str, n: int = 5) -> list[Experiment]:
        """Return the experiment once per fold ``0 … n-1`` of ``protocol``."""
        return [self.on(protocol, fold=fold) for fold in range(n)]

    def reduced(self, *, epochs: int | None = None, image_size: int | None = None) -> Experiment:
        """Return a smaller version that says what was made smaller.

        Parameters
        ----------
        epochs, image_size : int, optional
            Sizes to use; None, or a size that is not smaller, changes nothing. What it starts
            from gets the same image size; its epochs are its own.
        """
        recipe, size, reduction = self.recipe, self.image_size, dict(self.reduction)
        if epochs is not None and epochs < recipe.epochs:
            reduction.setdefault("epochs", recipe.epochs)
            recipe = dataclasses.replace(recipe, epochs=epochs)
        if image_size is not None and image_size < size:
            reduction.setdefault("image_size", size)
            size = image_size
        init = self.init and self.init.reduced(image_size=image_size)
        return dataclasses.replace(
            self, recipe=recipe, image_size=size, reduction=reduction, init=init
        )

    def limited(self, epochs: int | None) -> Experiment:
        """Return it, and what it starts from, with no more epochs than wanted.

        Where only what it starts from is cut, its own reduction says so: such a network is smaller
        than the description's too, and needs a record of its own.
        """
        init = self.init and self.init.limited(epochs)
        smaller = dataclasses.replace(self.reduced(epochs=epochs), init=init)
        if init == self.init or smaller.recipe != self.recipe:
            return smaller
        before = self.init
        while before.recipe == init.recipe:
            before, init = before.init, init.init
        names = {"init_epochs": dict(init.reduction)["epochs"], **dict(self.reduction)}
        return dataclasses.replace(smaller, reduction=names)

    def full_size(self) -> Experiment:
        """Return the experiment as it was before anything was made smaller."""
        full, changes = dict(self.reduction), {"reduction": ()}
        if "epochs" in full:
            changes["recipe"] = dataclasses.replace(self.recipe, epochs=full["epochs"])
        if "image_size" in full:
            changes["image_size"] = full["image_size"]
        return dataclasses.replace(self, init=self.init and self.init.full_size(), **changes)

    @property
    def slug(self) -> str:
        """Folder name of the record: number, name, protocol, fold, state and reductions."""
        name = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        split = self.protocol if self.fold is None else f"{self.protocol}-{self.fold}"
        parts = [f"{self.number}-{name}", split, f"state-{self.state}"]
        used = sizes(self.describe())
        parts += [f"{key.replace('_', '-')}-{used[key]}" for key, _ in self.reduction]
        return "__".join(parts)

    def describe(self) -> dict[str, Any]:
        """Return the description as plain values that go into JSON and come back equal."""
        values = dataclasses.asdict(self)
        for name in ("options", "head_options", "reduction"):
            values[name] = dict(getattr(self, name))
        values["recipe"]["optimizer_options"] = dict(self.recipe.optimizer_options)
        values["init"] = self.init and self.init.describe()
        for entries in (values, values["recipe"]):
            for name in [n for n, default in _YOUNGER.items() if entries.get(n) == default]:
                del entries[name]
        return json.loads(json.dumps(values))

    @classmethod
    def from_description(cls, values: Mapping[str, Any]) -> Experiment:
        """Return the experiment that `describe` described; what an older one lacks is default.

        Raises
        ------
        ValueError
            If the description names a field that there is not.
        """
        recipe, init = values["recipe"], values.get("init")
        try:
            nested = {"recipe": Recipe(**recipe), "init": init and cls.from_description(init)}
            return cls(**{**values, **nested})
        except TypeError as error:
            raise ValueError(f"not a description of an experiment: {error}") from error

    @property
    def fingerprint(self) -> str:
        """Short hash of everything that the outcome depends on (not of names and chapter)."""
        values = self.describe()
        for key in ("number", "name", "chapter", "reduction"):
            values.pop(key)
        values["init"] = self.init and self.init.fingerprint
        return sha256_text(json.dumps(values, sort_keys=True))[:16]
