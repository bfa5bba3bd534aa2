"""When a plugin has failed too often."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

HOUR_S: Final = 3600.0


class Strikes:
    """How often a process was lost within an hour.

    Parameters
    ----------
    allowed : int
        So often it is begun again.
    monotonic_s : callable
    """

    def __init__(self, allowed: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._allowed = allowed
        self._monotonic_s = monotonic_s
        self._times: deque[float] = deque()

    def add(self) -> bool:
        """Take a loss; whether it was one too many."""
        now = self._monotonic_s()
        while self._times and now - self._times[0] >= HOUR_S:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) > self._allowed
