"""What outlives a run of the daemon: whoever watches it sees no break where a new configuration takes over."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from monitor.daemon.degradation import Degradation
from monitor.io.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Lasting:
    """Metrics, reasons and the time of the start: made once, and handed from one run to the next."""

    metrics: Metrics = field(default_factory=Metrics)
    started_ns: int = field(default_factory=time.time_ns)
    degradation: Degradation = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "degradation", Degradation(self.metrics))
