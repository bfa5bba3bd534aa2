"""Replay: archive files as live native messages, with their own times, the sources interleaved.

The pieces are no longer than half the lateness of the windows, so that no source runs ahead of another by more than
the windows wait for. Publications are at QoS 1; a bounded number is under way, so that memory stays flat.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import secrets
import sys
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from tqdm import tqdm

from monitor.decoders.base import GROUND_LIMITS, FileReader
from monitor.decoders.native import CRAFT_LIMITS, native_payload, native_topic
from monitor.errors import ArchiveError, BrokerError, MonitorError
from monitor.io.files import SourceSeries, interleave, open_archives
from monitor.io.mqtt.tls import tls_context
from monitor.types import SECOND_NS, Domain, SampleBlock

__all__ = ["ReplayReport", "replay"]

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 200
"""Publications that may wait for the broker's acknowledgement."""
PUBLISH_TIMEOUT_S: Final = 60.0
LONGEST_PIECE_S: Final = 600.0
"""However patient the windows are: a message must stay below the size that decoders take."""

_EXPECTED_URL: Final = "write mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did: messages, samples (gaps included, each time of a source once), and how long it took."""

    messages: int
    samples: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Broker:
    host: str
    port: int
    tls: bool

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


async def replay(
    specs: Sequence[str],
    *,
    to: str,
    speed: float | None,
    lateness_s: float = 120.0,
    craft_lateness_s: float = 60.0,
    root: str = "geospace/v1",
    yes: bool = False,
    progress: bool = False,
    craft: Sequence[str] = (),
    sources: Collection[str] | None = None,
    readers: Sequence[FileReader] = (),
    username: str | None = None,
    password_file: Path | None = None,
    ca_file: Path | None = None,
) -> ReplayReport:
    """Publish archive files to a broker as live messages, and return when the broker has acknowledged all.

    Parameters
    ----------
    specs : sequence of str
        FILE or CODE=FILE.
    to : str
        `mqtt://HOST[:PORT]` or `mqtts://…`, without credentials.
    speed : float or None
        Times real time; None is as fast as the broker takes it.
    lateness_s, craft_lateness_s : float
        What the windows of stations and of spacecraft wait for late data; a piece lasts half of it, of the shorter
        where there are both, and ten minutes at most.
    root : str
        Topics are `<root>/in/mag/<STATION>` and `<root>/in/craft/<ID>`.
    yes : bool
        Allows a broker beyond loopback, where others may take the archive for live data.
    progress : bool
        Shows the bar also where standard error is no terminal.
    craft : sequence of str
        Ids that are spacecraft.
    sources : collection of str, optional
        Only these stations and spacecraft; all that the files hold where it is not given.
    readers : sequence of FileReader
        Decoders of files that are switched on.
    username, password_file, ca_file
        For a broker that asks for them, and the authority that signed its certificate.

    Raises
    ------
    ArchiveError
        A file cannot be read, or holds nothing that a native message carries.
    BrokerError
        The broker cannot be reached, refuses, or goes away.
    MonitorError
        An argument cannot be used.
    """
    broker = _parse_url(to)
    if not yes and not _is_loopback(broker.host):
        raise MonitorError(
            f"{broker.url} is not on this machine: others there would take the archive for live data; "
            "add --yes if that is meant"
        )
    if speed is not None and not 0.0 < speed < math.inf:
        raise MonitorError(f"speed is {speed:g}; give a number above 0, or max")
    lateness = {Domain.GROUND: lateness_s, Domain.CRAFT: craft_lateness_s}
    for given_s in lateness.values():
        if not 0.0 < given_s < math.inf:
            raise MonitorError(f"lateness is {given_s:g} s; it must be above 0")
    password = _read_password(password_file)
    archives = await asyncio.to_thread(open_archives, specs, craft, readers)
    wanted = [one for one in archives if sources is None or one.source in sources]
    if not wanted:
        held = ", ".join(sorted({one.source for one in archives}))
        raise MonitorError(f"the files hold {held}, and nothing of what --pair or --craft name")
    series = [carried for one in wanted if (carried := _native_part(one)) is not None]
    if not series:
        raise ArchiveError(", ".join(map(str, specs)), "holds nothing that a native message carries")
    shortest_s = min(lateness[one.domain] for one in series)
    piece_ns = max(1, int(min(shortest_s / 2, LONGEST_PIECE_S) * SECOND_NS))
    client = _client(broker, username, password, ca_file)
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    total = sum(one.count for one in series)
    shown = progress or sys.stderr.isatty()
    with tqdm(total=total, unit="sample", unit_scale=True, file=sys.stderr, disable=not shown) as bar:
        async with _connected(client, broker):
            messages = await _publish(client, series, piece_ns, speed, root, bar)
    return ReplayReport(messages, total, loop.time() - started_s)


async def _publish(
    client: aiomqtt.Client,
    series: Sequence[SourceSeries],
    piece_ns: int,
    speed: float | None,
    root: str,
    bar: tqdm[NoReturn],
) -> int:
    """Publish all pieces in order and wait for every acknowledgement; return how many there were."""
    messages = 0
    under_way: deque[asyncio.Task[None]] = deque()
    started_s = asyncio.get_running_loop().time()
    first_ns = min(one.t0_ns for one in series)
    try:
        for block in interleave(series, piece_ns):
            if speed is not None:
                # A live message comes when its last sample has been measured.
                await _until(started_s + (block.end_ns - first_ns) / SECOND_NS / speed)
            # What has ended is taken at once: in a slow replay too a failure must show when it happens.
            while under_way and (under_way[0].done() or len(under_way) >= IN_FLIGHT):
                await under_way.popleft()
            # The loop runs tasks in the order of their making, so the messages leave in the order of time.
            under_way.append(asyncio.create_task(_send(client, block, root)))
            messages += 1
            bar.update(block.count)
        while under_way:
            await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    return messages


async def _send(client: aiomqtt.Client, block: SampleBlock, root: str) -> None:
    await client.publish(native_topic(block, root), native_payload(block), qos=1, timeout=PUBLISH_TIMEOUT_S)


async def _until(due_s: float) -> None:
    """Wait until the loop's clock shows `due_s`."""
    wait_s = due_s - asyncio.get_running_loop().time()
    if wait_s > 0.0:
        await asyncio.sleep(wait_s)


@contextlib.asynccontextmanager
async def _connected(client: aiomqtt.Client, broker: _Broker) -> AsyncIterator[None]:
    """Connect for as long as the context lasts; what MQTT says becomes a line for the operator."""
    try:
        await client.__aenter__()
    except MqttConnectError as error:
        raise BrokerError(
            f"{broker.url} refuses: {error}; check the user, the password file and its rules"
        ) from None
    except aiomqtt.MqttError as error:
        raise BrokerError(f"{broker.url} cannot be reached: {error}; is the broker running there?") from None
    try:
        yield
    except aiomqtt.MqttError as error:
        raise BrokerError(f"{broker.url} went away: {error}; start the replay again") from None
    finally:
        with contextlib.suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)


def _client(
    broker: _Broker, username: str | None, password: str | None, ca_file: Path | None
) -> aiomqtt.Client:
    context = None
    if broker.tls:
        try:
            context = tls_context(None if ca_file is None else str(ca_file), None, None)
        except OSError as error:
            raise MonitorError(f"{ca_file} cannot be used as the authority of the broker: {error}") from None
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        username=username,
        password=password,
        identifier=f"geospace-replay-{secrets.token_hex(4)}",
        # Every broker speaks it, and it costs half of what MQTT 5 costs in this client.
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        tls_context=context,
        max_inflight_messages=IN_FLIGHT,
    )
    # aiomqtt warns of each publication beyond ten under way; here that is the plan.
    client.pending_calls_threshold = IN_FLIGHT
    return client


def _native_part(series: SourceSeries) -> SourceSeries | None:
    """What of a series a native message carries: on the ground no angles and no raw axes. None: nothing."""
    known = GROUND_LIMITS if series.domain is Domain.GROUND else CRAFT_LIMITS
    rows = [row for row, name in enumerate(series.components) if name in known and name not in series.angles]
    if len(rows) == len(series.components):
        return series
    components = tuple(series.components[row] for row in rows)
    left_out = ", ".join(name for name in series.components if name not in components)
    log.warning(
        "%s: %s of %s is left out: a native message does not carry it", series.path, left_out, series.source
    )
    if not rows:
        return None
    return replace(series, components=components, values=series.values[rows])


def _parse_url(url: str) -> _Broker:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MonitorError(f"{url.rpartition('@')[2]!r} is no broker; {_EXPECTED_URL}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0 or parts.path.strip("/"):
        raise MonitorError(f"{_shown(parts)!r} is no broker; {_EXPECTED_URL}")
    if "@" in parts.netloc:
        raise MonitorError(
            f"{_shown(parts)}: give the user and a password file by themselves, not in the URL"
        )
    return _Broker(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts")


def _shown(parts: SplitResult) -> str:
    """The URL without user and password."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MonitorError(f"the password file {path} cannot be read: {error}") from None
