"""Images brought to their data set's folder: unpacked, linked, or drawn."""

from __future__ import annotations

from pathlib import Path

from agelib import datasets
from agelib.datasets import Dataset
from agelib.datasets.archive import unpack
from agelib.files import DataError
from agelib.paths import datasets_dir


def place_images(
    entry: Dataset, source: Path | str | None, *, sample_size: int
) -> tuple[Path, bool]:
    """Bring the images of a data set to its folder.

    Parameters
    ----------
    entry : Dataset
        See `agelib.datasets.get`.
    source : Path or str, optional
        Archive, unpacked into the image folder, or folder, linked there. Without it the images
        in place are used, else the archives beside them; the built-in sample is drawn.
    sample_size : int
        Clean faces of the built-in sample.

    Returns
    -------
    folder : Path
        The image folder.
    drawn : bool
        Whether the images were drawn here.

    Raises
    ------
    DataError
        When nothing is in place, the archive is unsafe, broken or of another data set, or
        something else lies in the image folder's place.
    """
    folder = datasets.images_folder(entry.name)
    if source is not None:
        source = Path(source)
        if not source.is_dir():
            unpack(source, _place_of(entry, source))
            return folder, False
        _link(source, folder)
    elif entry.name == "sample" and not folder.is_symlink():
        # Imported here: only the sample's maker needs it.
        from agelib.datasets.sample import write_sample

        return write_sample(folder, n=sample_size), True
    else:
        _unpack_beside(entry, folder)
    return folder, False


def require_unpacked(entry: Dataset) -> None:
    """Refuse a data set of which only archives are in place, with the command that unpacks them.

    Raises
    ------
    DataError
        When there is an archive, and no image folder or nothing in it.
    """
    packed = [str(archive) for archive in _archives(entry) if archive.is_file()]
    if packed and not _filled(datasets.images_folder(entry.name)):
        raise DataError(
            f"{entry.title} is not unpacked: of it there is only {', '.join(packed)}; run "
            f"`python -m agelib prepare {entry.name}`"
        )


def _archives(entry: Dataset) -> list[Path]:
    """Return where the archives of a data set are looked for."""
    folder = datasets.images_folder(entry.name)
    named = [datasets_dir() / name for name in entry.archives]
    return named or [folder.with_name(f"{folder.name}.tar.gz")]


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _unpack_beside(entry: Dataset, folder: Path) -> None:
    """Unpack the archives beside the image folder whose images are not there yet."""
    archives = _archives(entry)
    for archive in archives:
        place = _place_of(entry, archive)
        if archive.is_file() and not _filled(place):
            unpack(archive, place)
    if not folder.is_dir():
        listed = " or ".join(map(str, archives))
        raise DataError(
            f"{entry.title} is not in place: neither the folder {folder} nor the archive "
            f"{listed} exists; get it as datasets/README.md says, or name it: "
            f"`python -m agelib prepare {entry.name} ARCHIVE-OR-FOLDER`"
        )


def _place_of(entry: Dataset, archive: Path) -> Path:
    """Return the folder that an archive of a data set is unpacked into."""
    folder = datasets.images_folder(entry.name)
    if not entry.archives:
        return folder
    if archive.name not in entry.archives:
        raise DataError(
            f"{archive} is none of the archives of {entry.title}: {', '.join(entry.archives)}; "
            "name one of these, or a folder with what is in them"
        )
    return folder / archive.name.partition(".")[0]


def _link(source: Path, folder: Path) -> None:
    """Make ``folder`` lead to ``source``, unless it does already."""
    if folder.exists():
        if folder.samefile(source):
            return
        if not folder.is_symlink():
            raise DataError(f"{folder} exists beside the given {source}; move one of them away")
    folder.unlink(missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.symlink_to(source.resolve(), target_is_directory=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be linked to {source} ({error.strerror}); move the images there"
        ) from None
