"""The daemon's one worker thread: calls go in one after the other, and each that ends shows that it lives."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """Runs calls in the order in which they are asked for, away from the loop."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="worker", initializer=self._begin
        )
        self._clock: int | None = None
        self._answers = 0
        self._steps = 0

    def _begin(self) -> None:
        self._clock = time.pthread_getcpuclockid(threading.get_ident())

    @property
    def turns(self) -> tuple[int, int]:
        """Another with every call that has ended, and with every step of one that takes long."""
        return self._answers, self._steps

    @property
    def effort(self) -> tuple[object, float]:
        """The same, and another while the thread is busy: for what has no steps, and cannot go round for ever."""
        try:
            return self.turns, 0.0 if self._clock is None else time.clock_gettime(self._clock)
        except OSError:
            # The thread has ended.
            return self.turns, 0.0

    def step(self) -> None:
        """Say, in the thread, that the call under way has come a step further."""
        self._steps += 1

    async def call(self, call: Callable[..., T], *arguments: object) -> T:
        """What `call` gives, or raises, in the thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)
        finally:
            self._answers += 1

    def shutdown(self) -> None:
        """Wait for what was asked for, and end the thread; harmless when it has ended."""
        self._executor.shutdown()
