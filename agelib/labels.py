"""Label schemes: how an age in years becomes a class, or stays a number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from agelib.groups import age_span

OUT_OF_RANGE = ("drop", "clip", "last")


@dataclasses.dataclass(frozen=True)
class LabelScheme:
    """A named set of age classes with whole-year, inclusive edges.

    Parameters
    ----------
    name : str
        Registry name, for example ``"decades-7"``.
    title : str
        Words for a figure.
    lower, upper : tuple of int
        First and last age in years of each class. Classes ascend and may leave gaps.
    names : tuple of str
        What a class is called in figures.
    out_of_range : {"drop", "clip", "last"}
        What becomes of an age that lies in no class. ``"drop"``: it has no label (-1).
        ``"clip"``: the nearest class; in the middle of a gap, the younger one. ``"last"``:
        ages above every class join the last one, all others have no label.
    kind : {"classification", "regression"}
        A regression scheme has one range and its label is the age itself.

    Raises
    ------
    ValueError
        When edges do not ascend, lengths differ, or a choice is unknown.
    """

    name: str
    title: str
    lower: tuple[int, ...]
    upper: tuple[int, ...]
    names: tuple[str, ...]
    out_of_range: str = "drop"
    kind: str = "classification"

    def __post_init__(self) -> None:
        if not len(self.lower) == len(self.upper) == len(self.names) > 0:
            raise ValueError(f"{self.name}: lower, upper and names must have the same length, > 0")
        edges = [edge for pair in zip(self.lower, self.upper, strict=True) for edge in pair]
        within = all(low <= high for low, high in zip(self.lower, self.upper, strict=True))
        between = all(a < b for a, b in zip(edges[1::2], edges[2::2], strict=False))
        if not (within and between):
            raise ValueError(f"{self.name}: class edges must ascend without overlap: {edges}")
        if self.out_of_range not in OUT_OF_RANGE:
            raise ValueError(
                f"{self.name}: out_of_range is {self.out_of_range!r}; choose one of {OUT_OF_RANGE}"
            )
        if self.kind not in ("classification", "regression"):
            raise ValueError(
                f"{self.name}: unknown kind {self.kind!r}; choose classification or regression"
            )

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.lower) if self.kind == "classification" else 0

    @property
    def folder_names(self) -> tuple[str, ...]:
        """Class names, zero-padded so that alphabetical order is class order.

        P1 named its folders by the upper edge for the same reason; ``01-10`` says more.
        """
        width = len(str(self.lower[-1]))
        folders = []
        for low, name in zip(self.lower, self.names, strict=True):
            high = name.partition("-")[2]
            tail = f"-{high.zfill(width)}" if high else name[len(str(low)) :]
            folders.append(f"{low:0{width}d}{tail}")
        return tuple(folders)

    def with_out_of_range(self, choice: str) -> LabelScheme:
        """Return the same scheme with another treatment of ages outside every class.

        Parameters
        ----------
        choice : {"drop", "clip", "last"}
            See the class.

        Returns
        -------
        LabelScheme

        Raises
        ------
        ValueError
            When ``choice`` is unknown.
        """
        return dataclasses.replace(self, out_of_range=choice)

    def encode(self, ages: Sequence[int] | np.ndarray | pd.Series) -> np.ndarray:
        """Turn ages into labels.

        Parameters
        ----------
        ages : array_like, shape (n,)
            Ages in whole years; missing values allowed.

        Returns
        -------
        ndarray of int64, shape (n,)
            Class index, or the age for a regression scheme; -1 where the age is missing or
            dropped.

        Raises
        ------
        ValueError
            When an age is not a whole number.
        """
        years, known = _whole_years(ages, self.name)
        lower, upper = np.array(self.lower), np.array(self.upper)
        at = np.searchsorted(lower, years, side="right") - 1
        below, above = np.clip(at, 0, None), np.clip(at + 1, None, len(lower) - 1)
        inside = (at >= 0) & (years <= upper[below])
        if self.out_of_range == "clip":
            # From inside a class the distance below is negative, so it wins.
            nearer_above = (lower[above] - years) < (years - upper[below])
            at = np.where(at < 0, 0, np.where(nearer_above & (above > below), above, below))
            inside = np.ones_like(inside)
        elif self.out_of_range == "last":
            inside |= years > upper[-1]
        if self.kind == "regression":
            at = np.clip(years, lower[0], upper[-1])
        return np.where(inside & known, at, -1).astype(np.int64)

    def of_catalog(self, catalog: pd.DataFrame) -> np.ndarray:
        """Label each image of a catalog, by its age or by its group of ages.

        A group has the class that holds more than half of its years, so that Adience's
        "(38, 48)" is 38-43 of Adience's own classes and 38-59 of P3's. A group that is spread
        over several classes has no label; ``out_of_range`` is for single ages. In a regression
        scheme no group has a label: its age in years is not known.

        Parameters
        ----------
        catalog : DataFrame
            Rows of a catalog; see `agelib.groups.age_span`.

        Returns
        -------
        ndarray of int64, shape (n,)
            As `encode` returns.

        Raises
        ------
        ValueError
            When an age is not a whole number.
        """
        labels = self.encode(catalog["age"])
        first, last = (years.to_numpy(np.float64, na_value=-1) for years in age_span(catalog))
        at = np.flatnonzero(first < last)
        if self.kind == "regression" or len(at) == 0:
            return labels
        first, last = first[at, None], last[at, None]
        shared = np.minimum(last, self.upper) - np.maximum(first, self.lower) + 1
        held = 2 * shared > last - first + 1
        labels[at] = np.where(held.any(axis=1), held.argmax(axis=1), -1)
        return labels


def _whole_years(
    ages: Sequence[int] | np.ndarray | pd.Series, scheme: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ages as integers and where they are known."""
    values = pd.to_numeric(pd.Series(ages), errors="raise").astype("Float64")
    values = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(values)
    odd = np.flatnonzero(known & (values != np.floor(values)))
    if len(odd):
        raise ValueError(
            f"{scheme}: age {values[odd[0]]} at position {odd[0]} is not in whole years; "
            "round or floor the ages first"
        )
    return np.where(known, values, -1).clip(-1, 10_000).astype(np.int64), known


def _scheme(name: str, title: str, edges: str, *, out_of_range: str = "drop") -> LabelScheme:
    """Build a scheme from ``"1-5 6-18 …"``; the last class may be open: ``"60+"``."""
    names = tuple(edges.split())
    lower = tuple(int(n.rstrip("+").partition("-")[0]) for n in names)
    upper = tuple(116 if n.endswith("+") else int(n.rpartition("-")[2]) for n in names)
    return LabelScheme(name, title, lower, upper, names, out_of_range)


_SCHEMES = (
    _scheme(
        "decades-7",
        "seven decades to 70 years (P1)",
        " ".join(f"{low}-{low + 9}" for low in range(1, 62, 10)),
    ),
    _scheme(
        "five-year-14",
        "thirteen five-year classes and 66-116 (P2)",
        " ".join(f"{low}-{low + 4}" for low in range(1, 62, 5)) + " 66-116",
    ),
    _scheme(
        "uneven-8",
        "eight uneven classes (P2)",
        "1-5 6-18 19-25 26-35 36-45 46-50 51-65 66-116",
    ),
    _scheme(
        "groups-5",
        "five stages of life (P3)",
        "0-6 7-20 21-37 38-59 60+",
        out_of_range="last",
    ),
    # Adience labels people by group; ages in its gaps (3, 7, 13-14, 21-24, ...) are left out
    # unless a caller asks for the nearest group with with_out_of_range("clip").
    _scheme(
        "adience-8",
        "the eight groups of Adience",
        "0-2 4-6 8-12 15-20 25-32 38-43 48-53 60-100",
    ),
    _scheme(
        "per-year-101",
        "one class for each year, 0 to 100 (P4)",
        " ".join(str(year) for year in range(101)),
        out_of_range="clip",
    ),
    LabelScheme("age", "age in years", (0,), (116,), ("0-116",), "drop", "regression"),
)
SCHEMES: dict[str, LabelScheme] = {scheme.name: scheme for scheme in _SCHEMES}


def get_scheme(name: str) -> LabelScheme:
    """Return the label scheme called ``name``.

    Parameters
    ----------
    name : str
        One of ``SCHEMES``.

    Returns
    -------
    LabelScheme

    Raises
    ------
    ValueError
        When there is no such scheme.
    """
    if name not in SCHEMES:
        raise ValueError(f"no label scheme {name!r}; choose one of {', '.join(SCHEMES)}")
    return SCHEMES[name]
