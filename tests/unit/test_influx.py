"""The sink `influx`: its lines, and the requests of version 2 to a receiver that stands for it.

The receiver is a mock: it keeps what is posted and answers as the documentation of InfluxDB 2 says. What version 1 makes
of all this is seen by a real one (`tests/integration/test_influx.py`).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from monitor_plugins.influx import Influx
from monitor_plugins.influx.lines import cleaned, escaped, points
from monitor_plugins.influx.sink import InfluxRefusalError
from pydantic import ValidationError
from sink_kit import HERE, Receiver, flr, product, receiving


def test_line_has_identity_in_its_tags_and_the_rest_in_its_fields() -> None:
    (point,) = points(flr(1, revision=3), "geospace_")
    assert point.line == (
        'geospace_flr,pair=TAR-BRZ revision=3i,label="Freq",probability_NoFreq=0.06,probability_Freq=0.93,'
        "probability_PBL=0.01,frequency_mHz=13.4,frequency_interval_mHz_low=12.6,frequency_interval_mHz_high=14.2,"
        'density_amu_cm3=1520.0,flags="rescued" 1504785600000000000'
    )


def test_removed_subject_and_other_kinds_have_no_points() -> None:
    assert points(product(1, "flr", "A-B", None), "") == []
    assert points(product(1, "health", "TAR", {"time": "2017-09-07T12:00:00Z", "state": "ok"}), "") == []


@given(st.text())
def test_any_name_is_one_tag_on_one_line(text: str) -> None:
    written = escaped(text)
    assert "\n" not in written
    assert not written.endswith("\\")
    # Read as the protocol does: a backslash belongs to a comma, an equals sign or a space behind it.
    read, place = "", 0
    while place < len(written):
        if written[place] == "\\" and place + 1 < len(written) and written[place + 1] in ",= ":
            place += 1
        else:
            assert written[place] not in ",= "
        read += written[place]
        place += 1
    assert read == cleaned(text)


def new_sink(url: str, **options: Any) -> Influx:
    return Influx(Influx.Options(url=url, org="hut", bucket="space", **options), HERE)


async def written(receiver: Receiver, sink: Influx, *products: Any) -> None:
    await sink.open()
    try:
        await sink.write(products)
    finally:
        await sink.close()


async def test_version_2_gets_gzip_with_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open-sesame\n")
    async with receiving() as receiver:
        sink = new_sink(receiver.url, token_file=str(tmp_path / "token"))
        await written(receiver, sink, flr(1), flr(2, "MUO-PEL"))
    (got,) = receiver.got
    assert (got.path, got.query) == ("/api/v2/write", {"org": "hut", "bucket": "space", "precision": "ns"})
    assert got.headers["Authorization"] == "Token open-sesame"
    assert got.headers["Content-Encoding"] == "gzip"
    # The receiver's own library has unpacked it.
    lines = (gzip.decompress(got.body) if got.body[:2] == b"\x1f\x8b" else got.body).decode().split("\n")
    assert [line.split(" ")[0] for line in lines] == [
        "geospace_flr,pair=TAR-BRZ",
        "geospace_flr,pair=MUO-PEL",
    ]


async def test_version_2_is_asked_to_delete_what_a_revision_takes_back() -> None:
    async with receiving() as receiver:
        await written(receiver, new_sink(receiver.url), flr(1, 'A"B', revision=1, frequency_mHz=None))
    deletion, write = receiver.got
    assert (deletion.path, write.path) == ("/api/v2/delete", "/api/v2/write")
    assert deletion.json == {
        "start": "2017-09-07T12:00:00Z",
        "stop": "2017-09-07T12:00:00Z",
        "predicate": '"_measurement"="geospace_flr" AND "pair"="A\\"B"',
    }


async def test_revision_without_the_right_to_delete_waits_unless_told_otherwise() -> None:
    revised = flr(1, revision=1, frequency_mHz=None)
    async with receiving() as receiver:
        receiver.answer = lambda got: web.Response(
            status=403 if "delete" in got.path else 204, text="no rights"
        )
        with pytest.raises(
            InfluxRefusalError, match=r"no rights\); grant that right, or set delete_revised: false"
        ):
            await written(receiver, new_sink(receiver.url), revised)
        assert receiver.taken == []
        await written(receiver, new_sink(receiver.url, delete_revised=False), revised)
        assert len(receiver.taken) == 1


async def test_batches_are_no_larger_than_is_said() -> None:
    async with receiving() as receiver:
        await written(
            receiver, new_sink(receiver.url, batch_points=2), *(flr(row, f"P-{row}") for row in range(5))
        )
        assert len(receiver.got) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": 1, "org": "a", "bucket": "b"}, "database is missing"),
        ({"bucket": "b"}, "org is missing"),
        ({"version": 1, "database": "d", "username": "u"}, "without token_file"),
    ],
)
def test_options_that_lack_something_say_what(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Influx.Options(url="http://localhost:8086", **options)


async def test_version_1_may_have_a_user_and_a_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("b")
    async with receiving() as receiver:
        options = Influx.Options(
            url=receiver.url, version=1, database="d", username="a", token_file=str(tmp_path / "password")
        )
        await written(receiver, Influx(options, HERE), flr(1))
        assert receiver.got[0].headers["Authorization"] == "Basic YTpi"
        assert json.dumps(receiver.got[0].query) == '{"db": "d", "precision": "ns"}'
