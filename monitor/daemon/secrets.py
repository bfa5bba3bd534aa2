"""Secrets on their way from their files to the HTTP server, which asks for them at each request."""

from __future__ import annotations

from collections.abc import Callable

from monitor.config.http import Http
from monitor.config.secrets import SecretFile
from monitor.io.http.access import Credentials


def http_credentials(http: Http) -> Credentials | None:
    """What the HTTP server asks for, None where nobody is asked; ConfigurationError where a file cannot be read."""
    password, token = http.password(), http.token()
    if password is None and token is None:
        return None
    return Credentials(http.username, _reading(password), _reading(token))


def _reading(file: SecretFile | None) -> Callable[[], str] | None:
    return None if file is None else lambda: file.value().get_secret_value()
