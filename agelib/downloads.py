"""How each data set is obtained: what may be downloaded, from where, and under which terms."""

from __future__ import annotations

import dataclasses

from agelib.files import DataError
from agelib.remote import RemoteFile

_UTKFACE_PAGE = "https://susanqq.github.io/UTKFace/"
_UTKFACE_TERMS = (
    "Non-commercial research only. The images were collected from the Internet; the copyright of "
    "each stays with its owner, and an image is removed when its owner asks for it."
)
_IMDB_WIKI_PAGE = "https://data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki/"
_IMDB_WIKI_TERMS = (
    "Academic research only. The images were collected from the Internet; the copyright of each "
    "stays with its owner, and an image is removed when its owner asks for it."
)
_ADIENCE_PAGE = "https://talhassner.github.io/home/projects/Adience/Adience-data.html"


@dataclasses.dataclass(frozen=True)
class Download:
    """How a data set is obtained.

    Parameters
    ----------
    name : str
        As it is asked for.
    title : str
        As it is printed.
    page : str
        Address of its authors' page, where its terms stand.
    licence : str
        What the images may be used for, in short.
    files : tuple of RemoteFile
        What is downloaded; empty when it must be asked for.
    steps : tuple of str
        What is left to do by hand, in order, after the download or instead of it.
    """

    name: str
    title: str
    page: str
    licence: str
    files: tuple[RemoteFile, ...]
    steps: tuple[str, ...]


# Sizes and checksums are those that others have published for these very files: none stands on a
# page of its source. With them a copy from anywhere else can be trusted as well.
_IMDB = RemoteFile(
    f"{_IMDB_WIKI_PAGE}static/imdb_crop.tar",
    "imdb_crop.tar",
    7_012_157_440,
    "md5:44b7548f288c14397cb7a7bab35ebe14",
)
_WIKI = RemoteFile(
    f"{_IMDB_WIKI_PAGE}static/wiki_crop.tar",
    "wiki_crop.tar",
    checksum="md5:f536eb7f5eae229ae8f286184364b42b",
)
_DOWNLOADS = (
    Download(
        "utkface",
        "UTKFace, aligned and cropped (107 MB)",
        _UTKFACE_PAGE,
        _UTKFACE_TERMS,
        (
            # Mirrors, the first pinned to one revision: the authors' own copy is on a drive for
            # browsers. The checksum is of the first; a second that differs is refused.
            RemoteFile(
                "https://huggingface.co/datasets/py97/UTKFace-Cropped/resolve/"
                "e80f21fb21fa3631380c3cb634b79be3ac2f4cba/UTKFace.tar.gz",
                "UTKFace.tar.gz",
                106_634_631,
                "sha256:2c0655397b498e81b82d685ee74bee8c2e4364a5897caf3afec6ea48929024a7",
                ("https://huggingface.co/datasets/eraiichiro/UTKFace/resolve/main/UTKFace.tar.gz",),
            ),
        ),
        ("python -m agelib prepare utkface",),
    ),
    Download(
        "utkface-wild",
        "UTKFace in the wild (1.3 GB)",
        _UTKFACE_PAGE,
        _UTKFACE_TERMS,
        (),
        (
            f"open {_UTKFACE_PAGE} in a browser, read the terms there, and follow the link "
            '"In-the-wild Faces" to a shared drive',
            "download part1.tar.gz, part2.tar.gz and part3.tar.gz into the folder of data sets",
            "python -m agelib prepare utkface-wild",
        ),
    ),
    Download(
        "imdb-wiki",
        "IMDB-WIKI, all faces and their metadata (8 GB)",
        _IMDB_WIKI_PAGE,
        _IMDB_WIKI_TERMS,
        (_WIKI, _IMDB),
        ("python -m agelib prepare imdb-wiki",),
    ),
    Download(
        "wiki",
        "IMDB-WIKI, the faces of Wikipedia alone (1 GB)",
        _IMDB_WIKI_PAGE,
        _IMDB_WIKI_TERMS,
        (_WIKI,),
        ("python -m agelib prepare imdb-wiki",),
    ),
    Download(
        "imdb-meta",
        "IMDB-WIKI, the metadata of IMDb without images",
        _IMDB_WIKI_PAGE,
        _IMDB_WIKI_TERMS,
        (
            RemoteFile(
                f"{_IMDB_WIKI_PAGE}static/imdb_meta.tar",
                "imdb_meta.tar",
                checksum="md5:469433135f1e961c9f4c0304d0b5db1e",
            ),
        ),
        ("unpack it to read imdb/imdb.mat; `prepare` needs imdb_crop.tar, which has its own",),
    ),
    Download(
        "fgnet",
        "FG-NET (46 MB)",
        "https://yanweifu.github.io/FG_NET_data/",
        "Research only; private photographs of 82 people.",
        (
            RemoteFile(
                "https://yanweifu.github.io/FG_NET_data/FGNET.zip",
                "FGNET.zip",
                checksum="sha256:228acddeba96e469f2ded9475ee87f4ab16398de27a2f3ec35a266a46ef2f7fc",
            ),
        ),
        (
            "in the folder of data sets: python -m zipfile -e FGNET.zip .",
            "python -m agelib prepare folder FGNET/images --pattern '{person}A{age}*', with the "
            "path of that folder",
        ),
    ),
    Download(
        "adience",
        "Adience",
        _ADIENCE_PAGE,
        "Research only; the copyright of each photograph stays with its owner.",
        (),
        (
            f"open {_ADIENCE_PAGE} in a browser, read the terms, and fill in the form: it gives "
            "a user name and a password",
            "make a folder Adience/ in the folder of data sets, and download into it the five "
            "files fold_0_data.txt to fold_4_data.txt (not the frontal ones)",
            "download aligned.tar.gz into it too, or faces.tar.gz for the faces as they were found",
            "python -m agelib prepare adience (of faces.tar.gz: prepare adience-faces)",
        ),
    ),
)


def names() -> tuple[str, ...]:
    """Return the names of what can be fetched, or is explained."""
    return tuple(download.name for download in _DOWNLOADS)


def get(name: str) -> Download:
    """Return how a data set is obtained.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Download

    Raises
    ------
    DataError
        When nothing of that name is known.
    """
    for download in _DOWNLOADS:
        if download.name == name:
            return download
    raise DataError(f"nothing to fetch is called {name!r}; choose one of {', '.join(names())}")
