"""The source `fmi_realtime` against a local server with files as FMI writes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from monitor_plugins.fmi_realtime import STEP_NS, FmiError, FmiRealtime, read_rows
from pydantic import ValidationError

from monitor.plugins import Surroundings
from monitor.testing import RecordingFeed, check_source
from monitor.types import SECOND_NS, SampleBlock

MIDNIGHT_NS = 1_504_828_800 * SECOND_NS
"""2017-09-08T00:00:00Z"""
HEAD = "YYYY MM DD HH MM SS     X       Y       Z\n------------------------------------------\n"
SURROUNDINGS = Surroundings("fmi_realtime", stations=("NUR", "TAR"))
NAN = float("nan")


def row(time_ns: int, x: float, y: float, z: float) -> str:
    date, _, of_day = str(np.datetime64(time_ns // SECOND_NS, "s")).partition("T")
    numbers = " ".join(f"{99_999.9 if value != value else value:9.1f}" for value in (x, y, z))
    return f"{date.replace('-', ' ')} {of_day.replace(':', ' ')} {numbers}\n"


class Fmi:
    """Writes each station's file of an hour and of a day anew, as time goes on; time stands where a test sets it."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.values: dict[int, tuple[float, float, float]] = {}
        self.answer: Callable[[web.Request], web.Response] | None = None
        self.asked: list[str] = []
        self.unchanged = 0
        self.url = ""

    def text(self, hours: int) -> str:
        begin_ns = self.now_ns - hours * 3600 * SECOND_NS
        rows = [row(at, *self.value(at)) for at in range(begin_ns, self.now_ns, STEP_NS)]
        return HEAD + "".join(rows)

    def value(self, at: int) -> tuple[float, float, float]:
        number = (at - MIDNIGHT_NS) // STEP_NS
        return self.values.get(at, (14_000.0 + number / 10, 2000.0 - number / 10, 50_000.0))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Fmi]:
        app = web.Application()
        app.router.add_get("/UT/{station}/{file}", self._file)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{port}/UT/{{station}}/{{station}}data_{{hours}}.txt"
            yield self
        finally:
            await runner.cleanup()

    async def _file(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["file"])
        if self.answer is not None and request.match_info["station"] == "NUR":
            return self.answer(request)
        # Every version has a second of its own, as the dates of HTTP know nothing finer.
        modified = formatdate((self.now_ns - MIDNIGHT_NS) / SECOND_NS + len(self.values) + 1e9, usegmt=True)
        if request.headers.get("If-Modified-Since") == modified:
            self.unchanged += 1
            return web.Response(status=304)
        hours = 24 if "_24" in request.match_info["file"] else 1
        return web.Response(text=self.text(hours), headers={"Last-Modified": modified})


def source(server: Fmi, *stations: str) -> FmiRealtime:
    options = {
        "stations": list(stations or ("NUR",)),
        "url": server.url,
        "poll_s": 0.1,
        "requests_per_minute": 6000.0,
    }
    return FmiRealtime(FmiRealtime.Options.model_validate(options), SURROUNDINGS)


async def brought(plugin: FmiRealtime, enough: Callable[[], bool], feed: RecordingFeed) -> None:
    task = asyncio.create_task(plugin.run(feed))
    try:
        async with asyncio.timeout(30):
            while not enough():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def values_of(feed: RecordingFeed, name: str = "NUR") -> dict[int, tuple[float, ...]]:
    found: dict[int, tuple[float, ...]] = {}
    for block in feed.items:
        assert isinstance(block, SampleBlock)
        if block.source == name:
            assert (block.components, block.step_ns) == (("X", "Y", "Z"), STEP_NS)
            times = (block.t0_ns + np.arange(block.count) * block.step_ns).tolist()
            found |= dict(zip(times, map(tuple, block.values.T.tolist()), strict=True))
    return found


async def test_fmi_brings_the_day_first_and_then_only_what_is_new_over_midnight() -> None:
    async with Fmi(MIDNIGHT_NS - 300 * SECOND_NS).running() as server:
        feed = RecordingFeed()

        def grow() -> bool:
            if feed.deliveries and server.now_ns < MIDNIGHT_NS + 300 * SECOND_NS and server.unchanged >= 2:
                server.unchanged = 0
                server.now_ns += 60 * SECOND_NS
            return (feed.newest_ns("NUR") or 0) >= MIDNIGHT_NS + 300 * SECOND_NS

        await brought(source(server), grow, feed)
        begin_ns = MIDNIGHT_NS - 300 * SECOND_NS - 24 * 3600 * SECOND_NS
        assert values_of(feed) == {
            at: pytest.approx(server.value(at)) for at in range(begin_ns, server.now_ns, STEP_NS)
        }
        assert server.asked.count("NURdata_24.txt") == 1
    counts = [sum(one.count for one in part if isinstance(one, SampleBlock)) for part in feed.deliveries]
    assert counts == [8640] + 10 * [6]


async def test_fmi_asks_for_the_day_where_more_than_an_hour_is_missing() -> None:
    async with Fmi(MIDNIGHT_NS).running() as server:
        feed = RecordingFeed()
        await brought(source(server), lambda: bool(feed.deliveries), feed)
        server.asked.clear()
        server.now_ns += 1800 * SECOND_NS
        soon = RecordingFeed(feed)
        await brought(source(server), lambda: bool(soon.deliveries), soon)
        assert "NURdata_24.txt" not in server.asked
        server.now_ns += 3 * 3600 * SECOND_NS
        later = RecordingFeed(soon)
        await brought(source(server), lambda: bool(later.deliveries), later)
        assert "NURdata_24.txt" in server.asked
    assert sorted(values_of(later)) == list(
        range(MIDNIGHT_NS - 24 * 3600 * SECOND_NS, server.now_ns, STEP_NS)
    )


async def test_fmi_brings_corrected_values_again_and_missing_ones_never() -> None:
    async with Fmi(MIDNIGHT_NS).running() as server:
        at = [MIDNIGHT_NS - number * STEP_NS for number in range(1, 6)]
        server.values = {at[1]: (NAN, NAN, NAN), at[2]: (NAN, 1.0, 2.0), at[3]: (88_888.0, 1e9, 3.0)}
        feed = RecordingFeed()

        def correct() -> bool:
            if len(feed.deliveries) == 1:
                server.values |= {
                    at[1]: (1.0, 2.0, 3.0),
                    at[4]: (4.0, 5.0, 6.0),
                    MIDNIGHT_NS: (0.0, 0.0, 0.0),
                }
            return len(feed.deliveries) == 2

        await brought(source(server), correct, feed)
    first, second = feed.deliveries
    begun = {
        one.t0_ns + place * STEP_NS
        for one in first
        if isinstance(one, SampleBlock)
        for place in range(one.count)
    }
    assert at[1] not in begun
    assert np.isnan(values_of(feed)[at[2]][0])
    assert np.isnan(values_of(feed)[at[3]][:2]).all()
    again = {one.t0_ns: one.values.T.tolist() for one in second if isinstance(one, SampleBlock)}
    assert again == {at[1]: [[1.0, 2.0, 3.0]], at[4]: [[4.0, 5.0, 6.0]]}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _request: web.Response(status=404), "answers 404"),
        (lambda _request: web.Response(text="<html>\nmoved\n</html>\n"), "is no file of"),
        (lambda _request: web.Response(text="2017 09 07 xx\n" * 9), "2017 09 07 xx"),
        (lambda _request: web.Response(text=""), "is no file of"),
    ],
)
async def test_fmi_names_a_file_that_cannot_be_read_and_goes_on_with_the_others(
    answer: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Fmi(MIDNIGHT_NS).running() as server:
        server.answer = answer
        feed = RecordingFeed()
        done = lambda: bool(feed.newest_ns("TAR")) and says in caplog.text  # noqa: E731
        await brought(source(server, "NUR", "TAR"), done, feed)
        assert feed.newest_ns("NUR") is None
        assert "UT/NUR/NURdata_01.txt" in caplog.text
        server.answer = None
        again = RecordingFeed(feed)
        await brought(source(server, "NUR", "TAR"), lambda: bool(again.newest_ns("NUR")), again)


async def test_fmi_passes_the_checks_of_a_source() -> None:
    server = Fmi(MIDNIGHT_NS)
    async with server.running():
        enough = lambda feed: len(values_of(feed)) >= 8640  # noqa: E731
        await check_source(lambda: source(server), enough=enough, steps=(0, 5, 34))


def test_rows_leave_out_what_cannot_be_used() -> None:
    at = [MIDNIGHT_NS + number * STEP_NS for number in range(5)]
    text = (
        HEAD
        + row(at[1], 1, 2, 3)
        + row(at[0], 4, 5, 6)
        + row(at[2], 7, 8, NAN)
        + row(at[1], 9, 9, 9)
        + "2017 09 08 00 00 45   1.0 2.0 3.0\n2017 09 31 00 00 00 1 2 3\n"
        + row(at[3], 1, 1, 1)
        + row(at[4], 1, 1, 1)[:30]
    )
    rows = read_rows(text.replace("\n", "\r\n").encode(), "here")
    assert rows.times_ns.tolist() == at[:4]
    np.testing.assert_array_equal(rows.values, np.array([[4, 5, 6], [9, 9, 9], [7, 8, NAN], [1, 1, 1]]).T)
    assert rows.refused == 2
    with pytest.raises(FmiError, match="here: is no file"):
        read_rows(b"\x00\xff\n" * 10, "here")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stations": []}, "at least 1"),
        ({"stations": ["Nurmijarvi"]}, "2 to 8 letters or digits"),
        ({"stations": ["NUR"], "url": "https://example.org/{station}.txt"}, "must be in it"),
        ({"stations": ["NUR"], "url": "file:///{station}{hours}"}, "begins with http"),
        ({"stations": ["NUR"], "url": "https://me:pw@example.org/{station}{hours}"}, "credentials"),
    ],
)
def test_options_of_fmi_that_make_no_sense_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FmiRealtime.Options.model_validate(options)
