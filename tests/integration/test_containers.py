"""What the containers run, without containers: their configuration, their secrets and their check of health."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon_kit import DaemonProcess, Feeder, chain_blocks, closing, eventually
from mqtt_kit import Mosquitto

from monitor.io.broker import free_port

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

DEPLOY = Path(__file__).parents[2] / "deploy"
GROUP = os.getgid()


def make_secrets(folder: Path, *users: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEPLOY / "compose" / "secrets.sh", *users],
        env={**os.environ, "SECRETS": str(folder), "SECRETS_GROUP": str(GROUP)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    if shutil.which("mosquitto_passwd", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("the program mosquitto_passwd is not installed")
    folder = tmp_path / "secrets"
    done = make_secrets(folder, "TAR", "NUR", "BRZ")
    assert done.returncode == 0, done.stderr
    return folder


def test_secrets_are_made_once_and_for_the_group_alone(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}
    assert len({*before.values()}) == len(before)
    assert make_secrets(secrets, "reader").returncode == 0
    after = {path.name: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {"reader"}
    assert all(after[name] == secret for name, secret in before.items() if name != "broker-passwords")
    users = [line.partition(":")[0] for line in after["broker-passwords"].decode().splitlines()]
    assert sorted(users) == ["BRZ", "NUR", "TAR", "geospace-monitor", "reader"]
    for path in secrets.rglob("*"):
        if path.is_file():
            own = path.parent.name == "users"  # for people to hand out: no container reads them
            assert stat.S_IMODE(path.stat().st_mode) == (0o600 if own else 0o640)
            assert not any(
                secret and secret in path.read_bytes() for name, secret in after.items() if name != path.name
            )
    assert "'../TAR'" in make_secrets(secrets, "../TAR").stderr


def broker_as_in_the_container(broker: Mosquitto, secrets: Path) -> None:
    """The derived settings with the container's places put where the test has them."""
    text = (DEPLOY / "compose" / "mosquitto.conf").read_text()
    for place, ours in {
        "listener 1883": f"listener {broker.port} 127.0.0.1",
        "/run/secrets/": f"{secrets}/",
        "/mosquitto/config/": f"{DEPLOY}/",
        "/mosquitto/data/": f"{broker.directory}/",
        "log_dest stdout": "log_dest stderr",
    }.items():
        assert len(re.findall(rf"(?m)^[^#\n]*{re.escape(place)}", text)) == 1
        text = re.sub(rf"(?m)^([^#\n]*){re.escape(place)}", rf"\g<1>{ours}", text)
    broker._config = text + ("\nuser root\n" if os.geteuid() == 0 else "")
    broker.start()


def configuration_of_the_container(path: Path, broker: Mosquitto) -> Path:
    document = yaml.safe_load((DEPLOY / "compose" / "config.yaml").read_text())
    document["mqtt"]["url"] = broker.url
    document["store"]["path"] = str(path.with_suffix(".sqlite"))
    document["http"]["listen"] = document["http"]["listen"].replace("9464", str(free_port()))
    path.write_text(json.dumps(document))
    return path


def status_of(url: str, headers: dict[str, str]) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def check_of_health(port: str) -> int:
    """Exit code of the HEALTHCHECK of the image, on another port."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    (words,) = re.findall(r"(?m)^HEALTHCHECK .*? CMD (\[.*\])$", text)
    program, *arguments = json.loads(words.replace("9464", port))
    assert program == "python"
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=False, timeout=30
    ).returncode


def test_daemon_and_broker_of_the_containers_work_with_their_secrets(
    tmp_path: Path, secrets: Path, mosquitto_at: Callable[..., Mosquitto]
) -> None:
    broker = mosquitto_at(config="")
    broker_as_in_the_container(broker, secrets)
    config = configuration_of_the_container(tmp_path / "container.yaml", broker)
    scrape: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    (job,) = [job for job in scrape["scrape_configs"] if job["job_name"] == "geospace-monitor"]
    token = (secrets / Path(job["authorization"]["credentials_file"]).name).read_text()
    port = json.loads(config.read_text())["http"]["listen"].rpartition(":")[2]
    url = f"http://127.0.0.1:{port}"
    # As the image sets it; a token is asked for, so readiness is asked with it below.
    environment = {"CREDENTIALS_DIRECTORY": str(secrets)}
    assert check_of_health(port) != 0
    with DaemonProcess(config, wait_for="/healthz", environment=environment) as daemon:
        bearer = {"Authorization": f"Bearer {token}"}
        eventually(lambda: status_of(f"{url}/readyz", bearer) == 200, 60, lambda: daemon.log)
        assert check_of_health(port) == 0
        assert status_of(f"{url}/metrics", {}) == 401
        # By the name of its service, which is none of this machine's own.
        assert status_of(f"{url}/metrics", {**bearer, "Host": "daemon:9464"}) == 200
        login = ("TAR", (secrets / "users" / "TAR").read_text())
        with closing(Feeder(broker.port, login=login)) as station:
            station.send([block for block in chain_blocks(3) if block.source == "TAR"])
            station.flush()

        def stored() -> bool:
            request = urllib.request.Request(f"{url}/metrics", headers=bearer)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return 'geospace_samples_stored_total{source="TAR"} 180.0' in answer.read().decode()

        eventually(stored, 30, lambda: daemon.log)
        assert token not in daemon.log
        assert daemon.stop() == 0
    assert check_of_health(port) != 0


def test_broker_is_well_where_it_answers_and_not_where_it_does_not(
    secrets: Path, mosquitto_at: Callable[..., Mosquitto]
) -> None:
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("the program mosquitto_pub is not installed (apt install mosquitto-clients)")
    broker = mosquitto_at(config="")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    kind, command = services["broker"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    check = ["sh", "-c", command.replace("$$", "$").replace("127.0.0.1", f"127.0.0.1 -p {broker.port}")]
    assert subprocess.run(check, check=False, timeout=30).returncode != 0
    broker_as_in_the_container(broker, secrets)
    assert subprocess.run(check, check=False, timeout=30).returncode == 0
    # Nobody is told of the check but by the log: it may not publish.
    assert "not authorised" in (broker.directory / "console").read_text()
