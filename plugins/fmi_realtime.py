"""A source of FMI's real-time text files of the IMAGE magnetometers: `…/UT/<STN>/<STN>data_01.txt`, every 10 s.

A file has the last hour (`_01`) or the last day (`_24`), and is written anew every minute: two lines of header, then
`YYYY MM DD HH MM SS X Y Z` in nT, geographic; 99999.9 is missing. The hour is asked for, and the day where more than
an hour is missing. Values that FMI corrects come again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from pydantic import AfterValidator, Field

from monitor import plugins
from monitor.decoders.base import AHEAD_NS, EARLIEST_NS, GROUND_LIMITS, station_code
from monitor.errors import MonitorError
from monitor.io.files import SourceSeries, interleave
from monitor.plugins import Feed, Surroundings
from monitor.types import SECOND_NS, FloatArray, IntArray

from .fetching import Fetcher, FetchError, Manners, Stamp, fault_of_url

log = logging.getLogger(__name__)

STEP_NS: Final = 10 * SECOND_NS
COMPONENTS: Final = ("X", "Y", "Z")
_MISSING_nT: Final = 88_888.0
"""From here on a size says that there is no value: 99999.9, 99999.0 and 88888."""
_HOUR_NS: Final = 3600 * SECOND_NS
_DAY_NS: Final = 24 * _HOUR_NS
_ROW: Final = re.compile(
    r"([0-9]{4}) ([0-9]{2}) ([0-9]{2}) ([0-9]{2}) ([0-9]{2}) ([0-9]{2})((?:\s+[-+]?[0-9]+(?:\.[0-9]*)?){3})\s*"
)
_LATEST_NS: Final = 1 << 62
_LARGEST_BYTES: Final = 8 << 20
_LONGEST_PAUSE_S: Final = 1800.0
_DAY_PAUSE_S: Final = 600.0
"""The file of a day is asked for no more often than this."""


class FmiError(MonitorError):
    """A file that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rising times (ns UTC, n), values (3, n) with NaN for what is missing, and how many lines could not be used."""

    times_ns: IntArray
    values: FloatArray
    refused: int


def read_rows(body: bytes, where: str) -> Rows:
    """Read a file; a last line without its end is left out. Raises FmiError where most lines are unusable."""
    text, end, _ = body.rpartition(b"\n")
    found: dict[int, tuple[float, float, float]] = {}
    refused, example = 0, ""
    for line in text.decode("utf-8", errors="replace").split("\n") if end else ():
        if not line[:1].isdigit():
            # Headers are words and dashes; so is a page that is no file, of which then nothing is left.
            continue
        row = _row(line)
        if row is None:
            refused += 1
            example = example or line[:60]
        else:
            found[row[0]] = row[1]
    if not found or refused > len(found):
        shown = f"{example!r}" if example else f"{body[:60]!r}"
        raise FmiError(f"{where}: is no file of YYYY MM DD HH MM SS X Y Z: {shown}")
    times = np.array(sorted(found), dtype=np.int64)
    values = np.array([found[one] for one in times.tolist()]).T
    return Rows(times, np.where(np.abs(values) >= _MISSING_nT, np.nan, values), refused)


def _row(line: str) -> tuple[int, tuple[float, float, float]] | None:
    match = _ROW.fullmatch(line)
    if match is None:
        return None
    year, month, day, hour, minute, second, numbers = match.groups()
    try:
        at = np.datetime64(f"{year}-{month}-{day}T{hour}:{minute}:{second}", "s")
    except ValueError:
        return None
    x, y, z = (float(one) for one in numbers.split())
    time_ns = int(at.astype(np.int64)) * SECOND_NS
    if time_ns % STEP_NS or not EARLIEST_NS <= time_ns < _LATEST_NS:
        return None
    return time_ns, (x, y, z)


def _url(text: str) -> str:
    fault = fault_of_url(text.replace("{station}", "X").replace("{hours}", "01"))
    if fault is not None:
        raise ValueError(f"found {text.rpartition('@')[2][:120]!r}: {fault}")
    if "{station}" not in text or "{hours}" not in text:
        raise ValueError(f"found {text[:120]!r}; {{station}} and {{hours}} (01 or 24) must be in it")
    return text


def _station(text: str) -> str:
    code = station_code(text)
    if code is None:
        raise ValueError(f"found station {text[:40]!r}; a code is 2 to 8 letters or digits, such as TAR")
    return code


class _Station:
    """What is known of one station's files."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.stamp = Stamp()
        self.said = ""
        self.day_s = -_DAY_PAUSE_S
        self._known: dict[int, tuple[float, ...]] = {}

    def changed(self, rows: Rows, until_ns: int) -> list[SourceSeries]:
        """What the rows have that was not handed over so, as series without gaps in time."""
        values = np.where(np.abs(rows.values) > GROUND_LIMITS["X"][1], np.nan, rows.values)
        there = ~np.isnan(values).all(axis=0) & (rows.times_ns < until_ns)
        columns = [tuple(column) for column in values.T.tolist()]
        new = [
            place
            for place, at in enumerate(rows.times_ns.tolist())
            if there[place] and repr(self._known.get(at)) != repr(columns[place])
        ]
        places = np.array(new, dtype=np.int64)
        series = []
        for part in np.split(places, np.flatnonzero(np.diff(rows.times_ns[places]) != STEP_NS) + 1):
            if part.size:
                t0_ns = int(rows.times_ns[part[0]])
                series.append(SourceSeries(self.code, COMPONENTS, t0_ns, STEP_NS, values[:, part], self.code))
        return series

    def taken(self, series: Sequence[SourceSeries]) -> None:
        """These are stored."""
        for one in series:
            for place, column in enumerate(one.values.T.tolist()):
                self._known[one.t0_ns + place * STEP_NS] = tuple(column)
        oldest_ns = max(self._known, default=0) - _DAY_NS - _HOUR_NS
        self._known = {at: one for at, one in self._known.items() if at >= oldest_ns}


class FmiRealtime:
    """Takes the magnetometers of Finland and Estonia from FMI's real-time text files, every 10 s.

    Parameters
    ----------
    options : FmiRealtime.Options
    surroundings : Surroundings
    """

    class Options(plugins.Options):
        """Which stations, and how they are asked for."""

        stations: Annotated[
            list[Annotated[str, AfterValidator(_station)]], Field(min_length=1, max_length=100)
        ]
        """Codes of the stations, as FMI has them."""
        url: Annotated[str, AfterValidator(_url)] = (
            "https://space.fmi.fi/image/realtime/UT/{station}/{station}data_{hours}.txt"
        )
        """Address of a file; `{hours}` is `01` or `24`."""
        poll_s: Annotated[float, Field(ge=0.1, le=3600)] = 60.0
        """From one round to the next; FMI writes the files every minute."""
        requests_per_minute: Annotated[float, Field(gt=0, le=6000)] = 60.0
        """Never more than these."""
        timeout_s: Annotated[float, Field(ge=1, le=600)] = 30.0
        """Of one request."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._piece_ns = max(STEP_NS, round(surroundings.lateness_s * SECOND_NS / 2))
        self._horizon_ns = min(round(surroundings.revise_s * SECOND_NS), _DAY_NS)

    async def run(self, feed: Feed) -> None:
        """Ask for what is new until cancelled."""
        options = self._options
        stations = [_Station(code) for code in dict.fromkeys(options.stations)]
        failures = 0
        async with Fetcher(
            Manners(options.requests_per_minute, options.timeout_s, _LARGEST_BYTES)
        ) as fetcher:
            while True:
                failures = 0 if await self._round(feed, fetcher, stations) else failures + 1
                pause_s = options.poll_s * 2.0 ** min(failures, 10)
                await asyncio.sleep(min(pause_s, max(options.poll_s, _LONGEST_PAUSE_S)))

    async def _round(self, feed: Feed, fetcher: Fetcher, stations: Sequence[_Station]) -> bool:
        """Ask for each station; return whether any answered."""
        answered = False
        found: dict[str, list[SourceSeries]] = {}
        for one in stations:
            try:
                found[one.code] = await self._news(feed, fetcher, one)
                answered = True
                if one.said:
                    log.info("%s answers again", self._address(one, "01"))
                    one.said = ""
            except (FetchError, FmiError) as error:
                if str(error) != one.said:
                    one.said = str(error)
                    log.warning("%s; it is asked again", error)
        series = [part for parts in found.values() for part in parts]
        if series:
            # No position: after a restart the last hour comes again, and the day where the store lacks more.
            await feed.take(list(interleave(series, self._piece_ns)))
            for one in stations:
                one.taken(found.get(one.code, []))
        return answered

    async def _news(self, feed: Feed, fetcher: Fetcher, station: _Station) -> list[SourceSeries]:
        """What a station's files have that is new. Raises FetchError, FmiError."""
        answer = await fetcher.get(self._address(station, "01"), None, station.stamp)
        if answer.body is None:
            return []
        rows = await asyncio.to_thread(read_rows, answer.body, self._address(station, "01"))
        if rows.refused:
            log.warning("%s: %s lines cannot be used", self._address(station, "01"), rows.refused)
        begin_ns = int(rows.times_ns[0])
        if await self._is_missing_before(feed, station, begin_ns) and self._may_ask_for_day(station):
            station.day_s = time.monotonic()
            day = await fetcher.get(self._address(station, "24"))
            if day.body is not None:
                rows = _joined(
                    await asyncio.to_thread(read_rows, day.body, self._address(station, "24")), rows
                )
        station.stamp = answer.stamp
        return station.changed(rows, time.time_ns() + AHEAD_NS)

    async def _is_missing_before(self, feed: Feed, station: _Station, begin_ns: int) -> bool:
        """Whether the store lacks what the file of a day may have, and can still change a product."""
        newest_ns = feed.newest_ns(station.code)
        if newest_ns is None:
            return True
        oldest_ns = max(begin_ns - _DAY_NS + _HOUR_NS, newest_ns - self._horizon_ns)
        gaps = await feed.gaps(station.code, oldest_ns, begin_ns)
        return any(end - begin >= 2 * STEP_NS for begin, end in gaps)

    def _may_ask_for_day(self, station: _Station) -> bool:
        # A hole that FMI has too stays: the longer it was asked for, the less often it is.
        return time.monotonic() - station.day_s >= _DAY_PAUSE_S

    def _address(self, station: _Station, hours: str) -> str:
        return self._options.url.format(station=station.code, hours=hours)


def _joined(day: Rows, hour: Rows) -> Rows:
    """The day, and the hour where it has more."""
    values = dict(zip(day.times_ns.tolist(), day.values.T.tolist(), strict=True))
    values |= dict(zip(hour.times_ns.tolist(), hour.values.T.tolist(), strict=True))
    times = np.array(sorted(values), dtype=np.int64)
    return Rows(times, np.array([values[at] for at in times.tolist()]).T, day.refused + hour.refused)
