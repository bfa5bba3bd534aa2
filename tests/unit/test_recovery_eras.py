"""What a start reads back: each source as far as it needs, and the rows of all in one go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import quick_config
from monitor.daemon.recovery import Reach, Recovery
from monitor.io.store import Store
from monitor.types import SECOND_NS, SampleBlock

MINUTE_NS, DAY_NS = 60 * SECOND_NS, 86_400 * SECOND_NS
T0_NS = 1_504_771_200 * SECOND_NS
REACH = Reach(10 * MINUTE_NS, 0, 0)


def minutes(source: str, first_ns: int, count: int) -> list[SampleBlock]:
    values = np.zeros((1, 60))
    return [
        SampleBlock(source, ("H",), first_ns + n * MINUTE_NS, SECOND_NS, values + n) for n in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "s.sqlite", retention_ns=10_000 * DAY_NS, product_retention_ns=None) as opened:
        yield opened


def read_back(store: Store, row: int) -> list[tuple[str, int]]:
    recovery = Recovery(quick_config(["NUR-TAR", "BRZ-SUW"], []), store)
    found = list(recovery.samples(REACH, row))
    assert not any(is_new for _, _, is_new in found)
    return [(block.source, block.t0_ns) for _, block, _ in found]


def test_sources_are_read_as_far_back_as_their_own_clocks_ask(store: Store) -> None:
    row = 0
    live = {"NUR": minutes("NUR", T0_NS, 20), "TAR": minutes("TAR", T0_NS + 5 * MINUTE_NS, 20)}
    long_ago = minutes("BRZ", T0_NS - 1000 * DAY_NS, 20)
    for blocks in zip(*live.values(), long_ago, strict=True):
        for block in blocks:
            row = store.write_samples([block])
    read = read_back(store, row)
    for source, blocks in [*live.items(), ("BRZ", long_ago)]:
        assert [t0_ns for code, t0_ns in read if code == source] == [block.t0_ns for block in blocks[-10:]]


def test_rows_are_gone_through_once_however_many_sources_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = 0
    for source in ("NUR", "TAR", "BRZ", "SUW"):
        row = store.write_samples(minutes(source, T0_NS, 1))
    readings: list[Any] = []
    samples = Store.samples

    def counted(self: Store, *asked: Any, **limits: Any) -> Any:
        if limits.get("up_to_row") is not None:
            readings.append(asked)
        return samples(self, *asked, **limits)

    monkeypatch.setattr(Store, "samples", counted)
    assert len(read_back(store, row)) == 4
    assert len(readings) == 1
