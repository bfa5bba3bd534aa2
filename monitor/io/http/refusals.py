"""What the HTTP server refuses: counted each time, told once a minute. A flood of requests must not be one of lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

REASONS: Final = {
    "full": "so many connections are open that the one that had waited longest was closed",
    "slow_request": "a request did not come whole in time",
    "slow_reader": "an answer was not taken in time",
    "unreadable": "a request cannot be read",
    "host": "a request names a host that this is not (see http.public_url)",
    "credentials": "a user, password or token is missing or wrong",
    "guessing": "wrong passwords or tokens came so often that no more were looked at",
}
"""Why something is refused: the label of the counter, and what the log says."""

_INTERVAL_S = 60.0


class Refusals:
    """Counts refusals, and logs the first of a kind in a minute with the number of those before it.

    Parameters
    ----------
    count : callable
        Called with the reason of each.
    """

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._told_s: dict[str, float] = {}
        self._since = dict.fromkeys(REASONS, 0)

    def note(self, reason: str, peer: str) -> None:
        """Take note of a refusal; `peer` is the address that the system gave, never what a client said."""
        self._count(reason)
        now_s = time.monotonic()
        told_s = self._told_s.get(reason)
        if told_s is not None and now_s - told_s < _INTERVAL_S:
            self._since[reason] += 1
            return
        more = f"; {self._since[reason]} more like it before" if self._since[reason] else ""
        self._told_s[reason], self._since[reason] = now_s, 0
        logger.warning("HTTP: %s (from %s%s)", REASONS[reason], peer or "nobody any more", more)
