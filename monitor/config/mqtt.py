"""How the broker is reached, and where the password comes from. Secrets are in files, never in the configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from monitor.config.schema import FilePath, Section, Text, split_url, without_credentials
from monitor.config.secrets import read_secret, secret_path

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "embedded": 1883}
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
MAXIMUM_PASSWORD_BYTES = 65_535


def _broker_url(text: str) -> str:
    shown = without_credentials(text)
    if not re.match(r"(mqtts?|embedded)://", text):
        raise ValueError(
            f"found {shown}; allowed: mqtt://host[:port], mqtts://host[:port] (TLS), embedded://"
        )
    if "@" in text:
        raise ValueError(f"found {shown}: credentials in the URL; write them as username and password_file")
    parts = split_url(text)
    if parts.path not in ("", "/"):
        raise ValueError(f"found {shown}; a path is not allowed after the host")
    if parts.scheme == "embedded":
        if parts.hostname is None and parts.netloc:
            raise ValueError(f"found {shown}; write embedded:// or embedded://127.0.0.1:1883")
        if parts.hostname is not None and parts.hostname not in LOOPBACK_HOSTS:
            raise ValueError(
                f"found {shown}; the embedded broker listens on loopback only: write embedded://"
            )
    elif not parts.hostname:
        raise ValueError(f"found {shown}; the host is missing, as in {parts.scheme}://127.0.0.1")
    elif parts.port == 0:
        raise ValueError(f"found {shown}; a broker's port is from 1 to 65535")
    return text


class Reconnect(Section):
    """How long to wait between attempts to reach the broker."""

    initial_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    maximum_s: Annotated[float, Field(gt=0, le=3600)] = 60.0


class Mqtt(Section):
    """The broker and the session with it."""

    url: Annotated[str, AfterValidator(_broker_url)] = "mqtt://127.0.0.1:1883"
    client_id: Text = "geospace-monitor"
    username: Text | None = None
    password_file: Text | None = None
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: Annotated[int, Field(ge=5, le=65_535)] = 30
    receive_maximum: Annotated[int, Field(ge=1, le=65_535)] = 200
    session_expiry_s: Annotated[int, Field(ge=0, le=4_294_967_295)] = 86_400
    silence_s: Annotated[float, Field(ge=0, le=86_400)] = 900.0
    """Seconds without a message after which the connection is made anew; 0 for never."""
    publish_timeout_s: Annotated[float, Field(ge=0, le=86_400)] = 120.0
    """Seconds that a publication may wait for the broker's answer before the connection is made anew; 0 for ever."""
    reconnect: Reconnect = Reconnect()

    @property
    def scheme(self) -> str:
        """`mqtt`, `mqtts` or `embedded`."""
        return urlsplit(self.url).scheme

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "mqtts"

    @property
    def is_embedded(self) -> bool:
        """Whether the daemon brings its own broker."""
        return self.scheme == "embedded"

    @property
    def host(self) -> str:
        """Host name or address, an IPv6 one without brackets."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """Port; 1883 (mqtt, embedded) or 8883 (mqtts) where the URL names none."""
        port = urlsplit(self.url).port
        return DEFAULT_PORTS[self.scheme] if port is None else port

    def password_path(self) -> Path | None:
        """Return the file that holds the password, None where there is none.

        Raises ConfigurationError as `secret_path` does.
        """
        return None if self.password_file is None else secret_path(self.password_file, "mqtt.password_file")

    def read_password(self) -> SecretStr | None:
        """Read the password from its file; None where there is none. Raises ConfigurationError as `read_secret` does."""
        path = self.password_path()
        return None if path is None else read_secret(path, "mqtt.password_file", MAXIMUM_PASSWORD_BYTES)
