"""Who may ask the HTTP server: the names under which it is asked, users, tokens, and how often one may be wrong."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

Verdict = Literal["allowed", "credentials", "guessing"]

_REALM = "geospace-monitor"
# Wrong ones at once, and again each second: a scrape that is set up badly stays below, a search for a password does not.
_GUESSES = 10.0
_GUESSES_A_SECOND = 1.0
_ADDRESSES = 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client may show; either is enough.

    Attributes
    ----------
    username : str or None
    password, token : callable or None
        Give the secret as it is now.
    """

    username: str | None = None
    password: Callable[[], str] | None = None
    token: Callable[[], str] | None = None

    @property
    def challenges(self) -> list[str]:
        """Values of `WWW-Authenticate`."""
        basic = [f'Basic realm="{_REALM}", charset="UTF-8"'] if self.password is not None else []
        return basic + ([f'Bearer realm="{_REALM}"'] if self.token is not None else [])

    def accept(self, authorization: str) -> bool:
        """Whether the value of an `Authorization` header is right. How wrong it is takes no less time."""
        scheme, _, shown = authorization.strip().partition(" ")
        shown = shown.strip()
        if scheme.lower() == "bearer" and self.token is not None:
            return _same(shown.encode("utf-8", "surrogateescape"), self.token())
        if scheme.lower() == "basic" and self.password is not None:
            return _same(_decoded(shown), f"{self.username}:{self.password()}")
        return False


class Access:
    """Decides on each request whether it may be answered; looks at no more credentials of one that guesses.

    Parameters
    ----------
    credentials : Credentials
    """

    def __init__(self, credentials: Credentials) -> None:
        self.challenges = credentials.challenges
        self._credentials = credentials
        self._left: dict[str, tuple[float, float]] = {}

    def judge(self, authorization: str | None, group: str) -> Verdict:
        """The verdict on a request of an address (or network) with this `Authorization`, None where it has none."""
        if authorization is None:
            return "credentials"
        now_s = time.monotonic()
        left, at_s = self._left.get(group, (_GUESSES, now_s))
        left = min(_GUESSES, left + (now_s - at_s) * _GUESSES_A_SECOND)
        if left < 1.0:
            return "guessing"
        if self._credentials.accept(authorization):
            return "allowed"
        self._left.pop(group, None)
        self._left[group] = (left - 1.0, now_s)
        if len(self._left) > _ADDRESSES:
            del self._left[next(iter(self._left))]
        return "credentials"


def is_own_name(host: str, names: frozenset[str]) -> bool:
    """Whether the value of a `Host` header is an address, a name of this machine to itself, or one of `names`.

    A page on the web can have its own name point to this machine, and then read what is served here as if it were its
    own; it cannot have an address for a name.
    """
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    name = name.removesuffix(".")
    if name in names or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _decoded(shown: str) -> bytes:
    try:
        return base64.b64decode(shown, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _same(shown: bytes, secret: str) -> bool:
    """Whether they are equal; how far they are, and how long the secret is, cannot be told from the time."""
    return hmac.compare_digest(hashlib.sha256(shown).digest(), hashlib.sha256(secret.encode()).digest())
