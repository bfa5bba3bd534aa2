"""The daemon as a service: from its start to its end it tells the service manager how it stands, and that it lives."""

from __future__ import annotations

import asyncio
import logging

from monitor.config import Config
from monitor.daemon.health import ServiceManager, Watch
from monitor.daemon.lasting import Lasting
from monitor.daemon.runtime import Daemon
from monitor.daemon.waiting import end

logger = logging.getLogger(__name__)

# How often it is looked whether all goes on: several times in the watchdog's interval.
_LOOK_S = 5.0
_LOOKS = 4
# Asked for at each look while a start or an end comes on: more than lies between two looks.
_EXTENSION_S = 30.0


class Service:
    """Runs the daemon until it is stopped.

    Parameters
    ----------
    config : Config
    manager : ServiceManager
        Hears when it is ready, how it stands, and that it lives.
    """

    def __init__(self, config: Config, manager: ServiceManager) -> None:
        self._manager = manager
        self._lasting = Lasting()
        self._watch = Watch()
        self._daemon = Daemon(config, lasting=self._lasting, on_ready=self._on_ready)

    def stop(self) -> None:
        """End in order (call it on the loop)."""
        self._manager.stopping("ending")
        self._daemon.stop()

    async def run(self) -> None:
        """Run until `stop`. Raises MonitorError as `Daemon.run` does."""
        report = asyncio.create_task(self._report(), name="report")
        try:
            await self._daemon.run()
        finally:
            await end(report)

    def _on_ready(self, _url: str) -> None:
        self._manager.ready(self._daemon.summary)

    async def _report(self) -> None:
        """Tell the service manager how it stands; where all goes round, give its watchdog a sign of life."""
        if not self._manager.listens:
            return
        watchdog_s = self._manager.watchdog_s
        every_s = _LOOK_S if watchdog_s is None else min(_LOOK_S, watchdog_s / _LOOKS)
        told: dict[str, float] = {}
        while True:
            standing = self._watch.look(self._daemon.parts(), every_s)
            if not standing:
                if self._daemon.phase:
                    self._manager.extend(_EXTENSION_S)
                if watchdog_s is not None:
                    self._manager.alive()
            elif watchdog_s is not None:
                self._tell_of_standstill(standing, told, watchdog_s)
            self._manager.status(self._daemon.summary)
            told = {part: told[part] for part in told if part in standing}
            await asyncio.sleep(every_s)

    @staticmethod
    def _tell_of_standstill(standing: dict[str, float], told: dict[str, float], watchdog_s: float) -> None:
        """Say once why there will be no sign of life, before the watchdog acts on it."""
        for part, lasted_s in standing.items():
            if part not in told and lasted_s >= watchdog_s / 2:
                told[part] = lasted_s
                logger.error(
                    "the %s has stood still for %.0f s: the watchdog gets no sign of life, and restarts us after %g s",
                    part,
                    lasted_s,
                    watchdog_s,
                )
