"""Findings get the plasma mass density that belongs to their frequency, or the reason why they have none."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from monitor.science.density import density_index, density_interval, harmonic_verdict
from monitor.science.fieldline import HIGHEST_L, LOWEST_L, dipole_unit_frequency_Hz
from monitor.types import (
    SECOND_NS,
    Finding,
    FloatArray,
    Illumination,
    Json,
    LineEnds,
    MassDensity,
    Pair,
    Reading,
    Tick,
)

_VERSION = 1

# No field line rings beyond, whatever it is loaded with; and no density overflows within.
_SLOWEST_HZ, _FASTEST_HZ = 1e-6, 1e3


class FieldModel(Protocol):
    """The field that the pairs' lines are in. Its answers depend on the pair, the time and Kp alone."""

    def unit_frequencies_Hz(
        self,
        pairs: Sequence[Pair],
        effective_ns: int,
        kp: float | None,
        harmonic: int,
        ends: LineEnds,
        density_index: FloatArray,
    ) -> FloatArray:
        """Frequencies (p,) were the equatorial density 1 amu cm⁻³, for m of shape (p,); NaN where there is no line."""
        ...

    def reasons(self, pairs: Sequence[Pair], effective_ns: int, kp: float | None) -> Sequence[str | None]:
        """Why a pair has no unit frequency, as a flag: `open_line`, `no_kp`, `no_position`; None where it has one."""
        ...


class DipoleField:
    """The centred dipole with the moment of the middle of the year; lines are those of the pairs' L.

    Parameters
    ----------
    ionosphere_km : float
        Height at which lines end.
    """

    def __init__(self, ionosphere_km: float = 110.0) -> None:
        self._ionosphere_km = ionosphere_km

    def unit_frequencies_Hz(
        self,
        pairs: Sequence[Pair],
        effective_ns: int,
        kp: float | None,
        harmonic: int,
        ends: LineEnds,
        density_index: FloatArray,
    ) -> FloatArray:
        """See `FieldModel`."""
        return dipole_unit_frequency_Hz(
            np.array([_known(pair.l_shell) for pair in pairs], dtype=np.float64),
            density_index,
            year=datetime.fromtimestamp(effective_ns // SECOND_NS, UTC).year + 0.5,
            harmonic=harmonic,
            ends=ends,
            ionosphere_km=self._ionosphere_km,
        )

    def reasons(
        self,
        pairs: Sequence[Pair],
        effective_ns: int,
        kp: float | None,
    ) -> tuple[str | None, ...]:
        """See `FieldModel`: beyond the highest L of the table no dipole stands for a real line."""
        return tuple(None if LOWEST_L <= _known(pair.l_shell) <= HIGHEST_L else "open_line" for pair in pairs)


class DensityStage:
    """Inverts the frequencies of findings, all windows that close together in a few array calls.

    By day both ends are fixed: the density is that of the fundamental, and the third harmonic is listed where its density
    is plausible too (flag `harmonic_ambiguous`). In penumbra, at night, and where it is not known which, nothing is
    stated: the alternatives list what fixed, half free and free ends give (`boundary_unknown`).

    Parameters
    ----------
    field : FieldModel
    night : bool
        Take ends as fixed in penumbra and at night too; the flag and the alternatives stay.
    """

    lookback_ns = 0

    def __init__(self, field: FieldModel, *, night: bool = False) -> None:
        self._field = field
        self._night = night

    def feed(
        self,
        items: Sequence[Finding] | Tick,
        kp_at: Callable[[int], float | None] = lambda _ns: None,
    ) -> list[Finding]:
        """The findings in their order, with densities where they have a frequency.

        Parameters
        ----------
        items : sequence of Finding, or Tick
        kp_at : callable
            Kp at a time (ns), None where it is unknown. It is asked for the centre of each window.
        """
        if isinstance(items, Tick):
            return []
        done = list(items)
        groups: dict[int, list[int]] = defaultdict(list)
        for place, finding in enumerate(done):
            if finding.reading is not None:
                groups[finding.end_ns - finding.length_ns // 2].append(place)
        for effective_ns, places in groups.items():
            kp = kp_at(effective_ns)
            for place, finding in zip(
                places, self._invert([done[place] for place in places], effective_ns, kp), strict=True
            ):
                done[place] = finding
        return done

    def snapshot(self) -> Json:
        """Nothing but the version."""
        return {"version": _VERSION}

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(f"density stage: version {state.get('version')!r} is not {_VERSION}")

    def _invert(self, findings: Sequence[Finding], effective_ns: int, kp: float | None) -> list[Finding]:
        """One group of findings that have a reading and share the centre of their window."""
        results = [_Result(finding) for finding in findings]
        able = _Lines(self._field, [one for one in results if one.usable], effective_ns, kp)
        dark = able.only(lambda one: not one.day)
        judged = able if self._night else able.only(lambda one: one.day)
        _judge(judged)
        # What is stated is no alternative to itself.
        for ends in (LineEnds.MIXED, LineEnds.FREE) if self._night else LineEnds:
            for one, density in zip(dark.rows, dark.readings(1, ends), strict=True):
                one.add(density)
        return [one.finished() for one in results]


def _judge(lines: _Lines) -> None:
    """State the fundamental with fixed ends, and say where it may be the third harmonic."""
    fundamental, third = (lines.readings(harmonic, LineEnds.FIXED) for harmonic in (1, 3))
    verdict = harmonic_verdict(
        np.array([one.l_shell for one in lines.rows]), _values(fundamental), _values(third)
    )
    for row, one in enumerate(lines.rows):
        if fundamental[row] is None:
            continue
        if verdict.stated[row]:
            one.density = fundamental[row]
        else:
            one.add(fundamental[row])
        if verdict.ambiguous[row]:
            one.add(third[row])
            one.flags.add("harmonic_ambiguous")
        if verdict.implausible[row]:
            one.flags.add("density_implausible")


class _Result:
    """A finding with a reading, on its way."""

    def __init__(self, finding: Finding) -> None:
        assert finding.reading is not None
        self.finding = finding
        self.reading: Reading = finding.reading
        self.l_shell = _known(finding.pair.l_shell)
        self.day = finding.illumination is Illumination.DAY
        self.flags: set[str] = set() if self.day else {"boundary_unknown"}
        self.density: MassDensity | None = None
        self._alternatives: list[MassDensity] = []
        reason = _reason(self.l_shell, self.reading)
        self.usable = reason is None
        if reason is not None:
            self.flags.add(reason)

    def add(self, density: MassDensity | None) -> None:
        """List an alternative, where there is one."""
        if density is not None:
            self._alternatives.append(density)

    def finished(self) -> Finding:
        """The finding with all that was found."""
        return replace(
            self.finding,
            density=self.density,
            alternatives=tuple(self._alternatives),
            flags=self.finding.flags | self.flags,
        )


class _Lines:
    """The lines of some findings in one field at one time."""

    def __init__(
        self, field: FieldModel, rows: Sequence[_Result], effective_ns: int, kp: float | None
    ) -> None:
        self._field, self._effective_ns, self._kp = field, effective_ns, kp
        self.rows = self._with_a_line(rows)

    def only(self, wanted: Callable[[_Result], bool]) -> _Lines:
        """The same for some of the findings."""
        chosen = copy(self)
        chosen.rows = [one for one in self.rows if wanted(one)]
        return chosen

    def readings(self, harmonic: int, ends: LineEnds) -> list[MassDensity | None]:
        """The density of each finding were its frequency that of a mode; None where the field gives none."""
        if not self.rows:
            return []
        index = density_index(np.array([one.l_shell for one in self.rows])).stacked()
        pairs = [one.finding.pair for one in self.rows]
        unit_Hz = self._field.unit_frequencies_Hz(
            pairs * len(index), self._effective_ns, self._kp, harmonic, ends, index.ravel()
        )
        frequency, low, high = np.array(
            [[one.reading.frequency_Hz, one.reading.low_Hz, one.reading.high_Hz] for one in self.rows]
        ).T
        found = density_interval(unit_Hz.reshape(index.shape), frequency, low, high)
        columns = (found.density_amu_cm3, found.low_amu_cm3, found.high_amu_cm3, index[0])
        return [
            MassDensity(density, least, most, m, harmonic, ends) if math.isfinite(density) else None
            for density, least, most, m in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _with_a_line(self, rows: Sequence[_Result]) -> list[_Result]:
        """Those that the field has a line for; the others are told why not."""
        if not rows:
            return []
        pairs = [one.finding.pair for one in rows]
        reasons = self._field.reasons(pairs, self._effective_ns, self._kp)
        for one, reason in zip(rows, reasons, strict=True):
            if reason is not None:
                one.flags.add(reason)
        return [one for one, reason in zip(rows, reasons, strict=True) if reason is None]


def _reason(l_shell: float, reading: Reading) -> str | None:
    """Why no field could give a density."""
    if math.isnan(l_shell):
        return "no_l_shell"
    if l_shell < LOWEST_L:
        return "l_too_low"
    values = (reading.frequency_Hz, reading.low_Hz, reading.high_Hz)
    usable = all(_SLOWEST_HZ <= value <= _FASTEST_HZ for value in values)
    return None if usable else "frequency_unusable"


def _values(densities: Sequence[MassDensity | None]) -> FloatArray:
    return np.array([math.nan if one is None else one.density_amu_cm3 for one in densities])


def _known(value: float | None) -> float:
    return math.nan if value is None else value
