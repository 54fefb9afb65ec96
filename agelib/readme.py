"""The README's results, written from records: ``python -m agelib.readme`` (``make refresh``)."""

from __future__ import annotations

import re

import pandas as pd

from agelib import comparison, paths, results
from agelib.files import atomic_path, write_text

_PLACE = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
FIGURE = "reported-replicated-honest.png"


_METRICS = {"accuracy": 3, "mae": 2, "gender_accuracy": 3}  # and their digits


def compared() -> pd.DataFrame:
    """Return what was reported on UTKFace beside what was measured, see `comparison`.

    The column ``metric`` says of what: accuracy of the classes, mean absolute error in years, or
    accuracy of the gender.
    """
    summary = results.summarise()
    summary = summary[summary["dataset"] == "utkface"]
    told = comparison.reported()
    told = told[told["dataset"] == "utkface"]
    tables = (
        comparison.reported_and_ours(summary, told, metric).assign(metric=metric)
        for metric in _METRICS
    )
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def results_markdown(table: pd.DataFrame) -> str:
    """Return the comparison as a Markdown table.

    Parameters
    ----------
    table : DataFrame
        From `compared`.
    """
    head = ["experiment", "metric", "reported", "replicated: their images and split"]
    lines = [f"| {' | '.join([*head, 'honest: five folds'])} |", "|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        digits = _METRICS[row["metric"]]
        n = "validation" if pd.isna(row["reported_n"]) else f"n = {row['reported_n']:,}"
        cells = [f"{row['label']} ({row['labels']})", row["metric"].replace("_", " ")]
        cells.append(f"{row['reported']:.{digits}f} ({n})")
        for kind in ("replicated", "honest"):
            value, low, high, n = (row[f"{kind}{end}"] for end in ("", "_low", "_high", "_n"))
            ends = f"[{low:.{digits}f}, {high:.{digits}f}]"
            text = f"{value:.{digits}f} {ends} (n = {n:,})" if pd.notna(value) else ""
            reduced = row[f"{kind}_reduced"]
            cells.append(f"{text}; {reduced}" if reduced else text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


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
    """Write the README's table and figure."""
    # Imported here: the table, which a test compares, needs no drawing.
    import matplotlib

    matplotlib.use("Agg")
    from agelib import plots

    table = compared()
    path = paths.root() / "README.md"
    write_text(path, filled(path.read_text(encoding="utf-8"), results_markdown(table)))
    plots.use_style()
    decades = table[(table["labels"] == "decades-7") & (table["metric"] == "accuracy")]
    ax = plots.reported_versus_ours(decades, "Accuracy (7 decades)")
    with atomic_path(paths.root() / "models-and-results" / FIGURE) as temporary:
        ax.figure.savefig(temporary, bbox_inches="tight", metadata={"Software": None})


if __name__ == "__main__":
    main()
