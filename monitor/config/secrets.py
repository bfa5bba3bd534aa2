"""Where secrets come from: files of their own, never the configuration, and never a message."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import SecretStr

from monitor.config.reading import show
from monitor.errors import ConfigurationError, Fault

logger = logging.getLogger(__name__)


def secret_path(name: str, key: str) -> Path:
    """Return the file of a secret: a bare name is a systemd credential, all else a path.

    Parameters
    ----------
    name : str
        What the configuration has for `key`.
    key : str
        Its whole name, such as `mqtt.password_file`, for the error.

    Raises
    ------
    ConfigurationError
        A bare name, and $CREDENTIALS_DIRECTORY is not set.
    """
    if "/" in name:
        return Path(name)
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        shown = show(name)
        raise _fault(
            shown,
            key,
            "it has no slash, so it is a credential of systemd, but $CREDENTIALS_DIRECTORY is not set; "
            f"write a path such as ./{shown}, or set LoadCredential={shown}:FILE in the unit",
        )
    return Path(directory) / name


def read_secret(path: Path, key: str, largest_bytes: int) -> SecretStr:
    """Read a secret from its file, without the newline at its end.

    Raises
    ------
    ConfigurationError
        The file, which is named, cannot be read, is empty or too long, or is not UTF-8.
    """
    what = key.rpartition(".")[2].removesuffix("_file")
    try:
        with path.open("rb") as file:
            content = file.read(largest_bytes + 3)
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); make it readable for the daemon's user"
        raise _fault(str(path), key, reason) from None
    except UnicodeDecodeError:
        # The error holds what was read: it must not be chained.
        raise _fault(str(path), key, f"is not UTF-8 text; write the {what} as text") from None
    if not secret:
        raise _fault(str(path), key, f"is empty; write the {what} into it")
    if len(secret.encode()) > largest_bytes:
        raise _fault(str(path), key, f"is longer than {largest_bytes} bytes; is it the right file?")
    return SecretStr(secret)


class SecretFile:
    """A secret that may be exchanged while the program runs: read anew when its file has changed.

    Raises ConfigurationError as `secret_path` and `read_secret` do.
    """

    def __init__(self, name: str, key: str, largest_bytes: int) -> None:
        self._key = key
        self._largest_bytes = largest_bytes
        self._path = secret_path(name, key)
        self._seen = self._state()
        self._secret = read_secret(self._path, key, largest_bytes)

    def value(self) -> SecretStr:
        """The secret as the file has it now.

        A file that cannot be read any more leaves the last secret as it is, and a line in the log: one that is being
        written must not lock those out who watch. To take a secret back, write another.
        """
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._secret = read_secret(self._path, self._key, self._largest_bytes)
            except ConfigurationError as error:
                logger.warning("%s; what was read before stays in force", error)
            else:
                logger.info("%s: %s has changed and was read anew", self._key, self._path)
        return self._secret

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _fault(file: str, key: str, reason: str) -> ConfigurationError:
    return ConfigurationError([Fault(file, 1, 1, f"{key}: {reason}")])
