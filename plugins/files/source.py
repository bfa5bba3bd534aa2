"""The source `files`: a folder in which archive files appear, in any format that `process` reads."""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from monitor import plugins
from monitor.decoders.base import FileReader, craft_id
from monitor.errors import ArchiveError, PluginError
from monitor.io.files import SourceSeries, interleave, read_archive
from monitor.io.files.craft import join_craft
from monitor.io.files.series import clipped
from monitor.plugins import Feed, Surroundings, installed
from monitor.types import CELL_NS, SECOND_NS, Domain

from ..backfill import Attempts, Gap, Patience
from .folder import Memory, Read, Version, look, resting

log = logging.getLogger(__name__)

_VERSION: Final = 1
_PIECE_BYTES: Final = 1 << 20
_EVER_NS: Final = 1 << 62


def _code(text: str) -> str:
    code = craft_id(text)
    if code is None:
        raise ValueError(f"found {text[:40]!r}; a code is 2 to 16 letters, digits or _, such as TAR or MMS1")
    return code


@dataclass(frozen=True, slots=True)
class _Content:
    """What a file holds: a digest, whether it only grew since it was read last, and its series."""

    name: str
    read: Read
    grew_from: Read | None
    series: tuple[SourceSeries, ...]


class Files:
    """Takes archive files that appear or change in a folder, and leaves them where they are.

    Parameters
    ----------
    options : Files.Options
    surroundings : Surroundings
    """

    class Options(plugins.Options):
        """Which folder, and which files of it."""

        folder: Annotated[str, Field(min_length=1)]
        """Where they appear; folders in it are looked through, too."""
        pattern: Annotated[str, Field(min_length=1, max_length=200)] = "*"
        """Which names: `*` and `?` stand for any letters, or any one."""
        codes: dict[str, Annotated[str, AfterValidator(_code)]] = Field(default_factory=dict)
        """Whose samples files of a name are, where neither name nor content says so."""
        formats: dict[str, dict[str, Any]] = Field(default_factory=dict)
        """Plugins that read other formats, by name, each with its options."""
        role: Literal["live", "backfill"] = "live"
        """`backfill` takes nothing but what other feeds have left out."""
        poll_s: Annotated[float, Field(ge=0.05, le=86_400)] = 10.0
        """From one look to the next."""
        rest_s: Annotated[float, Field(ge=0, le=86_400)] = 5.0
        """A file that changed less long ago is still being written."""
        batch_bytes: Annotated[int, Field(ge=1024, le=1 << 32)] = 256 << 20
        """Size of the files that are read together, and come side by side in time."""
        gap_attempts: Annotated[int, Field(ge=0, le=100)] = 3
        """How often files that were read are read again for a gap that they may fill; 0 never."""
        gap_retry_s: Annotated[float, Field(ge=0.1, le=86_400)] = 60.0
        """From the first to the second time; it doubles from then on."""

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._folder = Path(options.folder)
        self._craft = surroundings.craft
        self._readers = tuple(_reader(name, given, surroundings) for name, given in options.formats.items())
        self._sources = frozenset((*surroundings.stations, *surroundings.craft))
        self._revise_ns = {
            Domain.GROUND: round(surroundings.revise_s * SECOND_NS),
            Domain.CRAFT: round(surroundings.craft_revise_s * SECOND_NS),
        }
        lateness_s = {Domain.GROUND: surroundings.lateness_s, Domain.CRAFT: surroundings.craft_lateness_s}
        self._piece_ns = {
            domain: max(CELL_NS, round(one * SECOND_NS / 2)) for domain, one in lateness_s.items()
        }
        self._patience = Patience(options.gap_attempts, options.gap_retry_s)
        self._memory, self._attempts = Memory(), Attempts(self._patience)
        self._said = ""

    async def run(self, feed: Feed) -> None:
        """Look for what is new until cancelled."""
        position = feed.position
        # Begun again after a failure, what was read but not stored counts as new.
        self._memory, self._attempts = Memory(), Attempts(self._patience)
        if isinstance(position, dict) and position.get("version") == _VERSION:
            self._memory.restore(position.get("read"))
            self._attempts.restore(position.get("asked"))
        before: dict[str, Version] = {}
        while True:
            try:
                now = await asyncio.to_thread(look, self._folder, self._options.pattern)
            except OSError as error:
                self._say(f"{self._folder}: cannot be looked through ({error.strerror}); it is tried again")
            else:
                self._say("")
                self._memory.keep(now)
                still = resting(now, before, time.time_ns(), self._options.rest_s)
                await self._take_new(feed, {name: now[name] for name in sorted(still)})
                await self._fill(feed)
                before = now
            await asyncio.sleep(self._options.poll_s)

    # -- what is new ------------------------------------------------------------------------------------------

    async def _take_new(self, feed: Feed, files: dict[str, Version]) -> None:
        new = [name for name, version in files.items() if self._memory.is_new(name, version)]
        while new:
            size = 0
            batch: list[str] = []
            while new and (not batch or size + files[new[0]].size <= self._options.batch_bytes):
                size += files[new[0]].size
                batch.append(new.pop(0))
            contents = [await asyncio.to_thread(self._content, name, files[name]) for name in batch]
            series: list[SourceSeries] = []
            for content in contents:
                if content is not None:
                    series += await self._wanted(feed, content)
                    self._memory.note(content.name, content.read)
            await self._hand_over(feed, series)

    def _content(self, name: str, version: Version) -> _Content | None:
        """Read a file; None where it went away meanwhile."""
        path = self._folder / name
        known = self._memory.read.get(name)
        try:
            digest, grew = _digest(path, known)
        except OSError as error:
            if not path.exists():
                return None
            log.warning("%s: cannot be read (%s); it is left until it changes", path, error.strerror or error)
            return _Content(name, Read(version, "", {}), None, ())
        if known is not None and known.digest == digest:
            return _Content(name, Read(version, digest, known.spans), None, ())
        try:
            series = self._series(path)
        except ArchiveError as error:
            log.warning("%s; it is left until it changes", error)
            series = ()
        spans: dict[str, tuple[int, int]] = {}
        for one in series:
            begin, end = spans.get(one.source, (one.t0_ns, one.end_ns))
            spans[one.source] = (min(begin, one.t0_ns), max(end, one.end_ns))
        return _Content(name, Read(version, digest, spans), known if grew else None, series)

    def _series(self, path: Path) -> tuple[SourceSeries, ...]:
        """What a file has of the stations and spacecraft that are monitored. Raises ArchiveError."""
        code = next(
            (code for pattern, code in self._options.codes.items() if fnmatch.fnmatch(path.name, pattern)),
            None,
        )
        archive = read_archive(path if code is None else f"{code}={path}", self._craft, self._readers)
        for note in archive.notes:
            log.warning("%s", note)
        others = sorted({one.source for one in archive.series} - self._sources)
        if others:
            log.info("%s: %s are not monitored", path, ", ".join(others)[:200])
        return tuple(one for one in archive.series if one.source in self._sources)

    async def _wanted(self, feed: Feed, content: _Content) -> list[SourceSeries]:
        """What of a file goes to the daemon: of one that only grew, what came behind."""
        series = list(content.series)
        if content.grew_from is not None:
            spans = content.grew_from.spans
            series = [
                part
                for one in series
                if (part := clipped(one, spans.get(one.source, (0, 0))[1], _EVER_NS)) is not None
            ]
        if self._options.role == "live":
            return series
        return [part for one in series for part in await self._missing(feed, one)]

    async def _missing(self, feed: Feed, series: SourceSeries) -> list[SourceSeries]:
        """What of a series the store does not have, and can still change a product."""
        newest_ns = feed.newest_ns(series.source)
        if newest_ns is None:
            return [series]
        begin_ns = max(series.t0_ns, newest_ns - self._revise_ns[series.domain])
        if begin_ns >= series.end_ns:
            return []
        # Of a station any number will do: one feed may send H, another X and Y.
        components = series.components if series.domain is Domain.CRAFT else ()
        gaps = await feed.gaps(series.source, begin_ns, series.end_ns, components)
        return [part for gap in gaps if (part := clipped(series, *gap)) is not None]

    async def _hand_over(self, feed: Feed, series: Sequence[SourceSeries]) -> None:
        """Hand over samples side by side in time, and remember what was read."""
        joined = join_craft(series)
        piece_ns = min((self._piece_ns[one.domain] for one in joined), default=CELL_NS)
        position = {"version": _VERSION, "read": self._memory.snapshot(), "asked": self._attempts.snapshot()}
        await feed.take(list(interleave(joined, piece_ns)), position)

    # -- what is missing --------------------------------------------------------------------------------------

    async def _fill(self, feed: Feed) -> None:
        """Read files again for gaps that they may fill: what they have may have been refused, or lost, since."""
        found: list[SourceSeries] = []
        asked = False
        for source in sorted({source for read in self._memory.read.values() for source in read.spans}):
            for gap in await self._due(feed, source):
                asked = True
                found += await self._of_files(source, gap)
                self._attempts.note(source, gap, time.time())
        if asked:
            await self._hand_over(feed, found)

    async def _due(self, feed: Feed, source: str) -> list[Gap]:
        newest_ns = feed.newest_ns(source)
        if newest_ns is None or not self._options.gap_attempts:
            return []
        domain = Domain.CRAFT if source in self._craft else Domain.GROUND
        oldest_ns = newest_ns - self._revise_ns[domain]
        self._attempts.forget(source, oldest_ns)
        gaps: list[Gap] = []
        spans = sorted(read.spans[source] for read in self._memory.read.values() if source in read.spans)
        for begin_ns, end_ns in _merged(spans):
            if end_ns > oldest_ns:
                gaps += await feed.gaps(source, max(begin_ns, oldest_ns), end_ns)
        return self._attempts.due(source, gaps, time.time())

    async def _of_files(self, source: str, gap: Gap) -> list[SourceSeries]:
        """What the files have of a gap."""
        series: list[SourceSeries] = []
        for name, read in self._memory.read.items():
            begin_ns, end_ns = read.spans.get(source, (0, 0))
            if begin_ns < gap[1] and gap[0] < end_ns:
                try:
                    again = await asyncio.to_thread(self._series, self._folder / name)
                except ArchiveError as error:
                    log.warning("%s", error)
                    continue
                parts = [clipped(one, *gap) for one in again if one.source == source]
                series += [part for part in parts if part is not None]
        return series

    def _say(self, text: str) -> None:
        """Say what is wrong, once for as long as it stays so."""
        if text and text != self._said:
            log.warning("%s", text)
        self._said = text


def _reader(name: str, options: dict[str, Any], surroundings: Surroundings) -> FileReader:
    made: Any = installed().make("decoder", name, options, surroundings)
    if not isinstance(made, FileReader):
        raise PluginError(name, "", "reads messages and no files; leave it out of formats")
    return made


def _digest(path: Path, known: Read | None) -> tuple[str, bool]:
    """Digest of a file's content, and whether it begins with all of what it was when it was read last."""
    whole = hashlib.blake2b(digest_size=16)
    before, grew = 0 if known is None else known.version.size, False
    at = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES if at >= before else min(_PIECE_BYTES, before - at)):
            whole.update(piece)
            at += len(piece)
            if known is not None and at == before:
                grew = whole.copy().hexdigest() == known.digest
    return whole.hexdigest(), grew


def _merged(spans: Sequence[Gap]) -> list[Gap]:
    """Rising stretches as few that do not touch."""
    merged: list[Gap] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
