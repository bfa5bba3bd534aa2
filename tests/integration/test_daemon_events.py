"""A storm through a real broker: told once, over MQTT, in the metrics and over HTTP, whatever happens to the daemon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import (
    DaemonProcess,
    Document,
    Feeder,
    Listener,
    closing,
    command,
    eventually,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto
from promtool_kit import check_with_promtool

from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.scenario import EMMA, Scenario
from monitor.types import SECOND_NS, SampleBlock

pytestmark = pytest.mark.broker

HOUR_NS = 3600 * SECOND_NS
T0_NS = (
    1_497_495_600 * SECOND_NS
)  # 2017-06-15T03:00:00Z: daylight over the whole chain and its conjugate points
HOURS = 12
STATIONS = [station for station in EMMA if station[0] in ("OUJ", "HAN", "NUR", "TAR", "BRZ", "SUW")]
PAIRS = [f"{pole}-{equator}" for (pole, _), (equator, _) in pairwise(STATIONS)]
CHANGES: dict[str, Any] = {
    "pairs": PAIRS,
    "chains": {"emma": PAIRS},
    "windows": {"length_s": 7200, "cadence_s": 1800},
}
# Once the samples up to here are in, the crossing has begun and is not over.
MIDDLE_H = 9.9


def storm() -> list[SampleBlock]:
    """The plasmapause rests beyond the chain, and comes in to L = 3 within two and a half hours."""
    course = ((0.0, 4.75), (5.0, 4.75), (7.5, 3.0), (14.0, 3.0))
    knots = tuple((T0_NS + round(hour * HOUR_NS), l_shell) for hour, l_shell in course)
    simulator = GroundSimulator(
        Scenario(STATIONS, T0_NS, 3, plasma=PlasmaModel(plasmapause=knots), wave_power=3.0)
    )
    piece_ns = HOUR_NS // 12
    starts = range(T0_NS, T0_NS + HOURS * HOUR_NS, piece_ns)
    return [block for start in starts for block in simulator.blocks(start, start + piece_ns)]


def told(documents: Sequence[Document]) -> set[tuple[str, ...]]:
    """What notifications say, without what belongs to the moment of publishing and to the server."""
    return {
        (
            one["id"],
            *(str(one["properties"].get(name)) for name in ("data_id", "state", "outcome", "direction")),
            *(one["properties"].get(name, "") for name in ("start_datetime", "end_datetime")),
        )
        for one in documents
    }


def test_storm_is_told_once_though_the_daemon_is_killed_in_the_middle(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    blocks = storm()
    config = write_config(tmp_path / "storm.yaml", mosquitto.url, **CHANGES)
    middle_ns = T0_NS + round(MIDDLE_H * HOUR_NS)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        assert daemon.metric("geospace_events_total", kind="plasmapause_crossing", subject="emma") == 0.0
        feeder.send([block for block in blocks if block.end_ns <= middle_ns])
        eventually(lambda: len(listener.documents("event")) > 0, 30, lambda: daemon.log)
        assert daemon.metric("geospace_event_active", kind="plasmapause_crossing", subject="emma") == 1.0
        check_with_promtool(daemon, "geospace_event_direction", "geospace_plasmapause_l_shell")
        daemon.kill()
        daemon.start()
        assert daemon.metric("geospace_event_active", kind="plasmapause_crossing", subject="emma") == 1.0
        feeder.send([block for block in blocks if block.end_ns > middle_ns])
        expected = offline(tmp_path, blocks)
        eventually(
            lambda: told(listener.documents("event")) >= expected,
            30,
            lambda: f"{expected - told(listener.documents('event'))}; {daemon.log}",
        )
        said = listener.documents("event")
        assert told(said) == expected
        begun = [one for one in said if one["properties"]["state"] == "begin"]
        of_chain = {one["id"] for one in begun if one["properties"]["subject"] == "emma"}
        assert len(of_chain) == 1
        assert {one["properties"]["direction"] for one in begun} == {"inward"}
        # The link of the first word leads to the last.
        first = next(one for one in begun if one["properties"]["subject"] == "OUJ-HAN")
        assert first["links"][0]["href"] == f"{daemon.url}/events/{first['id']}"
        code, body = daemon.get(f"/events/{first['id']}")
        newest = json.loads(body)
        assert code == 200
        assert newest["properties"]["data_id"] == first["properties"]["data_id"]
        assert (newest["properties"]["state"], newest["properties"]["outcome"]) == ("end", "passed")
        stated = [one for one in listener.documents("plasmapause/emma") if one["l_shell"] is not None]
        assert abs(stated[-1]["l_shell"] - 3.0) < 0.3
        assert daemon.metric("geospace_plasmapause_l_shell", chain="emma") == stated[-1]["l_shell"]
        assert daemon.stop() == 0, daemon.log
        assert "Traceback" not in daemon.log


def offline(directory: Path, blocks: Sequence[SampleBlock]) -> set[tuple[str, ...]]:
    """What `process` says of the same samples."""
    config = write_config(directory / "offline.yaml", "mqtt://127.0.0.1:1", **CHANGES)
    output, table = directory / "offline.jsonl", directory / "offline.csv"
    archive = write_csv(directory / "chain.csv", blocks)
    done = command("process", archive, "-c", config, "-o", output, "--profiles", table)
    assert done.returncode == 0, done.stderr
    assert len(table.read_text().splitlines()) > 20 * len(PAIRS)
    documents = [json.loads(line) for line in output.read_text().splitlines()]
    return told([one for one in documents if one.get("type") == "Feature"])
