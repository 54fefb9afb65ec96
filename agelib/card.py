"""The model card of the shipped network, written from its facts (Mitchell et al. 2019)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any

from agelib import datasets
from agelib.faces import SMALLEST_EYES

_CARD = """\
# Model card: {title}

Generated from `facts.json` by `python -m agelib ship`; not edited by hand.

A network of {parameters:,} weights ({megabytes} MB, `{file}`) that takes a face, cut out and turned
upright like UTKFace's chips, {size}x{size} pixels of RGB from 0 to 255, and gives a probability for
each year from 0 to {last_year} and one for "female". `python -m agelib predict` finds the faces,
cuts them out and runs it; `python -m agelib export shipped --to onnx` writes it for other programs.

## Where it comes from

* **Record.** `{record}`: experiment {number}, {name}.
* **Data.** {dataset}: {training:,} images for training, {validation:,} to choose the epoch,
  {test:,} for the test, none of which has a copy in another part (protocol `{protocol}`{fold}).
* **Trained** with Keras {keras} and {backend} on {hardware}, {created}, from {start} weights.
{float32}
## What it is worth

On the {test:,} test images, which played no part in training, with 95 % bootstrap intervals over
the images:

| | n | MAE, years | within 5 years | gender as annotated |
|---|---|---|---|---|
{rows}

{all_folds}

**Interval.** The 80 % interval of `predict` leaves out {tail_percent:.1f} % of the distribution at
each end, {years:.1f} years wide on average. The share was set on test images so that 80 % of the
true ages lie inside; measured across halves, each with the other half's share, it holds {coverage}
of them, and with a tenth at each end it would hold {uncalibrated}.

## What it is not

* Ages in {dataset} are *apparent*: proposed by an algorithm, checked by one person. The network has
  learnt what faces look like to an annotator, not when people were born.
* Gender is a binary and race one of five words, as annotators saw them. The groups of the table
  are theirs, and their labels have errors too.
* Groups differ. By age the error is smallest for {best} and largest for {worst}; where few images
  are behind a row its interval is wide.
* What finding and aligning faces costs is measured in chapter 24, on these images. Faces with less
  than {smallest:.0f} pixels between the eyes are refused. Profiles, masks, make-up, drawings and
  people unlike those in {dataset} were not measured.

## What it must not be used for

To decide anything about a person: not access, not prices, not treatment, not identity, not whether
somebody is of age. It is here to show how such networks are measured.

## Licence

The code is under the MIT licence. The weights were learnt from {dataset}, which is for
non-commercial research only, and may be used for that only. The images show real people who were
not asked; none of them is in this repository.
"""


def model_card(facts: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    facts : dict
        From :func:`agelib.shipping.ship`.
    """
    experiment, split = facts["experiment"], facts["split"]
    versions = facts["trained"]["versions"]
    backend = next(name for name in versions if name not in ("keras", "numpy"))
    measured = facts["interval"]
    rows = [_row("**all**", facts["metrics"], facts["metrics"]["mae"]["n"])]
    rows += [_row(f"{g['group']}: {g['value']}", g, g["n"]) for g in facts["groups"]]
    text = _CARD.format(
        title="age and gender from a face",
        parameters=facts["parameters"],
        megabytes=facts["network"]["megabytes"],
        file=facts["network"]["file"],
        size=experiment["image_size"],
        last_year=100,
        record=facts["record"],
        number=experiment["number"],
        name=experiment["name"],
        dataset=datasets.get(experiment["dataset"]).title,
        training=split["training"],
        validation=split["validation"],
        test=split["test"],
        protocol=experiment["protocol"],
        fold="" if experiment["fold"] is None else f", fold {experiment['fold']}",
        keras=versions["keras"],
        backend=backend,
        hardware=facts["trained"]["hardware"],
        created=facts["trained"]["created"],
        start=_start(experiment),
        float32=_float32(facts),
        rows="\n".join(rows),
        all_folds=_all_folds(facts),
        best=_extreme(facts["groups"], min),
        worst=_extreme(facts["groups"], max),
        smallest=SMALLEST_EYES,
        tail_percent=100 * measured["tail"],
        years=measured["years"],
        coverage=_share(measured["coverage"]),
        uncalibrated=_share(measured["uncalibrated"]),
    )
    blocks = [_wrapped(block) for block in text.split("\n\n") if block.strip()]
    return "\n\n".join(blocks) + "\n"


def _start(experiment: dict[str, Any]) -> str:
    if experiment["init"]:
        return "an earlier phase's"
    weights = experiment["options"].get("weights")
    return {None: "random", "imagenet": "ImageNet"}.get(weights, f"the file {weights}'s")


def _wrapped(block: str) -> str:
    """Wrap a paragraph or a list; tables and headings stay."""
    if block.lstrip().startswith(("|", "#")):
        return block.strip("\n")
    points = re.split(r"\n(?=\* )", block.strip("\n"))
    return "\n".join(
        textwrap.fill(
            " ".join(point.split()),
            100,
            subsequent_indent="  " if point.startswith("* ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for point in points
    )


def _extreme(groups: list[dict[str, Any]], choose: Callable) -> str:
    """Return the age group of the smallest or largest error, in words."""
    group = choose((g for g in groups if g["group"] == "age"), key=lambda g: g["mae"]["value"])
    return f"{group['value']} ({group['mae']['value']:.1f} years, n = {group['n']:,})"


def _row(name: str, scores: dict[str, Any], n: int) -> str:
    mae = "{value:.2f} [{low:.2f}, {high:.2f}]".format(**scores["mae"])
    shares = [_share(scores[key]) for key in ("cs5", "gender_accuracy")]
    return f"| {name} | {n:,} | {mae} | {' | '.join(shares)} |"


def _share(score: dict[str, float]) -> str:
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**score)


def _float32(facts: dict[str, Any]) -> str:
    precision = facts["experiment"]["recipe"]["precision"]
    if precision == "float32":
        return ""
    text = f"* **Precision.** Trained in {precision}, shipped in float32."
    if gap := facts["float32"]:
        text += (
            f" On {gap['n']} test images the expected age moves by\n  {gap['mean']:.2f} years on "
            f"average, by {gap['most']:.2f} at most."
        )
    return text + "\n"


def _all_folds(facts: dict[str, Any]) -> str:
    if not facts["all_folds"]:
        return ""
    scores = facts["all_folds"]
    return (
        "\n\nFive networks trained alike, each on other images, over all "
        f"{scores['mae']['n']:,} test images of the five\nfolds: MAE "
        + "{value:.2f} [{low:.2f}, {high:.2f}] years, ".format(**scores["mae"])
        + f"gender {_share(scores['gender_accuracy'])}. "
        + f"The shipped one is that of fold {facts['experiment']['fold']}.\n"
    )
