"""P3's topology search as experiments, and what came out of its trials as a table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from agelib import datasets
from agelib.experiment import Experiment, Recipe
from agelib.optuna_quietly import optuna
from agelib.records import Record

Categorical = optuna.distributions.CategoricalDistribution

# What a trial chooses: the topology, its regularisation, and how Adam trains it.
HYPERPARAMETERS = (
    *("family", "dropout", "max_norm", "batch_norm", "l2"),
    *("learning_rate", "batch_size"),
)
NOT_INSERTED = "not inserted"
_REGULARISATION = ("dropout", "max_norm", "batch_norm", "l2")
_FULL_SIZE, _FULL_EPOCHS = 256, 100
_NUMERALS = {"I": 1, "V": 5, "X": 10}

# Optuna tells standard error of each study and trial; notebooks and terminals have it from us.
optuna.logging.set_verbosity(optuna.logging.ERROR)


def candidates(
    dataset: str,
    *,
    image_size: int = 80,
    epochs: int = 4,
    precision: str = "mixed_bfloat16",
) -> list[Experiment]:
    """Return the trials of P3's topology search, and ours, as experiments.

    Numbers are P3's in Arabic: ``4.0`` is IV, ``4.1`` IVa, ``18.0s`` the slip of XVIII; those
    that P3 has not go on from ``24.0``. Two trials with the same choices start from other
    initial weights. At full size they are P3's, 256 pixels and 100 epochs; P3's early stopping
    is left to the pruning of :func:`agelib.search.search`. Each size, budget and precision is
    another study; the default ones are those of the published study.

    Parameters
    ----------
    dataset : str
        Data set; fold 0 of its five is taken.
    image_size : int
        Side in pixels. A family that needs larger images (V: 128) gets the smallest that it can
        look at.
    epochs : int
        Passes over the training part: the same budget for every trial.
    precision : str
        Keras dtype policy, see :class:`agelib.experiment.Recipe`.

    Returns
    -------
    list of Experiment
        In P3's order; each says what was made smaller.
    """
    # Imported here: a reader of records needs no backend, and its import takes seconds.
    from agelib.models.sizes import smallest_size
    from agelib.models.topologies import FAMILIES
    from agelib.models.topology_grid import p3_trials

    experiments: list[Experiment] = []
    chosen: list[dict[str, Any]] = []
    for trial in p3_trials():
        experiment = Experiment(
            number=_number(trial.id),
            name=trial.id,
            chapter="11-topology-search",
            architecture="topology",
            options=trial.options,
            labels="groups-5",
            dataset=dataset,
            protocol=datasets.get(dataset).five_fold,
            fold=0,
            image_size=_FULL_SIZE,
            preprocessing="scale",
            recipe=Recipe(
                epochs=_FULL_EPOCHS,
                batch_size=trial.batch_size,
                optimizer="adam",
                learning_rate=trial.learning_rate,
                class_weights=True,
                precision=precision,
            ),
        )
        same = hyperparameters(experiment)
        experiment = dataclasses.replace(experiment, state=chosen.count(same))
        chosen.append(same)
        size = max(image_size, smallest_size(FAMILIES[trial.family].steps()))
        experiments.append(experiment.reduced(epochs=epochs, image_size=size))
    return experiments


def _number(trial_id: str) -> str:
    roman, letter = re.fullmatch(r"([IVX]+)([abs]?)", trial_id).groups()
    digits = [_NUMERALS[numeral] for numeral in roman]
    # A numeral before a larger one is taken off: IX is 9.
    after = [*digits[1:], 0]
    family = sum(-d if d < larger else d for d, larger in zip(digits, after, strict=True))
    return f"{family}.{ {'': '0', 'a': '1', 'b': '2', 's': '0s'}[letter] }"


def hyperparameters(experiment: Experiment) -> dict[str, Any]:
    """Return what a trial chooses, by the names in ``HYPERPARAMETERS``.

    What is not used is "none". Batch normalisation that was made and never added (P3's slip) is
    a choice of its own, e.g. "all, not inserted".
    """
    options = dict(experiment.options)
    chosen = {"family": options["family"]}
    chosen |= {name: options.get(name) or "none" for name in _REGULARISATION}
    if not options.get("batch_norm_inserted", True):
        chosen["batch_norm"] += f", {NOT_INSERTED}"
    recipe = experiment.recipe
    return chosen | {"learning_rate": recipe.learning_rate, "batch_size": recipe.batch_size}


def choose(experiment: Experiment, number: str, name: str, chosen: dict[str, Any]) -> Experiment:
    """Return another trial of the experiment's size and budget with these hyperparameters.

    Parameters
    ----------
    experiment : Experiment
        A trial of the same family, since families differ in the smallest image.
    number, name : str
        Of the new trial.
    chosen : dict
        One value for each of ``HYPERPARAMETERS``; not the slip.
    """
    used = {name: chosen[name] for name in _REGULARISATION if chosen[name] != "none"}
    recipe = {name: chosen[name] for name in ("learning_rate", "batch_size")}
    fresh = experiment.tweak(number, name, recipe=recipe, state=0)
    return Experiment(**{**vars(fresh), "options": {"family": chosen["family"]} | used})


def search_space(
    chosen: Iterable[dict[str, Any]],
) -> dict[str, Categorical]:
    """Return the values that occur for each hyperparameter: numbers ascending, words as met."""
    rows = list(chosen)
    space = {}
    for name in HYPERPARAMETERS:
        values = list(dict.fromkeys(row[name] for row in rows))
        numbers = not any(isinstance(value, str) for value in values)
        space[name] = Categorical(sorted(values) if numbers else values)
    return space


def trials_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return what came out of trials, one row each, from their records alone.

    Parameters
    ----------
    records : iterable of Record
        Of experiments from :func:`candidates`, or of what the search proposed.

    Returns
    -------
    DataFrame
        ``number``, ``name``, the ``HYPERPARAMETERS``, ``image_size`` (pixels),
        ``validation_accuracy`` (best epoch; what the search maximises), ``epochs``, ``pruned``,
        ``test_accuracy`` with its 95 % interval ``low`` to ``high`` over ``n`` test images,
        ``parameters`` (weights of the network) and ``seconds`` of training. In the given order.
    """
    rows = []
    for record in records:
        experiment, summary = Experiment.from_description(record.experiment), record.summary
        test = record.metrics.loc["accuracy"]
        rows.append(
            {
                "number": experiment.number,
                "name": experiment.name,
                **hyperparameters(experiment),
                "image_size": experiment.image_size,
                "validation_accuracy": summary["validation"]["accuracy"],
                "epochs": summary["epochs"],
                "pruned": bool(summary.get("pruned", False)),
                "test_accuracy": test["value"],
                **{name: test[name] for name in ("low", "high")},
                "n": int(test["n"]),
                "parameters": summary["parameters"],
                "seconds": summary["seconds"],
            }
        )
    return pd.DataFrame(rows)


def importances(table: pd.DataFrame) -> pd.Series:
    """Return the share of each hyperparameter in the variance of the validation accuracy.

    Functional analysis of variance (Hutter et al. 2014) of a random forest through the trials,
    as Optuna computes it. Pruned trials count with the accuracy that they had reached: without
    them, what made them bad would look unimportant. A grid chosen by hand leaves most
    combinations untried, so the shares describe the forest's guess there as well.

    Parameters
    ----------
    table : DataFrame
        From :func:`trials_table`.

    Returns
    -------
    Series
        Share from 0 to 1 by hyperparameter, largest first; they add up to 1. ``attrs["n"]`` is
        the number of trials.

    Raises
    ------
    ValueError
        If there are fewer than two trials, or all have the same accuracy.
    """
    values = table["validation_accuracy"].tolist() if len(table) else []
    if len(set(values)) < 2:
        raise ValueError(
            f"{len(values)} trials with {len(set(values))} different validation accuracies say "
            "nothing about importance; train more trials"
        )
    chosen = table[list(HYPERPARAMETERS)].to_dict("records")
    space = search_space(chosen)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        optuna.trial.create_trial(params=row, distributions=space, value=value)
        for row, value in zip(chosen, values, strict=True)
    )
    shares = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    series = pd.Series(shares, name="importance").rename_axis("hyperparameter")
    series = series.sort_values(ascending=False, kind="stable")
    series.attrs["n"] = len(table)
    return series
