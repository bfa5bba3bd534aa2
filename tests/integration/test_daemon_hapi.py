"""A running daemon gives out over HAPI and `/api` what it published, and what it published later instead."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import (
    DaemonProcess,
    Feeder,
    Listener,
    chain_blocks,
    closing,
    eventually,
    write_config,
)
from hapiclient import hapi
from mqtt_kit import Mosquitto

pytestmark = pytest.mark.broker

DAY = ("2017-09-07T00:00:00Z", "2017-09-08T00:00:00Z")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "take-the-data-away.md"


def read(daemon: DaemonProcess, dataset: str, parameters: str = "") -> Any:
    return hapi(f"{daemon.url}/hapi", dataset, parameters, *DAY, cache=False, usecache=False)[0]


def test_what_is_published_is_read_with_a_client(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(
        tmp_path / "hapi.yaml",
        f"mqtt://127.0.0.1:{mosquitto.port}",
        outputs={"spectra": True},
        chains={"emma": ["NUR-TAR", "TAR-BRZ"]},
        http={"contact": "ops@example.org"},
    )
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
    ):
        assert json.loads(daemon.get("/hapi/catalog")[1])["catalog"] == []
        assert json.loads(daemon.get("/api/latest")[1]) == {"products": {}}
        feeder.send(chain_blocks(minutes=50))
        eventually(lambda: len(listener.final) >= 20, 60.0, lambda: daemon.log)

        ids = [one["id"] for one in hapi(f"{daemon.url}/hapi", cache=False, usecache=False)["catalog"]]
        assert {
            "NUR-TAR/flr",
            "TAR-BRZ/density",
            "TAR-BRZ/spectrum",
            "emma/profile",
            "emma/plasmapause",
        } <= set(ids)
        data = read(daemon, "TAR-BRZ/flr")
        documents = [one for (pair, _), one in sorted(listener.final.items()) if pair == "TAR-BRZ"]
        assert [one.decode().replace(".000", "") for one in data["Time"]] == [
            one["time"] for one in documents
        ]
        assert data["label"].tolist() == [one["label"] for one in documents]
        assert data["revision"].tolist() == [one["revision"] for one in documents]
        known = [
            (found, one["frequency_mHz"]) for found, one in zip(data["frequency_mHz"], documents, strict=True)
        ]
        assert all(found == (-1e31 if value is None else value) for found, value in known)
        assert all(len(read(daemon, name)) for name in ids)

        latest = json.loads(daemon.get("/api/latest?kind=flr&subject=TAR-BRZ")[1])["products"]
        assert latest == {"flr": {"TAR-BRZ": documents[-1]}}
        assert json.loads(daemon.get("/hapi/about")[1])["contact"] == "ops@example.org"
        _type_the_page(daemon, capsys)


def _type_the_page(daemon: DaemonProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The example of the how-to, with the address of this daemon."""
    match = re.search(
        r"<!-- hapiclient -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert match is not None
    own = match[1].replace("http://127.0.0.1:9464", daemon.url)
    assert own != match[1]
    names: dict[str, Any] = {}
    exec(compile(own, PAGE.name, "exec"), names)
    assert len(names["data"]) >= 10
    assert "TAR-BRZ/density TAR-BRZ mass density" in capsys.readouterr().out
