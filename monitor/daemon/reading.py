"""What the worker knew at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.types import Json, Standing


@dataclass(frozen=True, slots=True)
class Reading:
    """What the worker knew at one moment: a copy that other threads may read while it works on."""

    source_clocks: Mapping[str, int] = field(default_factory=dict)
    health: Mapping[str, str] = field(default_factory=dict)
    latest: Mapping[str, Json] = field(default_factory=dict)
    chains: Mapping[str, Json] = field(default_factory=dict)
    regions: Mapping[str, Json] = field(default_factory=dict)
    events: Sequence[Json] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    too_late_samples: int = 0
    # Why what is said may not be all, by concern; and when this was read (ns UTC).
    failing: Mapping[str, str] = field(default_factory=dict)
    read_ns: int = 0
    # How decoders and added stages stand, by name.
    plugins: Mapping[str, Standing] = field(default_factory=dict)
