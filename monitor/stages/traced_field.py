"""Field lines of the pairs in realistic fields: the main field alone, or with the currents outside the Earth (T89).

The lines of the main field are those of the middle of the year. Those of T89 are of the nearest half hour and of the
model's level of disturbance. So an answer depends on the pair, the time and Kp alone, and not on what was asked before.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np

from monitor.science.fieldline import TracedLine, traced_unit_frequency_Hz
from monitor.science.mainfield import FOOT_HEIGHT_KM
from monitor.science.tracing import traced_lines
from monitor.science.tsyganenko import T89, kp_class
from monitor.stages.place import positions_deg, year_of
from monitor.stations import Station
from monitor.types import SECOND_NS, FloatArray, LineEnds, Pair

SLOT_NS = 1800 * SECOND_NS
"""T89 turns with the Sun; its lines are followed for the nearest of these times."""

_LINES_KEPT = 4096
_FREQUENCIES_A_LINE = 16

Reason = Literal["no_position", "no_kp", "open_line"]
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Setting(NamedTuple):
    """The field that a line is followed in: what may be kept under, and nothing else."""

    year: int
    slot: int | None = None
    level: int | None = None


class _Recent(Generic[Key, Value]):
    """Values by key, of which the least recently used are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._values

    def __getitem__(self, key: Key) -> Value:
        self._values.move_to_end(key)
        return self._values[key]

    def __setitem__(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)


class TracedField:
    """Lines and unit frequencies of pairs in IGRF (`igrf`), or in IGRF and T89 (`t89`): a `FieldModel`.

    A pair's line is that through the middle of its two stations, as in `Places`.
    """

    def __init__(
        self,
        stations: Mapping[str, Station],
        pairs: Iterable[Pair],
        kind: Literal["igrf", "t89"],
        ionosphere_km: float = FOOT_HEIGHT_KM,
    ) -> None:
        self._row = {pair: row for row, pair in enumerate(dict.fromkeys(pairs))}
        self._latitude_deg, self._longitude_deg = positions_deg(stations, tuple(self._row))
        self._kind = kind
        self._ionosphere_km = ionosphere_km
        # A burst asks for all pairs at once: they must fit.
        kept = max(_LINES_KEPT, 2 * len(self._row))
        self._lines: _Recent[tuple[int, _Setting], TracedLine | None] = _Recent(kept)
        self._frequencies: _Recent[tuple[int, _Setting, float, int, LineEnds], float] = _Recent(
            _FREQUENCIES_A_LINE * kept
        )

    def unit_frequencies_Hz(
        self,
        pairs: Sequence[Pair],
        effective_ns: int,
        kp: float | None,
        harmonic: int,
        ends: LineEnds,
        density_index: FloatArray,
    ) -> FloatArray:
        """The frequencies that the pairs' lines would have with 1 amu cm⁻³ at their highest point.

        Parameters
        ----------
        pairs : sequence of Pair, length p
        effective_ns : int
            The centre of the window.
        kp : float or None
            For `t89`; None where it is unknown.
        harmonic : int
            1 the fundamental.
        ends : LineEnds
        density_index : ndarray, shape (p,)
            m of ρ = ρ_eq (r_eq / r)^m.

        Returns
        -------
        ndarray, shape (p,)
            Hz; NaN where there is no line (`reasons` says why).

        Raises
        ------
        KeyError
            Where a pair is none of those given at the start; it names the pair.
        ValueError
            Where Kp is not from 0 to 9.
        """
        found = np.full(len(pairs), np.nan)
        setting = self._setting(effective_ns, kp)
        if setting is None:
            return found
        lines = self.lines(pairs, effective_ns, kp)
        for number, (pair, line, index) in enumerate(zip(pairs, lines, density_index.tolist(), strict=True)):
            if line is None:
                continue
            key = (self._row[pair], setting, index, harmonic, ends)
            if key not in self._frequencies:
                self._frequencies[key] = traced_unit_frequency_Hz(line, index, harmonic=harmonic, ends=ends)
            found[number] = self._frequencies[key]
        return found

    def lines(
        self, pairs: Sequence[Pair], effective_ns: int, kp: float | None
    ) -> tuple[TracedLine | None, ...]:
        """The pairs' lines at a time; None where there is none."""
        setting = self._setting(effective_ns, kp)
        if setting is None:
            return (None,) * len(pairs)
        rows = [self._row[pair] for pair in pairs]
        missing = [row for row in dict.fromkeys(rows) if (row, setting) not in self._lines]
        if missing:
            for row, line in zip(missing, self._followed(missing, setting), strict=True):
                self._lines[row, setting] = line
        return tuple(self._lines[row, setting] for row in rows)

    def reasons(
        self, pairs: Sequence[Pair], effective_ns: int, kp: float | None
    ) -> tuple[Reason | None, ...]:
        """Why a pair has no line at a time; None where it has one."""
        known = np.isfinite(self._latitude_deg + self._longitude_deg)
        blind = self._setting(effective_ns, kp) is None
        reasons: list[Reason | None] = []
        for pair, line in zip(pairs, self.lines(pairs, effective_ns, kp), strict=True):
            if not known[self._row[pair]]:
                reasons.append("no_position")
            elif blind:
                reasons.append("no_kp")
            else:
                reasons.append("open_line" if line is None else None)
        return tuple(reasons)

    def _setting(self, effective_ns: int, kp: float | None) -> _Setting | None:
        """Which field holds at a time; None where it cannot be known."""
        if self._kind == "igrf":
            return _Setting(year_of(effective_ns))
        if kp is None or math.isnan(kp):
            return None
        slot = (int(effective_ns) + SLOT_NS // 2) // SLOT_NS
        return _Setting(year_of(slot * SLOT_NS), slot, kp_class(kp))

    def _followed(self, rows: list[int], setting: _Setting) -> tuple[TracedLine | None, ...]:
        year = setting.year + 0.5
        external = None
        if setting.slot is not None and setting.level is not None:
            external = T89.at(setting.slot * SLOT_NS, year, setting.level)
        return traced_lines(
            self._latitude_deg[rows],
            self._longitude_deg[rows],
            year,
            external,
            ionosphere_km=self._ionosphere_km,
        )
