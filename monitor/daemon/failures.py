"""Says what failed in the pipeline: every time in the metrics, and once a minute for each part in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from monitor.io.metrics import Metrics
from monitor.pipeline.added import PREFIX
from monitor.pipeline.guard import ALL, Failure

logger = logging.getLogger(__name__)

_INTERVAL_NS = 60 * 1_000_000_000


class Failures:
    """Counts and logs failures; the first of each part, and of each kind of error in it, with its traceback.

    Parameters
    ----------
    metrics : Metrics
    monotonic_ns : callable
    """

    def __init__(self, metrics: Metrics, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._metrics = metrics
        self._monotonic_ns = monotonic_ns
        self._told_ns: dict[str, int] = {}
        self._since: dict[str, int] = {}
        self._seen: set[tuple[str, type[Exception]]] = set()
        # Faults outside the stages, and what they were: until the same part has worked.
        self._outside: dict[str, str] = {}

    def note(self, failure: Failure) -> None:
        """Take a failure."""
        part, now = failure.part, self._monotonic_ns()
        self._metrics.part_failed(part)
        if part.startswith(PREFIX):
            self._metrics.plugins.failed(part.removeprefix(PREFIX), "stage")
        told = self._told_ns.get(part)
        if told is not None and now - told < _INTERVAL_NS:
            self._since[part] = self._since.get(part, 0) + 1
            return
        since = self._since.pop(part, 0)
        more = f" ({since} more in the last minute)" if since else ""
        kind = (part, type(failure.error))
        logger.error(
            "%s failed%s: %s: what it was asked is left out, the rest goes on; please report this%s",
            part,
            "" if failure.subject == ALL else f" for {failure.subject[:120]!r}",
            repr(failure.error)[:300],
            more,
            exc_info=None if kind in self._seen else failure.error,
        )
        self._told_ns[part] = now
        self._seen.add(kind)

    def outside(self, part: str, error: Exception) -> None:
        """Take a failure that no stage raised."""
        self._outside[part] = (
            f"{part} fails ({type(error).__name__}): what it had in hand is left out, please report this"
        )
        self.note(Failure(part, ALL, error))

    def worked(self, part: str) -> None:
        """Say that a part that is no stage has worked."""
        if self._outside:
            self._outside.pop(part, None)

    def reasons(self, stages: Mapping[str, str]) -> dict[str, str]:
        """Why what the stages say is not all that it should be, by concern; `stages` are those of the pipeline."""
        return {f"part_{part}": line for part, line in {**stages, **self._outside}.items()}
