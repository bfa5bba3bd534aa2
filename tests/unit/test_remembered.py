"""What decoders remember: stored with the samples, before anything is acknowledged, and taken up again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config import Config
from monitor.daemon.remembered import DecoderMemory
from monitor.daemon.worker import Worker
from monitor.errors import StoreError
from monitor.io.metrics import Metrics
from monitor.io.store import DECODER_STATE, Store
from monitor.io.store.salvage import LOST_CURSOR
from monitor.types import SECOND_NS, Message, SampleBlock

RECEIVED_NS = 1_504_789_200 * SECOND_NS
T0_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z
CONFIG = Config.model_validate(
    {
        "pairs": ["TAR-BRZ"],
        "inputs": [{"decoder": "martas", "topic": "+/+"}, {"decoder": "native", "topic": "n/#"}],
    }
)
STATE = f"{DECODER_STATE}martas:+/+"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def worker_on(store: Store) -> Worker:
    worker = Worker(CONFIG, store, Metrics(["martas", "native"]))
    assert worker.restore()
    return worker


def data(second: int) -> Message:
    row = f"2017,9,7,12,0,{second},0,{20_500_000 + second},1250000"
    return Message("tar/FGE_1_0001/data", row.encode(), RECEIVED_NS)


META = Message(
    "tar/FGE_1_0001/meta", b"# MagPyBin FGE_1_0001 [x,y] [H,E] [nT,nT] [1000,1000] 6hLll 24", RECEIVED_NS
)


def stored_times(store: Store) -> list[int]:
    return [
        block.t0_ns + number * block.step_ns
        for _, block in store.samples("TAR", 0)
        for number in range(block.count)
    ]


def test_data_that_wait_are_stored_when_they_may_be_acknowledged(store: Store) -> None:
    first = worker_on(store)
    for second in range(6):
        assert first.take([data(second)]) == []
        assert len(json.loads(store.states()[STATE])["waiting"]["tar/FGE_1_0001"]) == second + 1
    # As after a kill: only what is in the store counts.
    again = worker_on(store)
    (block,) = again.take([META])
    assert (block.t0_ns, block.count) == (T0_NS, 6)
    third = worker_on(store)
    assert len(third.take([data(6)])) == 1
    assert stored_times(store) == [T0_NS + second * SECOND_NS for second in range(7)]
    assert third.read().rejected == {}


def test_memory_that_could_not_be_stored_is_stored_with_the_next_attempt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_on(store)

    def failing(*_arguments: object) -> int:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_samples", failing)
        with pytest.raises(StoreError):
            worker.take([data(0)])
    assert STATE not in store.states()
    assert worker.take([]) == []
    assert len(json.loads(store.states()[STATE])["waiting"]["tar/FGE_1_0001"]) == 1


def test_refused_message_and_one_without_memory_store_no_state(store: Store) -> None:
    worker = worker_on(store)
    assert (
        worker.take([Message("tar/FGE_1_0001/data", b"x", RECEIVED_NS), Message("n/1", b"x", RECEIVED_NS)])
        == []
    )
    assert STATE not in store.states()


def test_samples_and_memory_are_one_transaction(store: Store) -> None:
    worker = worker_on(store)
    worker.take([data(second) for second in range(6)])
    before = store.states()
    broken = worker.take
    worker._unstored.append(object())  # type: ignore[arg-type]  # a block that no store takes
    with pytest.raises(Exception, match="object"):
        broken([META])
    assert store.states() == before


def test_memory_is_kept_where_the_states_of_the_stages_are_lost(store: Store) -> None:
    worker_on(store).take([data(second) for second in range(6)])
    store.commit([], {"cursor": LOST_CURSOR})
    assert worker_on(store).take([META])[0].count == 6


def test_memory_that_cannot_be_read_is_told_and_begun_anew(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.write_samples([], {STATE: '{"version":99}'})
    with caplog.at_level(logging.WARNING):
        worker = worker_on(store)
    assert "what martas:+/+ remembered of an earlier run cannot be read" in caplog.text
    assert worker.take([META, *(data(second) for second in range(5))])[0].count == 5


class Forgetful:
    """A decoder that cannot say what it remembers, until it can."""

    name = "forgetful"
    changes = 0
    fails = True

    def decode(self, _message: Message) -> list[SampleBlock]:
        return []

    def snapshot(self) -> dict[str, float]:
        if self.fails:
            raise RuntimeError("no idea")
        return {"version": 1}

    def restore(self, _state: object) -> None:
        raise RuntimeError("nor then")


def test_decoder_that_cannot_say_what_it_remembers_is_told_once_and_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    decoder = Forgetful()
    memory = DecoderMemory([("a/#", decoder)])
    memory.restore({f"{DECODER_STATE}forgetful:a/#": "{}"})
    assert memory.changed() == {}
    decoder.changes = 1
    for _ in range(3):
        assert memory.changed() == {}
        memory.stored()
    assert sum("is not stored" in record.message for record in caplog.records) == 1
    decoder.fails = False
    assert memory.changed() == {f"{DECODER_STATE}forgetful:a/#": '{"version":1}'}
    memory.stored()
    assert memory.changed() == {}
