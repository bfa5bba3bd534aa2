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
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import aiomqtt
from aiomqtt.types import SubscribeTopic
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from monitor.errors import BrokerUnavailable, MonitorError
from monitor.io.mqtt.connection import Connection, cancelled
from monitor.io.mqtt.intake import Delivery, Intake
from monitor.io.mqtt.refusal import ADVICE, OWN_ID, Ending, explain
from monitor.io.mqtt.settings import MqttSettings, Will
from monitor.io.mqtt.tls import tls_context
from monitor.io.mqtt.watch import HeldTime, LinkReading, Silence
from monitor.types import SECOND_NS, iso_time

__all__ = ["Delivery", "LinkReading", "MqttLink", "MqttSettings", "Will"]

log = logging.getLogger(__name__)

_REFUSED_AGAIN_S = 60.0
_BRIEF_S = 10.0
_BRIEF_LOSSES = 3


class MqttLink:
    """The monitor's side of MQTT: one client that stays connected, receives durably and publishes.

    One consumer receives; any number of other tasks may publish. The consumer must not wait for a publication of its
    own: while too much waits to be received nothing is read, not even the broker's answers. Construct it inside a running event loop.

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
        for topic in subscriptions:
            _require_filter(topic)
        self._settings = settings
        self._subscriptions = tuple(dict.fromkeys(subscriptions))
        self._former = tuple(topic for topic in former_subscriptions if topic not in self._subscriptions)
        self._will = will
        self._on_connection = on_connection
        self._intake = Intake(max(queue_size, settings.receive_maximum))
        self._connection: Connection | None = None
        self._connected = False
        self._was_connected = False
        self._connected_at_s = 0.0
        self._brief_losses = 0
        self._generation = 0
        self._connections = 0
        self._warned: set[str] = set()
        self._held = HeldTime()
        self._held_share = 0.0
        self._held_before_s = 0.0
        # Who subscribes to nothing need not wonder that nothing comes.
        self._silence = Silence(settings.silence_s if self._subscriptions else 0.0)
        self._asked = False
        self.turns = 0
        """Another with every attempt to connect, and with every look at the connection: it is attended to."""

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and answered the subscriptions."""
        return self._connected

    @property
    def waiting(self) -> int:
        """Messages that have arrived and not been received."""
        return len(self._intake)

    @property
    def held_back(self) -> bool:
        """Whether the broker was held back for most of the last second: more comes than is taken."""
        return self._connected and self._held_share > 0.5

    @property
    def silent(self) -> str | None:
        """A line that says since when nothing has arrived, where a new connection did not help; else None."""
        if not self._silence.persists:
            return None
        latest_ns = self._intake.latest_ns
        since = "the start" if latest_ns is None else iso_time(latest_ns // SECOND_NS * SECOND_NS)
        return (
            f"nothing has arrived since {since}, though the broker answers and the subscriptions were renewed: do "
            "the stations send, and do the topics under inputs fit? (mqtt.silence_s is the patience)"
        )

    def reading(self) -> LinkReading:
        """A copy of what is known now."""
        return LinkReading(
            connected=self._connected,
            connections=self._connections,
            unacknowledged=0 if self._connection is None else self._connection.unacknowledged,
            held_s=self._held.seconds(time.monotonic()),
            last_message_ns=self._intake.latest_ns,
        )

    async def receive(self, limit: int, timeout_s: float) -> list[Delivery]:
        """Wait up to `timeout_s` for the first delivery, then take up to `limit` that are there; [] on time-out.

        Returns deliveries in the order of arrival, also while the connection is down.
        """
        self._asked = True
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
            self.turns += 1
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
        except MonitorError as error:
            self._refused(f"the password is not known: {error}", "mend its file")
            return
        except OSError as error:
            self._refused(f"TLS files: {error}", "check mqtt.ca_file, mqtt.cert_file and mqtt.key_file")
            return
        try:
            # Set before it is open: the first messages come with the broker's yes and may be acknowledged at once.
            self._connection = connection
            await connection.open()
        except aiomqtt.MqttError as error:
            self._connection = None
            self._refused(*explain(error, self._settings))
            return
        except BaseException:
            self._connection = None
            raise
        ending = Ending("the monitor disconnected", ours=True)
        try:
            await self._attend(connection)
            ending = await connection.ended
        except BrokerUnavailable:
            ending = await connection.ended
        except aiomqtt.MqttError as error:
            ending = Ending(f"the subscription failed: {error}")
        finally:
            self._connection = None
            try:
                self._report_loss(ending)
            finally:
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
        # Anew each time, as the certificates: a password is changed while the monitor runs.
        password = await asyncio.to_thread(settings.read_password)
        self._generation += 1
        return Connection(
            self._intake,
            self._generation,
            receive_maximum=settings.receive_maximum if settings.protocol == "5" else None,
            maximum_bytes=settings.maximum_packet_bytes,
            held=self._held,
            watch=self._watch,
            hostname=settings.host,
            port=settings.port,
            identifier=settings.client_id,
            username=settings.username,
            password=password,
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

    def _watch(self, elapsed_s: float) -> Ending | None:
        """Look at the connection, which is up and may be of no use; return why it should be given up, if it should."""
        self.turns += 1
        connection, settings = self._connection, self._settings
        if connection is None or not self._connected:
            return None
        held_s = self._held.seconds(time.monotonic())
        self._held_share = (held_s - self._held_before_s) / elapsed_s if elapsed_s else 0.0
        self._held_before_s = held_s
        listening, self._asked = self._asked and not connection.held, False
        if self._silence.look(self._intake.live, listening, elapsed_s):
            reason = (
                f"nothing has arrived for {self._silence.patience_s:g} s: connecting and subscribing anew"
            )
            first = self._silence.is_first
            self._silence.give_up()
            return Ending(reason, ours=not first)
        # Behind a long backlog an answer may come late; behind two minutes of it there is none.
        if 0.0 < settings.publish_timeout_s <= connection.unconfirmed_s(elapsed_s):
            return Ending(f"a publication has had no answer for {settings.publish_timeout_s:g} s")
        return None

    def _report_connection(self, connection: Connection) -> None:
        self._connected = True
        self._connections += 1
        self._connected_at_s = asyncio.get_running_loop().time()
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
        advice = ADVICE.get(ending.code or 0)
        if ending.ours:
            log.info("%s: %s", self._settings.url, ending.reason)
        elif not self._connected:
            # Whoever refuses a filter as malformed hangs up.
            advice = advice or "check the topics under inputs"
            self._warn_once(
                f"{self._settings.url}: {ending.reason} before it answered the subscriptions; {advice}"
            )
        else:
            brief = asyncio.get_running_loop().time() - self._connected_at_s < _BRIEF_S
            self._brief_losses = self._brief_losses + 1 if brief else 0
            if advice is None and self._brief_losses >= _BRIEF_LOSSES:
                # Mosquitto 2.0 hangs up on a client whose id comes again, and does not say so.
                advice = f"again soon after connecting: has another client the id {self._settings.client_id}? {OWN_ID}"
            log.warning("%s: %s%s", self._settings.url, ending.reason, f"; {advice}" if advice else "")
        self._connected = False
        if self._on_connection is not None:
            self._on_connection(False, ending.reason)

    def _refused(self, reason: str, advice: str) -> None:
        self._warn_once(f"no connection to {self._settings.url}: {reason}; {advice} (trying on)")
        if self._on_connection is not None:
            self._on_connection(False, reason)

    def _warn_once(self, line: str) -> None:
        log.log(logging.DEBUG if line in self._warned else logging.WARNING, "%s", line)
        self._warned.add(line)


def _require_filter(topic: str) -> None:
    """Raise ValueError for what is no MQTT topic filter."""
    levels = topic.split("/")
    whole = all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
    if not topic or not whole or "#" in levels[:-1]:
        raise ValueError(
            f"{topic!r} is not a topic filter: + and # stand alone between slashes, # at the end"
        )
