"""A real daemon with every sink at once: receivers that are away, one that is dead, and a daemon that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.dataset
from aiohttp import web
from daemon_kit import (
    ROOT,
    STATIONS,
    T0_NS,
    DaemonProcess,
    Feeder,
    Listener,
    assert_agree,
    chain_blocks,
    closing,
    eventually,
    processed,
    wait_for_products,
    write_config,
    write_csv,
)
from influx_kit import InfluxServer, influx
from kafka_kit import MockCluster, cluster
from mqtt_kit import Mosquitto
from sink_kit import receiving_in_a_thread

from monitor.decoders.native import native_payload
from monitor.io.broker import free_port
from monitor.io.store import Store
from monitor.plugins import StoredProduct
from monitor.types import SampleBlock

__all__ = ["cluster", "influx"]

MINUTES = 40
TOPIC = "geospace.flr"


def stored_labels(path: Path) -> list[StoredProduct]:
    """All labels in the store, in the order of the commits."""
    with Store.open(path, retention_ns=1 << 60, product_retention_ns=None) as store:
        return [one for one in store.products_after(0, 1 << 30) if one.kind == "flr"]


def archived(path: Path) -> set[bytes]:
    """Labels in the files of Parquet."""
    folder = path / "kind=flr"
    if not folder.exists():
        return set()
    table = pyarrow.dataset.dataset(folder, format="parquet").to_table(columns=["object"])
    found = [one.encode() for one in table["object"].to_pylist()]
    assert len(found) == len(set(found))
    return set(found)


def assert_in_order(found: Iterable[bytes], stored: list[StoredProduct]) -> None:
    """What was written first of each product came in the order of the commits, for each subject."""
    row_of = {one.payload: one for one in stored}
    newest: dict[str, int] = {}
    for payload in dict.fromkeys(found):
        one = row_of[payload]
        assert one.row > newest.get(one.subject, -1), payload
        newest[one.subject] = one.row


def test_every_sink_has_every_product_though_receivers_were_away_and_the_daemon_was_killed(
    tmp_path: Path, mosquitto: Mosquitto, influx: InfluxServer, cluster: MockCluster
) -> None:
    blocks = chain_blocks(MINUTES)
    cluster.topic(TOPIC)
    with receiving_in_a_thread() as receiver, closing(Listener(mosquitto.port)) as listener:
        config = write_config(
            tmp_path / "sinks.yaml",
            mosquitto.url,
            plugins={
                "hook": {"plugin": "webhook", "url": receiver.url, "kinds": ["flr"]},
                "dead": {"plugin": "webhook", "url": f"http://127.0.0.1:{free_port()}", "kinds": ["flr"]},
                "influx": {"url": influx.url, "version": 1, "database": "geospace", "prefix": "daemon_"},
                "parquet": {"path": str(tmp_path / "archive")},
                "kafka_sink": {"servers": [cluster.server], "timeout_s": 2.0},
            },
        )
        expected = processed(config, write_csv(tmp_path / "chain.csv", blocks))
        daemon = DaemonProcess(config)
        half = len(blocks) // 2
        with daemon, closing(Feeder(mosquitto.port)) as feeder:
            feeder.send(blocks[:half])
            eventually(lambda: len(receiver.taken) > 4, 60.0, lambda: daemon.log)
            # All receivers go away. Who reads MQTT has every label nevertheless, and the dead one is named.
            cluster.down()
            influx.stop()
            receiver.answer = lambda _: web.Response(status=503)
            feeder.send(blocks[half:])
            wait_for_products(listener, expected, daemon, 60.0)
            eventually(lambda: samples_stored(daemon) == sum(one.count for one in blocks), 60.0)
            for name in ("dead", "hook", "influx", "kafka_sink"):
                eventually(
                    lambda name=name: page(daemon, name)["state"] == "failed", 60.0, lambda: daemon.log
                )
            assert page(daemon, "parquet")["state"] == "running"
            taken = len(receiver.taken)
            daemon.kill()
            receiver.answer = lambda _: web.Response(status=204)
            cluster.up()
            influx.start()
            daemon.start()
            eventually(lambda: page(daemon, "dead")["state"] == "failed", 60.0, lambda: daemon.log)
            published = {
                payload for topic, payload, _ in listener.messages if topic.startswith(f"{ROOT}/flr/")
            }
            assert len(published) > taken
            eventually(lambda: published <= {got.body for got in receiver.taken}, 60.0, lambda: daemon.log)
            eventually(lambda: published <= written(cluster).keys(), 60.0, lambda: daemon.log)
            last = max(page(daemon, name)["row"] for name in ("hook", "kafka_sink"))
            eventually(lambda: page(daemon, "influx")["row"] >= last, 60.0, lambda: daemon.log)
            assert page(daemon, "dead")["row"] < last
            assert daemon.stop() == 0
    stored = stored_labels(daemon.store_path)
    payloads = {one.payload for one in stored}
    assert {(one.subject, json.loads(one.payload)["time"]) for one in stored} == expected.keys()
    assert published <= payloads
    assert {got.body for got in receiver.taken} == written(cluster).keys() == payloads
    assert archived(tmp_path / "archive") == payloads
    assert_in_order((got.body for got in receiver.taken), stored)
    assert_in_order(written(cluster), stored)
    newest = {(one.subject, one.time_ns): json.loads(one.payload) for one in stored}
    rows = influx.query("SELECT * FROM daemon_flr")
    assert {(row["pair"], row["time"]) for row in rows} == newest.keys()
    for row in rows:
        document = newest[row["pair"], row["time"]]
        assert (row["revision"], row["label"]) == (document["revision"], document["label"])
        assert row["frequency_mHz"] == document["frequency_mHz"]


def samples_stored(daemon: DaemonProcess) -> float:
    return sum(daemon.metric("geospace_samples_stored_total", source=code) or 0 for code in STATIONS)


def page(daemon: DaemonProcess, name: str) -> Any:
    return daemon.status()["plugins"][name]


def brought(daemon: DaemonProcess) -> int:
    """How many records the source has done with."""
    position = page(daemon, "kafka_source")["position"]
    return 0 if position is None else sum(position["offsets"]["magnetometers"].values())


def written(cluster: MockCluster) -> dict[bytes, None]:
    """What is in the topic, in its order, once each."""
    return dict.fromkeys(record.value() for record in cluster.records(TOPIC))


def test_daemon_fed_by_kafka_and_killed_gives_the_products_of_the_native_run(
    tmp_path: Path, mosquitto: Mosquitto, cluster: MockCluster
) -> None:
    blocks = chain_blocks(MINUTES)
    cluster.topic("magnetometers", 2)
    config = write_config(
        tmp_path / "fed.yaml",
        mosquitto.url,
        plugins={
            "kafka_source": {
                "servers": [cluster.server],
                "topics": {"magnetometers": f"{ROOT}/in/mag/{{key}}"},
                "session_timeout_s": 2.0,
                "batch_messages": 10,
            }
        },
    )
    expected = processed(config, write_csv(tmp_path / "chain.csv", blocks))

    def produce(some: Iterable[SampleBlock]) -> None:
        """As stations that send each block once it is over."""
        cluster.produce(
            "magnetometers",
            [(one.source, native_payload(one), {"timestamp": one.end_ns // 1_000_000}) for one in some],
        )

    half = len(blocks) // 2
    with closing(Listener(mosquitto.port)) as listener, DaemonProcess(config) as daemon:
        # A record that nobody can use is refused, and holds up nothing.
        when = {"timestamp": T0_NS // 1_000_000}
        cluster.produce("magnetometers", [("TAR", b"poison", when), (None, b"{}", when), ("TAR", None, when)])
        produce(blocks[:half])
        eventually(lambda: len(listener.final) > 2, 60.0, lambda: daemon.log)
        for decoder, reason in (("native", "not_json"), ("none", "no_decoder")):
            rejected = daemon.metric("geospace_messages_rejected_total", decoder=decoder, reason=reason)
            assert rejected == 1, reason
        daemon.kill()
        produce(blocks[half:])
        daemon.start()
        wait_for_products(listener, expected, daemon, 60.0)
        eventually(lambda: brought(daemon) == len(blocks) + 3, 60.0, lambda: daemon.log)
        assert daemon.stop() == 0
    assert_agree(daemon.stored(), expected)
