"""The sink `influx`: batches of points to an InfluxDB of either version."""

from __future__ import annotations

import gzip
import logging
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from monitor.config.secrets import SecretFile
from monitor.errors import MonitorError
from monitor.plugins import StoredProduct, Surroundings

from ..posting import MAXIMUM_SECRET_BYTES, Answer, Poster
from .api import InfluxOptions, deletions, write_url
from .lines import Point, points

logger = logging.getLogger(__name__)

_REFUSED_POINTS: Final = frozenset({400, 413, 422})
"""What says that the points are at fault, and not we."""


class InfluxRefusalError(MonitorError):
    """The database does not let us write; whoever runs it has to change that, and nothing is lost meanwhile."""


class Influx:
    """Writes labels, densities, plasmapauses and regions to InfluxDB, version 1 or 2, as line protocol.

    The points are in `monitor_plugins.influx.lines`. A field cannot be taken back by writing: so before a revision,
    what was there of its point is deleted, and what is null now is not there any more.

    A batch that is refused for what is in it is halved until the points at fault stand alone; these are left behind,
    by name in the log. All else that is refused (no such database, no rights) waits.
    """

    Options = InfluxOptions

    def __init__(self, options: InfluxOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._name = surroundings.name
        self._key = f"plugins.{surroundings.name}"
        self._poster = Poster(
            options.url,
            self._key,
            timeout_s=options.timeout_s,
            ca_file=options.ca_file,
            connections=1,
        )
        self._token: SecretFile | None = None
        self.left_behind = 0
        """How many points the database would not take."""

    @property
    def kinds(self) -> frozenset[str]:
        """Those of the options."""
        return frozenset(self._options.kinds)

    async def open(self) -> None:
        """Get ready. Raises ConfigurationError where the token or the authority cannot be read."""
        if self._options.token_file is not None:
            self._token = SecretFile(
                self._options.token_file, f"{self._key}.token_file", MAXIMUM_SECRET_BYTES
            )
        await self._poster.open()

    async def close(self) -> None:
        """Close the connection."""
        await self._poster.close()

    async def write(self, products: Sequence[StoredProduct]) -> None:
        """Write the points of products, in their order. Raises ReceiverAway or InfluxRefusalError."""
        for run in self._runs(products):
            stale = [point for point in run if point.replaces] if self._options.delete_revised else []
            for url, body, headers in deletions(self._options, stale):
                answer = await self._post(url, body, headers)
                # Version 1 answers 200 to a statement that it refuses, and says so in the text.
                if not answer.taken or '"error"' in answer.text:
                    raise InfluxRefusalError(
                        f"{self._options.url}: will not delete what is revised ({answer}); "
                        "grant that right, or set delete_revised: false"
                    )
            await self._write([point.line for point in run])

    def _runs(self, products: Sequence[StoredProduct]) -> Iterator[list[Point]]:
        """Points in batches; in none of them two of one place, so that the last word is the later one."""
        run: dict[tuple[object, ...], Point] = {}
        for product in products:
            for point in points(product, self._options.prefix):
                run[point.measurement, point.tags, point.time_ns] = point
                if len(run) == self._options.batch_points:
                    yield list(run.values())
                    run = {}
        if run:
            yield list(run.values())

    async def _write(self, lines: Sequence[str]) -> None:
        body = gzip.compress("\n".join(lines).encode(), 6, mtime=0)
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
        answer = await self._post(write_url(self._options), body, headers)
        if answer.taken:
            return
        if answer.status not in _REFUSED_POINTS:
            raise InfluxRefusalError(f"{self._options.url}: answers {answer}")
        if len(lines) > 1:
            middle = len(lines) // 2
            await self._write(lines[:middle])
            await self._write(lines[middle:])
        else:
            self.left_behind += 1
            logger.error("%s: %s refuses %.200s: %s", self._name, self._options.url, lines[0], answer)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return await self._poster.post(url, body, {**headers, **self._authorization()})

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            return {}
        secret = self._token.value().get_secret_value()
        if self._options.username is None:
            return {"Authorization": f"Token {secret}"}
        pair = b64encode(f"{self._options.username}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
