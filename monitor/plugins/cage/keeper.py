"""Keeps the process of one plugin: begins it, begins it again where it is lost, and gives up at last."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from monitor.errors import PluginError
from monitor.plugins.cage import wire
from monitor.plugins.cage.process import AskedError, Limits, LostError, Process
from monitor.plugins.cage.strikes import Strikes
from monitor.plugins.found import Found
from monitor.types import Json, Standing, State, Surroundings

logger = logging.getLogger(__name__)

R = TypeVar("R")

_INSTEAD: Final = "mend or uninstall it, and reload or restart"


class OffError(Exception):
    """The plugin is switched off."""


class Keeper:
    """Answers for one plugin in a process of its own.

    A plugin that raises is asked again the next time. One whose process ends, gives no answer in time or speaks
    nonsense is killed and begun anew before the next question; after too many times in an hour it is switched off.

    Parameters
    ----------
    found : Found
    options : mapping
    surroundings : Surroundings
    limits : Limits
    wall_ns : callable
        The time of day (ns UTC): for what is shown.

    Raises
    ------
    PluginError
        It cannot be imported or made.
    """

    def __init__(
        self,
        found: Found,
        options: Mapping[str, Json],
        surroundings: Surroundings,
        limits: Limits,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.found = found
        self.limits = limits
        self.name = surroundings.name
        self._options = options
        self._surroundings = surroundings
        self._wall_ns = wall_ns
        self._strikes = Strikes(limits.restarts)
        self._process: Process | None = None
        self._standing = Standing("running", None, wall_ns())
        self.ready: wire.Ready
        self._begun()

    @property
    def standing(self) -> Standing:
        """How it stands; may be read in any thread."""
        return self._standing

    @property
    def is_off(self) -> bool:
        """Whether it is asked no more."""
        return self._standing.state == "off"

    def process(self, revive: Callable[[Process], None] = lambda _process: None) -> Process:
        """Its process, begun anew where the last one was lost; `revive` brings a new one to where the last one was.

        Raises
        ------
        OffError
            It is switched off, now or before.
        """
        process = self._process
        if process is not None and process.is_over:
            # It was not busy with anything: nothing that it was asked is to blame.
            self.strike(process.lost(process.ending()))
            process = None
        while process is None:
            if self.is_off:
                raise OffError(self._standing.reason or "")
            process = self._begun_again(revive)
        return process

    def ask(
        self,
        request: wire.ToPlugin,
        expected: type[R],
        revive: Callable[[Process], None] = lambda _process: None,
    ) -> R:
        """What the plugin answers.

        Raises
        ------
        PluginError
            It raised, or was lost over this.
        OffError
            It is switched off, now or before.
        """
        process = self.process(revive)
        try:
            answer = process.ask(request, expected)
        except AskedError as error:
            raise self.raised(str(error)) from None
        except LostError as error:
            self.strike(error)
            raise self.found.error(str(error)) from None
        self.worked()
        return answer

    def raised(self, text: str) -> PluginError:
        """Take note that the plugin raised; the error to raise here."""
        reason = f"raised {text}"
        self._stand("failed", reason)
        return self.found.error(reason)

    def worked(self) -> None:
        """Take note that the plugin did what it was asked."""
        if self._standing.state == "failed":
            self._stand("running")

    def strike(self, error: Exception) -> None:
        """Take note that the process is lost; begin it no more where that was once too often."""
        self.drop()
        if self._strikes.add():
            times = f"{self.limits.restarts + 1} times within an hour, the last time because it"
            self._off(f"its process was lost {times} {error}")
            return
        logger.error("plugin %s %s: its process is killed and begun anew", self.name, error)
        self._stand("failed", str(error))

    def drop(self) -> None:
        """End its process without blame; the next question begins a new one."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def end(self) -> None:
        """End its process; it is asked no more."""
        self.drop()
        if not self.is_off:
            self._stand("off", "it was ended with the monitor")

    def _off(self, why: str) -> None:
        reason = f"it is switched off: {why}; {_INSTEAD}"
        logger.error("plugin %s (%s): %s", self.name, self.found.distribution, reason)
        self._stand("off", reason)

    def _begun_again(self, revive: Callable[[Process], None]) -> Process | None:
        try:
            process = self._begun()
            revive(process)
        except (LostError, AskedError, PluginError) as error:
            self.strike(LostError(error.reason) if isinstance(error, PluginError) else error)
            return None
        stands = self._standing
        self._stand(stands.state, stands.reason, stands.restarts + 1)
        logger.info("plugin %s: its process is begun anew", self.name)
        return process

    def _begun(self) -> Process:
        process = Process(self.found, self._options, self._surroundings, self.limits)
        try:
            self.ready = process.begin(wire.Ready)
        except AskedError as error:
            process.kill()
            raise self.found.error(str(error)) from None
        except LostError as error:
            raise self.found.error(f"{error} when it was begun; {_INSTEAD}") from None
        self._process = process
        return process

    def _stand(self, state: State, reason: str | None = None, restarts: int | None = None) -> None:
        before = self._standing
        self._standing = Standing(
            state,
            reason,
            before.since_ns if state == before.state else self._wall_ns(),
            before.restarts if restarts is None else restarts,
        )
