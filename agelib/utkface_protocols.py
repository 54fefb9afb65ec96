"""UTKFace's own protocols: the public lists of CORAL, and random parts by name."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agelib.files import DataError, MissingListError, sha256_text
from agelib.folds import N_FOLDS, base_names, deal
from agelib.paths import datasets_dir

# Rows of a catalog by part, and notes on what was left out.
Rows = tuple[dict[str, np.ndarray], tuple[str, ...]]


def rows_of_lists(catalog: pd.DataFrame, *, cleaned: bool, **_: object) -> Rows:
    """Split by the lists of CORAL: tested as published, validated on a tenth of the rest.

    Parameters
    ----------
    catalog : DataFrame
        With ``file``, ``age``, ``gender``, ``race``, ``cluster``, ``usable`` and ``keep``.
    cleaned : bool
        Whether training images with a copy in the test part are dropped. Validation never has
        one: it is a tenth of the training clusters that test has none of.

    Returns
    -------
    Rows

    Raises
    ------
    DataError
        When a list is missing or damaged, or names none of the images.
    """
    test, notes = _listed(catalog, "utkface_coral_test.csv")
    listed, more = _listed(catalog, "utkface_coral_train.csv")
    listed = np.setdiff1d(listed, test)
    cluster = catalog["cluster"].to_numpy()
    shared = np.isin(cluster[listed], cluster[test])
    apart = listed[~shared]
    if len(apart) == 0:
        return {"training": apart, "validation": apart, "test": test}, notes + more
    dealt = catalog["cluster"].iloc[apart].map(deal(catalog.iloc[apart], 10, 0))
    validation = apart[dealt.to_numpy() == 0]
    training = np.setdiff1d(apart if cleaned else listed, validation)
    notes += more
    if cleaned and shared.any():
        notes += (f"{shared.sum()} training images dropped: duplicates of test images",)
    return {"training": training, "validation": validation, "test": test}, notes


def rows_of_names(catalog: pd.DataFrame, *, apart: bool, **_: object) -> Rows:
    """Deal every usable image 60/20/20 by a hash of its name, copies as if they were none.

    Parameters
    ----------
    catalog : DataFrame
        With ``file``, ``cluster`` and ``usable``.
    apart : bool
        Whether the copies of test images are then left out of the other parts.

    Returns
    -------
    Rows
    """
    dealt = np.array([int(sha256_text(name)[:8], 16) % N_FOLDS for name in base_names(catalog)])
    dealt[~catalog["usable"].to_numpy(dtype=bool)] = -1
    masks = {"training": dealt >= 2, "validation": dealt == 1, "test": dealt == 0}
    cluster = catalog["cluster"].to_numpy()
    copies = np.isin(cluster, cluster[masks["test"]]) & (dealt > 0)
    if not apart or not copies.any():
        return {part: np.flatnonzero(mask) for part, mask in masks.items()}, ()
    masks = {part: mask & ~copies for part, mask in masks.items()}
    notes = (f"{copies.sum()} images dropped: duplicates of test images",)
    return {part: np.flatnonzero(mask) for part, mask in masks.items()}, notes


def _listed(catalog: pd.DataFrame, file: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the rows a public list names, ascending, and notes on the names that have none."""
    path = datasets_dir() / "protocols" / file
    if not path.is_file():
        raise MissingListError(
            f"the public list {path} is missing; place it there (UTK_train_coral.csv and "
            "UTK_test_coral.csv of github.com/nhshin-mcl/MWR, datalist/utk; see the README of "
            "the datasets folder)"
        )
    try:
        names = pd.read_csv(path, dtype=str, keep_default_na=False)["filename"]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is not a CSV file with a column 'filename' ({error})") from error
    names = names.str.removesuffix(".chip.jpg") + ".chip.jpg"
    rows = pd.Series(np.arange(len(catalog)), index=base_names(catalog).to_numpy())
    rows = rows[catalog["usable"].to_numpy(dtype=bool)]
    rows = rows[~rows.index.duplicated()]
    known = names.isin(rows.index)
    found = np.unique(rows.reindex(names[known]).to_numpy(dtype=np.int64))
    if len(found) == 0:
        raise DataError(
            f"none of the {len(names)} names in {path} is in this catalog; "
            "the list belongs to UTKFace's aligned and cropped chips"
        )
    if known.all():
        return found, ()
    some = ", ".join(names[~known].head(3))
    return found, (f"{(~known).sum()} of {len(names)} names in {path.name} not found: {some}",)
