"""Why the daemon is not all that it should be: in the log, in the metrics, and for whoever asks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from monitor.io.metrics import Metrics

logger = logging.getLogger(__name__)

CONCERNS: Final = (
    "start",
    "broker",
    "samples",
    "products",
    "outbox",
    "publishing",
    "silence",
    "retention",
    "worker",
    "configuration",
    "model_flr",
    "model_region",
)
"""Those that are shown from the start; others (`part_…`) appear when they first happen."""


class Degradation:
    """At most one reason for each concern. Every method is called on the loop.

    Parameters
    ----------
    metrics : Metrics
        Shows each concern as `geospace_degraded`.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._reasons: dict[str, str] = {}
        for concern in CONCERNS:
            metrics.degraded(concern, degraded=False)

    @property
    def reasons(self) -> list[str]:
        """A line for each concern that is in trouble."""
        return list(self._reasons.values())

    def note(self, concern: str, reason: str | None, *, quietly: bool = False) -> None:
        """Set the reason of a concern, None for none; log what changes, unless somebody else does."""
        before = self._reasons.pop(concern, None)
        if reason is not None:
            self._reasons[concern] = reason
        if before == reason:
            return
        self._metrics.degraded(concern, degraded=reason is not None)
        if quietly:
            return
        if reason is None:
            logger.info("%s: recovered", concern)
        else:
            logger.error("degraded: %s", reason)

    def begin(self) -> None:
        """Forget what the last run said of itself, for a new run; what is amiss with the configuration outlives it."""
        for concern in [one for one in self._reasons if one != "configuration"]:
            self._metrics.degraded(concern, degraded=False)
            del self._reasons[concern]

    def note_all(self, prefix: str, reasons: Mapping[str, str]) -> None:
        """Set the reasons of all concerns of a prefix: those that are not named have none any more."""
        for concern in [one for one in self._reasons if one.startswith(prefix) and one not in reasons]:
            self.note(concern, None)
        for concern, reason in reasons.items():
            self.note(concern, reason, quietly=True)
