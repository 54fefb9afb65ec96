"""Checks of a table of predictions, before anything is computed from it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from agelib.files import DataError

KINDS = ("classification", "regression")
_DIVERGED = "the training diverged: train again"

# Rounding 101 probabilities to five decimals moves a sum by 5e-4 at most.
_SUM_TOLERANCE = 1e-3


def estimate_column(frame: pd.DataFrame, kind: str) -> str | None:
    """Return the column that holds the estimated age in years, if there is one."""
    if "expected_age" in frame.columns:
        return "expected_age" if kind == "regression" or "age" in frame.columns else None
    return "predicted" if kind == "regression" else None


def probability_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns ``p0``, ``p1`` ... in the order of the classes."""
    found = [c for c in map(str, frame.columns) if re.fullmatch(r"p\d+", c)]
    return sorted(found, key=lambda name: int(name[1:]))


def checked(predictions: pd.DataFrame, *, kind: str, n_classes: int | None) -> pd.DataFrame:
    """Return predictions sorted by file, with numbers where numbers belong.

    Raises
    ------
    DataError
        If something is missing or impossible; names the first row, its file and the bad value.
    ValueError
        If the kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown kind {kind!r}; choose 'classification' or 'regression'.")
    if kind == "regression" and "true" in predictions and "expected_age" not in predictions:
        raise DataError(
            "The predictions are of classes and hold no ages; evaluate them as 'classification'."
        )
    estimate = estimate_column(predictions, kind)
    needed = ["file", *(["true", "predicted"] if kind == "classification" else [])]
    needed += ["age", estimate] if estimate else []
    needed += ["female"] if "p_female" in predictions.columns else []
    missing = [name for name in needed if name not in predictions.columns]
    if missing:
        raise DataError(
            f"The predictions lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}, "
            f"needed for {kind}; they have {', '.join(map(str, predictions.columns))}."
        )
    if predictions.empty:
        raise DataError("The predictions are empty: the test part holds no image; check the split.")
    refuse_repeats(predictions)
    frame = predictions.reset_index(drop=True)
    for name in ["age", estimate] if estimate else []:
        years = _numbers(frame, name)
        _refuse(frame, name, ~np.isfinite(years), "is no number of years", "drop the image")
        frame[name] = years
    if "p_female" in frame.columns:
        female, share = _numbers(frame, "female"), _numbers(frame, "p_female")
        unknown, no_share = ~np.isin(female, (0, 1)), ~((share >= 0) & (share <= 1))
        _refuse(frame, "female", unknown, "is neither 0 nor 1", "drop the image")
        _refuse(frame, "p_female", no_share, "is no probability", _DIVERGED)
        frame = frame.assign(female=female, p_female=share)
    if kind == "classification":
        _check_classes(frame, n_classes)
    # Sorted, the resamples are the same images whatever the order of the rows was.
    return frame.sort_values("file", kind="stable", ignore_index=True)


def _check_classes(frame: pd.DataFrame, n_classes: int | None) -> None:
    """Check probabilities and labels; leave the labels as int64 in ``frame``."""
    columns = probability_columns(frame)
    k = len(columns) if n_classes is None else n_classes
    if k < 2 or columns != [f"p{c}" for c in range(k)]:
        raise DataError(
            f"The predictions have {len(columns)} probability columns but {k} classes; they need "
            f"p0 to p{max(k, 2) - 1}, one for each class of the label scheme."
        )
    for name in columns:
        values = _numbers(frame, name)
        bad = ~((values >= 0) & (values <= 1 + _SUM_TOLERANCE))
        _refuse(frame, name, bad, "is no probability", _DIVERGED)
        frame[name] = values
    sums = frame[columns].sum(axis=1).to_numpy()
    off, what = np.abs(sums - 1) > _SUM_TOLERANCE, "is not a softmax output; its row sums to {:.4f}"
    _refuse(frame, "p0", off, what.format(sums[off.argmax()]), "store all classes as float32")
    for name in ("true", "predicted"):
        labels = _numbers(frame, name)
        bad = ~np.isin(labels, np.arange(k))
        _refuse(frame, name, bad, f"is no class of 0..{k - 1}", "check the label scheme")
        frame[name] = labels.astype(np.int64)


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing or no number."""
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _refuse(frame: pd.DataFrame, name: str, bad: np.ndarray, what: str, remedy: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"Predictions, row {row} ({frame['file'].iloc[row]!r}): {name} = "
            f"{frame[name].iloc[row]} {what} ({bad.sum()} of {len(frame)} rows); {remedy}."
        )


def refuse_other_images(a: pd.DataFrame, b: pd.DataFrame, *, truth: str) -> None:
    """Raise a DataError unless two tables score the same files with the same truth."""
    only_a, only_b = len(set(a.file) - set(b.file)), len(set(b.file) - set(a.file))
    if only_a or only_b:
        raise DataError(
            f"The predictions cover different files: {len(a)} and {len(b)}, of which {only_a} only "
            f"in the first and {only_b} only in the second; compare the same protocol and fold."
        )
    differs = a[truth].to_numpy() != b[truth].to_numpy()
    if differs.any():
        raise DataError(
            f"The predictions disagree about {truth!r} for {differs.sum()} of {len(a)} files, "
            f"first {a.file[differs.argmax()]!r}; compare records of the same manifest and label "
            "scheme."
        )


def refuse_other_classes(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Raise a DataError unless two tables have as many classes."""
    first, second = (len(probability_columns(table)) for table in (a, b))
    if first != second:
        raise DataError(
            f"The predictions are of {first} and of {second} classes; compare records of the same "
            "label scheme."
        )


def refuse_repeats(frame: pd.DataFrame) -> None:
    """Raise a DataError if an image occurs twice."""
    repeated = frame["file"].duplicated().to_numpy()
    if repeated.any():
        raise DataError(
            f"{int(repeated.sum())} rows repeat an image, first {frame.file[repeated].iloc[0]!r}; "
            "every image may be scored once: pool different folds of one random state."
        )
