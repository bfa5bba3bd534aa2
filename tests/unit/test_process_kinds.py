"""`process`: which files it takes, in which pieces, which objects it writes, and how it counts them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from monitor import cli
from monitor.config import Config, quick_config
from monitor.errors import MonitorError
from monitor.io.files.series import SourceSeries
from monitor.jobs.panels import Panels
from monitor.jobs.process import process_series, read_series
from monitor.types import CELL_NS, REGIONS, SECOND_NS, Domain, Json, Product, SampleBlock, iso_time

T0_NS = 1_504_785_600 * SECOND_NS


def product(kind: str, subject: str, revision: int = 0, **body: Json) -> Product:
    return Product(kind, subject, T0_NS, revision, True, {"kind": kind, **body})


def test_all_kinds_but_health_are_written_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    crossing = "plasmapause_crossing/emma"
    given = [
        product("flr", "TAR-BRZ", label="Freq"),
        product("health", "TAR"),
        product("profile", "emma"),
        product("plasmapause", "emma"),
        product("event", crossing, properties={"state": "begin"}),
        product("event", crossing, 1, properties={"state": "update"}),
        product("event", crossing, 2, properties={"state": "end"}),
    ]

    def nothing(_blocks: Sequence[SampleBlock]) -> list[Product]:
        return []

    stub = SimpleNamespace(feed=nothing, flush=lambda: given)
    monkeypatch.setattr("monitor.jobs.process.Pipeline", lambda *_, **__: stub)
    output = io.BytesIO()
    report = process_series([], Config(), output)
    written = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [one["kind"] for one in written] == [one.kind for one in given if one.kind != "health"]
    assert all("pubtime" in one["properties"] for one in written if one["kind"] == "event")
    assert report.objects == {"flr": 1, "profile": 1, "plasmapause": 1, "event": 3}
    assert (report.events, report.labels) == (1, {"Freq": 1})


def series(
    source: str,
    step_ns: int,
    seconds: int,
    domain: Domain = Domain.GROUND,
    components: tuple[str, ...] = ("H", "E"),
) -> SourceSeries:
    values = np.ones((len(components), seconds * SECOND_NS // step_ns))
    return SourceSeries(source, components, T0_NS, step_ns, values, "made", domain)


def craft(seconds: int, components: tuple[str, ...] = ("Bx", "N"), step_ns: int = CELL_NS) -> SourceSeries:
    return series("MMS1", step_ns, seconds, Domain.CRAFT, components)


class Recorder:
    """Stands for the pipeline: keeps what it is fed, and says at the end what it was given to say."""

    def __init__(self, said: Sequence[Product] = ()) -> None:
        self.fed: list[list[SampleBlock]] = []
        self.said = list(said)

    def admit(self, _block: SampleBlock) -> None:
        """Everything is let in."""

    def feed(self, blocks: Sequence[SampleBlock]) -> list[Product]:
        self.fed.append(list(blocks))
        return []

    def flush(self) -> list[Product]:
        return self.said


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr("monitor.jobs.process.Pipeline", lambda *_, **__: made)
    return made


def region(minutes: int, label: str | None, revision: int = 0, craft: str = "MMS1") -> Product:
    time_ns = T0_NS + minutes * 60 * SECOND_NS
    body: dict[str, Json] = {
        "schema": "geospace/region/1",
        "craft": craft,
        "time": iso_time(time_ns),
        "window_s": 180.0,
        "label": label,
        "probability": None if label is None else dict.fromkeys(map(str, REGIONS), 0.1),
        "quality": "poor",
    }
    return Product("region", craft, time_ns, revision, revision == 0, body)


def test_regions_and_their_events_are_written_and_windows_counted_once(recorder: Recorder) -> None:
    crossing = product("event", "bow_shock_crossing/MMS1", properties={"state": "begin"})
    recorder.said = [
        region(3, "SW"),
        region(6, "MSH"),
        region(6, "BS", revision=1),
        region(9, None),
        region(3, "SW", craft="THA"),
        crossing,
    ]
    output = io.BytesIO()
    report = process_series([], Config(), output)
    written = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [one.get("label") for one in written[:5]] == ["SW", "MSH", "BS", None, "SW"]
    assert all("published" in one for one in written[:5])
    assert (report.objects, report.events) == ({"region": 5, "event": 1}, 1)
    assert report.regions == {"SW": 2, "BS": 1, "none": 1}
    assert not report.labels


@pytest.mark.parametrize(
    ("used", "piece_s"),
    [
        ([series("TAR", SECOND_NS, 600)], 50),
        ([craft(1800)], 600),
        ([craft(1800, ("Bx",), 4 * SECOND_NS), craft(1800, ("N", "T"))], 600),
        ([series("TAR", SECOND_NS, 600), craft(600)], 50),
    ],
)
def test_pieces_last_half_of_what_stations_wait_and_long_where_there_are_none(
    recorder: Recorder, used: list[SourceSeries], piece_s: int
) -> None:
    config = Config.model_validate(
        {"windows": {"lateness_s": 100.0}, "craft_windows": {"lateness_s": 20.0}, "craft": ["MMS1"]}
    )
    report = process_series(used, config, io.BytesIO())
    piece_ns = piece_s * SECOND_NS
    for blocks in recorder.fed:
        assert {block.t0_ns // piece_ns for block in blocks} == {blocks[0].t0_ns // piece_ns}
        assert {(block.source, block.components) for block in blocks} == {
            (one.source, one.components) for one in used
        }
    assert len(recorder.fed) == max(one.end_ns - T0_NS for one in used) // piece_ns
    assert report.samples == sum(one.count for one in used)


def test_panels_see_the_regions_and_are_named_in_the_report(recorder: Recorder, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra train) is not installed")
    used = [craft(600)]
    recorder.said = [region(3, None)]
    panels = Panels(tmp_path / "out.png", used, 180 * SECOND_NS)
    report = process_series(used, Config(), io.BytesIO(), panels=panels)
    assert report.pictures == [tmp_path / "out.png"]
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def write_craft(path: Path, count: int = 400) -> str:
    rows = [f"{iso_time(T0_NS + k * CELL_NS)},3.0,-3.0,1.0,6.0" for k in range(count)]
    path.write_text("\n".join(["time,Bx,By,Bz,N", *rows, ""]))
    return str(path)


def write_station(path: Path) -> str:
    rows = [f"{iso_time(T0_NS + k * SECOND_NS)},20000.0,1.0" for k in range(60)]
    path.write_text("\n".join(["time,H,E", *rows, ""]))
    return str(path)


class TestReading:
    def test_spacecraft_are_taken_where_they_are_asked_for(self, tmp_path: Path) -> None:
        spec = f"MMS1={write_craft(tmp_path / 'a.csv')}"
        config = quick_config([], ["MMS1"])
        assert {one.source for one in read_series([spec], config, craft=True)} == {"MMS1"}
        # Those who learn of pairs want the ground alone.
        with pytest.raises(MonitorError, match="no station of the pairs is in these files: they hold MMS1"):
            read_series([spec], config)

    def test_only_what_is_configured_is_kept(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        specs = [
            f"MMS1={write_craft(tmp_path / 'a.csv')}",
            write_station(tmp_path / "TAR_day.csv"),
            write_station(tmp_path / "PEL_day.csv"),
        ]
        config = quick_config(["TAR-BRZ"], ["MMS1"])
        caplog.set_level("INFO")
        assert {one.source for one in read_series(specs, config, craft=True)} == {"MMS1", "TAR"}
        assert "PEL belongs to no pair and is left out" in caplog.text
        assert {one.source for one in read_series(specs, config)} == {"TAR"}

    @pytest.mark.parametrize(
        ("pairs", "message"),
        [
            ([], "they hold TAR, spacecraft are MMS1; name what a file is of with CODE=FILE"),
            (["MUO-PEL"], "they hold TAR, the pairs need MUO, PEL, and spacecraft are MMS1; name"),
        ],
    )
    def test_files_of_neither_are_refused_with_what_they_hold(
        self, tmp_path: Path, pairs: list[str], message: str
    ) -> None:
        spec = write_station(tmp_path / "TAR_day.csv")
        with pytest.raises(MonitorError, match=message):
            read_series([spec], quick_config(pairs, ["MMS1"]), craft=True)


class TestCommand:
    def test_summary_counts_regions_and_names_the_pictures(
        self, recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("matplotlib", reason="matplotlib (extra train) is not installed")
        recorder.said = [region(3, "SW"), region(6, "SW"), region(9, None)]
        spec = f"MMS1={write_craft(tmp_path / 'a.csv')}"
        picture, output = tmp_path / "seen.png", tmp_path / "out.jsonl"
        command = ["process", spec, "--craft", "MMS1", "-o", str(output), "--panels", str(picture)]
        assert cli.main(command) == 0
        said = capsys.readouterr().err.splitlines()[-1]
        assert said == f"400 samples; regions: 2 SW, 1 none; 0 events; drew {picture}"
        assert picture.is_file()
        assert len(output.read_text().splitlines()) == 3

    def test_panels_that_cannot_be_drawn_leave_the_output_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spec = f"MMS1={write_craft(tmp_path / 'a.csv')}"
        output = tmp_path / "out.jsonl"
        output.write_text("of an earlier run\n")
        command = ["process", spec, "--craft", "MMS1", "-o", str(output), "--panels", str(tmp_path / "x.pdf")]
        assert cli.main(command) == 1
        assert "name it OUT.png" in capsys.readouterr().err
        assert output.read_text() == "of an earlier run\n"
