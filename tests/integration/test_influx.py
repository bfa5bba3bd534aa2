"""The sink `influx` against a real InfluxDB 1.6: what is written is read back by query.

Version 2 cannot be had here as a program; its two requests are held against what its documentation says by a receiver
that is none (`tests/unit/test_influx.py`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from influx_kit import InfluxServer, influx
from monitor_plugins.influx import Influx
from monitor_plugins.influx.sink import InfluxRefusalError
from monitor_plugins.posting import ReceiverAway
from sink_kit import HERE, flr, golden_products, product

from monitor.io.broker import free_port
from monitor.testing import check_sink, stored_products

__all__ = ["influx"]

T_NS = 1_504_785_600_000_000_000
HOSTILE = "A,B= C\\\"'D"


def new_sink(url: str, **options: Any) -> Influx:
    return Influx(Influx.Options(url=url, version=1, **{"database": "geospace", **options}), HERE)


@pytest.fixture
async def sink(influx: InfluxServer) -> AsyncIterator[Influx]:
    one = new_sink(influx.url)
    await one.open()
    yield one
    await one.close()


async def test_every_point_of_the_golden_products_is_there(sink: Influx, influx: InfluxServer) -> None:
    products = [one for one in golden_products() if one.kind in sink.kinds]
    await sink.write(products)
    for kind, tag in (("flr", "pair"), ("region", "craft")):
        latest = {(one.time_ns, one.subject): json.loads(one.payload) for one in products if one.kind == kind}
        rows = influx.query(f"SELECT * FROM geospace_{kind}")
        assert {(row["time"], row[tag]) for row in rows} == latest.keys()
        for row in rows:
            document = latest[row["time"], row[tag]]
            assert row["label"] == document["label"]
            assert row["revision"] == document["revision"]
            if kind == "flr":
                assert row["frequency_mHz"] == document["frequency_mHz"]
                assert row.get("physical_coherence") == document["physical"]["coherence"]
                assert row["flags"].split() == document["flags"]
    assert len(latest) > 20


async def test_revision_takes_the_place_of_its_point_with_all_its_nulls(
    sink: Influx, influx: InfluxServer
) -> None:
    await sink.write([flr(1, "REV-A", frequency_mHz=13.4), flr(2, "REV-B", frequency_mHz=15.0)])
    await sink.write([flr(3, "REV-A", revision=1, label="NoFreq", frequency_mHz=None, density_amu_cm3=None)])
    rows = influx.query("SELECT * FROM geospace_flr WHERE pair =~ /REV/ ORDER BY time")
    assert [(row["pair"], row["label"], row["frequency_mHz"], row["time"]) for row in rows] == [
        ("REV-A", "NoFreq", None, T_NS),
        ("REV-B", "Freq", 15.0, T_NS),
    ]
    # The last word is the later one in one delivery too.
    await sink.write([flr(4, "REV-B", revision=1, label="PBL"), flr(5, "REV-B", revision=2, label="NoFreq")])
    rows = influx.query("SELECT label, revision FROM geospace_flr WHERE pair = 'REV-B'")
    assert [(row["label"], row["revision"]) for row in rows] == [("NoFreq", 2)]


async def test_hostile_names_and_texts_come_back_as_they_were(sink: Influx, influx: InfluxServer) -> None:
    await sink.write([flr(1, HOSTILE, label='say "no" \\ = ,', frequency_mHz=1.5)])
    await sink.write([flr(2, HOSTILE, revision=1, label='say "no" \\ = ,', frequency_mHz=None)])
    rows = [row for row in influx.query("SELECT * FROM geospace_flr") if row["pair"] == HOSTILE]
    assert [(row["label"], row["frequency_mHz"], row["revision"]) for row in rows] == [
        ('say "no" \\ = ,', None, 1)
    ]
    await sink.write([flr(3, "line\nbreak\\", label="two\nlines")])
    rows = influx.query("SELECT label FROM geospace_flr WHERE pair = 'line break '")
    assert [row["label"] for row in rows] == ["two lines"]


async def test_profile_is_a_point_for_each_pair(sink: Influx, influx: InfluxServer) -> None:
    document = {
        "id": "profile/emma/2017-09-07T12:00:00Z/0",
        "chain": "emma",
        "time": "2017-09-07T12:00:00Z",
        "revision": 0,
        "pairs": ["MUO-PEL", "TAR-BRZ"],
        "l_shell": [5.37, 2.9],
        "rho": [None, 1520.0],
        "rho_interval": [None, [1340.0, 1730.0]],
        "used": [False, True],
        "flags": [["quiet"], []],
        "fit": None,
    }
    await sink.write([product(1, "profile", "emma", document)])
    rows = influx.query("SELECT * FROM geospace_profile")
    assert [
        (
            row["chain"],
            row["pair"],
            row["l_shell"],
            row["rho"],
            row["rho_interval_high"],
            row["used"],
            row["flags"],
        )
        for row in sorted(rows, key=lambda row: str(row["pair"]))
    ] == [
        ("emma", "MUO-PEL", 5.37, None, None, False, "quiet"),
        ("emma", "TAR-BRZ", 2.9, 1520.0, 1730.0, True, ""),
    ]


async def test_point_that_the_database_refuses_is_left_behind_alone(
    sink: Influx, influx: InfluxServer, caplog: pytest.LogCaptureFixture
) -> None:
    await sink.write([flr(1, "BAD-A", odd="a text")])
    before = sink.left_behind
    await sink.write([flr(2, "BAD-B"), flr(3, "BAD-C", odd=1.0), flr(4, "BAD-D")])
    rows = influx.query("SELECT label FROM geospace_flr WHERE pair =~ /BAD/ GROUP BY pair")
    assert {row["pair"] for row in rows} == {"BAD-A", "BAD-B", "BAD-D"}
    assert sink.left_behind - before == 1
    assert "BAD-C" in caplog.text
    assert "field type conflict" in caplog.text


async def test_database_that_is_not_there_waits_for_the_operator(influx: InfluxServer) -> None:
    sink = new_sink(influx.url, database="none")
    await sink.open()
    with pytest.raises(InfluxRefusalError, match="database not found"):
        await sink.write([flr(1)])
    await sink.close()


async def test_server_that_is_away_waits(influx: InfluxServer) -> None:
    sink = new_sink(f"http://127.0.0.1:{free_port()}")
    await sink.open()
    with pytest.raises(ReceiverAway, match="cannot be reached"):
        await sink.write([flr(1)])
    await sink.close()


async def test_holds_to_what_every_sink_has_to(influx: InfluxServer) -> None:
    options = Influx.Options(url=influx.url, version=1, database="geospace", prefix="check_")
    await check_sink(
        lambda: Influx(options, HERE),
        stored_products(6),
        lambda: {tuple(row.items()) for row in influx.query("SELECT * FROM check_flr")},
    )
