"""`process`: which objects it writes, and how it counts them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from monitor.config import Config
from monitor.jobs.process import process_series
from monitor.types import SECOND_NS, Json, Product, SampleBlock

T0_NS = 1_504_785_600 * SECOND_NS


def product(kind: str, subject: str, revision: int = 0, **body: Json) -> Product:
    return Product(kind, subject, T0_NS, revision, True, {"kind": kind, **body})


def test_all_kinds_but_health_are_written_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    crossing = "plasmapause_crossing/emma"
    given = [
        product("flr", "TAR-BRZ", label="Freq"),
        product("health", "TAR"),
        product("profile", "emma"),
        product("plasmapause", "emma"),
        product("event", crossing, properties={"state": "begin"}),
        product("event", crossing, 1, properties={"state": "update"}),
        product("event", crossing, 2, properties={"state": "end"}),
    ]

    def nothing(_blocks: Sequence[SampleBlock]) -> list[Product]:
        return []

    stub = SimpleNamespace(feed=nothing, flush=lambda: given)
    monkeypatch.setattr("monitor.jobs.process.Pipeline", lambda *_, **__: stub)
    output = io.BytesIO()
    report = process_series([], Config(), output)
    written = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [one["kind"] for one in written] == [one.kind for one in given if one.kind != "health"]
    assert all("pubtime" in one["properties"] for one in written if one["kind"] == "event")
    assert report.objects == {"flr": 1, "profile": 1, "plasmapause": 1, "event": 3}
    assert (report.events, report.labels) == (1, {"Freq": 1})
