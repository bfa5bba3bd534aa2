"""From clocks and windows to the health of every station, said when it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitor.types import SECOND_NS, Json, Product, ResonanceBatch, Tick, iso_time

_VERSION = 1


class Health(StrEnum):
    """What can be said of a station, the most urgent first."""

    OFFLINE = "offline"
    LATE = "late"
    CLOCK = "clock"
    FLAT = "flat"
    SPIKES = "spikes"
    GAP = "gap"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class SourceClocks:
    """How far every source has come, and the clock that they are held against (ns)."""

    clocks: Mapping[str, int]
    now_ns: int


@dataclass(slots=True)
class _Subject:
    """What is known of one station."""

    window: Health = Health.OK
    coverage: float | None = None
    pairs_off: dict[str, bool] | None = None
    said: Health | None = None
    said_ns: int = 0
    revision: int = 0


class HealthStage:
    """Holds each station's clock against the others', and remembers what its last window looked like.

    `late` is more than `lateness_ns` behind, `offline` more than `offline_ns` (or never heard). `clock` is said of
    a station when all of its pairs show a timing offset: of a single pair both stations are suspects.
    """

    lookback_ns = 0

    def __init__(self, pairs_of: Mapping[str, Sequence[str]], lateness_ns: int, offline_ns: int) -> None:
        self._subjects = {
            code: _Subject(pairs_off=dict.fromkeys(pairs, False)) for code, pairs in pairs_of.items()
        }
        self._lateness_ns = lateness_ns
        self._offline_ns = offline_ns
        self._begun_ns: int | None = None

    def feed(self, items: Sequence[ResonanceBatch | SourceClocks] | Tick) -> list[Product]:
        """Take windows and clocks; return a `health` object for every station whose state changed."""
        changed: list[Product] = []
        if isinstance(items, Tick):
            return changed
        for item in items:
            if isinstance(item, ResonanceBatch):
                self._look_at(item)
            else:
                changed.extend(self._judge(item))
        return changed

    def states(self) -> dict[str, str]:
        """The last state said of every station."""
        return {code: str(s.said) for code, s in self._subjects.items() if s.said is not None}

    def snapshot(self) -> Json:
        """What was said, as JSON; what the windows looked like is seen again within a cadence."""
        said = {
            c: [str(s.said), s.said_ns, s.revision] for c, s in self._subjects.items() if s.said is not None
        }
        return {"version": _VERSION, "said": said, "begun_ns": self._begun_ns}

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"health state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        self._begun_ns = state["begun_ns"]
        for code, (said, said_ns, revision) in state["said"].items():
            if code in self._subjects:
                subject = self._subjects[code]
                subject.said, subject.said_ns, subject.revision = Health(said), said_ns, revision
                # Until its next window, a station is taken for what it last was.
                if subject.said not in (Health.LATE, Health.OFFLINE):
                    subject.window = subject.said

    def _look_at(self, batch: ResonanceBatch) -> None:
        """Remember what a window says of its stations."""
        window, quality = batch.spectrum.window, batch.spectrum.quality
        for row, pair in enumerate(window.pairs):
            for code in pair.stations:
                off = self._subjects[code].pairs_off
                assert off is not None
                off[pair.name] = batch.reason[row] == "timing_offset"
        for at, code in enumerate(window.stations):
            subject = self._subjects[code]
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

    def _judge(self, reading: SourceClocks) -> list[Product]:
        if self._begun_ns is None:
            self._begun_ns = reading.now_ns
        changed = []
        for code, subject in self._subjects.items():
            clock = reading.clocks.get(code)
            state = self._state(subject, clock, reading.now_ns)
            if state is not None and state is not subject.said:
                changed.append(_product(code, subject, state, clock, reading.now_ns))
        return changed

    def _state(self, subject: _Subject, clock_ns: int | None, now_ns: int) -> Health | None:
        assert self._begun_ns is not None
        silent = now_ns - (self._begun_ns if clock_ns is None else clock_ns)
        if silent > self._offline_ns:
            return Health.OFFLINE
        if clock_ns is None:
            return None
        return Health.LATE if silent > self._lateness_ns else subject.window


def _product(code: str, subject: _Subject, state: Health, clock_ns: int | None, now_ns: int) -> Product:
    """The object for a change; two changes at one instant differ by their revision."""
    subject.revision = subject.revision + 1 if subject.said is not None and subject.said_ns == now_ns else 0
    subject.said, subject.said_ns = state, now_ns
    time = iso_time(now_ns)
    return Product(
        kind="health",
        subject=code,
        time_ns=now_ns,
        revision=subject.revision,
        retained=True,
        body={
            "schema": "geospace/health/1",
            "id": f"health/{code}/{time}/{subject.revision}",
            "subject": code,
            "kind": "station",
            "time": time,
            "revision": subject.revision,
            "state": str(state),
            "last_sample": None if clock_ns is None else iso_time(clock_ns),
            "lag_s": None if clock_ns is None else (now_ns - clock_ns) / SECOND_NS,
            "coverage": subject.coverage,
        },
    )
