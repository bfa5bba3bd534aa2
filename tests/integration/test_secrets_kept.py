"""Secrets stay where they are: not in the log, the answers, the messages, the store, or the list of processes."""

from __future__ import annotations

import base64
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_kit import DaemonProcess, Listener, closing, command, eventually, write_config
from mqtt_kit import Mosquitto

pytestmark = pytest.mark.broker

MQTT, HTTP, TOKEN = "mqtt-Pw-q7Zk", "http-Pw-x3Lm", "bearer-Tk-v9Rb"
SECRETS = (MQTT, HTTP, TOKEN, base64.b64encode(f"op:{HTTP}".encode()).decode())


def assert_nothing_of_them(*texts: str | bytes) -> None:
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        assert data
        assert not [secret for secret in SECRETS if secret.encode() in data]


def get(url: str, authorization: str) -> tuple[int, str]:
    """Status, and headers with body, of an answer."""
    request = urllib.request.Request(url, headers={"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return error.code, f"{error.headers}{error.read().decode()}"


def write_secrets(folder: Path) -> dict[str, str]:
    files = {}
    for name, secret in (("mqtt", MQTT), ("http", HTTP), ("token", TOKEN)):
        path = folder / f"{name}.secret"
        path.touch(0o600)
        path.write_text(secret + "\n")
        files[name] = str(path)
    return files


@pytest.fixture
def guarded(tmp_path: Path, mosquitto_at: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker that asks for the password."""
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("the program mosquitto_passwd is not installed")
    users = tmp_path / "users"
    users.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", users, "monitor", MQTT], check=True, timeout=10)
    broker = mosquitto_at(extra=["allow_anonymous false", f"password_file {users}"])
    broker.start()
    return broker


def test_no_secret_is_seen_anywhere(tmp_path: Path, guarded: Mosquitto) -> None:
    files = write_secrets(tmp_path)
    config = write_config(
        tmp_path / "monitor.yaml",
        guarded.url,
        mqtt={"username": "monitor", "password_file": files["mqtt"]},
        http={"username": "op", "password_file": files["http"], "token_file": files["token"]},
        log={"level": "debug"},
    )
    with DaemonProcess(config, wait_for="/healthz") as daemon:
        token, basic = f"Bearer {TOKEN}", f"Basic {SECRETS[3]}"
        eventually(lambda: get(f"{daemon.url}/readyz", token)[0] == 200, 30, lambda: daemon.log)
        paths = ("/", "/metrics", "/readyz", "/api/status", "/events/none", "/nothing", "/healthz")
        wrong = (f"{token}x", f"Basic {SECRETS[3]}!", f"Digest {TOKEN}")
        answers = [get(daemon.url + path, right) for right in (token, basic) for path in paths]
        answers += [get(daemon.url + path, one) for one in wrong for path in paths]
        assert {code for code, _ in answers} == {200, 401, 404, 429}
        assert_nothing_of_them(*(text for _, text in answers))
        process = Path(f"/proc/{daemon.pid}")
        assert_nothing_of_them((process / "cmdline").read_bytes(), (process / "environ").read_bytes())
        # The broker hangs up, and lets nobody in any more: what is said of that.
        with closing(Listener(guarded.port, login=("monitor", MQTT))) as listener:
            eventually(lambda: bool(listener.messages), 20)
            assert_nothing_of_them(*(payload for _, payload, _ in listener.messages))
        (tmp_path / "users").write_text("")
        guarded.restart()
        eventually(lambda: "mqtt.password_file" in daemon.log, 30, lambda: daemon.log)
        Path(files["http"]).write_bytes(b"\xff" + HTTP.encode())
        # Whoever has just been wrong so often is looked at again after a while.
        eventually(lambda: get(f"{daemon.url}/metrics", basic)[0] == 200, 30, lambda: daemon.log)
        assert "http.password_file" in daemon.log
        daemon.stop()
        assert_nothing_of_them(daemon.log)
    stored = [path for path in tmp_path.iterdir() if path.name.startswith("monitor.sqlite")]
    assert stored
    assert_nothing_of_them(*(path.read_bytes() for path in stored if path.stat().st_size))
    assert_nothing_of_them(config.read_text())


def test_secret_file_that_cannot_be_used_is_told_of_without_its_content(tmp_path: Path) -> None:
    files = write_secrets(tmp_path)
    Path(files["token"]).write_bytes(b"\xff" + TOKEN.encode())
    config = write_config(
        tmp_path / "monitor.yaml", "mqtt://127.0.0.1:1", http={"token_file": files["token"]}
    )
    done = command("run", "-c", config)
    assert done.returncode == 78
    assert f"{files['token']}:1:1: http.token_file: is not UTF-8" in done.stderr
    assert_nothing_of_them(done.stderr)


def test_secrets_in_the_configuration_are_refused_without_being_shown(tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "monitor.yaml",
        f"mqtt://monitor:{MQTT}@broker",
        mqtt={"password": MQTT},
        http={"password": HTTP, "token": TOKEN, "public_url": f"http://op:{HTTP}@monitor"},
    )
    done = command("check-config", "-c", config)
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) >= 5
    assert_nothing_of_them(done.stderr)
