"""A worker that is killed at chosen seams of its work and taken up again, and the stream that it works on.

Killed means: the store's files are copied as they lie at that instant, the log included, and everything else is
dropped. What was not acknowledged comes again, cut otherwise. What is published goes to a list, as the wire would have it.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from region_stage_kit import StubModel, samples

from monitor.config import Config
from monitor.daemon.worker import Worker
from monitor.decoders.native import native_payload, native_topic
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.io.store.rows import content
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.scenario import EMMA, Scenario
from monitor.stages.resonance import ResonanceStage
from monitor.types import (
    CELL_NS,
    SECOND_NS,
    Domain,
    Json,
    Message,
    ResonanceBatch,
    SampleBlock,
    SpectrumBatch,
    Tick,
)

MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
T0_NS = 1_497_495_600 * SECOND_NS  # 2017-06-15T03:00:00Z: daylight over the chain and its conjugate points
HOURS = 9
STATIONS = [station for station in EMMA if station[0] in ("OUJ", "HAN", "NUR", "TAR")]
PAIRS = [f"{poleward}-{equatorward}" for (poleward, _), (equatorward, _) in pairwise(STATIONS)]
CONFIG = Config.model_validate(
    {
        "pairs": PAIRS,
        "chains": {"emma": PAIRS},
        "craft": ["MMS1"],
        # All of the stream can be built again from the stored samples.
        "windows": {"length_s": 7200, "cadence_s": 1800, "lateness_s": 120.0, "revise_s": 36_000.0},
        "craft_windows": {"revise_s": 36_000.0},
        "models": {"flr": "physical"},
        "outputs": {"spectra": True},
        "http": {"public_url": "http://127.0.0.1"},
    }
)
RECEIVED_NS = T0_NS + 86_400 * SECOND_NS
FLIGHT = ["SW"] * 6 + ["BS"] + ["MSH"] * 8 + ["LOBE"] + ["MSH"] * 4
_STEP_S = 10
_PIECE_NS = 10 * MINUTE_NS
_WINDOW_CELLS = 40

Turn = Message | Tick


# -- the stream -------------------------------------------------------------------------------------------


@cache
def stream() -> tuple[Turn, ...]:
    """A storm over a chain of three pairs and a flight through the bow shock; with gaps, what comes late, twice, and Kp."""
    keyed = [(block.end_ns + _delay_ns(number), block) for number, block in enumerate(_storm() + _flight())]
    keyed += [keyed[number] for number in range(5, len(keyed), 40)]
    turns: list[tuple[int, Turn]] = [(at_ns, message(block)) for at_ns, block in keyed]
    turns += [(T0_NS + hour * HOUR_NS, kp_message(hour, 2.0 + hour)) for hour in (0, 3)]
    # Time that passed is forgotten with the process; so there is some only where more samples come.
    turns += [(T0_NS + minute * MINUTE_NS, Tick(5 * MINUTE_NS)) for minute in (90, 210)]
    return tuple(turn for _, turn in sorted(turns, key=lambda one: one[0]))


def _delay_ns(number: int) -> int:
    """A message now and then is hours late."""
    return 2 * HOUR_NS if number % 29 == 7 else 0


def _storm() -> list[SampleBlock]:
    """The plasmapause rests beyond the chain, and comes in within two hours."""
    course = ((0.0, 4.75), (4.0, 4.75), (6.0, 3.0), (14.0, 3.0))
    knots = tuple((T0_NS + round(hour * HOUR_NS), l_shell) for hour, l_shell in course)
    scenario = Scenario(STATIONS, T0_NS, 3, plasma=PlasmaModel(plasmapause=knots), wave_power=3.0)
    simulator = GroundSimulator(scenario)
    blocks = [
        replace(block, step_ns=_STEP_S * SECOND_NS, values=block.values[:, ::_STEP_S].round(3))
        for start in range(T0_NS, T0_NS + HOURS * HOUR_NS, _PIECE_NS)
        for block in simulator.blocks(start, start + _PIECE_NS)
    ]
    # Half an hour of one station is missing.
    return [
        block
        for block in blocks
        if block.source != "HAN" or not 70 <= (block.t0_ns - T0_NS) // MINUTE_NS < 100
    ]


def _flight() -> list[SampleBlock]:
    cells = [region for region in FLIGHT for _ in range(_WINDOW_CELLS)]
    begin_ns = T0_NS + 3 * HOUR_NS
    blocks = []
    for first in range(0, len(cells), 30):
        block = samples(cells[first : first + 30], first=first)
        if first != 420:
            blocks.append(replace(block, t0_ns=begin_ns + first * CELL_NS))
    return blocks


def message(block: SampleBlock) -> Message:
    return Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS)


def kp_message(hour: int, value: float) -> Message:
    block = SampleBlock(
        "KP", ("Kp",), T0_NS + hour * HOUR_NS, 3 * HOUR_NS, np.array([[value]]), domain=Domain.INDEX
    )
    return message(block)


class RememberedResonances(ResonanceStage):
    """The real stage, asked once for each spectrum: hundreds of runs meet the same ones."""

    _known: dict[bytes, ResonanceBatch] = {}  # noqa: RUF012  (shared by all runs)

    def feed(self, items: Sequence[SpectrumBatch] | Tick) -> list[ResonanceBatch]:
        if isinstance(items, Tick):
            return []
        found = []
        for spectrum in items:
            window = spectrum.window
            key = repr((window.end_ns, window.pairs, window.stations)).encode() + window.values_nT.tobytes()
            if key not in self._known:
                (self._known[key],) = super().feed([spectrum])
            found.append(self._known[key])
        return found


class NamedStub(StubModel):
    info = None


# -- the killing ------------------------------------------------------------------------------------------


class KilledError(BaseException):
    """Nothing that the worker could catch."""


@dataclass
class Reaper:
    """Counts the seams of a run, and kills it at the one that is due.

    Attributes
    ----------
    folder : Path
        Where the stores lie, one for each life.
    due : int or None
        How many seams to let pass before the kill.
    """

    folder: Path
    due: int | None = None
    passed: int = 0
    lives: int = 0
    last: str = ""

    @property
    def path(self) -> Path:
        """Of the store of this life."""
        return self.folder / f"{self.lives}.sqlite"

    def seam(self, name: str) -> None:
        """A place at which a process may end."""
        self.passed += 1
        self.last = name
        if self.due is not None:
            self.due -= 1
            if self.due < 0:
                self._kill()

    def _kill(self) -> None:
        self.due = None
        before = self.path
        self.lives += 1
        for suffix in ("", "-wal"):
            old = before.with_name(before.name + suffix)
            if old.exists():
                shutil.copyfile(old, self.path.with_name(self.path.name + suffix))
        raise KilledError


class MortalStore(Store):
    """A store whose process may end within a transaction, and right after it."""

    reaper: Reaper | None = None

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with super()._transaction() as connection:
            yield connection
            if self.reaper is not None:
                self.reaper.seam("within a transaction")
        if self.reaper is not None:
            self.reaper.seam("after a transaction")


@dataclass
class Life:
    """What the broker has of a worker over all its lives.

    Attributes
    ----------
    waiting : list of Turn
        What was not acknowledged.
    wire : list of (str, bytes, bool)
        What was published: topic, payload, retained.
    """

    reaper: Reaper
    rng: random.Random
    waiting: list[Turn]
    wire: list[tuple[str, bytes, bool]] = field(default_factory=list)
    # Called with the path of each store before a new life begins on it.
    spoil: Callable[[Path], None] = lambda _path: None
    most: int = 9

    def live(self) -> None:
        """Work until the stream is at its end, whatever happens on the way."""
        while True:
            try:
                with MortalStore.open(
                    self.reaper.path, retention_ns=1 << 60, product_retention_ns=None
                ) as store:
                    store.reaper = self.reaper
                    self._work(store)
                return
            except KilledError:
                self.spoil(self.reaper.path)

    def _work(self, store: Store) -> None:
        seam = self.reaper.seam
        worker = Worker(CONFIG, store, Metrics(["native"]), wall_ns=lambda: T0_NS)
        assert worker.restore(lambda: bool(seam("while restoring")))
        self._publish(store)
        while self.waiting:
            seam("before messages are taken")
            if isinstance(self.waiting[0], Tick):
                worker.compute(self.waiting.pop(0))
            else:
                count = self._batch()
                blocks = worker.take(self.waiting[:count])  # type: ignore[arg-type]  # no ticks among them
                seam("stored and not acknowledged")
                del self.waiting[:count]
                seam("acknowledged and not computed")
                worker.compute(blocks)
            seam("computed and not committed")
            if worker.commit(at_once=self.rng.random() < 0.2):
                self._publish(store)
        worker.compute(Tick(HOUR_NS))
        worker.compute(Tick(SECOND_NS))
        worker.commit(at_once=True)
        self._publish(store)

    def _batch(self) -> int:
        """How many messages come at once."""
        count = self.rng.randint(1, self.most)
        kinds = [isinstance(turn, Tick) for turn in self.waiting[:count]]
        return kinds.index(True) if True in kinds else len(kinds)

    def _publish(self, store: Store) -> None:
        """What the publisher does, with the same bytes again after a kill between the wire and the mark."""
        while rows := store.outbox(50):
            for row in rows:
                self.wire.append((row.topic, row.payload, row.retained))
                self.reaper.seam("published and not marked")
            store.mark_published([row.row for row in rows])


def lived(
    folder: Path,
    turns: Sequence[Turn],
    due: Sequence[int] = (),
    *,
    seed: int = 0,
    most: int = 9,
    spoil: Callable[[Path], None] = lambda _path: None,
) -> Life:
    """A worker over a stream, killed after each number of seams in `due`."""
    folder.mkdir(parents=True, exist_ok=True)
    left = list(due)
    reaper = Reaper(folder, left.pop(0) if left else None)

    def reborn(path: Path) -> None:
        reaper.due = left.pop(0) if left else None
        spoil(path)

    life = Life(reaper, random.Random(seed), list(turns), spoil=reborn, most=most)
    life.live()
    return life


# -- comparing --------------------------------------------------------------------------------------------

_ASIDE = frozenset({"id", "revision", "published", "links"})


def documents(wire: Sequence[tuple[str, bytes, bool]]) -> list[dict[str, Json]]:
    return [json.loads(payload) for _, payload, _ in wire]


def final(wire: Sequence[tuple[str, bytes, bool]]) -> dict[tuple[str, ...], Any]:
    """The last word on each subject and time, on each event, and on the health of each source."""
    found: dict[tuple[str, ...], tuple[int, Any]] = {}
    for topic, payload, _ in wire:
        document = json.loads(payload)
        if topic.startswith("event/"):
            about = document["properties"]
            members = sorted(member.rpartition("/")[0] for member in about["members"])
            said = {key: value for key, value in about.items() if key not in ("pubtime", "update", "state")}
            key, number, last = ("event", about["data_id"]), about["update"], {**said, "members": members}
        elif topic.startswith("health/"):
            key, number, last = (topic,), len(found), document["state"]
        else:
            key, number = (topic, document["time"]), document["revision"]
            last = {name: value for name, value in document.items() if name not in _ASIDE}
        if key not in found or found[key][0] <= number or key == (topic,):
            found[key] = (number, last)
    return {key: last for key, (_, last) in sorted(found.items())}


def assert_sound(wire: Sequence[tuple[str, bytes, bool]]) -> None:
    """One content for each id, no revision without news; what events rest on was published; retained is what is newest."""
    known: dict[str, Any] = {}
    before: dict[tuple[str, str], tuple[int, Any]] = {}
    retained: dict[str, str] = {}
    for topic, payload, is_retained in wire:
        document = json.loads(payload)
        said = content(document)
        assert known.setdefault(document["id"], said) == said, document["id"]
        for member in document.get("properties", {}).get("members", ()):
            assert member in known, (document["properties"]["data_id"], member)
        if "revision" in document and not topic.startswith("health/"):
            bare = {name: value for name, value in said.items() if name not in _ASIDE}
            number, last = before.get((topic, document["time"]), (-1, None))
            assert document["revision"] <= number or bare != last, document["id"]
            if document["revision"] > number:
                before[topic, document["time"]] = (document["revision"], bare)
        if is_retained:
            retained[topic] = document["time"]
    for topic, time in retained.items():
        assert time == max(one["time"] for name, one in _named(wire) if name == topic), topic


def _named(wire: Sequence[tuple[str, bytes, bool]]) -> Iterator[tuple[str, dict[str, Json]]]:
    for topic, payload, _ in wire:
        yield topic, json.loads(payload)


# -- other deliveries -------------------------------------------------------------------------------------


def rearranged(rng: random.Random) -> list[Turn]:
    """The same samples in other pieces, as late as products may be revised, some twice, with time passing in between."""
    keyed: list[tuple[float, Turn]] = []
    reach_ns = rng.choice([0, HOUR_NS, 9 * HOUR_NS])
    for block in _storm() + _flight():
        cuts = sorted(rng.sample(range(1, block.count), rng.choice([0, 0, 2])))
        for first, last in pairwise([0, *cuts, block.count]):
            part = replace(
                block, t0_ns=block.t0_ns + first * block.step_ns, values=block.values[:, first:last]
            )
            times = rng.choice([1, 1, 1, 2])
            keyed += [(part.end_ns + rng.random() * reach_ns, message(part)) for _ in range(times)]
    # While nothing has ended yet: time after the last samples closes windows that the other run does not have.
    hours = (3.5 * HOUR_NS * rng.random() for _ in range(7))
    keyed += [(T0_NS + next(hours), kp_message(hour, 2.0 + hour)) for hour in (0, 3)]
    keyed += [(T0_NS + at_ns, Tick(rng.randint(1, 300) * SECOND_NS)) for at_ns in hours]
    return [turn for _, turn in sorted(keyed, key=lambda one: one[0])]


def happened(found: dict[tuple[str, ...], Any]) -> dict[tuple[str, ...], Any]:
    """The last words, with events as they are and not as they came to be known.

    An event keeps the name that it was first told by, and what it once rested on, though its start has moved since;
    and one that late samples disprove stays as one that was withdrawn.
    """
    plain = {}
    for key, last in found.items():
        if key[0] != "event":
            plain[key] = last
        elif last.get("outcome") != "withdrawn":
            about = {name: last[name] for name in last if name not in ("data_id", "members", "part_of")}
            plain["event", last["subject"], last["direction"], last["start_datetime"]] = about
    return plain
