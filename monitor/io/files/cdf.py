"""CDF files of spacecraft: field and ion moments of MMS (L2 and quicklook), Cluster and THEMIS, on the grid of 4.5 s.

`monitor.io.files.cdf_names` tells which variables are read. Units are those of the UNITS attribute; fill values, and
values outside VALIDMIN to VALIDMAX or beyond what is real in near-Earth plasma, are gaps. Quality flags are not asked:
those of MMS DIS are set throughout the solar wind, where nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.decoders.native import CRAFT_LIMITS, craft_fill_to_nan, derive_totals
from monitor.errors import ArchiveError
from monitor.io.files.cdf_guard import check_cdf
from monitor.io.files.cdf_names import KNOWN, KnownVariable, unit_factor
from monitor.io.files.craft import CraftSamples, common_frame, in_order, join_craft, to_grid, usual_step_ns
from monitor.io.files.series import SourceSeries
from monitor.types import SECOND_NS, FloatArray, IntArray

_EPOCH_1970_MS: Final = 62_167_219_200_000
_TT2000, _EPOCH, _EPOCH16, _DOUBLES = 33, 31, 32, (22, 45)
_LATEST_S: Final = 9_000_000_000
_FLOAT32_TOLERANCE: Final = 1e-6
_SMALLEST_FILL: Final = 1e-20


@dataclass(frozen=True, slots=True)
class _Pick:
    """A variable of the file that is read, and the components that are taken from it."""

    name: str
    known: KnownVariable
    craft: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Times:
    """Times (ns UTC) of a time variable's records; `good` are those that are no fill."""

    name: str
    times_ns: IntArray
    good: npt.NDArray[np.bool_]


def read_cdf(path: Path, code: str | None) -> tuple[list[SourceSeries], list[str]]:
    """Read a CDF file; `code` is the spacecraft that the operator named, which wins over the file's.

    Returns the series, one for each stretch without a long gap, and the notes for the operator. Raises ArchiveError,
    whatever the bytes.
    """
    try:
        with path.open("rb") as file:
            check_cdf(file, str(path))
        return _File(path).read(code)
    except ArchiveError:
        raise
    except OSError as error:
        raise ArchiveError(str(path), f"cannot be read: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001  (the library raises whatever it meets in a damaged file)
        what = f"{type(error).__name__}: {str(error)[:120]}".splitlines()[0]
        raise ArchiveError(str(path), f"cannot be read as CDF ({what}); fetch the file again") from None


class _File:
    """An open CDF file whose records hang together."""

    def __init__(self, path: Path) -> None:
        import cdflib  # type: ignore[import-untyped]  # a fifth of a second: only where there is a CDF file

        self._path = str(path)
        self._cdf = cdflib.CDF(path)
        self._epochs = cdflib.cdfepoch
        info = self._cdf.cdf_info()
        self._names = (*info.zVariables, *info.rVariables)
        self._times: dict[str, _Times] = {}
        self._notes: list[str] = []

    def read(self, code: str | None) -> tuple[list[SourceSeries], list[str]]:
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
            series += to_grid(self._samples(self._times[time], begins, group), source, self._path)
        return join_craft(series), self._notes

    def _picks(self) -> list[_Pick]:
        """The variables to read: for each component the first in the order of preference that has records."""
        picks: list[_Pick] = []
        taken: set[tuple[str, str]] = set()
        empty: list[str] = []
        for known in KNOWN:
            for name in self._names:
                match = known.pattern.fullmatch(name)
                if match is None:
                    continue
                craft = f"{known.mission}{match[1].upper()}"
                components = tuple(one for one in known.components if (craft, one) not in taken)
                if self._cdf.varinq(name).Last_Rec < 0:
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
                f"its variables are {', '.join(self._names)[:160] or 'none'}",
            )
        return picks

    def _time_of(self, pick: _Pick) -> _Times:
        attributes = self._cdf.varattsget(pick.name)
        for key in ("DEPEND_0", "DEPEND_TIME"):
            name = str(attributes.get(key, "")).strip()
            # The epochs of THEMIS are virtual: the seconds since 1970 are there.
            if name in self._names and self._cdf.varinq(name).Last_Rec >= 0:
                if name not in self._times:
                    self._times[name] = self._read_times(name)
                return self._times[name]
        raise ArchiveError(
            self._path, f"{pick.name} has no times: neither DEPEND_0 nor DEPEND_TIME has records"
        )

    def _read_times(self, name: str) -> _Times:
        kind, unit = (
            self._cdf.varinq(name).Data_Type,
            str(self._cdf.varattsget(name).get("UNITS", "")).strip(),
        )
        raw = self._values(name).reshape(-1)
        if kind == _TT2000:
            return self._from_tt2000(name, raw)
        # In whole and broken seconds: nanoseconds since the year 0 are beyond what a float can tell apart.
        with np.errstate(invalid="ignore"):
            if kind == _EPOCH:
                seconds, fraction_ns = np.divmod(raw - _EPOCH_1970_MS, 1e3)
                fraction_ns *= 1e6
            elif kind == _EPOCH16:
                seconds, fraction_ns = raw.real - _EPOCH_1970_MS / 1e3, raw.imag / 1e3
            elif kind in _DOUBLES and unit in ("sec", "s"):
                seconds, fraction_ns = np.divmod(raw, 1.0)
                fraction_ns *= 1e9
            else:
                raise ArchiveError(
                    self._path, f"{name} is no time: known are CDF epochs and seconds since 1970 (UNITS sec)"
                )
        good = np.isfinite(seconds) & np.isfinite(fraction_ns) & (np.abs(seconds) < _LATEST_S)
        times = np.zeros(raw.size, dtype=np.int64)
        times[good] = seconds[good].astype(np.int64) * SECOND_NS + np.rint(fraction_ns[good]).astype(np.int64)
        return _Times(name, times, good)

    def _from_tt2000(self, name: str, raw: IntArray) -> _Times:
        # Fill and pad values are at the lower end of int64, whose size int64 cannot hold.
        good = (raw > -_LATEST_S * SECOND_NS) & (raw < _LATEST_S * SECOND_NS)
        times = np.zeros(raw.size, dtype=np.int64)
        if good.any():
            times[good] = self._epochs.to_datetime(raw[good]).astype(np.int64)
        return _Times(name, times, good)

    def _samples(self, times: _Times, begins: bool, picks: Sequence[_Pick]) -> CraftSamples:
        rows: dict[str, FloatArray] = {}
        for pick in picks:
            given = zip(pick.known.components, self._components(pick, times), strict=True)
            rows.update((component, row) for component, row in given if component in pick.components)
        components, values = derive_totals(tuple(rows), np.stack(list(rows.values())))
        good = np.flatnonzero(times.good)
        if good.size < times.good.size:
            self._notes.append(
                f"{self._path}: {times.good.size - good.size} records of {times.name} have no time"
            )
        kept, notes = in_order(times.times_ns[good], self._path)
        self._notes += notes
        kept = good[kept]
        middle_ns = times.times_ns[kept]
        if begins:
            middle_ns = middle_ns + usual_step_ns(middle_ns, self._path) // 2
        frame = common_frame([pick.known.frame for pick in picks], self._path)
        return CraftSamples(middle_ns, components, values[:, kept], frame)

    def _components(self, pick: _Pick, times: _Times) -> FloatArray:
        """The components (c, n) of a variable in the units of the native message; gaps are NaN."""
        attributes = self._cdf.varattsget(pick.name)
        raw = self._values(pick.name)
        columns = raw.reshape(raw.shape[0], -1).astype(np.float64)
        if columns.shape != (times.times_ns.size, pick.known.columns):
            raise ArchiveError(
                self._path,
                f"{pick.name} has {columns.shape[1]} columns in {columns.shape[0]} records; "
                f"expected are {pick.known.columns} columns at {times.times_ns.size} times",
            )
        values = _without_fill(columns, attributes.get("FILLVAL"))
        values = self._within(values, attributes, pick.name).T
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

    def _within(self, values: FloatArray, attributes: dict[str, Any], name: str) -> FloatArray:
        """Values (n, columns) with NaN for those outside VALIDMIN to VALIDMAX."""
        outside = np.zeros(values.shape, dtype=np.bool_)
        for key, beyond in (("VALIDMIN", np.less), ("VALIDMAX", np.greater)):
            limit = np.atleast_1d(attributes.get(key, np.nan))
            if np.issubdtype(limit.dtype, np.number) and limit.size in (1, values.shape[1]):
                outside |= beyond(values, limit)
        if outside.any():
            self._notes.append(
                f"{self._path}: {name}: {outside.any(axis=1).sum()} records beyond its valid range"
            )
        return np.where(outside, np.nan, values)

    def _possible(self, pick: _Pick, values: FloatArray) -> FloatArray:
        """Values (c, n) with NaN beyond the limits that live messages are held to."""
        limits = np.array([CRAFT_LIMITS[component] for component in pick.known.components])
        beyond = (values < limits[:, :1]) | (values > limits[:, 1:])
        if beyond.any():
            self._notes.append(
                f"{self._path}: {pick.name}: {beyond.any(axis=0).sum()} records are beyond what is real"
            )
        return np.where(beyond, np.nan, values)

    def _values(self, name: str) -> npt.NDArray[Any]:
        if self._cdf.varinq(name).Sparse != "No_sparse":
            raise ArchiveError(
                self._path, f"{name} has sparse records, which are not read; convert it with cdfconvert"
            )
        values = np.asarray(self._cdf.varget(name))
        if values.dtype.kind not in "iufc":
            raise ArchiveError(self._path, f"{name} is no numeric variable")
        return np.atleast_1d(values)


def _without_fill(values: FloatArray, fill: object) -> FloatArray:
    """Values with NaN for a fill value, also where it went through float32."""
    if isinstance(fill, np.number | int | float) and np.isfinite(fill):
        size = abs(float(fill))
        tolerance = _FLOAT32_TOLERANCE * size if size > _SMALLEST_FILL else 0.0
        values = np.where(np.abs(values - float(fill)) <= tolerance, np.nan, values)
    return craft_fill_to_nan(values)
