"""The daemon's end of the link to the broker: where it is, what is subscribed, and what a former run subscribed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from monitor.config import Config
from monitor.daemon.lasting import Kept
from monitor.io.broker import LocalBroker
from monitor.io.mqtt import MqttLink, MqttSettings, Will
from monitor.io.store import Store

# A message too large for the decoders is counted as rejected; one many times as large the broker keeps (MQTT 5).
_PACKET_FACTOR = 4
_SUBSCRIPTIONS = "subscriptions"


class Filters:
    """The topic filters of this run, and those that the session at the broker may still hold.

    The session outlives the daemon: a filter that is taken out of the configuration must be given up at the broker,
    or its messages come for ever. So the store remembers what was ever subscribed, until a connection has given it up.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self.wanted = [topic for entry in config.inputs for topic in entry.filters]
        self._store = store
        self._held: set[str] = set()

    def former(self) -> list[str]:
        """The filters of former runs; those of this run are added to the memory. Raises StoreError."""
        try:
            former = {str(topic) for topic in json.loads(self._store.states().get(_SUBSCRIPTIONS, "[]"))}
        except (TypeError, ValueError):
            former = set()
        self._held = former
        self._remember(former.union(self.wanted))
        return sorted(former)

    def settled(self) -> None:
        """The session holds what this run subscribes to, and nothing else any more. Raises StoreError."""
        self._remember(set(self.wanted))

    def _remember(self, filters: set[str]) -> None:
        if filters != self._held:
            self._store.commit([], {_SUBSCRIPTIONS: json.dumps(sorted(filters))})
            self._held = filters


async def own_broker(config: Config, kept: Kept[LocalBroker]) -> LocalBroker | None:
    """The broker of an `embedded://` configuration; None where the configuration names one."""
    port = config.mqtt.port
    if not config.mqtt.is_embedded:
        await kept.close()
        return None
    directory = Path(config.store.path).parent / "broker"

    async def start(stack: AsyncExitStack) -> LocalBroker:
        directory.mkdir(parents=True, exist_ok=True)
        return await stack.enter_async_context(LocalBroker(directory, port or None))

    return await kept.take((directory, port), port, start)


def open_link(
    config: Config,
    broker: LocalBroker | None,
    filters: Filters,
    former: Sequence[str],
    *,
    will: bytes,
    on_connection: Callable[[bool, str], None],
) -> tuple[MqttLink, MqttSettings]:
    """Make the link to the configured broker, or to the daemon's own, with `will` as the last status."""
    settings = MqttSettings.from_config(
        config.mqtt,
        lambda: _password(config),
        url=None if broker is None else broker.url,
        maximum_packet_bytes=_PACKET_FACTOR * config.intake.maximum_payload_bytes,
    )
    if broker is not None:
        settings = replace(settings, protocol=broker.protocol)
    link = MqttLink(
        settings,
        subscriptions=filters.wanted,
        will=Will(f"{config.outputs.root}/status", will, retain=True),
        queue_size=config.intake.queue_messages,
        on_connection=on_connection,
        former_subscriptions=former,
    )
    return link, settings


def _password(config: Config) -> str | None:
    password = config.mqtt.read_password()
    return None if password is None else password.get_secret_value()
