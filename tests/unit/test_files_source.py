"""The source `files`: what appears and changes in a folder, once each, and never what is still being written."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monitor_plugins.files import Files
from monitor_plugins.files.folder import MOST_REMEMBERED, Memory, Read, Version, look, resting

from monitor.errors import PluginError
from monitor.plugins import Surroundings
from monitor.testing import RecordingFeed, check_source
from monitor.types import SECOND_NS, SampleBlock, iso_time

T0_NS = 1_504_771_200 * SECOND_NS
SURROUNDINGS = Surroundings("files", stations=("NUR", "TAR"), craft=("MMS1",))


def rows(begin_s: int, end_s: int, *, scale: float = 1.0) -> str:
    return "".join(f"{iso_time(T0_NS + at * SECOND_NS)},{scale * at}\n" for at in range(begin_s, end_s))


def csv(begin_s: int, end_s: int, **changes: Any) -> str:
    return "time,H\n" + rows(begin_s, end_s, **changes)


def source(folder: Path, **options: Any) -> Files:
    given: dict[str, Any] = {"folder": str(folder), "poll_s": 0.05, "rest_s": 0.1, "gap_attempts": 0}
    return Files(Files.Options.model_validate(given | options), SURROUNDINGS)


async def brought(
    plugin: Files, enough: Callable[[], bool], feed: RecordingFeed | None = None, timeout_s: float = 30.0
) -> RecordingFeed:
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


def blocks(feed: RecordingFeed, first: int = 0) -> list[SampleBlock]:
    return [one for part in feed.deliveries[first:] for one in part if isinstance(one, SampleBlock)]


def values_of(feed: RecordingFeed, name: str) -> dict[int, float]:
    """Value by second, the last one of each."""
    found: dict[int, float] = {}
    for one in feed.items:
        assert isinstance(one, SampleBlock)
        if one.source == name:
            times = (one.t0_ns - T0_NS) // SECOND_NS + np.arange(one.count) * (one.step_ns // SECOND_NS)
            found |= dict(zip(times.tolist(), one.values[0].tolist(), strict=True))
    return found


async def test_files_are_taken_once_and_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "NUR_1.csv").write_text(csv(0, 600))
    (tmp_path / "TAR_1.csv.gz").write_bytes(gzip.compress(csv(0, 600, scale=2.0).encode()))
    feed = RecordingFeed()
    await brought(source(tmp_path), lambda: bool(feed.deliveries), feed)
    assert values_of(feed, "NUR") == {at: float(at) for at in range(600)}
    assert values_of(feed, "TAR") == {at: 2.0 * at for at in range(600)}
    clocks = {"NUR": T0_NS, "TAR": T0_NS}
    for one in blocks(feed):
        clocks[one.source] = one.end_ns
        assert abs(clocks["NUR"] - clocks["TAR"]) <= 60 * SECOND_NS
    again = RecordingFeed(feed)
    (tmp_path / "NUR_2.csv").write_text(csv(600, 610))
    await brought(source(tmp_path), lambda: bool(again.deliveries), again)
    assert [(one.source, one.t0_ns) for one in blocks(again)] == [("NUR", T0_NS + 600 * SECOND_NS)]
    assert sorted(look(tmp_path, "*")) == ["NUR_2.csv", "TAR_1.csv.gz", "day/NUR_1.csv"]


async def test_files_pass_the_checks_of_a_source(tmp_path: Path) -> None:
    (tmp_path / "NUR.csv").write_text(csv(0, 300))
    (tmp_path / "TAR.csv").write_text(csv(0, 300))
    enough = lambda feed: len(values_of(feed, "NUR")) + len(values_of(feed, "TAR")) == 600  # noqa: E731
    await check_source(lambda: source(tmp_path, batch_bytes=1024), enough=enough, steps=(0, 8, 55))


async def test_file_that_grows_brings_its_new_end_and_one_that_changes_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "NUR.csv"
    path.write_text(csv(0, 100))
    feed = RecordingFeed()

    def change() -> bool:
        if len(feed.deliveries) == 1 and path.stat().st_size == len(csv(0, 100)):
            with path.open("a") as file:
                file.write(rows(100, 130))
        if len(feed.deliveries) == 2 and path.read_text() != csv(0, 130, scale=3.0):
            path.write_text(csv(0, 130, scale=3.0))
        return len(feed.deliveries) == 3

    await brought(source(tmp_path), change, feed)
    counts = [sum(one.count for one in part if isinstance(one, SampleBlock)) for part in feed.deliveries]
    assert counts == [100, 30, 130]
    assert values_of(feed, "NUR") == {at: 3.0 * at for at in range(130)}


async def test_file_that_is_touched_or_copied_with_its_old_times_is_looked_at_by_its_content(
    tmp_path: Path,
) -> None:
    path = tmp_path / "NUR.csv"
    path.write_text(csv(0, 100))
    feed = RecordingFeed()

    def touch() -> bool:
        if len(feed.deliveries) == 1 and path.stat().st_mtime > 10:
            os.utime(path, (0, 0))
        if len(feed.deliveries) == 2 and not (tmp_path / "TAR.csv").exists():
            (tmp_path / "TAR.csv").write_text(csv(0, 50))
            os.utime(tmp_path / "TAR.csv", (0, 0))
        return len(feed.deliveries) == 3

    await brought(source(tmp_path), touch, feed)
    assert [{one.source for one in part if isinstance(one, SampleBlock)} for part in feed.deliveries] == [
        {"NUR"}, set(), {"TAR"}
    ]  # fmt: skip


async def test_file_that_cannot_be_read_is_named_once_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "A.csv").write_text("time,H\nyesterday,1\n")
    (tmp_path / "B.cdf").write_bytes(b"\xcd\xf3\x00\x01\x00\x00\xff\xff" + b"\0" * 100)
    (tmp_path / "C.gz").write_bytes(gzip.compress(csv(0, 10).encode())[:40])
    (tmp_path / "D.bin").write_bytes(os.urandom(100) + b"\0")
    (tmp_path / "E_nothing").write_bytes(b"")
    (tmp_path / "NUR.csv").write_text(csv(0, 10))
    (tmp_path / "XYZ.csv").write_text(csv(0, 10))
    (tmp_path / ".NUR_hidden.csv").write_text(csv(10, 20))
    (tmp_path / "NUR_half.csv.part").write_text(csv(20, 30))
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe.csv")
    feed = RecordingFeed()
    begun = time.monotonic()
    await brought(source(tmp_path), lambda: bool(feed.deliveries) and time.monotonic() - begun > 0.8, feed)
    assert values_of(feed, "NUR") == {at: float(at) for at in range(10)}
    assert {one.source for one in blocks(feed)} == {"NUR"}
    for name in ("A.csv", "B.cdf", "C.gz", "D.bin", "E_nothing"):
        assert caplog.text.count(f"{name}:") == 1, name
    again = RecordingFeed(feed)
    (tmp_path / "A.csv").write_text("time,NUR_H\n" + rows(10, 12))
    await brought(source(tmp_path), lambda: bool(again.deliveries), again)
    assert sorted(values_of(again, "NUR")) == list(range(12))


async def test_folder_that_is_not_there_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    feed = RecordingFeed()

    def appear() -> bool:
        if "cannot be looked through" in caplog.text and not folder.exists():
            folder.mkdir()
            (folder / "NUR.csv").write_text(csv(0, 10))
        return bool(feed.deliveries)

    await brought(source(folder), appear, feed)
    assert caplog.text.count("cannot be looked through") == 1


async def test_files_take_names_patterns_and_plugins_of_other_formats(tmp_path: Path) -> None:
    (tmp_path / "logger-7.csv").write_text(csv(0, 10))
    (tmp_path / "logger-7.txt").write_text(csv(10, 20))
    lines = "".join(f"201709070801{at:02d} {at}.0 2.0 3.0 .\n" for at in range(20))
    (tmp_path / "TAR.csv").write_text("TAR 58.26 26.46\nX Y Z\n" + lines)
    feed = RecordingFeed()
    plugin = source(
        tmp_path, pattern="*.csv", codes={"logger-7.*": "nur"}, formats={"column_text": {"components": "XYZ"}}
    )
    await brought(plugin, lambda: bool(feed.deliveries), feed)
    assert sorted(values_of(feed, "NUR")) == list(range(10))
    assert sorted(values_of(feed, "TAR")) == list(range(60, 80))


def test_formats_that_read_no_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="is not installed"):
        source(tmp_path, formats={"no_such_format": {}})
    with pytest.raises(PluginError, match="reads messages and no files"):
        source(tmp_path, formats={"native": {}})


@pytest.mark.parametrize("component", ["H", "F"])
async def test_files_for_backfill_bring_only_what_is_missing(tmp_path: Path, component: str) -> None:
    mqtt = RecordingFeed()
    for begin, end in ((0, 100), (400, 1000)):
        live = np.arange(begin, end, dtype=float)[np.newaxis]
        await mqtt.take([SampleBlock("NUR", (component,), T0_NS + begin * SECOND_NS, SECOND_NS, live)])
    (tmp_path / "NUR.csv").write_text(csv(0, 1000, scale=5.0))
    feed = RecordingFeed(mqtt)
    await brought(source(tmp_path, role="backfill"), lambda: bool(feed.deliveries), feed)
    assert values_of(feed, "NUR") == {at: (5.0 if 100 <= at < 400 else 1.0) * at for at in range(1000)}


async def test_gap_is_filled_from_files_that_were_read_before(tmp_path: Path) -> None:
    """What a file had was refused when it was read, say: its station had not been configured yet."""
    (tmp_path / "NUR.csv").write_text(csv(0, 1000))
    feed = RecordingFeed()
    await brought(source(tmp_path), lambda: bool(feed.deliveries), feed)
    lost = RecordingFeed()
    live = np.arange(0, 1000, dtype=float)[np.newaxis]
    await lost.take([SampleBlock("NUR", ("H",), T0_NS, SECOND_NS, live[:, :300])], feed.position)
    await lost.take([SampleBlock("NUR", ("H",), T0_NS + 700 * SECOND_NS, SECOND_NS, live[:, 700:])])
    again = RecordingFeed(lost)
    await brought(source(tmp_path, gap_attempts=2), lambda: bool(again.deliveries), again)
    brought_again = {(one.t0_ns - T0_NS) // SECOND_NS for one in blocks(again)}
    assert min(brought_again) == 300
    assert values_of(again, "NUR") == {at: float(at) for at in range(1000)}


def test_look_finds_files_and_says_what_rests(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    now = look(tmp_path, "*.csv")
    changed_ns = now["a.csv"].changed_ns
    assert resting(now, {}, changed_ns + 10 * SECOND_NS, 5.0) == set()
    assert resting(now, now, changed_ns + 4 * SECOND_NS, 5.0) == set()
    assert resting(now, now, changed_ns + 6 * SECOND_NS, 5.0) == {"a.csv"}
    # A clock that was set back must not stop it for ever.
    assert resting(now, now, changed_ns - 6 * SECOND_NS, 5.0) == {"a.csv"}
    assert resting(now, {"a.csv": Version(0, changed_ns)}, changed_ns + 6 * SECOND_NS, 5.0) == set()


def test_memory_is_bounded_and_outlives_a_restart() -> None:
    memory = Memory()
    for number in range(MOST_REMEMBERED + 10):
        memory.note(f"{number}.csv", Read(Version(1, 1000 + number), "d", {"NUR": (0, number)}))
    again = Memory()
    again.restore(memory.snapshot())
    assert again.read == memory.read
    assert len(again.read) == MOST_REMEMBERED
    assert not again.is_new("0.csv", Version(1, 1000))
    assert not again.is_new("500.csv", Version(1, 1500))
    assert again.is_new("0.csv", Version(1, 10_000))
    assert again.is_new("500.csv", Version(2, 1500))
    for state in (None, [], {"settled_ns": "x", "files": {}}, {"settled_ns": 1, "files": {"a": 3}}):
        again.restore(state)
        assert again.is_new("500.csv", Version(1, 1500))
