"""The demonstration: broker, simulated EMMA chain and daemon in one process tree on a bare machine.

Everything is real but the field: a broker (Mosquitto where it is installed), messages, the daemon with its store and
its HTTP server. The chain is simulated (`science.synthetic.ground`) from a time a few days ago and runs faster than
the clock until it has caught up.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
from tqdm import tqdm

from monitor.config import Config
from monitor.daemon.runtime import Daemon
from monitor.decoders.native import native_payload, native_topic
from monitor.errors import BrokerError
from monitor.io.broker import LocalBroker
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.scenario import storm_scenario
from monitor.stations import load_station_table
from monitor.types import SECOND_NS, Json, Product, iso_time

_HOUR_NS = 3600 * SECOND_NS
_DAY_NS = 24 * _HOUR_NS
_PIECE_NS = 60 * SECOND_NS
_STATIONS = ("MUO", "PEL", "OUJ", "HAN", "NUR", "TAR", "BRZ", "SUW")
_PAIRS = tuple(f"{poleward}-{equatorward}" for poleward, equatorward in itertools.pairwise(_STATIONS))
# The waves begin in the morning; two hours later the first whole window is there.
_BEGIN_HOUR = 4
_DAYS_BACK = 4
_SEED = 7
# Hours from the beginning, and L of the plasmapause: it passes a pair before the first noon, and others in the evening.
_COURSE = ((0, 5.45), (4, 5.4), (7, 4.03), (14, 4.03), (20, 3.55), (30, 3.6), (48, 4.3))
_ROOT = "geospace/v1"
_IN_FLIGHT = 64
_HEARD_S = 0.5
_HEAD = (
    f"{'window end (UT)':<20} {'pair':<8} {'L':>5}  {'label':<7} {'mHz':>6} {'90 %':>13} {'phase':>6} {'coh':>5}"
    f" {'amu/cm³':>7}  flags"
)


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
            printed = _Lines(write, stop.set)
            ready: asyncio.Future[str] = loop.create_future()
            daemon = Daemon(
                _config(broker, Path(directory)),
                on_product=partial(_hand_over, loop, printed),
                on_ready=ready.set_result,
            )
            running = asyncio.create_task(daemon.run(), name="daemon")
            try:
                await _first(running, ready, timeout_s=None)
                if running.done():
                    return
                write(f"broker  {broker.url} ({broker.kind})")
                write(f"address {ready.result()}  (/api/status /metrics /readyz)")
                write(f"chain   {' '.join(_STATIONS)}, simulated, {speed:g} times real time; Ctrl-C ends\n")
                write(_HEAD)
                await _play(broker, speed, running, stop, duration_s)
            finally:
                # Whatever happened: the daemon ends in order, before its broker and its directory go.
                daemon.stop()
                await running
            write(f"\n{printed.labels} labels, {printed.events} events; stopped cleanly")


async def _play(
    broker: LocalBroker,
    speed: float,
    running: asyncio.Task[None],
    stop: asyncio.Event,
    duration_s: float | None,
) -> None:
    """Feed the chain until `stop`, the end of the daemon, or the time is over; raise what ended the feeding."""
    feeding = asyncio.create_task(_feed(broker, speed), name="chain")
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


def _hand_over(loop: asyncio.AbstractEventLoop, printed: _Lines, product: Product) -> None:
    """From the daemon's worker thread to the loop."""
    loop.call_soon_threadsafe(printed.show, product)


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
            "pairs": list(_PAIRS),
            "chains": {"emma": list(_PAIRS)},
            "outputs": {"root": _ROOT},
            "store": {"path": str(directory / "monitor.sqlite")},
            "http": {"listen": "127.0.0.1:0"},
        }
    )


async def _feed(broker: LocalBroker, speed: float) -> None:
    """Publish the chain, a minute of samples a station at a time, until it is cancelled."""
    table = load_station_table()
    chain = [(code, float(table[code].l_shell or 0.0)) for code in _STATIONS]
    begin = (time.time_ns() // _DAY_NS - _DAYS_BACK) * _DAY_NS + _BEGIN_HOUR * _HOUR_NS
    plasma = PlasmaModel(plasmapause=tuple((begin + hour * _HOUR_NS, l_shell) for hour, l_shell in _COURSE))
    simulator = GroundSimulator(replace(storm_scenario(begin, seed=_SEED), stations=chain, plasma=plasma))
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
                blocks = await asyncio.to_thread(simulator.blocks, now - _PIECE_NS, now)
                for block in blocks:
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
        identifier="geospace-monitor-demo-chain",
        max_queued_outgoing_messages=_IN_FLIGHT,
    ) as client:
        yield client


class _Lines:
    """Prints each label, plasmapause and event in one line, aligned with the others."""

    def __init__(self, write: Callable[[str], None], gone: Callable[[], None]) -> None:
        self._write = write
        self._gone = gone
        self.labels = 0
        self.events = 0

    def show(self, product: Product) -> None:
        line = _LINES.get(product.kind)
        if line is None:
            return
        self.labels += product.kind == "flr"
        self.events += product.kind == "event" and product.body["properties"]["state"] == "begin"
        try:
            self._write(line(product.body))
        except BrokenPipeError:
            # Nobody reads any more: the demo is over, and its last line says so to the caller.
            self._gone()


def label_line(body: Json) -> str:
    """One `flr` object in one line."""
    physical, interval = body["physical"], body["frequency_interval_mHz"]
    return (
        f"{body['time']:<20} {body['pair']:<8} {_text(body['l_shell'], '.2f'):>5}  {body['label']:<7} "
        f"{_text(body['frequency_mHz'], '.1f'):>6} "
        f"{'-' if interval is None else f'{interval[0]:.1f} – {interval[1]:.1f}':>13} "
        f"{_text(physical['cross_phase_deg'], '+.0f', '°'):>6} {_text(physical['coherence'], '.2f'):>5} "
        f"{_text(body['density_amu_cm3'], '.0f'):>7}  "
        f"{' '.join(flag for flag in body['flags'] if flag != 'physical_only')}"
    )


def plasmapause_line(body: Json) -> str:
    """One `plasmapause` object in one line: L_pp with its interval, or why it is unknown."""
    interval = body["l_interval"]
    return (
        f"{body['time']:<20} {body['chain']:<8} {_text(body['l_shell'], '.2f'):>5}  {'L_pp':<7} {'-':>6} "
        f"{'-' if interval is None else f'{interval[0]:.2f} – {interval[1]:.2f}':>13} {'-':>6} {'-':>5} {'-':>7}  "
        f"{' '.join([body['reason'] or '', *body['flags']]).strip()}"
    )


def event_line(body: Json) -> str:
    """One update of an event in one line."""
    about = body["properties"]
    return (
        f"{about['time']:<20} {about['subject']:<8} {_text(about.get('l_shell'), '.2f'):>5}  {'event':<7} "
        f"{about['kind']} {about['direction']}: {about['state']}"
    )


_LINES = {"flr": label_line, "plasmapause": plasmapause_line, "event": event_line}


def _text(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
