"""What the source and the sink share: which cluster, and how one gets in."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from monitor.config.reading import show
from monitor.config.schema import FilePath, Text
from monitor.config.secrets import read_secret, secret_path
from monitor.errors import ConfigurationError, Fault, MonitorError
from monitor.plugins import Options

MAXIMUM_PASSWORD_BYTES: Final = 4096
_CLOSE_S: Final = 10.0

# It repeats at every attempt what is said here once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class ClusterAway(MonitorError):  # noqa: N818  (a state to wait out, not a fault)
    """The cluster cannot be reached, or does not take or give anything now."""


def _server(text: str) -> str:
    match = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", text)
    if match is None or not 0 < int(match[1]) <= 65_535:
        raise ValueError(f"found {show(text)}; write host:port, such as kafka-1.example.org:9092")
    return text


class ClusterOptions(Options):
    """Which cluster, and how one gets in. Secrets are in files."""

    servers: Annotated[tuple[Annotated[str, AfterValidator(_server)], ...], Field(strict=False, min_length=1)]
    client_id: Text = "geospace-monitor"
    tls: bool = False
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: Text | None = None
    password_file: Text | None = None

    @model_validator(mode="after")
    def _complete(self) -> ClusterOptions:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together; write both or neither")
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("a certificate is named without tls: true; nothing would be encrypted")
        if self.username is not None and self.mechanism == "PLAIN" and not self.tls:
            raise ValueError("PLAIN would send the password for all to read; set tls: true, or use SCRAM")
        return self


def connection(options: ClusterOptions, key: str) -> dict[str, Any]:
    """What the library takes for a connection.

    Parameters
    ----------
    options : ClusterOptions
    key : str
        What the options are called, such as `plugins.kafka_sink`.

    Raises
    ------
    ConfigurationError
        A file of the certificates or of the password cannot be read.
    """
    kwargs: dict[str, Any] = {
        "bootstrap_servers": list(options.servers),
        "client_id": options.client_id,
        "security_protocol": ("SASL_" if options.username else "") + ("SSL" if options.tls else "PLAINTEXT"),
    }
    if options.tls:
        kwargs["ssl_context"] = _context(options, key)
    if options.username is not None and options.password_file is not None:
        name = f"{key}.password_file"
        password = read_secret(secret_path(options.password_file, name), name, MAXIMUM_PASSWORD_BYTES)
        kwargs |= {
            "sasl_mechanism": options.mechanism,
            "sasl_plain_username": options.username,
            "sasl_plain_password": password.get_secret_value(),
        }
    return kwargs


def _context(options: ClusterOptions, key: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.cert_file is not None:
            context.load_cert_chain(options.cert_file, options.key_file)
    except OSError as error:  # an SSLError too
        file = options.cert_file if options.cert_file is not None else options.ca_file
        reason = f"the certificates cannot be read as PEM ({error.strerror or error})"
        raise ConfigurationError([Fault(str(file), 1, 1, f"{key}: {reason}")]) from None
    return context


async def stopped(stop: Awaitable[None]) -> None:
    """Let the library end; where the cluster is away that may take for ever, and then it is left."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await stop
    except TimeoutError:
        pass


def why(error: BaseException) -> str:
    """One line: some errors of the library have no text."""
    return " ".join(str(error).split())[:200] or type(error).__name__
