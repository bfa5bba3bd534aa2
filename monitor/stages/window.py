"""From sample blocks to windows, in event time.

The rules are those of the contract ("Time"): a source clock is the largest sample end of a source; a pair's clock
E is the largest source clock of its two stations plus the time for which neither sent anything; the window that ends
at T closes when both stations have reached T, or when E ≥ T + lateness. What comes later re-opens the window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.science.components import magnetic_north
from monitor.science.conditioning import decimate
from monitor.stages.ring import Ring
from monitor.stations import Station
from monitor.types import SECOND_NS, Domain, FloatArray, IntArray, Json, Pair, SampleBlock, Tick, WindowBatch

_VERSION = 1
_NEVER = np.iinfo(np.int64).min // 4
_ALWAYS_IDLE = np.iinfo(np.int64).max // 4
_PROCESSING_STEP_NS = SECOND_NS
# A re-opened window is computed again once its data have rested for so long (event time, or nothing coming in).
_REST_NS = 60 * SECOND_NS
_IDLE_REST_NS = 10 * SECOND_NS


@dataclass(frozen=True, slots=True)
class WindowParameters:
    """Length, cadence and patience (ns).

    `revise_ns` says how far back late samples still change products: it is held in memory beside the window.
    """

    length_ns: int
    cadence_ns: int
    lateness_ns: int
    revise_ns: int

    @property
    def span_ns(self) -> int:
        """What a ring must hold."""
        return self.length_ns + self.silence_ns

    @property
    def silence_ns(self) -> int:
        """For how long silence of all stations closes windows: as far as late samples may revise them."""
        return self.cadence_ns + self.lateness_ns + self.revise_ns


@dataclass(slots=True)
class _Reopened:
    """A closed window that got late samples."""

    since_ns: int
    touched_ns: int


@dataclass(slots=True)
class _StationState:
    station: Station
    row: int
    ring: Ring | None = None
    notes: frozenset[str] = field(default_factory=frozenset)


class WindowStage:
    """Keeps every station's latest samples and emits the windows of all pairs that close together.

    Parameters
    ----------
    pairs : sequence of Pair
    stations : mapping of str to Station
        All stations that the pairs name.
    parameters : WindowParameters
    """

    def __init__(
        self, pairs: Sequence[Pair], stations: Mapping[str, Station], parameters: WindowParameters
    ) -> None:
        self._pairs = tuple(pairs)
        self._parameters = parameters
        codes = sorted({code for pair in pairs for code in pair.stations})
        self._codes = tuple(codes)
        self._stations = {code: _StationState(stations[code], row) for row, code in enumerate(codes)}
        self._index: IntArray = np.array(
            [[self._stations[code].row for code in pair.stations] for pair in pairs], dtype=np.int64
        ).reshape(-1, 2)
        self._pairs_of: dict[str, list[int]] = defaultdict(list)
        for number, pair in enumerate(pairs):
            for code in pair.stations:
                self._pairs_of[code].append(number)
        self._clock: IntArray = np.full(len(codes), _NEVER, dtype=np.int64)
        self._idle: IntArray = np.full(len(codes), _ALWAYS_IDLE, dtype=np.int64)
        self._first: IntArray = np.full(len(pairs), -_NEVER, dtype=np.int64)
        self._next: IntArray = np.full(len(pairs), -_NEVER, dtype=np.int64)
        self._reopened: dict[tuple[int, int], _Reopened] = {}
        self.too_late_samples = 0

    @property
    def lookback_ns(self) -> int:
        """A window needs its own length, and its late samples `revise` more."""
        return self._parameters.span_ns

    @property
    def clocks(self) -> dict[str, int]:
        """Source clock of every station that has sent anything."""
        return {code: int(c) for code, c in zip(self._codes, self._clock, strict=True) if c > _NEVER}

    @property
    def pair_clocks(self) -> dict[str, int]:
        """Product clock E of every pair that has begun."""
        clocks = self._product_clocks()
        return {pair.name: int(c) for pair, c in zip(self._pairs, clocks, strict=True) if c > _NEVER}

    def feed(self, items: Sequence[SampleBlock] | Tick) -> list[WindowBatch]:
        """Take blocks in any order, or the passing of time, and return the windows that close or change."""
        if isinstance(items, Tick):
            self._idle = np.minimum(self._idle + items.elapsed_ns, _ALWAYS_IDLE)
            return [*self._close_due(), *self._settle()]
        closed: list[WindowBatch] = []
        for block in items:
            if block.domain is not Domain.GROUND or block.source not in self._stations or not block.count:
                continue
            for piece in _pieces(block, self._parameters.cadence_ns):
                closed.extend(self._go_on(piece))
                self._take(piece, silent=False)
                # A long block must not push samples out of the ring before their windows have closed.
                if piece is not block:
                    closed.extend(self._close_due())
        return [*closed, *self._close_due(), *self._settle()]

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Fill the rings with samples of earlier runs; clocks and windows stay as `restore` left them."""
        for block in blocks:
            if block.domain is Domain.GROUND and block.source in self._stations:
                self._take(block, silent=True)

    def flush(self) -> list[WindowBatch]:
        """Close every window that ends at or before its pair's clock, and compute re-opened ones again."""
        return [*self._close_due(patience_ns=0), *self._settle(now=True)]

    def snapshot(self) -> Json:
        """Clocks and windows as JSON; samples are not part of it."""
        return {
            "version": _VERSION,
            "clocks": self.clocks,
            "pairs": {
                pair.name: {"first_ns": int(first), "next_ns": int(following)}
                for pair, first, following in zip(self._pairs, self._first, self._next, strict=True)
                if first < -_NEVER
            },
            "reopened": [[self._pairs[p].name, end] for p, end in sorted(self._reopened)],
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave (for the stations and pairs that are still there)."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"window state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        for code, clock in state["clocks"].items():
            if code in self._stations:
                row = self._stations[code].row
                self._clock[row], self._idle[row] = clock, 0
        numbers = {pair.name: number for number, pair in enumerate(self._pairs)}
        for name, windows in state["pairs"].items():
            if name in numbers:
                self._first[numbers[name]] = windows["first_ns"]
                self._next[numbers[name]] = windows["next_ns"]
        clocks = self._product_clocks()
        for name, end in state["reopened"]:
            if name in numbers:
                now = int(clocks[numbers[name]])
                self._reopened[numbers[name], end] = _Reopened(now, now)

    def _go_on(self, block: SampleBlock) -> Iterator[WindowBatch]:
        """After a pause that empties the rings, close first what waiting would have closed, while they still hold it.

        So it does not matter whether the pause was waited for.
        """
        longest = self._parameters.cadence_ns + self._parameters.revise_ns
        row = self._stations[block.source].row
        if _NEVER < self._clock[row] < block.end_ns - longest:
            newest = self._clock[self._index].max(axis=1)
            paused = (self._index == row).any(axis=1) & (newest < block.end_ns - longest)
            pause = np.where(paused, np.maximum(block.t0_ns - newest, 0), 0)
            yield from self._close_due(pause=pause)
            yield from self._settle(pause=pause)

    def _take(self, block: SampleBlock, *, silent: bool) -> None:
        """Write a block into its station's ring; unless `silent`, move clocks and re-open windows."""
        state = self._stations[block.source]
        values, notes = _north(block, state.station)
        state.notes = notes
        if state.ring is None or state.ring.step_ns != block.step_ns:
            state.ring = Ring(block.step_ns, block.t0_ns % block.step_ns, self._parameters.span_ns)
        begin, end, too_old = state.ring.write(block.t0_ns, values, block.level)
        if silent:
            return
        self.too_late_samples += too_old
        self._clock[state.row] = max(int(self._clock[state.row]), block.end_ns)
        self._idle[state.row] = 0
        for number in self._pairs_of[block.source]:
            self._begin(number, block.t0_ns)
            if begin < end:
                self._reopen(number, begin, end)

    def _begin(self, number: int, sample_ns: int) -> None:
        """The first window of a pair follows its first sample; an earlier sample begins earlier."""
        cadence = self._parameters.cadence_ns
        first = int(self._first[number])
        if sample_ns >= first:
            return
        self._first[number] = sample_ns
        opening = (sample_ns // cadence + 1) * cadence
        if first == -_NEVER:
            self._next[number] = opening
            return
        # Windows between the earlier and the later beginning are due, whether or not they hold samples.
        oldest = self._oldest_end(number)
        for end in range(
            max(opening, oldest), min(int(self._next[number]), (first // cadence + 1) * cadence), cadence
        ):
            self._touch(number, end)

    def _reopen(self, number: int, begin_ns: int, end_ns: int) -> None:
        """Mark the closed windows that hold samples of [begin, end)."""
        parameters = self._parameters
        cadence = parameters.cadence_ns
        following = int(self._next[number])
        opening = (begin_ns // cadence + 1) * cadence
        if opening >= following:
            return
        closing = ((end_ns - 1) // cadence) * cadence + cadence + parameters.length_ns
        for end in range(max(opening, self._oldest_end(number)), min(closing, following), cadence):
            if end - parameters.length_ns < end_ns:
                self._touch(number, end)

    def _oldest_end(self, number: int) -> int:
        """Earliest window end whose samples the rings of both stations still hold whole."""
        p = self._parameters
        newest = int(self._clock[self._index[number]].max())
        return -(-(newest - p.span_ns + p.length_ns) // p.cadence_ns) * p.cadence_ns

    def _touch(self, number: int, end_ns: int) -> None:
        now = int(self._clock[self._index[number]].max())
        known = self._reopened.get((number, end_ns))
        if known is None:
            self._reopened[number, end_ns] = _Reopened(now, now)
        else:
            known.touched_ns = now

    def _product_clocks(self) -> IntArray:
        """E of every pair, shape (p,)."""
        newest = self._clock[self._index].max(axis=1)
        idle = self._idle[self._index].min(axis=1)
        clocks: IntArray = np.where(newest > _NEVER, newest + np.minimum(idle, _ALWAYS_IDLE // 2), _NEVER)
        return clocks

    def _close_due(self, patience_ns: int | None = None, pause: IntArray | int = 0) -> Iterator[WindowBatch]:
        """Close, in time order, what both stations have reached or what has waited long enough."""
        if not self._pairs:
            return
        patience = self._parameters.lateness_ns if patience_ns is None else patience_ns
        sides = self._clock[self._index]
        reached, newest = sides.min(axis=1), sides.max(axis=1)
        now = np.minimum(
            np.maximum(self._product_clocks(), newest + pause), newest + self._parameters.silence_ns
        )
        limit = np.maximum(reached, now - patience)
        while True:
            self._skip_lost(now)
            due = self._next <= limit
            if not due.any():
                return
            end = int(self._next[due].min())
            closing = np.flatnonzero(due & (self._next == end))
            self._next[closing] += self._parameters.cadence_ns
            yield from self._batches(end, closing.tolist())

    def _skip_lost(self, now: IntArray) -> None:
        """After a jump of the clock longer than the rings, windows that no ring holds are not made up."""
        p = self._parameters
        begun = self._next < -_NEVER
        lost = begun & (self._next < now - p.span_ns + p.length_ns)
        if lost.any():
            self._next[lost] = -(-(now[lost] - p.span_ns + p.length_ns) // p.cadence_ns) * p.cadence_ns

    def _settle(self, *, now: bool = False, pause: IntArray | int = 0) -> Iterator[WindowBatch]:
        """Compute re-opened windows again once late samples have stopped coming for them."""
        if not self._reopened:
            return
        idles = np.maximum(self._idle[self._index].min(axis=1), pause)
        rested: dict[int, list[int]] = defaultdict(list)
        for (number, end), state in self._reopened.items():
            newest = int(self._clock[self._index[number]].max())
            complete = int(self._clock[self._index[number]].min()) >= end
            idle = int(idles[number])
            quiet = complete and newest - state.touched_ns >= _REST_NS
            waited = newest - state.since_ns >= self._parameters.cadence_ns
            if now or quiet or waited or idle >= _IDLE_REST_NS:
                rested[end].append(number)
        for end in sorted(rested):
            for number in rested[end]:
                del self._reopened[number, end]
            yield from self._batches(end, sorted(rested[end]))

    def _batches(self, end_ns: int, numbers: Sequence[int]) -> Iterator[WindowBatch]:
        """The windows of some pairs at one end, one batch for each step at which they run."""
        by_step: dict[int, list[int]] = defaultdict(list)
        for number in numbers:
            by_step[self._pair_step(number)].append(number)
        for step in sorted(by_step):
            yield self._batch(end_ns, step, by_step[step])

    def _pair_step(self, number: int) -> int:
        """A pair runs at the coarser of its stations' steps, and never finer than a second."""
        rings = (self._stations[code].ring for code in self._pairs[number].stations)
        return max([_PROCESSING_STEP_NS, *(ring.step_ns for ring in rings if ring is not None)])

    def _batch(self, end_ns: int, step_ns: int, numbers: Sequence[int]) -> WindowBatch:
        codes = sorted({code for number in numbers for code in self._pairs[number].stations})
        row = {code: at for at, code in enumerate(codes)}
        count = self._parameters.length_ns // step_ns
        values = np.full((len(codes), count), np.nan)
        coverage, offset = np.zeros(len(codes)), np.zeros(len(codes), dtype=np.int64)
        notes = []
        for at, code in enumerate(codes):
            values[at], coverage[at], offset[at], note = self._station_window(code, end_ns, step_ns, count)
            notes.append(note)
        return WindowBatch(
            pairs=tuple(self._pairs[number] for number in numbers),
            stations=tuple(codes),
            station_index=np.array(
                [[row[code] for code in self._pairs[number].stations] for number in numbers], dtype=np.int64
            ),
            end_ns=end_ns,
            length_ns=self._parameters.length_ns,
            step_ns=step_ns,
            values_nT=values,
            coverage=coverage,
            offset_ns=offset,
            notes=tuple(notes),
        )

    def _station_window(
        self, code: str, end_ns: int, step_ns: int, count: int
    ) -> tuple[FloatArray, float, int, frozenset[str]]:
        """One station's window at `step_ns`: samples, coverage at its own step, lag of its instants, notes."""
        state = self._stations[code]
        nothing = np.full(count, np.nan)
        if state.ring is None:
            return nothing, 0.0, 0, frozenset()
        raw, offset = state.ring.read(end_ns - self._parameters.length_ns, end_ns)
        coverage = float(np.count_nonzero(~np.isnan(raw))) / raw.size
        factor, rest = divmod(step_ns, state.ring.step_ns)
        if rest:
            return nothing, coverage, 0, state.notes | {"step_mismatch"}
        if factor == 1:
            return raw[:count], coverage, offset, state.notes
        return decimate(raw[: count * factor], factor), coverage, offset, state.notes | {"decimated"}


def _pieces(block: SampleBlock, longest_ns: int) -> Iterator[SampleBlock]:
    """Cut a block into pieces no longer than `longest_ns`; a short one comes back as it is."""
    count = max(1, longest_ns // block.step_ns)
    if block.count <= count:
        yield block
        return
    for start in range(0, block.count, count):
        yield SampleBlock(
            source=block.source,
            components=block.components,
            t0_ns=block.t0_ns + start * block.step_ns,
            step_ns=block.step_ns,
            values=block.values[:, start : start + count],
            domain=block.domain,
            level=block.level,
            sensor=block.sensor,
            frame=block.frame,
        )


def _north(block: SampleBlock, station: Station) -> tuple[FloatArray, frozenset[str]]:
    """The component towards magnetic north, and what must be said about it (admission made sure there is one)."""
    rows = dict(zip(block.components, block.values, strict=True))
    if "H" in rows:
        return rows["H"], frozenset()
    if station.axes == "magnetic":
        return rows["X"], frozenset()
    if station.declination_deg is not None and "Y" in rows:
        return magnetic_north(rows["X"], rows["Y"], station.declination_deg), frozenset()
    return rows["X"], frozenset({"axes_unknown"})
