"""Asking an HTTP server politely: few requests, one at a time, none for what has not changed, and patience.

What comes back is bounded in size and time, whatever the server sends. No password goes into a message, nor to another
server than the one that was named: not by a redirect either, and never from TLS to plain text.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from monitor import __version__
from monitor.errors import MonitorError

log = logging.getLogger(__name__)

REDIRECTS: Final = 5
ATTEMPTS: Final = 3
"""So often a request is made before it is left for the next round."""
FIRST_WAIT_S = 2.0
"""Before the second attempt; it doubles from then on."""
LONGEST_WAIT_S: Final = 600.0
_PIECE_BYTES: Final = 1 << 16
_KEPT_OF_ERROR: Final = 4096
_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(MonitorError):
    """A server that cannot be reached, refuses, or sends what cannot be taken.

    Attributes
    ----------
    status : int
        Of HTTP; 0 where there was no answer.
    transient : bool
        Whether the same request may well succeed later.
    body : bytes
        How the answer begins: protocols say there what is wrong.
    """

    def __init__(
        self, where: str, reason: str, *, status: int = 0, transient: bool, body: bytes = b""
    ) -> None:
        self.status, self.transient, self.body = status, transient, body
        super().__init__(f"{where}: {reason}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a server knows a version of a resource again."""

    etag: str | None = None
    modified: str | None = None

    @property
    def conditions(self) -> dict[str, str]:
        """Headers by which a server may say that nothing has changed."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has sent; `body` is None where it has not changed since the stamp that was given."""

    body: bytes | None
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Manners:
    """How a server is asked.

    Attributes
    ----------
    requests_per_minute : float
    timeout_s : float
        Of a whole request.
    maximum_bytes : int
        Largest answer, unpacked.
    ca_file : Path or None
        Authority that signed the server's certificate; None are those of the system.
    """

    requests_per_minute: float = 30.0
    timeout_s: float = 120.0
    maximum_bytes: int = 64 << 20
    ca_file: Path | None = None


class Fetcher:
    """A client of one server; use it as an asynchronous context manager.

    Parameters
    ----------
    manners : Manners
    credentials : callable, optional
        Gives user and password for each request: they may change while it runs.
    """

    def __init__(self, manners: Manners, credentials: Callable[[], tuple[str, str]] | None = None) -> None:
        self._manners = manners
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None
        self._turn = asyncio.Lock()
        self._next_s = 0.0

    async def __aenter__(self) -> Self:
        """Begin. Raises FetchError where `ca_file` cannot be used."""
        timeout = aiohttp.ClientTimeout(total=self._manners.timeout_s, sock_connect=30.0, sock_read=60.0)
        # No cookies, no proxies or passwords of the environment: what is asked is what the configuration says.
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            connector=aiohttp.TCPConnector(ssl=_tls(self._manners.ca_file)),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": f"geospace-monitor/{__version__}"},
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(
        self, url: str, parameters: Mapping[str, str] | None = None, stamp: Stamp | None = None
    ) -> Answer:
        """Ask until there is an answer, `ATTEMPTS` times at most, with growing pauses. Raises FetchError."""
        target = URL(url).update_query(dict(parameters or {}))
        async with self._turn:
            for attempt in range(ATTEMPTS):
                await self._wait_for_turn()
                try:
                    return await self._ask(target, stamp or Stamp())
                except _Later as later:
                    error, pause_s = later.error, later.after_s
                if attempt + 1 < ATTEMPTS:
                    await asyncio.sleep(self._pause_s(attempt, pause_s))
            raise error

    async def _wait_for_turn(self) -> None:
        now = time.monotonic()
        if self._next_s > now:
            await asyncio.sleep(self._next_s - now)
        self._next_s = time.monotonic() + 60.0 / self._manners.requests_per_minute

    def _pause_s(self, attempt: int, wished_s: float | None) -> float:
        if wished_s is not None:
            return min(wished_s, LONGEST_WAIT_S)
        longest_s = min(FIRST_WAIT_S * 2.0**attempt, LONGEST_WAIT_S)
        # Many clients of a server that came back would otherwise come all at once.
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)

    async def _ask(self, target: URL, stamp: Stamp) -> Answer:
        """One request with its redirects. Raises FetchError, and _Later where it may be tried again."""
        assert self._session is not None
        first, url = target.origin(), target
        where = shown(target)
        try:
            for _ in range(REDIRECTS + 1):
                headers = dict(stamp.conditions)
                if self._credentials is not None and url.origin() == first:
                    headers["Authorization"] = _basic(*self._credentials())
                async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                    if response.status not in (301, 302, 303, 307, 308):
                        return await self._taken(response, where)
                    url = _redirected(url, response, where)
        except aiohttp.ClientConnectorCertificateError as error:
            reason = f"its certificate is refused ({error.certificate_error}); name its authority in ca_file"
            raise FetchError(where, reason, transient=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"cannot be reached ({type(error).__name__}: {_brief(error)})"
            raise _Later(FetchError(where, reason, transient=True)) from None
        raise FetchError(where, f"redirects more than {REDIRECTS} times", transient=False)

    async def _taken(self, response: aiohttp.ClientResponse, where: str) -> Answer:
        stamp = Stamp(response.headers.get("ETag"), response.headers.get("Last-Modified"))
        if response.status == 304:
            return Answer(None, stamp)
        if response.status != 200:
            body = await self._read(response, _KEPT_OF_ERROR, where, cut=True)
            transient = response.status in _TRANSIENT
            reason = f"answers {response.status} {response.reason or ''}".rstrip()
            error = FetchError(where, reason, status=response.status, transient=transient, body=body)
            if transient:
                raise _Later(error, _retry_after_s(response.headers.get("Retry-After")))
            raise error
        return Answer(await self._read(response, self._manners.maximum_bytes, where), stamp)

    async def _read(
        self, response: aiohttp.ClientResponse, maximum: int, where: str, *, cut: bool = False
    ) -> bytes:
        content = bytearray()
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            content += piece
            if len(content) > maximum:
                if cut:
                    break
                raise FetchError(
                    where, f"sends more than {maximum} bytes; ask for less at once", transient=False
                )
        return bytes(content[:maximum])


class _Later(Exception):  # noqa: N818  (never leaves this module)
    """A failure that may be tried again, after a pause that the server may have named."""

    def __init__(self, error: FetchError, after_s: float | None = None) -> None:
        self.error, self.after_s = error, after_s
        super().__init__(str(error))


def shown(url: URL) -> str:
    """A URL for messages: neither user and password nor query."""
    return str(url.origin().join(URL(url.raw_path, encoded=True)))


def fault_of_url(text: str) -> str | None:
    """What is wrong with the URL of a server, in words; None where nothing is."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return f"it is no URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "write a URL that begins with http:// or https:// and names a host"
    if "@" in parts.netloc:
        return "credentials do not belong in a URL; name them with username and password_file"
    if parts.query or parts.fragment:
        return "leave out what comes after ? or #"
    return None


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = f"cannot be read as certificates in PEM ({error.strerror or error})"
        raise FetchError(str(ca_file), reason, transient=False) from None


def _basic(user: str, password: str) -> str:
    """The header of RFC 7617."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _redirected(url: URL, response: aiohttp.ClientResponse, where: str) -> URL:
    try:
        target = url.join(URL(response.headers.get("Location", "")))
    except ValueError:
        raise FetchError(where, "redirects to what is no URL", transient=False) from None
    if target.scheme not in ("http", "https") or (url.scheme == "https" and target.scheme != "https"):
        reason = f"redirects from {url.scheme} to {target.scheme or 'nowhere'}, which is not followed"
        raise FetchError(where, reason, transient=False)
    return target


def _retry_after_s(text: str | None) -> float | None:
    """Seconds that a server asks to wait, from a number or a date; None where it asks nothing that can be read."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _brief(error: BaseException) -> str:
    return str(error).splitlines()[0][:160] if str(error) else "no answer in time"
