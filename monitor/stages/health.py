"""From clocks and windows to the health of every station and spacecraft, said when it changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from monitor.types import (
    CONTEXT_CELLS,
    SECOND_NS,
    VARIABLES,
    WINDOW_CELLS,
    CraftHole,
    CraftStretch,
    Domain,
    Json,
    Product,
    ResonanceBatch,
    Tick,
    iso_time,
)

_VERSION = 1
_FIELD: Final = slice(0, VARIABLES.index("B") + 1)


class Health(StrEnum):
    """What can be said of a station or a spacecraft, the most urgent first."""

    OFFLINE = "offline"
    LATE = "late"
    CLOCK = "clock"
    FLAT = "flat"
    SPIKES = "spikes"
    GAP = "gap"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class SourceClocks:
    """How far every source of a domain has come, and the clock that they are held against (ns)."""

    clocks: Mapping[str, int]
    now_ns: int
    domain: Domain = Domain.GROUND


@dataclass(frozen=True, slots=True)
class Patience:
    """How far behind (ns) a source is late, and how far it is offline."""

    lateness_ns: int
    offline_ns: int


@dataclass(slots=True)
class _Subject:
    """What is known of one station or spacecraft."""

    window: Health = Health.OK
    coverage: float | None = None
    pairs_off: dict[str, bool] | None = None
    said: Health | None = None
    said_ns: int = 0
    revision: int = 0
    window_ns: int | None = None


class HealthStage:
    """Holds each source's clock against the others' of its domain, and remembers what its last window looked like.

    `late` is more than `lateness_ns` behind, `offline` more than `offline_ns` (or never heard). `clock` is said of
    a station when all of its pairs show a timing offset: of a single pair both stations are suspects. A spacecraft
    has its own patience; `gap` is said of it when its last window was a hole, `flat` when the field did not move.

    Parameters
    ----------
    pairs_of : mapping of str to sequence of str
        The pairs of every station.
    lateness_ns, offline_ns : int
        Of stations.
    craft : sequence of str
    craft_patience : Patience, optional
        Needed where there are spacecraft. A spacecraft must not have the name of a station.
    shadows : collection of str
        Sources of synthetic signals, of which nothing is said.
    """

    lookback_ns = 0

    def __init__(
        self,
        pairs_of: Mapping[str, Sequence[str]],
        lateness_ns: int,
        offline_ns: int,
        craft: Sequence[str] = (),
        craft_patience: Patience | None = None,
        *,
        shadows: Collection[str] = (),
    ) -> None:
        self._shadows = frozenset(shadows)
        self._patience = {Domain.GROUND: Patience(lateness_ns, offline_ns)}
        self._of_domain = {
            Domain.GROUND: {
                code: _Subject(pairs_off=dict.fromkeys(pairs, False)) for code, pairs in pairs_of.items()
            }
        }
        if craft:
            if craft_patience is None:
                raise ValueError(f"{', '.join(craft)}: spacecraft need a craft_patience")
            self._patience[Domain.CRAFT] = craft_patience
            self._of_domain[Domain.CRAFT] = {name: _Subject() for name in craft}
        self._begun_ns: dict[Domain, int] = {}

    @property
    def _subjects(self) -> dict[str, _Subject]:
        return {name: subject for known in self._of_domain.values() for name, subject in known.items()}

    def feed(
        self, items: Sequence[ResonanceBatch | CraftStretch | CraftHole | SourceClocks] | Tick
    ) -> list[Product]:
        """Take windows and clocks; return a `health` object for every source whose state changed."""
        changed: list[Product] = []
        if isinstance(items, Tick):
            return changed
        for item in items:
            if isinstance(item, ResonanceBatch):
                self._look_at(item)
            elif isinstance(item, SourceClocks):
                changed.extend(self._judge(item))
            else:
                self._look_at_craft(item)
        return changed

    def states(self) -> dict[str, str]:
        """The last state said of every station and spacecraft."""
        return {code: str(s.said) for code, s in self._subjects.items() if s.said is not None}

    def snapshot(self) -> Json:
        """What was said, as JSON; what the windows looked like is seen again within a cadence."""
        said = {
            c: [str(s.said), s.said_ns, s.revision] for c, s in self._subjects.items() if s.said is not None
        }
        begun, craft_begun = (self._begun_ns.get(domain) for domain in (Domain.GROUND, Domain.CRAFT))
        return {"version": _VERSION, "said": said, "begun_ns": begun, "craft_begun_ns": craft_begun}

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"health state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        begun = {Domain.GROUND: state["begun_ns"], Domain.CRAFT: state.get("craft_begun_ns")}
        self._begun_ns = {domain: time_ns for domain, time_ns in begun.items() if time_ns is not None}
        subjects = self._subjects
        for code, (said, said_ns, revision) in state["said"].items():
            if code in subjects:
                subject = subjects[code]
                subject.said, subject.said_ns, subject.revision = Health(said), said_ns, revision
                # Until its next window, a station is taken for what it last was.
                if subject.said not in (Health.LATE, Health.OFFLINE):
                    subject.window = subject.said

    def _look_at(self, batch: ResonanceBatch) -> None:
        """Remember what a window says of its stations."""
        window, quality = batch.spectrum.window, batch.spectrum.quality
        subjects = self._of_domain[Domain.GROUND]
        for row, pair in enumerate(window.pairs):
            for code in pair.stations:
                off = subjects[code].pairs_off
                assert off is not None
                off[pair.name] = batch.reason[row] == "timing_offset"
        for at, code in enumerate(window.stations):
            subject = subjects[code]
            subject.coverage = float(quality.coverage[at])
            off = subject.pairs_off
            if off and all(off.values()):
                subject.window = Health.CLOCK
            elif quality.flat[at] and quality.coverage[at] > 0.5:
                subject.window = Health.FLAT
            elif quality.usable[at]:
                subject.window = Health.OK
            else:
                spiky = quality.spikes[at] > 0 and quality.longest_gap_s[at] == 0.0
                subject.window = Health.SPIKES if spiky else Health.GAP

    def _look_at_craft(self, window: CraftStretch | CraftHole) -> None:
        """Remember what the newest window says of its spacecraft; one that came again later may be an old one."""
        subject = self._of_domain[Domain.CRAFT][window.craft]
        end_ns = window.end_ns if isinstance(window, CraftHole) else window.ends_ns[-1]
        if subject.window_ns is not None and end_ns < subject.window_ns:
            return
        subject.window_ns = end_ns
        if isinstance(window, CraftHole):
            subject.window, subject.coverage = Health.GAP, window.coverage
            return
        subject.window = Health.FLAT if _is_flat(window) else Health.OK
        subject.coverage = 1.0 - window.bridged[-1]

    def _judge(self, reading: SourceClocks) -> list[Product]:
        patience = self._patience[reading.domain]
        begun_ns = self._begun_ns.setdefault(reading.domain, reading.now_ns)
        changed = []
        for code, subject in self._of_domain[reading.domain].items():
            if code in self._shadows:
                continue
            clock = reading.clocks.get(code)
            state = _state(subject, clock, begun_ns, reading.now_ns, patience)
            if state is not None and state is not subject.said:
                changed.append(_product(code, subject, state, clock, reading))
        return changed


def _is_flat(window: CraftStretch) -> bool:
    """Whether no part of the field moved in the last window of a stretch."""
    end = window.values.shape[0] - (CONTEXT_CELLS[1] if window.context else 0)
    field = window.values[end - WINDOW_CELLS : end, _FIELD]
    there = field[:, ~np.isnan(field).any(axis=0)]
    return bool(there.size and (there == there[0]).all())


def _state(
    subject: _Subject, clock_ns: int | None, begun_ns: int, now_ns: int, patience: Patience
) -> Health | None:
    silent = now_ns - (begun_ns if clock_ns is None else clock_ns)
    if silent > patience.offline_ns:
        return Health.OFFLINE
    if clock_ns is None:
        return None
    return Health.LATE if silent > patience.lateness_ns else subject.window


def _product(
    code: str, subject: _Subject, state: Health, clock_ns: int | None, reading: SourceClocks
) -> Product:
    """The object for a change; two changes at one instant differ by their revision.

    A restart forgets time that passed without samples: what is said after it is not earlier than what was said last.
    """
    now_ns = reading.now_ns
    time_ns = now_ns if subject.said is None else max(now_ns, subject.said_ns)
    subject.revision = subject.revision + 1 if subject.said is not None and subject.said_ns == time_ns else 0
    subject.said, subject.said_ns = state, time_ns
    time = iso_time(time_ns)
    return Product(
        kind="health",
        subject=code,
        time_ns=time_ns,
        revision=subject.revision,
        retained=True,
        body={
            "schema": "geospace/health/1",
            "id": f"health/{code}/{time}/{subject.revision}",
            "subject": code,
            "kind": "spacecraft" if reading.domain is Domain.CRAFT else "station",
            "time": time,
            "revision": subject.revision,
            "state": str(state),
            "last_sample": None if clock_ns is None else iso_time(clock_ns),
            "lag_s": None if clock_ns is None else (now_ns - clock_ns) / SECOND_NS,
            "coverage": subject.coverage,
        },
    )
