"""A Kafka cluster that is none: the mock cluster in librdkafka, which speaks the real protocol over real sockets.

A real broker needs a Java machine and an archive that no package index has. The mock keeps topics, groups and offsets in
memory, checks the numbers of idempotent producers, and can be told to fail. It has neither TLS nor SASL, refuses what
the library sends when a second member joins a group (SyncGroup, `InvalidRequest`), and drops
nothing by age. The client that reads back is librdkafka too, and none of ours.
"""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

_LIBRARY = next(Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka*.so*"))
PRODUCE = 0


class MockCluster:
    """One broker, which can be taken down and up again with all that it holds."""

    def __init__(self) -> None:
        library = ctypes.CDLL(str(_LIBRARY))
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        for name, result, arguments in (
            ("rd_kafka_conf_new", pointer, []),
            ("rd_kafka_conf_set", number, [pointer, text, text, text, ctypes.c_size_t]),
            ("rd_kafka_new", pointer, [number, pointer, text, ctypes.c_size_t]),
            ("rd_kafka_destroy", None, [pointer]),
            ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
            ("rd_kafka_mock_cluster_destroy", None, [pointer]),
            ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
            ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
            ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
            ("rd_kafka_mock_broker_set_down", number, [pointer, ctypes.c_int32]),
            ("rd_kafka_mock_broker_set_up", number, [pointer, ctypes.c_int32]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._library = library
        error = ctypes.create_string_buffer(512)
        settings = library.rd_kafka_conf_new()
        # The handle is only the mock's owner: it has nobody to connect to, and need not say so.
        library.rd_kafka_conf_set(settings, b"bootstrap.servers", b"127.0.0.1:1", error, 512)
        library.rd_kafka_conf_set(settings, b"log_level", b"0", error, 512)
        self._handle = library.rd_kafka_new(0, settings, error, 512)
        assert self._handle, error.value
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        assert self._cluster
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.server: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def topic(self, name: str, partitions: int = 1) -> None:
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def down(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def up(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)

    # -- a client that is none of ours ----------------------------------------------------------------------

    def produce(self, topic: str, records: Iterable[tuple[str | None, bytes | None, dict[str, Any]]]) -> None:
        """Write records of (key, value, further arguments of the client) and wait until they are there."""
        failed: list[object] = []
        producer = Producer({"bootstrap.servers": self.server, "linger.ms": 1})
        for key, value, more in records:
            producer.produce(
                topic,
                value,
                key,
                on_delivery=lambda error, _: failed.append(error) if error else None,
                **more,
            )
        assert producer.flush(20) == 0
        assert not failed, failed

    def records(self, topic: str, partitions: int = 1) -> list[Any]:
        """All records of a topic, those of a partition in their order."""
        settings = {"bootstrap.servers": self.server, "group.id": "reader", "enable.auto.commit": False}
        consumer = Consumer(settings)
        try:
            places = [TopicPartition(topic, number, 0) for number in range(partitions)]
            ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
            consumer.assign(places)
            found: list[Any] = []
            deadline = time.monotonic() + 20
            while len(found) < sum(ends):
                assert time.monotonic() < deadline, f"{len(found)} of {sum(ends)} records"
                found += consumer.consume(500, 0.2)
            assert all(record.error() is None for record in found)
            return found
        finally:
            consumer.close()

    def documents(self, topic: str, partitions: int = 1) -> list[Any]:
        """What the records of a topic hold, as JSON; None for a record without a value."""
        values: Sequence[bytes | None] = [record.value() for record in self.records(topic, partitions)]
        return [None if value is None else json.loads(value) for value in values]

    def committed(self, group: str, topic: str) -> int:
        """The offset that a group has committed for a topic's only partition."""
        consumer = Consumer({"bootstrap.servers": self.server, "group.id": group})
        try:
            (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=10)
            return int(place.offset)
        finally:
            consumer.close()


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    """A running mock cluster."""
    one = MockCluster()
    yield one
    one.close()
