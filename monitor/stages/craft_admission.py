"""What is let in of spacecraft: units and frames show in the numbers themselves, before anything is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from monitor.errors import DecodeError
from monitor.types import SECOND_NS, VARIABLES, FloatArray, Json, SampleBlock, iso_time

DEFAULT_FRAME: Final = "gse"
"""The frame of vectors that name none."""

_SHORTEST_STEP_NS: Final = SECOND_NS
_LONGEST_STEP_NS: Final = 10 * SECOND_NS
_VECTORS: Final = {"B": ("Bx", "By", "Bz"), "V": ("Vx", "Vy", "Vz")}


@dataclass(frozen=True, slots=True)
class _Slack:
    """By how much a total may differ from what its components make: factors and amounts, downwards and upwards."""

    unit: str
    lowest: float
    below: float
    highest: float
    above: float


# The mean of a magnitude is never below the magnitude of the mean, but in turbulence it is well above it: of a total
# that is too large only what no fluctuation within 10 s does is refused. T is linear in its parts.
_SLACK: Final = {
    "B": _Slack("nT", 0.95, 1.0, 1.5, 5.0),
    "V": _Slack("km/s", 0.95, 10.0, 1.5, 100.0),
    "T": _Slack("eV", 0.95, 1.0, 1.05, 1.0),
}


@dataclass(frozen=True, slots=True)
class _Scale:
    """Between which medians a quantity can have its unit."""

    unit: str
    low: float
    high: float


# The quietest and the wildest that a block can be in near-Earth plasma, with room: beyond these lie B in T, V in m/s,
# N in m-3 and T in MK or keV (where it is cold) or K. The dense plasmasphere stays inside.
_SCALE: Final = {
    "B": _Scale("nT", 1e-3, np.inf),
    "V": _Scale("km/s", 0.0, 5000.0),
    "N": _Scale("cm-3", 0.0, 5000.0),
    "T": _Scale("eV", 0.2, 5e4),
}


@dataclass(slots=True)
class _Frame:
    """The frame in which a spacecraft has been sending a vector."""

    name: str
    end_ns: int


class CraftAdmission:
    """Refuses blocks of unknown spacecraft, and those whose numbers cannot be in the units or the frame they should.

    A spacecraft may change its step at any time, and may send its variables in blocks of their own. It may change
    the frame of a vector once its earlier data lie further back than `forget_ns`; a vector that names none is in GSE.

    Parameters
    ----------
    craft : collection of str
        The spacecraft that are configured.
    forget_ns : int
    """

    def __init__(self, craft: Collection[str], forget_ns: int) -> None:
        self._craft = frozenset(craft)
        self._forget_ns = forget_ns
        # By spacecraft and vector, as `MMS1/B`.
        self._frames: dict[str, _Frame] = {}

    def admit(self, block: SampleBlock) -> None:
        """Let a block in, or raise DecodeError with the reason."""
        if block.source not in self._craft:
            raise DecodeError(
                "unknown_craft", f"{block.source} is not listed under 'craft' in the configuration"
            )
        if not _SHORTEST_STEP_NS <= block.step_ns <= _LONGEST_STEP_NS:
            raise DecodeError(
                "step_unsupported",
                f"{block.source} sends every {block.step_ns / SECOND_NS:g} s; regions need 1 s to 10 s",
            )
        rows = dict(zip(block.components, block.values, strict=True))
        if rows.keys().isdisjoint(VARIABLES):
            raise DecodeError(
                "no_quantity",
                f"{block.source} sends {', '.join(block.components)}; used are {' '.join(VARIABLES)}",
            )
        where = f"{block.source} at {iso_time(block.t0_ns)}"
        derived = _derived(rows)
        _check_totals(where, rows, derived)
        _check_units(where, {**derived, **rows})
        self._check_frames(block, where)

    def snapshot(self) -> Json:
        """The frames as JSON."""
        return {name: asdict(frame) for name, frame in self._frames.items()}

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave."""
        self._frames = {
            vector: _Frame(**frame)
            for vector, frame in state.items()
            if vector.partition("/")[0] in self._craft
        }

    def _check_frames(self, block: SampleBlock, where: str) -> None:
        name = block.frame or DEFAULT_FRAME
        vectors = [v for v, parts in _VECTORS.items() if not set(parts).isdisjoint(block.components)]
        for vector in vectors:
            known = self._frames.get(f"{block.source}/{vector}")
            if known is not None and block.t0_ns < known.end_ns + self._forget_ns and name != known.name:
                raise DecodeError("frame_changed", f"{where} sends {vector} in {name} after {known.name}")
        for vector in vectors:
            known = self._frames.get(f"{block.source}/{vector}")
            end_ns = block.end_ns if known is None else max(known.end_ns, block.end_ns)
            self._frames[f"{block.source}/{vector}"] = _Frame(name, end_ns)


def _derived(rows: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The totals that the parts give, by their names."""
    totals = {
        total: np.sqrt(sum((rows[part] ** 2 for part in parts), start=np.zeros(())))
        for total, parts in _VECTORS.items()
        if rows.keys() >= set(parts)
    }
    if rows.keys() >= {"Tpar", "Tperp"}:
        totals["T"] = (rows["Tpar"] + 2.0 * rows["Tperp"]) / 3.0
    return totals


def _check_totals(where: str, rows: Mapping[str, FloatArray], derived: Mapping[str, FloatArray]) -> None:
    """Refuse totals that their own components contradict, by the medians of the block."""
    for name, slack in _SLACK.items():
        if name not in rows or name not in derived:
            continue
        both = ~np.isnan(rows[name]) & ~np.isnan(derived[name])
        if not both.any():
            continue
        given, made = float(np.median(rows[name][both])), float(np.median(derived[name][both]))
        if not slack.lowest * made - slack.below <= given <= slack.highest * made + slack.above:
            raise DecodeError(
                "inconsistent_total",
                f"{where} sends a median {name} of {given:.4g} {slack.unit}, its components make {made:.4g}; "
                "check units and names",
            )


def _check_units(where: str, rows: Mapping[str, FloatArray]) -> None:
    """Refuse quantities whose median no near-Earth plasma has in the unit that they should be in."""
    for name, scale in _SCALE.items():
        values = rows.get(name)
        if values is None or np.isnan(values).all():
            continue
        median = float(np.nanmedian(values))
        if not scale.low <= median <= scale.high:
            raise DecodeError(
                "implausible_unit",
                f"{where} sends a median {name} of {median:.4g}; expected are {scale.unit}",
            )
