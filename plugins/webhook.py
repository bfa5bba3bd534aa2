"""Events, and what else is wanted, to a URL of somebody who writes no MQTT."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from monitor import plugins
from monitor.config.schema import FilePath, PositiveSeconds, Seconds, Text
from monitor.config.secrets import SecretFile
from monitor.plugins import StoredProduct, Surroundings

from .posting import MAXIMUM_SECRET_BYTES, Answer, HttpUrl, Poster, ReceiverAway

logger = logging.getLogger(__name__)

SIGNATURE: Final = "X-Geospace-Signature"
TOPIC: Final = "X-Geospace-Topic"
_MEDIA: Final = {"event": "application/geo+json"}


class Webhook:
    """Posts events (or other kinds of products) as JSON to a URL, signed, in order for each subject.

    What the receiver takes (2xx) is done. While it is away or asks to wait, everything waits, and nothing is lost. A
    product that it refuses (3xx, 4xx) is tried again for `patience_s` and then left behind, by name in the log: what is
    behind it must not wait for ever. Once one was left behind, others that are refused are too, at once, until
    something is taken again.
    """

    class Options(plugins.Options):
        """See the reference of plugins."""

        url: HttpUrl
        secret_file: Text | None = None
        kinds: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] = ("event",)
        timeout_s: PositiveSeconds = 10.0
        patience_s: Seconds = 600.0
        connections: Annotated[int, Field(ge=1, le=64)] = 4
        ca_file: FilePath | None = None

    def __init__(self, options: Webhook.Options, surroundings: Surroundings) -> None:
        self._options = options
        self._name = surroundings.name
        self._root = surroundings.root
        key = f"plugins.{surroundings.name}"
        self._key = key
        self._poster = Poster(
            options.url,
            key,
            timeout_s=options.timeout_s,
            ca_file=options.ca_file,
            connections=options.connections,
        )
        self._secret: SecretFile | None = None
        # Of the products that come again: those that the receiver has, and when it first refused one (monotonic, s).
        self._done: set[int] = set()
        self._refused_since: dict[int, float] = {}
        self._out_of_patience = False
        self.left_behind = 0
        """How many products the receiver would not take."""

    @property
    def kinds(self) -> frozenset[str]:
        """Those of the options."""
        return frozenset(self._options.kinds)

    async def open(self) -> None:
        """Get ready. Raises ConfigurationError where the secret or the authority cannot be read."""
        if self._options.secret_file is not None:
            self._secret = SecretFile(
                self._options.secret_file, f"{self._key}.secret_file", MAXIMUM_SECRET_BYTES
            )
        await self._poster.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()

    async def write(self, products: Sequence[StoredProduct]) -> None:
        """Post products: those of a subject one after the other, those of several at the same time.

        Raises ReceiverAway where some must come again; of these, what the receiver has is not posted again.
        """
        by_subject: dict[str, list[StoredProduct]] = {}
        for product in products:
            # A subject that was removed has no object to post.
            if product.payload and product.row not in self._done:
                by_subject.setdefault(product.topic, []).append(product)
        outcomes = await asyncio.gather(*map(self._post_all, by_subject.values()), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        self._done.clear()
        self._refused_since.clear()

    async def _post_all(self, products: Sequence[StoredProduct]) -> None:
        for product in products:
            answer = await self._poster.post(self._options.url, product.payload, self._headers(product))
            if answer.taken:
                self._out_of_patience = False
            else:
                self._refuse(product, answer)
            self._done.add(product.row)

    def _refuse(self, product: StoredProduct, answer: Answer) -> None:
        """Raise ReceiverAway while there is patience; else say what is left behind."""
        now = time.monotonic()
        since = self._refused_since.setdefault(product.row, now)
        if now - since < self._options.patience_s and not self._out_of_patience:
            raise ReceiverAway(f"{self._options.url} refuses {product.topic}: {answer}")
        self._out_of_patience = True
        self.left_behind += 1
        logger.error(
            "%s: %s refuses %s (%s): %s; it is left behind, and stays in the store",
            self._name,
            self._options.url,
            product.topic,
            idempotency_key(product),
            answer,
        )

    def _headers(self, product: StoredProduct) -> dict[str, str]:
        headers = {
            "Content-Type": _MEDIA.get(product.kind, "application/json"),
            "Idempotency-Key": idempotency_key(product),
            TOPIC: f"{self._root}/{product.topic}",
            "User-Agent": "geospace-monitor",
        }
        if self._secret is not None:
            secret = self._secret.value().get_secret_value()
            headers[SIGNATURE] = signature(secret, int(time.time()), product.payload)
        return headers


def idempotency_key(product: StoredProduct) -> str:
    """The id that the product carries: the same wherever it comes twice."""
    try:
        found = json.loads(product.payload)["id"]
    except (ValueError, KeyError, TypeError):
        found = None
    # A header is one line of ASCII.
    if isinstance(found, str) and found.isascii() and found.isprintable():
        return found
    return hashlib.sha256(product.payload).hexdigest()


def signature(secret: str, time_s: int, body: bytes) -> str:
    """`t=TIME,v1=HEX`: HMAC-SHA256 over `TIME.BODY`, so that neither can be changed and an old one can be refused.

    Parameters
    ----------
    secret : str
    time_s : int
        When it is signed, seconds since 1970.
    body : bytes
    """
    digest = hmac.new(secret.encode(), b"%d." % time_s + body, hashlib.sha256).hexdigest()
    return f"t={time_s},v1={digest}"
