"""What copies of photographs on both sides of a split are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from agelib.gaps import gaps
from agelib.intervals import difference_interval, mean_intervals
from agelib.protocols import Split
from agelib.records import Record
from agelib.reference import age_group

_ENDS = {"": "value", " low": "low", " high": "high"}


def twins(catalog: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Say which test images have a copy in the training part, and what copying its age gives.

    Parameters
    ----------
    catalog : DataFrame
        With ``file``, ``age`` and ``cluster``.
    split : Split
        Its parts as rows of the catalog.

    Returns
    -------
    DataFrame
        One row per test image: ``file``, ``cluster``, ``twin`` (a near-duplicate is in training)
        and ``copied`` (mean age of its copies there, missing without one).
    """
    learnt = catalog.iloc[split.training]
    ages = learnt["age"].astype("float64").groupby(learnt["cluster"]).mean()
    table = catalog.iloc[split.test][["file", "cluster"]].reset_index(drop=True)
    copied = table["cluster"].map(ages)
    return table.assign(twin=copied.notna(), copied=copied)


def scored(records: Sequence[Record], catalog: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Return the absolute error of each test image, its mean over random states, and its twin.

    Parameters
    ----------
    records : sequence of Record
        Of one experiment that answers in years, under one split, one or more random states.
    catalog : DataFrame
        The catalog.
    split : Split
        The split of the records.

    Returns
    -------
    DataFrame
        The columns of `twins`, ``age``, ``error`` (mean absolute error over states, years) and
        ``copying`` (error of the twin's age, missing without a twin), sorted by file.
    """
    errors = [
        (r.predictions["expected_age"] - r.predictions["age"]).abs().set_axis(r.predictions["file"])
        for r in records
    ]
    age = records[0].predictions.set_index("file")["age"].astype("float64")
    mean = pd.concat(errors, axis=1).mean(axis=1)
    table = twins(catalog, split).set_index("file").join(pd.DataFrame({"age": age, "error": mean}))
    # A label scheme or a missing gender may have left images out.
    table = table.dropna(subset="error").sort_index().reset_index()
    return table.assign(copying=(table["copied"] - table["age"]).abs())


def flattery(tables: dict[str, pd.DataFrame], ours: str, *, resamples: int = 1000) -> pd.DataFrame:
    """Compare the error under several protocols with the error under ours.

    Parameters
    ----------
    tables : dict of str to DataFrame
        By protocol, from `scored`.
    ours : str
        The protocol that the others are compared with.
    resamples : int
        Number of bootstrap samples: over clusters for ``mae``, over images for the differences.

    Returns
    -------
    DataFrame
        One row a protocol: ``n`` and ``with a twin`` (share of test images); then in years, each
        with ``… low`` and ``… high`` (95 % interval): ``mae``; ``difference`` from ours (negative:
        flattering); ``same ages``, the difference within age groups, weighed with the protocol's
        own ages, so without what an easier or harder mix of ages explains.
    """
    base, rows = tables[ours], {}
    for name, table in tables.items():
        mae = mean_intervals(table["error"], clusters=table["cluster"], resamples=resamples)
        row = {"n": len(table), "with a twin": table["twin"].mean()}
        row |= _ends("mae", mae.loc["all"].to_dict())
        if name != ours:
            both = pd.concat([table, base])
            # The two test parts overlap by chance; drawn apart, intervals are on the wide side.
            off = difference_interval(table["error"], base["error"], resamples=resamples)
            row |= _ends("difference", off)
            side = np.repeat(["theirs", "ours"], [len(table), len(base)])
            groups, how = age_group(both["age"]), {"permutations": 1, "resamples": resamples}
            same = gaps(both["error"], side, groups, **how)
            row |= _ends("same ages", same.rename(columns={"gap": "value"}).loc["theirs"])
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("protocol")


def _ends(name: str, found: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}{end}": found[key] for end, key in _ENDS.items()}


def worth(with_copies: pd.DataFrame, apart: pd.DataFrame) -> pd.DataFrame:
    """Return what copies in training change on the same test images, paired by image.

    Parameters
    ----------
    with_copies, apart : DataFrame
        From `scored`, under a split and under the same without the copies of its test images.

    Returns
    -------
    DataFrame
        Rows ``with a twin``, ``without``, ``all``: ``with copies`` and ``apart`` (mean absolute
        errors), ``change`` (with copies minus apart, negative: the copies help) with ``low`` and
        ``high`` (over clusters), and ``n``. Years.

    Raises
    ------
    ValueError
        If the test images are not the same.
    """
    if list(with_copies["file"]) != list(apart["file"]):
        raise ValueError(
            "the two tables are of different test images; give splits of one test part"
        )
    twin = with_copies["twin"].to_numpy()
    every = np.ones(len(twin), bool)
    rows = {}
    for name, members in (("with a twin", twin), ("without", ~twin), ("all", every)):
        if not members.any():
            continue
        first, second = with_copies["error"][members], apart["error"][members]
        gain = mean_intervals(
            first.to_numpy() - second.to_numpy(),
            clusters=with_copies["cluster"][members].to_numpy(),
        ).loc["all"]
        row = {"with copies": first.mean(), "apart": second.mean(), "change": gain["value"]}
        rows[name] = row | gain[["low", "high", "n"]].to_dict()
    return pd.DataFrame.from_dict(rows, orient="index").astype({"n": int})


def by_twin(records: Sequence[Record], catalog: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Return the accuracy of classifiers on test images with and without a copy in training.

    Parameters
    ----------
    records : sequence of Record
        With classes, under one split.
    catalog : DataFrame
        The catalog.
    split : Split
        The split of the records.

    Returns
    -------
    DataFrame
        One row a record: accuracy ``in training`` (last epoch), ``with a twin``, ``without``,
        their ``difference`` with ``low`` and ``high`` (95 % interval over clusters), and the
        numbers of images ``n with`` and ``n without``.
    """
    twin = twins(catalog, split)
    rows = {}
    for record in records:
        table = record.predictions[["file", "true", "predicted"]].merge(twin, on="file")
        right = (table["true"] == table["predicted"]).to_numpy(np.float64)
        both = [table["twin"].to_numpy(), ~table["twin"].to_numpy()]
        units = np.concatenate([table["cluster"][members] for members in both])
        parts = [right[members] for members in both]
        gain = difference_interval(*parts, clusters=units)
        row = {"in training": float(record.history["accuracy"].iloc[-1])}
        row |= {"with a twin": parts[0].mean(), "without": parts[1].mean()}
        row |= {"difference": gain["value"], "low": gain["low"], "high": gain["high"]}
        rows[record.label] = row | {"n with": gain["n"], "n without": gain["n_other"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("experiment")
