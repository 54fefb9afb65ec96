"""The README's results, written from records: ``python -m agelib.readme`` (``make refresh``)."""

from __future__ import annotations

import re

import pandas as pd

from agelib import comparison, paths, results
from agelib.files import atomic_path, write_text

_PLACE = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
FIGURE = "reported-replicated-honest.png"


def compared() -> pd.DataFrame:
    """Return what was reported on UTKFace beside what was measured, see `comparison`."""
    summary = results.summarise()
    summary = summary[summary["dataset"] == "utkface"]
    return comparison.reported_and_ours(summary, comparison.reported())


def results_markdown(table: pd.DataFrame) -> str:
    """Return the comparison as a Markdown table.

    Parameters
    ----------
    table : DataFrame
        From `compared`.
    """
    head = ["experiment", "reported", "replicated: their images and split", "honest: five folds"]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|"]
    for row in table.to_dict("records"):
        cells = [row["label"], f"{row['reported']:.3f} (n = {row['reported_n']:,})"]
        for kind in ("replicated", "honest"):
            value, low, high, n = (row[f"{kind}{end}"] for end in ("", "_low", "_high", "_n"))
            text = f"{value:.3f} [{low:.3f}, {high:.3f}] (n = {n:,})" if pd.notna(value) else ""
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
    ax = plots.reported_versus_ours(table, "Accuracy (7 decades)")
    with atomic_path(paths.root() / "models-and-results" / FIGURE) as temporary:
        ax.figure.savefig(temporary, bbox_inches="tight", metadata={"Software": None})


if __name__ == "__main__":
    main()
