"""What flows through the fault tests: a chain with resonances and a spacecraft with crossings, as single samples.

Sent live in any way, they must end in the same products as the same samples in files do (`Stream.expected`).
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from daemon_kit import (
    ASIDE,
    PAIRS,
    ROOT,
    STATIONS,
    T0_NS,
    Document,
    Listener,
    chain_blocks,
    command,
    is_equal,
    write_config,
)
from flight_kit import CRAFT, FIELD, PLASMA, crossings

from monitor.decoders.native import native_payload, native_topic
from monitor.io.store import Store
from monitor.io.store.rows import content
from monitor.science.synthetic.craft.courses import CourseRanges, course_along
from monitor.science.synthetic.craft.instrument import InstrumentRanges, measured
from monitor.types import CELL_NS, SECOND_NS, VARIABLES, Domain, FloatArray, Region, SampleBlock, iso_time

Samples = dict[tuple[str, str, int], float]
"""Values by source, component and time; NaN is a gap."""

KINDS = ("flr", "profile", "plasmapause", "region", "event")
ROUND_S = 900
"""Windows of the chain and of the spacecraft both end here; a stream has whole rounds."""
_SETTLE_S = 60.0
_ROUND_CELLS = ROUND_S * SECOND_NS // CELL_NS
# The context of the last window of the spacecraft: without it, it would wait.
_TAIL_CELLS = 8
_STAY_CELLS = 220
_COURSE = (Region.SOLAR_WIND, Region.MAGNETOSHEATH, Region.MAGNETOSPHERE, Region.MAGNETOSHEATH)
_SUBJECTS = {
    "geospace/flr/": "pair",
    "geospace/region/": "craft",
    "geospace/profile/": "chain",
    "geospace/plasmapause/": "chain",
}


class Stream:
    """Samples of so many rounds, as they are sent.

    Parameters
    ----------
    rounds : int
        Quarters of an hour at most; `messages` may be told to end sooner.
    """

    def __init__(self, rounds: int) -> None:
        whole = chain_blocks(rounds * ROUND_S // 60, piece_s=rounds * ROUND_S)
        self._chain = {block.source: block for block in whole}
        self._flight = _flight(rounds * _ROUND_CELLS + _TAIL_CELLS)
        self._rounds = rounds
        self._last = rounds

    def end_soon(self, at_least: int = 3) -> None:
        """Let the messages end with the round in hand, but not before so many rounds."""
        self._last = at_least

    def messages(self) -> Iterator[tuple[str, bytes, SampleBlock]]:
        """Topic, payload and content of every message, in the order in which a real hour would bring them."""
        for number in range(self._rounds):
            cells = iter(range(number * _ROUND_CELLS, (number + 1) * _ROUND_CELLS))
            cell = next(cells, None)
            for second in range(number * ROUND_S, (number + 1) * ROUND_S):
                yield from (_message(self._station(code, second)) for code in STATIONS)
                while cell is not None and cell * CELL_NS <= second * SECOND_NS:
                    yield from map(_message, self._craft(cell))
                    cell = next(cells, None)
            if number + 1 >= self._last:
                break
        tail = range((number + 1) * _ROUND_CELLS, (number + 1) * _ROUND_CELLS + _TAIL_CELLS)
        yield from (_message(block) for cell in tail for block in self._craft(cell))

    def _station(self, code: str, second: int) -> SampleBlock:
        whole = self._chain[code]
        values = whole.values[:, second : second + 1]
        return SampleBlock(code, whole.components, whole.t0_ns + second * SECOND_NS, SECOND_NS, values)

    def _craft(self, cell: int) -> Iterator[SampleBlock]:
        for names in (FIELD, PLASMA):
            values = self._flight[cell : cell + 1, [VARIABLES.index(name) for name in names]].T
            yield SampleBlock(
                CRAFT, names, T0_NS + cell * CELL_NS, CELL_NS, values, Domain.CRAFT, frame="gse"
            )


def _flight(cells: int) -> FloatArray:
    """A flight to and fro through shock and magnetopause: (`cells`, 12)."""
    rng = np.random.default_rng(7)
    stays = [
        (region, _STAY_CELLS)
        for region in itertools.islice(itertools.cycle(_COURSE), -(-cells // _STAY_CELLS))
    ]
    return measured(rng, InstrumentRanges(), course_along(rng, CourseRanges(), stays).series)[:cells].round(6)


def _message(block: SampleBlock) -> tuple[str, bytes, SampleBlock]:
    return native_topic(block, ROOT), native_payload(block), block


def stream_config(path: Path, url: str, **changes: object) -> Path:
    """A configuration of a daemon that watches chain and spacecraft, and forgets nothing of the test."""
    store = {"path": str(path.with_suffix(".sqlite")), "retention_h": 1000}
    whole: dict[str, object] = {"chains": {"emma": list(PAIRS)}, "craft": [CRAFT], "store": store}
    return write_config(path, url, **(whole | changes))


# -- samples -----------------------------------------------------------------------------------------------


def samples_of(blocks: Iterable[SampleBlock]) -> Samples:
    """Every value by source, component and time; of the same sample the last counts."""
    return {
        (block.source, name, block.t0_ns + number * block.step_ns): value
        for block in blocks
        for name, row in zip(block.components, block.values.tolist(), strict=True)
        for number, value in enumerate(row)
    }


def stored_samples(path: Path) -> Samples:
    """All samples in the store of a daemon that does not run."""
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        return samples_of(block for _, block in store.samples(None, -1 << 62))


def last_times(blocks: Iterable[SampleBlock]) -> dict[str, str]:
    """The end of the last sample of each source, as `/api/status` says it."""
    ends: dict[str, int] = {}
    for block in blocks:
        ends[block.source] = max(ends.get(block.source, 0), block.end_ns)
    return {source: iso_time(end) for source, end in ends.items()}


@dataclass(frozen=True)
class Comparison:
    """What of the samples that should be there is missing, and what is there with another value."""

    missing: Sequence[tuple[str, str, int]]
    wrong: Sequence[tuple[str, str, int]]


def compared(stored: Samples, sent: Samples) -> Comparison:
    """Hold the store against what was sent, value by value and to the last bit."""
    missing, wrong = [], []
    for key, value in sent.items():
        if key not in stored:
            missing.append(key)
        elif not (stored[key] == value or (stored[key] != stored[key] and value != value)):
            wrong.append(key)
    return Comparison(missing, wrong)


# -- products ----------------------------------------------------------------------------------------------


def expected_products(config: Path, samples: Samples) -> list[Document]:
    """All that `process` says of the samples in files; a sample that is not there is empty in its row."""
    chain = config.with_name(f"{config.stem}-chain.csv")
    craft = config.with_name(f"{config.stem}-craft.csv")
    ground = {key: value for key, value in samples.items() if key[0] != CRAFT}
    space = {key: value for key, value in samples.items() if key[0] == CRAFT}
    _write_rows(chain, ground, {f"{code}_H": (code, "H") for code in STATIONS}, SECOND_NS)
    _write_rows(craft, space, {name: (CRAFT, name) for name in FIELD + PLASMA}, CELL_NS)
    output = config.with_suffix(".jsonl")
    done = command("process", chain, f"{CRAFT}={craft}", "-c", config, "-o", output, timeout_s=280)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in output.read_text().splitlines()]


def _write_rows(path: Path, samples: Samples, columns: Mapping[str, tuple[str, str]], step_ns: int) -> None:
    times = {at for _, _, at in samples}
    with path.open("w") as file:
        file.write("time," + ",".join(columns) + "\n")
        for at in range(min(times), max(times) + 1, step_ns):
            values = [samples.get((*column, at), float("nan")) for column in columns.values()]
            cells = ",".join("" if value != value else repr(value) for value in values)
            file.write(f"{iso_time(at)},{cells}\n")


def stored_products(path: Path, kinds: Sequence[str] = KINDS) -> list[Document]:
    """All products of these kinds in the store of a daemon that does not run."""
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        return [
            document
            for kind in kinds
            for document in store.products(kind, None, 0, 1 << 62, latest_revision=False)
        ]


def published_products(listener: Listener) -> list[Document]:
    """All products that were published, each kind in the order of arrival."""
    return [document for kind in KINDS for document in listener.documents(f"{kind}/")]


def settled_products(listener: Listener, expected: Iterable[Document]) -> list[Document]:
    """All products that were published, once they agree with those expected, or after a minute in which they do not.

    What disagrees is for the test to tell, with its figures.
    """
    expected = list(expected)
    deadline = time.monotonic() + _SETTLE_S
    while differing(said := published_products(listener), expected) and time.monotonic() < deadline:
        time.sleep(0.2)
    return said


def last_words(documents: Iterable[Document]) -> dict[tuple[str, str, str], Document]:
    """The highest revision of each product that belongs to a window, by kind, subject and time."""
    kept: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        for schema, subject in _SUBJECTS.items():
            if document.get("schema", "").startswith(schema):
                key = (schema, document[subject], document["time"])
                if key not in kept or kept[key]["revision"] <= document["revision"]:
                    kept[key] = document
    return kept


def differing(found: Iterable[Document], expected: Iterable[Document]) -> list[str]:
    """Where two runs disagree as the contract defines it: in a window, or in the last word on an event."""
    found, expected = list(found), list(expected)
    ours, theirs = last_words(found), last_words(expected)
    faults = [f"{key}: only in one of them" for key in sorted(ours.keys() ^ theirs.keys())]
    for key in sorted(ours.keys() & theirs.keys()):
        names = (ours[key].keys() | theirs[key].keys()) - ASIDE
        faults += [
            f"{key} {name}: {ours[key].get(name)} for {theirs[key].get(name)}"
            for name in sorted(names)
            if not is_equal(ours[key].get(name), theirs[key].get(name))
        ]
    said, wanted = crossings(found), crossings(expected)
    faults += [f"{key}: only in one of them" for key in sorted(said.keys() ^ wanted.keys())]
    for event in sorted(said.keys() & wanted.keys()):
        for name in ("state", "outcome", "end_datetime", "confidence"):
            one, other = (each["properties"].get(name) for each in (said[event], wanted[event]))
            if not is_equal(one, other):
                faults.append(f"{event} {name}: {one} for {other}")
    return faults


def contradictions(documents: Iterable[Document]) -> list[str]:
    """Ids that were given to two contents (the moment of sending is none)."""
    seen: dict[str, Document] = {}
    return [one["id"] for one in documents if seen.setdefault(one["id"], content(one)) != content(one)]
