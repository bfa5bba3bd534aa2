"""CDF files of spacecraft: field and ion moments of MMS (L2 and quicklook), Cluster and THEMIS, on the grid of 4.5 s.

`monitor.io.files.cdf_names` tells which variables are read. Units are those of the UNITS attribute; fill values, and
values outside VALIDMIN to VALIDMAX or beyond what is real in near-Earth plasma, are gaps. Quality flags are not asked:
those of MMS DIS are set throughout the solar wind, where nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.decoders.native import CRAFT_LIMITS, craft_fill_to_nan, derive_totals
from monitor.errors import ArchiveError
from monitor.io.files.cdf_names import KNOWN, KnownVariable, unit_factor
from monitor.io.files.cdf_values import CdfValues, Times
from monitor.io.files.craft import CraftSamples, common_frame, in_order, join_craft, to_grid, usual_step_ns
from monitor.io.files.series import SourceSeries
from monitor.types import FloatArray


@dataclass(frozen=True, slots=True)
class _Pick:
    """A variable of the file that is read, and the components that are taken from it."""

    name: str
    known: KnownVariable
    craft: str
    components: tuple[str, ...]


def read_craft(cdf: CdfValues, code: str | None) -> list[SourceSeries]:
    """Read what a CDF file has of a spacecraft; `code` is the one that the operator named, which wins over the file's.

    Returns the series, one for each stretch without a long gap. Raises ArchiveError.
    """
    return _Craft(cdf).read(code)


class _Craft:
    """The file of a spacecraft."""

    def __init__(self, cdf: CdfValues) -> None:
        self._cdf = cdf
        self._path = cdf.path

    def read(self, code: str | None) -> list[SourceSeries]:
        picks = self._picks()
        found = tuple(dict.fromkeys(pick.craft for pick in picks))
        if len(found) > 1:
            raise ArchiveError(self._path, f"holds {' and '.join(found)}; give a file of one spacecraft")
        source = found[0] if code is None else code
        common_frame([pick.known.frame for pick in picks], self._path)
        groups: dict[tuple[str, bool], list[_Pick]] = {}
        for pick in picks:
            groups.setdefault((self._time_of(pick).name, pick.known.begins), []).append(pick)
        series: list[SourceSeries] = []
        for (time, begins), group in groups.items():
            series += to_grid(self._samples(self._cdf.times(time), begins, group), source, self._path)
        return join_craft(series)

    def _picks(self) -> list[_Pick]:
        """The variables to read: for each component the first in the order of preference that has records."""
        picks: list[_Pick] = []
        taken: set[tuple[str, str]] = set()
        empty: list[str] = []
        for known in KNOWN:
            for name in self._cdf.names:
                match = known.pattern.fullmatch(name)
                if match is None:
                    continue
                craft = f"{known.mission}{match[1].upper()}"
                components = tuple(one for one in known.components if (craft, one) not in taken)
                if not self._cdf.has_records(name):
                    empty.append(name)
                elif components == known.components or (components and known.frame is None):
                    picks.append(_Pick(name, known, craft, components))
                    taken.update((craft, one) for one in components)
        if not picks and empty:
            raise ArchiveError(self._path, f"holds no records of {', '.join(empty)[:200]}")
        if not picks:
            raise ArchiveError(
                self._path,
                "holds no field or ion moments of MMS, Cluster or THEMIS under a known name; "
                f"its variables are {', '.join(self._cdf.names)[:160] or 'none'}",
            )
        return picks

    def _time_of(self, pick: _Pick) -> Times:
        attributes = self._cdf.attributes(pick.name)
        for key in ("DEPEND_0", "DEPEND_TIME"):
            name = str(attributes.get(key, "")).strip()
            # The epochs of THEMIS are virtual: the seconds since 1970 are there.
            if self._cdf.has_records(name):
                return self._cdf.times(name)
        raise ArchiveError(
            self._path, f"{pick.name} has no times: neither DEPEND_0 nor DEPEND_TIME has records"
        )

    def _samples(self, times: Times, begins: bool, picks: Sequence[_Pick]) -> CraftSamples:
        rows: dict[str, FloatArray] = {}
        for pick in picks:
            given = zip(pick.known.components, self._components(pick, times), strict=True)
            rows.update((component, row) for component, row in given if component in pick.components)
        components, values = derive_totals(tuple(rows), np.stack(list(rows.values())))
        good = np.flatnonzero(times.good)
        if good.size < times.good.size:
            self._cdf.notes.append(
                f"{self._path}: {times.good.size - good.size} records of {times.name} have no time"
            )
        kept, notes = in_order(times.times_ns[good], self._path)
        self._cdf.notes += notes
        kept = good[kept]
        middle_ns = times.times_ns[kept]
        if begins:
            middle_ns = middle_ns + usual_step_ns(middle_ns, self._path) // 2
        frame = common_frame([pick.known.frame for pick in picks], self._path)
        return CraftSamples(middle_ns, components, values[:, kept], frame)

    def _components(self, pick: _Pick, times: Times) -> FloatArray:
        """The components (c, n) of a variable in the units of the native message; gaps are NaN."""
        attributes = self._cdf.attributes(pick.name)
        values = self._cdf.columns(pick.name, times, pick.known.columns, craft_fill_to_nan).T
        out = np.empty((len(pick.known.components), values.shape[1]))
        for row, (component, weights) in enumerate(
            zip(pick.known.components, pick.known.weights, strict=True)
        ):
            used = [(weight, column) for weight, column in zip(weights, values, strict=True) if weight]
            out[row] = sum(weight * column for weight, column in used) * self._factor(
                component, attributes, pick.name
            )
        return self._possible(pick, out)

    def _factor(self, component: str, attributes: dict[str, Any], name: str) -> float:
        written = str(attributes.get("UNITS", "")).strip()
        factor, unit = unit_factor(component, written)
        if factor is None:
            raise ArchiveError(
                self._path, f"{name} is in {written[:40]!r}, which cannot be brought to {unit}"
            )
        return factor

    def _possible(self, pick: _Pick, values: FloatArray) -> FloatArray:
        """Values (c, n) with NaN beyond the limits that live messages are held to."""
        limits = np.array([CRAFT_LIMITS[component] for component in pick.known.components])
        beyond = (values < limits[:, :1]) | (values > limits[:, 1:])
        if beyond.any():
            self._cdf.notes.append(
                f"{self._path}: {pick.name}: {beyond.any(axis=0).sum()} records are beyond what is real"
            )
        return np.where(beyond, np.nan, values)
