"""The daemon as a service: one run after the other, each with the configuration that is in force.

A new configuration is read and checked whole while the old one is at work. Only a good one ends the run, in the order
of the data, and begins the next, which takes up everything out of the store as after a restart. Where the new one
cannot be put to work after all (a port that is taken, a store that cannot be opened), the old one is begun again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from monitor.config import Config
from monitor.daemon.health import ServiceManager, Watch
from monitor.daemon.lasting import Lasting
from monitor.daemon.runtime import Daemon
from monitor.daemon.secrets import http_credentials
from monitor.daemon.waiting import end
from monitor.errors import ConfigurationError, MonitorError
from monitor.types import SECOND_NS, iso_time

logger = logging.getLogger(__name__)

# How often it is looked whether all goes on: several times in the watchdog's interval.
_LOOK_S = 5.0
_LOOKS = 4
_SHORTEST_LOOK_S = 0.05
# Asked for at each look while a start, a reload or an end comes on: more than lies between two looks. systemd gives the
# watchdog as much, so that it is no more than the watchdog's own interval.
_EXTENSION_S = 30.0


class Service:
    """Runs the daemon until it is stopped.

    Parameters
    ----------
    config : Config
        What the first run has.
    read : callable
        Reads and checks the configuration anew, in a thread; ConfigurationError with every fault.
    manager : ServiceManager
        Hears when it is ready, how it stands, and that it lives.
    """

    def __init__(self, config: Config, read: Callable[[], Config], manager: ServiceManager) -> None:
        self._read = read
        self._manager = manager
        self._lasting = Lasting()
        self._watch = Watch()
        # What is being done, in words, while it is not the daily work.
        self._doing = "starting"
        self._asked = asyncio.Event()
        self._is_up = asyncio.Event()
        self._ending = asyncio.Event()
        # What comes after this run; and what to go back to while a new configuration is not up yet.
        self._next: Config | None = None
        self._before: Config | None = None
        self._config = config
        self._accepted_ns = time.time_ns()
        self._daemon = self._begun(config)

    def stop(self) -> None:
        """End in order (call it on the loop)."""
        self._doing = "ending"
        self._ending.set()
        self._manager.stopping(self._status())
        self._daemon.stop()

    def reload(self) -> None:
        """Read the configuration anew (call it on the loop); during a start or a reload: once that is over."""
        self._asked.set()

    async def run(self) -> None:
        """Run until `stop`. Raises MonitorError as `Daemon.run` does."""
        tasks = [
            asyncio.create_task(self._report(), name="report"),
            asyncio.create_task(self._reload_when_asked(), name="reload"),
        ]
        for task in tasks:
            task.add_done_callback(_tell_of_failure)
        try:
            await self._run_daemons()
        finally:
            for task in tasks:
                await end(task)
            await self._lasting.close()

    async def _run_daemons(self) -> None:
        while True:
            try:
                await self._daemon.run()
            except Exception as error:
                if self._before is None or self._ending.is_set():
                    raise
                self._refuse(error, "cannot be put to work")
                self._config, self._before = self._before, None
            else:
                if self._next is None or self._ending.is_set():
                    return
                self._config, self._before, self._next = self._next, self._config, None
            self._daemon = self._begun(self._config)

    def _begun(self, config: Config) -> Daemon:
        logging.getLogger().setLevel(config.log.level.upper())
        return Daemon(config, lasting=self._lasting, on_ready=self._on_ready)

    def _on_ready(self, _url: str) -> None:
        if self._before is not None:
            # The new configuration, and not the old one again.
            self._before = None
            self._accept()
        self._is_up.set()
        self._go_on()

    def _go_on(self) -> None:
        """Back to the daily work, if it is not the end."""
        if not self._ending.is_set():
            self._doing = ""
            self._manager.ready(self._status())

    # -- a new configuration ------------------------------------------------------------------------------------

    async def _reload_when_asked(self) -> None:
        while True:
            await self._asked.wait()
            await self._is_up.wait()
            # Whoever asks from now on may have changed the file since it was read.
            self._asked.clear()
            if self._ending.is_set():
                return
            self._doing = "reloading: reading the configuration"
            self._manager.reloading(self._doing)
            try:
                config = await asyncio.to_thread(self._checked)
            except Exception as error:  # noqa: BLE001  (whatever is wrong with it: the old one is at work, and stays)
                self._refuse(error, "is not used")
                self._go_on()
                continue
            if self._ending.is_set():
                return
            self._doing = "reloading"
            self._next = config
            self._is_up.clear()
            self._daemon.stop()

    def _checked(self) -> Config:
        """The configuration as it is now; its secrets can be read. Raises ConfigurationError."""
        config = self._read()
        config.mqtt.read_password()
        http_credentials(config.http)
        return config

    def _accept(self) -> None:
        self._accepted_ns = time.time_ns()
        self._lasting.metrics.config_reloaded(True)
        self._lasting.degradation.note("configuration", None)
        logger.info("the new configuration is in force")

    def _refuse(self, error: Exception, what: str) -> None:
        """Say why the old configuration stays in force, everywhere where it may be asked."""
        faults = (
            [str(one) for one in error.faults]
            if isinstance(error, ConfigurationError)
            else [str(error) or repr(error)]
        )
        for fault in faults:
            logger.error("%s", fault)
        if not isinstance(error, MonitorError):
            logger.error("reading the configuration failed, please report this", exc_info=error)
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        since = iso_time(self._accepted_ns // SECOND_NS * SECOND_NS)
        self._lasting.metrics.config_reloaded(False)
        self._lasting.degradation.note(
            "configuration",
            f"the new configuration {what}: {faults[0]}{more}; that of {since} is in force until a reload succeeds",
        )

    # -- what the service manager hears -------------------------------------------------------------------------

    def _status(self) -> str:
        """How it stands, in a line."""
        if not self._doing or ":" in self._doing:
            return self._doing or self._daemon.summary
        return f"{self._doing}: {self._daemon.summary}"

    async def _report(self) -> None:
        """Tell the service manager how it stands; where all goes round, give its watchdog a sign of life."""
        if not self._manager.listens:
            return
        watchdog_s = self._manager.watchdog_s
        every_s = _LOOK_S if watchdog_s is None else max(min(_LOOK_S, watchdog_s / _LOOKS), _SHORTEST_LOOK_S)
        extension_s = _EXTENSION_S if watchdog_s is None else min(_EXTENSION_S, watchdog_s)
        told: dict[str, float] = {}
        while True:
            standing = self._watch.look(self._daemon.parts(), every_s)
            if not standing:
                if self._doing:
                    self._manager.extend(extension_s)
                if watchdog_s is not None:
                    self._manager.alive()
            elif watchdog_s is not None:
                self._tell_of_standstill(standing, told, watchdog_s)
            self._manager.status(self._status())
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


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    """The daemon goes on without it: without signs of life until the watchdog acts, or with the configuration it has."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("%s failed, please report this", task.get_name(), exc_info=task.exception())
