"""What the source and the sink share: which cluster, and how one gets in."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable
from math import inf
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from monitor.config.reading import show
from monitor.config.schema import FilePath, Text
from monitor.config.secrets import read_secret, secret_path
from monitor.errors import ConfigurationError, Fault, MonitorError
from monitor.plugins import Options

MAXIMUM_PASSWORD_BYTES: Final = 4096
_CLOSE_S: Final = 3.0
_RECENT_S: Final = 5.0


class _LastWord(logging.Handler):
    """Keeps what the library logged last: its errors do not say why, and its log says it at every attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self.at = -inf

    def emit(self, record: logging.LogRecord) -> None:
        self.text, self.at = record.getMessage(), time.monotonic()


_library: Final = logging.getLogger("aiokafka")
_last_word: Final = _LastWord()
_library.addHandler(_last_word)
_library.propagate = False


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


async def stopped(stop: Awaitable[None], client: Any) -> None:
    """Let the library end; where that takes too long, take its connections away, and nothing of it goes on.

    It waits for answers that may never come, and a consumer that is left like that would keep its partitions.
    """
    try:
        async with asyncio.timeout(_CLOSE_S):
            await stop
    except TimeoutError:
        await client.close()


def why(error: BaseException) -> str:
    """One line: the error, which may have no text, and what the library logged about it just before."""
    said = [str(error) or type(error).__name__]
    if time.monotonic() - _last_word.at < _RECENT_S and _last_word.text not in said[0]:
        said.append(_last_word.text)
    return show(" ".join("; ".join(said).split()), 300)
