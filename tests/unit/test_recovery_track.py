"""Restarts of the learned chain: the tracker goes on where it was, or everything is built again from the samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from monitor.config import Config
from monitor.daemon.checkpoint import CURSOR, digest_of, sealed
from monitor.daemon.recovery import Recovery
from monitor.daemon.worker import Worker
from monitor.decoders.native import native_payload, native_topic
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.science.synthetic.ground import EMMA, GroundSimulator, quiet_day
from monitor.types import SECOND_NS, Json, Message, SampleBlock

BEGIN_NS = 1_577_858_400 * SECOND_NS  # 2020-01-01T06:00:00Z, when the simulated waves are strong
TURN_NS = 600 * SECOND_NS
TURNS = 37
RECEIVED_NS = 1_700_000_000 * SECOND_NS
WINDOWS = {"length_s": 7200, "cadence_s": 1800, "lateness_s": 60.0, "revise_s": 0.0}
LEARNED = Config.model_validate({"pairs": ["TAR-BRZ"], "windows": WINDOWS})
PHYSICAL = Config.model_validate({"pairs": ["TAR-BRZ"], "windows": WINDOWS, "models": {"flr": "physical"}})
BUILT_AGAIN = "it is built again from the stored samples"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


@cache
def morning() -> tuple[tuple[SampleBlock, ...], ...]:
    """A simulated morning of two stations, in turns of ten minutes."""
    chain = [station for station in EMMA if station[0] in ("TAR", "BRZ")]
    simulator = GroundSimulator(quiet_day(BEGIN_NS, stations=chain))
    begins = [BEGIN_NS + turn * TURN_NS for turn in range(TURNS)]
    return tuple(tuple(simulator.blocks(begin, begin + TURN_NS)) for begin in begins)


def message(block: SampleBlock) -> Message:
    return Message(native_topic(block, "geospace/v1"), native_payload(block), RECEIVED_NS)


def worker_on(store: Store, config: Config = LEARNED) -> Worker:
    worker = Worker(config, store, Metrics(["native"]))
    assert worker.restore()
    return worker


def run(worker: Worker, first: int, last: int) -> None:
    for blocks in morning()[first:last]:
        worker.compute(worker.take([message(block) for block in blocks]))
        worker.commit()
    worker.commit(at_once=True)


def contents(store: Store) -> dict[str, dict[str, Any]]:
    documents = [json.loads(row.payload) for row in store.outbox(1000) if row.kind == "flr"]
    assert len({document["id"] for document in documents}) == len(documents)
    return {document["id"]: {**document, "published": None} for document in documents}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a run without an end says."""
    path = tmp_path_factory.mktemp("whole") / "db.sqlite"
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as opened:
        run(worker_on(opened), 0, TURNS)
        found = contents(opened)
    assert len(found) == 12
    assert sum(document["probability"] is not None for document in found.values()) >= 6
    assert "Freq" in {document["label"] for document in found.values()}
    return found


@pytest.mark.parametrize(("committed", "stored"), [(20, 20), (17, 22), (0, 30)])
def test_restart_goes_on_with_the_tracker_as_it_was(
    committed: int, stored: int, store: Store, whole: dict[str, dict[str, Any]]
) -> None:
    """The first run stores more than it computes, and dies."""
    first = worker_on(store)
    run(first, 0, committed)
    for blocks in morning()[committed:stored]:
        first.take([message(block) for block in blocks])
    run(worker_on(store), stored, TURNS)
    assert contents(store) == whole


def resealed(store: Store, stage: str, state: Json) -> dict[str, str]:
    """A state with a cursor that vouches for it, as a program would write it that errs."""
    cursor, text = json.loads(store.states()[CURSOR]), json.dumps(state)
    cursor["digests"][stage] = digest_of(text)
    return {stage: text, CURSOR: json.dumps(sealed(cursor))}


def another_tracker(state: Json) -> None:
    state["settings"] = [{**state["settings"][0], "stay": 0.5}, *state["settings"][1:]]


def another_version(state: Json) -> None:
    state["version"] += 1


def cut_short(state: Json) -> None:
    (memory,) = state["pairs"].values()
    memory[5][-1][-1] = memory[5][-1][-1][:16]


def without_its_numbers(state: Json) -> None:
    (memory,) = state["pairs"].values()
    memory[5][-1][-1] = ""


def of_another_shape(state: Json) -> None:
    state["pairs"] = [1, 2, 3]


@pytest.mark.parametrize(
    "spoil", [another_tracker, another_version, cut_short, without_its_numbers, of_another_shape]
)
def test_tracker_that_cannot_be_restored_is_built_again(
    spoil: Any, store: Store, whole: dict[str, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    run(worker_on(store), 0, 14)
    said = contents(store)
    state = json.loads(store.states()["track"])
    spoil(state)
    store.commit([], resealed(store, "track", state))
    second = worker_on(store)
    assert BUILT_AGAIN in caplog.text
    assert "is not what was stored" not in caplog.text
    assert contents(store) == said
    run(second, 14, TURNS)
    assert contents(store) == whole


def test_tracker_that_has_lost_what_came_before_says_nothing_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The stored samples reach back two and a half hours, the windows before them are known to nobody."""
    run(worker_on(store), 0, 31)
    said = contents(store)
    state = json.loads(store.states()["track"])
    another_version(state)
    store.commit([], {"track": json.dumps(state)})
    second = worker_on(store)
    assert BUILT_AGAIN in caplog.text
    assert second.pipeline.lookback_ns < 3 * 3600 * SECOND_NS
    assert contents(store) == said
    run(second, 31, TURNS)
    assert {key.rpartition("/")[2] for key in contents(store)} == {"0"}
    assert len(contents(store)) == 12


def test_spectra_that_are_built_again_go_on_with_their_revisions(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config.model_validate(
        {"pairs": ["TAR-BRZ"], "windows": {**WINDOWS, "revise_s": 7200.0}, "outputs": {"spectra": True}}
    )
    first = worker_on(store, config)
    run(first, 0, 14)
    sent_otherwise(first, 1.0)
    # The clock must go on for a window to be computed again.
    run(first, 14, 15)
    assert revisions(store)["2020-01-01T08:00:00Z"] == [0, 1]
    issued = Recovery(config, store).ledger()
    at_eight = str(BEGIN_NS + 12 * TURN_NS)
    assert issued["spectra"]["issued"]["TAR-BRZ"][at_eight][0] == 1
    assert issued["product"]["issued"]["TAR-BRZ"][at_eight][0] == 1
    before = revisions(store)
    store.commit([], {"track": "{}"})
    second = worker_on(store, config)
    assert BUILT_AGAIN in caplog.text
    assert revisions(store) == before
    sent_otherwise(second, 2.0)
    run(second, 15, 16)
    assert revisions(store)["2020-01-01T08:00:00Z"] == [0, 1, 2]
    assert "stored with other content" not in caplog.text


def sent_otherwise(worker: Worker, shift_nT: float) -> None:
    """Ten minutes of one station come again, a little higher."""
    block = morning()[9][0]
    worker.compute(worker.take([message(replace(block, values=block.values + shift_nT))]))
    worker.commit(at_once=True)


def revisions(store: Store) -> dict[str, list[int]]:
    """Of the spectra, in the order in which they went out."""
    found: dict[str, list[int]] = {}
    for row in store.outbox(1000):
        if row.kind == "spectrum":
            document = json.loads(row.payload)
            found.setdefault(document["time"], []).append(document["revision"])
    return found


def test_chain_is_switched_off_and_on_again(
    store: Store, whole: dict[str, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    for first, last, config in [(0, 16, LEARNED), (16, 22, PHYSICAL), (22, TURNS, LEARNED)]:
        run(worker_on(store, config), first, last)
    assert BUILT_AGAIN not in caplog.text
    found = contents(store)
    assert found.keys() == whole.keys()
    between = {key for key, document in found.items() if "physical_only" in document["flags"]}
    assert {found[key]["time"][11:16] for key in between} == {"09:00", "09:30"}
    # What stage one says rests on the window alone.
    stage_one = {key: document["stage_one"] for key, document in found.items() if key not in between}
    assert stage_one == {key: whole[key]["stage_one"] for key in stage_one}
