"""Records of several partitions in the order of their times, though each partition comes at its own pace. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")


class Merging(Generic[P, R]):
    """Holds records back until no earlier ones can come from another partition.

    After an outage partitions have backlogs of different lengths. Taken as they come, the samples of one station would
    run hours ahead of the others', and windows would be closed without these. So records go on only up to the earliest
    time at which a partition stands, and a little further.

    Parameters
    ----------
    time_ns : callable
        Time of a record.
    slack_ns : int
        How far the others may go on after the last record of a partition.
    """

    def __init__(self, time_ns: Callable[[R], int], slack_ns: int) -> None:
        self._time_ns = time_ns
        self._slack_ns = slack_ns
        self._held: dict[P, deque[R]] = {}

    def add(self, partition: P, records: Iterable[R]) -> None:
        """Take records of a partition, in their order."""
        self._held.setdefault(partition, deque()).extend(records)

    def drop(self, partitions: Iterable[P]) -> None:
        """Forget what is held of partitions that are somebody else's now."""
        for partition in partitions:
            self._held.pop(partition, None)

    @property
    def any(self) -> bool:
        """Whether anything is held."""
        return any(self._held.values())

    def wants(self, partitions: Iterable[P]) -> list[P]:
        """The partitions of which nothing is held: what comes next there is not known."""
        return [one for one in partitions if not self._held.get(one)]

    def release(self, most: int) -> list[tuple[P, R]]:
        """Records that may go on, no more than `most`, by time; those of a partition in their order."""
        queues = list(self._held.items())
        heads = [(self._time_ns(held[0]), number) for number, (_, held) in enumerate(queues) if held]
        heapq.heapify(heads)
        released: list[tuple[P, R]] = []
        until_ns: float = inf
        while heads and len(released) < most:
            time_ns, number = heapq.heappop(heads)
            if time_ns > until_ns:
                break
            partition, held = queues[number]
            released.append((partition, held.popleft()))
            if held:
                heapq.heappush(heads, (self._time_ns(held[0]), number))
            else:
                until_ns = min(until_ns, time_ns + self._slack_ns)
        return released
