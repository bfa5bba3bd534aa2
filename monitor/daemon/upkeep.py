"""Keeps a plugin going: begun again after whatever it raises, later each time, until it is switched off."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from monitor.errors import MonitorError, PluginError, PluginOffError, StoreDamagedError
from monitor.io.metrics import PluginMetrics
from monitor.types import Kind, Standing, State

logger = logging.getLogger(__name__)

_REASON_CHARACTERS: Final = 300
_LOG_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for plugins (s).

    Attributes
    ----------
    first_s, longest_s : float
        Before one that raised is begun again: up to twice as long each time. The time is drawn from zero to that, so
        that many that lost one server do not come back to it together.
    steady_s : float
        A source that runs for so long has worked: it may have nothing to bring.
    open_s, write_s, close_s : float
        For a sink to get ready, to take products, and to let go.
    end_s : float
        For one that is told to end.
    """

    first_s: float = 2.0
    longest_s: float = 300.0
    steady_s: float = 60.0
    open_s: float = 60.0
    write_s: float = 60.0
    close_s: float = 10.0
    end_s: float = 5.0


class Upkeep:
    """How one plugin stands, and the loop that begins it again. Every method is called on the loop.

    Parameters
    ----------
    name : str
        What it is called in the configuration.
    kind : Kind
    metrics : PluginMetrics
    patience : Patience
    """

    def __init__(self, name: str, kind: Kind, metrics: PluginMetrics, patience: Patience) -> None:
        self.name = name
        self.kind = kind
        self._metrics = metrics
        self._patience = patience
        self._tries = 0
        self._told_s: dict[str, float] = {}
        self.standing = Standing("waiting", None, time.time_ns())
        metrics.up(name, kind, up=False)

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`, which has no end, again and again until cancelled or switched off. Raises StoreDamagedError."""
        while True:
            try:
                await work()
                raise PluginError(self.name, "", "ended by itself")
            except (asyncio.CancelledError, StoreDamagedError):
                raise
            except PluginOffError as error:
                self.switch_off(str(error))
                return
            except Exception as error:  # noqa: BLE001  (whatever a plugin raises: it must not cost the others)
                self._failed(error)
            longest_s = min(self._patience.longest_s, self._patience.first_s * 2.0**self._tries)
            self._tries = min(self._tries + 1, 32)
            await asyncio.sleep(random.uniform(0.0, longest_s))  # noqa: S311  (no secret)
            self._stand(self.standing.state, self.standing.reason, self.standing.restarts + 1)

    def begin(self) -> None:
        """Say that it has been begun; where it failed before, that is not over until it has worked."""
        if self.standing.state == "waiting":
            self._stand("running", None)

    def worked(self) -> None:
        """Say that it has done what it is for."""
        self._tries = 0
        if self.standing.state != "running":
            if self.standing.state == "failed":
                logger.info("%s %s: works again", self.kind, self.name)
            self._stand("running", None)

    def switch_off(self, reason: str) -> None:
        """Say that it is not begun again before the next reload or restart."""
        logger.error("%s %s is off: %s", self.kind, self.name, reason)
        self._metrics.failed(self.name, self.kind)
        self._stand("off", reason)

    def _failed(self, error: Exception) -> None:
        reason = said(error)
        self._metrics.failed(self.name, self.kind)
        # A line a minute for each reason, the first with its traceback: a server that is away for a night says little.
        now = time.monotonic()
        if now - self._told_s.get(reason, -_LOG_S) >= _LOG_S:
            known = reason in self._told_s or isinstance(error, MonitorError)
            self._told_s = {reason: now}
            logger.error(
                "%s %s failed: %s; it is begun again",
                self.kind,
                self.name,
                reason,
                exc_info=None if known else error,
            )
        self._stand("failed", reason)

    def _stand(self, state: State, reason: str | None, restarts: int | None = None) -> None:
        before = self.standing
        since_ns = before.since_ns if before.state == state else time.time_ns()
        self.standing = Standing(state, reason, since_ns, before.restarts if restarts is None else restarts)
        self._metrics.up(self.name, self.kind, up=state == "running")


async def end_within(task: asyncio.Task[None], name: str, limit_s: float) -> None:
    """Cancel a task of a plugin and wait for its end, but not for ever."""
    task.cancel()
    _, pending = await asyncio.wait({task}, timeout=limit_s)
    if pending:
        logger.error("%s does not end within %g s after it was told to: it is left behind", name, limit_s)


def said(error: BaseException) -> str:
    """An exception in a line of bounded length."""
    text = " ".join(str(error).split())
    if not isinstance(error, MonitorError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= _REASON_CHARACTERS else text[: _REASON_CHARACTERS - 3] + "..."
