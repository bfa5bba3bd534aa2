"""Real spins of Cluster, sample by sample: every window is there, once, whatever the two instruments' phases."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from monitor.decoders.base import parse_time_ns
from monitor.stages.admission import Admission
from monitor.stages.craft_window import CraftWindowParameters, CraftWindowStage
from monitor.types import SECOND_NS, CraftHole, CraftStretch, Domain, SampleBlock, iso_time

pytestmark = pytest.mark.realdata

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "space" / "cluster_c1_20020318"
FILES = {"*Bvec*.csv": ("Bx", "By", "Bz"), "*ion_vel*.csv": ("Vx", "Vy", "Vz")}


def spins() -> list[SampleBlock]:
    """One block a sample, both instruments in the order of time."""
    if not FOLDER.is_dir():
        pytest.skip(f"the Cluster hour is absent: no {FOLDER.name} in the data beside the repository")
    blocks = []
    for pattern, names in FILES.items():
        (path,) = FOLDER.glob(pattern)
        with path.open(encoding="ascii", newline="") as lines:
            for time, *values in csv.reader(lines):
                row = np.array(values[:3], dtype=np.float64)[:, np.newaxis]
                t0_ns = parse_time_ns(time.replace(" ", "T"))
                blocks.append(SampleBlock("C1", names, t0_ns, 4 * SECOND_NS, row, Domain.CRAFT))
    return sorted(blocks, key=lambda block: block.t0_ns)


def test_hour_of_jittered_spins_has_every_window_once() -> None:
    gate = Admission({}, ["C1"], 7200 * SECOND_NS)
    stage = CraftWindowStage(["C1"], CraftWindowParameters(180 * SECOND_NS, 60 * SECOND_NS, 3600 * SECOND_NS))
    found: list[CraftStretch | CraftHole] = []
    for block in spins():
        gate.admit(block)
        found += stage.feed([block])
    found += stage.flush()
    stretches = [window for window in found if isinstance(window, CraftStretch)]
    assert len(stretches) == len(found)
    assert [iso_time(window.ends_ns[0])[11:16] for window in stretches] == [
        f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(14 * 60 + 18, 15 * 60 + 16, 3)
    ]
    assert all(len(window.ends_ns) == 1 for window in stretches)
    assert [window.context for window in stretches] == [False, *[True] * 18, False]
    assert {window.missing for window in stretches} == {("N", "Tpar", "Tperp", "T")}
