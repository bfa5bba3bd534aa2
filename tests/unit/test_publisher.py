"""The publisher: order, refusals, a store that fails, and an end that comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from monitor.daemon.publisher import Publisher
from monitor.errors import BrokerError, BrokerUnavailable, StoreError
from monitor.io.mqtt import MqttLink
from monitor.io.store import OutboxRow, Store
from monitor.types import SECOND_NS, Product

T0_NS = 1_504_785_600 * SECOND_NS


class Wire:
    """Stands for the link: keeps what is published; some topics are refused, and it can be down."""

    def __init__(self) -> None:
        self.connected = True
        self.sent: list[tuple[str, bytes, bool]] = []
        self.refuses: set[str] = set()
        self.breaks_after: int | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if not self.connected or (self.breaks_after is not None and len(self.sent) >= self.breaks_after):
            self.connected = False
            raise BrokerUnavailable("down")
        self.sent.append((topic, payload, retain))
        await self.answers.wait()
        if topic in self.refuses:
            raise BrokerError(f"the broker refused a message to {topic}: Not authorized")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "db.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def fill(store: Store, count: int, pair: str = "TAR-BRZ") -> None:
    products = [
        Product(
            "flr", pair, T0_NS + n * SECOND_NS, 0, True, {"id": f"{pair}{n}", "revision": 0, "time": str(n)}
        )
        for n in range(count)
    ]
    store.commit([(product, product.encode(0)) for product in products], {})


@asynccontextmanager
async def publishing(
    store: Store, wire: Wire, faults: list[str | None] | None = None
) -> AsyncIterator[Publisher]:
    publisher = Publisher(
        store,
        cast("MqttLink", wire),
        "root",
        online=b'{"state":"online"}',
        offline=b'{"state":"offline"}',
        on_fault=(faults if faults is not None else []).append,
    )
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        wire.answers.set()
        publisher.stop()
        await asyncio.wait_for(task, 5)


async def until_empty(store: Store) -> None:
    async with asyncio.timeout(5):
        while store.outbox(1):  # noqa: ASYNC110  (the file has no event)
            await asyncio.sleep(0.01)


async def test_outbox_goes_out_in_order_after_the_greeting(store: Store) -> None:
    fill(store, 250)
    wire = Wire()
    wire.connected = False
    async with publishing(store, wire) as publisher:
        await asyncio.sleep(0.05)
        assert wire.sent == []
        wire.connected = True
        publisher.greet()
        await until_empty(store)
    assert wire.sent[0] == ("root/status", b'{"state":"online"}', True)
    assert [json.loads(payload)["id"] for _, payload, _ in wire.sent[1:]] == [
        f"TAR-BRZ{n}" for n in range(250)
    ]


async def test_products_that_were_not_acknowledged_go_out_again_with_the_same_bytes(store: Store) -> None:
    fill(store, 10)
    wire = Wire()
    wire.breaks_after = 4
    async with publishing(store, wire) as publisher:
        async with asyncio.timeout(5):
            while publisher.waiting != 6:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        wire.breaks_after, wire.connected = None, True
        publisher.greet()
        await until_empty(store)
    payloads = [payload for topic, payload, _ in wire.sent if topic != "root/status"]
    assert [json.loads(payload)["id"] for payload in payloads] == [f"TAR-BRZ{n}" for n in range(10)]


async def test_refused_topic_is_told_and_does_not_hold_up_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, 3, "AAA-BBB")
    fill(store, 3, "TAR-BRZ")
    wire = Wire()
    wire.refuses = {"root/flr/AAA-BBB"}
    async with publishing(store, wire) as publisher:
        await until_empty(store)
        assert "Not authorized" in str(publisher.refused)
        assert len(caplog.records) == 1
        # Once the rules are mended, the next product says so.
        wire.refuses = set()
        fill(store, 4, "AAA-BBB")
        publisher.wake()
        await until_empty(store)
        assert str(publisher.refused) == "None"
    assert [topic for topic, _, _ in wire.sent].count("root/flr/AAA-BBB") == 4


async def test_store_that_fails_is_reported_and_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 2)
    mark, failures = store.mark_published, 2

    def fails(rows: list[int]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreError("the disk is full")
        mark(rows)

    monkeypatch.setattr(store, "mark_published", fails)
    faults: list[str | None] = []
    wire = Wire()
    async with publishing(store, wire, faults):
        await until_empty(store)
    assert faults[:2] == ["the outbox cannot be kept: the disk is full"] * 2
    assert faults[-1] is None
    assert len(wire.sent) == 2


async def test_full_disk_repeats_nothing_and_holds_nothing_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went out cannot be marked, but all that waits goes out once, in order; the next run may repeat it."""
    fill(store, 250)
    wire = Wire()
    faults: list[str | None] = []
    with monkeypatch.context() as patch:
        patch.setattr(store, "mark_published", full_disk)
        async with publishing(store, wire, faults) as publisher, asyncio.timeout(5):
            while len(wire.sent) < 250:
                publisher.wake()
                await asyncio.sleep(0.01)
            for _ in range(5):
                publisher.wake()
                await asyncio.sleep(0.01)
    assert [json.loads(payload)["id"] for _, payload, _ in wire.sent] == [f"TAR-BRZ{n}" for n in range(250)]
    assert set(faults) == {"the outbox cannot be kept: the disk is full"}
    assert len(store.outbox(300)) == 250
    async with publishing(store, wire):
        await until_empty(store)
    payloads = [payload for _, payload, _ in wire.sent]
    assert payloads[250:] == payloads[:250]


async def test_full_disk_and_broken_connection_leave_no_product_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 8)
    wire = Wire()
    wire.breaks_after = 3
    with monkeypatch.context() as patch:
        patch.setattr(store, "mark_published", full_disk)
        async with publishing(store, wire) as publisher, asyncio.timeout(5):
            while publisher.waiting != 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            wire.breaks_after, wire.connected = None, True
            publisher.wake()
            while len(wire.sent) < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            patch.undo()
            await until_empty(store)
    assert [json.loads(payload)["id"] for _, payload, _ in wire.sent] == [f"TAR-BRZ{n}" for n in range(8)]


def full_disk(_rows: list[int]) -> None:
    raise StoreError("the disk is full")


async def test_broker_that_answers_nothing_is_given_no_more_than_a_batch(store: Store) -> None:
    fill(store, 250)
    wire = Wire()
    wire.answers.clear()
    async with publishing(store, wire):
        async with asyncio.timeout(20):
            while len(wire.sent) < 100:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert len(wire.sent) == 100
        wire.answers.set()
        await until_empty(store)
    assert len(wire.sent) == 250


async def test_stop_sends_what_is_left_and_ends(store: Store) -> None:
    fill(store, 120)
    wire = Wire()
    async with publishing(store, wire):
        pass
    rows: list[OutboxRow] = store.outbox(1)
    assert rows == []
    assert len(wire.sent) == 120


async def test_stop_ends_at_once_without_a_connection(store: Store) -> None:
    fill(store, 3)
    wire = Wire()
    wire.connected = False
    async with asyncio.timeout(0.9):
        async with publishing(store, wire):
            await asyncio.sleep(0.05)
    assert len(store.outbox(10)) == 3


async def test_goodbye_is_the_status_offline(store: Store) -> None:
    wire = Wire()
    async with publishing(store, wire) as publisher:
        await publisher.say_goodbye()
    assert wire.sent == [("root/status", b'{"state":"offline"}', True)]
