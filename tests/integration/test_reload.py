"""A new configuration for a daemon at work: a good one is taken up, a bad one leaves all as it is, and nothing is lost."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_kit import (
    ROOT,
    DaemonProcess,
    Feeder,
    Final,
    Listener,
    assert_agree,
    assert_one_content_per_id,
    chain_blocks,
    closing,
    eventually,
    processed,
    retained,
    wait_for_products,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto
from prometheus_client.parser import text_string_to_metric_families
from service_kit import Manager, Tricks, managing

from monitor.types import SampleBlock

BLOCKS = chain_blocks(45)
LAST = "2017-09-07T08:45:00Z"
PHYSICAL = {"flr": "physical"}
SUCCESSFUL = "geospace_config_last_reload_successful"
Counters = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Final:
    """What a run without any reload says of the samples."""
    directory = tmp_path_factory.mktemp("offline")
    config = write_config(directory / "plain.yaml", "mqtt://127.0.0.1", models=PHYSICAL)
    return processed(config, write_csv(directory / "chain.csv", BLOCKS))


def change(config: Path, **changes: object) -> None:
    """Write the configuration anew, with these keys otherwise."""
    document = json.loads(config.read_text())
    for key, value in changes.items():
        document[key] = {**document.get(key, {}), **value} if isinstance(value, dict) else value
    config.write_text(json.dumps(document, indent=1))


def hang_up(daemon: DaemonProcess) -> None:
    os.kill(daemon.pid, signal.SIGHUP)


def reload(daemon: DaemonProcess, manager: Manager) -> None:
    """Ask for a reload, and wait until it is over."""
    count = manager.count("READY=1")
    hang_up(daemon)
    manager.wait_for("READY=1", count + 1)


def refusal(daemon: DaemonProcess) -> str:
    """The reason of `/readyz` that tells of the configuration."""
    code, body = daemon.get("/readyz")
    (reason,) = [one for one in json.loads(body)["reasons"] if one.startswith("the new configuration ")]
    assert code == 503
    return str(reason)


def counters(daemon: DaemonProcess) -> Counters:
    """All counters, the sums and counts of histograms among them."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(daemon.get("/metrics")[1])
        if family.type in ("counter", "histogram")
        for sample in family.samples
        if sample.name.startswith("geospace_")
    }


@contextlib.contextmanager
def scraped(daemon: DaemonProcess) -> Iterator[list[Counters]]:
    """Scrapes as fast as they come, for as long as the context lasts; an empty one where nobody answered."""
    found: list[Counters] = []
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(0.02):
            found.append(counters(daemon))

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join(20)


def parts(count: int) -> list[list[SampleBlock]]:
    """The samples in so many pieces, in their order."""
    size = -(-len(BLOCKS) // count)
    return [BLOCKS[start : start + size] for start in range(0, len(BLOCKS), size)]


def test_reloads_under_a_stream_lose_nothing_and_say_nothing_twice(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "stream.yaml", mosquitto.url, models=PHYSICAL)
    with (
        managing(tmp_path) as manager,
        DaemonProcess(config, environment=manager.environment()) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        pid, started = daemon.pid, daemon.status()["started"]
        line = http.client.HTTPConnection(daemon.url.removeprefix("http://"), timeout=10)
        line.connect()
        end = line.sock
        with scraped(daemon) as scrapes:
            for number, piece in enumerate(parts(5)):
                feeder.send(piece)
                if number == 1:
                    # It is broken in the midst of it, and mended: nothing of that is seen in what comes out.
                    good = config.read_text()
                    config.write_text("pairs: [NOWHERE]\n")
                    reload(daemon, manager)
                    assert daemon.metric(SUCCESSFUL) == 0.0
                    config.write_text(good)
                if number < 4:
                    reload(daemon, manager)
                    assert daemon.metric(SUCCESSFUL) == 1.0, daemon.log
            wait_for_products(listener, expected, daemon)
        assert daemon.log.count("the new configuration is in force") == 4
        assert (daemon.pid, daemon.status()["started"]) == (pid, started)
        assert_agree(listener.final, expected)
        assert_one_content_per_id(listener.documents("flr"))
        # Whoever watches saw no break: the server is the same, every scrape was answered, and no counter went back.
        line.request("GET", "/healthz")
        with contextlib.closing(line), line.getresponse() as answer:
            assert (answer.status, line.sock is end) == (200, True)
        assert all(scrapes)
        for before, after in itertools.pairwise(scrapes):
            assert before.keys() <= after.keys()
            assert not [key for key in before if after[key] < before[key]]
        assert daemon.stop() == 0, daemon.log
        assert_agree(daemon.stored(), expected)


def test_bad_configuration_is_told_everywhere_and_changes_nothing(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = write_config(tmp_path / "bad.yaml", mosquitto.url, models=PHYSICAL)
    good = config.read_text()
    with (
        managing(tmp_path) as manager,
        DaemonProcess(config, environment=manager.environment()) as daemon,
    ):
        connections = daemon.metric("geospace_mqtt_connections_total")
        since = daemon.metric(f"{SUCCESSFUL.removesuffix('ful')}_timestamp_seconds")
        password = tmp_path / "password"
        for text, expected in (
            ("pairs: [TAR-BRZ]\nwindow: {}\ncadence: 3\n", [f"{config}:2:1: ", f"{config}:3:1: "]),
            ("pairs: [TAR-BRZ\n", [f"{config}:"]),
            (good.replace('"physical"', '"/nowhere/model"'), ["models.flr: /nowhere/model/card.json"]),
            (
                good.replace('"client_id"', f'"username": "u", "password_file": "{password}", "client_id"'),
                [f"{password}:1:1: mqtt.password_file: cannot be read"],
            ),
        ):
            config.write_text(text)
            before = len(daemon.log)
            reload(daemon, manager)
            said = daemon.log[before:]
            assert [one for one in expected if one not in said] == []
            assert daemon.metric(SUCCESSFUL) == 0.0
            assert daemon.metric("geospace_degraded", concern="configuration") == 1.0
            assert refusal(daemon).startswith("the new configuration is not used: ")
            assert expected[0] in refusal(daemon)
            assert manager.statuses[-1].startswith("degraded: the new configuration is not used: ")
        config.unlink()
        reload(daemon, manager)
        assert "No such file" in refusal(daemon)
        # It never let go of what it had.
        assert daemon.metric("geospace_mqtt_connections_total") == connections
        assert daemon.metric(f"{SUCCESSFUL.removesuffix('ful')}_timestamp_seconds") == since
        config.write_text(good)
        reload(daemon, manager)
        assert daemon.metric(SUCCESSFUL) == 1.0
        assert daemon.metric("geospace_degraded", concern="configuration") == 0.0
        eventually(lambda: daemon.get("/readyz")[0] == 200, 30, lambda: daemon.log)
        assert "Traceback" not in daemon.log
        assert daemon.stop() == 0, daemon.log


def test_configuration_that_cannot_be_put_to_work_gives_way_to_the_one_before(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "swap.yaml", mosquitto.url, models=PHYSICAL)
    good = config.read_text()
    first, second, third = parts(3)
    (tmp_path / "file").touch()
    with (
        managing(tmp_path) as manager,
        DaemonProcess(config, environment=manager.environment()) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        feeder.send(first)
        port = taken.getsockname()[1]
        change(config, http={"listen": f"127.0.0.1:{port}"}, pairs=["TAR-BRZ"])
        reload(daemon, manager)
        assert "cannot be put to work: HTTP cannot listen on" in refusal(daemon)
        assert daemon.metric(SUCCESSFUL) == 0.0
        feeder.send(second)
        config.write_text(good)
        change(config, store={"path": str(tmp_path / "file" / "monitor.sqlite")})
        reload(daemon, manager)
        assert f"cannot be put to work: {tmp_path / 'file'}" in refusal(daemon)
        feeder.send(third)
        wait_for_products(listener, expected, daemon)
        assert_agree(listener.final, expected)
        assert_one_content_per_id(listener.documents("flr"))
        assert daemon.stop() == 0, daemon.log
        assert daemon.stored().keys() == expected.keys()


def test_what_is_taken_out_and_put_in_shows_everywhere(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = write_config(tmp_path / "change.yaml", mosquitto.url, models=PHYSICAL, pairs=["NUR-TAR"])
    with (
        managing(tmp_path) as manager,
        DaemonProcess(config, environment=manager.environment()) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        # Until the input is configured, its topic is nobody's.
        other, half = f"{ROOT.replace('v1', 'other')}/in/mag", len(BLOCKS) // 2
        feeder.send(BLOCKS[:half])
        eventually(lambda: "flr/NUR-TAR" in retained(mosquitto.port), 60, lambda: daemon.log)
        old_url = daemon.url
        document = json.loads(config.read_text())
        fresh = write_config(tmp_path / "fresh.yaml", mosquitto.url)
        change(
            config,
            pairs=["TAR-BRZ"],
            http=json.loads(fresh.read_text())["http"],
            inputs=[*document["inputs"], {"decoder": "native", "topic": f"{other}/+"}],
            log={"level": "debug"},
        )
        daemon.url = f"http://{json.loads(config.read_text())['http']['listen']}"
        reload(daemon, manager)
        assert daemon.metric(SUCCESSFUL) == 1.0, daemon.log
        # What was there is cleared and vanishes, what is new comes, and the old address is free.
        eventually(lambda: "flr/NUR-TAR" not in retained(mosquitto.port), 30, lambda: daemon.log)
        metrics = daemon.get("/metrics")[1]
        assert 'pair="NUR-TAR"' not in metrics
        assert 'geospace_source_lag_seconds{source="NUR"}' not in metrics
        assert "NUR-TAR" not in daemon.status()["pairs"]
        socket.create_server(("127.0.0.1", int(old_url.rpartition(":")[2]))).close()
        feeder.send(BLOCKS[half:])
        eventually(lambda: ("TAR-BRZ", LAST) in listener.final, 60, lambda: daemon.log)
        expected = "1 pair, 0 spacecraft; broker connected"
        eventually(lambda: manager.statuses[-1].startswith(expected), 30, lambda: str(manager.statuses))

        # An input that is taken out is given up at the broker.
        stored = daemon.metric("geospace_samples_stored_total", source="TAR")
        received = daemon.metric("geospace_messages_received_total", decoder="native")
        feeder.publish(f"{other}/TAR", b"{}")
        eventually(
            lambda: (
                daemon.metric("geospace_messages_received_total", decoder="native") == (received or 0) + 1
            ),
            30,
        )
        change(config, inputs=document["inputs"])
        reload(daemon, manager)
        eventually(lambda: daemon.get("/readyz")[0] == 200, 30, lambda: daemon.log)
        feeder.publish(f"{other}/TAR", b"{}")
        feeder.publish(f"{ROOT}/in/mag/TAR", b"{}")
        eventually(
            lambda: (
                (daemon.metric("geospace_messages_received_total", decoder="native") or 0)
                >= (received or 0) + 2
            ),
            30,
        )
        assert daemon.metric("geospace_messages_received_total", decoder="native") == (received or 0) + 2
        assert daemon.metric("geospace_samples_stored_total", source="TAR") == stored
        assert daemon.stop() == 0, daemon.log


def test_sink_is_taken_out_and_put_in_and_goes_on_where_it_was(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    archive = {"plugin": "parquet", "path": str(tmp_path / "archive"), "from": "beginning"}
    config = write_config(
        tmp_path / "sink.yaml", mosquitto.url, models=PHYSICAL, plugins={"archive": archive}
    )
    good = config.read_text()
    first, second = parts(2)

    def sink(daemon: DaemonProcess) -> dict[str, object]:
        return dict(daemon.status()["plugins"].get("archive", {}))

    def has_all(daemon: DaemonProcess) -> bool:
        return bool(sink(daemon)["row"]) and sink(daemon)["waiting"] == 0

    with (
        managing(tmp_path) as manager,
        DaemonProcess(config, environment=manager.environment()) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(first)
        eventually(lambda: bool(listener.final) and has_all(daemon), 60, lambda: daemon.log)
        config.write_text(good.replace('"beginning"', '"beginning", "roll_s": "often"'))
        reload(daemon, manager)
        assert "found often; it must be a number" in refusal(daemon)
        assert sink(daemon)["state"] == "running"
        row = sink(daemon)["row"]
        config.write_text(json.dumps({**json.loads(good), "plugins": {}}))
        reload(daemon, manager)
        assert daemon.metric("geospace_plugin_up", plugin="archive", kind="sink") is None
        assert sink(daemon) == {}
        feeder.send(second)
        wait_for_products(listener, expected, daemon)
        config.write_text(good)
        reload(daemon, manager)
        eventually(lambda: sink(daemon)["row"] > row and has_all(daemon), 60, lambda: daemon.log)  # type: ignore[operator]
        taken = daemon.metric("geospace_sink_products_total", sink="archive")
        last = sink(daemon)["row"]
        assert daemon.stop() == 0, daemon.log
    # Each product once: nothing was given again, and nothing was left out while it was away.
    assert taken == last


def test_signals_at_any_time_are_heard_and_end_nothing(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    tricks = Tricks(tmp_path)
    config = write_config(tmp_path / "often.yaml", mosquitto.url, models=PHYSICAL)
    first, second, third = parts(3)
    with managing(tmp_path) as manager, closing(Listener(mosquitto.port)) as listener:
        daemon = DaemonProcess(
            config,
            environment={**manager.environment(), **tricks.environment},
            program=tricks.program,
        )
        with daemon, closing(Feeder(mosquitto.port)) as feeder:
            feeder.send(first)
            # Many at once are a few reloads: the last of them reads what is there after the last.
            for _ in range(20):
                hang_up(daemon)
                time.sleep(0.02)
            eventually(lambda: "is in force" in daemon.log, 60, lambda: daemon.log)
            feeder.send(second)
            eventually(lambda: manager.lines[-1].startswith("STATUS=2 pairs"), 60, lambda: daemon.log)
            assert 1 <= daemon.log.count("is in force") < 20

            # The end during a reload: it ends in order, and no reload is begun on the way.
            begun = manager.count("RELOADING=1")
            hang_up(daemon)
            manager.wait_for("RELOADING=1", begun + 1)
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGTERM)
            for _ in range(20):
                hang_up(daemon)
                time.sleep(0.01)
            assert daemon.process.wait(30) == 0, daemon.log
            daemon.process = None

            # During a start: after it, with what the file has then.
            tricks.on("restore")
            count, ready = daemon.log.count("is in force"), manager.count("READY=1")
            daemon._wait_for = "/healthz"
            daemon.start()
            change(config, log={"level": "warning"})
            hang_up(daemon)
            manager.wait_for("READY=1", ready + 2)
            tricks.off("restore")
            # What it says at the level of the old one is not said any more.
            assert daemon.log.count("is in force") == count
            feeder.send(third)
            wait_for_products(listener, expected, daemon)
            assert_agree(listener.final, expected)
            assert_one_content_per_id(listener.documents("flr"))
            assert daemon.stop() == 0, daemon.log
