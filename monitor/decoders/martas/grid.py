"""From samples with times of their own to a grid: what stands on it stays as it is, the rest is interpolated.

The windows want even steps, and a shift of 0.3 s is 2.2 degrees of cross-phase at 20 mHz. So nothing is moved further
than 10 ms (0.07 degrees there). A clock that is always off by the same amount keeps that: the grid takes its phase,
which the spectra correct exactly. What wanders, as an acquisition that stamps with the time of its computer does, is
interpolated between neighbours: linearly, which shifts no phase (less than 0.002 degrees at 20 mHz) and takes at most
1 - cos(pi f s) of the amplitude, 0.2 % at 20 mHz and steps of 1 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.types import SECOND_NS, FloatArray, IntArray, Json

_SNAP_NS: Final = 10_000_000
_LEARN: Final = 5
"""So many samples tell the step and the phase; until then they wait."""
_UNLEARN: Final = 10
"""After so many equal intervals of another length they are learnt anew: a line that loses samples has unequal ones."""
_STEPS_NS: Final[tuple[int, ...]] = tuple(
    [SECOND_NS // rate for rate in (20, 16, 10, 8, 5, 4, 2, 1)]
    + [seconds * SECOND_NS for seconds in (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60)]
)
"""The grids that the windows can use: whole parts of a second, or whole seconds, a fifth and more apart."""
_NEAR: Final = 1.15
"""How many times an interval may be a step, or a step an interval."""
_BACK_NS: Final = 3600 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Run:
    """Samples that follow on each other on the grid."""

    t0_ns: int
    step_ns: int
    values: FloatArray


@dataclass(slots=True)
class _Held:
    """Samples (c, n) with their times, in the order of time."""

    times_ns: IntArray
    values: FloatArray


@dataclass(slots=True)
class Grid:
    """The grid of one sensor, and the sample that came last.

    Attributes
    ----------
    forced_ns : int or None
        The step that is configured, in place of the one that the samples have.
    step_ns, phase_ns : int
        The points are at phase + k · step; step 0 is not known yet.
    interval_ns : int
        Between samples, as they come.
    odd, odd_ns : int
        How many intervals in a row were of another length, and that length.
    """

    forced_ns: int | None = None
    step_ns: int = 0
    phase_ns: int = 0
    interval_ns: int = 0
    odd: int = 0
    odd_ns: int = 0
    held: _Held | None = None
    last: _Held | None = None

    def place(self, times_ns: IntArray, values: FloatArray) -> list[Run]:
        """The runs that samples (c, n) complete. None while the grid is being learnt, or a neighbour is awaited."""
        times_ns, values = _in_order(times_ns, values)
        if not self.step_ns:
            if self.held is not None and len(self.held.values) == len(values):
                times_ns, values = _in_order(
                    np.concatenate([self.held.times_ns, times_ns]), np.hstack([self.held.values, values])
                )
            self.held = _Held(times_ns, values)
            if len(times_ns) < _LEARN:
                return []
            self._learn(times_ns)
            self.held = None
        newest = None if self.last is None else int(self.last.times_ns[0])
        if newest is not None and newest - times_ns[-1] > _BACK_NS:
            # No late sample, but a clock that was set back, or an archive that is played.
            newest = self.last = None
        late = 0 if newest is None else int(np.searchsorted(times_ns, newest, side="right"))
        runs = self._runs(times_ns[:late], values[:, :late]) if late else []
        if late < len(times_ns):
            runs += self._go_on(times_ns[late:], values[:, late:])
        return runs

    def forget(self) -> None:
        """The columns have changed: the last sample is no neighbour of the next."""
        self.held = self.last = None

    def _go_on(self, times_ns: IntArray, values: FloatArray) -> list[Run]:
        follows = self.last is not None and len(self.last.values) == len(values)
        if self.last is not None and follows:
            times_ns = np.concatenate([self.last.times_ns, times_ns])
            values = np.hstack([self.last.values, values])
        self.last = _Held(times_ns[-1:], values[:, -1:])
        runs = self._runs(times_ns, values, follows=follows)
        self._watch(np.diff(times_ns))
        return runs

    def _learn(self, times_ns: IntArray) -> None:
        self.interval_ns = _interval(np.diff(times_ns))
        self.step_ns = self.forced_ns or _usable_step(self.interval_ns)
        self.odd = 0
        off = (times_ns - times_ns[0] + self.step_ns // 2) % self.step_ns - self.step_ns // 2
        middle = int(np.median(off))
        steady = bool(np.abs(off - middle).max() <= self._snap_ns)
        phase = (int(times_ns[0]) + middle) % self.step_ns if steady else 0
        self.phase_ns = 0 if min(phase, self.step_ns - phase) <= self._snap_ns else phase

    def _watch(self, intervals_ns: IntArray) -> None:
        """A sensor that was set to another rate is learnt anew."""
        for interval_ns in intervals_ns.tolist():
            if abs(interval_ns - self.interval_ns) <= self.interval_ns // 3:
                self.odd = 0
            elif self.odd and abs(interval_ns - self.odd_ns) <= self.odd_ns // 10:
                self.odd += 1
            else:
                self.odd, self.odd_ns = 1, interval_ns
        if self.odd >= _UNLEARN:
            self.step_ns = self.odd = 0

    @property
    def _snap_ns(self) -> int:
        return min(_SNAP_NS, self.step_ns // 20)

    def _runs(self, times_ns: IntArray, values: FloatArray, *, follows: bool = False) -> list[Run]:
        """The grid points that stand at a sample, or between two that are no more than a step and a half apart.

        `follows` is whether the first sample was here before: its own point is given already.
        """
        places = (times_ns - self.phase_ns + self.step_ns // 2) // self.step_ns
        stands = np.abs(times_ns - self.phase_ns - places * self.step_ns) <= self._snap_ns
        new = stands.copy()
        new[0] &= not follows
        points, found = [places[new]], [values[:, new]]
        if stands.all():
            # Between two that stand there is no point, or a gap.
            return self._joined(points[0], found[0])
        first = (times_ns - self.phase_ns)[:-1] // self.step_ns + 1
        near = np.diff(times_ns) <= self.step_ns * 3 // 2
        for ahead in (0, 1):
            point = first + ahead
            at = point * self.step_ns + self.phase_ns
            between = near & (at < times_ns[1:]) & ~np.isin(point, places[stands])
            weight = (at - times_ns[:-1]) / np.maximum(np.diff(times_ns), 1)
            mixed = values[:, :-1] * (1.0 - weight) + values[:, 1:] * weight
            points.append(point[between])
            found.append(mixed[:, between])
        return self._joined(np.concatenate(points), np.hstack(found))

    def _joined(self, points: IntArray, values: FloatArray) -> list[Run]:
        points, values = _in_order(points, values)
        if not len(points):
            return []
        breaks = np.flatnonzero(np.diff(points) != 1) + 1
        return [
            Run(
                int(part[0]) * self.step_ns + self.phase_ns,
                self.step_ns,
                values[:, begin : begin + len(part)],
            )
            for begin, part in zip([0, *breaks.tolist()], np.split(points, breaks), strict=True)
        ]

    def snapshot(self) -> Json:
        """What is known of the grid, as JSON; NaN is null there."""
        return {
            "step_ns": self.step_ns,
            "phase_ns": self.phase_ns,
            "interval_ns": self.interval_ns,
            "odd": self.odd,
            "odd_ns": self.odd_ns,
            "held": _to_json(self.held),
            "last": _to_json(self.last),
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave. A grid of another step than is configured now is learnt anew."""
        self.held, self.last = _from_json(state["held"]), _from_json(state["last"])
        if self.forced_ns is not None and state["step_ns"] != self.forced_ns:
            return
        self.step_ns, self.phase_ns = int(state["step_ns"]), int(state["phase_ns"])
        self.interval_ns = int(state["interval_ns"])
        self.odd, self.odd_ns = int(state["odd"]), int(state["odd_ns"])


def _interval(intervals_ns: IntArray) -> int:
    """What lies between samples, of the first intervals: some may be gaps, or all of them jitter.

    It is the step that occurs and of which all are multiples; else the median or the mean, whichever is nearer to a
    step: gaps leave the median as it is, and jitter the mean.
    """
    fits: dict[int, float] = {}
    for step_ns in _STEPS_NS:
        multiples = np.round(intervals_ns / step_ns)
        off = float(np.abs(intervals_ns / step_ns - multiples).max())
        if multiples.min() == 1 and off <= _NEAR - 1:
            fits[step_ns] = off
    if fits:
        return min(fits, key=lambda step_ns: fits[step_ns])
    median, mean = max(1, int(np.median(intervals_ns))), max(1, int(np.mean(intervals_ns)))
    return min(median, mean, key=_apart)


def _apart(interval_ns: int) -> float:
    """How many times an interval is the nearest of the steps, or that the interval."""
    return min(max(interval_ns / step_ns, step_ns / interval_ns) for step_ns in _STEPS_NS)


def _usable_step(interval_ns: int) -> int:
    """The step that samples have, or the next longer one where none is near; the longest where all are shorter."""
    if _apart(interval_ns) <= _NEAR:
        return min(_STEPS_NS, key=lambda step_ns: max(interval_ns / step_ns, step_ns / interval_ns))
    return next((step_ns for step_ns in _STEPS_NS if interval_ns <= step_ns), _STEPS_NS[-1])


def _in_order(keys: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Columns in the order of their keys; of those with the same key the last."""
    if len(keys) > 1 and (np.diff(keys) <= 0).any():
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[:, order]
        last = np.append(np.diff(keys) != 0, True)
        keys, values = keys[last], values[:, last]
    return keys, values


def _to_json(held: _Held | None) -> Json:
    if held is None:
        return None
    columns = [[None if np.isnan(value) else value for value in row] for row in held.values.tolist()]
    return [held.times_ns.tolist(), columns]


def _from_json(state: Json) -> _Held | None:
    if state is None:
        return None
    times_ns, columns = np.array(state[0], dtype=np.int64), np.array(state[1], dtype=np.float64)
    if times_ns.ndim != 1 or columns.ndim != 2 or columns.shape[1] != len(times_ns) or not len(times_ns):
        raise ValueError("samples of no shape")
    return _Held(times_ns, columns)
