"""`kafka_sink` and `kafka_source` against the mock cluster of librdkafka (what it is: `kafka_kit`)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import eventually
from kafka_kit import MockCluster, cluster
from monitor_plugins.kafka import KafkaSink, KafkaSource
from monitor_plugins.kafka.cluster import ClusterAway
from monitor_plugins.kafka.source import UNREADABLE
from mqtt_kit import until
from sink_kit import HERE, flr, golden_products, product
from tls_kit import Authority

from monitor.io.broker import free_port
from monitor.testing import RecordingFeed, check_sink, check_source, stored_products
from monitor.types import Message

__all__ = ["cluster"]

# The library forgets a connection that it is making when it is cancelled; the collector closes it, and complains.
pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore:.*AIOKafkaConnection:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning"),
]


@pytest.fixture
def collected() -> Iterator[None]:
    """Leave nothing for the collector to find in somebody else's test."""
    yield
    gc.collect()


def sink_of(cluster: MockCluster, **options: Any) -> KafkaSink:
    return KafkaSink(KafkaSink.Options(servers=[cluster.server], **options), HERE)


def source_of(cluster: MockCluster, topics: dict[str, str], **options: Any) -> KafkaSource:
    return KafkaSource(KafkaSource.Options(servers=[cluster.server], topics=topics, **options), HERE)


@contextlib.asynccontextmanager
async def running(source: KafkaSource, feed: RecordingFeed) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run(feed))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def payloads(feed: RecordingFeed) -> list[bytes]:
    return [item.payload for item in feed.items if isinstance(item, Message)]


# -- the sink ---------------------------------------------------------------------------------------------


async def test_sink_writes_each_product_under_its_subject_in_order(cluster: MockCluster) -> None:
    products = list(golden_products())
    sink = sink_of(cluster)
    await sink.open()
    await sink.write(products)
    await sink.close()
    for kind in {one.kind for one in products}:
        expected: dict[str, list[bytes]] = {}
        for one in products:
            if one.kind == kind:
                expected.setdefault(one.subject, []).append(one.payload)
        found: dict[str, list[bytes]] = {}
        for record in cluster.records(f"geospace.{kind}", 4):
            subject = record.key().decode()
            found.setdefault(subject, []).append(record.value())
            assert dict(record.headers()) == {
                "topic": f"geospace/v1/{kind}/{subject}".encode(),
                "kind": kind.encode(),
            }
        assert found == expected


async def test_sink_may_write_all_kinds_to_one_topic_and_a_removal_as_a_tombstone(
    cluster: MockCluster,
) -> None:
    cluster.topic("space")
    sink = sink_of(cluster, topic="space", kinds=["flr", "event"])
    assert sink.kinds == {"flr", "event"}
    await sink.open()
    await sink.write([flr(1), product(2, "flr", "TAR-BRZ", None)])
    await sink.close()
    assert [one and one["pair"] for one in cluster.documents("space")] == ["TAR-BRZ", None]


async def test_sink_says_when_the_cluster_is_away_and_goes_on_when_it_is_back(cluster: MockCluster) -> None:
    cluster.topic("geospace.flr")
    sink = sink_of(cluster, timeout_s=1.0)
    await sink.open()
    await sink.write([flr(1, "A-B")])
    cluster.down()
    with pytest.raises(ClusterAway, match="does not take"):
        await sink.write([flr(2, "C-D")])
    with pytest.raises(ClusterAway, match="cannot be reached"):
        await sink.open()
    cluster.up()
    await sink.open()
    await sink.write([flr(2, "C-D"), flr(3, "E-F")])
    await sink.close()
    pairs = [one["pair"] for one in cluster.documents("geospace.flr")]
    assert list(dict.fromkeys(pairs)) == ["A-B", "C-D", "E-F"]


async def test_sink_leaves_behind_what_is_too_large_and_nothing_else(
    cluster: MockCluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.topic("geospace.flr")
    sink = sink_of(cluster, maximum_record_bytes=4096)
    await sink.open()
    with caplog.at_level(logging.ERROR):
        await sink.write([flr(1, "A-B"), flr(2, "BIG-B", note="x" * 5000), flr(3, "C-D")])
    await sink.close()
    pairs = [one["pair"] for one in cluster.documents("geospace.flr")]
    assert (set(pairs), pairs[-1], sink.left_behind) == ({"A-B", "C-D"}, "C-D", 1)
    assert "flr/BIG-B" in caplog.text


async def test_sink_holds_to_what_every_sink_has_to(cluster: MockCluster) -> None:
    cluster.topic("geospace.flr")

    @contextlib.asynccontextmanager
    async def down() -> AsyncIterator[None]:
        cluster.down()
        yield
        cluster.up()

    def effects() -> set[str]:
        return {one["id"] for one in cluster.documents("geospace.flr") if one is not None}

    await check_sink(lambda: sink_of(cluster, timeout_s=2.0), stored_products(6), effects, down=down)


# -- the source -------------------------------------------------------------------------------------------


def messages(count: int, first: int = 0) -> list[tuple[str | None, bytes | None, dict[str, Any]]]:
    return [
        (f"ST{n % 3}", json.dumps({"n": n}).encode(), {"timestamp": 1000 * n + 1})
        for n in range(first, first + count)
    ]


async def test_source_gives_each_record_its_topic(cluster: MockCluster) -> None:
    cluster.topic("mag")
    cluster.topic("raw")
    cluster.produce("mag", [("TAR", b"1", {}), (None, b"2", {}), ("a/#", b"3", {}), ("TAR", None, {})])
    cluster.produce(
        "raw", [(None, b"4", {"headers": {"to": b"impf/TAR"}}), (None, b"5", {"headers": {"to": b"\xff"}})]
    )
    feed = RecordingFeed()
    templates = {"mag": "geospace/v1/in/mag/{key}", "raw": "{header.to}"}
    async with running(source_of(cluster, templates), feed):
        await until(lambda: len(feed.items) == 5)
    assert {(item.topic, item.payload) for item in feed.items if isinstance(item, Message)} == {
        ("geospace/v1/in/mag/TAR", b"1"),
        (UNREADABLE, b"2"),
        (UNREADABLE, b"3"),
        ("impf/TAR", b"4"),
        (UNREADABLE, b"5"),
    }


async def test_source_commits_only_what_is_stored(cluster: MockCluster) -> None:
    cluster.topic("mag")
    cluster.produce("mag", messages(10))
    gate = asyncio.Event()

    class Slow(RecordingFeed):
        async def take(self, items: Sequence[Any], position: Any = None) -> Any:
            await gate.wait()
            return await super().take(items, position)

    feed = Slow()
    async with running(source_of(cluster, {"mag": "in/{key}"}), feed):
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(cluster.committed, "geospace-monitor", "mag") < 0
        gate.set()
        await until(lambda: len(feed.items) == 10)
        await asyncio.to_thread(eventually, lambda: cluster.committed("geospace-monitor", "mag") == 10, 20.0)


async def test_source_goes_on_where_the_store_is_and_not_where_the_group_is(cluster: MockCluster) -> None:
    cluster.topic("mag")
    cluster.produce("mag", messages(10))
    first = RecordingFeed()
    async with running(
        source_of(cluster, {"mag": "in/{key}"}, batch_messages=2, session_timeout_s=2.0), first
    ):
        await until(lambda: len(first.items) == 10)
    # A store that was restored knows of the first three deliveries alone.
    restored = RecordingFeed(first, 3)
    held = len(payloads(restored))
    assert held < 10
    async with running(source_of(cluster, {"mag": "in/{key}"}, session_timeout_s=2.0), restored):
        await until(lambda: len(restored.items) == 10)
    assert payloads(restored) == [value for _, value, _ in messages(10)]


async def test_source_keeps_the_order_of_time_over_partitions_of_unequal_backlog(
    cluster: MockCluster,
) -> None:
    cluster.topic("mag", 3)
    hour_ms = 3_600_000
    base_ms = 1_504_771_200_000
    for partition, records in enumerate((240, 240, 5)):
        step_ms = hour_ms // records
        cluster.produce(
            "mag",
            [
                (
                    f"ST{partition}",
                    str(base_ms + n * step_ms).encode(),
                    {"partition": partition, "timestamp": base_ms + n * step_ms},
                )
                for n in range(records)
            ],
        )
    feed = RecordingFeed()
    async with running(source_of(cluster, {"mag": "in/{key}"}, batch_messages=50), feed):
        await until(lambda: len(feed.items) == 485)
    times_ms = [int(payload) for payload in payloads(feed)]
    newest_ms = 0
    for time_ms in times_ms:
        newest_ms = max(newest_ms, time_ms)
        assert newest_ms - time_ms <= 30_000  # half of the lateness of spacecraft
    assert len(set(zip((item.topic for item in feed.items), times_ms, strict=True))) == 485


async def test_source_waits_for_a_cluster_that_is_away(
    cluster: MockCluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.topic("mag")
    cluster.produce("mag", messages(5))
    cluster.down()
    feed = RecordingFeed()
    with caplog.at_level(logging.INFO):
        async with running(source_of(cluster, {"mag": "in/{key}"}), feed):
            await until(lambda: "cannot be used" in caplog.text)
            cluster.up()
            await until(lambda: len(feed.items) == 5)
    assert caplog.text.count("cannot be used") == 1
    assert "is back" in caplog.text


async def test_source_holds_to_what_every_source_has_to(cluster: MockCluster) -> None:
    cluster.topic("mag")
    cluster.produce("mag", messages(20))
    await check_source(
        lambda: source_of(cluster, {"mag": "in/{key}"}, session_timeout_s=2.0, batch_messages=5),
        enough=lambda feed: len(set(payloads(feed))) == 20,
        timeout_s=90.0,
        steps=(),
    )


def test_nobody_at_the_port_is_one_line() -> None:
    async def opened() -> None:
        options = KafkaSink.Options(servers=[f"127.0.0.1:{free_port()}"], timeout_s=2.0)
        await KafkaSink(options, HERE).open()

    with pytest.raises(ClusterAway, match=r"^127\.0\.0\.1:\d+: cannot be reached") as raised:
        asyncio.run(opened())
    assert "\n" not in str(raised.value)


async def test_certificate_of_a_broker_is_checked_and_the_reason_said(tmp_path: Path) -> None:
    """The mock cluster has no TLS: who is trusted is seen at the first handshake, before Kafka is spoken."""
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("localhost", "DNS:localhost"))
    shaken = asyncio.Event()

    async def met(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shaken.set()
        writer.close()

    server = await asyncio.start_server(met, "localhost", 0, ssl=context)
    async with server:
        servers = (f"localhost:{server.sockets[0].getsockname()[1]}",)
        stranger = KafkaSink(KafkaSink.Options(servers=servers, tls=True, timeout_s=5.0), HERE)
        with pytest.raises(ClusterAway, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.open()
        assert not shaken.is_set()
        options = KafkaSink.Options(servers=servers, tls=True, timeout_s=5.0, ca_file=str(authority.ca))
        with pytest.raises(ClusterAway):
            await KafkaSink(options, HERE).open()
        assert shaken.is_set()
