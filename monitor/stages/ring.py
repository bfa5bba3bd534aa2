"""A ring buffer of evenly spaced samples in event time."""

from __future__ import annotations

import numpy as np

from monitor.types import FloatArray


class Ring:
    """The latest samples of one station on its own grid: sample k stands at `phase_ns` + k · `step_ns`.

    The memory is taken at once and never grows. Values come in any order: a gap (NaN) never overwrites a value,
    and of two processing levels the higher wins.
    """

    def __init__(self, step_ns: int, phase_ns: int, span_ns: int) -> None:
        self.step_ns = step_ns
        self.phase_ns = phase_ns
        self._capacity = max(1, -(-span_ns // step_ns))
        self._values = np.full(self._capacity, np.nan)
        self._levels = np.zeros(self._capacity, dtype=np.uint8)
        self._end: int | None = None

    @property
    def oldest_ns(self) -> int | None:
        """Earliest time that the ring can still hold; None before the first sample."""
        return None if self._end is None else self._time(self._end - self._capacity)

    def write(self, t0_ns: int, values: FloatArray, level: int) -> tuple[int, int, int]:
        """Take samples from `t0_ns` on; return the time span whose content changed, and how many were too old.

        The span is empty (equal ends) where nothing changed.
        """
        if values.size == 0:
            return t0_ns, t0_ns, 0
        first = (t0_ns - self.phase_ns + self.step_ns // 2) // self.step_ns
        too_old = 0
        if self._end is None:
            self._end = first
        oldest = max(self._end, first + values.size) - self._capacity
        if first < oldest:
            too_old = min(oldest - first, values.size)
            values, first = values[too_old:], oldest
        if values.size == 0:
            return t0_ns, t0_ns, too_old
        self._advance(first + values.size)
        at = np.arange(first, first + values.size) % self._capacity
        held, held_level = self._values[at], self._levels[at]
        there = ~np.isnan(values)
        take = there & (np.isnan(held) | ((level >= held_level) & (values != held)))
        changed = np.flatnonzero(take)
        # A value said again at a higher level keeps its number and gains the level.
        self._levels[at[there & (level > held_level)]] = level
        if changed.size == 0:
            return t0_ns, t0_ns, too_old
        self._values[at[changed]] = values[changed]
        self._levels[at[changed]] = level
        return self._time(first + int(changed[0])), self._time(first + int(changed[-1]) + 1), too_old

    def read(self, start_ns: int, end_ns: int) -> tuple[FloatArray, int]:
        """Samples whose times lie in [start, end), NaN where there is none, and by how much the first lags start."""
        first = -(-(start_ns - self.phase_ns) // self.step_ns)
        last = -(-(end_ns - self.phase_ns) // self.step_ns)
        values = np.full(last - first, np.nan)
        if self._end is not None:
            low, high = max(first, self._end - self._capacity), min(last, self._end)
            if low < high:
                begin, size = low % self._capacity, high - low
                head = min(size, self._capacity - begin)
                values[low - first : low - first + head] = self._values[begin : begin + head]
                values[low - first + head : high - first] = self._values[: size - head]
        return values, self._time(first) - start_ns

    def _advance(self, end: int) -> None:
        """Move the newest end, forgetting what falls out of the ring."""
        assert self._end is not None
        if end <= self._end:
            return
        fresh = min(end - self._end, self._capacity)
        at = np.arange(end - fresh, end) % self._capacity
        self._values[at] = np.nan
        self._levels[at] = 0
        self._end = end

    def _time(self, index: int) -> int:
        return self.phase_ns + index * self.step_ns
