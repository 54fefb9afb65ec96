"""The figures of the paper, drawn from records as vector graphics."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from agelib import (
    comparison,
    effects,
    headline,
    paper_leakage,
    plots,
    plots_analysis,
    readoff,
    reference,
    results,
    uncertainty,
)
from agelib.evaluation import pooled
from agelib.files import atomic_path
from agelib.lab import Lab
from agelib.paper_numbers import DATASET, open_lab

# Inches: drawn as wide as they are printed, a column or the page, so that letters keep their size.
_COLUMN, _PAGE = 3.4, 6.9


def draw(folder: Path) -> list[Path]:
    """Draw every figure of the paper into a folder.

    Parameters
    ----------
    folder : Path
        Made when missing.

    Returns
    -------
    list of Path
        SVG files, the same bytes for the same records.
    """
    plots.use_style()
    lab = open_lab()
    summary = results.summarise()
    summary = summary[summary["dataset"] == DATASET].reset_index(drop=True)
    answers = headline.answers(summary, DATASET)
    best = headline.in_years(summary, DATASET, per_chapter=2)
    guess = answers.set_index("metric")["guess"]["mae"]
    ax = plots.years_off(best.head(10), guess=guess, anchors=headline.anchors(DATASET))
    ax.set_ylabel("")
    written = [_save(folder, "years-off", (_PAGE, 3.2))]
    plots.what_matters(effects.single_differences(DATASET))
    written.append(_save(folder, "what-matters", (_PAGE, 2.8)))
    predictions = pooled([r.predictions for r in headline.records_of(best.iloc[0])])
    _legend_below(plots.truth_given_estimate(predictions))
    written.append(_save(folder, "truth-given-estimate", (_COLUMN, 2.4)))
    table = comparison.reported_and_ours(summary, comparison.reported())
    decades = table[table["labels"] == "decades-7"]
    decades = decades.assign(label=decades["label"].map(_wrapped))
    ax = plots.reported_versus_ours(decades, "Accuracy (7 decades)")
    ax.set_ylabel("")
    # The caption says the rest of the title, which is wider than a column.
    ax.set_title(ax.get_title(loc="left").rpartition("\n")[2])
    _legend_below(ax)
    written.append(_save(folder, "reported", (_COLUMN, 2.6)))
    _label_noise(lab.catalog)
    written.append(_save(folder, "label-noise", (_PAGE, 2.2)))
    subject = reference.subject(lab)
    years, true = readoff.year_probabilities(subject), subject["true"].to_numpy()
    parts = (uncertainty.pit_histogram(years, true), uncertainty.central_coverage(years, true))
    plots_analysis.calibration(*parts, title=f"n = {len(subject):,} test images")
    plt.gcf().axes[-1].set_ylabel("Share found inside")  # the whole label is higher than the axes
    written.append(_save(folder, "calibration", (_PAGE, 2.1)))
    _flattery(lab)
    return [*written, _save(folder, "flattery", (_COLUMN, 2.4))]


def _legend_below(ax: Axes) -> None:
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)


def _flattery(lab: Lab) -> None:
    """Draw how much smaller or larger the error is under the other splits of chapter 19."""
    tables, _ = paper_leakage.split_tables(lab)
    others = paper_leakage.flattery(lab, tables)
    names = ["value", "low", "high", "n"]
    columns = {"as reported": "difference", "same ages": "same ages"}
    series = {
        title: others[[column, f"{column} low", f"{column} high", "n"]].set_axis(names, axis=1)
        for title, column in columns.items()
    }
    ax = plots_analysis.group_dots(series, "Error minus ours (years)", line=0)
    # Names stand close in a column: the words that all have go to the axis.
    names = [_wrapped(label.get_text().replace("n = ", ""), 7) for label in ax.get_xticklabels()]
    ax.set_xticks(ax.get_xticks(), names)
    ax.set_xlabel("Split, and n test images")
    ax.legend(loc="upper left")


def _wrapped(name: str, width: int = 18) -> str:
    """Break the lines of a name at spaces."""
    return "\n".join(textwrap.fill(line, width) for line in name.splitlines())


def _label_noise(catalog: pd.DataFrame) -> None:
    """Draw the ages of the kept images, and how far labels of one photograph lie apart."""
    _, (left, right) = plt.subplots(1, 2, layout="constrained")
    ages = catalog.loc[catalog["keep"] & catalog["age"].notna(), "age"].astype(int)
    left.bar(*zip(*sorted(ages.value_counts().items()), strict=True), width=1)
    left.set(xlabel="Age (years)", ylabel="Images")
    left.set_title(f"Labels of the kept images\nn = {len(ages):,}")
    sizes = catalog.groupby("cluster")["file"].transform("size")
    copies = catalog[(sizes > 1) & catalog["usable"] & catalog["age"].notna()]
    grouped = copies.assign(age=copies["age"].astype(float)).groupby("cluster")["age"]
    gap = grouped.max() - grouped.min()
    by_age = gap.groupby(pd.cut(grouped.mean(), [0, 10, 20, 40, 60, 120]), observed=False)
    names = [f"{i.left + 1:.0f}-{i.right:.0f}" for i in by_age.mean().index]
    half = 1.96 * by_age.std() / by_age.size() ** 0.5
    right.bar(names, by_age.mean(), yerr=half, capsize=2)
    right.set(xlabel="Mean age of the copies (years)", ylabel="Mean gap (years)")
    right.set_title(f"Labels of one photograph, 95 % intervals\nn = {len(gap):,} photographs")


def _save(folder: Path, name: str, size: tuple[float, float] | None = None) -> Path:
    """Write the current figure; without a date and with fixed ids it is the same every time."""
    if size is not None:
        plt.gcf().set_size_inches(*size)
    path = folder / f"{name}.svg"
    with plt.rc_context({"svg.hashsalt": name}), atomic_path(path) as temporary:
        plt.gcf().savefig(temporary, bbox_inches="tight", metadata={"Date": None})
    plt.close()
    return path
