"""The source `hapi`: polls a HAPI server, keeps its datasets side by side, and fills gaps.

::

    info → what is new? → a stretch of every dataset → side by side in time → the daemon
    gaps in the store → asked for again, less and less often → the daemon, which revises
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.config.secrets import SecretFile
from monitor.decoders.base import EARLIEST_NS, parse_time_ns
from monitor.io.files import SourceSeries, interleave
from monitor.io.files.series import clipped
from monitor.plugins import Feed, Surroundings
from monitor.types import CELL_NS, SECOND_NS, Domain, Json, SampleBlock, iso_time

from ..backfill import Attempts, Gap, Patience
from ..fetching import Fetcher, FetchError, Manners
from .dataset import REFUSALS, Dataset, Server
from .options import HapiOptions
from .protocol import TOO_MUCH, HapiError

log = logging.getLogger(__name__)

_VERSION: Final = 1
_BLOCKS: Final = 256
"""Blocks of one delivery."""
_REFUSALS: Final = 5
"""So often a stretch is asked for that cannot be read; then it is left out, and is a gap."""
_LONGEST_PAUSE_S: Final = 3600.0
_PASSWORD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class _Horizon:
    """How far back from a source's clock samples can still change a product, and the longest piece of one delivery."""

    revise_ns: int
    piece_ns: int


class Hapi:
    """Polls a HAPI server for datasets of stations and spacecraft, and asks it again for what is missing.

    Parameters
    ----------
    options : HapiOptions
    surroundings : Surroundings
    """

    Options = HapiOptions

    def __init__(self, options: HapiOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._credentials = None
        if options.username is not None and options.password_file is not None:
            key = f"plugins.{surroundings.name}.password_file"
            secret = SecretFile(options.password_file, key, _PASSWORD_BYTES)
            user = options.username
            self._credentials = lambda: (user, secret.value().get_secret_value())
        self._horizons = {
            Domain.GROUND: _horizon(surroundings.revise_s, surroundings.lateness_s),
            Domain.CRAFT: _horizon(surroundings.craft_revise_s, surroundings.craft_lateness_s),
        }
        self._patience = Patience(options.gap_attempts, options.gap_retry_s)
        self._attempts = Attempts(self._patience)

    async def run(self, feed: Feed) -> None:
        """Poll until cancelled."""
        options = self._options
        manners = Manners(
            options.requests_per_minute, options.timeout_s, options.maximum_bytes, options.ca_file
        )
        async with Fetcher(manners, self._credentials) as fetcher:
            server = Server(options, fetcher)
            datasets = [Dataset(one, options, server) for one in options.feeds]
            # Begun again after a failure, what was not stored counts as not asked for.
            self._attempts = Attempts(self._patience)
            self._take_up(feed.position, datasets)
            failures = 0
            while True:
                answered = await self._round(feed, server, datasets)
                failures = 0 if answered else failures + 1
                pause_s = options.poll_s * 2.0 ** min(failures, 10)
                await asyncio.sleep(min(pause_s, max(options.poll_s, _LONGEST_PAUSE_S)))

    async def _round(self, feed: Feed, server: Server, datasets: Sequence[Dataset]) -> bool:
        """Ask for all that is new and for what is missing; return whether the server answered at all."""
        try:
            await server.learn()
        except (FetchError, HapiError) as error:
            datasets[0].complain(error)
            return False
        answering = [one for one in datasets if await _learnt(one)]
        live = [one for one in answering if one.feed.role == "live"]
        for one in live:
            self._begin(one, feed)
        await self._advance(feed, datasets, live)
        await self._fill(feed, datasets, answering)
        return bool(answering)

    # -- what is new ------------------------------------------------------------------------------------------

    def _begin(self, dataset: Dataset, feed: Feed) -> None:
        """Where this round begins: where the last one ended, in this run or an earlier one."""
        options, info = self._options, dataset.info
        assert info is not None
        if dataset.to_ns is None:
            begin_ns = dataset.until_ns - round(options.look_back_s * SECOND_NS)
            if options.start is not None:
                begin_ns = parse_time_ns(options.start)
            newest_ns = feed.newest_ns(dataset.subject)
            if newest_ns is not None:
                # Stored by an earlier run that knew another name for it, or by another feed.
                begin_ns = max(begin_ns, min(newest_ns, dataset.until_ns))
            dataset.to_ns = max(begin_ns, info.start_ns or EARLIEST_NS, EARLIEST_NS) // CELL_NS * CELL_NS
        oldest_ns = dataset.until_ns - round(options.catch_up_s * SECOND_NS)
        if dataset.to_ns < oldest_ns and dataset.to_ns + SECOND_NS < dataset.until_ns:
            log.warning(
                "%s: what is of before %s is left out: it was away for longer than catch_up_s",
                dataset.where,
                iso_time(oldest_ns),
            )
            dataset.to_ns = oldest_ns // CELL_NS * CELL_NS
        dataset.scan_ns = dataset.to_ns

    async def _advance(self, feed: Feed, datasets: Sequence[Dataset], live: Sequence[Dataset]) -> None:
        """Hand over what is new, stretch by stretch, so that no dataset runs ahead of the others."""
        going = [one for one in live if not one.is_unchanged]
        while going := [one for one in going if one.scan_ns < one.until_ns]:
            end_ns = min(one.next_stretch() for one in going)
            fetched: dict[str, list[SourceSeries]] = {}
            for one in [one for one in going if one.scan_ns < end_ns]:
                found = await self._stretch(one, min(end_ns, one.until_ns))
                if found is None:
                    going.remove(one)
                else:
                    fetched[one.key] = found
            series = self._held_back([one for one in live if one.key in fetched], live, fetched)
            await self._deliver(feed, datasets, series)

    async def _stretch(self, dataset: Dataset, end_ns: int) -> list[SourceSeries] | None:
        """A stretch of a dataset; None where it cannot be had in this round."""
        at_edge = end_ns >= dataset.until_ns
        try:
            series = await dataset.fetch(dataset.scan_ns, end_ns, at_edge=at_edge)
        except REFUSALS as error:
            dataset.complain(error)
            readable = isinstance(error, FetchError) or getattr(error, "code", 0) == TOO_MUCH
            dataset.refusals += not readable
            if dataset.refusals < _REFUSALS or at_edge:
                return None
            log.error("%s: %s to %s is left out", dataset.where, iso_time(dataset.scan_ns), iso_time(end_ns))
            dataset.refusals, series = 0, []
            dataset.to_ns = end_ns
        else:
            dataset.works()
            dataset.found(anything=bool(series))
        dataset.reached(series, end_ns, at_edge=at_edge)
        return series

    def _held_back(
        self, fetched: Sequence[Dataset], live: Sequence[Dataset], series: dict[str, list[SourceSeries]]
    ) -> list[SourceSeries]:
        """What goes out now: a spacecraft's field waits for its plasma a while, as both make one label."""
        out: list[SourceSeries] = []
        for one in fetched:
            found = series[one.key]
            others = [
                other for other in live if other.subject == one.subject and other.domain is Domain.CRAFT
            ]
            fronts = [other.to_ns for other in others if other.to_ns is not None]
            if len(fronts) > 1 and one.to_ns is not None:
                limit_ns = max(min(fronts), max(fronts) - round(self._options.wait_s * SECOND_NS))
                limit_ns = limit_ns // CELL_NS * CELL_NS
                if one.to_ns > limit_ns:
                    one.hold_back(limit_ns)
                    found = [
                        part for part in (clipped(part, 0, limit_ns) for part in found) if part is not None
                    ]
            out += found
        return out

    async def _deliver(self, feed: Feed, datasets: Sequence[Dataset], series: Sequence[SourceSeries]) -> None:
        """Hand over samples side by side in time, and remember how far this is."""
        blocks = list(self._pieces(series))
        position = self._position(datasets)
        while blocks:
            part, blocks = blocks[:_BLOCKS], blocks[_BLOCKS:]
            await feed.take(part, None if blocks else position)

    def _pieces(self, series: Sequence[SourceSeries]) -> Iterable[SampleBlock]:
        if not series:
            return ()
        return interleave(series, min(self._horizons[one.domain].piece_ns for one in series))

    # -- what is missing --------------------------------------------------------------------------------------

    async def _fill(self, feed: Feed, datasets: Sequence[Dataset], answering: Sequence[Dataset]) -> None:
        """Ask for the gaps that can still change a product, and hand over what is found in one delivery."""
        if not self._options.gap_attempts:
            return
        series: list[SourceSeries] = []
        asked = False
        for one in answering:
            for gap in await self._due(one, feed):
                asked = True
                series += await self._missing(one, gap)
                self._attempts.note(one.key, gap, time.time())
        if asked:
            blocks = list(self._pieces(series))
            await feed.take(blocks, self._position(datasets))

    async def _due(self, dataset: Dataset, feed: Feed) -> list[Gap]:
        newest_ns = feed.newest_ns(dataset.subject)
        if newest_ns is None or dataset.plan is None or dataset.info is None:
            return []
        begin_ns = newest_ns - self._horizons[dataset.domain].revise_ns
        begin_ns = max(begin_ns, dataset.info.start_ns or EARLIEST_NS)
        self._attempts.forget(dataset.key, begin_ns)
        if dataset.feed.role == "live":
            end_ns = min(dataset.to_ns or begin_ns, dataset.until_ns)
        else:
            # Beyond the newest sample too: the feed that should bring it may be gone for good.
            end_ns = dataset.until_ns - self._horizons[dataset.domain].piece_ns
        if end_ns <= begin_ns:
            return []
        gaps = await feed.gaps(dataset.subject, begin_ns, end_ns, dataset.components)
        step_ns = dataset.info.cadence_ns or SECOND_NS
        shortest_ns = max(round(self._options.shortest_gap_s * SECOND_NS), 2 * step_ns)
        long = [gap for gap in gaps if gap[1] - gap[0] >= shortest_ns]
        due = self._attempts.due(dataset.key, long, time.time())
        if due and due[0][0] == begin_ns and not await self._was_there(dataset, feed, begin_ns):
            # Before the first sample nothing is missing: nobody watched yet.
            return due[1:]
        return due

    async def _was_there(self, dataset: Dataset, feed: Feed, time_ns: int) -> bool:
        """Whether anything of a dataset's source is stored from before a time, as long as windows are revised."""
        before_ns = time_ns - self._horizons[dataset.domain].revise_ns
        gaps = await feed.gaps(dataset.subject, before_ns, time_ns, dataset.components)
        return gaps != [(before_ns, time_ns)]

    async def _missing(self, dataset: Dataset, gap: Gap) -> list[SourceSeries]:
        """What the server has of a gap; nothing else of the same times is handed over again."""
        series: list[SourceSeries] = []
        dataset.scan_ns, until_ns = gap
        kept_ns, dataset.until_ns = dataset.until_ns, until_ns
        try:
            while dataset.scan_ns < until_ns:
                end_ns = dataset.next_stretch()
                found = await dataset.fetch(dataset.scan_ns, end_ns, at_edge=False)
                dataset.found(anything=bool(found))
                series += found
                dataset.scan_ns = end_ns
        except REFUSALS as error:
            dataset.complain(error)
        finally:
            dataset.until_ns = kept_ns
        if series:
            log.info(
                "%s: %s to %s is filled in part or in whole",
                dataset.where,
                iso_time(gap[0]),
                iso_time(until_ns),
            )
        return series

    # -- what is remembered -----------------------------------------------------------------------------------

    def _position(self, datasets: Sequence[Dataset]) -> Json:
        to = {one.key: one.to_ns for one in datasets if one.to_ns is not None}
        return {"version": _VERSION, "to": to, "asked": self._attempts.snapshot()}

    def _take_up(self, position: Json, datasets: Sequence[Dataset]) -> None:
        if not isinstance(position, dict) or position.get("version") != _VERSION:
            return
        to = position.get("to")
        for one in datasets:
            reached = to.get(one.key) if isinstance(to, dict) else None
            if isinstance(reached, int):
                one.to_ns = reached
        self._attempts.restore(position.get("asked"))


def _horizon(revise_s: float, lateness_s: float) -> _Horizon:
    return _Horizon(round(revise_s * SECOND_NS), max(CELL_NS, round(lateness_s * SECOND_NS / 2)))


async def _learnt(dataset: Dataset) -> bool:
    """Whether the server told what it knows of a dataset."""
    try:
        await dataset.learn(time.time_ns())
    except REFUSALS as error:
        dataset.complain(error)
        return False
    return True
