"""Where the broker is, and how to be with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

Password = str | Callable[[], str | None] | None
"""A password, or a function that reads it anew for each connection (it raises MonitorError where it cannot)."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes (QoS 1) when the monitor goes without a goodbye."""

    topic: str
    payload: bytes
    retain: bool


class ReconnectConfig(Protocol):
    """What `MqttSettings.from_config` reads of the section `mqtt.reconnect`."""

    @property
    def initial_s(self) -> float: ...
    @property
    def maximum_s(self) -> float: ...


class MqttConfig(Protocol):
    """What `MqttSettings.from_config` reads of the section `mqtt`."""

    @property
    def url(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def username(self) -> str | None: ...
    @property
    def ca_file(self) -> Any: ...
    @property
    def cert_file(self) -> Any: ...
    @property
    def key_file(self) -> Any: ...
    @property
    def protocol(self) -> str: ...
    @property
    def keepalive_s(self) -> float: ...
    @property
    def receive_maximum(self) -> int: ...
    @property
    def session_expiry_s(self) -> float: ...
    @property
    def silence_s(self) -> float: ...
    @property
    def publish_timeout_s(self) -> float: ...
    @property
    def reconnect(self) -> ReconnectConfig: ...


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Where the broker is, who we are, and how patient.

    `receive_maximum` bounds the unacknowledged messages under MQTT 5; `maximum_packet_bytes` makes an MQTT 5
    broker keep larger packets to itself. The session outlives a connection by `session_expiry_s` (MQTT 5).
    A connection is given up after `silence_s` without a message, and when a publication has had no answer for
    `publish_timeout_s`; 0 is never.
    """

    host: str
    port: int = 1883
    tls: bool = False
    client_id: str = "geospace-monitor"
    username: str | None = None
    password: Password = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 60
    receive_maximum: int = 2000
    session_expiry_s: int = 7 * 86400
    reconnect_initial_s: float = 1.0
    reconnect_maximum_s: float = 60.0
    silence_s: float = 0.0
    publish_timeout_s: float = 120.0
    maximum_packet_bytes: int | None = None

    @classmethod
    def from_config(
        cls,
        config: MqttConfig,
        password: Password,
        *,
        maximum_packet_bytes: int | None = None,
        url: str | None = None,
    ) -> MqttSettings:
        """Take the section `mqtt` of the configuration; `url` replaces its own (that of an embedded broker).

        Raises ValueError for a URL that is neither mqtt:// nor mqtts://, or a protocol that is neither 5 nor 3.1.1.
        """
        parts = urlsplit(config.url if url is None else url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(
                f"mqtt.url is {url or config.url!r}; allowed are mqtt://HOST[:PORT] and mqtts://…"
            )
        protocols: dict[str, Literal["5", "3.1.1"]] = {"5": "5", "3.1.1": "3.1.1"}
        protocol = protocols.get(str(config.protocol))
        if protocol is None:
            raise ValueError(f"mqtt.protocol is {config.protocol!r}; allowed are '5' and '3.1.1'")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            tls=parts.scheme == "mqtts",
            client_id=config.client_id,
            username=config.username,
            password=password,
            ca_file=_text(config.ca_file),
            cert_file=_text(config.cert_file),
            key_file=_text(config.key_file),
            protocol=protocol,
            keepalive_s=math.ceil(config.keepalive_s),
            receive_maximum=config.receive_maximum,
            session_expiry_s=math.ceil(config.session_expiry_s),
            reconnect_initial_s=config.reconnect.initial_s,
            reconnect_maximum_s=config.reconnect.maximum_s,
            silence_s=config.silence_s,
            publish_timeout_s=config.publish_timeout_s,
            maximum_packet_bytes=maximum_packet_bytes,
        )

    def read_password(self) -> str | None:
        """The password as it is now (blocking: it may read a file). Raises MonitorError where it cannot be read."""
        return self.password() if callable(self.password) else self.password

    @property
    def url(self) -> str:
        """The broker's address for messages, without any secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


def _text(path: Any) -> str | None:
    return None if path is None else str(path)
