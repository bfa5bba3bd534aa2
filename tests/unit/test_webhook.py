"""The sink `webhook`, against real servers on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from monitor_plugins import posting
from monitor_plugins.posting import ReceiverAway
from monitor_plugins.webhook import SIGNATURE, Webhook, idempotency_key
from pydantic import ValidationError
from sink_kit import HERE, Got, Receiver, event, flr, receiving
from tls_kit import Authority

from monitor.errors import ConfigurationError
from monitor.testing import check_sink, stored_products


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


async def opened(url: str, **options: Any) -> Webhook:
    sink = Webhook(Webhook.Options(url=url, **options), HERE)
    await sink.open()
    return sink


def subjects(taken: list[Got]) -> list[tuple[str, int]]:
    return [(got.json["properties"]["subject"], got.json["properties"]["update"]) for got in taken]


async def test_posts_each_event_with_its_id_and_its_topic(receiver: Receiver) -> None:
    sink = await opened(receiver.url + "/hook")
    await sink.write([event(1)])
    await sink.close()
    (got,) = receiver.got
    assert (got.path, got.body) == ("/hook", event(1).payload)
    assert got.headers["Idempotency-Key"] == got.json["id"]
    assert got.headers["Content-Type"] == "application/geo+json"
    assert got.headers["X-Geospace-Topic"] == "geospace/v1/event/plasmapause_crossing/TAR-BRZ"


async def test_signature_covers_time_and_body(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    sink = await opened(receiver.url, secret_file=str(tmp_path / "secret"))
    await sink.write([event(1)])
    (tmp_path / "secret").write_text("another one\n")
    await sink.write([event(2)])
    await sink.close()
    for got, secret in zip(receiver.got, [b"open sesame", b"another one"], strict=True):
        match = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", got.headers[SIGNATURE])
        assert match is not None
        expected = hmac.new(secret, match[1].encode() + b"." + got.body, hashlib.sha256).hexdigest()
        assert match[2] == expected


async def test_subject_keeps_its_order_while_others_go_on(receiver: Receiver) -> None:
    slow = asyncio.Event()

    async def answer(got: Got) -> web.Response:
        if got.json["properties"]["subject"] == "A-B":
            await slow.wait()
        elif len(receiver.taken) == 2:
            slow.set()
        return web.Response(status=200)

    receiver.answer = answer
    sink = await opened(receiver.url)
    await sink.write(
        [event(1, "A-B", 0), event(2, "A-B", 1), event(3, "C-D", 0), event(4, "C-D", 1), event(5, "C-D", 2)]
    )
    await sink.close()
    assert [one for one in subjects(receiver.taken) if one[0] == "A-B"] == [("A-B", 0), ("A-B", 1)]
    assert [one for one in subjects(receiver.taken) if one[0] == "C-D"] == [
        ("C-D", 0),
        ("C-D", 1),
        ("C-D", 2),
    ]
    assert subjects(receiver.taken)[0][0] == "C-D"


async def test_what_was_taken_is_not_posted_again_after_a_failure(receiver: Receiver) -> None:
    receiver.answer = lambda got: web.Response(status=500 if "A-B" in got.body.decode() else 200)
    sink = await opened(receiver.url)
    products = [event(1, "A-B"), event(2, "C-D")]
    with pytest.raises(ReceiverAway, match="500"):
        await sink.write(products)
    receiver.answer = lambda _: web.Response(status=201)
    await sink.open()
    await sink.write(products)
    await sink.close()
    assert sorted(subjects(receiver.taken)) == [("A-B", 0), ("C-D", 0)]


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_minded(
    receiver: Receiver, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(posting.time, "monotonic", lambda: now)
    receiver.answer = lambda _: web.Response(status=status, headers={"Retry-After": "120"})
    sink = await opened(receiver.url)
    with pytest.raises(ReceiverAway, match=str(status)):
        await sink.write([event(1)])
    receiver.answer = lambda _: web.Response(status=204)
    now = 1119.0
    with pytest.raises(ReceiverAway, match="left alone for another 1 s"):
        await sink.write([event(1)])
    assert len(receiver.got) == 1
    now = 1121.0
    await sink.write([event(1)])
    await sink.close()
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    ("text", "rest_s"),
    [
        ("90", 90.0),
        ("999999999", posting.LONGEST_REST_S),
        ("Thu, 07 Sep 2017 12:01:00 GMT", 0.0),
        ("Thu, 07 Sep 2017", None),
        ("-5", None),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(text: str | None, rest_s: float | None) -> None:
    assert posting._rest_s(text) == rest_s


def test_retry_after_may_be_a_date_to_come() -> None:
    text = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    found = posting._rest_s(text)
    assert found is not None
    assert 90.0 < found <= 100.0


async def test_no_more_requests_at_a_time_than_is_said(receiver: Receiver) -> None:
    now, most = 0, 0

    async def answer(_: Got) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return web.Response(status=200)

    receiver.answer = answer
    sink = await opened(receiver.url, connections=3)
    await sink.write([event(row, f"P-{row}") for row in range(12)])
    await sink.close()
    assert (len(receiver.taken), most) == (12, 3)


async def test_refused_event_is_left_behind_once_patience_is_over(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr("monitor_plugins.webhook.time.monotonic", lambda: now)
    receiver.answer = lambda got: web.Response(status=422 if "A-B" in got.body.decode() else 200, text="no")
    sink = await opened(receiver.url, patience_s=60.0)
    products = [event(1, "A-B"), event(2, "C-D")]
    for later_s in (0.0, 59.0):
        now = 1000.0 + later_s
        with pytest.raises(ReceiverAway, match="422 no"):
            await sink.write(products)
    now = 1061.0
    with caplog.at_level(logging.ERROR):
        await sink.write(products)
    await sink.close()
    assert subjects(receiver.taken) == [("C-D", 0)]
    assert sink.left_behind == 1
    assert idempotency_key(products[0]) in caplog.text


async def test_receiver_that_refuses_everything_is_asked_once_an_event(receiver: Receiver) -> None:
    receiver.answer = lambda _: web.Response(status=404)
    sink = await opened(receiver.url, patience_s=0.0)
    await sink.write([event(1), event(2), event(3)])
    assert (sink.left_behind, len(receiver.got)) == (3, 3)
    receiver.answer = lambda _: web.Response(status=200)
    await sink.write([event(4)])
    await sink.close()
    assert len(receiver.taken) == 1


async def test_redirect_is_not_followed(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    async with receiving() as elsewhere:
        receiver.answer = lambda _: web.Response(status=307, headers={"Location": elsewhere.url})
        sink = await opened(receiver.url, secret_file=str(tmp_path / "secret"))
        with pytest.raises(ReceiverAway, match=re.escape(f"307 to {elsewhere.url}")):
            await sink.write([event(1)])
        await sink.close()
        assert elsewhere.got == []


async def test_silent_receiver_is_left_after_the_time_limit(receiver: Receiver) -> None:
    async def answer(_: Got) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    receiver.answer = answer
    sink = await opened(receiver.url, timeout_s=0.2)
    with pytest.raises(ReceiverAway, match="no answer within"):
        await sink.write([event(1)])
    await sink.close()


async def test_certificate_is_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("localhost", "DNS:localhost"))
    async with receiving(ssl=context) as receiver:
        sink = await opened(receiver.url)
        with pytest.raises(ReceiverAway, match="certificate is refused"):
            await sink.write([event(1)])
        await sink.close()
        assert receiver.got == []
        sink = await opened(receiver.url, ca_file=str(authority.ca))
        await sink.write([event(1)])
        await sink.close()
        assert len(receiver.taken) == 1


async def test_other_kinds_go_where_they_are_wanted_and_removals_nowhere(receiver: Receiver) -> None:
    sink = await opened(receiver.url, kinds=["flr", "event"])
    assert sink.kinds == {"flr", "event"}
    removed = flr(2).__class__(2, "flr", "X-Y", "flr/X-Y", 0, 0, True, b"")
    await sink.write([flr(1), removed])
    await sink.close()
    (got,) = receiver.got
    assert (got.headers["Content-Type"], got.headers["Idempotency-Key"]) == (
        "application/json",
        "flr/TAR-BRZ/2017-09-07T12:00:00Z/0",
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.org/", "begins with https://"),
        ("https://me:open-sesame@example.org/", "credentials in the URL"),
        ("https:///hook", "host is missing"),
    ],
)
def test_url_that_cannot_be_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as raised:
        Webhook.Options(url=url)
    assert "open-sesame" not in str(raised.value.errors()[0]["msg"])


async def test_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    sink = Webhook(Webhook.Options(url="http://localhost", secret_file=str(tmp_path / "none")), HERE)
    with pytest.raises(ConfigurationError, match=r"plugins\.here\.secret_file: cannot be read"):
        await sink.open()


async def test_holds_to_what_every_sink_has_to(receiver: Receiver) -> None:
    @asynccontextmanager
    async def down() -> AsyncIterator[None]:
        receiver.answer = lambda _: web.Response(status=503)
        yield
        receiver.answer = lambda _: web.Response(status=204)

    options = Webhook.Options(url=receiver.url, kinds=("flr",))
    await check_sink(
        lambda: Webhook(options, HERE),
        stored_products(6),
        lambda: {got.headers["Idempotency-Key"] for got in receiver.taken},
        down=down,
    )
