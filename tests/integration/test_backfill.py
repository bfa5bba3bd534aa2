"""Three hours are missed, and are there in the end: the products are those of a run that missed nothing.

In the missed hours the plasmapause comes in over the chain: without them nobody would hear of it in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import DaemonProcess, Document, Feeder, Listener, closing, eventually, write_config
from feeds_kit import (
    END_NS,
    HOUR_NS,
    PAIRS,
    SETTINGS,
    STATIONS,
    T0_NS,
    Key,
    Series,
    assert_same,
    measured,
    native,
    offline,
    side_by_side,
    stored,
    wait_until_whole,
)
from hapi_source_kit import HapiServer, ground_dataset
from mqtt_kit import Mosquitto

from monitor.types import SampleBlock, iso_time

pytestmark = pytest.mark.broker

LOST_NS, FOUND_NS = T0_NS + 5 * HOUR_NS, T0_NS + 8 * HOUR_NS
CODES = tuple(code for code, _ in STATIONS)


@pytest.fixture(scope="module")
def feeds() -> dict[str, Series]:
    """What the stations of the chain measure."""
    return {code: measured(code, decimals=3) for code in CODES}


@pytest.fixture(scope="module")
def undisturbed(feeds: Mapping[str, Series]) -> dict[Key, Document]:
    """What a run says that misses nothing."""
    return offline(native(side_by_side(*(one.blocks() for one in feeds.values()))))


def test_storm_is_of_the_missed_hours(undisturbed: Mapping[Key, Document]) -> None:
    starts = [document["start_datetime"] for key, document in undisturbed.items() if key[0] == "event"]
    assert starts
    assert all(iso_time(LOST_NS) < start < iso_time(FOUND_NS) for start in starts)


def served(feeds: Mapping[str, Series], codes: Iterable[str]) -> HapiServer:
    """A server with a dataset a station."""
    return HapiServer({code: ground_dataset(feeds[code].blocks(piece_s=3600), code) for code in codes})


def asking(hapi: HapiServer, codes: Iterable[str], **more: str) -> dict[str, Any]:
    """The source that polls it, impatient enough for a test."""
    return {
        "url": hapi.url,
        "feeds": [{"station": code, "dataset": code, **more} for code in codes],
        "start": iso_time(T0_NS),
        "poll_s": 0.5,
        "requests_per_minute": 1200,
        "gap_retry_s": 0.5,
    }


def write_hour(folder: Path, code: str, blocks: Sequence[SampleBlock]) -> None:
    """An hour of one station, as its archive keeps it."""
    lines = ["time,X,Y,Z"]
    for block in blocks:
        for number, row in enumerate(block.values.T.tolist()):
            lines.append(f"{iso_time(block.t0_ns + number * block.step_ns)},{','.join(map(repr, row))}")
    hour = iso_time(blocks[0].t0_ns)[:13].replace("-", "")
    (folder / f"{code}_{hour}.csv").write_text("\n".join(lines) + "\n")


def test_daemon_that_stood_for_three_hours_catches_up(
    feeds: Mapping[str, Series], undisturbed: Mapping[Key, Document], tmp_path: Path, mosquitto: Mosquitto
) -> None:
    by_hapi, by_file = CODES[:3], CODES[3:]
    folder = tmp_path / "archive"
    folder.mkdir()
    hapi = served(feeds, by_hapi)

    def go_on(begin_ns: int, end_ns: int) -> None:
        """Time passes at the stations."""
        for dataset in hapi.datasets.values():
            dataset.until_ns = end_ns
        for code in by_file:
            for hour_ns in range(begin_ns, end_ns, HOUR_NS):
                write_hour(folder, code, feeds[code].blocks(hour_ns, hour_ns + HOUR_NS))

    go_on(T0_NS, LOST_NS)
    with hapi.in_thread(), closing(Listener(mosquitto.port)) as listener:
        plugins = {
            "hapi": asking(hapi, by_hapi),
            "files": {"folder": str(folder), "poll_s": 0.5, "rest_s": 0.2},
        }
        config = write_config(tmp_path / "away.yaml", mosquitto.url, **SETTINGS, plugins=plugins)
        with DaemonProcess(config) as daemon:
            eventually(lambda: told_up_to(listener, LOST_NS), 60.0, lambda: daemon.log)
            assert daemon.stop() == 0
            go_on(LOST_NS, FOUND_NS)
            daemon.start()
            eventually(lambda: told_up_to(listener, FOUND_NS), 60.0, lambda: daemon.log)
            go_on(FOUND_NS, END_NS)
            wait_until_whole(listener, undisturbed, daemon)
            assert daemon.stop() == 0
    assert_same(stored(daemon.store_path), undisturbed)


def test_lost_messages_are_asked_for_and_their_windows_are_revised(
    feeds: Mapping[str, Series], undisturbed: Mapping[Key, Document], tmp_path: Path, mosquitto: Mosquitto
) -> None:
    hapi = served(feeds, CODES)
    for dataset in hapi.datasets.values():
        # Nobody has asked it so far.
        dataset.hidden = [(T0_NS, END_NS)]
    with hapi.in_thread(), closing(Listener(mosquitto.port)) as listener:
        plugins = {"hapi": asking(hapi, CODES, role="backfill")}
        config = write_config(tmp_path / "lost.yaml", mosquitto.url, **SETTINGS, plugins=plugins)
        with DaemonProcess(config) as daemon:
            with closing(Feeder(mosquitto.port)) as feeder:
                for begin_ns, end_ns in ((T0_NS, LOST_NS), (FOUND_NS, END_NS)):
                    feeder.send(side_by_side(*(one.blocks(begin_ns, end_ns) for one in feeds.values())))
                feeder.flush()
            eventually(lambda: told_up_to(listener, END_NS), 60.0, lambda: daemon.log)
            without = listener.final
            for dataset in hapi.datasets.values():
                dataset.hidden = []
            wait_until_whole(listener, undisturbed, daemon)
            assert daemon.stop() == 0
    assert_same(stored(daemon.store_path), undisturbed)
    middle = iso_time((LOST_NS + FOUND_NS) // 2)
    for pair in PAIRS:
        assert "gap" in without[pair, middle]["flags"]
        assert listener.final[pair, middle]["revision"] > without[pair, middle]["revision"]


def told_up_to(listener: Listener, end_ns: int) -> bool:
    """Whether the window that ends then was said of for every pair."""
    return {(pair, iso_time(end_ns)) for pair in PAIRS} <= listener.final.keys()
