"""Spacecraft offline by the installed command: CDF and CSV files in, regions, crossings and pictures out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from daemon_kit import Document, command
from flight_kit import (
    CELLS,
    CRAFT,
    GAP,
    assert_same_flight,
    crossings,
    flight,
    flight_config,
    processed_flight,
    regions,
    write_flight,
)

# After `flight_kit`, which knows the way to the kits of the unit tests.
from cdf_kit import FILL, FLOAT, START_NS, TT2000, CdfFile, tt2000, write_fgm  # isort: skip

from monitor.types import CELL_NS, SECOND_NS, VARIABLES, iso_time

BROKER = "mqtt://127.0.0.1:1"
LABELS = ["SW"] * 5 + ["MSH"] * 6 + ["MSP"] * 3 + [None] + ["MSP"] * 2


def columns(*names: str) -> np.ndarray:
    """Quantities of the flight as the missions' files have them (n, names): gaps are fill values."""
    values = flight()[:, [VARIABLES.index(name) for name in names]].astype(np.float32)
    return np.where(np.isnan(values), FILL, values)


def write_field(path: Path) -> Path:
    """The flight's field as a file of MMS FGM: two samples a second."""
    after_s = np.arange(0.0, CELLS * CELL_NS / SECOND_NS, 0.5)
    cells = (after_s * SECOND_NS).astype(np.int64) // CELL_NS
    return write_fgm(path, after_s, field=columns("Bx", "By", "Bz", "B")[cells])


def write_ions(path: Path) -> Path:
    """The flight's ions as a file of MMS FPI-DIS: a sample every 4.5 s, a while after the cell begins."""
    common = {"DEPEND_0": "Epoch", "FILLVAL": [FILL, "CDF_FLOAT"]}
    with CdfFile(path) as cdf:
        cdf.write("Epoch", TT2000, tt2000(np.arange(CELLS) * CELL_NS / SECOND_NS + 0.3))
        for name, unit, quantities in (
            ("numberdensity", "cm^-3", ("N",)),
            ("bulkv_gse", "km/s", ("Vx", "Vy", "Vz")),
            ("temppara", "eV", ("Tpar",)),
            ("tempperp", "eV", ("Tperp",)),
        ):
            values = columns(*quantities)
            data = values if len(quantities) > 1 else values[:, 0]
            cdf.write(f"mms1_dis_{name}_fast", FLOAT, data, {**common, "UNITS": unit})
    return path


def labels(documents: list[Document]) -> list[str | None]:
    """Of the windows in the order of time."""
    return [one["label"] for _, one in sorted(regions(documents).items())]


def test_cdf_files_of_a_flight_are_labelled_as_its_csv_is(tmp_path: Path, region_model: Path) -> None:
    config = flight_config(tmp_path / "run.yaml", BROKER, region_model)
    from_csv = processed_flight(config, f"{CRAFT}={write_flight(tmp_path / 'flight.csv')}")
    files = [write_field(tmp_path / "fgm.cdf"), write_ions(tmp_path / "dis.cdf")]
    from_cdf = processed_flight(config, *files)
    assert labels(from_cdf) == labels(from_csv) == LABELS
    ends = sorted(time for _, time in regions(from_cdf))
    assert (ends[0], ends[-1]) == (
        iso_time(START_NS + 180 * SECOND_NS),
        iso_time(START_NS + 3060 * SECOND_NS),
    )
    hole = regions(from_cdf)[CRAFT, ends[14]]
    assert (hole["flags"], hole["support_s"]) == (["gap"], 180.0)
    told, wanted = crossings(from_cdf).values(), crossings(from_csv).values()
    assert [(one["properties"]["kind"], one["properties"]["outcome"]) for one in told] == [
        (one["properties"]["kind"], one["properties"]["outcome"]) for one in wanted
    ]
    # The other order of the files changes nothing.
    assert_same_flight(processed_flight(config, *reversed(files)), from_cdf)


def test_field_alone_is_labelled_and_says_what_is_missing(tmp_path: Path, region_model: Path) -> None:
    config = flight_config(tmp_path / "field.yaml", BROKER, region_model)
    said = regions(processed_flight(config, write_field(tmp_path / "fgm.cdf")))
    assert len(said) == 17
    for document in said.values():
        assert document["label"] is not None
        assert document["missing"] == ["N", "Vx", "Vy", "Vz", "V", "Tpar", "Tperp", "T"]
        assert "missing" in document["flags"]


def test_bridged_gap_is_labelled_and_said(tmp_path: Path, region_model: Path) -> None:
    """With the context, in which the gap has both its ends; the window by itself begins with the gap."""
    archive = f"{CRAFT}={write_flight(tmp_path / 'flight.csv')}"
    for context, label, flags in ((True, "MSP", ["bridged"]), (False, None, ["gap"])):
        windows = {"bridge_ratio": 0.5, "context": context}
        config = flight_config(tmp_path / "bridged.yaml", BROKER, region_model, craft_windows=windows)
        hole = sorted(regions(processed_flight(config, archive)).items())[14][1]
        assert (hole["label"], hole["flags"]) == (label, flags)
        bridged = (GAP.stop - GAP.start) / 40 if context else 0.0
        assert (hole["bridged"], hole["quality"]) == (bridged, "uncertain" if context else "poor")


def test_command_of_a_quick_look_labels_counts_and_draws(tmp_path: Path, region_model: Path) -> None:
    config = flight_config(tmp_path / "panels.yaml", BROKER, region_model)
    picture = tmp_path / "flight.png"
    files = [write_field(tmp_path / "fgm.cdf"), write_ions(tmp_path / "dis.cdf")]
    done = process(*files, "-c", config, "--panels", picture)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(picture.read_bytes()) > 20_000
    assert done.stderr.splitlines() == [
        f"{CELLS} samples; regions: 6 MSH, 5 MSP, 5 SW, 1 none; 2 events; drew {picture}"
    ]


def test_two_spacecraft_have_a_picture_each(tmp_path: Path, region_model: Path) -> None:
    config = flight_config(tmp_path / "two.yaml", BROKER, region_model, craft=[CRAFT, "MMS2"])
    archive = write_flight(tmp_path / "flight.csv")
    picture = tmp_path / "flight.png"
    done = process(f"{CRAFT}={archive}", f"MMS2={archive}", "-c", config, "--panels", picture)
    assert done.returncode == 0, done.stderr
    drawn = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(drawn) == 2
    assert all(craft in done.stderr for craft in drawn)


def process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return command("process", *arguments, "-o", os.devnull, **options)


def truncated(path: Path) -> Path:
    """The first half of a CDF file."""
    whole = write_field(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--craft", "MMS1", "truncated.cdf"), "truncated.cdf"),
        (("--craft", "THA", "fgm.cdf"), "they hold MMS1, spacecraft are THA"),
        (("--craft", "MMS-1", "fgm.cdf"), "found spacecraft MMS-1; an id is 2 to 16"),
        (("--craft", "MMS1", "none.cdf"), "none.cdf"),
        (("--craft", "MMS1", "noise.cdf"), "noise.cdf"),
        (("--craft", "MMS1", "fgm.cdf", "--panels", "absent/flight.png"), "absent"),
    ],
)
def test_what_cannot_be_labelled_is_one_clear_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    truncated(tmp_path / "truncated.cdf")
    write_field(tmp_path / "fgm.cdf")
    (tmp_path / "noise.cdf").write_bytes(np.random.default_rng(1).bytes(4000))
    done = process(*arguments, cwd=tmp_path)
    assert done.returncode in (1, 78)
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(lines) == 1, done.stderr
    assert message in lines[0]


def test_panels_without_matplotlib_are_one_clear_line(tmp_path: Path, region_model: Path) -> None:
    stub = tmp_path / "stub" / "matplotlib"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("raise ImportError('not here')\n")
    config = flight_config(tmp_path / "bare.yaml", BROKER, region_model)
    archive = f"{CRAFT}={write_flight(tmp_path / 'flight.csv')}"
    environment = {**os.environ, "PYTHONPATH": str(stub.parent)}
    done = process(archive, "-c", config, "--panels", tmp_path / "flight.png", env=environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "matplotlib" in done.stderr
    assert not (tmp_path / "flight.png").exists()
    # Without pictures nothing needs it.
    done = process(archive, "-c", config, env=environment)
    assert done.returncode == 0, done.stderr
