"""One dataset of a server: what is known of it, how far it has been read, and how a stretch of it is fetched."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Sequence
from typing import Final

from monitor.decoders.base import AHEAD_NS
from monitor.errors import ArchiveError, MonitorError
from monitor.io.files import SourceSeries
from monitor.types import CELL_NS, SECOND_NS, Domain, iso_time

from ..fetching import Fetcher, FetchError, Stamp
from .options import FeedOptions, HapiOptions
from .protocol import (
    NO_DATA,
    OUT_OF_RANGE,
    TOO_MUCH,
    HapiError,
    Info,
    Records,
    read_binary,
    read_csv,
    read_info,
    status_of,
)
from .samples import MARGIN_NS, Plan, plan_of, series_of, settled_ns

log = logging.getLogger(__name__)

SHORTEST_NS: Final = 60 * SECOND_NS
"""Below this a server that says "too much" is believed no more."""
_NOTE_S: Final = 3600.0
_NUMBER: Final = re.compile(r"[0-9]+")
LONGEST_EMPTY_NS: Final = 10 * 86_400 * SECOND_NS
"""Where there is nothing, longer and longer stretches are asked for, up to this."""


class Server:
    """What is known of a server: its version, and the forms it offers."""

    def __init__(self, options: HapiOptions, fetcher: Fetcher) -> None:
        self.url = options.url
        self._fetcher = fetcher
        self._wants_binary = options.format == "binary"
        self.major = 0
        self.binary = False

    async def learn(self) -> None:
        """Ask for its capabilities, once. Raises FetchError, HapiError."""
        if self.major:
            return
        answer = await self._fetcher.get(f"{self.url}/capabilities")
        try:
            document = json.loads(answer.body or b"")
            major = int(str(document["HAPI"]).partition(".")[0])
            formats = [str(one) for one in document.get("outputFormats", [])]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            reason = f"does not answer as a HAPI server: {(answer.body or b'')[:60]!r}"
            raise HapiError(self.url, reason) from None
        self.binary = self._wants_binary and "binary" in formats
        if self._wants_binary and not self.binary:
            log.warning("%s offers %s: data come as csv", self.url, ", ".join(formats) or "no formats")
        self.major = major

    async def info(self, dataset: str, stamp: Stamp) -> tuple[bytes | None, Stamp]:
        """The answer of `info`, None where it has not changed. Raises FetchError, HapiError."""
        name = "dataset" if self.major >= 3 else "id"
        return await self._get("info", {name: dataset}, stamp)

    async def data(self, dataset: str, parameters: Sequence[str], begin_ns: int, end_ns: int) -> bytes:
        """The records of [begin, end). Raises FetchError, HapiError."""
        names = ("dataset", "start", "stop") if self.major >= 3 else ("id", "time.min", "time.max")
        stretch = (dataset, iso_time(begin_ns), iso_time(end_ns))
        query = dict(zip(names, stretch, strict=True))
        query["parameters"] = ",".join(parameters)
        query["format"] = "binary" if self.binary else "csv"
        body, _ = await self._get("data", query, Stamp())
        return body or b""

    async def _get(self, endpoint: str, query: dict[str, str], stamp: Stamp) -> tuple[bytes | None, Stamp]:
        try:
            answer = await self._fetcher.get(f"{self.url}/{endpoint}", query, stamp)
        except FetchError as error:
            code, message = status_of(error.body)
            if code == NO_DATA:
                return b"", Stamp()
            if code and not error.transient:
                raise HapiError(f"{self.url}/{endpoint}", f"says {code}: {message}", code) from None
            raise
        return answer.body, answer.stamp


class Dataset:
    """A feed, with what its server says of it and how far it has been read.

    Attributes
    ----------
    to_ns : int or None
        Up to here everything has been handed over; None before the first round.
    scan_ns : int
        Up to here the server has been asked in this round.
    """

    def __init__(self, feed: FeedOptions, options: HapiOptions, server: Server) -> None:
        self.feed = feed
        self.key = feed.key
        self.subject = feed.subject
        self.domain = Domain.GROUND if feed.craft is None else Domain.CRAFT
        self.where = f"{options.url} {feed.dataset_id}"
        self._server = server
        self._usual_ns = self._span_ns = round(options.request_s * SECOND_NS)
        self._stamp = Stamp()
        self._said = ""
        self._told: dict[str, float] = {}
        self.info: Info | None = None
        self.plan: Plan | None = None
        self.to_ns: int | None = None
        self.scan_ns = 0
        self.until_ns = 0
        self.refusals = 0
        self._last_ns = 0
        self._told_ns = 0
        self._strict = False
        self._step_ns: int | None = None
        self._seen: tuple[str | None, int | None] | None = None

    @property
    def dataset(self) -> str:
        """Its id on the server."""
        return str(self.feed.dataset_id)

    async def learn(self, now_ns: int) -> None:
        """Ask the server what it says of the dataset now. Raises FetchError, HapiError."""
        body, stamp = await self._server.info(self.dataset, self._stamp)
        if body is not None:
            info = read_info(body, self.where)
            self.plan = plan_of(self.feed, info, self.where)
            self.info, self._stamp = info, stamp
            if info.longest_ns is not None:
                self._usual_ns = self._span_ns = max(min(self._usual_ns, info.longest_ns), SHORTEST_NS)
        assert self.info is not None
        self.until_ns = now_ns + AHEAD_NS
        if self.info.stop_ns is not None:
            step_ns = self.info.cadence_ns or SECOND_NS
            # What the specification calls the last record: the end that a request names is not part of it.
            self.until_ns = min(self.until_ns, self.info.stop_ns + max(step_ns, SECOND_NS))

    @property
    def components(self) -> tuple[str, ...]:
        """Whose gaps are its own: of a spacecraft its quantities; of a station any, as one feed may send H, another X and Y."""
        return () if self.plan is None or self.domain is Domain.GROUND else self.plan.components

    @property
    def is_unchanged(self) -> bool:
        """Whether the server says that all is as it was when it was last read to its end."""
        info = self.info
        return info is not None and info.modified is not None and self._seen == (info.modified, info.stop_ns)

    def reached(self, series: Sequence[SourceSeries], end_ns: int, *, at_edge: bool) -> None:
        """A stretch up to `end_ns` has been read."""
        self.scan_ns = end_ns
        if series and not at_edge:
            self.to_ns = end_ns
        elif series:
            # After the last sample there may be more to come; cells that it may still change come again then.
            last_ns = max(one.end_ns for one in series)
            self.to_ns = last_ns if self.domain is Domain.GROUND else min(last_ns, settled_ns(self._last_ns))
        if (
            at_edge
            and self.info is not None
            and (self.domain is Domain.GROUND or self._told_ns == self._last_ns)
        ):
            self._seen = (self.info.modified, self.info.stop_ns)

    def next_stretch(self) -> int:
        """Where the next request of this round ends."""
        end_ns = min(self.scan_ns + self._span_ns, self.until_ns)
        if self.domain is Domain.GROUND or end_ns == self.until_ns:
            return end_ns
        # Whole cells, so that none is cut.
        return end_ns // CELL_NS * CELL_NS

    async def fetch(self, begin_ns: int, end_ns: int, *, at_edge: bool) -> list[SourceSeries]:
        """Samples that begin in [begin, end). Raises FetchError, HapiError, ArchiveError.

        `at_edge`: more may come at the end of it.
        """
        assert self.info is not None
        assert self.plan is not None
        margin_ns = MARGIN_NS if self.domain is Domain.CRAFT else 0
        try:
            body = await self._body(begin_ns - margin_ns, end_ns + margin_ns)
        except HapiError as error:
            if error.code == TOO_MUCH and self._usual_ns > SHORTEST_NS:
                self._usual_ns = self._span_ns = max(self._usual_ns // 2, SHORTEST_NS)
            raise HapiError(self.where, str(error).partition(": ")[2], error.code) from None
        # A round of fast data is some ten thousand lines: not on the loop.
        series, notes = await asyncio.to_thread(self._read, body, begin_ns, end_ns, at_edge)
        self._tell(notes)
        return series

    async def _body(self, begin_ns: int, end_ns: int) -> bytes:
        """The records of [begin, end), as far as the dataset goes. Raises FetchError, HapiError."""
        assert self.info is not None
        assert self.plan is not None
        names = [one.name for one in self.plan.parameters]
        begin_ns = max(begin_ns, self.info.start_ns or begin_ns)
        stop_ns = self.info.stop_ns
        if self._strict and stop_ns is not None:
            end_ns = min(end_ns, stop_ns)
        if end_ns <= begin_ns:
            return b""
        try:
            return await self._server.data(self.dataset, names, begin_ns, end_ns)
        except HapiError as error:
            if error.code != OUT_OF_RANGE or stop_ns is None or not begin_ns < stop_ns < end_ns:
                raise
        # A server that lets nobody ask beyond its last record keeps that one to itself until there is another.
        self._strict = True
        return await self._server.data(self.dataset, names, begin_ns, stop_ns)

    def _read(
        self, body: bytes, begin_ns: int, end_ns: int, at_edge: bool
    ) -> tuple[list[SourceSeries], list[str]]:
        assert self.info is not None
        assert self.plan is not None
        records = self._records(body, self.plan, self.info)
        last_ns = int(records.times_ns.max()) if records.times_ns.size else 0
        # What was last there at the last round too: nothing more comes to its cells, so they go out as they are, once.
        complete = not at_edge or last_ns == self._last_ns != self._told_ns
        if at_edge and last_ns:
            self._told_ns = last_ns if last_ns == self._last_ns else self._told_ns
            self._last_ns = last_ns
        series, notes = series_of(
            self.feed,
            self.plan,
            records,
            begin_ns,
            end_ns,
            steps_ns=[one for one in (self._step_ns, self.info.cadence_ns) if one is not None],
            complete=complete,
            where=self.where,
        )
        if series and self.domain is Domain.GROUND:
            self._step_ns = series[-1].step_ns
        return series, notes

    def _records(self, body: bytes, plan: Plan, info: Info) -> Records:
        if self._server.binary:
            return read_binary(body, info.parameters[0], plan.parameters, self.where)
        return read_csv(body, plan.width, self.where)

    def hold_back(self, time_ns: int) -> None:
        """What comes after a time is not handed over yet: it is asked for again."""
        self.to_ns, self._seen = time_ns, None

    def found(self, *, anything: bool) -> None:
        """A stretch was fetched: where there is nothing, the next one is longer."""
        self.refusals = 0
        longest_ns = LONGEST_EMPTY_NS
        if self.info is not None and self.info.longest_ns is not None:
            longest_ns = max(self.info.longest_ns, SHORTEST_NS)
        self._span_ns = self._usual_ns if anything else min(2 * self._span_ns, longest_ns)

    def complain(self, error: MonitorError) -> None:
        """Say what is wrong, once for as long as it stays so."""
        text = str(error)
        if text != self._said:
            self._said = text
            where = "" if self.where in text else f"{self.where}: "
            log.warning("%s%s; it is asked again", where, text)

    def works(self) -> None:
        """It answers as it should."""
        if self._said:
            self._said = ""
            log.info("%s answers again", self.where)

    def _tell(self, notes: Sequence[str]) -> None:
        """Say what was left out, of each kind once an hour: the numbers in it change from round to round."""
        for note in notes:
            kind, now = _NUMBER.sub("#", note), time.monotonic()
            if now >= self._told.get(kind, now):
                self._told = {kind: now + _NOTE_S, **{k: at for k, at in self._told.items() if k != kind}}
                log.warning("%s: %s", self.where, note)


REFUSALS = (FetchError, HapiError, ArchiveError)
"""What may go wrong with one dataset and leaves the others alone."""
