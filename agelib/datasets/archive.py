"""Unpacking an archive of images: nothing outside the folder, and all of it or none."""

from __future__ import annotations

import contextlib
import glob
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from agelib.files import DataError, writing
from agelib.images import IMAGE_SUFFIXES


class _Member(NamedTuple):
    """A file in an archive; the path is relative and stays inside."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path | str, folder: Path | str) -> Path:
    """Unpack a tar or zip archive of images into a folder of its own.

    A single top folder inside the archive is taken off, so that its files lie directly in
    ``folder``. The folder appears when the last file is written.

    Parameters
    ----------
    archive : Path or str
        ``.tar``, ``.tar.gz``, ``.tar.bz2``, ``.tar.xz`` or ``.zip``; known by its contents.
    folder : Path or str
        Folder to make. When it holds every file of the archive already (by name and size) it is
        left as it is.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    DataError
        When the archive is missing, broken, cut short, not an archive or without images; when a
        member has an absolute path or leaves the folder, is a link or a device, or appears
        twice; when the disk has too little room or cannot be written; when the folder holds
        something else.
    """
    archive, folder = Path(archive), Path(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise DataError(f"{folder} is in the way and not a folder; move it")
    if folder.is_dir() and any(folder.iterdir()):
        _require_same(archive, folder)
        return folder
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Left by a run that was killed: nobody else unpacks here, see `agelib.prepare`.
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
            shutil.rmtree(left, ignore_errors=True)
        partial = tempfile.TemporaryDirectory(prefix=f".{folder.name}.partial-", dir=folder.parent)
        place = Path(stack.enter_context(partial)) / "files"
        place.mkdir()
        _extract(archive, place)
        entries = list(place.iterdir())
        whole = entries[0] if len(entries) == 1 and entries[0].is_dir() else place
        try:
            if folder.is_dir():
                folder.rmdir()
            os.rename(whole, folder)
        except OSError as error:
            raise DataError(f"{folder} appeared meanwhile ({error.strerror}); try again") from None
    return folder


def _extract(archive: Path, place: Path) -> None:
    room, images, first = shutil.disk_usage(place).free, 0, ""
    with _members(archive) as members:
        for member in members:
            images += member.path.suffix.lower() in IMAGE_SUFFIXES
            first = first or str(member.path)
            room -= member.size
            if room < 0:
                raise DataError(f"{archive} unpacks to more than the disk has free; make room")
            target = place / member.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "xb") as file, member.open() as source:
                    shutil.copyfileobj(source, file)
            except (FileExistsError, NotADirectoryError):
                raise DataError(
                    f"{archive}: {str(member.path)!r} appears twice; {_FETCH}"
                ) from None
    if not images:
        raise DataError(
            f"{archive} holds no image but {first or 'nothing'!r}; is it the right one?"
        )


def _require_same(archive: Path, folder: Path) -> None:
    """Refuse a folder that lacks a file of the archive or has it in another size."""
    with _members(archive) as members:
        sizes = {member.path: member.size for member in members}
    tops = {path.parts[0] for path in sizes}
    deep = len(tops) == 1 and all(len(path.parts) > 1 for path in sizes)
    for path, size in sizes.items():
        file = folder.joinpath(*path.parts[1:] if deep else path.parts)
        if not file.is_file() or file.stat().st_size != size:
            raise DataError(
                f"{folder} exists but is not what {archive} unpacks to (first difference: "
                f"{file.name}); move the folder away, or prepare without naming the archive"
            )


_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
_FETCH = "get the archive again from its source"


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Give the files of an archive one by one, each checked before it is given."""
    if not archive.is_file():
        raise DataError(f"{archive} is not a file; give an archive or a folder that exists")
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                yield _zip_members(archive, opened)
        else:
            with tarfile.open(archive, "r:*") as opened:
                yield _tar_members(archive, opened)
    except (*_BROKEN, OSError) as error:
        # The readers of .gz and .bz2 raise a bare OSError where the others have their own kinds.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        first = str(error).partition("\n")[0].rstrip(":")
        raise DataError(f"{archive} is broken or no archive ({first}); {_FETCH}") from None
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive} cannot be unpacked ({error}); {_FETCH}") from None


def _tar_members(archive: Path, opened: tarfile.TarFile) -> Iterator[_Member]:
    for member in opened:
        path = _safe(archive, member.name)
        if member.isfile() and not _leftover(path):
            yield _Member(path, member.size, lambda member=member: opened.extractfile(member))
        elif not member.isfile() and not member.isdir():
            raise DataError(f"{archive}: {member.name!r} is a link or a device; {_FETCH}")
    # A tar ends with a block of zeros; without it tarfile takes a cut for the end.
    if opened.fileobj.tell() < opened.offset + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it is cut short")
    # The checksum of the compressed whole comes last, and is compared when it is read.
    while opened.fileobj.read(1 << 20):
        pass


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Member]:
    for member in opened.infolist():
        path = _safe(archive, member.filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: {member.filename!r} is a link or a device; {_FETCH}")
        if not member.is_dir() and not _leftover(path):
            yield _Member(path, member.file_size, lambda member=member: opened.open(member))


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Return a member's path, or refuse it when it could lead out of the folder."""
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    outside = path.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if outside or "\0" in name:
        raise DataError(f"{archive}: {name!r} leads out of the folder; {_FETCH}")
    return path


def _leftover(path: PurePosixPath) -> bool:
    """Tell macOS's additions to an archive from its files."""
    return path.parts[:1] == ("__MACOSX",) or path.name.startswith("._")
