"""Derives the configuration of the containers from the shipped one, so that the two cannot drift apart.

    python deploy/compose/derive.py            writes deploy/compose/*
    python deploy/compose/derive.py --check    says which of them are not what they should be, and ends with 1

Inside containers services find each other by name and listen on the network between them; users, rights and a token
are switched on, as others may share that network. All else is as shipped, remarks and all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parent


@dataclass(frozen=True, slots=True)
class Change:
    """A pattern (of whole lines or parts of them), what takes its place, and how often it must be found."""

    pattern: str
    replacement: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Derived:
    """A file for the containers, and what makes it of the shipped one."""

    name: str
    source: Path
    changes: Sequence[Change]
    added: str = ""

    def text(self) -> str:
        """The text that the file should have; ValueError where the shipped one is not as expected."""
        text = self.source.read_text(encoding="utf-8")
        for change in self.changes:
            text, times = re.subn(change.pattern, change.replacement, text, flags=re.MULTILINE)
            if times != change.times:
                raise ValueError(
                    f"{self.source}: {change.pattern!r} stands there {times} times, expected {change.times}; "
                    f"mend the changes in {Path(__file__).name}"
                )
        origin = self.source.relative_to(DEPLOY.parent).as_posix()
        return f"# Derived from {origin} by deploy/compose/derive.py, which see: do not edit.\n{text}{self.added}"


def setting(section: str, key: str, value: str) -> Change:
    """Another value of a key of config.yaml; its remark stays where it is."""
    return Change(rf"^({section}:.*\n(?:  .*\n)*?  {key}: )\S+", rf"\g<1>{value}")


def switched_on(*keys: str) -> list[Change]:
    """Settings of Mosquitto with the # taken off."""
    return [Change(rf"^#({key} )", r"\1") for key in keys]


FILES = (
    Derived(
        "mosquitto.conf",
        DEPLOY / "mosquitto.conf",
        [
            Change(r"^listener 1883 127\.0\.0\.1$", "listener 1883"),
            *switched_on("allow_anonymous", "password_file", "acl_file"),
            Change(r"/etc/mosquitto/geospace-monitor\.passwd$", "/run/secrets/broker-passwords"),
            Change(r"/etc/mosquitto/geospace-monitor\.acl$", "/mosquitto/config/mosquitto.acl"),
        ],
        added="\n# --- The container ---\npersistence_location /mosquitto/data/\nlog_dest stdout\n",
    ),
    Derived(
        "config.yaml",
        DEPLOY.parent / "config.yaml",
        [
            setting("mqtt", "url", '"mqtt://broker:1883"'),
            setting("mqtt", "username", "geospace-monitor"),
            setting("mqtt", "password_file", "mqtt-password"),
            setting("http", "listen", '"0.0.0.0:9464"'),
            setting("http", "token_file", "http-token"),
        ],
    ),
    Derived(
        "prometheus.yml",
        DEPLOY / "prometheus" / "prometheus.yml",
        [
            Change(r"127\.0\.0\.1:9464", "daemon:9464"),
            Change(r"127\.0\.0\.1:9093", "alertmanager:9093", 2),
            Change(r"^    # (authorization:)$", r"    \1"),
            Change(r"^    # (  credentials_file:) .*$", r"    \1 /run/secrets/http-token"),
        ],
    ),
    Derived(
        "alertmanager.yml",
        DEPLOY / "alertmanager" / "alertmanager.yml",
        [Change(r"http://127\.0\.0\.1:9095/", "http://host.docker.internal:9095/", 2)],
    ),
    Derived(
        "grafana/datasources/geospace.yaml",
        DEPLOY / "grafana" / "provisioning" / "datasources" / "geospace.yaml",
        [
            Change(r"http://127\.0\.0\.1:9090$", "http://prometheus:9090"),
            Change(r"http://127\.0\.0\.1:9093$", "http://alertmanager:9093"),
        ],
    ),
)


def main(arguments: Sequence[str]) -> int:
    """Write the files, or say which are not what they should be."""
    wrong = 0
    for derived in FILES:
        path, text = HERE / derived.name, derived.text()
        if arguments == ["--check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.stdout.write(f"{path}: not what the shipped file gives; run deploy/compose/derive.py\n")
                wrong += 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
