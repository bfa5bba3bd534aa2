"""Where the HTTP server listens, who may ask it, and how many at once."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from monitor.config.reading import show
from monitor.config.schema import Section, Text, split_url, without_credentials
from monitor.config.secrets import SecretFile

MAXIMUM_SECRET_BYTES = 4096
"""Both fit into one line of a request."""


def split_address(text: str) -> tuple[str, int]:
    """Split `host:port` or `[host]:port` into host and port 0–65535; raise ValueError where it is neither."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
    if match is None:
        raise ValueError(
            f"found {show(text)}; write host:port, such as 127.0.0.1:9464 or [::1]:9464 (port 0 takes any free one)"
        )
    port = int(match[3])
    if port > 65_535:
        raise ValueError(f"found port {port} in {show(text)}; a port is from 0 to 65535")
    return match[1] or match[2], port


def _address(text: str) -> str:
    split_address(text)
    return text


def _web_url(text: str) -> str:
    shown = without_credentials(text)
    if not re.match(r"https?://", text):
        raise ValueError(f"found {shown}; write a URL that begins with http:// or https://")
    if "@" in text:
        raise ValueError(f"found {shown}: credentials in a public URL; leave them out")
    if not split_url(text).hostname:
        raise ValueError(f"found {shown}; the host is missing")
    return text.rstrip("/")


def _user(text: str) -> str:
    # RFC 7617: the first colon ends the name.
    if ":" in text or not text.isprintable():
        raise ValueError(f"found the user {show(text)}; a colon or a control character cannot be in it")
    return text


class Http(Section):
    """The HTTP server, the URL under which others see it, and who may ask it."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:9464"
    public_url: Annotated[str, AfterValidator(_web_url)] | None = None
    username: Annotated[Text, AfterValidator(_user)] | None = None
    password_file: Text | None = None
    token_file: Text | None = None
    maximum_connections: Annotated[int, Field(ge=8, le=10_000)] = 256
    contact: Text | None = None
    cross_origin: bool = False
    """Whether pages of other sites may read `/hapi` in a browser that reaches this server."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on; port 0 takes any that is free."""
        return split_address(self.listen)

    @property
    def public_host(self) -> str | None:
        """The host under which others see this server, in lower case; None where no `public_url` says so."""
        return None if self.public_url is None else urlsplit(self.public_url).hostname

    def password(self) -> SecretFile | None:
        """Open the file of the password; None where there is none. Raises ConfigurationError as `SecretFile` does."""
        return _opened(self.password_file, "http.password_file")

    def token(self) -> SecretFile | None:
        """Open the file of the bearer token; None where there is none. Raises ConfigurationError as `SecretFile` does."""
        return _opened(self.token_file, "http.token_file")


def _opened(name: str | None, key: str) -> SecretFile | None:
    return None if name is None else SecretFile(name, key, MAXIMUM_SECRET_BYTES)
