"""The link to the broker: it connects for ever, and what it delivers is acknowledged after the durable commit.

The consumer's loop is `receive`, store, `acknowledge`. A message that was not acknowledged comes again after a
crash or a reconnect, so the consumer must take the same message twice in its stride.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import aiomqtt
from aiomqtt.types import SubscribeTopic
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from monitor.errors import BrokerUnavailable
from monitor.io.mqtt_connection import Connection, Delivery, Ending, Intake, cancelled, tls_context

__all__ = ["Delivery", "MqttLink", "MqttSettings", "Will"]

log = logging.getLogger(__name__)

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_REFUSED_AGAIN_S = 60.0
_ADVICE = {
    0x84: "set mqtt.protocol to a version that the broker speaks",
    0x85: "choose another mqtt.client_id",
    0x86: "check mqtt.username and the file named by mqtt.password_file",
    0x87: "check mqtt.username, the file named by mqtt.password_file, and the broker's access rules",
    0x8A: "the broker has banned this client: ask its operator",
    0x8E: "another client has the same id: give every instance its own mqtt.client_id",
    0x95: "raise the broker's packet limit or lower what is published",
}


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes (QoS 1) when the monitor goes without a goodbye."""

    topic: str
    payload: bytes
    retain: bool


class ReconnectConfig(Protocol):
    """What `MqttSettings.from_config` reads of the section `mqtt.reconnect`."""

    @property
    def initial_s(self) -> float: ...
    @property
    def maximum_s(self) -> float: ...


class MqttConfig(Protocol):
    """What `MqttSettings.from_config` reads of the section `mqtt`."""

    @property
    def url(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def username(self) -> str | None: ...
    @property
    def ca_file(self) -> Any: ...
    @property
    def cert_file(self) -> Any: ...
    @property
    def key_file(self) -> Any: ...
    @property
    def protocol(self) -> str: ...
    @property
    def keepalive_s(self) -> float: ...
    @property
    def receive_maximum(self) -> int: ...
    @property
    def session_expiry_s(self) -> float: ...
    @property
    def reconnect(self) -> ReconnectConfig: ...


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Where the broker is, who we are, and how patient.

    `receive_maximum` bounds the unacknowledged messages under MQTT 5; `maximum_packet_bytes` makes an MQTT 5
    broker keep larger packets to itself. The session outlives a connection by `session_expiry_s` (MQTT 5).
    """

    host: str
    port: int = 1883
    tls: bool = False
    client_id: str = "geospace-monitor"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 60
    receive_maximum: int = 2000
    session_expiry_s: int = 7 * 86400
    reconnect_initial_s: float = 1.0
    reconnect_maximum_s: float = 60.0
    maximum_packet_bytes: int | None = None

    @classmethod
    def from_config(
        cls,
        config: MqttConfig,
        password: str | None,
        *,
        maximum_packet_bytes: int | None = None,
        url: str | None = None,
    ) -> MqttSettings:
        """Take the section `mqtt` of the configuration; `url` replaces its own (that of an embedded broker).

        Raises ValueError for a URL that is neither mqtt:// nor mqtts://, or a protocol that is neither 5 nor 3.1.1.
        """
        parts = urlsplit(config.url if url is None else url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(
                f"mqtt.url is {url or config.url!r}; allowed are mqtt://HOST[:PORT] and mqtts://…"
            )
        protocols: dict[str, Literal["5", "3.1.1"]] = {"5": "5", "3.1.1": "3.1.1"}
        protocol = protocols.get(str(config.protocol))
        if protocol is None:
            raise ValueError(f"mqtt.protocol is {config.protocol!r}; allowed are '5' and '3.1.1'")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "mqtts",
            client_id=config.client_id,
            username=config.username,
            password=password,
            ca_file=_text(config.ca_file),
            cert_file=_text(config.cert_file),
            key_file=_text(config.key_file),
            protocol=protocol,
            keepalive_s=math.ceil(config.keepalive_s),
            receive_maximum=config.receive_maximum,
            session_expiry_s=math.ceil(config.session_expiry_s),
            reconnect_initial_s=config.reconnect.initial_s,
            reconnect_maximum_s=config.reconnect.maximum_s,
            maximum_packet_bytes=maximum_packet_bytes,
        )

    @property
    def url(self) -> str:
        """The broker's address for messages, without any secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


class MqttLink:
    """The monitor's side of MQTT: one client that stays connected, receives durably and publishes.

    One consumer receives; any number of tasks may publish. Construct it inside a running event loop.

    Parameters
    ----------
    settings : MqttSettings
    subscriptions : sequence of str
        Topic filters, subscribed at QoS 1 at every connection.
    will : Will or None
    queue_size : int
        Messages that may wait before the broker is held back; at least the Receive Maximum counts.
    on_connection : callable, optional
        Called on the loop with (True, where) and (False, why) when the link comes up and goes down.
    former_subscriptions : sequence of str
        Filters of an earlier configuration, that the persistent session may still hold: they are given up.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        subscriptions: Sequence[str],
        will: Will | None,
        queue_size: int,
        on_connection: Callable[[bool, str], None] | None = None,
        former_subscriptions: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._subscriptions = tuple(dict.fromkeys(subscriptions))
        self._former = tuple(topic for topic in former_subscriptions if topic not in self._subscriptions)
        self._will = will
        self._on_connection = on_connection
        self._intake = Intake(max(queue_size, settings.receive_maximum))
        self._connection: Connection | None = None
        self._connected = False
        self._was_connected = False
        self._generation = 0
        self._warned: set[str] = set()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and answered the subscriptions."""
        return self._connected

    @property
    def waiting(self) -> int:
        """Messages that have arrived and not been received."""
        return len(self._intake)

    async def receive(self, limit: int, timeout_s: float) -> list[Delivery]:
        """Wait up to `timeout_s` for the first delivery, then take up to `limit` that are there; [] on time-out.

        Returns deliveries in the order of arrival, also while the connection is down.
        """
        if len(self._intake):
            await asyncio.sleep(0)  # a consumer that never waits would keep the loop from the socket
        else:
            await self._intake.wait(timeout_s)
        deliveries = self._intake.take(limit)
        if self._connection is not None:
            self._connection.relieve()
        return deliveries

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Let the broker forget these, after the durable commit. Those of a former connection it sends again."""
        if self._connection is not None:
            for delivery in deliveries:
                self._connection.acknowledge(delivery)

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish at QoS 1 and return when the broker has acknowledged.

        Raises
        ------
        BrokerUnavailable
            Not connected, or the connection fell before the acknowledgement; the message may have arrived.
        BrokerError
            The broker refused this message.
        """
        connection = self._connection
        if connection is None or not self._connected:
            raise BrokerUnavailable(f"not published to {topic}: no connection to {self._settings.url}")
        await connection.send(topic, payload, retain=retain)

    async def run(self) -> None:
        """Stay connected until cancelled: exponential back-off with full jitter; a clean disconnect at the end."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            began = loop.time()
            await self._hold_connection()
            if cancelled():
                raise asyncio.CancelledError
            # Only a connection that stood starts anew: two clients with one id would throw each other out at speed.
            stood = loop.time() - began > self._settings.reconnect_maximum_s
            attempt = 0 if stood else min(attempt + 1, 32)
            ceiling_s = min(
                self._settings.reconnect_maximum_s, self._settings.reconnect_initial_s * 2**attempt
            )
            await asyncio.sleep(random.uniform(0.0, ceiling_s))  # noqa: S311  (jitter, not a secret)

    async def _hold_connection(self) -> None:
        """Connect, subscribe, and stay until the connection ends; nothing but cancellation gets out."""
        try:
            connection = await self._connection_new()
            # Set before it is open: the first messages come with the broker's yes and may be acknowledged at once.
            self._connection = connection
            await connection.open()
        except (aiomqtt.MqttError, OSError) as error:
            self._connection = None
            self._report_refusal(error)
            return
        except BaseException:
            self._connection = None
            raise
        ending = Ending("the monitor disconnected")
        try:
            await self._attend(connection)
            ending = await connection.ended
        except BrokerUnavailable:
            ending = await connection.ended
        except aiomqtt.MqttError as error:
            ending = Ending(f"the subscription failed: {error}")
        finally:
            self._connection = None
            self._report_loss(ending)
            await connection.leave()

    async def _connection_new(self) -> Connection:
        settings = self._settings
        options: dict[str, Any] = {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": False}
        if settings.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho types it in part
            properties.SessionExpiryInterval = settings.session_expiry_s
            properties.ReceiveMaximum = settings.receive_maximum
            if settings.maximum_packet_bytes is not None:
                properties.MaximumPacketSize = settings.maximum_packet_bytes
            options = {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}
        if settings.tls:
            # Anew each time: certificates are renewed while the monitor runs. In a thread: it reads files.
            options["tls_context"] = await asyncio.to_thread(
                tls_context, settings.ca_file, settings.cert_file, settings.key_file
            )
        if self._will is not None:
            options["will"] = aiomqtt.Will(self._will.topic, self._will.payload, 1, self._will.retain)
        self._generation += 1
        return Connection(
            self._intake,
            self._generation,
            hostname=settings.host,
            port=settings.port,
            identifier=settings.client_id,
            username=settings.username,
            password=settings.password,
            keepalive=settings.keepalive_s,
            **options,
        )

    async def _attend(self, connection: Connection) -> None:
        """Subscribe, announce the link, and ask again for what was refused; returns when all is granted."""
        if self._former:
            await connection.until_ended(connection.unsubscribe(list(self._former), timeout=math.inf))
        refused = await self._subscribe(connection, self._subscriptions)
        self._report_connection(connection)
        while refused:
            # The broker's rules may be mended; until then the other filters do their work.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFUSED_AGAIN_S):
                    await asyncio.shield(connection.ended)
                    return
            refused = await self._subscribe(connection, refused)

    async def _subscribe(self, connection: Connection, topics: Sequence[str]) -> tuple[str, ...]:
        """Subscribe at QoS 1; return the filters that the broker refused."""
        if not topics:
            return ()
        wanted: SubscribeTopic
        if self._settings.protocol == "5":
            # Retained input is wanted once, not again at every reconnect.
            once = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            wanted = [(topic, once) for topic in topics]
        else:
            wanted = [(topic, 1) for topic in topics]
        # No time limit of its own: the answer may stand behind a long backlog, and the keep-alive watches.
        answers: Iterable[ReasonCode | int] = await connection.until_ended(
            connection.subscribe(wanted, timeout=math.inf)
        )
        refused = []
        for topic, answer in zip(topics, answers, strict=True):
            code = answer.value if isinstance(answer, ReasonCode) else answer
            if code >= 0x80:
                refused.append(topic)
                self._warn_once(
                    f"the broker refuses the subscription {topic}: {answer}; check its access rules"
                )
            elif code == 0:
                self._warn_once(f"the broker grants {topic} only at QoS 0: messages may be lost")
        return tuple(refused)

    def _report_connection(self, connection: Connection) -> None:
        self._connected = True
        self._warned.clear()
        resumed = connection.session_present
        log.info("connected to %s (%s session)", self._settings.url, "resumed" if resumed else "new")
        if self._was_connected and not resumed:
            log.warning(
                "%s has forgotten the session of %s: what was published meanwhile is lost to it; "
                "switch on the broker's persistence (deploy/mosquitto.conf)",
                self._settings.url,
                self._settings.client_id,
            )
        self._was_connected = True
        if self._on_connection is not None:
            self._on_connection(True, self._settings.url)

    def _report_loss(self, ending: Ending) -> None:
        advice = f"; {_ADVICE[ending.code]}" if ending.code in _ADVICE else ""
        if self._connected:
            log.log(
                logging.INFO
                if ending.code is None and ending.reason.startswith("the monitor")
                else logging.WARNING,
                "%s: %s%s",
                self._settings.url,
                ending.reason,
                advice,
            )
        self._connected = False
        if self._on_connection is not None:
            self._on_connection(False, ending.reason)

    def _report_refusal(self, error: Exception) -> None:
        code = (
            error.rc.value
            if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode)
            else 0
        )
        # aiomqtt hides the cause in its text; the context still has it.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        if code in _ADVICE:
            advice = _ADVICE[code]
        elif isinstance(cause, ssl.SSLError) or (
            isinstance(cause, OSError) and self._settings.tls and cause.filename
        ):
            advice = f"check mqtt.ca_file, mqtt.cert_file and that the broker's certificate names {self._settings.host}"
        else:
            advice = "start the broker or correct mqtt.url"
        reason = str(error.rc) if code and isinstance(error, aiomqtt.MqttCodeError) else str(error)
        self._warn_once(f"no connection to {self._settings.url}: {reason}; {advice} (trying on)")
        if self._on_connection is not None:
            self._on_connection(False, reason)

    def _warn_once(self, line: str) -> None:
        log.log(logging.DEBUG if line in self._warned else logging.WARNING, "%s", line)
        self._warned.add(line)


def _text(path: Any) -> str | None:
    return None if path is None else str(path)
