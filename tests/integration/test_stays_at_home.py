"""What the daemon opens and starts: the broker that is configured, its own HTTP address, and nothing else.

The interpreter itself tells of each connection, name that is looked up, process and unpickled class (its audit events).
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from daemon_kit import (
    PROGRAM,
    DaemonProcess,
    Feeder,
    assert_agree,
    chain_blocks,
    closing,
    eventually,
    final,
    processed,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto

from monitor.decoders.native import native_payload

HOOK = """
import os, sys

TOLD = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname",
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class",
}
_file = os.open(os.environ["AUDIT_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def _hook(event, arguments):
    if event in TOLD:
        # The name that is looked up comes first; else the address is last, after the socket.
        what = arguments[0 if event == "socket.getaddrinfo" else -1]
        os.write(_file, (repr((event, repr(what))) + "\\n").encode())

sys.addaudithook(_hook)
"""


@pytest.mark.broker
def test_daemon_reaches_the_broker_and_nothing_else(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    told = tmp_path / "audit"
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path / "hook"), os.environ.get("PYTHONPATH")])),
        "AUDIT_FILE": str(told),
    }
    config = write_config(tmp_path / "monitor.yaml", mosquitto.url, craft=["MMS1"])
    with DaemonProcess(config, environment=environment) as daemon, closing(Feeder(mosquitto.port)) as feeder:
        # Both learned models are loaded, so that what their libraries do is told as well.
        assert len(daemon.status()["models"]) == 2
        blocks = chain_blocks(40)
        # What others say at the same broker is none of its business, however well it is said.
        for topic in (
            "geospace/v2/in/mag/TAR",
            "elsewhere/geospace/v1/in/mag/TAR",
            "geospace/v1/flr/TAR-BRZ",
        ):
            feeder.publish(topic, native_payload(blocks[0]))
        feeder.send(blocks)
        feeder.flush()
        # They were sent first, so that what counts more than the samples has come by then.
        eventually(lambda: received(daemon) >= len(blocks), 60, lambda: daemon.log)
        eventually(lambda: any(daemon.status()["pairs"].values()), 60, lambda: daemon.log)
        assert received(daemon) == len(blocks)
        # Those that libraries in C opened are among these too.
        assert listening(daemon.pid) == {json.loads(config.read_text())["http"]["listen"]}
        assert daemon.stop() == 0
    http = json.loads(config.read_text())["http"]["listen"].rpartition(":")
    events = audited(told)
    assert {event for event, _ in events} <= {"socket.connect", "socket.bind", "socket.getaddrinfo"}, events
    assert {address for event, address in events if event == "socket.connect"} == {
        f"('127.0.0.1', {mosquitto.port})"
    }
    # The client's own end of its connection has any port.
    assert {address for event, address in events if event == "socket.bind"} == {
        "('', 0)",
        f"('127.0.0.1', {http[2]})",
    }
    # Names are looked up of these two only.
    assert {address for event, address in events if event == "socket.getaddrinfo"} <= {"'127.0.0.1'"}


def received(daemon: DaemonProcess) -> float:
    """Messages that a daemon has taken from the broker."""
    return sum(
        daemon.metric("geospace_messages_received_total", decoder=name) or 0
        for name in ("native", "imagmqtt")
    )


def audited(path: Path) -> set[tuple[str, str]]:
    """The events of a run, each with what it was about."""
    return {ast.literal_eval(line) for line in path.read_text().splitlines()}


def listening(pid: int) -> set[str]:
    """Addresses on which a process listens, as the system has them."""
    own = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if f"socket:[{fields[9]}]" in own and fields[3] in ("0A", "07"):
                address, _, port = fields[1].partition(":")
                host = ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
                found.add(f"{host}:{int(port, 16)}")
    return found


def offline() -> list[str]:
    """How to start a program in a network of its own, in which there is nothing."""
    for prefix in (["unshare", "-n"], ["unshare", "-rn"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
        ):
            return prefix
    pytest.skip("this machine lets no program have a network of its own (unshare -n)")


def test_pipeline_without_any_network_gives_the_same(tmp_path: Path) -> None:
    prefix = offline()
    config = write_config(tmp_path / "monitor.yaml", "mqtt://127.0.0.1:1", craft=["MMS1"])
    samples = write_csv(tmp_path / "chain.csv", chain_blocks(40))
    output = tmp_path / "offline.jsonl"
    line = [*prefix, PROGRAM, "process", samples, "-c", config, "-o", output]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as alone:
        expected = processed(config, samples)
        _, errors = alone.communicate(timeout=60)
    assert alone.returncode == 0, errors
    assert expected
    assert_agree(final(json.loads(line) for line in output.read_text().splitlines()), expected)
