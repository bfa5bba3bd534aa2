"""The demonstration: broker, simulated EMMA chain and spacecraft, and daemon in one process tree on a bare machine.

Everything is real but what is measured: a broker (Mosquitto where it is installed), messages, the daemon with its
store and its HTTP server. The chain (`science.synthetic.ground`) and the spacecraft (`science.synthetic.craft`) are
simulated from a time a few days ago and run faster than the clock until they have caught up.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiomqtt
from tqdm import tqdm

from monitor.config import Config
from monitor.daemon.runtime import Daemon
from monitor.decoders.native import native_payload, native_topic
from monitor.demo.chain import PAIRS, STATIONS, simulated_chain
from monitor.demo.craft import CRAFT, simulated_craft
from monitor.demo.lines import CHANGES_ONLY, HEAD, Lines
from monitor.errors import BrokerError
from monitor.io.broker import LocalBroker
from monitor.types import SECOND_NS, SampleBlock, iso_time

__all__ = ["demo"]

_HOUR_NS = 3600 * SECOND_NS
_DAY_NS = 24 * _HOUR_NS
_PIECE_NS = 60 * SECOND_NS
# The waves begin in the morning; two hours later the first whole window is there.
_BEGIN_HOUR = 4
_DAYS_BACK = 4
_ROOT = "geospace/v1"
_IN_FLIGHT = 64
_HEARD_S = 0.5


class _Feed(Protocol):
    """Something that measures."""

    def blocks(self, begin_ns: int, end_ns: int) -> Sequence[SampleBlock]:
        """What begins in a piece of time."""
        ...


async def demo(speed: float, duration_s: float | None, write: Callable[[str], None] = tqdm.write) -> None:
    """Run the demonstration until Ctrl-C, or for a while.

    Parameters
    ----------
    speed : float
        Times real time.
    duration_s : float or None
        Seconds to run; None runs until it is interrupted.
    write : callable
        Takes the lines that are shown.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="geospace-monitor-demo-") as directory:
        async with LocalBroker(Path(directory)) as broker:
            printed = Lines(write, stop.set)
            ready: asyncio.Future[str] = loop.create_future()
            daemon = Daemon(
                _config(broker, Path(directory)),
                on_product=printed.show,
                on_ready=ready.set_result,
            )
            running = asyncio.create_task(daemon.run(), name="daemon")
            try:
                await _first(running, ready, timeout_s=None)
                if running.done():
                    return
                write(f"broker  {broker.url} ({broker.kind})")
                write(f"address {ready.result()}  the page; also /hapi /api/status /metrics")
                write(f"chain   {' '.join(STATIONS)}, simulated, {speed:g} times real time; Ctrl-C ends")
                write(f"craft   {CRAFT}, simulated; {CHANGES_ONLY}\n")
                write(HEAD)
                await _play(broker, speed, running, stop, duration_s)
            finally:
                # Whatever happened: the daemon ends in order, before its broker and its directory go.
                daemon.stop()
                await running
            write(f"\n{printed.summary()}; stopped cleanly")


async def _play(
    broker: LocalBroker,
    speed: float,
    running: asyncio.Task[None],
    stop: asyncio.Event,
    duration_s: float | None,
) -> None:
    """Feed the daemon until `stop`, the end of the daemon, or the time is over; raise what ended the feeding."""
    feeding = asyncio.create_task(_feed(broker, speed), name="feed")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await _first(running, feeding, stopped, timeout_s=duration_s)
    finally:
        stopped.cancel()
        # `wait_for` of Python 3.11, inside the MQTT library, may swallow a cancellation: ask until it is heard.
        while not feeding.done():
            feeding.cancel()
            await asyncio.wait([feeding], timeout=_HEARD_S)
        fed, _ = await asyncio.gather(feeding, stopped, return_exceptions=True)
    if isinstance(fed, aiomqtt.MqttError):
        raise BrokerError(f"the demo's broker at {broker.url} went away: {fed}; start the demo again")
    if isinstance(fed, Exception):
        raise fed


async def _first(*futures: asyncio.Future[Any], timeout_s: float | None) -> None:
    """Wait until one of these ends, or the time is over."""
    await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


def _config(broker: LocalBroker, directory: Path) -> Config:
    """What the demo runs on: its own broker, client id, port and store; the rest as `config.yaml` has it."""
    mqtt = {
        "url": broker.url,
        "client_id": f"geospace-monitor-demo-{time.time_ns()}",
        "protocol": broker.protocol,
    }
    return Config.model_validate(
        {
            "mqtt": mqtt,
            "inputs": [{"decoder": "native", "topic": f"{_ROOT}/in/#"}],
            "pairs": list(PAIRS),
            "chains": {"emma": list(PAIRS)},
            "craft": [CRAFT],
            "outputs": {"root": _ROOT},
            "store": {"path": str(directory / "monitor.sqlite")},
            "http": {"listen": "127.0.0.1:0"},
        }
    )


async def _feed(broker: LocalBroker, speed: float) -> None:
    """Publish the chain and the spacecraft, a minute of samples a source at a time, until it is cancelled."""
    begin = (time.time_ns() // _DAY_NS - _DAYS_BACK) * _DAY_NS + _BEGIN_HOUR * _HOUR_NS
    feeds: tuple[_Feed, ...] = (simulated_chain(begin), simulated_craft(begin))
    started = time.monotonic()
    async with _publisher(broker) as client:
        with tqdm(
            desc="simulated",
            unit="h",
            bar_format="{desc}: {n:.1f} h {postfix}",
            disable=not sys.stderr.isatty(),
        ) as bar:
            now = begin
            while True:
                now = min(now + _PIECE_NS, time.time_ns() // _PIECE_NS * _PIECE_NS)
                for feed in feeds:
                    for block in await asyncio.to_thread(feed.blocks, now - _PIECE_NS, now):
                        await client.publish(native_topic(block, _ROOT), native_payload(block), qos=1)
                bar.set_postfix_str(iso_time(now), refresh=False)
                bar.update(_PIECE_NS / _HOUR_NS)
                due = started + (now - begin) / SECOND_NS / speed
                caught_up = max(0.0, (now + _PIECE_NS - time.time_ns()) / SECOND_NS)
                await asyncio.sleep(max(due - time.monotonic(), caught_up, 0.0))


@asynccontextmanager
async def _publisher(broker: LocalBroker) -> AsyncIterator[aiomqtt.Client]:
    # The library warns of many publications under way; here that is the plan.
    logging.getLogger("mqtt").setLevel(logging.ERROR)
    async with aiomqtt.Client(
        "127.0.0.1",
        broker.port,
        identifier="geospace-monitor-demo-feed",
        max_queued_outgoing_messages=_IN_FLIGHT,
    ) as client:
        yield client
