"""Numbers as the paper writes them."""

from __future__ import annotations

from collections.abc import Iterable
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


def listed(words: Iterable[str]) -> str:
    """Return words as a list of prose: ``a, b and c``, or ``none``."""
    *first, last = [*words] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def told_apart(row: Any, below: str, above: str, between: str) -> str:
    """Return the word for a difference that its interval allows.

    Parameters
    ----------
    row : mapping
        With ``low`` and ``high``.
    below, above, between : str
        For an interval below zero, above it, and for one that holds it.
    """
    return below if row["high"] < 0 else above if row["low"] > 0 else between


def in_text(title: str) -> str:
    """Return a title as it stands inside a sentence; abbreviations stay."""
    return title if title.isupper() else title[:1].lower() + title[1:]
