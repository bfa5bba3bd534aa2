"""From sample blocks of spacecraft to windows on the grid of 4.5 s, in event time.

The window that ends at T closes when every variable that its spacecraft sends has reached the end of the context after
T, or when the product clock E (the largest sample end, plus the time for which nothing came) has reached T + lateness.
What comes later re-opens the windows whose cells it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from monitor.stages.craft_forms import windows_of
from monitor.stages.craft_samples import CraftSamples
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    SECOND_NS,
    WINDOW_CELLS,
    CraftHole,
    CraftStretch,
    Domain,
    Json,
    SampleBlock,
    Tick,
)

_VERSION = 1
LENGTH_NS: Final = WINDOW_CELLS * CELL_NS
_BEFORE_NS: Final = CONTEXT_CELLS[0] * CELL_NS
_AFTER_NS: Final = CONTEXT_CELLS[1] * CELL_NS
# A re-opened window is computed again once its data have rested for so long (event time, or nothing coming in).
_REST_NS: Final = 60 * SECOND_NS
_IDLE_REST_NS: Final = 10 * SECOND_NS


@dataclass(frozen=True, slots=True)
class CraftWindowParameters:
    """Cadence and patience (ns), and what becomes of windows at edges and gaps.

    `revise_ns` says how far back late samples still change products. `context` has a window wait for the cells after
    it. `bridge_ratio` is the largest share of a window that may be bridged.
    """

    hop_ns: int
    lateness_ns: int
    revise_ns: int
    context: bool = True
    bridge_ratio: float = 0.0

    @property
    def after_ns(self) -> int:
        """How far past its end a window's data reach."""
        return _AFTER_NS if self.context else 0

    @property
    def patience_ns(self) -> int:
        """How long past its end a window waits for its data: no less than they reach."""
        return max(self.lateness_ns, self.after_ns)

    @property
    def support_ns(self) -> int:
        """How far before its end a window's data begin."""
        return LENGTH_NS + (_BEFORE_NS if self.context else 0)

    @property
    def span_ns(self) -> int:
        """What must be held of a spacecraft."""
        return self.support_ns + self.hop_ns + self.patience_ns + self.revise_ns


class CraftWindowStage:
    """Keeps every spacecraft's latest samples and emits its windows as they close or change.

    Parameters
    ----------
    craft : sequence of str
        The spacecraft that are configured.
    parameters : CraftWindowParameters
    """

    def __init__(self, craft: Sequence[str], parameters: CraftWindowParameters) -> None:
        self._parameters = parameters
        self._craft = {name: _Craft(name, parameters) for name in craft}

    @property
    def lookback_ns(self) -> int:
        """How much input before now a restart needs."""
        return self._parameters.span_ns

    @property
    def clocks(self) -> dict[str, int]:
        """Source clock of every spacecraft that has sent anything."""
        return {name: craft.clock_ns for name, craft in self._craft.items() if craft.clock_ns is not None}

    @property
    def craft_clocks(self) -> dict[str, int]:
        """Product clock E of every spacecraft that has sent anything."""
        return {name: clock + self._craft[name].idle_ns for name, clock in self.clocks.items()}

    @property
    def too_late_samples(self) -> int:
        """Samples that came after the time for which they could still change a window."""
        return sum(craft.too_late_samples for craft in self._craft.values())

    def feed(self, items: Sequence[SampleBlock] | Tick) -> list[CraftStretch | CraftHole]:
        """Take blocks in any order, or the passing of time, and return the windows that close or change."""
        formed: list[CraftStretch | CraftHole] = []
        if isinstance(items, Tick):
            for craft in self._craft.values():
                craft.idle_ns += items.elapsed_ns
                formed.extend(craft.due())
            return formed
        for name, blocks in self._by_craft(items).items():
            formed.extend(self._craft[name].feed(blocks))
        return formed

    def load(self, blocks: Iterable[SampleBlock]) -> None:
        """Fill the memory with samples of earlier runs; clocks and windows stay as `restore` left them."""
        for name, known in self._by_craft(blocks).items():
            self._craft[name].load(known)

    def flush(self) -> list[CraftStretch | CraftHole]:
        """Close every window that ends at or before its product clock, and form re-opened ones again."""
        return [window for craft in self._craft.values() for window in craft.due(at_once=True)]

    def snapshot(self) -> Json:
        """Clocks and windows as JSON; samples are not part of it."""
        return {
            "version": _VERSION,
            "craft": {
                name: craft.snapshot() for name, craft in self._craft.items() if craft.clock_ns is not None
            },
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave (for the spacecraft that are still there)."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"craft window state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        for name, known in state["craft"].items():
            if name in self._craft:
                self._craft[name].restore(known)

    def _by_craft(self, blocks: Iterable[SampleBlock]) -> dict[str, list[SampleBlock]]:
        """The blocks of the spacecraft that are configured, in the order in which they came."""
        by_craft: dict[str, list[SampleBlock]] = {}
        for block in blocks:
            if block.domain is Domain.CRAFT and block.source in self._craft and block.count:
                by_craft.setdefault(block.source, []).append(block)
        return by_craft


@dataclass(slots=True)
class _Reopened:
    """A closed window whose cells changed."""

    since_ns: int
    touched_ns: int


@dataclass(slots=True)
class _Craft:
    """One spacecraft: its samples, its clocks and its windows."""

    name: str
    parameters: CraftWindowParameters
    samples: CraftSamples = field(init=False)
    clock_ns: int | None = None
    idle_ns: int = 0
    too_late_samples: int = 0
    # How far each variable has come, the first sample, the next window to close, and the closed ones that changed.
    _heard: dict[str, int] = field(default_factory=dict)
    _first_ns: int = 0
    _next_ns: int = 0
    _reopened: dict[int, _Reopened] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.samples = CraftSamples(self.parameters.span_ns)

    def feed(self, blocks: Sequence[SampleBlock]) -> Iterator[CraftStretch | CraftHole]:
        """Take blocks and yield what closes or changes."""
        longest = max(self.parameters.revise_ns, self.parameters.hop_ns)
        for piece in _pieces(blocks, longest):
            yield from self._go_on(min(block.t0_ns for block in piece))
            for block in piece:
                self._take(block)
            # A long burst must not push samples out of the memory before their windows have closed.
            yield from self._close(self.parameters.patience_ns)
        yield from self._settle()

    def load(self, blocks: Sequence[SampleBlock]) -> None:
        """Take blocks of earlier runs, without noticing."""
        for block in blocks:
            self.samples.write(block)
        self.samples.refresh()

    def due(self, *, at_once: bool = False) -> Iterator[CraftStretch | CraftHole]:
        """Yield what closes or changes by the clock alone; `at_once` waits for nothing."""
        yield from self._close(0 if at_once else self.parameters.patience_ns)
        yield from self._settle(now=at_once)

    def snapshot(self) -> Json:
        return {
            "clock_ns": self.clock_ns,
            "heard": dict(self._heard),
            "first_ns": self._first_ns,
            "next_ns": self._next_ns,
            "reopened": sorted(self._reopened),
        }

    def restore(self, state: Json) -> None:
        self.clock_ns, self.idle_ns = state["clock_ns"], 0
        self._heard = dict(state["heard"])
        self._first_ns, self._next_ns = state["first_ns"], state["next_ns"]
        self._reopened = {end: _Reopened(self._clock, self._clock) for end in state["reopened"]}

    @property
    def _clock(self) -> int:
        assert self.clock_ns is not None
        return self.clock_ns

    def _go_on(self, begin_ns: int) -> Iterator[CraftStretch | CraftHole]:
        """After a pause, say what waiting would have said, and what is due by the time at which samples begin again.

        The memory still holds it then; and it matters neither how much comes at once after the pause nor whether
        the pause was waited for.
        """
        if self.clock_ns is not None and begin_ns > self.clock_ns:
            self.idle_ns = max(self.idle_ns, begin_ns - self.clock_ns)
            yield from self.due()
            self.clock_ns, self.idle_ns = begin_ns, 0
            yield from self.due()

    def _take(self, block: SampleBlock) -> None:
        """Write a block, move the clocks, and re-open the closed windows that it changes."""
        begin_ns, too_old = self.samples.write(block)
        self.too_late_samples += too_old
        before, end_ns = self.clock_ns, block.end_ns
        self.clock_ns = end_ns if before is None else max(before, end_ns)
        self.idle_ns = 0
        for name in block.components:
            self._heard[name] = max(self._heard.get(name, end_ns), end_ns)
        self._start(block.t0_ns, is_first=before is None)
        # In the usual order nothing that is closed is touched, and the cells wait until a window needs them.
        if begin_ns < self._next_ns - self.parameters.hop_ns + self.parameters.after_ns:
            for begin, end in self.samples.refresh():
                self._reopen(begin, end)

    def _start(self, sample_ns: int, *, is_first: bool) -> None:
        """The first window follows the first sample; an earlier sample begins earlier."""
        hop = self.parameters.hop_ns
        opening = (sample_ns // hop + 1) * hop
        if is_first:
            self._first_ns, self._next_ns = sample_ns, opening
            return
        if sample_ns >= self._first_ns:
            return
        # Windows between the earlier and the later beginning are due, whether or not they hold samples.
        known = (self._first_ns // hop + 1) * hop
        self._first_ns = sample_ns
        for end in range(max(opening, self._oldest_end()), min(self._next_ns, known), hop):
            self._touch(end)

    def _reopen(self, begin_ns: int, end_ns: int) -> None:
        """Mark the closed windows whose data reach into [begin, end)."""
        p = self.parameters
        first = ((begin_ns - p.after_ns) // p.hop_ns + 1) * p.hop_ns
        opening = (self._first_ns // p.hop_ns + 1) * p.hop_ns
        for end in range(
            max(first, opening, self._oldest_end()), min(end_ns + p.support_ns, self._next_ns), p.hop_ns
        ):
            self._touch(end)

    def _oldest_end(self) -> int:
        """Earliest window end whose data the memory still holds whole."""
        p = self.parameters
        return -(-(self._clock - p.span_ns + p.support_ns) // p.hop_ns) * p.hop_ns

    def _touch(self, end_ns: int) -> None:
        known = self._reopened.setdefault(end_ns, _Reopened(self._clock, self._clock))
        known.touched_ns = self._clock

    def _reached(self) -> int:
        """How far all variables have come that have been there lately; where there is none, none is waited for."""
        lately = self._clock - LENGTH_NS - self.parameters.patience_ns
        return min((heard for heard in self._heard.values() if heard >= lately), default=self._clock)

    def _close(self, patience_ns: int) -> Iterator[CraftStretch | CraftHole]:
        """Close, in time order, what all variables have passed or what has waited long enough."""
        if self.clock_ns is None:
            return
        p = self.parameters
        # Silence makes holes for as long as they can be revised: what comes of that time after all is then never too
        # late, and a pause is the same whether it was waited for or jumped over.
        now = self.clock_ns + min(self.idle_ns, p.patience_ns + p.hop_ns + p.revise_ns)
        # After a jump of the clock longer than the memory, windows of which nothing is held are not made up.
        kept = self._oldest_end()
        self._next_ns = max(self._next_ns, kept)
        limit = max(self._reached() - p.after_ns, now - patience_ns)
        if self._next_ns > limit:
            return
        ends = range(self._next_ns, limit + 1, p.hop_ns)
        self._next_ns = ends[-1] + p.hop_ns
        yield from self._formed(ends)

    def _settle(self, *, now: bool = False) -> Iterator[CraftStretch | CraftHole]:
        """Form re-opened windows again once late samples have stopped coming for them."""
        if not self._reopened:
            return
        p, clock = self.parameters, self._clock
        rested = []
        for end, state in sorted(self._reopened.items()):
            quiet = clock >= end + p.after_ns and clock - state.touched_ns >= _REST_NS
            waited = clock - state.since_ns >= max(p.hop_ns, LENGTH_NS)
            if now or quiet or waited or self.idle_ns >= _IDLE_REST_NS:
                rested.append(end)
        for end in rested:
            del self._reopened[end]
        for run in _runs(rested, p.hop_ns):
            yield from self._formed(run)

    def _formed(self, ends_ns: Sequence[int]) -> Iterator[CraftStretch | CraftHole]:
        p = self.parameters
        # The cells of the context are read in any case, and used where the parameters allow.
        cells = self.samples.cells(ends_ns[0] - LENGTH_NS - _BEFORE_NS, ends_ns[-1] + _AFTER_NS)
        yield from windows_of(self.name, cells, ends_ns, context=p.context, bridge_ratio=p.bridge_ratio)


def _runs(ends_ns: Sequence[int], hop_ns: int) -> Iterator[list[int]]:
    """Cut rising window ends where one does not follow the other."""
    run: list[int] = []
    for end in ends_ns:
        if run and end != run[-1] + hop_ns:
            yield run
            run = []
        run.append(end)
    if run:
        yield run


def _pieces(blocks: Sequence[SampleBlock], longest_ns: int) -> Iterator[Sequence[SampleBlock]]:
    """The blocks as they came; where they span more than `longest_ns`, cut at its multiples and in the order of time."""
    begin, end = min(block.t0_ns for block in blocks), max(block.end_ns for block in blocks)
    if end - begin <= longest_ns:
        yield blocks
        return
    slots: dict[int, list[SampleBlock]] = {}
    for block in blocks:
        start = 0
        while start < block.count:
            t0_ns = block.t0_ns + start * block.step_ns
            slot = t0_ns // longest_ns
            # Samples that start before the next boundary, rounded up.
            stop = min(block.count, -(-((slot + 1) * longest_ns - block.t0_ns) // block.step_ns))
            slots.setdefault(slot, []).append(replace(block, t0_ns=t0_ns, values=block.values[:, start:stop]))
            start = stop
    for slot in sorted(slots):
        yield slots[slot]
