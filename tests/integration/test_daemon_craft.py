"""A spacecraft's flight through a real broker: regions and crossings, whatever happens on the way."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from daemon_kit import (
    ROOT,
    DaemonProcess,
    Document,
    Feeder,
    Listener,
    assert_one_content_per_id,
    closing,
    command,
    eventually,
    retained,
    write_config,
)
from flight_kit import (
    BEGIN_NS,
    CELLS,
    CRAFT,
    FIELD,
    GAP,
    assert_same_flight,
    crossings,
    flight_blocks,
    flight_config,
    processed_flight,
    regions,
    send,
    stored_regions,
    wait_for_regions,
    write_flight,
)
from mqtt_kit import Mosquitto
from promtool_kit import check_with_promtool

from monitor.types import CELL_NS, SECOND_NS, iso_time

pytestmark = pytest.mark.broker

LAST = "2017-09-07T12:51:00Z"
# Every 45 s: windows that overlap share their work, in other ways live than offline.
OFTEN: dict[str, Any] = {"craft_windows": {"hop_s": 45}}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, region_model: Path) -> list[Document]:
    """What `process` says of the flight."""
    return offline(tmp_path_factory.mktemp("offline"), region_model)


@pytest.fixture(scope="module")
def expected_often(tmp_path_factory: pytest.TempPathFactory, region_model: Path) -> list[Document]:
    """The same with a window every 45 s."""
    return offline(tmp_path_factory.mktemp("often"), region_model, **OFTEN)


def offline(directory: Path, region_model: Path, **changes: Any) -> list[Document]:
    config = flight_config(directory / "offline.yaml", "mqtt://127.0.0.1:1", region_model, **changes)
    return processed_flight(config, f"{CRAFT}={write_flight(directory / 'flight.csv')}")


@pytest.fixture
def daemon(tmp_path: Path, mosquitto: Mosquitto, region_model: Path) -> Iterator[DaemonProcess]:
    """A daemon that watches one spacecraft."""
    with DaemonProcess(flight_config(tmp_path / "flight.yaml", mosquitto.url, region_model)) as running:
        yield running
        assert "Traceback" not in running.log


def test_offline_flight_has_something_to_compare(expected: list[Document]) -> None:
    found = regions(expected)
    assert len(found) == 17
    labels = [document["label"] for _, document in sorted(found.items())]
    assert labels == ["SW"] * 5 + ["MSH"] * 6 + ["MSP"] * 3 + [None] + ["MSP"] * 2
    assert {flag for document in found.values() for flag in document["flags"]} == {"gap", "isolated"}
    assert [(kind, direction) for kind, _, direction, _ in sorted(crossings(expected))] == [
        ("bow_shock_crossing", "inbound"),
        ("magnetopause_crossing", "inbound"),
    ]


def test_live_flight_is_told_over_mqtt_http_and_in_the_metrics(
    daemon: DaemonProcess, mosquitto: Mosquitto, expected: list[Document]
) -> None:
    with closing(Listener(mosquitto.port)) as listener, closing(Feeder(mosquitto.port)) as feeder:
        # With the values that stand for nothing in the missions' files. First up to the window that has them.
        middle = GAP.start + 52
        send(feeder, flight_blocks(cells=range(middle), fill=-1e31))
        eventually(lambda: "gap" in states_of(listener, CRAFT), 10, lambda: daemon.log)
        send(feeder, flight_blocks(cells=range(middle, CELLS), fill=-1e31))
        wait_for_regions(listener, expected, daemon)
        said = [*listener.documents("region"), *listener.documents("event")]
        assert_same_flight(said, expected)
        assert_one_content_per_id(listener.documents("region"))

        held = retained(mosquitto.port)
        assert held.keys() == {"status", f"region/{CRAFT}", f"health/{CRAFT}"}
        newest = held[f"region/{CRAFT}"]
        assert newest["time"] == LAST
        # hop 180 s + lateness 60 s + 180 s
        assert newest["valid_until"] == "2017-09-07T12:58:00Z"
        assert (held[f"health/{CRAFT}"]["state"], held[f"health/{CRAFT}"]["kind"]) == ("ok", "spacecraft")
        assert states_of(listener, CRAFT)[-2:] == ["gap", "ok"]

        eventually(lambda: (daemon.status()["regions"][CRAFT] or {}).get("time") == LAST, 5)
        status = daemon.status()
        shown = {key: value for key, value in newest.items() if key != "cam"} | {"stale": False}
        assert status["regions"][CRAFT] == shown
        assert status["sources"][CRAFT]["last_sample"] == iso_time(BEGIN_NS + CELLS * CELL_NS)
        assert (status["pairs"], status["events"]) == ({}, [])
        assert status["models"]["region"] == newest["model"]["classifier"]
        assert daemon.metric("geospace_region_label", craft=CRAFT, label="MSP") == 1
        assert daemon.metric("geospace_region_label", craft=CRAFT, label="SW") == 0
        assert daemon.metric("geospace_region_confidence_ratio", craft=CRAFT) == newest["confidence"]
        assert daemon.metric("geospace_region_data_timestamp_seconds", craft=CRAFT) == 1_504_788_660
        assert daemon.metric("geospace_messages_received_total", decoder="native") == len(flight_blocks())
        check_with_promtool(daemon, "geospace_region_label", "geospace_region_probability_ratio")
        for kind in ("bow_shock_crossing", "magnetopause_crossing"):
            assert daemon.metric("geospace_events_total", kind=kind, subject=CRAFT) == 1
            assert daemon.metric("geospace_event_active", kind=kind, subject=CRAFT) == 0

        begun = [one for one in listener.documents("event") if one["properties"]["state"] == "begin"]
        for first in begun:
            assert first["links"][0]["href"] == f"{daemon.url}/events/{first['id']}"
            code, body = daemon.get(f"/events/{first['id']}")
            last = json.loads(body)
            assert code == 200
            assert last["properties"]["data_id"] == first["properties"]["data_id"]
            assert (last["properties"]["state"], last["properties"]["outcome"]) == ("end", "passed")
            assert last["geometry"] is None
            known = {document["id"] for document in listener.documents("region")}
            assert set(last["properties"]["members"]) <= known
        assert daemon.stop() == 0


def states_of(listener: Listener, source: str) -> list[str]:
    """The states of health that were told of a source."""
    return [one["state"] for one in listener.documents(f"health/{source}")]


def test_replay_of_a_flight_agrees_with_process(
    tmp_path: Path, mosquitto: Mosquitto, region_model: Path, expected_often: list[Document]
) -> None:
    config = flight_config(tmp_path / "replay.yaml", mosquitto.url, region_model, **OFTEN)
    archive = f"{CRAFT}={write_flight(tmp_path / 'flight.csv')}"
    with DaemonProcess(config) as daemon, closing(Listener(mosquitto.port)) as listener:
        done = command("replay", archive, "--to", mosquitto.url, "--speed", "max", "-c", config)
        assert done.returncode == 0, done.stderr
        wait_for_regions(listener, expected_often, daemon)
        assert_same_flight([*listener.documents("region"), *listener.documents("event")], expected_often)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_daemon_killed_in_mid_flight_says_in_the_end_what_one_that_ran_through_says(
    tmp_path: Path, mosquitto: Mosquitto, region_model: Path, expected_often: list[Document]
) -> None:
    rng = random.Random(5)
    config = flight_config(tmp_path / "killed.yaml", mosquitto.url, region_model, **OFTEN)
    blocks = flight_blocks()
    third = len(blocks) // 3
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        for piece in (blocks[:third], blocks[third : 2 * third]):
            send(feeder, piece)
            # Anywhere between the first message of the piece and its regions.
            time.sleep(rng.uniform(0.0, 0.3))
            daemon.kill()
            daemon.start()
        send(feeder, blocks[2 * third :])
        wait_for_regions(listener, expected_often, daemon)
        assert daemon.stop() == 0
        assert_same_flight([*listener.documents("region"), *listener.documents("event")], expected_often)
        assert_one_content_per_id(listener.documents("region"))
        assert stored_regions(daemon).keys() == regions(expected_often).keys()
        begun = [one for one in listener.documents("event") if one["properties"]["state"] == "begin"]
        assert len(begun) == 2
        assert "Traceback" not in daemon.log


def test_labels_set_otherwise_are_built_again_and_nothing_is_said_twice(
    tmp_path: Path, mosquitto: Mosquitto, region_model: Path, expected: list[Document]
) -> None:
    config = flight_config(tmp_path / "rebuilt.yaml", mosquitto.url, region_model)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        blocks = flight_blocks()
        half = len(blocks) // 2
        send(feeder, blocks[:half])
        early = [one for one in expected if one.get("time", "9") <= "2017-09-07T12:24:00Z"]
        wait_for_regions(listener, early, daemon)
        assert daemon.stop() == 0
        document = json.loads(config.read_text())
        config.write_text(json.dumps(document | {"craft_windows": {"lateness_s": 90}}))
        daemon.start()
        assert "it is built again from the stored samples" in daemon.log
        send(feeder, blocks[half:])
        wait_for_regions(listener, expected, daemon)
        assert daemon.stop() == 0
        found = regions(listener.documents("region"))
        assert {key: one["label"] for key, one in found.items()} == {
            key: one["label"] for key, one in regions(expected).items()
        }
        assert all(one["revision"] == 0 for one in listener.documents("region"))
        assert crossings(listener.documents("event")).keys() == crossings(expected).keys()
        known = {one["id"] for one in listener.documents("region")}
        assert {
            member for one in listener.documents("event") for member in one["properties"]["members"]
        } <= known
        assert_one_content_per_id(listener.documents("region"))
        assert "Traceback" not in daemon.log


def test_spacecraft_that_falls_silent_is_told_and_the_other_is_not_disturbed(
    tmp_path: Path, mosquitto: Mosquitto, region_model: Path, expected: list[Document]
) -> None:
    config = flight_config(tmp_path / "two.yaml", mosquitto.url, region_model, craft=[CRAFT, "MMS2"])
    # MMS2 flies along for eleven minutes.
    both = [*flight_blocks(cells=range(150)), *flight_blocks("MMS2", range(150))]
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        send(feeder, sorted(both, key=lambda block: block.t0_ns))
        eventually(lambda: states_of(listener, "MMS2")[-1:] == ["ok"], 10, lambda: daemon.log)
        send(feeder, flight_blocks(cells=range(150, 250)))
        eventually(lambda: states_of(listener, "MMS2")[-1:] == ["late"], 10, lambda: daemon.log)
        send(feeder, flight_blocks(cells=range(250, CELLS)))
        eventually(lambda: states_of(listener, "MMS2")[-1:] == ["offline"], 10, lambda: daemon.log)
        wait_for_regions(listener, expected, daemon)
        assert retained(mosquitto.port)[f"health/{CRAFT}"]["state"] == "ok"
        mine = [one for one in listener.documents("region") if one["craft"] == CRAFT]
        assert_same_flight([*mine, *listener.documents("event")], expected)
        other = [one for one in listener.documents("region") if one["craft"] == "MMS2"]
        assert {one["label"] for one in other if one["time"] <= "2017-09-07T12:09:00Z"} == {"SW"}
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def broken_messages() -> dict[str, tuple[str, dict[str, Any]]]:
    """By reason: the spacecraft, and what is wrong in a message of two samples at the end of the flight."""
    head = {"start": iso_time(BEGIN_NS + CELLS * CELL_NS), "step_s": 4.5}
    field = {"Bx": [3.0, 3.1], "By": [4.0, 4.1], "Bz": [12.0, 12.1]}
    return {
        "unknown_craft": ("MMS9", head | field),
        "step_unsupported": (CRAFT, head | field | {"step_s": 12.0}),
        "no_component": (CRAFT, head | {"Ex": [1.0, 1.0]}),
        "frame_changed": (CRAFT, head | field | {"frame": "gsm"}),
        "inconsistent_total": (CRAFT, head | field | {"B": [0.5, 0.5]}),
        "implausible_unit": (CRAFT, head | {"N": [5e3, 6e3]}),
    }


def test_broken_messages_are_counted_told_once_and_disturb_nobody(
    daemon: DaemonProcess, mosquitto: Mosquitto, expected: list[Document]
) -> None:
    with closing(Listener(mosquitto.port)) as listener, closing(Feeder(mosquitto.port)) as feeder:
        blocks = flight_blocks()
        send(feeder, blocks[: len(blocks) // 2])
        for craft, document in broken_messages().values():
            for _ in range(3):
                feeder.publish(f"{ROOT}/in/craft/{craft}", json.dumps(document).encode())
        send(feeder, blocks[len(blocks) // 2 :])
        wait_for_regions(listener, expected, daemon)
        assert_same_flight([*listener.documents("region"), *listener.documents("event")], expected)
        for reason, (craft, _) in broken_messages().items():
            counted = daemon.metric("geospace_messages_rejected_total", decoder="native", reason=reason)
            assert counted == 3, reason
            lines = [line for line in daemon.log.splitlines() if f"{reason}: " in line]
            assert len(lines) == 1, reason
            assert f"/in/craft/{craft}" in lines[0]
        told = {f"native: {reason}": 3 for reason in broken_messages()}
        eventually(lambda: daemon.status()["rejected"] == told, 5)
        assert daemon.stop() == 0


def test_flight_of_fill_values_alone_is_holes(daemon: DaemonProcess, mosquitto: Mosquitto) -> None:
    empty = [
        block
        for block in flight_blocks(cells=range(CELLS - 240, CELLS), fill=-1e31)
        if block.components != FIELD
    ]
    for block in empty:
        block.values[:] = np.float32(-1e31)
    with closing(Listener(mosquitto.port)) as listener, closing(Feeder(mosquitto.port)) as feeder:
        send(feeder, empty)
        eventually(lambda: len(regions(listener.documents("region"))) >= 5, 10, lambda: daemon.log)
        for document in regions(listener.documents("region")).values():
            assert (document["label"], document["probability"], document["confidence"]) == (None, None, None)
            assert (document["flags"], document["quality"]) == (["gap"], "poor")
            assert (document["support_s"], document["cam"]) == (0, None)
        assert daemon.metric("geospace_region_confidence_ratio", craft=CRAFT) is None
        assert daemon.metric("geospace_region_label", craft=CRAFT, label="SW") is None
        assert daemon.metric("geospace_region_data_timestamp_seconds", craft=CRAFT) is not None
        assert listener.documents("event") == []
        assert daemon.stop() == 0


def test_without_a_model_samples_are_kept_and_nothing_is_said_of_them(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = flight_config(tmp_path / "none.yaml", mosquitto.url, "none")
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        blocks = flight_blocks()
        send(feeder, blocks)
        count = sum(block.count for block in blocks)
        eventually(lambda: daemon.metric("geospace_samples_stored_total", source=CRAFT) == count, 10)
        eventually(lambda: len(listener.documents(f"health/{CRAFT}")) > 0, 5)
        assert daemon.log.count("there is no model of regions") == 1
        assert daemon.status()["regions"] == {CRAFT: None}
        assert "region" not in daemon.status()["models"]
        assert (listener.documents("region"), listener.documents("event")) == ([], [])
        assert daemon.metric("geospace_region_data_timestamp_seconds", craft=CRAFT) is None
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_spoilt_model_ends_process_with_one_line_and_costs_the_daemon_only_labels(
    tmp_path: Path, mosquitto: Mosquitto, region_model: Path
) -> None:
    broken = tmp_path / "model"
    broken.mkdir()
    for file in region_model.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[:-1] if file.suffix == ".onnx" else content)
    config = flight_config(tmp_path / "broken.yaml", mosquitto.url, broken)
    archive = f"{CRAFT}={write_flight(tmp_path / 'flight.csv')}"
    done = command("process", archive, "-c", config, "-o", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "network.onnx" in done.stderr
    with DaemonProcess(config, wait_for="/healthz") as daemon:
        eventually(lambda: "network.onnx" in daemon.get("/readyz")[1], 60, lambda: daemon.log)
        assert daemon.get("/readyz")[0] == 503
        assert daemon.metric("geospace_model_missing", kind="region") == 1.0
        assert daemon.stop() == 0, daemon.log


def test_station_and_spacecraft_in_one_daemon_keep_their_own_time(
    tmp_path: Path, mosquitto: Mosquitto, region_model: Path, expected: list[Document]
) -> None:
    """A pair whose samples are years older: neither closes the other's windows, neither is late by the other."""
    config = write_config(
        tmp_path / "both.yaml", mosquitto.url, craft=[CRAFT], models={"region": str(region_model)}
    )
    hour_s, start_ns = 3600, BEGIN_NS - 5 * 365 * 86_400 * SECOND_NS
    rng = np.random.default_rng(3)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        blocks = flight_blocks(piece=20)
        for number, block in enumerate(blocks):
            send(feeder, [block])
            if number % 2 == 0 and number < 2 * hour_s // 60:
                for code in ("NUR", "TAR", "BRZ"):
                    start = iso_time(start_ns + number // 2 * 60 * SECOND_NS)
                    field = (15_000.0 + rng.normal(size=60)).tolist()
                    document = {"start": start, "step_s": 1.0, "H": field}
                    feeder.publish(f"{ROOT}/in/mag/{code}", json.dumps(document).encode())
        wait_for_regions(listener, expected, daemon)
        eventually(lambda: {one["pair"] for one in listener.documents("flr")} == {"NUR-TAR", "TAR-BRZ"}, 10)
        said = [*listener.documents("region"), *listener.documents("event")]
        assert_same_flight(said, expected)
        assert all(one["time"].startswith("2012-") for one in listener.documents("flr"))
        health = {topic: one["state"] for topic, one in retained(mosquitto.port).items() if "health" in topic}
        assert health == {f"health/{name}": "ok" for name in ("NUR", "TAR", "BRZ", CRAFT)}
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
