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


# Sizes and checksums are those that others have published for these very files; none of them
# stands on its source's own page. Chosen so that a copy from anywhere else can be trusted too.
_DOWNLOADS = (
    Download(
        "utkface",
        "UTKFace, aligned and cropped",
        _UTKFACE_PAGE,
        _UTKFACE_TERMS,
        (
            # A mirror, pinned to one revision: the authors' own copy is on a drive for browsers.
            RemoteFile(
                "https://huggingface.co/datasets/py97/UTKFace-Cropped/resolve/"
                "e80f21fb21fa3631380c3cb634b79be3ac2f4cba/UTKFace.tar.gz",
                "UTKFace.tar.gz",
                106_634_631,
                "sha256:2c0655397b498e81b82d685ee74bee8c2e4364a5897caf3afec6ea48929024a7",
            ),
        ),
        ("python -m agelib prepare utkface",),
    ),
    Download(
        "utkface-wild",
        "UTKFace in the wild (1.3 GB in three parts)",
        _UTKFACE_PAGE,
        _UTKFACE_TERMS,
        (),
        (
            f"open {_UTKFACE_PAGE} in a browser, read the terms there, and follow the link "
            '"In-the-wild Faces" to a shared drive',
            "download part1.tar.gz, part2.tar.gz and part3.tar.gz",
            "unpack all three into one folder UTKFace-wild/ in the folder of data sets, which then "
            "holds part1/, part2/ and part3/",
            "python -m agelib prepare utkface-wild",
        ),
    ),
    Download(
        "imdb",
        "IMDB-WIKI, the faces of IMDb with their metadata",
        _IMDB_WIKI_PAGE,
        _IMDB_WIKI_TERMS,
        (
            RemoteFile(
                f"{_IMDB_WIKI_PAGE}static/imdb_crop.tar",
                "imdb_crop.tar",
                7_012_157_440,
                "md5:44b7548f288c14397cb7a7bab35ebe14",
            ),
        ),
        ("python -m agelib prepare imdb",),
    ),
    Download(
        "wiki",
        "IMDB-WIKI, the faces of Wikipedia with their metadata",
        _IMDB_WIKI_PAGE,
        _IMDB_WIKI_TERMS,
        (
            RemoteFile(
                f"{_IMDB_WIKI_PAGE}static/wiki_crop.tar",
                "wiki_crop.tar",
                checksum="md5:f536eb7f5eae229ae8f286184364b42b",
            ),
        ),
        ("python -m agelib prepare wiki",),
    ),
    Download(
        "imdb-meta",
        "IMDB-WIKI, the metadata of IMDb alone (no image)",
        _IMDB_WIKI_PAGE,
        _IMDB_WIKI_TERMS,
        (
            RemoteFile(
                f"{_IMDB_WIKI_PAGE}static/imdb_meta.tar",
                "imdb_meta.tar",
                checksum="md5:469433135f1e961c9f4c0304d0b5db1e",
            ),
        ),
        ("unpack it; imdb/imdb.mat inside it is for reading, imdb_crop.tar has its own",),
    ),
    Download(
        "fgnet",
        "FG-NET",
        "https://yanweifu.github.io/FG_NET_data/",
        "Research only; private photographs of 82 people.",
        (
            RemoteFile(
                "https://yanweifu.github.io/FG_NET_data/FGNET.zip",
                "FGNET.zip",
                checksum="sha256:228acddeba96e469f2ded9475ee87f4ab16398de27a2f3ec35a266a46ef2f7fc",
            ),
        ),
        ("unpack it; FGNET/images/ is a folder of your own (078A11.JPG is person 78 at age 11)",),
    ),
    Download(
        "adience",
        "Adience",
        "https://talhassner.github.io/home/projects/Adience/Adience-data.html",
        "Research only; photographs that their owners shared on Flickr.",
        (),
        (
            "open https://talhassner.github.io/home/projects/Adience/Adience-data.html in a "
            "browser, read the terms, and fill in the form: it gives a user name and a password",
            "with them, download the five files fold_0_data.txt to fold_4_data.txt, and "
            "faces.tar.gz or aligned.tar.gz or both",
            "make a folder adience/ in the folder of data sets; put the five files there and "
            "unpack the archives there, so that it holds faces/ or aligned/",
            "python -m agelib prepare adience",
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
