"""A simulated flight through shock and magnetopause, and a small model that has learnt simulated plasma.

The model says little of real plasma; of this flight it says enough for labels, holes and crossings to be compared. The
fixture `region_model` (in `conftest.py`) gives its folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from daemon_kit import (
    ASIDE,
    DaemonProcess,
    Document,
    Feeder,
    Final,
    Listener,
    command,
    eventually,
    is_equal,
    write_config,
)

from monitor.decoders.native import native_payload, native_topic
from monitor.io.store import Store
from monitor.science.synthetic.craft.courses import CourseRanges, course_along
from monitor.science.synthetic.craft.instrument import InstrumentRanges, measured
from monitor.science.synthetic.craft.windows import TRAINING, simulate_runs
from monitor.types import (
    CELL_NS,
    CONTEXT_CELLS,
    SECOND_NS,
    SUPPORT_CELLS,
    VARIABLES,
    Domain,
    FloatArray,
    Region,
    RegionExamples,
    SampleBlock,
    iso_time,
)

# pytest imports by path and leaves `sys.path` alone; the small networks are those of the unit tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

CRAFT = "MMS1"
BEGIN_NS = 1_504_785_600 * SECOND_NS
"""2017-09-07T12:00:00Z, a multiple of every hop."""
FIELD = ("Bx", "By", "Bz")
PLASMA = ("N", "Vx", "Vy", "Vz", "Tpar", "Tperp")
CELLS = 688
"""The last window ends 36 s before the last sample: its context is there."""
STAYS = [(Region.SOLAR_WIND, 200), (Region.MAGNETOSHEATH, 240), (Region.MAGNETOSPHERE, 248)]
GAP = slice(560, 580)
"""Cells without plasma, in the magnetosphere."""


def small_model(folder: Path) -> None:
    """Train the model on some simulated runs, and write it into a folder."""
    # PyTorch takes seconds to import, and whoever only flies has no need of it.
    from region_kit import TINY, make_model

    from monitor.jobs.region.calibrate import fit_around
    from monitor.jobs.region.training import fit

    training, validation = _examples(160, first=0), _examples(100, first=1000)
    fitted = fit(training, validation, TINY, told=lambda _: None)
    make_model(folder, fit_around(fitted.network, training, validation))


def _examples(runs: int, *, first: int) -> RegionExamples:
    """Windows of so many runs: some without context, some without the density."""
    known = simulate_runs(replace(TRAINING, masked=False), runs, first)
    rng = np.random.default_rng(first)
    at = np.sort(rng.choice(known.start.size, 6 * runs, replace=False))
    begins = known.start[at] - CONTEXT_CELLS[0]
    values = known.values[begins[:, None] + np.arange(SUPPORT_CELLS)]
    context = rng.random(at.size) < 0.7
    values[~context, : CONTEXT_CELLS[0]] = np.nan
    values[~context, -CONTEXT_CELLS[1] :] = np.nan
    values[rng.random(at.size) < 0.3, :, VARIABLES.index("N")] = np.nan
    return RegionExamples(values, known.label[at], known.run[at], known.mixed[at], context)


# -- the flight -------------------------------------------------------------------------------------------


@cache
def flight() -> FloatArray:
    """What is measured of it (`CELLS`, 12), with the gap."""
    rng = np.random.default_rng(7)
    values = measured(rng, InstrumentRanges(), course_along(rng, CourseRanges(), STAYS).series)
    values[GAP, VARIABLES.index("N") :] = np.nan
    assert values.shape == (CELLS, len(VARIABLES))
    return values.round(6)


def flight_blocks(
    craft: str = CRAFT, cells: range = range(CELLS), *, piece: int = 6, fill: float = float("nan")
) -> list[SampleBlock]:
    """The flight as it is sent: field and plasma in messages of their own, `piece` cells each; gaps are `fill`."""
    blocks = []
    for first in range(cells.start, cells.stop, piece):
        part = flight()[first : min(first + piece, cells.stop)]
        for names in (FIELD, PLASMA):
            values = part[:, [VARIABLES.index(name) for name in names]].T
            values = np.where(np.isnan(values), fill, values)
            t0_ns = BEGIN_NS + first * CELL_NS
            blocks.append(SampleBlock(craft, names, t0_ns, CELL_NS, values, Domain.CRAFT, frame="gse"))
    return blocks


def send(feeder: Feeder, blocks: Iterable[SampleBlock]) -> None:
    """Publish them as native messages."""
    for block in blocks:
        feeder.publish(native_topic(block, "geospace/v1"), native_payload(block))


def write_flight(path: Path, names: Sequence[str] = FIELD + PLASMA) -> Path:
    """The flight as a CSV file; gaps are empty."""
    columns = flight()[:, [VARIABLES.index(name) for name in names]]
    lines = ["time," + ",".join(names)]
    for number, row in enumerate(columns.tolist()):
        cells = ",".join("" if value != value else repr(value) for value in row)
        lines.append(f"{iso_time(BEGIN_NS + number * CELL_NS)},{cells}")
    path.write_text("\n".join(lines) + "\n")
    return path


# -- the commands -----------------------------------------------------------------------------------------


def flight_config(path: Path, url: str, model: Path | str, **changes: Any) -> Path:
    """A configuration for a daemon that watches spacecraft alone."""
    options = {
        "pairs": [],
        "windows": {"length_s": 7200, "cadence_s": 1800},
        "craft": [CRAFT],
        "models": {"region": str(model)},
        **changes,
    }
    return write_config(path, url, **options)


def processed_flight(config: Path, *files: object) -> list[Document]:
    """All that `process` says of files."""
    output = config.with_suffix(".jsonl")
    done = command("process", *files, "-c", config, "-o", output)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in output.read_text().splitlines()]


def stored_regions(daemon: DaemonProcess) -> Final:
    """Final `region` objects in the store (of a daemon that does not run)."""
    with Store.open(daemon.store_path, retention_ns=1 << 60, product_retention_ns=None) as store:
        return regions(store.products("region", None, 0, 1 << 62, latest_revision=False))


# -- comparing --------------------------------------------------------------------------------------------


def regions(documents: Iterable[Document]) -> Final:
    """The highest revision of each spacecraft and time."""
    kept: Final = {}
    for document in documents:
        if document.get("schema") == "geospace/region/1":
            key = (document["craft"], document["time"])
            if key not in kept or kept[key]["revision"] <= document["revision"]:
                kept[key] = document
    return kept


def crossings(documents: Iterable[Document]) -> dict[tuple[str, ...], Document]:
    """The last word on each event, by kind, subject, direction and start."""
    last: dict[str, Document] = {}
    for document in documents:
        if document.get("type") == "Feature":
            about = document["properties"]
            held = last.get(about["data_id"])
            if held is None or held["properties"]["update"] <= about["update"]:
                last[about["data_id"]] = document
    found = {}
    for document in last.values():
        about = document["properties"]
        if about.get("outcome") != "withdrawn":
            key = tuple(about[name] for name in ("kind", "subject", "direction", "start_datetime"))
            found[key] = document
    return found


def assert_same_flight(found: Iterable[Document], expected: Iterable[Document]) -> None:
    """Agreement as the contract defines it, of regions and of the last words on crossings."""
    found, expected = list(found), list(expected)
    ours, theirs = regions(found), regions(expected)
    assert ours.keys() == theirs.keys()
    for key, document in theirs.items():
        assert ours[key].keys() == document.keys()
        for name in document.keys() - ASIDE:
            assert is_equal(ours[key][name], document[name]), (key, name, ours[key][name], document[name])
    said, wanted = crossings(found), crossings(expected)
    assert said.keys() == wanted.keys()
    for happening, document in wanted.items():
        for name in ("state", "outcome", "end_datetime", "confidence"):
            one, other = (each["properties"].get(name) for each in (said[happening], document))
            assert is_equal(one, other), (happening, name, one, other)


def wait_for_regions(
    listener: Listener, expected: Iterable[Document], daemon: DaemonProcess, timeout_s: float = 20.0
) -> None:
    """Wait until every expected window and crossing has come, and nothing waits any more."""
    wanted = list(expected)

    def missing() -> set[tuple[str, ...]]:
        regional = regions(wanted).keys() - regions(listener.documents("region")).keys()
        told = crossings(listener.documents("event"))
        return {*regional, *(key for key in crossings(wanted) if key not in told)}

    eventually(lambda: not missing(), timeout_s, lambda: f"missing {sorted(missing())[:5]}; {daemon.log}")
    eventually(lambda: daemon.status()["queues"]["outbox"] == 0, 5.0, lambda: daemon.log)
