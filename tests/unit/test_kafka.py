"""Options of the Kafka plugins, and the order in which partitions are merged. The rest: `tests/integration/test_kafka.py`."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Literal

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from monitor_plugins.kafka import KafkaSink, KafkaSource
from monitor_plugins.kafka.cluster import connection
from monitor_plugins.kafka.merging import Merging
from monitor_plugins.kafka.source import UNREADABLE, _Reading, mqtt_topic
from pydantic import ValidationError
from sink_kit import HERE
from tls_kit import Authority

from monitor.errors import ConfigurationError
from monitor.testing import RecordingFeed

SERVERS = ("kafka-1.example.org:9092",)


def record(
    key: bytes | None = b"TAR", headers: tuple[tuple[str, bytes], ...] = ()
) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("mag", 0, 0, 0, 0, key, b"{}", None, 3, 2, headers)


def test_connection_is_plain_where_nothing_is_said() -> None:
    options = KafkaSink.Options(servers=SERVERS)
    assert connection(options, "plugins.here") == {
        "bootstrap_servers": list(SERVERS),
        "client_id": "geospace-monitor",
        "security_protocol": "PLAINTEXT",
    }


def test_connection_has_certificates_and_password_from_files(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client", "DNS:client")
    (tmp_path / "password").write_text("open sesame\n")
    options = KafkaSink.Options(
        servers=SERVERS,
        tls=True,
        ca_file=str(authority.ca),
        cert_file=str(certificate),
        key_file=str(key),
        username="monitor",
        password_file=str(tmp_path / "password"),
    )
    made = connection(options, "plugins.here")
    assert (made["security_protocol"], made["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (made["sasl_plain_username"], made["sasl_plain_password"]) == ("monitor", "open sesame")
    context = made["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [one["subject"] for one in context.get_ca_certs()] == [((("commonName", "Authority ca"),),)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tls": True, "ca_file": "none.pem"}, r"plugins\.here: the certificates cannot be read"),
        ({"username": "a", "password_file": "./none"}, r"plugins\.here\.password_file: cannot be read"),
    ],
)
async def test_file_that_is_not_there_is_named(files: dict[str, Any], said: str) -> None:
    sink = KafkaSink(KafkaSink.Options(servers=SERVERS, **files), HERE)
    with pytest.raises(ConfigurationError, match=said):
        await sink.open()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"servers": []}, "at least 1 item"),
        ({"servers": ["kafka"]}, "write host:port"),
        ({"servers": ["kafka:99999"]}, "write host:port"),
        ({"username": "a"}, "belong together"),
        ({"ca_file": "ca.pem"}, "nothing would be encrypted"),
        ({"username": "a", "password_file": "./p", "mechanism": "PLAIN"}, "for all to read"),
        ({"topic": "a b"}, "write letters, digits"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        KafkaSink.Options(**{"servers": SERVERS, **options})


@pytest.mark.parametrize("template", ["", "in/{station}", "in/#", "in/{key", "in/+/{key}"])
def test_template_that_makes_no_topic_is_refused(template: str) -> None:
    with pytest.raises(ValidationError, match="write a topic with"):
        KafkaSource.Options(servers=SERVERS, topics={"mag": template})


@pytest.mark.parametrize(
    ("template", "one", "topic"),
    [
        ("in/{key}", record(), "in/TAR"),
        ("{topic}/{header.iaga-code}", record(headers=(("iaga-code", b"BRZ"),)), "mag/BRZ"),
        ("in/{key}", record(key=None), UNREADABLE),
        ("in/{key}", record(key=b"\xff"), UNREADABLE),
        ("in/{key}", record(key=b"a/+"), UNREADABLE),
        ("in/{key}", record(key=b"a\x00"), UNREADABLE),
        ("in/{header.none}", record(), UNREADABLE),
    ],
)
def test_topic_of_a_record(template: str, one: ConsumerRecord[Any, Any], topic: str) -> None:
    assert mqtt_topic({"mag": template}, one) == topic


@given(st.lists(st.lists(st.integers(0, 1000)), max_size=4), st.integers(0, 100), st.integers(1, 7))
def test_merging_gives_everything_once_with_each_partition_in_its_order(
    partitions: list[list[int]], slack: int, most: int
) -> None:
    merging: Merging[int, int] = Merging(lambda time: time, slack)
    for number, times in enumerate(partitions):
        merging.add(number, times)
    released: list[tuple[int, int]] = []
    while part := merging.release(most):
        assert len(part) <= most
        released += part
    for number, times in enumerate(partitions):
        assert [time for one, time in released if one == number] == times
    assert not merging.any


def test_merging_holds_back_what_is_too_far_ahead() -> None:
    merging: Merging[str, int] = Merging(lambda time: time, 10)
    merging.add("a", [0, 5, 100])
    merging.add("b", [8, 15])
    assert merging.release(3) == [("a", 0), ("a", 5), ("b", 8)]
    assert merging.wants(["a", "b", "c"]) == ["c"]
    assert merging.release(10) == [("b", 15)]
    assert merging.wants(["a", "b"]) == ["b"]
    merging.add("b", [20])
    assert merging.release(10) == [("b", 20)]
    merging.drop(["a"])
    assert merging.release(10) == []


class Partitions:
    """Stands for a consumer whose partitions move: the mock cluster cannot do that with two members."""

    def __init__(self) -> None:
        self.sought: dict[TopicPartition, int] = {}
        self.mine: set[TopicPartition] = set()
        self.coming: dict[TopicPartition, list[Any]] = {}

    def assignment(self) -> set[TopicPartition]:
        return self.mine

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset

    async def getmany(self, *_partitions: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        coming, self.coming = self.coming, {}
        return coming


class TestPartitionsThatMove:
    FIRST, SECOND = TopicPartition("mag", 0), TopicPartition("mag", 1)

    def reading(
        self, begin: Literal["earliest", "latest"], position: Any = None
    ) -> tuple[_Reading, Partitions]:
        feed, partitions = RecordingFeed(), Partitions()
        feed._position = position
        options = KafkaSource.Options(servers=SERVERS, topics={"mag": "in/{key}"}, begin=begin)
        return _Reading(partitions, feed, options, 0), partitions

    async def test_begin_where_the_store_is_else_where_the_options_say(self) -> None:
        position = {"group": "geospace-monitor", "offsets": {"mag": {"0": 7}}}
        for begin, expected in (
            ("earliest", {self.FIRST: 7, self.SECOND: 0}),
            ("latest", {self.FIRST: 7}),
        ):
            reading, partitions = self.reading(begin, position)  # type: ignore[arg-type]
            await reading.on_partitions_assigned([self.FIRST, self.SECOND])
            assert partitions.sought == expected

    async def test_position_of_another_group_does_not_count(self) -> None:
        reading, partitions = self.reading("latest", {"group": "other", "offsets": {"mag": {"0": 7}}})
        await reading.on_partitions_assigned([self.FIRST])
        assert partitions.sought == {}

    async def test_what_is_held_of_a_partition_that_goes_is_left_to_whoever_gets_it(self) -> None:
        reading, partitions = self.reading("earliest")
        partitions.mine = {self.FIRST, self.SECOND}
        partitions.coming = {self.FIRST: [record()], self.SECOND: [record()]}
        await reading._fetch([self.FIRST, self.SECOND])
        await reading.on_partitions_revoked([self.FIRST])
        assert [partition for partition, _ in reading._held.release(10)] == [self.SECOND]
