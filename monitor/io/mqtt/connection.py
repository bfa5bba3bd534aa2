"""One connection to the broker: aiomqtt, with the acknowledgement and the intake taken into our own hands.

aiomqtt acknowledges a message when it arrives and drops it when its bounded queue is full: a daemon that dies,
or falls behind, loses what the broker believes delivered. Here paho (below aiomqtt) acknowledges only when told
to, and messages wait in an `Intake` that never drops:

- With MQTT 5 the Receive Maximum bounds what the broker may send unacknowledged, and the intake holds that much.
- With MQTT 3.1.1, and for QoS 0, nothing in the protocol does: the socket is not read while the intake is full,
  and TCP holds the broker back.

This module leans on private names of aiomqtt 2.5 and paho 2; `tests/integration/test_mqtt_private_names.py` names
them all and fails when a new version changes one. All callbacks run on the event loop's thread, except those of
the blocking connect (`_on_socket_open`, `_on_socket_register_write`), which only schedule.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from monitor.errors import BrokerError, BrokerUnavailable
from monitor.io.mqtt.intake import Delivery, Intake
from monitor.io.mqtt.refusal import Ending, ending_of
from monitor.io.mqtt.watch import HeldTime, Stall
from monitor.types import Message

T = TypeVar("T")
log = logging.getLogger("monitor.io.mqtt")

_READ_BATCH = 64
"""Packets read before the event loop gets its turn: some milliseconds of work."""
_GOODBYE_S = 2.0
_LOOK_S = 1.0


def cancelled() -> bool:
    """Whether this task has been asked to end: `asyncio.wait_for` of Python 3.11 (in aiomqtt) can swallow that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Connection(aiomqtt.Client):
    """One connection, used once: `open`, subscribe and publish, until `ended` or `leave`.

    Parameters
    ----------
    intake : Intake
        Where arriving messages wait.
    generation : int
        Number of this connection; deliveries carry it.
    receive_maximum : int, optional
        How many messages the broker sends unacknowledged, where it was told (MQTT 5).
    maximum_bytes : int, optional
        Payloads above it are cut off behind it: whoever reads them refuses them for their size all the same.
    held : HeldTime, optional
        Is told while the broker can send nothing more.
    watch : callable, optional
        Called about once a second with the seconds since the last call; what it returns, other than None, ends
        the connection.
    options
        As of `aiomqtt.Client`.
    """

    def __init__(
        self,
        intake: Intake,
        generation: int,
        *,
        receive_maximum: int | None = None,
        maximum_bytes: int | None = None,
        held: HeldTime | None = None,
        watch: Callable[[float], Ending | None] = lambda _elapsed_s: None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.ended: asyncio.Future[Ending] = self._loop.create_future()
        self.session_present = False
        self.generation = generation
        self.unacknowledged = 0
        self._receive_maximum = receive_maximum
        self._maximum_bytes = maximum_bytes
        self._held = HeldTime() if held is None else held
        self._watch = watch
        self._unconfirmed = Stall()
        self._intake = intake
        self._confirmations: dict[int, asyncio.Future[ReasonCode]] = {}
        self._abandoned = False
        self._paused = False
        self._client.manual_ack_set(True)
        # The link says what matters; without a logger paho also formats nothing for every packet.
        self._client.disable_logger()

    # -- life ---------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect and wait for the broker's yes. Raises aiomqtt.MqttError; nothing stays open then."""
        try:
            await self.__aenter__()
            if cancelled():
                raise asyncio.CancelledError
        except BaseException:
            # The blocking connect may still run in its thread: `_attach` then closes what it opens.
            self._abandoned = True
            self._drop()
            raise

    async def leave(self) -> None:
        """Disconnect in order where that is possible (no last will is sent then), and free the socket."""
        self.timeout = _GOODBYE_S
        try:
            await self.__aexit__(None, None, None)
        except aiomqtt.MqttError as error:
            log.debug("no orderly goodbye: %s", error)
        finally:
            self._finish(Ending("the monitor disconnected", ours=True))
            self._drop()

    async def until_ended(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; raise BrokerUnavailable when the connection ends before it does."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self.ended), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise BrokerUnavailable(self.ended.result().reason)
        finally:
            task.cancel()

    def _drop(self) -> None:
        """Free the socket, its callbacks and the timer. Never from inside a callback of paho, which holds a lock."""
        if self._misc_task is not None:
            self._misc_task.cancel()
        self._client._sock_close()

    def _finish(self, ending: Ending) -> None:
        if not self.ended.done():
            self.ended.set_result(ending)
            self._held.set(False, time.monotonic())
        for confirmation in self._confirmations.values():
            if not confirmation.done():
                confirmation.set_exception(BrokerUnavailable(f"not published: {ending.reason}"))

    # -- out ----------------------------------------------------------------------------------------------

    async def send(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish at QoS 1 and wait for the broker's acknowledgement.

        Raises BrokerUnavailable when the connection falls before, BrokerError when the broker refuses.
        """
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerUnavailable(f"not published: {paho.error_string(info.rc)}")
        confirmation: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._confirmations[info.mid] = confirmation
        try:
            answer = await confirmation
        finally:
            self._confirmations.pop(info.mid, None)
        if answer.is_failure:
            raise BrokerError(f"the broker refused a message to {topic}: {answer}; check its access rules")

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that it may forget this delivery; one of another connection is none of its business."""
        if delivery.qos and delivery.generation == self.generation and not self.ended.done():
            self._client.ack(delivery.mid, delivery.qos)
            self.unacknowledged -= 1
            if self.unacknowledged + 1 == self._receive_maximum:
                self._note_held()

    # -- callbacks of paho --------------------------------------------------------------------------------

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = flags.session_present
        super()._on_connect(client, userdata, flags, reason_code, properties)
        _mark_retrieved(self._connected)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.cancelled():  # aiomqtt asks it for its exception, which a cancelled one raises
            super()._on_disconnect(client, userdata, flags, reason_code, properties)
        _mark_retrieved(self._disconnected)  # `ended` tells
        ending = ending_of(flags, reason_code)
        if not self._abandoned:
            # aiomqtt would wait out its time limit for an answer that cannot come any more.
            self._fail_connect(f"{ending.reason} before it answered")
        self._finish(ending)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        received_ns = time.time_ns()
        try:
            topic = message.topic
        except UnicodeDecodeError:
            # Nobody can ever read it; left unacknowledged it would come back for ever.
            log.warning("the broker sent a topic that is not UTF-8 (%d bytes dropped)", len(message.payload))
            client.ack(message.mid, message.qos)
            return
        payload = bytes(message.payload)
        if self._maximum_bytes is not None and len(payload) > self._maximum_bytes:
            payload = payload[: self._maximum_bytes + 1]
        delivery = Delivery(Message(topic, payload, received_ns), message.mid, message.qos, self.generation)
        self._intake.put(delivery, resent=message.dup, retained=message.retain)
        if message.qos:
            self.unacknowledged += 1
            if self.unacknowledged == self._receive_maximum:
                self._note_held()
        if self._intake.full:
            self._pause()

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        confirmation = self._confirmations.pop(mid, None)
        if confirmation is not None and not confirmation.done():
            confirmation.set_result(reason_code)

    # -- the socket in the event loop ---------------------------------------------------------------------

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._attach, sock)

    def _attach(self, sock: Any) -> None:
        if self._abandoned:
            self._drop()
        elif sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._read)
            self._misc_task = self._loop.create_task(self._misc_loop())

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        # aiomqtt looks up the descriptor now and adds it later, when it may belong to another connection.
        self._loop.call_soon_threadsafe(self._attach_writer, sock)

    def _attach_writer(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write, sock)

    def _write(self, sock: Any) -> None:
        try:
            self._client.loop_write()
        except Exception as error:  # noqa: BLE001  (whatever it was, this connection cannot go on)
            self._break(error)
        if sock.fileno() >= 0 and not self._client.want_write():
            self._loop.remove_writer(sock.fileno())

    def _read(self) -> None:
        try:
            for _ in range(_READ_BATCH):
                arrived = self._intake.arrived
                self._client.loop_read()
                if self._paused or self._client.socket() is None or self._intake.arrived == arrived:
                    break
        except Exception as error:  # noqa: BLE001  (bytes that paho cannot parse: this connection cannot go on)
            self._break(error)
        sock = self._client.socket()
        # What TLS has decrypted already makes no descriptor readable.
        if not self._paused and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._loop.call_soon(self._read)

    def _break(self, error: Exception) -> None:
        ending = Ending(f"the connection failed: {error!r}")
        if not self._connected.done():
            self._fail_connect(ending.reason)
        elif not self._disconnected.done():
            self._disconnected.set_result(None)
        self._finish(ending)
        self._drop()

    def _fail_connect(self, reason: str) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(reason))
            _mark_retrieved(self._connected)

    # -- back-pressure ------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether the broker is held back: it may not send, or what it sends is not read."""
        used_up = self._receive_maximum is not None and self.unacknowledged >= self._receive_maximum
        return (self._paused or used_up) and not self.ended.done()

    def _note_held(self) -> None:
        self._held.set(self.held, time.monotonic())

    def relieve(self) -> None:
        """Read on when the intake has room again. The consumer calls this after it has taken something."""
        if self._paused and not self._intake.full:
            self._resume()

    def _pause(self) -> None:
        sock = self._client.socket()
        if self._paused or sock is None:
            return
        self._paused = True
        self._client._ping_t = 0.0  # the answer to an outstanding ping will not be read in time
        self._loop.remove_reader(sock.fileno())
        self._note_held()

    def _resume(self) -> None:
        self._paused = False
        self._note_held()
        sock = self._client.socket()
        if sock is not None:
            self._loop.add_reader(sock.fileno(), self._read)
            self._loop.call_soon(self._read)

    def unconfirmed_s(self, elapsed_s: float) -> float:
        """Look, `elapsed_s` after the last time, for how long the oldest publication has waited for its answer (s).

        Time in which nothing was read does not count.
        """
        oldest = next(iter(self._confirmations), None)
        return self._unconfirmed.look(oldest, 0.0 if oldest is None or self._paused else elapsed_s)

    async def _misc_loop(self) -> None:
        """Look after the connection once a second: the keep-alive of paho, what it needs while nothing is read, and
        whether it works at all."""
        pinged = looked = self._loop.time()
        while True:
            # A process that was stopped for an hour has not looked for an hour.
            elapsed_s, looked = min(self._loop.time() - looked, 2 * _LOOK_S), self._loop.time()
            useless = self._watch(elapsed_s)
            if useless is not None:
                self._finish(useless)
                return
            if not self._paused and self._client.loop_misc() != paho.MQTT_ERR_SUCCESS:
                return
            due = looked - pinged >= self._client.keepalive / 2
            if due and self._client.is_connected() and (self._paused or not self._client._ping_t):
                # paho waits for the whole keep-alive: on a busy machine the broker takes us for dead before.
                pinged = looked
                self._client._send_pingreq()
            if self._paused:
                self._client._ping_t = 0.0
            await asyncio.sleep(_LOOK_S)


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Let asyncio not complain when nobody asks: whoever was waiting may have been cancelled meanwhile."""
    if future.done() and not future.cancelled():
        future.exception()
