"""A file on a server: what is said of it, and which trouble another try may not meet."""

from __future__ import annotations

import contextlib
import dataclasses
import http
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import TypeVar

from agelib.files import DataError

_WORTH = 1 << 20  # a try that brings so many new bytes was no failure
_LONGEST_PAUSE = 60.0  # seconds
# What may be over in a moment; any other refusal is final.
_PASSING_STATES = (408, 416, 425, 429, 500, 502, 503, 504)

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file that may be downloaded.

    Parameters
    ----------
    url : str
        Where from.
    name : str
        Its name in the folder of data sets.
    size : int, optional
        Published size in bytes. What offers another is refused before it is downloaded.
    checksum : str, optional
        Published checksum: ``"sha256:"`` or ``"md5:"`` and hexadecimal digits.
    mirrors : tuple of str
        Where else from, in the order in which they are tried; only beside a size and a
        checksum, which tell whether theirs is the same file.
    """

    url: str
    name: str
    size: int | None = None
    checksum: str | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """Name of the server."""
        return urllib.parse.urlsplit(self.url).netloc

    @property
    def sources(self) -> list[RemoteFile]:
        """The file at each of its addresses, the first one first."""
        others = [dataclasses.replace(self, url=url, mirrors=()) for url in self.mirrors]
        return [self, *others]

    @property
    def by_hand(self) -> str:
        """The remedy that is always left, as half a sentence."""
        return f"download it with a browser and place it in the folder of data sets as {self.name}"


@dataclasses.dataclass(frozen=True)
class Offer:
    """What a server says of a file.

    Parameters
    ----------
    size : int
        In bytes.
    mark : str or None
        Of the version: ``ETag``, else ``Last-Modified``.
    parts : bool
        Whether parts are sent when asked for.
    """

    size: int
    mark: str | None
    parts: bool


class SourceError(DataError):
    """A server that cannot be reached, refuses or has another file; a mirror may do better."""


class PassingTrouble(Exception):
    """Trouble that another try may not meet."""


class Unreachable(PassingTrouble):
    """No connection at all."""


def ask(file: RemoteFile, *, timeout: float) -> Offer:
    """Ask a server once what it offers.

    Parameters
    ----------
    file : RemoteFile
        The file.
    timeout : float
        Seconds without an answer after which this fails.

    Returns
    -------
    Offer

    Raises
    ------
    PassingTrouble, SourceError
        As `answer` and `read_offer` do.
    """
    # The first byte instead of HEAD, which some hosts refuse: it also shows whether parts are sent.
    with answer(file, {"Range": "bytes=0-0"}, timeout=timeout) as response:
        return read_offer(file, response, parts=response.status == http.HTTPStatus.PARTIAL_CONTENT)


@contextlib.contextmanager
def answer(
    file: RemoteFile, headers: dict[str, str], *, timeout: float
) -> Iterator[http.client.HTTPResponse]:
    """Open a file on its server, through the proxies of the environment.

    Parameters
    ----------
    file : RemoteFile
        The file.
    headers : dict
        Of the request.
    timeout : float
        Seconds without a byte after which opening or reading fails.

    Yields
    ------
    http.client.HTTPResponse
        To be read inside the block, where the trouble of reading is sorted too.

    Raises
    ------
    PassingTrouble
        When there is no answer, it breaks off, or the server is busy; `Unreachable` when there
        is no connection.
    SourceError
        When the server refuses.
    """
    # Without a name of their own some hosts turn programs away.
    request = urllib.request.Request(file.url, headers={"User-Agent": "agelib"} | headers)
    try:
        # An opener of its own: urlopen keeps the proxies that were set when it was first called.
        with urllib.request.build_opener().open(request, timeout=timeout) as response:
            yield response
    except urllib.error.HTTPError as error:
        error.close()
        says = f"{file.url} answers {error.code} {error.reason}"
        if error.code in _PASSING_STATES:
            raise PassingTrouble(says) from None
        raise SourceError(f"{says}; it may have moved: {file.by_hand}") from None
    except TimeoutError:
        raise PassingTrouble(f"{file.host} sent nothing for {timeout:g} s") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise PassingTrouble(f"{file.host} did not answer within {timeout:g} s") from None
        raise Unreachable(f"{file.host} cannot be reached ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise PassingTrouble(f"the connection to {file.host} broke ({error!r})") from None


def read_offer(file: RemoteFile, response: http.client.HTTPResponse, *, parts: bool) -> Offer:
    """Read what a response says of the whole file.

    Parameters
    ----------
    file : RemoteFile
        The file.
    response : http.client.HTTPResponse
        Of status 200 or 206.
    parts : bool
        Whether the server sends parts.

    Returns
    -------
    Offer

    Raises
    ------
    SourceError
        When no size is known, or it is not the published one.
    """
    whole = response.headers.get("Content-Length", "")
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    size = int(whole) if whole.isdecimal() else file.size
    if size is None:
        raise SourceError(f"{file.host} does not say how large {file.name} is; {file.by_hand}")
    if file.size not in (None, size):
        raise SourceError(
            f"{file.url} has {size:,} bytes, the published file {file.size:,}: it is another; "
            f"{file.by_hand}"
        )
    return Offer(size, response.headers.get("ETag") or response.headers.get("Last-Modified"), parts)


def first_byte(response: http.client.HTTPResponse) -> int | None:
    """Return the position in the file at which a response begins; None when it does not say."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else None


def persist(
    step: Callable[[], _T],
    file: RemoteFile,
    *,
    tries: int,
    pause: float,
    reached: Callable[[], int] = lambda: 0,
) -> _T:
    """Repeat a step that fails in passing.

    Parameters
    ----------
    step : callable
        What to do; raises `PassingTrouble`.
    file : RemoteFile
        The file.
    tries : int
        Tries in a row that bring nothing before it gives up.
    pause : float
        Seconds before the second try; doubled each time, up to a minute.
    reached : callable
        Gives the number of bytes so far, by which a try is judged.

    Returns
    -------
    object
        What the step returns.

    Raises
    ------
    SourceError
        When it gives up, or there is no connection at the first try.
    """
    failures, before, connected = 0, reached(), False
    while True:
        try:
            return step()
        except PassingTrouble as trouble:
            if isinstance(trouble, Unreachable) and not connected:
                raise SourceError(
                    f"{trouble}; check the network (behind a proxy set HTTPS_PROXY and "
                    f"HTTP_PROXY), or {file.by_hand}"
                ) from None
            connected = True
            failures = 0 if reached() - before >= _WORTH else failures + 1
            before = reached()
            if failures >= tries:
                raise SourceError(
                    f"{trouble}; gave up after {failures} tries; try later, or {file.by_hand}"
                ) from None
        time.sleep(min(pause * 2 ** max(failures - 1, 0), _LONGEST_PAUSE))
