"""Secrets in files: read whole or refused in a line that shows nothing of them, and read anew when they change."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import parse_config
from monitor.config.http import MAXIMUM_SECRET_BYTES, Http
from monitor.config.secrets import SecretFile
from monitor.errors import ConfigurationError


def secret_file(path: Path, content: bytes) -> SecretFile:
    path.write_bytes(content)
    return SecretFile(str(path), "http.token_file", 64)


@pytest.mark.parametrize("content", [b"hunter2", b"hunter2\n", b"hunter2\r\n"])
def test_newline_of_the_editor_is_no_part_of_it(tmp_path: Path, content: bytes) -> None:
    secret = secret_file(tmp_path / "token", content).value()
    assert secret.get_secret_value() == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; write the token into it"),
        (b"\n", "is empty"),
        (b"hunter2" * 10, "longer than 64 bytes"),
        (b"hunter2\xff", "not UTF-8"),
    ],
)
def test_secret_that_cannot_be_one_is_refused_without_being_shown(
    tmp_path: Path, content: bytes, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"token:1:1: http\.token_file: .*{told}") as caught:
        secret_file(tmp_path / "token", content)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_missing_file_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none:1:1: http\.password_file: cannot be read"):
        Http(username="a", password_file=str(tmp_path / "none")).password()


def test_bare_name_is_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "http-token").write_text("hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    token = Http(token_file="http-token").token()
    assert token is not None
    assert token.value().get_secret_value() == "hunter2"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(ConfigurationError, match=r"http\.token_file: .*LoadCredential=http-token:FILE"):
        Http(token_file="http-token").token()


def test_changed_file_is_read_anew_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    file = secret_file(path, b"first")
    path.write_bytes(b"second one")
    assert file.value().get_secret_value() == "second one"
    path.write_bytes(b"")
    assert [file.value().get_secret_value() for _ in range(3)] == ["second one"] * 3
    assert caplog.text.count("stays in force") == 1
    path.unlink()
    assert file.value().get_secret_value() == "second one"
    path.write_bytes(b"third")
    assert file.value().get_secret_value() == "third"
    assert not any(secret in caplog.text for secret in ("first", "second", "third"))


def test_longest_secret_fits_into_one_line_of_a_request() -> None:
    # Base64 makes four bytes of three; a field has 6144.
    assert (MAXIMUM_SECRET_BYTES + 256) * 4 / 3 + len("Authorization: Basic ") < 6144


@pytest.mark.parametrize(
    ("http", "told"),
    [
        ("{username: a}", "username needs a password_file"),
        ("{password_file: ./p}", "password_file needs a username"),
        ('{username: "a:b", password_file: ./p}', "found the user a:b; a colon"),
        ("{password: hunter2}", "write it into a file and name that as password_file"),
        ("{token: hunter2}", "unknown key token"),
        ("{maximum_connections: 7}", "at least 8"),
        ('{token_file: ""}', "found an empty text"),
    ],
)
def test_fault_of_http_is_told_without_secrets(http: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(f"craft: [MMS1]\nhttp: {http}\n", "c.yaml")
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)
