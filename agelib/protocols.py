"""Protocols: named splits of a catalog into training, validation and test."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pandas as pd

from agelib.files import DataError, sha256_text
from agelib.folds import N_FOLDS, deal
from agelib.labels import LabelScheme, get_scheme
from agelib.recipes import p1_imbalanced
from agelib.thinning import balanced, thinned
from agelib.utkface_protocols import Rows, rows_of_lists, rows_of_names

PARTS = ("training", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Which rows of a catalog are for training, validation and test.

    Parameters
    ----------
    protocol : str
        Name of the protocol.
    fold : int or None
        Fold, for protocols that have folds.
    training, validation, test : ndarray of int64
        Row numbers of the catalog, ascending.
    fingerprint : str
        SHA-256 over the file names of each part.
    notes : tuple of str
        What was left out and why, for the reader of a result.
    """

    protocol: str
    fold: int | None
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    fingerprint: str
    notes: tuple[str, ...] = ()

    def parts(self) -> dict[str, np.ndarray]:
        """Return the row numbers by part name, in the order of ``PARTS``."""
        return {part: getattr(self, part) for part in PARTS}

    def counts(self) -> dict[str, int]:
        """Return the number of images in each part."""
        return {part: len(rows) for part, rows in self.parts().items()}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A named way to split: its number of folds (0 for none) and what gives the rows."""

    name: str
    n_folds: int
    rows: Callable[..., Rows]


def split(
    catalog: pd.DataFrame,
    protocol: str,
    *,
    fold: int | None = None,
    cleaned: bool = True,
) -> Split:
    """Split a catalog by a named protocol.

    Parameters
    ----------
    catalog : DataFrame
        The catalog, as `agelib.manifests.load_manifest` gives it.
    protocol : str
        One of ``PROTOCOLS``.
    fold : int, optional
        Test fold, for protocols with folds.
    cleaned : bool
        Whether duplicates are left out. For folds: only the kept image of each cluster, else
        every usable one. For public lists: without training images that have a duplicate in
        the test part. The rest do not change with it: ``p1-decades``, ``p1-imbalanced``,
        ``p2-random`` and ``utkface-random`` are never cleaned, as P1's and P2's were not,
        ``utkface-5000`` always is, but for copies within one part of P5's own images, and
        ``utkface-random-apart`` lacks only copies of its test images.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        When the protocol or the fold does not exist.
    DataError
        When lists are missing or wrong, or a part would be empty.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
    chosen = PROTOCOLS[protocol]
    if fold not in (range(chosen.n_folds) if chosen.n_folds else (None,)):
        folds = f"folds 0 to {chosen.n_folds - 1}" if chosen.n_folds else "no folds: leave it out"
        raise ValueError(f"fold is {fold!r}, but {protocol} has {folds}")
    rows, notes = chosen.rows(catalog, fold=fold, cleaned=cleaned)
    empty = [part for part in PARTS if len(rows[part]) == 0]
    if empty:
        raise DataError(_empty_trouble(catalog, protocol, empty))
    notes += _leak_note(catalog, rows)
    return Split(protocol, fold, **rows, fingerprint=_fingerprint(catalog, rows), notes=notes)


def class_counts(catalog: pd.DataFrame, split: Split, scheme: LabelScheme) -> pd.DataFrame:
    """Count the images of each class in each part.

    Parameters
    ----------
    catalog : DataFrame
        The catalog that was split.
    split : Split
        The split.
    scheme : LabelScheme
        A classification scheme; images it drops are not counted.

    Returns
    -------
    DataFrame of int64, shape (n_classes, 3)
        Index: class names; columns: training, validation, test.

    Raises
    ------
    ValueError
        When the scheme has no classes.
    """
    if scheme.kind != "classification":
        raise ValueError(f"label scheme {scheme.name!r} has no classes to count")
    labels = scheme.of_catalog(catalog)
    counts = {
        part: np.bincount(labels[rows][labels[rows] >= 0], minlength=scheme.n_classes)
        for part, rows in split.parts().items()
    }
    return pd.DataFrame(counts, index=pd.Index(scheme.names, name="class"))


def _empty_trouble(catalog: pd.DataFrame, protocol: str, empty: list[str]) -> str:
    trouble = f"{protocol}: no image for {', '.join(empty)} in this catalog of {len(catalog)}"
    if protocol == "p1-decades":
        scheme = get_scheme("decades-7")
        present = set(scheme.of_catalog(catalog[catalog["usable"].astype(bool)]))
        absent = [name for k, name in enumerate(scheme.names) if k not in present]
        trouble += f"; the recipe needs every decade; without images: {', '.join(absent) or 'none'}"
    return f"{trouble}; give more images or choose another protocol"


def _rows_of_column(column: str, catalog: pd.DataFrame, **_: object):
    if column not in catalog:
        raise DataError(
            f"this catalog has no column {column!r}: the protocol is of another data set; choose "
            "one of this data set"
        )
    return _rows_of_parts(catalog[column].to_numpy())


def _rows_of_parts(part: np.ndarray) -> Rows:
    return {name: np.flatnonzero(part == name) for name in PARTS}, ()


def _rows_of_first_copies(column: str, catalog: pd.DataFrame, **_: object):
    """Give the parts of a column without unusable images and later copies of the same bytes."""
    rows, _ = _rows_of_column(column, catalog)
    wanted = catalog["usable"].to_numpy(dtype=bool)
    later = catalog["exact"].notna() & catalog["exact"].where(wanted).duplicated()
    left_out = int((later & wanted & (catalog[column] != "")).sum())
    wanted = wanted & ~later.to_numpy(dtype=bool)
    notes = (f"{left_out} later copies of the same bytes left out",) if left_out else ()
    return {part: at[wanted[at]] for part, at in rows.items()}, notes


def _rows_of_fold(catalog: pd.DataFrame, *, fold: int, cleaned: bool, **_: object):
    of = catalog["fold"].to_numpy()
    wanted = catalog["keep" if cleaned else "usable"].to_numpy(dtype=bool) & (of >= 0)
    left_out = int(catalog["usable"].sum() - wanted.sum())
    test, validation = of == fold, of == (fold + 1) % N_FOLDS
    masks = {"training": ~test & ~validation, "validation": validation, "test": test}
    notes = (f"{left_out} duplicates left out",) if left_out else ()
    return {part: np.flatnonzero(mask & wanted) for part, mask in masks.items()}, notes


def _rows_of_larger_training(catalog: pd.DataFrame, **how: object):
    """Train on three quarters of a fold's validation part as well; the test part stays."""
    rows, notes = _rows_of_fold(catalog, **how)
    shared = catalog.iloc[rows["validation"]]
    kept_back = shared["cluster"].map(deal(shared, 4, 0)).to_numpy() == 0
    training = np.union1d(rows["training"], rows["validation"][~kept_back])
    return rows | {"training": training, "validation": rows["validation"][kept_back]}, notes


def _rows_of_given_folds(catalog: pd.DataFrame, *, fold: int, cleaned: bool, frontal: bool, **_):
    """Test on a whole fold as published; other parts lose what has a copy in a later one."""
    wanted = catalog["usable"].to_numpy(dtype=bool)
    if frontal:
        wanted = wanted & ~catalog["flags"].str.contains(r"(?:^|; )yaw: ").to_numpy(dtype=bool)
    of, cluster = catalog["fold"].to_numpy(), catalog["cluster"].to_numpy()
    test = np.flatnonzero(wanted & (of == fold))
    validation = np.flatnonzero(wanted & (of == (fold + 1) % N_FOLDS))
    training = np.setdiff1d(np.flatnonzero(wanted & (of >= 0)), np.concatenate([test, validation]))
    rows = {"training": training, "validation": validation, "test": test}
    if not cleaned:
        return rows, ()
    rows["validation"] = validation[~np.isin(cluster[validation], cluster[test])]
    kept = np.concatenate([test, rows["validation"]])
    rows["training"] = training[~np.isin(cluster[training], cluster[kept])]
    dropped = len(training) + len(validation) - len(rows["training"]) - len(rows["validation"])
    return rows, (f"{dropped} images dropped: copies of images in another part",) * bool(dropped)


def _rows_of_thinned(catalog: pd.DataFrame, *, equal: bool, **how: object):
    """Thin the training part of a fold to the same number of images, by decade or at random."""
    rows, notes = _rows_of_fold(catalog, **how)
    labels = get_scheme("decades-7").of_catalog(catalog)
    learnt = rows["training"][labels[rows["training"]] >= 0]
    kept = balanced(learnt, labels, np.random.RandomState(0))
    if not equal:
        kept = thinned(learnt, len(kept), np.random.RandomState(0))
    return rows | {"training": kept}, notes


def _rows_of_p1_imbalanced(catalog: pd.DataFrame, **_: object):
    return _rows_of_parts(p1_imbalanced(catalog))


def _leak_note(catalog: pd.DataFrame, rows: dict[str, np.ndarray]) -> tuple[str, ...]:
    cluster = catalog["cluster"].to_numpy()
    learnt = np.concatenate([rows["training"], rows["validation"]])
    twins = np.isin(cluster[rows["test"]], cluster[learnt]).sum()
    of = f"of {len(rows['test'])} test images"
    notes = (f"{twins} {of} have a duplicate in another part",) if twins else ()
    if "person" not in catalog:
        return notes
    person = catalog["person"]
    known = person.iloc[rows["test"]].isin(person.iloc[learnt].dropna()).sum()
    return (*notes, f"{known} {of} show a person of another part") if known else notes


def _fingerprint(catalog: pd.DataFrame, rows: dict[str, np.ndarray]) -> str:
    lines = [f"{part}\0{file}" for part in PARTS for file in catalog["file"].iloc[rows[part]]]
    return sha256_text("\n".join(lines))


def _folds(name: str, rows: Callable[..., Rows] = _rows_of_fold, **how: bool) -> Protocol:
    return Protocol(name, N_FOLDS, functools.partial(rows, **how))


def _single(name: str, rows: Callable[..., Rows], *first: str, **how: bool) -> Protocol:
    return Protocol(name, 0, functools.partial(rows, *first, **how))


_PROTOCOLS = (
    # the 8,190 files of P1 (rijnberg) in its parts
    _single("p1-decades", _rows_of_column, "p1_decades"),
    # all images in random parts 64/16/20, as P2 (Vashatkar)
    _single("p2-random", _rows_of_column, "p2_random"),
    # the 5,000 files of P5 (Bath) 80/20, tested on the rest
    _single("utkface-5000", _rows_of_column, "p5_5000"),
    # five folds 60/20/20, by clusters of copies; by persons where they are known
    _folds("utkface-5fold"),
    _folds("utkface-wild-5fold"),
    _folds("sample-5fold"),
    _folds("folder-5fold"),
    # the tests of utkface-5fold, with three quarters of its validation parts to train on: 75/5/20
    _folds("utkface-5fold-75", _rows_of_larger_training),
    # five folds by a hash of the person
    _folds("imdb-wiki"),
    # all images up to 70, in parts by P1's recipe
    _single("p1-imbalanced", _rows_of_p1_imbalanced),
    # five folds, training with as many images of each decade, and training as small as that
    _folds("balanced-folds", _rows_of_thinned, equal=True),
    _folds("thinned-folds", _rows_of_thinned, equal=False),
    # all images 60/20/20 by a hash of the name, and the same without copies of test images
    _single("utkface-random", rows_of_names, apart=False),
    _single("utkface-random-apart", rows_of_names, apart=True),
    # ages 21 to 60, the lists of CORAL
    _single("utkface-21-60", rows_of_lists),
    # the official five folds, of all images and of the frontal ones
    _folds("adience-folds", _rows_of_given_folds, frontal=False),
    _folds("adience-frontal", _rows_of_given_folds, frontal=True),
    # images in random parts 60/20/20, as P3 (Pyra)
    _single("adience-random", _rows_of_first_copies, "adience_random"),
)
PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _PROTOCOLS}
