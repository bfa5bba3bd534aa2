"""Files of observatories and arrays through the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archive_kit import carisma_text, iaga2002_text, write_imagcdf
from daemon_kit import ROOT, Client, closing, command, eventually, write_config
from mqtt_kit import Mosquitto

from monitor.decoders.native import NativeDecoder
from monitor.types import FloatArray, Message, SampleBlock, Surroundings

pytestmark = pytest.mark.broker

T0_NS = 1_504_742_400 * 1_000_000_000  # 2017-09-07T00:00:00Z
COUNT = 600


def station(code: str, components: str) -> SampleBlock:
    values = np.random.default_rng(ord(code[0])).normal(2e4, 10.0, (3, COUNT)).round(2)
    if "D" in components:
        values[1] = 4.0 + np.arange(COUNT) / 1e4
    return SampleBlock(code, tuple(components), T0_NS, 1_000_000_000, values)


def test_replay_takes_every_format_by_what_is_in_it(mosquitto: Mosquitto, tmp_path: Path) -> None:
    whole = {code: station(code, kind) for code, kind in (("TAR", "HDZ"), ("NUR", "XYZ"), ("GILL", "XYZ"))}
    # None of them is called as it should be.
    iaga, gill = tmp_path / "wic.cdf", tmp_path / "gill.csv"
    iaga.write_text(iaga2002_text(whole["TAR"]))
    abisko = write_imagcdf(tmp_path / "a.cdf", whole["NUR"]).rename(tmp_path / "abisko.txt")
    gill.write_text(carisma_text(whole["GILL"]))
    config = write_config(
        tmp_path / "monitor.yaml", mosquitto.url, pairs=["NUR-TAR"], plugins={"column_text": {}}
    )
    came: list[Message] = []
    keep = Client(
        mosquitto.port,
        name="listener",
        topics=[f"{ROOT}/in/#"],
        on_message=lambda one: came.append(Message(one.topic, bytes(one.payload), 1 << 62)),
    )
    with closing(keep):
        done = command("replay", iaga, abisko, gill, "--to", mosquitto.url, "--speed", "max", "-c", config)
        assert done.returncode == 0, done.stderr
        assert "D of TAR is left out" in done.stderr
        eventually(lambda: len(came) >= 30, 30)
    decoder = NativeDecoder(NativeDecoder.Options(), Surroundings("native"))
    rows: dict[tuple[str, str], list[FloatArray]] = {}
    for message in came:
        (block,) = decoder.decode(message)
        for name, row in zip(block.components, block.values, strict=True):
            rows.setdefault((block.source, name), []).append(row)
    assert set(rows) == {
        ("TAR", "H"),
        ("TAR", "Z"),
        *((code, name) for code in ("NUR", "GILL") for name in "XYZ"),
    }
    for (code, name), pieces in rows.items():
        expected = whole[code].values[whole[code].components.index(name)]
        np.testing.assert_array_equal(np.concatenate(pieces), expected)
