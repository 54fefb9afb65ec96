"""Duplicates and conflicting labels: found, flagged with a reason, one image of each kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from agelib.groups import age_span


def exact_groups(md5: np.ndarray) -> pd.Series:
    """Group byte-identical files and number the groups.

    Parameters
    ----------
    md5 : numpy.ndarray
        (n,) hexadecimal digests of the files' bytes as ASCII; empty for unreadable files.

    Returns
    -------
    pandas.Series
        (n,) Int64: 0, 1, 2 … by first member in row order, <NA> for files alone.
    """
    # Sorted, a copy of the digests is much smaller than as text.
    ordered = np.sort(md5)
    twins = np.isin(md5, np.unique(ordered[1:][ordered[1:] == ordered[:-1]])) & (md5 != b"")
    groups = np.zeros(len(md5), dtype=np.int64)
    groups[twins] = pd.factorize(md5[twins].astype(object))[0]
    return pd.Series(pd.arrays.IntegerArray(groups, ~twins))


def flag_duplicates(catalog: pd.DataFrame, clusters: np.ndarray, exact: pd.Series) -> pd.DataFrame:
    """Fill `exact` and `cluster` and flag duplicates and labels that contradict each other.

    Parameters
    ----------
    catalog : pandas.DataFrame
        Catalog of n rows (see `agelib.catalog`).
    clusters : numpy.ndarray
        (n,) result of `near_duplicate_clusters`.
    exact : pandas.Series
        (n,) result of `exact_groups`.

    Returns
    -------
    pandas.DataFrame
        A copy. Flags: `exact-duplicate` with the group's size, `near-duplicate` with the
        cluster's size when it holds different files, `age-conflict` and `gender-conflict`
        with the labels found in the cluster.
    """
    catalog = catalog.assign(exact=exact, cluster=clusters)
    flags = catalog["flags"].to_numpy(object, copy=True)
    for rows in _shared(catalog["exact"]):
        _append(flags, rows, f"exact-duplicate: {len(rows)} files")
    first, last = (years.to_numpy("int64", na_value=-1) for years in age_span(catalog))
    genders = catalog["gender"].fillna("").to_numpy(object)
    digests = catalog["md5"].to_numpy(object)
    for rows in _shared(catalog["cluster"]):
        if len(set(digests[rows])) > 1:
            _append(flags, rows, f"near-duplicate: {len(rows)} files")
        ages = zip(first[rows].tolist(), last[rows].tolist(), strict=True)
        for word, labels in (("age-conflict", ages), ("gender-conflict", zip(genders[rows]))):
            found = sorted(set(labels) - {("",), (-1, -1)})
            if len(found) > 1:
                said = ["-".join(map(str, dict.fromkeys(label))) for label in found]
                _append(flags, rows, f"{word}: {' '.join(said)}")
    return catalog.assign(flags=pd.Series(flags, index=catalog.index, dtype="str"))


def choose_kept(catalog: pd.DataFrame) -> pd.Series:
    """Choose the one image of each cluster that stays in the cleaned set.

    Among the usable members it is the one whose age is nearest to their mean age; a tie is
    settled by the MD5 of the file name, a coin that favours neither the younger nor the older
    and falls the same way everywhere.

    Parameters
    ----------
    catalog : pandas.DataFrame
        With `file`, `age` (or a group of ages), `cluster` and `usable`.

    Returns
    -------
    pandas.Series
        (n,) bool; True as well for every usable image that has no duplicate.
    """
    kept = catalog["usable"].copy()
    # Those alone stay; only the others are looked at.
    rivals = kept & catalog["cluster"].where(kept, -1).duplicated(keep=False)
    usable = catalog[rivals]
    # First plus last year is twice the age, or twice the middle of a group of ages.
    ages = sum(age_span(usable)).astype("int64")
    members = ages.groupby(usable["cluster"])
    # |n * age - sum| is the distance to the mean times n: whole numbers, so ties are real ties.
    distance = (ages * members.transform("size") - members.transform("sum")).abs()
    coin = usable["file"].map(lambda name: hashlib.md5(name.encode()).hexdigest())
    order = (
        usable[["cluster"]].assign(distance=distance, coin=coin).sort_values(["distance", "coin"])
    )
    kept[rivals] = False
    kept[order.drop_duplicates("cluster").index] = True
    return kept


def settle(catalog: pd.DataFrame, clusters: np.ndarray, exact: pd.Series) -> pd.DataFrame:
    """Flag the duplicates and conflicts of a catalog whose clusters are known.

    Parameters
    ----------
    catalog : pandas.DataFrame
        From `agelib.catalog.describe`.
    clusters : numpy.ndarray
        (n,) result of `near_duplicate_clusters`.
    exact : pandas.Series
        (n,) result of `exact_groups`.

    Returns
    -------
    pandas.DataFrame
        A copy with `exact`, `cluster`, `flags` and `keep` filled.
    """
    catalog = flag_duplicates(catalog, clusters, exact)
    return catalog.assign(keep=choose_kept(catalog))


def summary(catalog: pd.DataFrame) -> dict[str, int]:
    """Count what the clean-up found.

    Parameters
    ----------
    catalog : pandas.DataFrame
        Cleaned catalog.

    Returns
    -------
    dict of str to int
        Images, usable and kept images; groups and files of exact and near duplicates; clusters
        with conflicting labels; corrupt files; malformed names.
    """
    flags, exact = catalog["flags"], catalog["exact"].dropna()
    sizes = catalog.groupby("cluster").size()

    def flagged(word: str) -> pd.Series:
        return flags.str.contains(rf"(?:^|; ){word}(?::|;|$)")

    return {
        "images": len(catalog),
        "usable": int(catalog["usable"].sum()),
        "kept": int(catalog["keep"].sum()),
        "exact_groups": int(exact.nunique()),
        "exact_files": len(exact),
        "clusters": int((sizes > 1).sum()),
        "cluster_files": int(sizes[sizes > 1].sum()),
        "age_conflicts": int(catalog.loc[flagged("age-conflict"), "cluster"].nunique()),
        "gender_conflicts": int(catalog.loc[flagged("gender-conflict"), "cluster"].nunique()),
        "corrupt": int(flagged("corrupt").sum()),
        "malformed_names": int(flagged("name").sum()),
    }


def _shared(groups: pd.Series) -> Iterator[np.ndarray]:
    """Yield the row numbers of every group of two or more."""
    shared = groups.notna().to_numpy() & groups.duplicated(keep=False).to_numpy()
    rows = np.flatnonzero(shared)
    for _, positions in pd.Series(rows).groupby(groups.iloc[rows].to_numpy("int64")):
        yield positions.to_numpy()


def _append(flags: np.ndarray, rows: np.ndarray, reason: str) -> None:
    for row in rows:
        flags[row] = f"{flags[row]}; {reason}" if flags[row] else reason
