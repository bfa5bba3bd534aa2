"""Whatever a request has for `Authorization` and `Host`, it is judged, and only the right one is let in."""

from __future__ import annotations

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.io.http.access import Access, Credentials, is_own_name

USER, PASSWORD, TOKEN = "op", "pä:ss", "t0ken"
CREDENTIALS = Credentials(USER, lambda: PASSWORD, lambda: TOKEN)
RIGHT = {
    f"Bearer {TOKEN}",
    "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
}
# As the server decodes the bytes of a field.
FIELDS = st.binary(max_size=80).map(lambda data: data.decode("utf-8", "surrogateescape"))


@given(FIELDS)
def test_any_authorization_is_judged(field: str) -> None:
    assume(field not in RIGHT)
    assert not CREDENTIALS.accept(field)
    assert Access(CREDENTIALS).judge(field, "192.0.2.1") == "credentials"


@given(st.sampled_from(["Bearer", "Basic", "bearer", "BASIC"]), FIELDS)
def test_any_credentials_of_a_scheme_are_judged(scheme: str, shown: str) -> None:
    assume(shown.strip() not in {right.partition(" ")[2] for right in RIGHT})
    assert not CREDENTIALS.accept(f"{scheme} {shown}")


@given(st.text(max_size=40), st.text(max_size=40))
def test_only_the_user_with_the_password_is_let_in(user: str, password: str) -> None:
    assume(not any("\ud800" <= letter <= "\udfff" for letter in user + password))
    shown = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert CREDENTIALS.accept(f"Basic {shown}") == (f"{user}:{password}" == f"{USER}:{PASSWORD}")


@pytest.mark.parametrize("right", sorted(RIGHT))
def test_right_one_is_let_in(right: str) -> None:
    assert CREDENTIALS.accept(right)
    access = Access(CREDENTIALS)
    assert all(access.judge(right, "192.0.2.1") == "allowed" for _ in range(100))


def test_memory_of_wrong_ones_is_bounded() -> None:
    access = Access(CREDENTIALS)
    for number in range(5000):
        access.judge("Bearer wrong", f"192.0.{number // 256}.{number % 256}")
    assert len(access._left) <= 1024


@given(FIELDS)
def test_any_host_is_judged(host: str) -> None:
    assert is_own_name(host, frozenset()) in (True, False)


@given(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z][a-z0-9-]{0,20})*", fullmatch=True), st.integers(0, 65_535)
)
def test_name_of_another_is_not_ours(name: str, port: int) -> None:
    assume(name != "localhost" and not name.endswith(".localhost"))
    assert not is_own_name(name, frozenset())
    assert not is_own_name(f"{name}:{port}", frozenset({"monitor.example.org"} - {name}))
    assert is_own_name(f"{name.upper()}.:{port}", frozenset({name}))
