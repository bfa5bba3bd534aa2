"""What a restart without usable states knows of regions: revisions, and which content they had."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from region_stage_kit import LENGTH_NS, T0_NS, finding, label_stage

from monitor.config import Config
from monitor.config.schema import CraftWindows, Windows
from monitor.daemon.recovery import Recovery
from monitor.io.store import Store
from monitor.stages.ledger import ANYTHING, issued
from monitor.stages.region_product import RegionProductStage
from monitor.types import CELL_NS, SECOND_NS, Domain, Product, SampleBlock

CONFIG = Config(
    craft=("MMS1",),
    windows=Windows(length_s=3600, cadence_s=600, lateness_s=60.0, revise_s=0.0),
    craft_windows=CraftWindows(revise_s=86_400.0),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "m.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def product_stage() -> RegionProductStage:
    return RegionProductStage(LENGTH_NS, LENGTH_NS, 60 * SECOND_NS, 10**15, model="tiny/1")


def keep(store: Store, products: list[Product], newest: int) -> None:
    """Store products, and samples up to a window."""
    t0_ns = T0_NS + newest * LENGTH_NS - CELL_NS
    store.write_samples([SampleBlock("MMS1", ("B",), t0_ns, CELL_NS, np.ones((1, 1)), Domain.CRAFT)])
    store.commit([(one, one.encode(0)) for one in products], {})


def test_region_that_is_found_again_is_no_revision(store: Store) -> None:
    findings = [finding(1, "MSH", 0.61, "MP"), finding(2, None), finding(3, "MSP", bridged=0.125)]
    said = product_stage().feed(label_stage().feed(findings))
    keep(store, said, 3)
    again = product_stage()
    again.restore(json.loads(json.dumps(Recovery(CONFIG, store).ledger()["region"])))
    assert again.feed(label_stage().feed(findings)) == []
    other = label_stage().feed([*findings[:2], finding(3, "MSP")])
    assert [product.body["id"] for product in again.feed(other)] == ["region/MMS1/2017-09-07T12:09:00Z/1"]


def test_ledger_of_regions_reaches_as_far_back_as_their_windows_are_revised(store: Store) -> None:
    """Whatever the windows of the ground are: an id must not be given to a second content."""
    (said,) = product_stage().feed(label_stage().feed([finding(1)]))
    digest = issued([said.body], {"label", "confidence", "quality", "flags"})
    for hours, known in ((23, digest), (26, [0, ANYTHING, []]), (60, None)):
        keep(store, [said], hours * 20)
        ledger = Recovery(CONFIG, store).ledger()["region"]["issued"]
        assert ledger.get("MMS1", {}).get(str(said.time_ns)) == known
