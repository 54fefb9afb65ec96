"""Numbers as the paper writes them."""

from __future__ import annotations

from typing import Any


def count(n: float) -> str:
    """Return a whole number as text, with commas between thousands."""
    return f"{n:,.0f}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share of 0 to 1 in per cent, as text."""
    return f"{100 * share:.{digits}f} %"


def with_ends(row: Any, digits: int = 2, *, value: str = "value") -> str:
    """Return a value with its interval as text: ``-0.50 [-1.00, 0.25]``, with minus signs.

    Parameters
    ----------
    row : mapping
        With ``low``, ``high`` and the value.
    digits : int
        Behind the point.
    value : str
        What the value is called in ``row``.
    """
    text = f"{row[value]:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
    return text.replace("-", "−")


def text_table(columns: list[str], rows: list[list[str]]) -> dict[str, list]:
    """Return a table of text as ``numbers.json`` keeps it."""
    return {"columns": columns, "rows": rows}
