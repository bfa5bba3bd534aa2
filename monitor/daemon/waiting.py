"""Small ways to wait on the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def within(work: Awaitable[object], timeout_s: float) -> bool:
    """Whether `work` ends in time; it is cancelled where it does not."""
    try:
        async with asyncio.timeout(timeout_s):
            await work
    except TimeoutError:
        return False
    return True


async def end(task: asyncio.Task[T]) -> None:
    """Cancel a task, where it still runs, and wait for its end; what it raised stays in the task."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def patiently(work: Awaitable[T], patience_s: float, overdue: Callable[[float], None]) -> T:
    """What `work` gives, however long it takes; `overdue` hears the seconds so far each time the patience is over."""
    begin = time.monotonic()
    task = asyncio.ensure_future(work)
    while not (await asyncio.wait({task}, timeout=patience_s))[0]:
        overdue(time.monotonic() - begin)
    return task.result()
