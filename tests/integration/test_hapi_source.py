"""The source `hapi` against a real server over loopback, with a feed that records what it is given."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from hapi_source_kit import FILL, HapiServer, ServedDataset, ServedParameter, ground_dataset
from monitor_plugins.fetching import Fetcher, FetchError, Manners, Stamp
from monitor_plugins.hapi import Hapi
from monitor_plugins.hapi.dataset import Server
from monitor_plugins.hapi.options import FeedOptions, HapiOptions
from monitor_plugins.hapi.protocol import read_binary, read_csv, read_info
from monitor_plugins.hapi.samples import plan_of
from tls_kit import Authority

from monitor.plugins import Surroundings
from monitor.testing import RecordingFeed, check_source
from monitor.types import CELL_NS, SECOND_NS, Domain, SampleBlock

T0_NS = 1_504_771_200 * SECOND_NS
NUR = {"station": "NUR", "dataset": "NUR/1s"}
SURROUNDINGS = Surroundings("hapi", stations=("NUR", "TAR"), craft=("MMS1",))
NAN = float("nan")


def station(minutes: int = 60, *, begin_ns: int = T0_NS, **options: Any) -> ServedDataset:
    """A ramp every second: each value tells its time."""
    count = minutes * 60
    values = np.stack([20_000.0 + 0.25 * np.arange(count), 500.0 - 0.125 * np.arange(count)])
    return ground_dataset([SampleBlock("X", ("X", "Y"), begin_ns, SECOND_NS, values)], "X", **options)


def source(server: HapiServer, *feeds: dict[str, Any], **options: Any) -> Hapi:
    given: dict[str, Any] = {
        "poll_s": 0.1, "requests_per_minute": 6000.0, "look_back_s": 86_400.0, "gap_retry_s": 0.1, "gap_attempts": 0
    }  # fmt: skip
    chosen = [FeedOptions(**one) for one in feeds or (NUR,)]
    return Hapi(HapiOptions(url=server.url, feeds=chosen, **(given | options)), SURROUNDINGS)


async def brought(
    plugin: Hapi, enough: Callable[[], bool], feed: RecordingFeed | None = None, timeout_s: float = 30.0
) -> RecordingFeed:
    """Run until there is enough."""
    feed = feed or RecordingFeed()
    task = asyncio.create_task(plugin.run(feed))
    try:
        async with asyncio.timeout(timeout_s):
            while not enough():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return feed


def values_of(feed: RecordingFeed, name: str, component: str) -> dict[int, float]:
    """The last value of each time."""
    found: dict[int, float] = {}
    for block in feed.items:
        assert isinstance(block, SampleBlock)
        if block.source == name and component in block.components:
            times = block.t0_ns + np.arange(block.count) * block.step_ns
            found |= dict(
                zip(times.tolist(), block.values[block.components.index(component)].tolist(), strict=True)
            )
    return found


def newest(feed: RecordingFeed, name: str = "NUR") -> int:
    return feed.newest_ns(name) or 0


@pytest.mark.parametrize(
    ("version", "form", "by_day_of_year"),
    [("3.2", "csv", False), ("3.2", "binary", True), ("2.1", "csv", True), ("2.1", "binary", False)],
)
async def test_hapi_brings_the_numbers_of_the_server(version: str, form: str, by_day_of_year: bool) -> None:
    served = station(90, by_day_of_year=by_day_of_year)
    async with HapiServer({"NUR/1s": served}, version).running() as server:
        feed = RecordingFeed()
        await brought(source(server, format=form), lambda: newest(feed) >= T0_NS + 5400 * SECOND_NS, feed)
        assert {query["format"] for query in server.data_requests()} == {form}
    for component, parameter in (("X", served.parameters[0]), ("Y", served.parameters[1])):
        assert values_of(feed, "NUR", component) == dict(
            zip(served.times_ns.tolist(), parameter.values.tolist(), strict=True)
        )
    assert all(
        isinstance(one, SampleBlock) and one.end_ns - one.t0_ns <= 60 * SECOND_NS for one in feed.items
    )


async def test_hapi_passes_the_checks_of_a_source() -> None:
    server = HapiServer({"NUR/1s": station(20), "TAR": station(20)})
    async with server.running():
        feeds = (NUR, {"station": "TAR", "dataset": "TAR"})

        def enough(feed: RecordingFeed) -> bool:
            return min(newest(feed), newest(feed, "TAR")) >= T0_NS + 1200 * SECOND_NS

        await check_source(
            lambda: source(server, *feeds, request_s=300.0), enough=enough, steps=(0, 3, 21, 144)
        )


async def test_hapi_keeps_the_stations_side_by_side() -> None:
    async with HapiServer({"NUR/1s": station(180), "TAR": station(180)}).running() as server:
        feed = RecordingFeed()
        plugin = source(server, NUR, {"station": "TAR", "dataset": "TAR"})
        end_ns = T0_NS + 10_800 * SECOND_NS
        await brought(plugin, lambda: min(newest(feed), newest(feed, "TAR")) >= end_ns, feed)
    clocks = {"NUR": T0_NS, "TAR": T0_NS}
    for block in feed.items:
        assert isinstance(block, SampleBlock)
        clocks[block.source] = block.end_ns
        assert abs(clocks["NUR"] - clocks["TAR"]) <= 60 * SECOND_NS


async def test_hapi_goes_on_where_an_earlier_run_ended_and_asks_no_more_than_that() -> None:
    served = station(120, until_ns=T0_NS + 3600 * SECOND_NS)
    async with HapiServer({"NUR/1s": served}).running() as server:
        feed = RecordingFeed()
        await brought(source(server), lambda: newest(feed) >= T0_NS + 3600 * SECOND_NS, feed)
        served.until_ns = None
        server.requests.clear()
        again = RecordingFeed(feed)
        await brought(source(server), lambda: newest(again) >= T0_NS + 7200 * SECOND_NS, again)
        assert server.data_requests()[0]["start"] == "2017-09-07T09:00:00Z"
    assert len(values_of(again, "NUR", "X")) == 7200


async def test_hapi_asks_for_no_data_where_the_server_says_that_nothing_has_changed() -> None:
    served = station(10, extra={"modificationDate": "2017-09-08T00:00:00Z"})
    async with HapiServer({"NUR/1s": served}).running() as server:
        rounds = lambda: sum(endpoint == "info" for endpoint, _ in server.requests)  # noqa: E731
        await brought(source(server), lambda: rounds() >= 5)
        assert len(server.data_requests()) == 1


async def test_hapi_asks_whether_a_dataset_has_changed_and_is_told_no() -> None:
    served = station(20, until_ns=T0_NS + 600 * SECOND_NS)
    server = HapiServer({"NUR/1s": served})
    unchanged = 0

    async def tagged(request: web.Request) -> web.Response | None:
        nonlocal unchanged
        if not request.path.endswith("/info"):
            return None
        tag = f'"{served.until_ns}"'
        if request.headers.get("If-None-Match") == tag:
            unchanged += 1
            return web.Response(status=304, headers={"ETag": tag})
        return web.json_response({"HAPI": "3.2", **served.info()}, headers={"ETag": tag})

    server.fault = tagged
    async with server.running():
        feed = RecordingFeed()

        def grown() -> bool:
            if unchanged >= 3:
                served.until_ns = T0_NS + 1200 * SECOND_NS
            return newest(feed) >= T0_NS + 1200 * SECOND_NS

        await brought(source(server), grown, feed)
    assert unchanged >= 3
    assert len(values_of(feed, "NUR", "X")) == 1200


async def test_hapi_takes_fills_and_units_and_leaves_gaps_as_gaps() -> None:
    served = station(2)
    tesla = served.parameters[0].values * 1e-9
    tesla[10] = NAN
    served.parameters[0] = ServedParameter("X", tesla, units="T")
    served.parameters[1].values[20] = 99_999.0
    served.hidden.append((T0_NS + 30 * SECOND_NS, T0_NS + 40 * SECOND_NS))
    async with HapiServer({"NUR/1s": served}).running() as server:
        feed = RecordingFeed()
        await brought(source(server), lambda: newest(feed) >= T0_NS + 120 * SECOND_NS, feed)
    x, y = values_of(feed, "NUR", "X"), values_of(feed, "NUR", "Y")
    at = [T0_NS + second * SECOND_NS for second in range(120)]
    assert np.isnan(x[at[10]])
    assert x[at[11]] == pytest.approx(20_002.75)
    assert np.isnan(y[at[20]])
    assert all(np.isnan(x.get(time, NAN)) for time in at[30:40])


# -- spacecraft -------------------------------------------------------------------------------------------


def field_and_plasma(minutes: int = 20) -> tuple[ServedDataset, ServedDataset]:
    """MMS as CDAWeb has it: the field 16 times a second, the plasma every 4.5 s with the begin of its interval."""
    fast = T0_NS + (np.arange(minutes * 60 * 16) * SECOND_NS) // 16
    seconds = (fast - T0_NS) / SECOND_NS
    b = np.stack([3 + np.sin(seconds / 50), -2 + 0 * seconds, 1 + np.cos(seconds / 70)], axis=1)
    b = np.column_stack([b, np.linalg.norm(b, axis=1)])
    fgm = ServedDataset(fast, [ServedParameter("mms1_fgm_b_gse_srvy_l2_clean", b)], cadence="PT0.0625S")
    slow = T0_NS + 1_300_000_000 + np.arange(minutes * 60 * 2 // 9) * CELL_NS
    t = (slow - T0_NS) / SECOND_NS
    velocity = np.stack([-400 + t / 100, 10 + 0 * t, 5 + 0 * t], axis=1)
    fpi = ServedDataset(
        slow,
        [
            ServedParameter("mms1_dis_numberdensity_fast", 5 + np.sin(t / 90), units="cm^-3"),
            ServedParameter("mms1_dis_bulkv_gse_fast", velocity, units="km/s"),
            ServedParameter("mms1_dis_temppara_fast", 20 + t / 1000, units="eV"),
            ServedParameter("mms1_dis_tempperp_fast", 25 + t / 1000, units="eV"),
        ],
        cadence="PT4.5S",
    )
    return fgm, fpi


CRAFT = ({"craft": "MMS1", "mapping": "mms_fgm"}, {"craft": "MMS1", "mapping": "mms_fpi"})
MMS = ("MMS1_FGM_SRVY_L2@0", "MMS1_FPI_FAST_L2_DIS-MOMS")


async def test_hapi_brings_a_spacecraft_to_the_grid_whatever_the_stretches() -> None:
    fgm, fpi = field_and_plasma()
    # Late in their cells, and each third one missing: its cell is covered by the sample before it, also where a request ends.
    fpi.times_ns = fpi.times_ns + 750_000_000
    fpi.hidden = [(at, at + 1) for at in fpi.times_ns[::3].tolist()]
    end_ns = T0_NS + 1150 * SECOND_NS
    found = []
    async with HapiServer(dict(zip(MMS, (fgm, fpi), strict=True))).running() as server:
        for request_s in (61.0, 3600.0):
            feed = RecordingFeed()
            plugin = source(server, *CRAFT, request_s=request_s)
            done = lambda feed=feed: {"Bx", "N"} <= {  # noqa: E731
                name for one in feed.items if isinstance(one, SampleBlock) and one.end_ns >= end_ns for name in one.components
            }  # fmt: skip
            await brought(plugin, done, feed)
            found.append(feed)
    names = ("Bx", "B", "N", "Vx", "V", "Tpar", "T")
    for name in names:
        short, long = ({t: v for t, v in values_of(one, "MMS1", name).items() if t < end_ns} for one in found)
        assert short.keys() == long.keys()
        assert len(short) >= 250
        np.testing.assert_array_equal(list(short.values()), list(long.values()), err_msg=name)
        assert not np.isnan(list(short.values())[2:]).any()
    blocks = [one for one in found[0].items if isinstance(one, SampleBlock)]
    assert {(one.domain, one.step_ns, one.t0_ns % CELL_NS, one.frame) for one in blocks} == {
        (Domain.CRAFT, CELL_NS, 0, "gse")
    }
    # A cell is the mean of what was measured in it.
    cell = T0_NS // CELL_NS * CELL_NS + 20 * CELL_NS
    inside = (fgm.times_ns >= cell) & (fgm.times_ns < cell + CELL_NS)
    assert values_of(found[1], "MMS1", "Bx")[cell] == pytest.approx(
        fgm.parameters[0].values[inside, 0].mean()
    )


async def test_hapi_brings_the_field_when_the_plasma_has_come_and_nothing_else_has_changed() -> None:
    fgm, fpi = field_and_plasma()
    fgm.extra = fpi.extra = {"modificationDate": "2017-09-08T00:00:00Z"}
    fpi.until_ns = T0_NS + 300 * SECOND_NS
    async with HapiServer(dict(zip(MMS, (fgm, fpi), strict=True))).running() as server:
        feed = RecordingFeed()

        async def come(_request: web.Request) -> None:
            if len(server.requests) > 20:
                assert max(values_of(feed, "MMS1", "Bx")) <= T0_NS + 300 * SECOND_NS
                fpi.until_ns = None

        server.fault = come
        end_ns = T0_NS + 1150 * SECOND_NS
        done = lambda: max(values_of(feed, "MMS1", "Bx"), default=0) >= end_ns  # noqa: E731
        await brought(source(server, *CRAFT, wait_s=3600.0), done, feed)
        assert max(values_of(feed, "MMS1", "N")) >= end_ns


async def test_hapi_tells_the_last_cells_once_and_again_when_more_comes_to_them() -> None:
    fgm, _ = field_and_plasma(4)
    half_ns = T0_NS + 100 * SECOND_NS
    fgm.until_ns = half_ns
    async with HapiServer({MMS[0]: fgm}).running() as server:
        feed = RecordingFeed()
        last_cell_ns = (half_ns - 1) // CELL_NS * CELL_NS
        rounds = len(server.requests)
        told = lambda: last_cell_ns in values_of(feed, "MMS1", "Bx") and len(server.requests) > rounds + 12  # noqa: E731
        await brought(source(server, CRAFT[0]), told, feed)
        blocks = [one for one in feed.items if isinstance(one, SampleBlock)]
        assert sum(one.t0_ns <= last_cell_ns < one.end_ns for one in blocks) == 1
        fgm.until_ns = None
        again = RecordingFeed(feed)
        await brought(
            source(server, CRAFT[0]), lambda: newest(again, "MMS1") >= T0_NS + 220 * SECOND_NS, again
        )
    inside = (fgm.times_ns >= last_cell_ns) & (fgm.times_ns < last_cell_ns + CELL_NS)
    whole = fgm.parameters[0].values[inside, 0].mean()
    assert values_of(again, "MMS1", "Bx")[last_cell_ns] == pytest.approx(whole)
    assert values_of(feed, "MMS1", "Bx")[last_cell_ns] != pytest.approx(whole)


async def test_hapi_holds_the_field_back_for_the_plasma_and_not_for_ever() -> None:
    fgm, fpi = field_and_plasma()
    fpi.until_ns = T0_NS + 300 * SECOND_NS
    async with HapiServer(dict(zip(MMS, (fgm, fpi), strict=True))).running() as server:
        reached = {}
        for wait_s in (3600.0, 600.0):
            feed = RecordingFeed()
            rounds = len(server.requests)
            plugin = source(server, *CRAFT, wait_s=wait_s)
            await brought(plugin, lambda rounds=rounds: len(server.requests) > rounds + 14, feed)  # type: ignore[misc]
            reached[wait_s] = (max(values_of(feed, "MMS1", "Bx")) - T0_NS) / SECOND_NS
    assert 270 <= reached[3600.0] <= 300
    assert 570 <= reached[600.0] <= 600


# -- what is missing --------------------------------------------------------------------------------------


async def test_hapi_fills_the_gap_that_its_server_had() -> None:
    hole = (T0_NS + 1200 * SECOND_NS, T0_NS + 1800 * SECOND_NS)
    served = station(60, hidden=[hole])
    async with HapiServer({"NUR/1s": served}).running() as server:
        feed = RecordingFeed()
        plugin = source(server, gap_attempts=50)

        async def appear(_request: web.Request) -> None:
            if len(server.data_requests()) > 3:
                served.hidden.clear()

        server.fault = appear
        await brought(plugin, lambda: len(values_of(feed, "NUR", "X")) == 3600, feed)
    late = [one for one in feed.deliveries[1:] for one in one if isinstance(one, SampleBlock) and one.count]
    assert min(one.t0_ns for one in late) >= hole[0]
    assert max(one.end_ns for one in late) <= hole[1]


@pytest.mark.parametrize("form", [("X", "Y"), ("H", "E")])
async def test_hapi_fills_what_another_feed_left_out_and_brings_nothing_else(form: tuple[str, ...]) -> None:
    served = station(60)
    mqtt = RecordingFeed()
    live = np.stack([one.values for one in served.parameters])
    await mqtt.take([SampleBlock("NUR", form, T0_NS, SECOND_NS, live[:, :600])])
    await mqtt.take([SampleBlock("NUR", form, T0_NS + 2400 * SECOND_NS, SECOND_NS, live[:, 2400:])])
    feed = RecordingFeed(mqtt)
    async with HapiServer({"NUR/1s": served}).running() as server:
        plugin = source(server, {**NUR, "role": "backfill"}, gap_attempts=3)
        hole = set(served.times_ns[600:2400].tolist())
        await brought(plugin, lambda: hole <= values_of(feed, "NUR", "X").keys(), feed)
    brought_blocks = [one for part in feed.deliveries for one in part if isinstance(one, SampleBlock)]
    assert min(one.t0_ns for one in brought_blocks) == T0_NS + 600 * SECOND_NS
    assert max(one.end_ns for one in brought_blocks) == T0_NS + 2400 * SECOND_NS


async def test_hapi_takes_what_was_before_its_first_sample_for_no_gap() -> None:
    async with HapiServer({"NUR/1s": station(120)}).running() as server:
        feed = RecordingFeed()
        rounds = lambda: sum(endpoint == "info" for endpoint, _ in server.requests)  # noqa: E731
        await brought(source(server, gap_attempts=3, look_back_s=1800.0), lambda: rounds() >= 4, feed)
        assert min(query["start"] for query in server.data_requests()) >= "2017-09-07T09:30"
    assert min(values_of(feed, "NUR", "X")) >= T0_NS + 5400 * SECOND_NS


async def test_hapi_asks_for_a_gap_a_few_times_and_remembers_it_over_a_restart() -> None:
    served = station(60, hidden=[(T0_NS + 1200 * SECOND_NS, T0_NS + 1800 * SECOND_NS)])
    async with HapiServer({"NUR/1s": served}).running() as server:
        feed = RecordingFeed()

        def asked() -> int:
            return sum(query["start"] == "2017-09-07T08:20:00Z" for query in server.data_requests())

        def remembered() -> int:
            noted = feed.position["asked"] if feed.position else {}
            return sum(attempts for gaps in noted.values() for _, _, attempts, _ in gaps)

        await brought(source(server, gap_attempts=3, gap_retry_s=0.1), lambda: remembered() == 2, feed)
        rounds = lambda: sum(endpoint == "info" for endpoint, _ in server.requests)  # noqa: E731
        begun = rounds()
        again = RecordingFeed(feed)
        await brought(source(server, gap_attempts=3, gap_retry_s=0.1), lambda: rounds() >= begun + 12, again)
        # At most the one that was under way when the first run ended is asked for twice.
        assert remembered() + asked() <= 6
        assert asked() in (3, 4)


# -- servers that misbehave -------------------------------------------------------------------------------


def saying(status: int, text: str | bytes, **headers: str) -> Callable[[web.Request], Any]:
    async def fault(request: web.Request) -> web.Response | None:
        if not request.path.endswith("/data") or "NUR" not in request.query_string:
            return None
        body = text.encode() if isinstance(text, str) else text
        return web.Response(status=status, body=body, headers=headers)

    return fault


async def endless(request: web.Request) -> web.StreamResponse | None:
    if not request.path.endswith("/data") or "NUR" not in request.query_string:
        return None
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"2017-09-07T08:00:00Z,1.0,2.0\n" * 1000)


GOOD = "2017-09-07T08:00:0{0}Z,2000{0}.0,1.0\n"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (saying(200, "<html><body>down for maintenance</body></html>"), "sends no CSV"),
        (saying(200, "nonsense\n" * 9), "cannot be used"),
        (saying(400, '{"HAPI":"3.2","status":{"code":1407,"message":"no such parameter"}}'), "says 1407"),
        (saying(403, "no"), "answers 403"),
        (saying(500, "oh"), "answers 500"),
        (saying(302, "", Location="file:///etc/passwd"), "redirects"),
        (saying(302, "", Location="/hapi/data?dataset=NUR"), "redirects more than"),
        (endless, "sends more than"),
    ],
)
async def test_hapi_names_a_dataset_that_cannot_be_read_and_goes_on_with_the_others(
    fault: Any, says: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor_plugins.fetching.FIRST_WAIT_S", 0.01)
    server = HapiServer({"NUR/1s": station(10), "TAR": station(10)})
    server.fault = fault
    async with server.running():
        feed = RecordingFeed()
        plugin = source(server, NUR, {"station": "TAR", "dataset": "TAR"}, maximum_bytes=1 << 20)
        end_ns = T0_NS + 600 * SECOND_NS
        await brought(plugin, lambda: newest(feed, "TAR") >= end_ns and says in caplog.text, feed)
        assert newest(feed) == 0
        assert f"{server.url} NUR/1s" in caplog.text
        server.fault = None
        again = RecordingFeed(feed)
        await brought(source(server, NUR), lambda: newest(again) >= end_ns, again)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (GOOD.format(1) + GOOD.format(2) + GOOD.format(3) + "2017-09-07T08:00:04Z,2", {1, 2, 3}),
        (GOOD.format(2) + GOOD.format(1) + GOOD.format(2) + GOOD.format(3), {1, 2, 3}),
        (GOOD.format(1) + "2017-09-07T08:00:02Z,1.0\n" + GOOD.format(3) + GOOD.format(4), {1, 3, 4}),
        (GOOD.format(1) + "2017-13-07T08:00:02Z,1.0,1.0\n" + GOOD.format(3) + GOOD.format(4), {1, 3, 4}),
        (GOOD.format(1) + "2031-09-07T08:00:02Z,1.0,1.0\n" + GOOD.format(3) + GOOD.format(4), {1, 3, 4}),
        (GOOD.format(1) + GOOD.format(2).replace("20002.0", "NaN") + GOOD.format(3) + GOOD.format(4), {1, 3, 4}),
        (GOOD.format(1) + GOOD.format(2).replace("20002.0", "1e400") + GOOD.format(3) + GOOD.format(4), {1, 3, 4}),
        (GOOD.format(1) + GOOD.format(2).replace("20002.0", "5e9") + GOOD.format(3) + GOOD.format(4), {1, 3, 4}),
    ],
    ids=["cut", "out of order", "short line", "no day", "not asked for", "NaN", "infinite", "beyond what is real"],
)  # fmt: skip
async def test_hapi_takes_what_can_be_used_of_an_answer(text: str, kept: set[int]) -> None:
    server = HapiServer({"NUR/1s": station(10)})
    server.fault = saying(200, text)
    async with server.running():
        feed = RecordingFeed()
        await brought(source(server), lambda: bool(feed.items), feed)
    found = {
        (time - T0_NS) // SECOND_NS for time, value in values_of(feed, "NUR", "X").items() if value == value
    }
    assert found == kept


async def cut_off(request: web.Request) -> web.StreamResponse | None:
    """An answer that ends before its length."""
    if not request.path.endswith("/data"):
        return None
    response = web.StreamResponse(headers={"Content-Length": "5000"})
    await response.prepare(request)
    await response.write(GOOD.format(1).encode())
    assert request.transport is not None
    request.transport.close()
    return response


async def test_hapi_takes_nothing_of_an_answer_that_is_cut_off(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor_plugins.fetching.FIRST_WAIT_S", 0.01)
    server = HapiServer({"NUR/1s": station(10)})
    server.fault = cut_off
    async with server.running():
        feed = RecordingFeed()
        await brought(source(server), lambda: "cannot be reached" in caplog.text, feed)
    assert feed.items == []
    # As often as it may be tried in one round.
    assert len(server.data_requests()) == 3


NO_DATA = '{"HAPI":"3.2","status":{"code":1201,"message":"OK - no data for the interval"}}'


@pytest.mark.parametrize(
    "answer", [(200, ""), (200, NO_DATA), (404, NO_DATA)], ids=["empty", "said", "said as 404"]
)
async def test_hapi_takes_no_data_for_no_error(
    answer: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    """All three are how servers in use say it."""
    server = HapiServer({"NUR/1s": station(60)})

    async def nothing_before_half(request: web.Request) -> web.Response | None:
        if request.query.get("start", "~") < "2017-09-07T08:30":
            return web.Response(status=answer[0], text=answer[1])
        return None

    server.fault = nothing_before_half
    async with server.running():
        feed = RecordingFeed()
        plugin = source(server, request_s=600.0)
        await brought(plugin, lambda: newest(feed) >= T0_NS + 3600 * SECOND_NS, feed)
        begun = [query["start"] for query in server.data_requests()]
    assert min(values_of(feed, "NUR", "X")) == T0_NS + 1800 * SECOND_NS
    # Where there is nothing, stretches grow: 10, 20 and 40 minutes.
    assert begun[:3] == ["2017-09-07T08:00:00Z", "2017-09-07T08:10:00Z", "2017-09-07T08:30:00Z"]
    assert "answers" not in caplog.text


async def test_hapi_says_once_what_it_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    server = HapiServer({"NUR/1s": station(10)})
    lines = [GOOD.format(at) for at in range(10)]

    async def growing(request: web.Request) -> web.Response | None:
        if request.path.endswith("/data"):
            return web.Response(
                text="".join(lines) + "2017-09-07T08:00:03Z,1.0\n" * (1 + len(server.requests) % 3)
            )
        return None

    server.fault = growing
    async with server.running():
        await brought(source(server), lambda: len(server.data_requests()) >= 5)
    assert caplog.text.count("cannot be used") == 1
    assert "answers again" not in caplog.text


async def test_hapi_leaves_out_a_stretch_that_is_never_readable() -> None:
    bad = "2017-09-07T08:10:00Z"

    async def fault(request: web.Request) -> web.Response | None:
        if request.query.get("start") == bad:
            return web.Response(text="<html>")
        return None

    server = HapiServer({"NUR/1s": station(30)})
    server.fault = fault
    async with server.running():
        feed = RecordingFeed()
        plugin = source(server, request_s=600.0)
        await brought(plugin, lambda: newest(feed) >= T0_NS + 1800 * SECOND_NS, feed)
        assert sum(query["start"] == bad for query in server.data_requests()) == 5
    found = {(time - T0_NS) // SECOND_NS for time in values_of(feed, "NUR", "X")}
    assert found == {*range(600), *range(1200, 1800)}


async def test_hapi_stays_within_the_dataset_where_the_server_is_strict() -> None:
    """The specification has a status for times outside of a dataset, and servers that use it."""

    async def fault(request: web.Request) -> web.Response | None:
        query, info = request.query, server.datasets[MMS[0]].info()
        if "start" in query:
            start, stop = (np.datetime64(query[name][:-1], "ns") for name in ("start", "stop"))
            first, last = (np.datetime64(info[name][:-1], "ns") for name in ("startDate", "stopDate"))
            if start < first or stop > last:
                return server.refusal(1405)
        return None

    fgm, _ = field_and_plasma(5)
    server = HapiServer({MMS[0]: fgm})
    server.fault = fault
    async with server.running():
        feed = RecordingFeed()
        end_ns = T0_NS + 280 * SECOND_NS
        await brought(source(server, CRAFT[0]), lambda: newest(feed, "MMS1") >= end_ns, feed)
    assert min(values_of(feed, "MMS1", "Bx")) == T0_NS


async def test_hapi_asks_for_less_where_the_server_says_too_much() -> None:
    async def fault(request: web.Request) -> web.Response | None:
        query = request.query
        if "start" in query and np.datetime64(query["stop"][:-1]) - np.datetime64(query["start"][:-1]) > 600:
            return server.refusal(1408)
        return None

    server = HapiServer({"NUR/1s": station(60)})
    server.fault = fault
    async with server.running():
        feed = RecordingFeed()
        await brought(source(server), lambda: newest(feed) >= T0_NS + 3600 * SECOND_NS, feed)


async def test_hapi_waits_as_long_as_the_server_asks() -> None:
    asked: list[float] = []

    async def fault(request: web.Request) -> web.Response | None:
        if request.path.endswith("/data"):
            asked.append(asyncio.get_running_loop().time())
            if len(asked) == 1:
                return web.Response(status=429, headers={"Retry-After": "1"})
        return None

    server = HapiServer({"NUR/1s": station(5)})
    server.fault = fault
    async with server.running():
        feed = RecordingFeed()
        await brought(source(server), lambda: newest(feed) > 0, feed)
    assert asked[1] - asked[0] >= 1.0


async def test_hapi_asks_less_and_less_often_while_nobody_answers() -> None:
    asked: list[float] = []

    async def fault(_request: web.Request) -> web.Response:
        asked.append(asyncio.get_running_loop().time())
        return web.Response(status=404)

    server = HapiServer({"NUR/1s": station(5)})
    server.fault = fault
    async with server.running():
        await brought(source(server, poll_s=0.1), lambda: len(asked) >= 4)
    pauses = np.diff(asked[:4])
    # A busy machine makes them longer, never shorter.
    assert (pauses >= [0.2, 0.4, 0.8]).all()


async def test_hapi_keeps_the_rate_that_the_operator_allows() -> None:
    async with HapiServer({"NUR/1s": station(5)}).running() as server:
        begun = asyncio.get_running_loop().time()
        await brought(source(server, requests_per_minute=300.0), lambda: len(server.requests) >= 6)
        assert asyncio.get_running_loop().time() - begun >= 1.0


async def test_hapi_gives_its_password_to_its_own_server_alone(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush-hush\n")
    other = HapiServer({"NUR/1s": station(5)})
    own = HapiServer({"NUR/1s": station(5)})

    async def elsewhere(request: web.Request) -> web.Response | None:
        if request.path.endswith("/data"):
            raise web.HTTPFound(f"{other.url}/data?{request.query_string}")
        return None

    own.fault = elsewhere
    async with other.running(), own.running():
        feed = RecordingFeed()
        plugin = source(own, username="me", password_file=str(secret))
        await brought(plugin, lambda: newest(feed) > 0, feed)
    assert all("Authorization" in headers for headers in own.headers)
    assert other.headers
    assert all("Authorization" not in headers for headers in other.headers)
    assert "hush" not in caplog.text


async def test_hapi_trusts_a_certificate_by_its_authority(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("server", "IP:127.0.0.1"))
    async with HapiServer({"NUR/1s": station(5)}).running(tls=context) as server:
        feed = RecordingFeed()
        await brought(source(server), lambda: "name its authority in ca_file" in caplog.text, feed)
        assert not feed.items
        await brought(source(server, ca_file=authority.ca), lambda: newest(feed) > 0, feed)
        async with HapiServer({"NUR/1s": station(5)}).running() as plain:

            async def elsewhere(request: web.Request) -> web.Response | None:
                raise web.HTTPFound(f"{plain.url}/capabilities")

            server.fault = elsewhere
            again = source(server, ca_file=authority.ca)
            await brought(again, lambda: "redirects from https to http" in caplog.text)
            assert plain.requests == []
        with pytest.raises(FetchError, match="cannot be read as certificates"):
            await source(server, ca_file=tmp_path / "nothing").run(feed)


def test_the_kit_serves_what_the_public_client_reads(tmp_path: Any) -> None:
    """hapiclient is the specification's own client: what it reads is what the kit means to serve."""
    from hapiclient import hapi

    served = station(10)
    served.parameters[0].values[3] = NAN
    fgm, _ = field_and_plasma(1)
    for version in ("3.2", "2.1"):
        with HapiServer({"NUR/1s": served, "FGM": fgm}, version).in_thread() as server:
            for form in ("csv", "binary"):
                options = {"usecache": False, "cache": False, "format": form, "cachedir": str(tmp_path)}
                stretch = ("2017-09-07T08:00:00Z", "2017-09-07T08:05:00Z")
                data, meta = hapi(server.url, "NUR/1s", "X,Y", *stretch, **options)
                assert [one["name"] for one in meta["parameters"]] == ["Time", "X", "Y"]
                expected = np.where(
                    np.isnan(served.parameters[0].values[:300]),
                    float(FILL),
                    served.parameters[0].values[:300],
                )
                np.testing.assert_array_equal(data["X"], expected)
                field, _ = hapi(server.url, "FGM", fgm.parameters[0].name, *stretch, **options)
                np.testing.assert_array_equal(field[fgm.parameters[0].name], fgm.parameters[0].values)


async def test_hapi_reads_what_our_own_server_gives_out(tmp_path: Any) -> None:
    """Written by somebody else, on another library: two readings of one specification that agree."""
    from hapi_kit import offering, stored
    from hapiclient import hapi

    name, stretch = "TAR-BRZ/density", ("2017-09-07T00:00:00Z", "2017-09-08T00:00:00Z")
    begin_ns, end_ns = (int(np.datetime64(text[:-1], "ns").astype(np.int64)) for text in stretch)
    found = {}
    with stored(tmp_path / "monitor.sqlite") as store:
        async with offering(store.path) as own:
            url = own.url
            feed = FeedOptions(station="NUR", dataset=name, components={"H": "rho", "E": "mlt"}, units="nT")
            for form in ("csv", "binary"):
                options = HapiOptions(
                    url=f"{url}/hapi", feeds=[feed], format=form, requests_per_minute=6000.0
                )
                async with Fetcher(Manners(6000.0)) as fetcher:
                    server = Server(options, fetcher)
                    await server.learn()
                    body, _ = await server.info(name, Stamp())
                    info = read_info(body or b"", name)
                    plan = plan_of(feed, info, name)
                    data = await server.data(name, [one.name for one in plan.parameters], begin_ns, end_ns)
                    assert server.binary == (form == "binary")
                    found[form] = (
                        read_binary(data, info.parameters[0], plan.parameters, name)
                        if server.binary
                        else read_csv(data, plan.width, name)
                    )
            read, _ = await asyncio.to_thread(
                hapi,
                f"{url}/hapi",
                name,
                "rho,mlt",
                *stretch,
                cache=False,
                usecache=False,
                cachedir=str(tmp_path),
            )
    for records in found.values():
        assert records.refused == 0
        assert [str(np.datetime64(at, "ms")) + "Z" for at in (records.times_ns // 1_000_000).tolist()] == [
            at.decode() for at in read["Time"]
        ]
        np.testing.assert_array_equal(records.values, np.stack([read["rho"], read["mlt"]], axis=1))
    assert len(read) >= 12
