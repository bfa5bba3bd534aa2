"""Posting to somebody else's HTTP server, politely: what `webhook` and `influx` share."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import AfterValidator

from monitor.config.reading import show
from monitor.config.schema import FilePath, split_url, without_credentials
from monitor.errors import ConfigurationError, Fault, MonitorError

logger = logging.getLogger(__name__)

LONGEST_REST_S: Final = 3600.0
"""No `Retry-After` is minded for longer than this."""
MAXIMUM_SECRET_BYTES: Final = 4096
_DEFAULT_REST_S: Final = 5.0
_READ_BYTES: Final = 16_384
_TRY_LATER: Final = frozenset({408, 425, 429})


class ReceiverAway(MonitorError):  # noqa: N818  (a state to wait out, not a fault)
    """The receiver cannot be reached, or asks to be left alone for now: the same must come again later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver says: its status, and the beginning of its text, or where it would send us instead."""

    status: int
    text: str

    @property
    def taken(self) -> bool:
        """Whether the receiver has what was posted."""
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return f"{self.status} {show(' '.join(self.text.split()), 200)}".rstrip()


def _url(text: str) -> str:
    shown = without_credentials(text)
    if not re.match(r"https?://", text):
        raise ValueError(f"found {shown}; write a URL that begins with https:// or http://")
    if "@" in text:
        raise ValueError(f"found {shown}: credentials in the URL; write them into a file of their own")
    if not split_url(text).hostname:
        raise ValueError(f"found {shown}; the host is missing")
    return text


HttpUrl = Annotated[str, AfterValidator(_url)]


class Poster:
    """Posts to one server; redirects are not followed, since what is signed or secret is for nobody else.

    Parameters
    ----------
    url : str
        Where to, for messages and to know whether it is encrypted.
    key : str
        What the option is called that holds it, such as `plugins.webhook`.
    timeout_s : float
        For an answer.
    ca_file : Path or None
        Authority that signed the server's certificate; None for those of the system.
    connections : int
        At most, at a time.
    """

    def __init__(
        self, url: str, key: str, *, timeout_s: float, ca_file: FilePath | None, connections: int
    ) -> None:
        self._host = urlsplit(url).netloc
        self._secure = urlsplit(url).scheme == "https"
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._ca_file = ca_file
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._rest_until = 0.0

    async def open(self) -> None:
        """Get ready. Raises ConfigurationError where the authority cannot be read."""
        await self.close()
        connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._context())
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post, and return an answer that will not change by waiting.

        Raises
        ------
        ReceiverAway
            No answer in time, an answer that something is wrong over there (5xx), or one that asks to come again later
            (408, 425, 429, 503; `Retry-After` is minded: nothing is sent before).
        """
        if self._session is None:
            raise ReceiverAway(f"{self._host}: is not open")
        if (rest_s := self._rest_until - time.monotonic()) > 0:
            raise ReceiverAway(f"{self._host}: asked to be left alone for another {rest_s:.0f} s")
        try:
            async with self._session.post(
                url, data=body, headers=dict(headers), allow_redirects=False
            ) as response:
                text = (await response.content.read(_READ_BYTES)).decode(errors="replace")
                status, found = response.status, response.headers
        except TimeoutError:
            raise ReceiverAway(f"{self._host}: gives no answer within {self._timeout.total:g} s") from None
        except aiohttp.ClientError as error:
            raise ReceiverAway(f"{self._host}: cannot be reached ({_why(error)})") from None
        if status in _TRY_LATER or status >= 500:
            self._rest(status, found.get("Retry-After"))
            raise ReceiverAway(f"{self._host}: answers {Answer(status, text)}")
        return Answer(status, f"to {found.get('Location', '?')}" if 300 <= status < 400 else text)

    def _rest(self, status: int, retry_after: str | None) -> None:
        """Keep still for as long as is asked."""
        rest_s = _rest_s(retry_after)
        if rest_s is None:
            rest_s = _DEFAULT_REST_S if status == 429 else 0.0
        self._rest_until = time.monotonic() + rest_s

    def _context(self) -> ssl.SSLContext | bool:
        if not self._secure or self._ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:  # an SSLError too
            reason = error.strerror or error
            raise ConfigurationError(
                [Fault(str(self._ca_file), 1, 1, f"{self._key}.ca_file: cannot be read as PEM ({reason})")]
            ) from None


def _rest_s(text: str | None) -> float | None:
    """What `Retry-After` asks for, in seconds from now; None where it asks for nothing that can be read."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        wanted_s = float(text)
    else:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        if until.tzinfo is None:
            return None
        wanted_s = (until - datetime.now(UTC)).total_seconds()
    return min(max(wanted_s, 0.0), LONGEST_REST_S)


def _why(error: aiohttp.ClientError) -> str:
    """Where a certificate is refused, say so; the library's text is long and names objects."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is refused: {error.certificate_error}; name its authority in ca_file"
    return str(error) or type(error).__name__
