"""What comes in: arrays, times, messages, samples and the pairs that they belong to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
ComplexArray: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
RealArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Json: TypeAlias = Any
"""What `json.dumps` takes: a dict, list, string, number, boolean or None."""

SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(time_ns: int) -> str:
    """Format a time as ISO 8601 UTC with `Z`, with only as many decimals as the time has."""
    seconds, fraction = divmod(int(time_ns), SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{decimals}Z"


class Domain(StrEnum):
    """Which side of the monitor a source belongs to; an index (Kp) is no side, but something to hold against both."""

    GROUND = "ground"
    CRAFT = "craft"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came: bytes under a topic, and when it was received (ns UTC)."""

    topic: str
    payload: bytes
    received_ns: int


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Evenly spaced samples of one source, decoded and in the units of the contract.

    Attributes
    ----------
    source : str
        Station code or spacecraft id, upper case.
    components : tuple of str
        Names of the rows of `values`, as in the native format (`H`, `X`, `Bx`, `N`, …).
    t0_ns, step_ns : int
        Time of the first sample, and the step.
    values : ndarray, shape (c, n), float64
        nT on the ground, the units of the native craft message in space; NaN is a gap. D and I are angles in
        degrees where they come as ImagMQTT; in the native format D is the variation towards magnetic east in nT.
    domain : Domain
    level : int
        Processing level; where two levels give the same sample, the higher wins (ImagMQTT 1–4, else 0).
    sensor : str or None
        The instrument, where the message names one.
    frame : str or None
        Coordinate frame of spacecraft vectors (`gse`, `gsm`, `dmpa`, `dbcs`).
    """

    source: str
    components: tuple[str, ...]
    t0_ns: int
    step_ns: int
    values: FloatArray
    domain: Domain = Domain.GROUND
    level: int = 0
    sensor: str | None = None
    frame: str | None = None

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.values.shape[1])

    @property
    def end_ns(self) -> int:
        """End of the last sample: its time plus one step."""
        return self.t0_ns + self.count * self.step_ns

    @property
    def is_scalar(self) -> bool:
        """Whether it is of the scalar instrument (S) beside a station's vector, and says nothing of the vector itself."""
        return is_scalar(self.components)


def is_scalar(components: Collection[str]) -> bool:
    """Whether these are of a scalar instrument beside a vector: S, measured by itself, and nothing with a direction."""
    return "S" in components and {"F", "S"}.issuperset(components)


@dataclass(frozen=True, slots=True)
class Tick:
    """Monotonic time that passed while no input waited (ns). The only clock the stages ever see."""

    elapsed_ns: int


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two stations on a meridian. `l_shell` is the pair's own L where it is known."""

    poleward: str
    equatorward: str
    l_shell: float | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """`POLEWARD-EQUATORWARD`, as in topics and metrics."""
        return f"{self.poleward}-{self.equatorward}"

    @property
    def stations(self) -> tuple[str, str]:
        """Poleward and equatorward code."""
        return (self.poleward, self.equatorward)
