"""Which columns of a sensor are the field, and how they become nanoteslas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from monitor.decoders.base import GROUND_LIMITS, MISSING_MARKS_nT, check_limits
from monitor.decoders.martas.meta import TIME_FIELDS, Meta, is_time
from monitor.decoders.martas.rows import Rows, column, time_of
from monitor.errors import DecodeError
from monitor.types import FloatArray, IntArray, Options

Component = Literal["X", "Y", "Z", "H", "D", "E", "F", "-"]
Clock = Literal["primary", "secondary"]
Factor = Annotated[float, Field(ge=-1e12, le=1e12)]

_NANOTESLAS: Final[Mapping[str, float]] = MappingProxyType(
    {"nt": 1.0, "gamma": 1.0, "pt": 1e-3, "ut": 1e3, "\N{MICRO SIGN}t": 1e3, "mt": 1e6, "t": 1e9}
)
_DEGREES: Final[Mapping[str, float]] = MappingProxyType(
    {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "arcmin": 1 / 60, "min": 1 / 60, "rad": 180 / np.pi}
)
# A unit that is none of the field's, of what is called a component of it: ObsDAQ writes mV unless it is told otherwise.
_UNNAMED: Final = frozenset({"", "-", "none", "null", "arb", "mv", "v"})
_COMPONENTS: Final = ("X", "Y", "Z", "H", "D", "E", "F")
_VECTOR_KEYS: Final = frozenset({"x", "y", "z"})
_MISSING: Final = (*MISSING_MARKS_nT, 999_999.0)
_LIMITS: Final = {**GROUND_LIMITS, "D": (-360.0, 360.0)}


class SensorOptions(Options):
    """What a sensor does not say of itself, or says wrongly.

    `components` names by key what a column is (`{x: H, y: E}`; `-` is nothing of the field), `nT_per_unit` what one of
    its units is, for all columns or by key; `step_s` the grid that samples are brought to, which is learnt otherwise.
    """

    station: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,8}$")] | None = None
    components: dict[str, Component] = Field(default_factory=dict)
    nT_per_unit: Factor | dict[str, Factor] | None = None
    clock: Clock | None = None
    step_s: Annotated[float, Field(ge=0.05, le=60)] | None = None
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class _Column:
    component: str
    number: int
    factor: float


class Columns:
    """The columns of one sensor that are components of the field.

    Raises DecodeError: scalar_only, no_component, unit_unknown, not_magnetic, missing_key, bad_meta.
    """

    def __init__(self, meta: Meta, sensor: str, options: SensorOptions, clock: Clock) -> None:
        self._meta = meta
        self._sensor = sensor
        found: dict[str, _Column] = {}
        for number in range(len(meta.keys)):
            one = _column(meta, number, options)
            if one is not None:
                found.setdefault(one.component, one)
        self._columns = [found[name] for name in _COMPONENTS if name in found]
        for one in self._columns:
            if np.isnan(meta.multipliers[one.number]):
                raise DecodeError("bad_meta", f"{sensor}: {meta.keys[one.number]} has no multiplier")
        self.components = tuple(one.component for one in self._columns)
        if not self.components:
            raise _nothing(meta, sensor)
        if self.components == ("F",):
            raise DecodeError(
                "scalar_only", f"{sensor} measures the total field only; needed is H, or X and Y"
            )
        seconds = [number for number, key in enumerate(meta.keys) if is_time(key)]
        if clock == "secondary" and not seconds:
            raise DecodeError("missing_key", f"{sensor} has no second time: set its clock to primary")
        self._clock = seconds[0] if clock == "secondary" else None

    def values(self, rows: Rows) -> FloatArray:
        """The components (c, n) of rows in nT, D in degrees; missing marks are NaN. Raises DecodeError."""
        found = np.empty((len(self._columns), len(rows.fields)))
        for row, one in enumerate(self._columns):
            raw = column(rows, self._meta.place(one.number, rows.width), self._sensor)
            with np.errstate(over="ignore"):
                plain = raw / self._meta.multipliers[one.number]
                found[row] = plain * one.factor
            for mark in _MISSING:
                found[row, np.abs(plain) == mark] = np.nan
        check_limits(self.components, found, _LIMITS)
        return found

    def times_ns(self, rows: Rows) -> IntArray:
        """The times of rows by the sensor's clock (ns UTC). Raises DecodeError."""
        if self._clock is None:
            return rows.times_ns
        if rows.width == len(self._meta.keys):
            raise DecodeError("missing_key", f"{self._sensor} sends no second time: set its clock to primary")
        place = self._meta.place(self._clock, rows.width)
        times = [time_of(cells[place : place + TIME_FIELDS], self._sensor) for cells in rows.fields]
        return np.array(times, dtype=np.int64)


def _column(meta: Meta, number: int, options: SensorOptions) -> _Column | None:
    key, unit = meta.keys[number], meta.units[number].lower()
    name = options.components.get(key, meta.elements[number].upper())
    if name not in _COMPONENTS or is_time(key):
        return None
    factors = options.nT_per_unit
    given = factors.get(key) if isinstance(factors, dict) else factors
    if name == "D" and unit in _DEGREES and given is None:
        return _Column("D", number, _DEGREES[unit])
    factor = _NANOTESLAS.get(unit) if given is None else given
    if factor is None:
        return None
    # In nanoteslas D is the field towards magnetic east, whose name is E.
    return _Column("E" if name == "D" else name, number, factor)


def _nothing(meta: Meta, sensor: str) -> DecodeError:
    """Why there is no component: what the operator can do about it comes first."""
    where = f"options.sensors.{sensor}"
    columns = list(zip(meta.keys, meta.elements, (unit.lower() for unit in meta.units), strict=True))
    if any(unit in _NANOTESLAS for _, _, unit in columns):
        return DecodeError(
            "no_component",
            f"{sensor} calls its columns {', '.join(meta.elements)}: say in {where}.components which are the field",
        )
    if any(
        key in _VECTOR_KEYS and element.upper() in _COMPONENTS and unit in _UNNAMED
        for key, element, unit in columns
    ):
        return DecodeError("unit_unknown", f"{sensor} sends {', '.join(meta.units)}: set {where}.nT_per_unit")
    return DecodeError(
        "not_magnetic", f"{sensor} measures {', '.join(meta.elements)}: no component of the field"
    )
