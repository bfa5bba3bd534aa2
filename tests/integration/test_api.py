"""`/api`: what it answers, that its description is true, and that nothing it is asked brings it down."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from hapi_kit import (
    CADENCE_S,
    CHAIN,
    CRAFT,
    PAIRS,
    SHADOWS,
    T0_NS,
    event,
    offering,
    offering_in_thread,
    stored,
)
from jsonschema import Draft202012Validator

from monitor import __version__
from monitor.config import Config
from monitor.daemon.reading import Reading
from monitor.daemon.status import status_page
from monitor.io.http import api
from monitor.io.http.api import description
from monitor.io.store import Store
from monitor.types import SECOND_NS, iso_time


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with stored(tmp_path_factory.mktemp("api") / "monitor.sqlite") as opened:
        yield opened


def status(store: Store) -> Any:
    """What `/api/status` says of this store."""
    reading = Reading(
        latest=store.latest("flr"),
        regions=store.latest("region"),
        chains=store.latest("plasmapause"),
        events=tuple(store.latest("event").values()),
        source_clocks={"TAR": T0_NS},
    )
    config = Config(pairs=PAIRS, craft=(CRAFT,), chains={CHAIN: PAIRS})
    return status_page(
        config, reading, started_ns=T0_NS, reasons=(), connected=True, queues={}, store_bytes=0
    )


@pytest.fixture
async def client(store: Store) -> AsyncIterator[ClientSession]:
    page = status(store)
    async with (
        offering(store.path, status=lambda: page, event_of=store.event) as server,
        ClientSession(server.url) as session,
    ):
        yield session


async def get(client: ClientSession, path: str, expected: int = 200) -> Any:
    async with client.get(path) as response:
        assert response.status == expected, await response.text()
        return await response.json(content_type=None)


async def test_latest_is_the_newest_revision_of_each(client: ClientSession, store: Store) -> None:
    products = (await get(client, "/api/latest"))["products"]
    assert set(products) == {"flr", "spectrum", "profile", "plasmapause", "region", "event"}
    for kind in ("flr", "profile", "plasmapause", "region"):
        known = {name: one for name, one in store.latest(kind).items() if name not in SHADOWS}
        assert products[kind] == known
    assert set(products["flr"]) == set(PAIRS)
    assert not any(shadow in json.dumps(products) for shadow in SHADOWS)
    assert (await get(client, "/api/latest?kind=region&subject=MMS1"))["products"] == {
        "region": {CRAFT: store.latest("region")[CRAFT]}
    }
    assert set((await get(client, f"/api/latest?subject={CHAIN}"))["products"]) == {
        "profile",
        "plasmapause",
        "event",
    }
    assert (await get(client, "/api/latest?kind=nothing"))["products"] == {}


async def events(client: ClientSession, query: str = "") -> list[tuple[str, str, str]]:
    found = await get(client, f"/api/events{query}")
    assert found["next"] is None
    about = [one["properties"] for one in found["events"]]
    return [(one["start_datetime"], one["subject"], one["state"]) for one in about]


NOON, LATER, LAST = (iso_time(T0_NS + number * CADENCE_S * SECOND_NS) for number in (0, 3, 5))


async def test_events_are_chosen_by_time_kind_subject_and_state(client: ClientSession) -> None:
    first, chain = (NOON, "TAR-BRZ", "end"), (NOON, CHAIN, "begin")
    again, second = (LATER, "TAR-BRZ", "begin"), (LATER, "TAR-BRZ", "begin")
    shock = (LAST, CRAFT, "end")
    assert await events(client) == [first, chain, again, second, shock]
    assert await events(client, f"?since={LATER}") == [again, second, shock]
    assert await events(client, f"?until={LATER}") == [first, chain]
    assert await events(client, f"?since=2017-250T12:30Z&until={LAST}") == [again, second]
    assert await events(client, "?kind=bow_shock_crossing") == [shock]
    assert await events(client, f"?subject={CHAIN}") == [chain]
    assert await events(client, "?open=true") == [chain, again, second]
    assert await events(client, "?open=false") == [first, shock]
    assert await events(client, "?open=false&kind=plasmapause_crossing&subject=TAR-BRZ") == [first]
    assert await events(client, "?since=2018Z") == []


@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_pages_of_events_are_all_of_them_once(client: ClientSession, limit: int) -> None:
    whole = (await get(client, "/api/events"))["events"]
    found: list[Any] = []
    after = ""
    while True:
        page = await get(client, f"/api/events?limit={limit}{after}")
        assert len(page["events"]) <= limit
        found += page["events"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == whole


async def test_many_events_are_looked_through_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that few fit costs no more than one that all fit: the answer says where to go on."""
    monkeypatch.setattr(api, "_LOOKED_AT", 200)
    made = [event(number, subject=f"P{number % 7}") for number in range(250)]
    with stored(tmp_path / "many.sqlite", [*made, event(300, subject="LAST-ONE")]) as store:
        async with offering(store.path) as server, ClientSession(server.url) as client:
            page = await get(client, "/api/events?subject=LAST-ONE")
            assert page["events"] == []
            assert page["next"] is not None
            page = await get(client, f"/api/events?subject=LAST-ONE&after={page['next']}")
            assert [one["properties"]["subject"] for one in page["events"]] == ["LAST-ONE"]
            assert page["next"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/latest?x=1",
        "/api/latest?kind=flr&kind=flr",
        "/api/latest?kind=",
        "/api/latest?kind=a%20b",
        "/api/latest?subject=<script>",
        "/api/latest?subject=" + "A" * 65,
        "/api/events?since=yesterday",
        "/api/events?until=2017-13",
        "/api/events?open=maybe",
        "/api/events?limit=0",
        "/api/events?limit=1001",
        "/api/events?limit=-1",
        "/api/events?limit=%D9%A1",
        "/api/events?limit=99999999999999999999",
        "/api/events?after=5",
        "/api/events?after=99999999999999999999:0:a",
        "/api/events?after=9223372036854775808:0:a",
        "/api/openapi.json?x=1",
    ],
)
async def test_bad_question_is_400_in_the_one_form(client: ClientSession, path: str) -> None:
    found = await get(client, path, 400)
    assert set(found) == {"status", "error"}
    assert found["status"] == 400
    assert not any(word in found["error"] for word in ("script", "yesterday", "maybe", "AAAA"))


class TestDescription:
    def test_is_openapi_3_1_of_this_version(self) -> None:
        document = description()
        assert document["openapi"] == "3.1.0"
        assert document["info"]["version"] == __version__
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)

    async def test_has_every_path_of_the_api_and_no_other(self, client: ClientSession) -> None:
        async with client.get("/") as response:
            listed = (await response.text()).split()[1:]
        ours = {path for path in listed if path.startswith(("/api/", "/events/"))}
        assert set(description()["paths"]) == ours

    @pytest.mark.parametrize(
        "path",
        [
            "/api/status",
            "/api/latest",
            "/api/events",
            "/api/events?limit=2",
            "/events/{id}",
            "/api/models/flr",
            "/api/models/region",
            "/api/openapi.json",
            f"/api/samples/TAR?start={NOON}&stop={LATER}",
        ],
    )
    async def test_answers_are_as_they_are_described(
        self, client: ClientSession, store: Store, path: str
    ) -> None:
        known = next(iter(store.latest("event").values()))["id"]
        async with client.get(path.replace("{id}", known)) as response:
            assert response.status == 200
            answer = await response.json(content_type=None)
            media = response.content_type
        document = description()
        named = path.partition("?")[0].replace("TAR", "{source}")
        named = re.sub(r"models/\w+", "models/{kind}", named)
        described = document["paths"][named]["get"]["responses"]["200"]["content"]
        assert set(described) == {media}
        schema = described[media]["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(answer)

    async def test_errors_are_as_they_are_described(self, client: ClientSession) -> None:
        schema = description()["components"]["schemas"]["Error"]
        for path, code in (("/api/latest?x=1", 400), ("/events/0", 404), ("/api/nothing", 404)):
            Draft202012Validator(schema).validate(await get(client, path, code))
        async with client.post("/api/status") as response:
            assert response.status == 405
            Draft202012Validator(schema).validate(await response.json())


def test_schemathesis_finds_nothing(store: Store, tmp_path: Path) -> None:
    """No 5xx, no undescribed answer, whatever is asked within and beyond the description; but for the endless stream."""
    page = status(store)
    with offering_in_thread(store.path, status=lambda: page, event_of=store.event) as url:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/openapi.json"),
                *(
                    "--exclude-path",
                    "/api/stream",
                    "--max-examples",
                    "8",
                    "--seed",
                    "1",
                    "--phases",
                    "examples,coverage,fuzzing",
                ),
                *(
                    "--generation-database",
                    "none",
                    "--report-dir",
                    tmp_path,
                    "--no-color",
                    "--request-timeout",
                    "30",
                ),
                *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
                *("--checks", "response_schema_conformance,negative_data_rejection,unsupported_method"),
            ],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases is not None, done.stdout
    assert int(cases[1]) == int(cases[2]) > 100
