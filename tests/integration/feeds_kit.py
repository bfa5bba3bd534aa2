"""One storm over one chain, as five kinds of feeds would bring it: what each writes, and what it rounds to.

The samples are simulated once, turned into the field that a station measures, and rounded as the format of its feed
rounds them. Whoever gets the same numbers by another way has to say the same of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiohttp import web
from daemon_kit import ASIDE, ROOT, DaemonProcess, Document, Listener, eventually, is_equal

from monitor.config import Config
from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.io.store import Store
from monitor.pipeline import Pipeline
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.scenario import EMMA, Scenario
from monitor.types import SECOND_NS, FloatArray, Message, Product, SampleBlock, Surroundings, iso_time

HOUR_NS: Final = 3600 * SECOND_NS
MINUTE_NS: Final = 60 * SECOND_NS
T0_NS: Final = 1_497_499_200 * SECOND_NS
"""2017-06-15T04:00:00Z: daylight over the whole chain, also at the other ends of its field lines."""
HOURS: Final = 10
END_NS: Final = T0_NS + HOURS * HOUR_NS
CHAIN: Final = "emma"
STATIONS: Final = tuple(station for station in EMMA if station[0] in ("OUJ", "HAN", "NUR", "TAR", "BRZ"))
PAIRS: Final = tuple(f"{poleward}-{equatorward}" for (poleward, _), (equatorward, _) in pairwise(STATIONS))
SETTINGS: Final[dict[str, Any]] = {
    "pairs": list(PAIRS),
    "chains": {CHAIN: list(PAIRS)},
    "windows": {"length_s": 7200, "cadence_s": 1800, "lateness_s": 120, "revise_s": 86_400},
}
# From the fifth hour on the plasmapause comes in from beyond the chain to L = 3, within two and a half hours.
_COURSE = ((-1.0, 4.75), (4.0, 4.75), (6.5, 3.0), (13.0, 3.0))
# Towards the north, the east and down, without the waves; a rounded number tells nothing of its last digit.
_MAIN_FIELD_nT = (13_000.013, 1_500.017, 50_000.019)
# Waves are seen in the north; the others only have to be there.
_SHARES = (1.0, 0.2, 0.1)
_EDGE_S = 60
_ASIDE_OF_EVENTS = frozenset({"data_id", "update", "state", "pubtime", "members"})

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Series:
    """What one station measures: X, Y, Z (3, n) in nT from `T0_NS` on."""

    code: str
    step_s: int
    values: FloatArray

    def blocks(self, begin_ns: int = T0_NS, end_ns: int = END_NS, piece_s: int = 60) -> list[SampleBlock]:
        """The samples of a stretch in pieces."""
        step_ns, length = self.step_s * SECOND_NS, piece_s // self.step_s
        first, last = (begin_ns - T0_NS) // step_ns, (end_ns - T0_NS) // step_ns
        return [
            SampleBlock(
                self.code, ("X", "Y", "Z"), T0_NS + at * step_ns, step_ns, self.values[:, at : min(at + length, last)]
            )
            for at in range(first, last, length)
        ]  # fmt: skip


@cache
def _waves() -> Mapping[str, FloatArray]:
    knots = tuple((T0_NS + round(hour * HOUR_NS), l_shell) for hour, l_shell in _COURSE)
    plasma = PlasmaModel(plasmapause=knots)
    simulator = GroundSimulator(Scenario(STATIONS, T0_NS - HOUR_NS, 3, plasma=plasma, wave_power=3.0))
    return simulator.samples(T0_NS - _EDGE_S * SECOND_NS, END_NS + _EDGE_S * SECOND_NS)


def measured(code: str, *, decimals: int, step_s: int = 1) -> Series:
    """What a station's feed brings: means around the times of its samples, with so many decimals."""
    # Half a sample more at either end keeps the mean where its time stamp is.
    weights = np.ones(1) if step_s == 1 else np.array([0.5, *[1.0] * (step_s - 1), 0.5]) / step_s
    edge = _EDGE_S - weights.size // 2
    waves = np.convolve(_waves()[code], weights, "valid")[edge : edge + HOURS * 3600 : step_s]
    field = np.array(_MAIN_FIELD_nT)[:, None] + np.array(_SHARES)[:, None] * waves
    return Series(code, step_s, np.round(field, decimals))


def side_by_side(*feeds: Iterable[SampleBlock]) -> list[SampleBlock]:
    """Blocks of several stations in the order in which they would be sent."""
    return sorted((block for feed in feeds for block in feed), key=lambda one: (one.end_ns, one.source))


# -- what the feeds write -----------------------------------------------------------------------------------


def native(blocks: Iterable[SampleBlock]) -> list[SampleBlock]:
    """The same blocks by way of native messages."""
    decoder = NativeDecoder(NativeDecoder.Options(), Surroundings("native"))
    found: list[SampleBlock] = []
    for block in blocks:
        found += decoder.decode(Message(native_topic(block, ROOT), native_payload(block), END_NS))
    return found


def imagmqtt(block: SampleBlock) -> tuple[str, bytes]:
    """Topic and payload of a message of ImagMQTT, two decimals as observatories have them."""
    body: Document = {"startDate": iso_time(block.t0_ns).removesuffix("Z")}
    for name, row in zip(block.components, block.values, strict=True):
        body[f"geomagneticField{name}"] = [round(value, 2) for value in row.tolist()]
    return f"impf/{block.source.lower()}/pt1s/1/xyzs", json.dumps(body).encode()


def martas(blocks: Sequence[SampleBlock], sensor: str = "LEMI036_1_0001") -> Iterator[tuple[str, bytes]]:
    """Messages of MARTAS, ten samples each: micro-teslas, which the multiplier of the meta makes nanoteslas.

    As MARTAS sends them: data first, then what they are, and that again with every tenth message.
    """
    keys = "[x,y,z] [X,Y,Z] [nT,nT,nT] [0.001,0.001,0.001]"
    for number, block in enumerate(blocks):
        topic = f"{block.source.lower()}/{sensor}"
        rows = []
        for place, (x, y, z) in enumerate(block.values.T.tolist()):
            time = np.datetime64(block.t0_ns + place * block.step_ns, "ns").item() // 1000
            moment = np.datetime64(time, "us").item()
            stamp = f"{moment.year},{moment.month},{moment.day},{moment.hour},{moment.minute},{moment.second}"
            rows.append(f"{stamp},{moment.microsecond},{x / 1000:.6f},{y / 1000:.6f},{z / 1000:.6f}")
        yield f"{topic}/data", ";".join(rows).encode()
        if number % 10 == 0:
            yield f"{topic}/dict", f"{sensor},LEMI036".encode()
            yield f"{topic}/meta", f"# MagPyBin {sensor} {keys} 6hLfff 30".encode()


def fmi_text(series: Series, hours: int) -> str:
    """The newest hours of the 10-s text of the Finnish Meteorological Institute: one decimal."""
    lines = ["YYYY MM DD HH MM SS     X       Y       Z\n", "------------------------------------------\n"]
    for block in series.blocks(END_NS - hours * HOUR_NS, piece_s=series.step_s):
        moment = np.datetime64(block.t0_ns // SECOND_NS, "s").item()
        x, y, z = block.values[:, 0].tolist()
        lines.append(f"{moment:%Y %m %d %H %M %S} {x:9.1f} {y:9.1f} {z:9.1f}\n")
    return "".join(lines)


class TextServer:
    """Serves texts on loopback, each under its path."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[TextServer]:
        """Serve from a thread of its own for as long as the context lasts."""
        loop = asyncio.new_event_loop()
        started, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            app = web.Application()
            app.router.add_get("/{path:.*}", self._answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                started.set()
                await stop.wait()
            finally:
                await runner.cleanup()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        try:
            assert started.wait(30.0)
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(30.0)
            loop.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = self.texts.get(request.match_info["path"])
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text, content_type="text/plain")


# -- what is said -------------------------------------------------------------------------------------------


def offline(blocks: Sequence[SampleBlock], turn: int = 50) -> dict[Key, Document]:
    """What a run says in the end that got every sample in its turn, and was never disturbed."""
    pipeline = Pipeline(Config.model_validate(SETTINGS))
    said: list[Product] = []
    for at in range(0, len(blocks), turn):
        said += pipeline.feed(blocks[at : at + turn])
    return _standing(
        (one.kind, json.loads(one.encode(0))) for one in said if one.retained or one.kind == "event"
    )


def stored(path: Path) -> dict[Key, Document]:
    """What the store of a daemon that does not run holds as the last word."""
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        return _standing(
            (kind, document)
            for kind in ("flr", "profile", "plasmapause", "event")
            for document in store.products(kind, None, 0, 1 << 62, latest_revision=False)
        )


def _standing(said: Iterable[tuple[str, Document]]) -> dict[Key, Document]:
    """The last word of each product and each event, without what belongs to the way there."""
    last: dict[Key, Document] = {}
    events: dict[str, Document] = {}
    for kind, document in said:
        if kind == "event":
            events[document["properties"]["data_id"]] = document["properties"]
        elif kind in ("flr", "profile", "plasmapause"):
            subject = document.get("pair") or document["chain"]
            last[kind, subject, document["time"]] = {
                name: value for name, value in document.items() if name not in ASIDE
            }
    true = {name: event for name, event in events.items() if event.get("outcome") != "withdrawn"}
    for event in true.values():
        # An event keeps the name under which it was first said, whatever is found of its start later.
        part_of = true.get(event.get("part_of", ""))
        named = {"part_of": part_of and _name(part_of)}
        last["event", *_name(event)] = {
            name: value for name, value in (event | named).items() if name not in _ASIDE_OF_EVENTS
        }
    return last


def _name(event: Document) -> tuple[str, str]:
    return f"{event['subject']} {event['direction']}", event["start_datetime"]


def assert_same(found: Mapping[Key, Document], expected: Mapping[Key, Document]) -> None:
    """Both say the same of all: labels, flags and texts equal, numbers within 1e-6 relative."""
    assert not found.keys() ^ expected.keys(), sorted(found.keys() ^ expected.keys())[:8]
    for key, document in expected.items():
        assert found[key].keys() == document.keys(), key
        for name, value in document.items():
            assert is_equal(found[key][name], value), (key, name, found[key][name], value)


def wait_until_whole(listener: Listener, expected: Mapping[Key, Document], daemon: DaemonProcess) -> None:
    """Wait until every window was said of with as many samples as are expected in the end."""
    wanted = {key[1:]: document["coverage"] for key, document in expected.items() if key[0] == "flr"}

    said: dict[tuple[str, str], Document] = {}
    heard = 0

    def missing() -> list[tuple[str, str]]:
        nonlocal heard
        news = listener.messages[heard:]
        heard += len(news)
        for topic, payload, _ in news:
            if topic.startswith(f"{ROOT}/flr/"):
                document = json.loads(payload)
                said[document["pair"], document["time"]] = document["coverage"]
        return [key for key, coverage in wanted.items() if said.get(key) != coverage]

    eventually(lambda: not missing(), 120.0, lambda: f"missing {missing()[:8]}; {daemon.log}")
