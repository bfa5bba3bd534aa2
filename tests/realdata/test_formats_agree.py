"""The same measurements in each format give the same spectra, within what the rounding of the format does to them.

What rounding does is not guessed: the measurements are run again with random errors of the size of the format's last
digit, and what these do to the spectra is the measure. What the formats' files hold is read back by other libraries.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pycdfpp
import pytest

# The kits of the other tests; pytest imports by path and leaves `sys.path` alone.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from archive_kit import carisma_text, iaga2002_text, times_ns, write_imagcdf
from martas_kit import environment

from monitor.config import Config
from monitor.decoders.imagmqtt import ImagMqttDecoder
from monitor.decoders.native import NativeDecoder, native_payload, native_topic
from monitor.io.files import SourceSeries, open_archives
from monitor.jobs.process import process, process_series
from monitor.types import SECOND_NS, FloatArray, Json, Message, SampleBlock, Surroundings, iso_time

GROUND = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ground"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not GROUND.is_dir(), reason="the measurements in ../shared/data are not there"),
]

Blocks = dict[str, SampleBlock]
Spectra = dict[str, FloatArray]
"""Rows of cross-phase (degrees), amplitude ratio and coherence by the end of the window."""

RUNS = 3
"""How often random errors of the size of a format's rounding are drawn."""


@dataclass(frozen=True)
class Case:
    """Measurements of two stations, and the time of them that is used."""

    files: tuple[str, ...]
    pair: str
    components: str
    begin_h: float = 0.0
    end_h: float = 24.0


CASES = {
    "pel_muo_10s": Case(
        ("{}/pel_muo_10s/pel_muo_2010-09-08_00-09UT_H_10s.csv.gz",), "MUO-PEL", "H", 3.0, 5.0
    ),
    "aalpip_1s": Case(
        ("{}/aalpip_1s/PG1_2016-01-24_1s.csv.gz", "{}/aalpip_1s/PG3_2016-01-24_1s.csv.gz"),
        "PG1-PG3",
        "XYZ",
        16.0,
        18.0,
    ),
    "wic_1s": Case(
        (
            "FGE={}/wic_1s/WIC_FGE_S0252_0002_0002_2025-05-14_xyz_1s.csv.gz",
            "LEM={}/wic_1s/WIC_LEMI036_1_0002_0002_2025-05-14_xyz_1s.csv.gz",
        ),
        "FGE-LEM",
        "XYZ",
        6.0,
        8.0,
    ),
}


def config(case: Case) -> Config:
    stations = {
        code: {"latitude": 60.0, "longitude": 20.0, "axes": "magnetic"} for code in case.pair.split("-")
    }
    return Config.model_validate(
        {
            "stations": {} if case.components == "H" else stations,
            "pairs": [case.pair],
            "outputs": {"spectra": True},
            "windows": {"length_s": 3600},
            "models": {"flr": "physical"},
            "plugins": {"column_text": {"plugin": "column_text", "kind": "decoder"}},
        }
    )


@cache
def measured(name: str) -> Blocks:
    """The part of the measurements that is used, a block a station; gaps are NaN."""
    case = CASES[name]
    found: Blocks = {}
    for one in open_archives([spec.format(GROUND) for spec in case.files]):
        day_ns = one.t0_ns // (86_400 * SECOND_NS) * 86_400 * SECOND_NS
        first = max(0, (day_ns + round(case.begin_h * 3600) * SECOND_NS - one.t0_ns) // one.step_ns)
        stop = min(one.count, (day_ns + round(case.end_h * 3600) * SECOND_NS - one.t0_ns) // one.step_ns)
        assert one.source not in found, "choose a part without a long gap"
        found[one.source] = one.block(first, stop)
    return found


def spectra_of(lines: bytes) -> Spectra:
    documents = [json.loads(line) for line in lines.splitlines()]
    return {
        one["time"]: np.array(
            [one[key] for key in ("cross_phase_deg", "amplitude_ratio", "coherence")], dtype=np.float64
        )
        for one in documents
        if one["schema"] == "geospace/spectrum/1"
    }


def processed(specs: Sequence[str], name: str) -> Spectra:
    output = io.BytesIO()
    process(specs, config(CASES[name]), output)
    return spectra_of(output.getvalue())


def processed_blocks(blocks: Blocks, name: str) -> Spectra:
    """The spectra of blocks that no file has rounded."""
    series = [
        SourceSeries(code, block.components, block.t0_ns, block.step_ns, block.values, "memory")
        for code, block in blocks.items()
    ]
    output = io.BytesIO()
    process_series(series, config(CASES[name]), output)
    return spectra_of(output.getvalue())


@cache
def reference(name: str) -> Spectra:
    found = processed_blocks(measured(name), name)
    assert len(found) >= 3
    return found


def deviation(found: Spectra, name: str) -> FloatArray:
    """Root mean square of the differences of phase (degrees, the short way round), ratio (relative) and coherence."""
    expected = reference(name)
    assert found.keys() == expected.keys()
    off = []
    for time, rows in expected.items():
        np.testing.assert_array_equal(np.isnan(found[time]), np.isnan(rows))
        phase, ratio, coherence = found[time] - rows
        off.append(np.stack([(phase + 180.0) % 360.0 - 180.0, ratio / rows[1], coherence]))
    result: FloatArray = np.sqrt(np.nanmean(np.concatenate(off, axis=1) ** 2, axis=1))
    return result


@cache
def rounding(name: str, step_nT: float) -> tuple[float, ...]:
    """What random errors of up to half of a rounding step do to the spectra, root mean square over some runs."""
    runs = []
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        shaken = {
            code: replace(
                block, values=block.values + random.uniform(-step_nT / 2, step_nT / 2, block.values.shape)
            )
            for code, block in measured(name).items()
        }
        runs.append(deviation(processed_blocks(shaken, name), name))
    return tuple(np.sqrt(np.mean(np.square(runs), axis=0)).tolist())


def assert_within_rounding(found: Spectra, name: str, step_nT: float) -> None:
    """Differences as of random errors of that size: no more than half as large again. Without rounding there are none."""
    off = deviation(found, name)
    allowed = 1.5 * np.array(rounding(name, step_nT)) if step_nT else np.full(3, 1e-9)
    assert (off <= allowed).all(), f"{off} where {step_nT} nT gives {allowed / 1.5}"


# -- the formats: each writes a station's file, and says by how much it rounds ---------------------------------------


def as_csv(folder: Path, block: SampleBlock) -> str:
    lines = [",".join(("time", *block.components))]
    lines += [
        ",".join([iso_time(time), *("" if value != value else repr(value) for value in column)])
        for time, column in zip(times_ns(block).tolist(), block.values.T.tolist(), strict=True)
    ]
    path = folder / f"{block.source}_day.cdf"
    path.write_text("\n".join(lines))
    return str(path)


def as_iaga2002(folder: Path, block: SampleBlock) -> str:
    path = folder / f"{block.source.lower()}.csv"
    path.write_text(iaga2002_text(block, "HDZF" if "H" in block.components else "XYZF"))
    return str(path)


def as_iaga2002_packed(folder: Path, block: SampleBlock) -> str:
    path = folder / f"{block.source.lower()}.sec"
    path.write_bytes(gzip.compress(iaga2002_text(block).encode(), 1))
    return str(path)


def as_imagcdf(folder: Path, block: SampleBlock) -> str:
    return str(write_imagcdf(folder / f"{block.source}.cdf", block).rename(folder / f"{block.source}.txt"))


def as_carisma(folder: Path, block: SampleBlock) -> str:
    if block.components == ("H",):
        # Three columns always; nobody asks for the others.
        values = np.concatenate([block.values, np.zeros((2, block.count))])
        block = replace(block, components=("H", "D", "Z"), values=values)
    path = folder / f"{block.source}.F01"
    path.write_text(carisma_text(block))
    return str(path)


FORMATS: dict[str, tuple[Callable[[Path, SampleBlock], str], float]] = {
    "csv": (as_csv, 0.0),
    "iaga2002": (as_iaga2002, 0.01),
    "iaga2002_packed": (as_iaga2002_packed, 0.01),
    "imagcdf": (as_imagcdf, 0.0),
    "carisma": (as_carisma, 0.001),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in FORMATS
        for name in CASES
        if name == "pel_muo_10s" or kind != "iaga2002_packed"
    ],
)
def test_files_of_each_format_give_the_same_spectra(kind: str, name: str, tmp_path: Path) -> None:
    write, step_nT = FORMATS[kind]
    specs = [write(tmp_path, block) for block in measured(name).values()]
    assert_within_rounding(processed(specs, name), name, step_nT)


def test_coarser_rounding_is_seen(tmp_path: Path) -> None:
    name = "pel_muo_10s"
    coarse = {
        code: replace(block, values=np.round(block.values, 1)) for code, block in measured(name).items()
    }
    with pytest.raises(AssertionError, match=r"where 0\.01 nT gives"):
        assert_within_rounding(processed_blocks(coarse, name), name, 0.01)


# -- messages -----------------------------------------------------------------------------------------------------


def imagmqtt(block: SampleBlock) -> SampleBlock:
    arrays = {
        f"geomagneticField{name}": [None if value != value else value for value in row]
        for name, row in zip(block.components, block.values.tolist(), strict=True)
    }
    document: Json = {"startDate": iso_time(block.t0_ns).removesuffix("Z"), **arrays}
    topic = f"impf/{block.source.lower()}/pt{block.step_ns // SECOND_NS}s/1/xyzs"
    decoder = ImagMqttDecoder(ImagMqttDecoder.Options(), Surroundings("imagmqtt"))
    (found,) = decoder.decode(Message(topic, json.dumps(document).encode(), 1 << 62))
    return found


def native(block: SampleBlock) -> SampleBlock:
    decoder = NativeDecoder(NativeDecoder.Options(), Surroundings("native"))
    (found,) = decoder.decode(Message(native_topic(block, "geospace/v1"), native_payload(block), 1 << 62))
    return found


@pytest.mark.parametrize("name", ["pel_muo_10s", "aalpip_1s"])
@pytest.mark.parametrize("through", [imagmqtt, native])
def test_messages_give_the_same_spectra(name: str, through: Callable[[SampleBlock], SampleBlock]) -> None:
    found = {}
    for code, block in measured(name).items():
        pieces = [
            through(
                replace(block, t0_ns=block.t0_ns + at * block.step_ns, values=block.values[:, at : at + 600])
            )
            for at in range(0, block.count, 600)
        ]
        found[code] = replace(block, values=np.concatenate([piece.values for piece in pieces], axis=1))
    assert_within_rounding(processed_blocks(found, name), name, 0.0)


# -- other libraries ------------------------------------------------------------------------------------------------


def test_another_library_reads_imagcdf_back_to_the_same_numbers(tmp_path: Path) -> None:
    for block in measured("aalpip_1s").values():
        file: Any = pycdfpp.load(as_imagcdf(tmp_path, block))
        assert file.attributes["IagaCode"][0] == block.source
        found = pycdfpp.to_datetime64(file["GeomagneticVectorTimes"])
        np.testing.assert_array_equal(found.astype("datetime64[ns]").astype(np.int64), times_ns(block))
        for component, row in zip(block.components, block.values, strict=True):
            variable = file[f"GeomagneticField{component}"]
            fill = variable.attributes["FILLVAL"][0]
            np.testing.assert_array_equal(variable.values[:], np.where(np.isnan(row), fill, row))


_READ_WITH_GEOMAGPY = """
import json, sys
from magpy.stream import read
for path in sys.argv[1:]:
    data = read(path)
    names = [name for name in data.ndarray[0]]
    columns = [[float(value) for value in data.ndarray[place]] for place in (1, 2, 3)]
    print(json.dumps([data.header["StationID"], [time.isoformat() for time in names], columns]))
"""


def test_geomagpy_reads_both_formats_of_observatories_back_to_the_same_numbers(tmp_path: Path) -> None:
    block = measured("aalpip_1s")["PG3"]
    part = replace(block, values=block.values[:, :300])
    paths = [as_iaga2002(tmp_path, part), as_imagcdf(tmp_path, part)]
    done = subprocess.run(
        [environment(), "-W", "ignore", "-c", _READ_WITH_GEOMAGPY, *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith('["')]
    assert len(lines) == 2, done.stdout
    for line in lines:
        code, times, columns = json.loads(line)
        assert code == "PG3"
        moments = np.array(times, dtype="datetime64[ns]").astype(np.int64)
        np.testing.assert_array_equal(moments, times_ns(part))
        np.testing.assert_array_equal(columns, part.values)  # the measurements have two decimals


def test_another_library_reads_iaga2002_back_to_the_same_numbers(tmp_path: Path) -> None:
    (block, *_) = measured("pel_muo_10s").values()
    path = Path(as_iaga2002(tmp_path, block))
    head = path.read_text().splitlines()
    assert all(line.endswith("|") and len(line) == 70 for line in head[:13]), "header lines have 70 signs"
    assert len({len(line) for line in head[14:]}) == 1
    table = pd.read_fwf(
        path,
        skiprows=14,
        header=None,
        widths=[10, 13, 4, 13, 10, 10, 10],
        names=["date", "time", "day", *(f"{block.source}{one}" for one in "HDZF")],
    )
    moments = pd.to_datetime(table["date"] + " " + table["time"]).to_numpy().astype("datetime64[ns]")
    np.testing.assert_array_equal(moments.astype(np.int64), times_ns(block))
    np.testing.assert_allclose(table[f"{block.source}H"], block.values[0], atol=0.005 + 1e-9)
    assert (table[f"{block.source}D"] == 88888.0).all()
