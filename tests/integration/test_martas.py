"""MARTAS as it really sends: its own protocol classes publish, a real broker carries, the daemon stores.

What must be stored is what MARTAS's own collector makes of the same messages.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from daemon_kit import DaemonProcess, Feeder, closing, eventually, write_config
from martas_kit import Observatory, Sent, Truth, observe
from mqtt_kit import Mosquitto
from prometheus_client.parser import text_string_to_metric_families

from monitor.decoders.martas import MartasDecoder
from monitor.errors import DecodeError
from monitor.io.store import Store
from monitor.types import SECOND_NS, FloatArray, IntArray, Message, SampleBlock, Surroundings

SECONDS = 60
JOINED = 3
"""The second in which somebody begins to listen: nine tenths of a minute are in `meta`-less rows until second 10."""
LEMI, STACKED, FLUXGATE, BOARD, FILES = (
    "LEMI036_1_0001",
    "LEMI025_2_0001",
    "FGE_S0252_0001",
    "FLUX_7_0001",
    "PELadjusted_0001",
)
STATION = {LEMI: "TAR", STACKED: "NUR", FLUXGATE: "BRZ", BOARD: "MUO", FILES: "PEL"}
RECEIVED_NS = 1_504_789_200 * SECOND_NS


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Observatory:
    return observe(tmp_path_factory.mktemp("martas"), SECONDS)


def laid_out(blocks: Iterator[SampleBlock]) -> tuple[IntArray, FloatArray]:
    """Times and the first three components of blocks in the order of time; what comes twice must be the same."""
    samples: dict[int, list[float]] = {}
    for block in blocks:
        for number, values in enumerate(block.values[:3].T.tolist()):
            time_ns = block.t0_ns + number * block.step_ns
            assert samples.setdefault(time_ns, values) == values or np.isnan(values).any()
    times = np.array(sorted(samples), dtype=np.int64)
    return times, np.array([samples[time_ns] for time_ns in times.tolist()]).T


def in_order(sensor: str, truth: Truth) -> FloatArray:
    """Rows of the collector in the order of the decoder: X, Y, Z, or Z, H, E; a missing mark is a gap."""
    values = np.where(truth.values == 99_999.0, np.nan, truth.values)
    return values[[2, 0, 1]] if sensor == FLUXGATE else values


def assert_whole(sensor: str, found: tuple[IntArray, FloatArray], truth: Truth) -> None:
    """Every sample that the collector reads is there, at its time and with its value; and no other."""
    times, values = found
    expected = in_order(sensor, truth)
    if sensor != BOARD:
        np.testing.assert_array_equal(times, truth.times_ns)
        np.testing.assert_allclose(values, expected, rtol=1e-12)
        return
    # Stamped by a clock that wanders: every whole second between the first sample and the last, interpolated.
    first, last = int(truth.times_ns[0]), int(truth.times_ns[-1])
    seconds = np.arange(-(-first // SECOND_NS), last // SECOND_NS + 1) * SECOND_NS
    np.testing.assert_array_equal(times, seconds)
    for row, of_truth in zip(values, expected, strict=True):
        np.testing.assert_allclose(
            row, np.interp(times - first, truth.times_ns - first, of_truth), rtol=1e-12
        )


def test_payloads_of_the_real_code_with_a_late_joiner_and_restarts_lose_no_sample(
    observatory: Observatory, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    inputs = [{"decoder": "martas", "topic": "+/+"}, {"decoder": "native", "topic": "geospace/v1/in/#"}]
    pairs = ["TAR-BRZ", "MUO-PEL", "NUR-TAR"]
    daemon = DaemonProcess(write_config(tmp_path / "martas.yaml", mosquitto.url, inputs=inputs, pairs=pairs))
    parts = split_at_meta(observatory.messages)
    with closing(Feeder(mosquitto.port)) as feeder:
        send(feeder, parts[0])
        with daemon:
            # Data alone, whose meta is long gone; then it is killed with them, and some come while it is away.
            send(feeder, parts[1])
            wait_until_read(daemon, feeder, b"x", "not_json")
            daemon.kill()
            assert waiting(daemon, f"tar/{LEMI}") == sum(
                one.topic.endswith(f"{LEMI}/data") for one in parts[1]
            )
            send(feeder, parts[2])
            daemon.start()
            # Killed again between the data of second 20 and their meta.
            send(feeder, parts[3])
            wait_until_read(daemon, feeder, b"{}", "missing_key")
            daemon.kill()
            daemon.start()
            send(feeder, parts[4])
            wait_until_read(daemon, feeder, b"[]", "wrong_type")
            refused = reasons(daemon)
            daemon.stop()
    assert refused == {"scalar_only", "not_magnetic"}
    truth = observatory.since(JOINED)
    with Store.open(daemon.store_path, retention_ns=1 << 60, product_retention_ns=None) as store:
        for sensor, station in STATION.items():
            found = laid_out(block for _, block in store.samples(station, 0))
            assert_whole(sensor, found, truth[sensor])


def split_at_meta(messages: Sequence[Sent]) -> tuple[list[Sent], ...]:
    """Before anybody listens; data without meta; more of them; up to the data of second 20; and the rest."""
    ends = [JOINED, 6, 9, 20]
    cuts = [next(k for k, one in enumerate(messages) if one.second == end) for end in ends]
    # The first message of second 20 is data of the LEMI, whose meta comes next but one.
    assert messages[cuts[-1]].topic.endswith(f"{LEMI}/data")
    assert messages[cuts[-1] + 2].topic.endswith(f"{LEMI}/meta")
    cuts[-1] += 1
    bounds = [0, *cuts, len(messages)]
    return tuple(list(messages[begin:end]) for begin, end in itertools.pairwise(bounds))


def send(feeder: Feeder, messages: Sequence[Sent]) -> None:
    for one in messages:
        feeder.publish(one.topic, one.payload)
    feeder.flush()


def waiting(daemon: DaemonProcess, sensor: str) -> int:
    """How many messages of a sensor are kept in the store of a daemon that does not run."""
    with Store.open(daemon.store_path, retention_ns=1 << 60, product_retention_ns=None) as store:
        return len(json.loads(store.states()["decoder:martas:+/+"])["waiting"][sensor])


def reasons(daemon: DaemonProcess) -> set[str]:
    """Why messages were refused since the last start."""
    families = text_string_to_metric_families(daemon.get("/metrics")[1])
    samples = [sample for family in families for sample in family.samples]
    return {
        sample.labels["reason"]
        for sample in samples
        if sample.name == "geospace_messages_rejected_total"
        and sample.labels["decoder"] == "martas"
        and sample.value
    }


def wait_until_read(daemon: DaemonProcess, feeder: Feeder, last: bytes, reason: str) -> None:
    """Until all that was sent so far is taken and acknowledged: then it is nobody's but the daemon's.

    A last message, of another kind, tells: it is refused for a reason that no other has.
    """
    feeder.publish("geospace/v1/in/mag/TAR", last)
    feeder.flush()

    def is_read() -> bool:
        refused = daemon.metric("geospace_messages_rejected_total", decoder="native", reason=reason)
        queues = daemon.status()["queues"]
        return bool(refused) and queues["intake"] == 0 and queues["unacknowledged"] == 0

    eventually(is_read, 60.0, lambda: daemon.log)


@pytest.mark.parametrize("joined", [0, 1, 4, 9, 10, 11])
def test_who_joins_late_and_restarts_after_every_message_has_all_since_then(
    observatory: Observatory, joined: int
) -> None:
    decoder = MartasDecoder(MartasDecoder.Options(), Surroundings("martas"))
    blocks: dict[str, list[SampleBlock]] = {sensor: [] for sensor in STATION}
    refused = set()
    for one in observatory.messages:
        if one.second < joined:
            continue
        message = Message(one.topic, one.payload, RECEIVED_NS)
        try:
            for block in decoder.decode(message):
                assert block.sensor is not None
                blocks[block.sensor].append(block)
        except DecodeError as error:
            refused.add(error.reason)
        again = MartasDecoder(MartasDecoder.Options(), Surroundings("martas"))
        again.restore(decoder.snapshot())
        decoder = again
    assert refused == {"scalar_only", "not_magnetic"}
    truth = observatory.since(joined)
    for sensor in STATION:
        assert_whole(sensor, laid_out(iter(blocks[sensor])), truth[sensor])


def test_values_are_those_of_the_files_that_martas_keeps_as_geomagpy_reads_them(
    observatory: Observatory,
) -> None:
    collected = observatory.since(0)
    for sensor, kept in observatory.kept.items():
        np.testing.assert_allclose(collected[sensor].values, kept.values, rtol=1e-7)
    np.testing.assert_array_equal(collected[BOARD].times_ns, observatory.kept[BOARD].times_ns)
    # In its own files MARTAS leaves the LEMI's three tenths of a second to the reader.
    np.testing.assert_array_equal(
        collected[LEMI].times_ns + 3 * SECOND_NS // 10, observatory.kept[LEMI].times_ns
    )


def test_messages_are_of_the_kinds_that_are_meant(observatory: Observatory) -> None:
    names = {tuple(one.topic.split("/")[1:]) for one in observatory.messages}
    assert {(sensor, leaf) for sensor in STATION for leaf in ("data", "meta", "dict")} <= names
    first = {}
    for place, one in enumerate(observatory.messages):
        first.setdefault(one.topic, place)
    assert all(
        first[f"{topic[:-4]}data"] < place for topic, place in first.items() if topic.endswith("/meta")
    )
    lemi = next(one for one in observatory.messages if one.topic.endswith(f"{LEMI}/data"))
    assert lemi.payload.count(b";") == 9
    assert lemi.payload.startswith(b"2017,9,7,11,59,59,700000,20.4996")
