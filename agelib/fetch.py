"""Downloading a large file: size known first, taken up after a break, checked, whole or absent."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from agelib.files import DataError, write_json, writing
from agelib.remote import (
    Offer,
    PassingTrouble,
    RemoteFile,
    SourceError,
    answer,
    ask,
    first_byte,
    persist,
    read_offer,
)

Progress = Callable[[int, int], None]

_BLOCK = 1 << 20  # bytes read at once


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A file in place.

    Parameters
    ----------
    path : Path
        Where it lies.
    size : int
        In bytes.
    checksum : str
        As got, of the kind that is published, else SHA-256: ``"sha256:…"``.
    received : int
        Bytes that this call downloaded; 0 when the file was in place.
    """

    path: Path
    size: int
    checksum: str
    received: int


def look(file: RemoteFile) -> Offer:
    """Ask a server for a file's size without downloading it.

    Parameters
    ----------
    file : RemoteFile
        The file.

    Returns
    -------
    Offer

    Raises
    ------
    SourceError
        When the host cannot be reached, refuses, names no size, or offers another file than the
        published one.
    """
    return persist(lambda: ask(file, timeout=30), file, tries=5, pause=1)


def fetch_file(
    file: RemoteFile,
    folder: Path | str,
    *,
    progress: Progress | None = None,
    timeout: float = 30,
    tries: int = 5,
    pause: float = 1,
) -> Fetched:
    """Download a file into a folder; it appears there when it is whole and checked.

    Until then its bytes lie in ``<name>.partial``, where the next call takes them up, unless the
    file has changed on the server.

    Parameters
    ----------
    file : RemoteFile
        The file, from its ``url`` alone. One that is in place already is checked, not downloaded.
    folder : Path or str
        Where to; made when missing.
    progress : callable, optional
        Called with the numbers of bytes in place and of all bytes.
    timeout : float
        Seconds without a byte after which a try counts as failed.
    tries : int
        Tries in a row that bring nothing before it gives up.
    pause : float
        Seconds before the second try; doubled each time, up to a minute.

    Returns
    -------
    Fetched

    Raises
    ------
    SourceError
        When the host cannot be reached, refuses, breaks off again and again or serves another
        file.
    DataError
        When the disk has no room, the folder cannot be written, another process is fetching the
        same file, or what is in place is not it.
    """
    target = Path(folder) / file.name
    with _alone(target):
        if target.exists():
            checksum = _checked(file, target, "move it away and fetch again")
            return Fetched(target, target.stat().st_size, checksum, 0)
        transfer = _Transfer(file, target, timeout, progress)
        persist(transfer.advance, file, tries=tries, pause=pause, reached=transfer.reached)
        try:
            checksum = _checked(file, transfer.partial, "it was removed; fetch again")
        except DataError as error:
            # Kept, it would be found whole by the next call, and wrong again.
            transfer.discard()
            raise SourceError(str(error)) from None
        os.replace(transfer.partial, target)
        transfer.note.unlink(missing_ok=True)
    return Fetched(target, target.stat().st_size, checksum, transfer.received)


class _Transfer:
    """A file on its way: its bytes in ``.partial``, and a note of the version they are of."""

    def __init__(
        self, file: RemoteFile, target: Path, timeout: float, progress: Progress | None
    ) -> None:
        self.file, self.timeout, self.progress = file, timeout, progress
        self.partial = target.with_name(f"{target.name}.partial")
        self.note = target.with_name(f"{target.name}.partial.json")
        self.received = self.furthest = 0

    def reached(self) -> int:
        """Return how far any try has come, in bytes: starting afresh is no progress."""
        return self.furthest

    def advance(self) -> None:
        """Make one try to bring what is missing."""
        offer = ask(self.file, timeout=self.timeout)
        have = self._usable(offer)
        if have == offer.size:
            return
        free = shutil.disk_usage(self.partial.parent).free
        if offer.size - have > free:
            raise DataError(
                f"{self.partial.parent} has {free / 1e9:.2f} GB free, but {self.file.name} needs "
                f"{(offer.size - have) / 1e9:.2f} GB (and as much again to unpack); make room"
            )
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and not offer.mark.startswith("W/"):
            headers["If-Range"] = offer.mark
        with answer(self.file, headers, timeout=self.timeout) as response:
            now = read_offer(self.file, response, parts=offer.parts)
            if now != offer or first_byte(response) != have:
                self.discard()
                raise PassingTrouble(f"{self.file.url} is not the same from one try to the next")
            self._receive(response, have, offer.size)

    def _usable(self, offer: Offer) -> int:
        """Return how many bytes of an earlier try can be kept; others are thrown away."""
        try:
            noted = json.loads(self.note.read_text(encoding="utf-8"))
            have = self.partial.stat().st_size
        except (OSError, ValueError):
            noted, have = None, 0
        version = {"url": self.file.url, "size": offer.size, "mark": offer.mark}
        if noted == version and offer.parts and offer.mark and have <= offer.size:
            self.furthest = max(self.furthest, have)
            return have
        with writing(self.partial):
            self.discard()
            write_json(self.note, version)
        return 0

    def _receive(self, response: http.client.HTTPResponse, have: int, size: int) -> None:
        with contextlib.ExitStack() as stack:
            with writing(self.partial):
                out = stack.enter_context(open(self.partial, "ab" if have else "wb"))
            # Whatever has come, not a full block: less is lost when the connection breaks.
            while have <= size and (block := response.read1(_BLOCK)):
                if not have and block.lstrip()[:1] == b"<":
                    self.discard()
                    raise SourceError(
                        f"{self.file.url} is a web page, not {self.file.name}; {self.file.by_hand}"
                    )
                with writing(self.partial):
                    out.write(block)
                    out.flush()  # here, where a full disk is told from a broken connection
                have += len(block)
                self.received += len(block)
                self.furthest = max(self.furthest, have)
                if self.progress is not None:
                    self.progress(have, size)
        if have != size:
            raise PassingTrouble(
                f"{self.file.host} sent {have:,} of {size:,} bytes of {self.file.name}"
            )

    def discard(self) -> None:
        """Remove what has come so far."""
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Let one process at a time fetch a file; a dead one holds nobody up."""
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise DataError(f"another process is fetching {target}; wait for it") from None
    try:
        yield
    finally:
        lock.release()


def _checked(file: RemoteFile, path: Path, remedy: str) -> str:
    """Return a file's checksum; refuse one that is not as published."""
    kind = (file.checksum or "sha256").partition(":")[0]
    with open(path, "rb") as opened:
        got = f"{kind}:{hashlib.file_digest(opened, kind).hexdigest()}"
    size = path.stat().st_size
    if file.size not in (None, size) or file.checksum not in (None, got):
        raise DataError(
            f"{path} is not the published file: {size:,} bytes with {got}, not "
            f"{file.size or size:,} with {file.checksum or 'any'}; {remedy}"
        )
    return got
