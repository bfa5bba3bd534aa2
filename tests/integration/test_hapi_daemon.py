"""The source `hapi` in a daemon that is a process of its own: its products, its state, and servers that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from daemon_kit import (
    STATIONS,
    T0_NS,
    DaemonProcess,
    assert_agree,
    chain_blocks,
    eventually,
    final,
    processed,
    write_config,
    write_csv,
)
from hapi_source_kit import HapiServer, ServedDataset, ServedParameter, ground_dataset
from mqtt_kit import Mosquitto

from monitor.io.store.reading import StoreReader
from monitor.types import CELL_NS, SECOND_NS

pytestmark = pytest.mark.broker

MINUTES = 80
HOLE_NS = (T0_NS + 1800 * SECOND_NS, T0_NS + 3600 * SECOND_NS)
BLOCKS = chain_blocks(MINUTES)
WINDOWS = {"revise_s": 21_600}
REGION = ("MMS1_FGM_SRVY_L2@0", "MMS1_FPI_FAST_L2_DIS-MOMS")


def polling(server: HapiServer, **more: Any) -> dict[str, Any]:
    return {
        "url": server.url,
        "poll_s": 0.3,
        "requests_per_minute": 6000,
        "look_back_s": 86_400,
        "gap_retry_s": 0.3,
        "gap_attempts": 100,
        **more,
    }


def stations(server: HapiServer) -> list[dict[str, str]]:
    return [{"station": code, "dataset": code} for code in STATIONS if code in server.datasets]


def revisions(daemon: DaemonProcess) -> dict[tuple[str, str], Any]:
    """The newest objects of the store, whose daemon may be running."""
    with StoreReader.opened(daemon.store_path) as store:
        return final(store.products("flr", None, 0, 1 << 62))


@pytest.mark.at_length
def test_hole_and_failures_of_a_server_change_no_product_in_the_end(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    server = HapiServer({code: ground_dataset(BLOCKS, code) for code in STATIONS})
    hole = server.datasets["TAR"]
    hole.hidden = [HOLE_NS]
    with server.in_thread():
        plugins = {"archive": {"plugin": "hapi", "feeds": stations(server), **polling(server)}}
        config = write_config(tmp_path / "hole.yaml", mosquitto.url, windows=WINDOWS, plugins=plugins)
        expected = processed(config, write_csv(tmp_path / "chain.csv", BLOCKS))

        async def away(_request: web.Request) -> web.Response:
            return web.Response(status=404, text="<html>down for maintenance</html>")

        server.fault = away
        with DaemonProcess(config) as daemon:
            eventually(lambda: "answers 404" in daemon.log, 60.0, lambda: daemon.log)
            server.fault = None
            eventually(lambda: len(revisions(daemon)) == len(expected), 60.0, lambda: daemon.log)
            gap = lambda one: "gap" in one["flags"]  # noqa: E731
            torn = [key for key, one in revisions(daemon).items() if gap(one) and not gap(expected[key])]
            assert len(torn) > 10
            assert daemon.stop() == 0
            daemon.start()
            hole.hidden = []
            eventually(lambda: not missing(daemon), 90.0, lambda: daemon.log)
            eventually(lambda: agree(daemon, expected), 90.0, lambda: daemon.log)
            status = json.loads(daemon.get("/api/status")[1])["plugins"]["archive"]
            assert (status["plugin"], status["kind"], status["state"]) == ("hapi", "source", "running")
            assert daemon.metric("geospace_samples_stored_total", source="TAR")
            assert daemon.stop() == 0
    assert_agree(revisions(daemon), expected)
    assert all(revisions(daemon)[key]["revision"] > 0 for key in torn)


def missing(daemon: DaemonProcess) -> list[tuple[int, int]]:
    with StoreReader.opened(daemon.store_path) as store:
        return store.gaps("TAR", *HOLE_NS)


def agree(daemon: DaemonProcess, expected: dict[tuple[str, str], Any]) -> bool:
    try:
        assert_agree(revisions(daemon), expected)
    except AssertionError:
        return False
    return True


def test_spacecraft_comes_from_two_datasets_and_is_labelled(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """As CDAWeb has MMS: its ids and names, 16 values of the field a second, moments with the begin of their 4.5 s."""
    fast = T0_NS + np.arange(20 * 60 * 16) * SECOND_NS // 16
    b = np.column_stack([np.full(fast.size, 3.0), np.full(fast.size, -2.0), np.full(fast.size, 1.0)])
    slow = T0_NS + np.arange(20 * 60 * 2 // 9) * CELL_NS + SECOND_NS
    v = np.column_stack([np.full(slow.size, -400.0), np.full(slow.size, 10.0), np.full(slow.size, 5.0)])
    fgm = [ServedParameter("mms1_fgm_b_gse_srvy_l2_clean", np.column_stack([b, np.linalg.norm(b, axis=1)]))]
    fpi = [
        ServedParameter("mms1_dis_numberdensity_fast", np.full(slow.size, 5.0), units="cm^-3"),
        ServedParameter("mms1_dis_bulkv_gse_fast", v, units="km/s"),
        ServedParameter("mms1_dis_temppara_fast", np.full(slow.size, 10.0), units="eV"),
        ServedParameter("mms1_dis_tempperp_fast", np.full(slow.size, 12.0), units="eV"),
    ]
    datasets = dict(zip(REGION, (ServedDataset(fast, fgm), ServedDataset(slow, fpi)), strict=True))
    server = HapiServer(datasets)
    with server.in_thread():
        feeds = [{"craft": "MMS1", "mapping": "mms_fgm"}, {"craft": "MMS1", "mapping": "mms_fpi"}]
        plugins = {"hapi": {"feeds": feeds, **polling(server)}}
        config = write_config(tmp_path / "craft.yaml", mosquitto.url, craft=["MMS1"], plugins=plugins)

        def labels(daemon: DaemonProcess) -> dict[str, Any]:
            with StoreReader.opened(daemon.store_path) as store:
                return {one["time"]: one for one in store.products("region", "MMS1", 0, 1 << 62)}

        with DaemonProcess(config) as daemon:
            eventually(lambda: len(labels(daemon)) >= 4, 60.0, lambda: daemon.log)
            assert daemon.stop() == 0
    whole = [one for one in labels(daemon).values() if not one["missing"]]
    assert {one["label"] for one in whole} == {"SW"}
