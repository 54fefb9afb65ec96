"""The README's results, written from records: ``python -m agelib.readme`` (``make refresh``)."""

from __future__ import annotations

import re

import pandas as pd

from agelib import comparison, datasets, headline, headline_text, paths, results
from agelib.files import atomic_path, write_text

_PLACE = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
FIGURES = ("years-off.png", "reported-replicated-honest.png")
_FOLDER = "models-and-results"
_METRICS = {"accuracy": 3, "mae": 2, "gender_accuracy": 3}  # and their digits


def compared(summary: pd.DataFrame) -> pd.DataFrame:
    """Return what was reported on UTKFace beside what was measured, see `comparison`.

    The column ``metric`` says of what: accuracy of the classes, mean absolute error in years, or
    accuracy of the gender.

    Parameters
    ----------
    summary : DataFrame
        From :func:`agelib.results.summarise`.
    """
    summary = summary[summary["dataset"] == "utkface"]
    told = comparison.reported()
    told = told[told["dataset"] == "utkface"]
    tables = (
        comparison.reported_and_ours(summary, told, metric).assign(metric=metric)
        for metric in _METRICS
    )
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def answers(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the table that opens chapter 90, of all data sets but the sample, as text.

    Parameters
    ----------
    summary : DataFrame
        From :func:`agelib.results.summarise`.
    """
    tables = []
    for dataset in sorted(set(summary["dataset"]) - {"sample"}, key=lambda name: name != "utkface"):
        table = headline_text.answers_text(headline.answers(summary, dataset))
        title = datasets.get(dataset).title
        tables.append(table.rename(index=lambda asked, title=title: f"{title}: {asked}"))
    return pd.concat(tables)


def answers_markdown(table: pd.DataFrame) -> str:
    """Return the table of `answers` as Markdown."""
    head = [table.index.name, *table.columns]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join([asked, *row])} |" for asked, *row in table.itertuples()]
    return "\n".join(lines) + "\n"


def results_markdown(table: pd.DataFrame) -> str:
    """Return the comparison as a Markdown table.

    Parameters
    ----------
    table : DataFrame
        From `compared`.
    """
    head = ["experiment", "metric", "reported", "replicated: their split", "honest: five folds"]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        digits = _METRICS[row["metric"]]
        n = "validation" if pd.isna(row["reported_n"]) else f"n = {row['reported_n']:,}"
        cells = [f"{row['label']} ({row['labels']})", row["metric"].replace("_", " ")]
        cells.append(f"{row['reported']:.{digits}f} ({row['project']}, {n})")
        cells += [_ours(row, kind, digits) for kind in ("replicated", "honest")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _ours(row: dict, kind: str, digits: int) -> str:
    """Return value, interval, n and what was reduced; nothing where there is no such record."""
    value, low, high, n = (row[f"{kind}{end}"] for end in ("", "_low", "_high", "_n"))
    if pd.isna(value):
        return ""
    text = f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}] (n = {n:,})"
    reduced = row[f"{kind}_reduced"]
    return f"{text}; {reduced}" if isinstance(reduced, str) and reduced else text


def results_part() -> str:
    """Return what stands between the README's marks: figures and tables, made from the records."""
    summary = results.summarise()
    years, told = (f"![{alt}]({_FOLDER}/{name})\n" for alt, name in zip(_ALT, FIGURES, strict=True))
    parts = (
        *(years, _FIRST, answers_markdown(answers(summary)), _SECOND),
        *(told, _THIRD, results_markdown(compared(summary))),
    )
    return "\n".join(parts)


_ALT = ("How many years networks are off", "Reported, replicated and honest accuracy")
_FIRST = """\
How well can a network tell an age from a face? The figure shows mean absolute errors of the
expected age (chapter 15 decides by the median, which for its best networks is no closer, but being
a whole year has more answers within five) on photographs of UTKFace of which no network has seen a
copy; a star marks one trained at less than full size. The table
sets the best network beside a guess that looks at no image, and beside the best single value that
the replayed projects, or others under the same rules, reported on their own split (the years and
the gender are of two networks, each worse at the other task). Ours is the best of all on
these very images, which its interval does not account for. What matters most, and how sure one can
be of a single estimate, is in the other two figures that open
[90 · Summarized results](notebooks/90-summarized-results.ipynb).
"""
_SECOND = "## Reported, replicated, honest\n"
_THIRD = """\
Accuracy on seven decades of UTKFace, with 95 % bootstrap intervals over the test images. *Reported*
is what the project gave, on a test part or only on validation; *replicated* is ours on their images
and their split; *honest* is ours on cleaned images with no copy of a photograph on both sides: all
five folds where n is above 20,000, else the first one so far. The table says the same for every
network with a reported number and a record. P5 had 5,000 images and no test part: we train on these
and test on all others, so its reported and replicated numbers are of different images. The best
classmates, under P5's rules, had other networks than those of ours that stand beside them. Where
the table says what was reduced, the number is one for that smaller size; an empty cell has no
record yet.
"""


def filled(readme: str, table: str) -> str:
    """Return the README's text with the table between its two marks.

    Raises
    ------
    ValueError
        If the marks are missing.
    """
    if not _PLACE.search(readme):
        raise ValueError("README.md lacks the marks <!-- results --> and <!-- end of results -->")
    return _PLACE.sub(lambda match: match[1] + table + match[2], readme)


def main() -> None:
    """Write the README's tables and figures."""
    # Imported here: the text, which a test compares, needs no drawing.
    import matplotlib

    matplotlib.use("Agg")
    from agelib import plots

    path = paths.root() / "README.md"
    write_text(path, filled(path.read_text(encoding="utf-8"), results_part()))
    plots.use_style()
    summary = results.summarise()
    guess = headline.answers(summary, "utkface").set_index("metric")["guess"].get("mae")
    best = headline.in_years(summary, "utkface", per_chapter=2)
    years = plots.years_off(best, guess=guess, anchors=headline.anchors("utkface"))
    table = compared(summary)
    decades = table[(table["labels"] == "decades-7") & (table["metric"] == "accuracy")]
    told = plots.reported_versus_ours(decades, "Accuracy (7 decades)")
    for name, ax in zip(FIGURES, (years, told), strict=True):
        with atomic_path(paths.root() / _FOLDER / name) as temporary:
            ax.figure.savefig(temporary, bbox_inches="tight", metadata={"Software": None})


if __name__ == "__main__":
    main()
