"""Level 2: what stations send, cleaned, as series of one second in the form of INTERMAGNET's ImagMQTT.

Off unless it is named. The samples of a minute go out once those two minutes after it are there (or the station has
been silent for as long as windows wait), for whether a sample is a spike shows in its surroundings. Gaps stay gaps,
spikes become gaps, what comes faster than a second is brought to it by a symmetric filter, and late samples revise
their minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from monitor.science.conditioning import ConditioningParameters, decimate, spikes_to_nan
from monitor.stages.ledger import RevisionLedger
from monitor.stages.ring import Ring
from monitor.types import (
    SECOND_NS,
    SHADOW_PAIR,
    Domain,
    FloatArray,
    Json,
    Options,
    Product,
    SampleBlock,
    Surroundings,
    Tick,
    iso_time,
)

KIND: Final = "impf"
"""The first level of INTERMAGNET's topics, and so of these."""

_VERSION = 1
_LEVEL = 2
_AROUND_NS: Final = 120 * SECOND_NS
_FORMS: Final = {"xyzs": ("X", "Y", "Z"), "hdzs": ("H", "D", "Z")}
_DECIMALS: Final = {"D": 6}
_USUAL_DECIMALS = 3


@dataclass(slots=True)
class _StationState:
    """What is held of a station: samples by component, its clock, and the next minute to be said."""

    form: str
    step_ns: int
    rings: dict[str, Ring] = field(default_factory=dict)
    clock_ns: int | None = None
    next_ns: int | None = None
    idle_ns: int = 0
    touched: set[int] = field(default_factory=set)


class Level2:
    """Publishes the samples of stations again, cleaned, at one second, as ImagMQTT of level 2."""

    class Options(Options):
        """Which stations, in which portions, and how far back late samples count."""

        stations: tuple[str, ...] | None = Field(
            None, strict=False, description="Which stations; none named: all that some pair uses."
        )
        block_s: Annotated[int, Field(ge=10, le=3600)] = Field(
            60, description="How much time a message covers."
        )
        revise_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
            3600, description="How far back late samples still revise what was published."
        )

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        asked = surroundings.stations if options.stations is None else options.stations
        # Synthetic signals go to nobody who takes them for measurements.
        self._codes = frozenset(code.upper() for code in asked) - frozenset(SHADOW_PAIR.stations)
        self._block_ns = options.block_s * SECOND_NS
        self._patience_ns = round(surroundings.lateness_s * SECOND_NS)
        self._span_ns = 2 * _AROUND_NS + 2 * self._block_ns + options.revise_s * SECOND_NS
        self._threshold = ConditioningParameters().spike_threshold
        self._stations: dict[str, _StationState] = {}
        self._ledger = RevisionLedger(2 * self._span_ns)

    @property
    def kinds(self) -> frozenset[str]:
        """What these products are called."""
        return frozenset({KIND})

    @property
    def lookback_ns(self) -> int:
        """How far back samples are held."""
        return self._span_ns

    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> list[Product]:
        """Take samples (products of others are passed by), or the passing of time; return the minutes that are due."""
        said: list[Product] = []
        if isinstance(items, Tick):
            for code, state in self._stations.items():
                state.idle_ns += items.elapsed_ns
                if state.clock_ns is not None and state.idle_ns >= self._patience_ns:
                    said += self._due(code, state, state.clock_ns)
            return said
        for block in items:
            if isinstance(block, SampleBlock) and self._is_wanted(block):
                for piece in _pieces(block, self._block_ns):
                    said += self._take(piece)
        for code, state in self._stations.items():
            said += self._again(code, state)
        return said

    def snapshot(self) -> Json:
        """Clocks and what was said; samples are not part of it."""
        return {
            "version": _VERSION,
            "block_ns": self._block_ns,
            "ledger": self._ledger.snapshot(),
            "stations": {
                code: {"clock_ns": state.clock_ns, "next_ns": state.next_ns, "idle_ns": state.idle_ns}
                for code, state in self._stations.items()
            },
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave, once the samples are there; ValueError for another version."""
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            raise ValueError(f"the state of level2 is no dict of version {_VERSION}")
        if state["block_ns"] != self._block_ns:
            # Messages of another length: what was said of them says nothing about these.
            return
        self._ledger.restore(state["ledger"])
        for code, about in state["stations"].items():
            held = self._stations.get(code)
            if held is not None:
                held.clock_ns, held.next_ns = about["clock_ns"], about["next_ns"]
                held.idle_ns = about["idle_ns"]

    def _is_wanted(self, block: SampleBlock) -> bool:
        whole = block.step_ns <= SECOND_NS and SECOND_NS % block.step_ns == 0
        return (
            block.domain is Domain.GROUND
            and block.source in self._codes
            and whole
            and _form(block) is not None
        )

    def _take(self, block: SampleBlock) -> Iterator[Product]:
        form = _form(block)
        assert form is not None
        state = self._stations.get(block.source)
        if state is None or (state.form, state.step_ns) != (form, block.step_ns):
            state = self._stations[block.source] = _StationState(form, block.step_ns)
        # What a pause empties the memory of is said before, also the minute that is not whole.
        if state.clock_ns is not None and block.end_ns > state.clock_ns + self._span_ns - 2 * self._block_ns:
            yield from self._due(block.source, state, state.clock_ns + self._block_ns)
        # So is what has changed, while its surroundings are held.
        if state.touched and min(state.touched) < block.end_ns - self._span_ns + _AROUND_NS + self._block_ns:
            yield from self._again(block.source, state)
        for name, values in _columns(block, form):
            ring = state.rings.get(name)
            if ring is None:
                ring = state.rings[name] = Ring(block.step_ns, block.t0_ns % block.step_ns, self._span_ns)
            begin_ns, end_ns, _ = ring.write(block.t0_ns, values, block.level)
            if begin_ns < end_ns:
                self._touch(state, begin_ns, end_ns)
        if not state.rings:
            return
        state.clock_ns = block.end_ns if state.clock_ns is None else max(state.clock_ns, block.end_ns)
        state.idle_ns = 0
        first = block.t0_ns // self._block_ns * self._block_ns
        if state.next_ns is None:
            state.next_ns = first
        yield from self._due(block.source, state, state.clock_ns - _AROUND_NS)

    def _touch(self, state: _StationState, begin_ns: int, end_ns: int) -> None:
        """Note the minutes that were said and have changed, or stand beside what has."""
        if state.next_ns is None:
            return
        first = (begin_ns - _AROUND_NS) // self._block_ns * self._block_ns
        state.touched.update(range(first, min(end_ns + _AROUND_NS, state.next_ns), self._block_ns))

    def _due(self, code: str, state: _StationState, limit_ns: int) -> Iterator[Product]:
        """Say the minutes that end at a limit or before it, and that the memory holds."""
        if state.next_ns is None:
            return
        state.next_ns = max(state.next_ns, _oldest_ns(state) // self._block_ns * self._block_ns)
        while state.next_ns + self._block_ns <= limit_ns:
            begin_ns = state.next_ns
            state.next_ns += self._block_ns
            yield from self._said(code, state, begin_ns)

    def _again(self, code: str, state: _StationState) -> Iterator[Product]:
        """Say again the minutes that have changed since they were said."""
        touched, state.touched = sorted(state.touched), set()
        for begin_ns in touched:
            # One whose surroundings are half forgotten would not be judged as it was.
            if begin_ns >= _oldest_ns(state) + _AROUND_NS:
                yield from self._said(code, state, begin_ns)

    def _said(self, code: str, state: _StationState, begin_ns: int) -> Iterator[Product]:
        rows: dict[str, FloatArray] = {}
        offset_ns = 0
        for name, ring in state.rings.items():
            rows[name], offset_ns = self._cleaned(ring, begin_ns)
        if all(np.isnan(row).all() for row in rows.values()):
            return
        start = iso_time(begin_ns + offset_ns).removesuffix("Z")
        count = self._block_ns // SECOND_NS
        body: dict[str, Json] = {"startDate": start}
        for name in _FORMS[state.form]:
            row = rows.get(name)
            body[f"geomagneticField{name}"] = [None] * count if row is None else _cells(name, row)
        subject = f"{code.lower()}/pt1s/{_LEVEL}/{state.form}"
        turn = self._ledger.turn(subject, begin_ns, body)
        if turn is not None:
            yield Product(KIND, subject, begin_ns, turn.revision, retained=False, body=body, verbatim=True)

    def _cleaned(self, ring: Ring, begin_ns: int) -> tuple[FloatArray, int]:
        """A minute of a component at one second, and by how much its first sample lags."""
        end_ns = begin_ns + self._block_ns
        raw, offset_ns = ring.read(begin_ns - _AROUND_NS, end_ns + _AROUND_NS)
        values = decimate(spikes_to_nan(raw, self._threshold), SECOND_NS // ring.step_ns)
        around = _AROUND_NS // SECOND_NS
        return values[around : around + self._block_ns // SECOND_NS], offset_ns


def _oldest_ns(state: _StationState) -> int:
    """The earliest time of which any sample is held."""
    return min(ring.oldest_ns for ring in state.rings.values() if ring.oldest_ns is not None)


def _form(block: SampleBlock) -> str | None:
    """How the vector is described; None where it is not."""
    if "H" in block.components:
        return "hdzs"
    return "xyzs" if "X" in block.components else None


def _columns(block: SampleBlock, form: str) -> Iterable[tuple[str, FloatArray]]:
    for name, row in zip(block.components, block.values, strict=True):
        # Of a message without a level D is the variation in nT, and not the angle that the format has.
        if name in _FORMS[form] and (name != "D" or block.level > 0):
            yield name, row


def _pieces(block: SampleBlock, longest_ns: int) -> Iterator[SampleBlock]:
    """Pieces that end with the minutes, so that no long block pushes out of the memory what was not said."""
    start = 0
    while start < block.count:
        t0_ns = block.t0_ns + start * block.step_ns
        boundary_ns = (t0_ns // longest_ns + 1) * longest_ns
        stop = min(block.count, start + -(-(boundary_ns - t0_ns) // block.step_ns))
        yield SampleBlock(
            block.source,
            block.components,
            t0_ns,
            block.step_ns,
            block.values[:, start:stop],
            level=block.level,
            sensor=block.sensor,
        )
        start = stop


def _cells(name: str, row: FloatArray) -> list[float | None]:
    rounded = np.round(row, _DECIMALS.get(name, _USUAL_DECIMALS)).tolist()
    return [None if value != value else value for value in rounded]
