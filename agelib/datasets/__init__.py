"""The data sets: one reader each, all giving the same catalog."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from agelib.datasets import folder, imdb_wiki
from agelib.datasets.adience import read_aligned, read_faces
from agelib.datasets.source import Reader, from_names
from agelib.datasets.utkface import parse_name
from agelib.files import DataError
from agelib.paths import datasets_dir


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set that can be prepared.

    Parameters
    ----------
    name : str
        As it is asked for, for example "utkface".
    title : str
        As it is printed.
    folder_name : str
        Image folder, below the folder of data sets.
    read : callable
        From the image folder to a `agelib.datasets.source.Source`; may take choices by name.
    licence : str
        What the images may be used for.
    five_fold : str
        Name of its protocol of five folds, none of which shares a photograph, or a person where
        persons are known, with another.
    archives : tuple of str
        Archives of a data set that comes in several, as they are placed in the folder of data
        sets; each is unpacked into a folder of its name (without suffixes) in the image folder.
    """

    name: str
    title: str
    folder_name: str
    read: Reader
    licence: str
    five_fold: str
    archives: tuple[str, ...] = ()


_NON_COMMERCIAL = "non-commercial research only; the copyright of each image stays with its owner"
_DATASETS = (
    Dataset(
        "utkface",
        "UTKFace",
        "UTKFace",
        from_names(parse_name),
        _NON_COMMERCIAL,
        "utkface-5fold",
    ),
    Dataset(
        "adience",
        "Adience",
        "Adience/aligned",
        read_aligned,
        _NON_COMMERCIAL,
        "adience-folds",
    ),
    Dataset(
        "adience-faces",
        "Adience, not aligned",
        "Adience/faces",
        read_faces,
        _NON_COMMERCIAL,
        "adience-folds",
    ),
    Dataset(
        "sample",
        "Built-in sample",
        "sample/images",
        from_names(parse_name),
        "drawn; free for any use",
        "sample-5fold",
    ),
    Dataset(
        "utkface-wild",
        "UTKFace in the wild",
        "UTKFace-wild",
        from_names(parse_name),
        _NON_COMMERCIAL,
        "utkface-wild-5fold",
        ("part1.tar.gz", "part2.tar.gz", "part3.tar.gz"),
    ),
    Dataset(
        "imdb-wiki",
        "IMDB-WIKI",
        "imdb-wiki/images",
        imdb_wiki.read,
        "academic research only; the copyright of each image stays with its owner",
        "imdb-wiki",
        ("imdb_crop.tar", "wiki_crop.tar"),
    ),
    Dataset(
        "folder",
        "Own folder",
        "folder/images",
        folder.read,
        "what the owner of the images allows",
        "folder-5fold",
    ),
)


def names() -> tuple[str, ...]:
    """Return the names of the data sets."""
    return tuple(dataset.name for dataset in _DATASETS)


def get(name: str) -> Dataset:
    """Return a data set by name.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        When there is no such data set.
    """
    for dataset in _DATASETS:
        if dataset.name == name:
            return dataset
    raise DataError(f"no data set {name!r}; choose one of {', '.join(names())}")


def images_folder(name: str) -> Path:
    """Return where the images of a data set are placed, whether or not they are.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Path
        ``<datasets>/<folder name>``.

    Raises
    ------
    DataError
        When there is no such data set.
    """
    return datasets_dir() / get(name).folder_name
