"""The daemon as a process between a real broker and real HTTP."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Callable
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
    command,
    eventually,
    processed,
    retained,
    wait_for_products,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto
from promtool_kit import check_with_promtool

from monitor.io.broker import free_port, mosquitto_config
from monitor.types import SECOND_NS, SampleBlock

pytestmark = pytest.mark.broker

MINUTES = 60
BLOCKS = chain_blocks(MINUTES)
HALF = len(BLOCKS) // 2


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Final:
    """What `process` says of the stream."""
    directory = tmp_path_factory.mktemp("offline")
    config = write_config(directory / "offline.yaml", "mqtt://127.0.0.1:1")
    return processed(config, write_csv(directory / "chain.csv", BLOCKS))


def sources_reached(daemon: DaemonProcess, blocks: list[SampleBlock]) -> bool:
    """Whether the daemon has taken all of these samples."""
    count = sum(block.count for block in blocks)
    stored = [daemon.metric("geospace_samples_stored_total", source=code) for code in ("NUR", "TAR", "BRZ")]
    return sum(value or 0 for value in stored) >= count


def test_daemon_starts_with_the_broker_down_and_connects_later(
    tmp_path: Path, mosquitto_at: Callable[..., Mosquitto], expected: Final
) -> None:
    broker = mosquitto_at()
    config = write_config(tmp_path / "late.yaml", broker.url)
    with DaemonProcess(config, wait_for="/healthz") as daemon:
        # It answers while it takes up its last run; what it waits for then is the broker.
        waits = {"ready": False, "reasons": ["the broker is not connected"]}
        eventually(lambda: json.loads(daemon.get("/readyz")[1]) == waits, 30, lambda: daemon.log)
        assert daemon.get("/readyz")[0] == 503
        assert daemon.metric("geospace_mqtt_connected") == 0
        broker.start()
        eventually(lambda: daemon.get("/readyz")[0] == 200, 10, lambda: daemon.log)
        assert daemon.metric("geospace_mqtt_connected") == 1
        with closing(Listener(broker.port)) as listener, closing(Feeder(broker.port)) as feeder:
            feeder.send(BLOCKS)
            wait_for_products(listener, expected, daemon)
            assert_agree(listener.final, expected)
        assert daemon.stop() == 0


def test_products_are_the_same_when_the_broker_dies_in_mid_stream(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "outage.yaml", mosquitto.url)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(BLOCKS[:HALF])
        feeder.flush()
        eventually(lambda: sources_reached(daemon, BLOCKS[:HALF]), 15, lambda: daemon.log)
        # The broker knows its sessions after a power failure, as its autosave makes it; messages it has none.
        mosquitto.save()
        mosquitto.kill()
        feeder.send(BLOCKS[HALF:])
        eventually(lambda: daemon.get("/readyz")[0] == 503, 10, lambda: daemon.log)
        mosquitto.start()
        wait_for_products(listener, expected, daemon)
        assert_agree(listener.final, expected)
        assert daemon.stop() == 0
        assert_agree(daemon.stored(), expected)


def make_certificates(directory: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate and key for localhost that it signed."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed")
    ca, ca_key, certificate, key = (
        directory / f"{name}.pem" for name in ("ca", "ca-key", "server", "server-key")
    )
    new: list[str | Path] = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    sign: list[str | Path] = [
        "openssl",
        "x509",
        "-req",
        "-days",
        "2",
        "-CA",
        ca,
        "-CAkey",
        ca_key,
        "-CAcreateserial",
    ]
    calls: list[list[str | Path]] = [
        [*new, "-x509", "-subj", "/CN=Test authority", "-keyout", ca_key, "-out", ca],
        [*new, "-subj", "/CN=localhost", "-keyout", key, "-out", directory / "request"],
        [*sign, "-in", directory / "request", "-extfile", extensions, "-out", certificate],
    ]
    for arguments in calls:
        subprocess.run(arguments, check=True, capture_output=True, timeout=30)
    return ca, certificate, key


def test_tls_with_user_and_password_carries_samples_in_and_products_out(
    tmp_path: Path, mosquitto_at: Callable[..., Mosquitto], expected: Final
) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("the program mosquitto_passwd is not installed")
    ca, certificate, key = make_certificates(tmp_path)
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "monitor", "s3cret-Word"], check=True, timeout=10)
    broker = mosquitto_at()
    text = mosquitto_config(broker.directory, broker.port).replace(
        "allow_anonymous true", "allow_anonymous false"
    )
    broker._config = f"{text}\npassword_file {users}\ncertfile {certificate}\nkeyfile {key}\n"
    broker.start()
    secret = tmp_path / "password"
    secret.write_text("s3cret-Word\n")
    security = {"login": ("monitor", "s3cret-Word"), "ca_file": ca}
    config = write_config(
        tmp_path / "tls.yaml",
        f"mqtts://localhost:{broker.port}",
        mqtt={"username": "monitor", "password_file": str(secret), "ca_file": str(ca)},
    )
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(broker.port, **security)) as listener,
        closing(Feeder(broker.port, **security)) as feeder,
    ):
        feeder.send(BLOCKS)
        wait_for_products(listener, expected, daemon)
        assert_agree(listener.final, expected)
        assert daemon.stop() == 0
        assert "s3cret" not in daemon.log
        assert "s3cret" not in daemon.store_path.read_bytes().decode("latin-1")


def test_protocol_3_1_1_carries_the_same_products(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "old.yaml", mosquitto.url, mqtt={"protocol": "3.1.1"})
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(BLOCKS)
        wait_for_products(listener, expected, daemon)
        assert_agree(listener.final, expected)
        assert daemon.stop() == 0


def test_retained_messages_and_status_when_the_daemon_goes_in_order_or_dies(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "retained.yaml", mosquitto.url)
    with DaemonProcess(config) as daemon, closing(Listener(mosquitto.port)) as listener:
        assert retained(mosquitto.port)["status"]["state"] == "online"
        with closing(Feeder(mosquitto.port)) as feeder:
            feeder.send(BLOCKS)
            wait_for_products(listener, expected, daemon)
        eventually(lambda: daemon.status()["queues"]["outbox"] == 0, 5, lambda: daemon.log)
        held = retained(mosquitto.port)
        last = max(time for _, time in expected)
        for pair in ("NUR-TAR", "TAR-BRZ"):
            assert held[f"flr/{pair}"]["time"] == last
            # cadence 300 s + lateness 120 s + 180 s after 09:00
            assert last == "2017-09-07T09:00:00Z"
            assert held[f"flr/{pair}"]["valid_until"] == "2017-09-07T09:10:00Z"
        for station in ("NUR", "TAR", "BRZ"):
            assert held[f"health/{station}"]["state"] == "ok"
        daemon.kill()
        eventually(lambda: listener.documents("status")[-1]["state"] == "offline", 5)
        assert retained(mosquitto.port)["status"]["state"] == "offline"

        daemon.start()
        eventually(lambda: listener.documents("status")[-1]["state"] == "online", 5, lambda: daemon.log)
        # What was last known is there at once; as a label of now it is not shown: it is years old.
        document = daemon.status()["pairs"]["TAR-BRZ"]
        assert document["time"] == last
        assert daemon.metric("geospace_flr_data_timestamp_seconds", pair="TAR-BRZ") is not None
        assert daemon.metric("geospace_flr_label", pair="TAR-BRZ", label=document["label"]) is None
        assert daemon.stop() == 0, daemon.log
        eventually(lambda: listener.documents("status")[-1]["state"] == "offline", 5)
        states = [document["state"] for document in listener.documents("status")]
        assert states == ["online", "offline", "online", "offline"]


def test_retained_message_of_a_removed_pair_is_cleared(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "pairs.yaml", mosquitto.url)
    with DaemonProcess(config) as daemon, closing(Listener(mosquitto.port)) as listener:
        with closing(Feeder(mosquitto.port)) as feeder:
            feeder.send(BLOCKS)
            wait_for_products(listener, expected, daemon)
        assert daemon.stop() == 0
        assert {"flr/NUR-TAR", "flr/TAR-BRZ", "health/NUR"} <= retained(mosquitto.port).keys()
        document = json.loads(config.read_text())
        document["pairs"] = ["TAR-BRZ"]
        config.write_text(json.dumps(document))
        daemon.start()
        eventually(lambda: "flr/NUR-TAR" not in retained(mosquitto.port), 10, lambda: daemon.log)
        held = retained(mosquitto.port)
        assert "health/NUR" not in held
        assert {"flr/TAR-BRZ", "health/TAR", "health/BRZ"} <= held.keys()
        assert daemon.status()["pairs"].keys() == {"TAR-BRZ"}
        assert daemon.metric("geospace_flr_data_timestamp_seconds", pair="NUR-TAR") is None
        assert daemon.stop() == 0


def test_revision_of_an_older_window_goes_out_unretained(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """BRZ sends one of its minutes only at the end: closed windows change, the retained one stays the newest."""
    late = [block for block in BLOCKS if block.source == "BRZ"][10]
    config = write_config(tmp_path / "late.yaml", mosquitto.url)
    whole = processed(config, write_csv(tmp_path / "chain.csv", BLOCKS))
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(block for block in BLOCKS if block is not late)
        wait_for_products(listener, whole, daemon)
        first = dict(listener.final)
        feeder.send([late])
        older = [key for key in whole if key[0] == "TAR-BRZ" and "08:15" <= key[1][11:16] <= "08:35"]
        eventually(
            lambda: all(listener.final[key]["revision"] > first[key]["revision"] for key in older),
            30,
            lambda: daemon.log,
        )
        eventually(lambda: daemon.status()["queues"]["outbox"] == 0, 5)
        assert_agree(listener.final, whole)
        assert_one_content_per_id(listener.documents("flr"))
        held = retained(mosquitto.port)["flr/TAR-BRZ"]
        assert held["time"] == max(time for _, time in whole)
        assert daemon.stop() == 0


def test_http_tells_of_the_running_daemon(tmp_path: Path, mosquitto: Mosquitto, expected: Final) -> None:
    config = write_config(tmp_path / "http.yaml", mosquitto.url)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(BLOCKS)
        wait_for_products(listener, expected, daemon)
        eventually(lambda: daemon.status()["sources"].keys() == {"NUR", "TAR", "BRZ"}, 5)
        # The page is of the last second: what is published may not be on it yet.
        newest = max(time for pair, time in expected if pair == "TAR-BRZ")
        eventually(lambda: (daemon.status()["pairs"]["TAR-BRZ"] or {}).get("time") == newest, 5)
        assert daemon.get("/healthz") == (200, "ok\n")
        assert json.loads(daemon.get("/readyz")[1]) == {"ready": True, "reasons": []}
        status = daemon.status()
        assert status["state"] == "online"
        assert status["mqtt_connected"] is True
        assert status["sources"]["TAR"] == {"last_sample": "2017-09-07T09:00:00Z", "health": "ok"}
        shown = status["pairs"]["TAR-BRZ"]
        assert shown.pop("stale") is False
        assert_agree(
            {("TAR-BRZ", shown["time"]): shown},
            {("TAR-BRZ", shown["time"]): expected["TAR-BRZ", shown["time"]]},
        )
        assert daemon.metric("geospace_messages_received_total", decoder="native") == len(BLOCKS)
        assert daemon.metric("geospace_samples_stored_total", source="TAR") == MINUTES * 60
        assert daemon.metric("geospace_window_coverage_ratio", pair="TAR-BRZ", station="TAR") == 1.0
        resonant = next(one for one in status["pairs"].values() if one["label"] == "Freq")
        frequency = daemon.metric("geospace_flr_frequency_hertz", pair=resonant["pair"])
        assert frequency == pytest.approx(resonant["frequency_mHz"] / 1000)
        check_with_promtool(daemon)

        # An hour of nulls: the window says `gap`, and the frequency is gone with what it rested on.
        start = BLOCKS[-1].end_ns
        for minute in range(60):
            for code in ("NUR", "TAR", "BRZ"):
                nothing = BLOCKS[0].values * float("nan")
                feeder.send([SampleBlock(code, ("H",), start + minute * 60 * SECOND_NS, SECOND_NS, nothing)])
        eventually(lambda: daemon.metric("geospace_flr_frequency_hertz", pair=resonant["pair"]) is None, 15)
        eventually(lambda: "gap" in daemon.status()["pairs"][resonant["pair"]]["flags"], 10)
        assert daemon.metric("geospace_flr_label", pair=resonant["pair"], label="NoFreq") == 1
        assert daemon.stop() == 0


def test_full_disk_degrades_acknowledges_nothing_and_is_overcome(
    tmp_path: Path, mosquitto: Mosquitto, expected: Final
) -> None:
    config = write_config(tmp_path / "full.yaml", mosquitto.url)
    third = len(BLOCKS) // 3
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        feeder.send(BLOCKS[:third])
        eventually(lambda: sources_reached(daemon, BLOCKS[:third]), 15, lambda: daemon.log)
        fill_disk(daemon)
        feeder.send(BLOCKS[third : 2 * third])
        eventually(lambda: daemon.get("/readyz")[0] == 503, 10, lambda: daemon.log)
        assert "cannot be stored" in json.loads(daemon.get("/readyz")[1])["reasons"][0]
        assert daemon.get("/healthz")[0] == 200
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, UNLIMITED)
        eventually(lambda: daemon.get("/readyz")[0] == 200, 10, lambda: daemon.log)
        eventually(lambda: sources_reached(daemon, BLOCKS[: 2 * third]), 15, lambda: daemon.log)
        assert "recovered" in daemon.log

        # Full again; now the process dies with what it could not store, and the broker still has all of it.
        fill_disk(daemon)
        feeder.send(BLOCKS[2 * third :])
        eventually(lambda: daemon.get("/readyz")[0] == 503, 10, lambda: daemon.log)
        daemon.kill()
        daemon.start()
        wait_for_products(listener, expected, daemon)
        assert_agree(listener.final, expected)
        assert_one_content_per_id(listener.documents("flr"))
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def fill_disk(daemon: DaemonProcess) -> None:
    """Let no file of the process grow any more: to it, that is a full disk."""
    journal = Path(f"{daemon.store_path}-wal")
    assert daemon.log_path.stat().st_size < journal.stat().st_size
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (journal.stat().st_size, resource.RLIM_INFINITY))


def test_unwritable_store_is_one_line_and_exit_1(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "file").write_text("")
    config = write_config(tmp_path / "bad.yaml", mosquitto.url, store={"path": str(tmp_path / "file" / "db")})
    with pytest.raises(AssertionError), DaemonProcess(config):
        pass
    log = config.with_suffix(".log").read_text()
    assert "set store.path to another place" in log
    assert "Traceback" not in log
    assert len(log.splitlines()) == 1


def test_refused_publish_is_told_and_the_others_go_out(
    tmp_path: Path, mosquitto_at: Callable[..., Mosquitto], expected: Final
) -> None:
    rules = tmp_path / "rules"
    rules.write_text(
        "\n".join(
            [
                f"topic readwrite {ROOT}/in/#",
                f"topic read {ROOT}/#",
                f"topic write {ROOT}/flr/TAR-BRZ",
                f"topic write {ROOT}/status",
                f"topic write {ROOT}/health/#",
                "topic read impf/#",
                "",
            ]
        )
    )
    broker = mosquitto_at(extra=[f"acl_file {rules}"])
    broker.start()
    config = write_config(tmp_path / "refused.yaml", broker.url)
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(broker.port)) as listener,
        closing(Feeder(broker.port)) as feeder,
    ):
        feeder.send(BLOCKS)
        wanted = {key: document for key, document in expected.items() if key[0] == "TAR-BRZ"}
        wait_for_products(listener, wanted, daemon)
        assert_agree(listener.final, wanted)
        eventually(lambda: daemon.get("/readyz")[0] == 503, 5, lambda: daemon.log)
        assert "flr/NUR-TAR" in daemon.get("/readyz")[1]
        assert daemon.status()["pairs"]["NUR-TAR"] is not None
        assert daemon.stop() == 0, daemon.log
        assert daemon.log.count("it stays in the store and is not sent again") == 1
        assert_agree(daemon.stored(), expected)


def test_two_daemons_on_one_store_are_one_line_and_exit_1(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = write_config(tmp_path / "one.yaml", mosquitto.url)
    with DaemonProcess(config) as daemon:
        document = json.loads(config.read_text())
        document["http"]["listen"] = f"127.0.0.1:{free_port()}"
        second = tmp_path / "two.yaml"
        second.write_text(json.dumps(document))
        with pytest.raises(AssertionError), DaemonProcess(second):
            pass
        assert "is in use by another process" in second.with_suffix(".log").read_text()
        assert "Traceback" not in second.with_suffix(".log").read_text()
        assert daemon.stop() == 0


def test_taken_http_port_is_one_line_and_exit_1(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = write_config(tmp_path / "one.yaml", mosquitto.url)
    with DaemonProcess(config) as daemon:
        document = json.loads(config.read_text())
        document["store"]["path"] = str(tmp_path / "other.sqlite")
        document["mqtt"]["client_id"] = "another"
        second = tmp_path / "two.yaml"
        second.write_text(json.dumps(document))
        done = command("run", "-c", second, timeout_s=20)
        assert done.returncode == 1
        assert "HTTP cannot listen on" in done.stderr
        assert "Traceback" not in done.stderr
        assert daemon.stop() == 0
