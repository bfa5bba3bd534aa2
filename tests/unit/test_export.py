"""Tables out of the store: samples that archives read again, and products with their columns."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from monitor import cli
from monitor.errors import MonitorError
from monitor.io.files import open_archives
from monitor.io.store import Store
from monitor.jobs.export import Wanted, export
from monitor.types import SECOND_NS, Domain, FloatArray, Product, SampleBlock, iso_time

T0_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z
HOUR_NS = 3600 * SECOND_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "monitor.sqlite", retention_ns=1 << 60, product_retention_ns=None) as opened:
        yield opened


def field(count: int, seed: int = 1) -> FloatArray:
    values = 20_000.0 + np.random.default_rng(seed).normal(size=(2, count))
    values[:, 5:8] = np.nan
    values[0, 11] = np.nan
    return values


def read_back(folder: Path, craft: Sequence[str] = ()) -> dict[tuple[str, str], dict[int, float]]:
    """Values by source and component, and time."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for series in open_archives(sorted(folder.iterdir()), craft):
        for component, row in zip(series.components, series.values, strict=True):
            kept = found.setdefault((series.source, component), {})
            times = series.t0_ns + np.arange(series.count) * series.step_ns
            there = ~np.isnan(row)
            kept.update(zip(times[there].tolist(), row[there].tolist(), strict=True))
    return found


def laid_over(blocks: Sequence[SampleBlock]) -> dict[tuple[str, str], dict[int, float]]:
    found: dict[tuple[str, str], dict[int, float]] = {}
    for block in blocks:
        for component, row in zip(block.components, block.values.tolist(), strict=True):
            kept = found.setdefault((block.source, component), {})
            for n, value in enumerate(row):
                if value == value:
                    kept[block.t0_ns + n * block.step_ns] = value
    return found


class TestSamples:
    @pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
    def test_archive_reader_gives_back_every_sample_of_stations_and_spacecraft(
        self, store: Store, tmp_path: Path, file_format: str
    ) -> None:
        # Longer than a part, with a resend that corrects, one whose gaps take nothing away, and a pause.
        blocks = [
            SampleBlock("TAR", ("H", "E"), T0_NS, SECOND_NS, field(9000)),
            SampleBlock("TAR", ("H", "E"), T0_NS + 4000 * SECOND_NS, SECOND_NS, field(50, seed=2)),
            SampleBlock("TAR", ("H", "E"), T0_NS + 9500 * SECOND_NS, SECOND_NS, field(100, seed=3)),
            SampleBlock("BRZ", ("X", "Y"), T0_NS + SECOND_NS // 4, SECOND_NS // 2, field(500)),
            SampleBlock(
                "MMS1", ("Bx", "N"), T0_NS, 4_500_000_000, field(2000) / 4000.0, Domain.CRAFT, 0, None, "gse"
            ),
            SampleBlock("MMS1", ("V",), T0_NS, 5_000_000_000, field(300)[:1] / 50.0, Domain.CRAFT),
        ]
        for block in blocks:
            store.write_samples([block])
        wanted = Wanted(("samples",))
        written = export(store.path, wanted, tmp_path / "out", file_format)
        names = ["BRZ_0.5s", "MMS1_4.5s", "MMS1_5s", "TAR_1s"]
        assert [one.path.name for one in written] == [f"{name}.{file_format}" for name in names]
        found = read_back(tmp_path / "out", craft=["MMS1"])
        expected = laid_over(blocks)
        assert found.keys() == expected.keys()
        for key, samples in expected.items():
            assert found[key] == samples, key

    def test_header_is_time_and_station_component_and_gaps_are_empty(
        self, store: Store, tmp_path: Path
    ) -> None:
        values = np.array([[1.5, np.nan, np.nan, 0.1], [2.0, 3.0, np.nan, 1e-7]])
        store.write_samples([SampleBlock("TAR", ("H", "E"), T0_NS, SECOND_NS, values)])
        export(store.path, Wanted(("samples",)), tmp_path / "tar.csv", "csv")
        assert (tmp_path / "tar.csv").read_text() == (
            "time,TAR_H,TAR_E\n"
            "2017-09-07T12:00:00Z,1.5,2.0\n"
            "2017-09-07T12:00:01Z,,3.0\n"
            "2017-09-07T12:00:03Z,0.1,1e-07\n"
        )

    def test_higher_level_wins_and_its_angle_is_no_field(self, store: Store, tmp_path: Path) -> None:
        def block(level: int, value: float) -> SampleBlock:
            values = np.array([[value, value], [value / 100.0, np.nan]])
            return SampleBlock("TAR", ("H", "D"), T0_NS, SECOND_NS, values, level=level)

        for one in (block(1, 100.0), block(2, 200.0), block(1, 300.0)):
            store.write_samples([one])
        export(store.path, Wanted(("samples",)), tmp_path / "tar.csv", "csv")
        assert (tmp_path / "tar.csv").read_text().splitlines() == [
            "time,TAR_H,TAR_D_deg",
            "2017-09-07T12:00:00Z,200.0,2.0",
            "2017-09-07T12:00:01Z,200.0,",
        ]

    def test_from_and_to_are_half_open(self, store: Store, tmp_path: Path) -> None:
        store.write_samples([SampleBlock("TAR", ("H",), T0_NS, SECOND_NS, np.arange(100.0)[np.newaxis])])
        wanted = Wanted(("samples",), T0_NS + 10 * SECOND_NS, T0_NS + 13 * SECOND_NS)
        export(store.path, wanted, tmp_path / "tar.csv", "csv")
        rows = list(csv.DictReader((tmp_path / "tar.csv").read_text().splitlines()))
        assert [row["TAR_H"] for row in rows] == ["10.0", "11.0", "12.0"]

    def test_parquet_has_nanoseconds_utc_doubles_and_nulls(self, store: Store, tmp_path: Path) -> None:
        values = np.array([[1.5, np.nan], [np.nan, 3.0]])
        store.write_samples(
            [SampleBlock("MMS1", ("Bx", "N"), T0_NS + 1, 4_500_000_001, values, Domain.CRAFT)]
        )
        export(store.path, Wanted(("samples",)), tmp_path / "mms1.parquet", "parquet")
        read = pyarrow.parquet.read_table(tmp_path / "mms1.parquet")
        assert [str(one.type) for one in read.schema] == ["timestamp[ns, tz=UTC]", "double", "double"]
        assert read["time"].cast("int64").to_pylist() == [T0_NS + 1, T0_NS + 4_500_000_002]
        assert read["Bx"].to_pylist() == [1.5, None]
        assert read["N"].to_pylist() == [None, 3.0]
        assert read.schema.metadata[b"source"] == b"MMS1"

    def test_memory_does_not_grow_with_what_is_exported(self, store: Store, tmp_path: Path) -> None:
        peaks = []
        for hours in (4, 12):
            blocks = [
                SampleBlock(f"S{hours}", ("H",), T0_NS + hour * HOUR_NS, SECOND_NS, field(3600)[:1])
                for hour in range(hours)
            ]
            for block in blocks:
                store.write_samples([block])
            tracemalloc.start()
            export(store.path, Wanted(("samples",), sources=(f"S{hours}",)), tmp_path / f"{hours}.csv", "csv")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.3 * peaks[0], peaks


def flr(number: int, revision: int = 0, **fields: Any) -> Product:
    time_ns = T0_NS + number * 1800 * SECOND_NS
    body = {
        "schema": "geospace/flr/1",
        "id": f"flr/TAR-BRZ/{iso_time(time_ns)}/{revision}",
        "pair": "TAR-BRZ",
        "time": iso_time(time_ns),
        "window_s": 7200,
        "revision": revision,
        "label": "Freq",
        "probability": {"NoFreq": 0.25, "Freq": 0.75},
        "frequency_interval_mHz": [12.5, 14.0],
        "frequency_mHz": 13.25,
        "flags": [],
        **fields,
    }
    return Product("flr", "TAR-BRZ", time_ns, revision, True, body)


def keep(store: Store, *products: Product) -> None:
    store.commit([(product, product.encode(T0_NS)) for product in products], {})


class TestProducts:
    def test_nested_fields_are_columns_lists_are_json_and_nulls_stay(
        self, store: Store, tmp_path: Path
    ) -> None:
        gap = {"frequency_mHz": None, "frequency_interval_mHz": None, "probability": None, "flags": ["gap"]}
        keep(store, flr(0), flr(1, 0, label="PBL"), flr(1, 1, **gap))
        export(store.path, Wanted(("flr",)), tmp_path / "flr.csv", "csv")
        rows = list(csv.DictReader((tmp_path / "flr.csv").read_text().splitlines()))
        assert list(rows[0]) == [
            *("schema", "id", "pair", "time", "window_s", "revision", "label", "probability_NoFreq"),
            *("probability_Freq", "frequency_interval_mHz", "frequency_mHz", "flags", "published"),
        ]
        assert rows[0]["probability_Freq"] == "0.75"
        assert json.loads(rows[0]["frequency_interval_mHz"]) == [12.5, 14.0]
        assert rows[0]["published"] == "2017-09-07T12:00:00Z"
        assert rows[1]["revision"] == "1"
        assert (rows[1]["frequency_mHz"], rows[1]["probability_Freq"], rows[1]["flags"]) == (
            "",
            "",
            '["gap"]',
        )
        assert len(rows) == 2

    def test_every_revision_in_parquet_with_types(self, store: Store, tmp_path: Path) -> None:
        keep(store, *(flr(n // 2, n % 2, harmonic=None, physical={"agrees": n > 3}) for n in range(3000)))
        wanted = Wanted(("flr",), all_revisions=True)
        (written,) = export(store.path, wanted, tmp_path / "flr.parquet", "parquet")
        read = pyarrow.parquet.read_table(tmp_path / "flr.parquet")
        assert written.rows == read.num_rows == 3000
        types = {one.name: str(one.type) for one in read.schema}
        assert types["time"] == types["published"] == "timestamp[ns, tz=UTC]"
        assert types["revision"] == "int64"
        assert types["window_s"] == types["probability_Freq"] == "double"
        assert types["physical_agrees"] == "bool"
        assert types["harmonic"] == types["flags"] == "string"
        assert read["harmonic"].null_count == 3000
        assert read["revision"].to_pylist() == [0, 1] * 1500
        # Written in parts, and not as one.
        assert pyarrow.parquet.ParquetFile(tmp_path / "flr.parquet").num_row_groups == 3

    def test_subject_and_time_are_chosen(self, store: Store, tmp_path: Path) -> None:
        other = flr(1)
        keep(
            store, *(flr(n) for n in range(4)), Product("flr", "MUO-PEL", other.time_ns, 0, True, other.body)
        )
        wanted = Wanted(("flr",), T0_NS + HOUR_NS // 2, T0_NS + HOUR_NS, subjects=("TAR-BRZ",))
        (written,) = export(store.path, wanted, tmp_path / "flr.csv", "csv")
        assert written.rows == 1


class TestCommand:
    @pytest.fixture
    def config(self, store: Store, tmp_path: Path) -> Path:
        store.write_samples([SampleBlock("TAR", ("H",), T0_NS, SECOND_NS, np.ones((1, 60)))])
        store.write_samples([SampleBlock("BRZ", ("H",), T0_NS, SECOND_NS, np.ones((1, 60)))])
        keep(store, flr(0))
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({"pairs": ["TAR-BRZ"], "store": {"path": str(store.path)}}))
        return path

    def test_folder_gets_a_file_a_source_and_kind_while_the_store_is_held(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        assert cli.main(["export", "samples", "flr", "region", "-c", str(config), "-o", str(out)]) == 0
        assert sorted(one.name for one in out.iterdir()) == ["BRZ_1s.csv.gz", "TAR_1s.csv.gz", "flr.csv.gz"]
        with gzip.open(out / "flr.csv.gz", "rt") as file:
            assert len(list(csv.DictReader(file))) == 1
        said = capsys.readouterr().err
        assert "TAR_1s.csv.gz: 60 rows" in said
        assert "region.csv.gz: no rows" in said

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (
                ["samples", "-o", "all.csv"],
                "is one file, but there are BRZ_1s, TAR_1s to export; name a folder",
            ),
            (["region", "-o", "out"], "holds nothing of what is asked for"),
            (["flr", "--from", "2018-01-01", "-o", "flr.csv"], "holds nothing of what is asked for"),
            (["flr", "-o", "config.yaml/x"], "cannot be made a folder"),
        ],
    )
    def test_what_cannot_be_done_is_one_line_and_exit_code_1(
        self,
        config: Path,
        tmp_path: Path,
        arguments: list[str],
        line: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert cli.main(["export", *arguments, "-c", str(config)]) == 1
        assert line in capsys.readouterr().err

    def test_file_that_is_there_is_refused(self, config: Path, store: Store, tmp_path: Path) -> None:
        (tmp_path / "flr.csv").write_text("mine")
        with pytest.raises(MonitorError, match=r"flr\.csv: is there already"):
            export(store.path, Wanted(("flr",)), tmp_path / "flr.csv", "csv")
        assert (tmp_path / "flr.csv").read_text() == "mine"

    def test_without_pyarrow_the_way_to_it_is_said(
        self, config: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(MonitorError, match=r"pip install 'geospace-monitor\[parquet\]'"):
            export(store.path, Wanted(("flr",)), tmp_path / "flr.parquet", "parquet")
        assert list(tmp_path.glob("*parquet*")) == []

    def test_kinds_and_formats_of_the_command_are_those_of_the_job(self) -> None:
        from monitor.cli import keeping
        from monitor.io.tables import FORMATS
        from monitor.jobs.export import KINDS

        assert keeping._KINDS == KINDS
        assert keeping._FORMATS == FORMATS
