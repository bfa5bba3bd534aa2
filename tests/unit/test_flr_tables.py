"""A user's labelled tables: four formats that read back identical, conventions, and every fault in one line."""

from __future__ import annotations

import csv
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from scipy import io as scipy_io

from monitor.errors import ArchiveError, ConfigurationError
from monitor.jobs.flr import table_files
from monitor.jobs.flr.dataset import AMBIGUOUS, LabelledSpectra
from monitor.jobs.flr.mapping import load_mapping, parse_mapping
from monitor.jobs.flr.regrid import own_grid_Hz
from monitor.jobs.flr.tables import read_table
from monitor.types import SECOND_NS, FloatArray, Json, iso_time

GRID_HZ = own_grid_Hz()
START_NS = 1_504_742_400 * SECOND_NS  # 2017-09-07T00:00:00Z
HALF_HOUR_NS = 1800 * SECOND_NS
COUNT = 6
LABELS = np.array([0, 1, 2, 1, 0, 1])
RESONANCE_MHZ = np.array([-1.0, 21.5, 30.25, 19.0, -1.0, 23.125])
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "train-on-your-own-labels.md"
Mapping = dict[str, Any]


def phases_deg(seed: int = 1, bins: int = GRID_HZ.size) -> FloatArray:
    return np.random.default_rng(seed).uniform(-179.0, 179.0, (COUNT, bins))


def ends_ns() -> np.ndarray[Any, np.dtype[np.int64]]:
    return START_NS + HALF_HOUR_NS * np.arange(4, 4 + COUNT)


def times() -> list[str]:
    return [iso_time(int(end)) for end in ends_ns()]


def base_mapping(**changes: Json) -> Mapping:
    """A mapping for the arrays of `arrays()`; a change of None takes the key out."""
    mapping: Mapping = {
        "source": "a test",
        "time": {"column": "time", "form": "iso8601", "marks": "end"},
        "cross_phase": {"array": "phase", "unit": "degrees", "sign": "equatorward_minus_poleward"},
        "frequency": {"array": "frequency", "unit": "mHz"},
        "amplitude_ratio": {"array": "ratio", "ratio": "equatorward_over_poleward"},
        "coherence": {"array": "coherence", "squared": True},
        "label": {"column": "class", "classes": {"NoFreq": 0, "Freq": 1, "PBL": 2}},
        "resonance": {"column": "f_res", "unit": "mHz", "none": [-1]},
        "pair": "TAR-BRZ",
        "l_shell": 2.9,
        "smoothing_bins": 11,
        "step_s": 1,
    }
    mapping |= changes
    return {key: value for key, value in mapping.items() if value is not None}


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    return {
        "time": np.array(times()),
        "phase": phases_deg(),
        "frequency": GRID_HZ * 1e3,
        "ratio": rng.uniform(0.2, 5.0, (COUNT, GRID_HZ.size)),
        "coherence": rng.uniform(0.0, 1.0, (COUNT, GRID_HZ.size)),
        "class": LABELS,
        "f_res": RESONANCE_MHZ,
    }


def write_npz(path: Path, content: dict[str, Any]) -> None:
    np.savez(path, **content)


def write_hdf5(path: Path, content: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values


def write_mat(path: Path, content: dict[str, Any]) -> None:
    scipy_io.savemat(path, content, oned_as="column", do_compression=True)


def write_mat73(path: Path, content: dict[str, Any]) -> None:
    """As MATLAB does: a user block with its name, dimensions turned round, texts as cells of code points."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in content.items():
            if values.dtype.kind == "U":
                cells = np.empty((1, values.size), dtype=h5py.ref_dtype)
                for place, text in enumerate(values.tolist()):
                    codes = np.array([[ord(sign)] for sign in text], dtype=np.uint16)
                    file[f"#refs#/{name}{place}"] = codes
                    file[f"#refs#/{name}{place}"].attrs["MATLAB_class"] = np.bytes_("char")
                    cells[0, place] = file[f"#refs#/{name}{place}"].ref
                file[name] = cells
                file[name].attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                column = values[:, None] if values.ndim == 1 else values
                file[name] = column.T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def write_csv(path: Path, content: dict[str, Any]) -> None:
    columns: dict[str, list[Any]] = {}
    for name, values in content.items():
        if values.ndim == 1 and name != "frequency":
            columns[name] = values.tolist()
        elif values.ndim == 2:
            for place in range(values.shape[1]):
                columns[f"{name}_{place}"] = values[:, place].tolist()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def csv_mapping(**changes: Json) -> Mapping:
    mapping = base_mapping(
        cross_phase={"prefix": "phase_", "unit": "degrees", "sign": "equatorward_minus_poleward"},
        frequency={"first": 8000 / 7200, "step": 1000 / 7200, "unit": "mHz"},
        amplitude_ratio={"pattern": r"ratio_(\d+)", "ratio": "equatorward_over_poleward"},
        coherence={"columns": [f"coherence_{place}" for place in range(GRID_HZ.size)], "squared": True},
    )
    return {key: value for key, value in (mapping | changes).items() if value is not None}


FORMATS: dict[str, tuple[str, Callable[[Path, dict[str, Any]], None], Callable[..., Mapping]]] = {
    "csv": ("table.csv", write_csv, csv_mapping),
    "npz": ("table.npz", write_npz, base_mapping),
    "hdf5": ("table.h5", write_hdf5, base_mapping),
    "mat": ("table.mat", write_mat, base_mapping),
    "mat73": ("table73.mat", write_mat73, base_mapping),
}


def table(tmp_path: Path, content: dict[str, Any] | None = None, **changes: Json) -> LabelledSpectra:
    """A table with changed arrays and a changed mapping, through NPZ."""
    write_npz(tmp_path / "table.npz", arrays() | (content or {}))
    return read_table(tmp_path / "table.npz", base_mapping(**changes))


def fault(tmp_path: Path, content: dict[str, Any] | None = None, **changes: Json) -> str:
    with pytest.raises(ArchiveError) as caught:
        table(tmp_path, content, **changes)
    return one_line(caught.value, tmp_path / "table.npz")


def one_line(error: ArchiveError, path: Path) -> str:
    message = str(error)
    assert "\n" not in message
    assert len(message) < 700
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def csv_fault(tmp_path: Path, text: str, **changes: Json) -> str:
    path = tmp_path / "small.csv"
    path.write_text(text)
    mapping = {
        "source": "a test",
        "time": {"column": "time", "form": "iso8601", "marks": "end"},
        "cross_phase": {"prefix": "p", "unit": "degrees", "sign": "equatorward_minus_poleward"},
        "frequency": {"from_names": True, "unit": "mHz"},
        "label": {"column": "class", "classes": {"NoFreq": 0, "Freq": 1}},
        "pair": "TAR-BRZ",
        "smoothing_bins": 3,
        "step_s": 1,
    } | changes
    with pytest.raises(ArchiveError) as caught:
        read_table(path, mapping)
    return one_line(caught.value, path)


class TestFormats:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_table_of_every_format_comes_back_identical(self, tmp_path: Path, kind: str) -> None:
        name, write, mapping = FORMATS[kind]
        content = arrays()
        write(tmp_path / name, content)
        data = read_table(tmp_path / name, mapping())
        # Phases are converted in double precision and kept in single.
        np.testing.assert_array_equal(data.cross_phase_rad, np.radians(content["phase"]).astype(np.float32))
        np.testing.assert_allclose(data.amplitude_ratio, content["ratio"], rtol=3e-7)
        np.testing.assert_array_equal(data.coherence, content["coherence"].astype(np.float32))
        np.testing.assert_array_equal(data.frequency_Hz, GRID_HZ)
        np.testing.assert_array_equal(data.end_ns, ends_ns())
        np.testing.assert_array_equal(data.label, LABELS)
        np.testing.assert_allclose(data.truth_Hz * 1e3, np.where(LABELS > 0, RESONANCE_MHZ, np.nan))
        assert set(data.pair) == {"TAR-BRZ"}
        assert (data.l_shell == 2.9).all()
        assert (data.smoothing_bins == 11).all()
        assert (data.step_s == 1.0).all()
        assert (data.sequence == 0).all()
        assert data.usable.all()
        assert not data.synthetic
        assert data.source == f"a test ({name})"

    def test_arrays_have_the_types_that_the_data_set_promises(self, tmp_path: Path) -> None:
        data = table(tmp_path)
        kinds = {field.name: getattr(data, field.name) for field in fields(data)}
        for name in ("cross_phase_rad", "amplitude_ratio", "coherence"):
            assert kinds[name].dtype == np.float32
            assert kinds[name].shape == (COUNT, GRID_HZ.size)
        for name in ("smoothing_bins", "sequence", "end_ns", "label"):
            assert kinds[name].dtype == np.int64, name
        for name in ("pair", "illumination", "reason"):
            assert kinds[name].dtype.kind == "U", name

    def test_fields_of_a_matlab_struct_are_named_with_a_point(self, tmp_path: Path) -> None:
        content = arrays()
        scipy_io.savemat(tmp_path / "s.mat", {"emma": content, "other": {"a": 1}})
        mapping = yaml.safe_load(
            re.sub(r"(array|column): (\w+)", r"\1: emma.\2", yaml.safe_dump(base_mapping()))
        )
        data = read_table(tmp_path / "s.mat", mapping)
        np.testing.assert_array_equal(data.cross_phase_rad, np.radians(content["phase"]).astype(np.float32))
        assert data.end_ns.tolist() == ends_ns().tolist()
        mapping["label"]["column"] = "emma.missing"
        with pytest.raises(ArchiveError, match=r"has no array 'emma\.missing'.*it has emma, other"):
            read_table(tmp_path / "s.mat", mapping)

    def test_columns_with_frequencies_in_their_names_are_put_in_order(self, tmp_path: Path) -> None:
        names = ["p30", "p9.5", "p100", "p10"]
        rows = [[30.0, 9.5, 100.0, 10.0], [3.0, 0.95, 10.0, 1.0]]
        cells = [f"{time},{','.join(map(str, row))},0" for time, row in zip(times()[:2], rows, strict=True)]
        path = tmp_path / "t.csv"
        path.write_text("# made by hand\n" + "\n".join([f"time,{','.join(names)},class", *cells]))
        mapping = base_mapping(
            cross_phase={"prefix": "p", "unit": "degrees", "sign": "equatorward_minus_poleward"},
            frequency={"from_names": True, "unit": "mHz"},
            amplitude_ratio=None,
            coherence=None,
            resonance=None,
        )
        data = read_table(path, mapping)
        # The phase in degrees equals the frequency in mHz, and is linear in between.
        near = np.abs(GRID_HZ * 1e3 - 9.75).argmin()
        assert np.degrees(data.cross_phase_rad[0, near]) == pytest.approx(GRID_HZ[near] * 1e3, rel=1e-6)
        assert np.isnan(data.cross_phase_rad[:, GRID_HZ < 9.49e-3]).all()
        assert np.isnan(data.coherence).all()
        assert np.isnan(data.amplitude_ratio).all()
        assert np.isnan(data.truth_Hz).all()

    def test_progress_of_a_long_csv_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(table_files, "_CHUNK_ROWS", 2)
        write_csv(tmp_path / "t.csv", arrays())
        quiet = read_table(tmp_path / "t.csv", csv_mapping())
        assert capsys.readouterr().err == ""
        loud = read_table(tmp_path / "t.csv", csv_mapping(), progress=True)
        assert "t.csv: 100%" in capsys.readouterr().err
        np.testing.assert_array_equal(quiet.cross_phase_rad, loud.cross_phase_rad)


class TestConventions:
    @pytest.mark.parametrize(
        ("unit", "sign", "factor"),
        [
            ("degrees", "equatorward_minus_poleward", np.pi / 180),
            ("degrees", "poleward_minus_equatorward", -np.pi / 180),
            ("radians", "equatorward_minus_poleward", 1.0),
            ("radians", "poleward_minus_equatorward", -1.0),
        ],
    )
    def test_cross_phase_is_in_radians_with_our_sign(
        self, tmp_path: Path, unit: str, sign: str, factor: float
    ) -> None:
        phase = np.random.default_rng(3).uniform(-3.0, 3.0, (COUNT, GRID_HZ.size)) / abs(factor)
        data = table(tmp_path, {"phase": phase}, cross_phase={"array": "phase", "unit": unit, "sign": sign})
        np.testing.assert_allclose(data.cross_phase_rad, phase * factor, atol=1e-6)

    def test_reversed_pbl_is_turned_back_and_nothing_else(self, tmp_path: Path) -> None:
        phase, ratio = phases_deg(4), np.full((COUNT, GRID_HZ.size), 4.0)
        data = table(
            tmp_path,
            {"phase": phase, "ratio": ratio},
            cross_phase={
                "array": "phase",
                "unit": "degrees",
                "sign": "equatorward_minus_poleward",
                "pbl_reversed": True,
            },
            amplitude_ratio={"array": "ratio", "ratio": "equatorward_over_poleward", "pbl_reversed": True},
        )
        sign = np.where(LABELS == 2, -1.0, 1.0)[:, None]
        np.testing.assert_allclose(data.cross_phase_rad, sign * np.radians(phase), atol=1e-6)
        np.testing.assert_allclose(data.amplitude_ratio, 4.0**sign * np.ones_like(phase), rtol=1e-6)

    def test_ratio_is_inverted_and_coherence_squared_where_the_mapping_says_so(self, tmp_path: Path) -> None:
        content = arrays()
        data = table(
            tmp_path,
            amplitude_ratio={"array": "ratio", "ratio": "poleward_over_equatorward"},
            coherence={"array": "coherence", "squared": False},
        )
        np.testing.assert_allclose(data.amplitude_ratio, 1.0 / content["ratio"], rtol=1e-6)
        np.testing.assert_allclose(data.coherence, content["coherence"] ** 2, rtol=1e-6)

    def test_array_with_frequencies_in_rows_is_turned(self, tmp_path: Path) -> None:
        upright = table(tmp_path)
        turned = table(tmp_path, {"phase": phases_deg().T})
        np.testing.assert_array_equal(upright.cross_phase_rad, turned.cross_phase_rad)

    def test_square_array_needs_its_orientation(self, tmp_path: Path) -> None:
        phase = phases_deg(bins=COUNT)
        content = {"phase": phase, "frequency": np.linspace(5.0, 10.0, COUNT)}
        less = {"amplitude_ratio": None, "coherence": None}
        message = fault(tmp_path, content, **less)
        assert "phase has as many windows as frequencies (6); state rows: windows" in message
        stated = {"array": "phase", "unit": "degrees", "sign": "equatorward_minus_poleward"}
        by_rows = table(tmp_path, content, **less, cross_phase=stated | {"rows": "windows"})
        by_columns = table(
            tmp_path, content | {"phase": phase.T}, **less, cross_phase=stated | {"rows": "frequencies"}
        )
        np.testing.assert_array_equal(by_rows.cross_phase_rad, by_columns.cross_phase_rad)

    def test_falling_axis_and_hertz_give_the_same(self, tmp_path: Path) -> None:
        content = arrays()
        turned = {name: content[name][:, ::-1] for name in ("phase", "ratio", "coherence")}
        turned["frequency"] = GRID_HZ[::-1]
        upright = table(tmp_path)
        falling = table(tmp_path, turned, frequency={"array": "frequency", "unit": "Hz"})
        np.testing.assert_array_equal(upright.cross_phase_rad, falling.cross_phase_rad)
        np.testing.assert_array_equal(upright.coherence, falling.coherence)

    def test_bins_above_the_nyquist_share_are_masked(self, tmp_path: Path) -> None:
        data = table(tmp_path, {"step": np.array([1, 10, 1, 10, 1, 1])}, step_s={"column": "step"})
        high = GRID_HZ > 40e-3 + 1e-9
        slow = data.step_s == 10.0
        for spectra in (data.cross_phase_rad, data.amplitude_ratio, data.coherence):
            np.testing.assert_array_equal(np.isnan(spectra), slow[:, None] & high)
        assert data.usable.all()

    def test_missing_marks_and_empty_spectra_are_masked(self, tmp_path: Path) -> None:
        phase = phases_deg()
        phase[0, 5] = -999.0
        phase[3] = np.nan
        phase[4, : GRID_HZ.size // 2 + 2] = np.nan
        data = table(
            tmp_path,
            {"phase": phase},
            cross_phase={
                "array": "phase",
                "unit": "degrees",
                "sign": "equatorward_minus_poleward",
                "missing": [-999],
            },
        )
        assert np.isnan(data.cross_phase_rad[0]).nonzero()[0].tolist() == [5]
        assert data.usable.tolist() == [True, True, True, False, False, True]
        assert data.reason.tolist() == ["", "", "", "gap", "gap", ""]

    def test_values_that_no_class_names_are_ambiguous_only_where_it_is_said(self, tmp_path: Path) -> None:
        label = {"column": "class", "classes": {"NoFreq": 0, "Freq": [1.0, "maybe"]}}
        message = fault(tmp_path, label=label)
        assert message.startswith(
            "row 3: class is '2', which no class of the mapping names (they name 0, 1, maybe)"
        )
        data = table(tmp_path, label=label | {"others": "ambiguous"})
        assert data.label.tolist() == [0, 1, AMBIGUOUS, 1, 0, 1]
        named = table(
            tmp_path, label={"column": "class", "classes": {"NoFreq": 0, "Freq": 1, "ambiguous": "2"}}
        )
        assert named.label.tolist() == data.label.tolist()
        assert np.isnan(data.truth_Hz[2])

    def test_words_are_labels_too(self, tmp_path: Path) -> None:
        words = np.array(["none", "F", "P", "F", "none", "F"])
        data = table(
            tmp_path,
            {"class": words},
            label={"column": "class", "classes": {"NoFreq": "none", "Freq": "F", "PBL": ["P"]}},
        )
        assert data.label.tolist() == LABELS.tolist()

    def test_resonance_may_lack_only_where_it_is_said(self, tmp_path: Path) -> None:
        lacking = {"f_res": np.where(np.arange(COUNT) == 3, np.nan, RESONANCE_MHZ)}
        assert fault(tmp_path, lacking).startswith("row 4: f_res has no frequency, but the label is Freq")
        stated = {"column": "f_res", "unit": "mHz", "none": [-1], "required": False}
        data = table(tmp_path, lacking, resonance=stated)
        assert np.isnan(data.truth_Hz).tolist() == [True, False, False, True, True, False]
        np.testing.assert_array_equal(data.label, LABELS)


class TestGrid:
    @pytest.mark.parametrize("spacing_mHz", [0.05, 0.5])
    def test_phase_is_interpolated_across_the_half_turn(self, tmp_path: Path, spacing_mHz: float) -> None:
        axis = np.arange(0.5, 105.0, spacing_mHz)
        true = 12.0 * axis - 170.0  # degrees, many turns
        phase = np.tile(np.remainder(true + 180.0, 360.0) - 180.0, (COUNT, 1))
        data = table(
            tmp_path,
            {"phase": phase, "frequency": axis},
            amplitude_ratio=None,
            coherence=None,
        )
        error = np.exp(1j * data.cross_phase_rad) - np.exp(1j * np.radians(12e3 * GRID_HZ - 170.0))
        # A chord leaves its arc by less than an eighth of the squared angle between two bins.
        assert np.abs(error).max() < np.radians(12.0 * spacing_mHz) ** 2 / 8 + 1e-5

    def test_coherence_is_linear_and_the_ratio_in_its_logarithm(self, tmp_path: Path) -> None:
        axis = np.arange(0.9, 101.0, 0.3)
        content = {
            "phase": np.zeros((COUNT, axis.size)),
            "frequency": axis,
            "ratio": np.tile(np.exp(0.02 * axis), (COUNT, 1)),
            "coherence": np.tile(axis / 200.0, (COUNT, 1)),
        }
        data = table(tmp_path, content)
        np.testing.assert_allclose(np.log(data.amplitude_ratio[0]), 20.0 * GRID_HZ, atol=1e-6)
        np.testing.assert_allclose(data.coherence[0], 5.0 * GRID_HZ, rtol=1e-6)

    def test_bins_outside_the_axis_are_masked(self, tmp_path: Path) -> None:
        axis = np.arange(5.0, 60.1, 0.25)
        data = table(
            tmp_path,
            {"phase": np.full((COUNT, axis.size), 30.0), "frequency": axis},
            amplitude_ratio=None,
            coherence=None,
        )
        inside = (GRID_HZ >= 5e-3 - 1e-9) & (GRID_HZ <= 60e-3 + 1e-9)
        np.testing.assert_array_equal(np.isfinite(data.cross_phase_rad), np.tile(inside, (COUNT, 1)))
        assert data.usable.all()

    def test_neighbour_that_is_missing_masks_only_what_lies_between(self, tmp_path: Path) -> None:
        phase = phases_deg()
        phase[:, 100] = np.nan
        data = table(tmp_path, {"phase": phase})
        assert np.isnan(data.cross_phase_rad).sum() == COUNT

    @pytest.mark.parametrize(
        ("spacing_mHz", "bins", "found"), [(1 / 7.2, 11, 11), (0.5, 3, 11), (0.05, 11, 3)]
    )
    def test_smoothing_keeps_its_width_in_hertz(
        self, tmp_path: Path, spacing_mHz: float, bins: int, found: int
    ) -> None:
        axis = 1.0 + spacing_mHz * np.arange(400)
        data = table(
            tmp_path,
            {"phase": np.zeros((COUNT, axis.size)), "frequency": axis},
            amplitude_ratio=None,
            coherence=None,
            resonance=None,
            smoothing_bins=bins,
        )
        assert set(data.smoothing_bins.tolist()) == {found}

    def test_axis_printed_with_few_digits_is_the_same_grid(self, tmp_path: Path) -> None:
        exact, printed = table(tmp_path), table(tmp_path, {"frequency": np.round(GRID_HZ * 1e3, 4)})
        np.testing.assert_array_equal(exact.cross_phase_rad, printed.cross_phase_rad)


class TestTimes:
    def time(self, form: str, **more: Json) -> Mapping:
        return {"column": "t", "form": form, "marks": "end"} | more

    def test_every_form_gives_the_same_ends(self, tmp_path: Path) -> None:
        seconds = ends_ns() / SECOND_NS
        day = 250.0 + (seconds - seconds[0]) / 86400.0 + 2.0 / 24.0  # 7 September 2017 is day 250
        forms: list[tuple[Any, Mapping]] = [
            (np.array(times()), self.time("iso8601")),
            (np.array([text.replace("T", " ").removesuffix("Z") for text in times()]), self.time("iso8601")),
            (ends_ns().astype("datetime64[ns]"), self.time("iso8601")),
            (seconds, self.time("epoch_seconds")),
            (np.array([f"{one:.0f}" for one in seconds]), self.time("epoch_seconds")),
            (736945.0 + day, self.time("datenum") | {"column": "datenum"}),
            (day, self.time("day_of_year", year=2017)),
            (day, self.time("day_of_year", year={"column": "year"})),
        ]
        for values, stated in forms:
            # MATLAB: datenum(2017, 9, 7) = 736945.
            datenum = 736945.0 + (seconds - 1_504_742_400) / 86400.0
            content = {"t": values, "datenum": datenum, "year": np.full(COUNT, 2017)}
            data = table(tmp_path, content, time=stated)
            assert data.end_ns.tolist() == ends_ns().tolist(), stated

    @pytest.mark.parametrize(("marks", "hours"), [("end", 0.0), ("centre", 1.0), ("start", 2.0)])
    def test_time_marks_a_part_of_the_window(self, tmp_path: Path, marks: str, hours: float) -> None:
        data = table(tmp_path, time={"column": "time", "form": "iso8601", "marks": marks})
        assert ((data.end_ns - ends_ns()) / 3600e9).tolist() == [hours] * COUNT

    def test_first_and_last_day_of_a_leap_year_are_counted_from_one(self, tmp_path: Path) -> None:
        days = np.array([1.0, 60.5, 366.0, 366.5, 366.75, 367.0])
        data = table(tmp_path, {"t": days}, time=self.time("day_of_year", year=2016))
        assert [iso_time(int(end)) for end in data.end_ns] == [
            "2016-01-01T00:00:00Z",
            "2016-02-29T12:00:00Z",
            "2016-12-31T00:00:00Z",
            "2016-12-31T12:00:00Z",
            "2016-12-31T18:00:00Z",
            "2017-01-01T00:00:00Z",
        ]

    def test_rows_come_out_pair_by_pair_in_the_order_of_time(self, tmp_path: Path) -> None:
        pairs = np.array(["TAR-BRZ", "muo-pel", "TAR-BRZ", "MUO-PEL", "TAR-BRZ", "TAR-BRZ"])
        shuffled = np.array(times())[[4, 1, 0, 3, 2, 5]]
        data = table(tmp_path, {"pair": pairs, "time": shuffled}, pair={"column": "pair"}, resonance=None)
        assert data.pair.tolist() == ["TAR-BRZ"] * 4 + ["MUO-PEL"] * 2
        assert data.end_ns.tolist() == ends_ns()[[0, 2, 4, 5, 1, 3]].tolist()
        assert data.label.tolist() == LABELS[[2, 4, 0, 5, 1, 3]].tolist()
        np.testing.assert_allclose(data.cross_phase_rad[0], np.radians(phases_deg()[2]), atol=1e-6)
        assert data.sequence.tolist() == [0, 0, 0, 0, 1, 1]

    def test_long_break_starts_a_new_sequence(self, tmp_path: Path) -> None:
        ends = START_NS + HALF_HOUR_NS * np.array([4, 5, 6, 7, 11, 16])
        data = table(tmp_path, {"time": np.array([iso_time(int(end)) for end in ends])})
        assert data.sequence.tolist() == [0, 0, 0, 0, 0, 1]


class TestFaultsOfFiles:
    def test_missing_file_and_folder_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"nothing\.npz: cannot be read: No such file"):
            read_table(tmp_path / "nothing.npz", base_mapping())
        (tmp_path / "folder.npz").mkdir()
        with pytest.raises(ArchiveError, match=r"folder\.npz: is no file"):
            read_table(tmp_path / "folder.npz", base_mapping())
        with pytest.raises(ArchiveError, match="cannot be the name of a file"):
            read_table(Path("a\0b.npz"), base_mapping())

    def test_unknown_suffix_asks_for_the_format(self, tmp_path: Path) -> None:
        write_npz(tmp_path / "table.npz", arrays())
        path = (tmp_path / "table.npz").rename(tmp_path / "table.dat")
        with pytest.raises(
            ArchiveError, match=r"table\.dat: has a suffix that tells no format; state format"
        ):
            read_table(path, base_mapping())
        assert len(read_table(path, base_mapping(format="npz"))) == COUNT

    def test_files_and_arrays_that_are_too_large_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for kind in ("npz", "hdf5", "mat", "mat73"):
            name, write, mapping = FORMATS[kind]
            # Zeros are packed small, and are large when read.
            zeros = {"phase": np.zeros((COUNT, GRID_HZ.size)), "frequency": GRID_HZ * 1e3}
            content = arrays() | zeros
            path = tmp_path / name
            if kind == "npz":
                np.savez_compressed(path, **content)
            else:
                write(path, content)
            array_bytes = 8 * COUNT * GRID_HZ.size
            with monkeypatch.context() as patch:
                patch.setattr(
                    Path, "stat", lambda self, **_: type("Stat", (), {"st_size": 10, "st_mode": 0o100644})()
                )
                patch.setattr(table_files, "MAXIMUM_BYTES", array_bytes - 1)
                with pytest.raises(
                    ArchiveError, match=f"phase takes {array_bytes}|phase takes {array_bytes + 128}"
                ):
                    read_table(path, mapping())
        monkeypatch.setattr(table_files, "MAXIMUM_BYTES", 1000)
        with pytest.raises(ArchiveError, match=r"holds \d+ bytes; 1000 at most are read"):
            read_table(tmp_path / "table.npz", base_mapping())

    @pytest.mark.parametrize("name", ["t.npz", "t.h5", "t.mat"])
    @pytest.mark.parametrize(
        "content", [b"", b"rubbish" * 100, b"PK\x03\x04" + bytes(200), b"\x89HDF\r\n\x1a\n" + bytes(600)]
    )
    def test_rubbish_is_no_file_of_any_format(self, tmp_path: Path, name: str, content: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ArchiveError) as caught:
            read_table(path, base_mapping())
        assert re.match(r"is (no|a damaged) ", one_line(caught.value, path))

    @pytest.mark.parametrize("kind", ["npz", "hdf5", "mat", "mat73"])
    def test_file_that_is_cut_off_or_damaged_raises_one_line(self, tmp_path: Path, kind: str) -> None:
        name, write, mapping = FORMATS[kind]
        path = tmp_path / name
        write(path, arrays())
        whole = path.read_bytes()
        rng = np.random.default_rng(5)
        refused = 0
        for cut in rng.integers(1, len(whole), 12).tolist():
            path.write_bytes(whole[:cut])
            with pytest.raises(ArchiveError) as caught:
                read_table(path, mapping())
            one_line(caught.value, path)
        for _ in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 4096), 20).tolist():
                damaged[place] ^= int(rng.integers(1, 256))
            path.write_bytes(bytes(damaged))
            try:
                read_table(path, mapping())
            except ArchiveError as error:
                one_line(error, path)
                refused += 1
        assert refused > 0

    def test_pickled_objects_are_never_read(self, tmp_path: Path) -> None:
        content = arrays() | {"class": np.array([{"a": 1}] * COUNT, dtype=object)}
        np.savez(tmp_path / "table.npz", **content)
        with pytest.raises(ArchiveError, match="class cannot be read: Object arrays cannot be loaded"):
            read_table(tmp_path / "table.npz", base_mapping())

    def test_lone_array_is_no_npz(self, tmp_path: Path) -> None:
        path = tmp_path / "table.npz"
        with path.open("wb") as file:
            np.save(file, phases_deg())
        with pytest.raises(ArchiveError, match="is no NPZ file"):
            read_table(path, base_mapping())
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("time.npy", b"rubbish")
        with pytest.raises(ArchiveError, match="time cannot be read"):
            read_table(path, base_mapping())

    @pytest.mark.parametrize("kind", ["hdf5", "mat73"])
    def test_missing_h5py_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        name, write, mapping = FORMATS[kind]
        write(tmp_path / name, arrays())
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(ArchiveError, match=r"h5py, which is not installed: pip install") as caught:
            read_table(tmp_path / name, mapping())
        one_line(caught.value, tmp_path / name)

    @pytest.mark.parametrize("kind", ["npz", "hdf5", "mat", "mat73"])
    def test_array_that_is_not_there_is_named_with_those_that_are(self, tmp_path: Path, kind: str) -> None:
        name, write, mapping = FORMATS[kind]
        write(tmp_path / name, arrays())
        stated = {"array": "coh", "squared": True}
        with pytest.raises(
            ArchiveError, match=r"has no array 'coh', which the mapping names; it has .*phase"
        ):
            read_table(tmp_path / name, mapping(coherence=stated))


class TestFaultsOfArrays:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                {"phase": np.zeros((COUNT, 5))},
                "phase has the shape (6, 5), which does not fit 6 windows and 713",
            ),
            ({"phase": np.zeros(COUNT)}, "phase has the shape (6,); a 2-D array is needed"),
            (
                {"phase": np.full((COUNT, GRID_HZ.size), 1j)},
                "phase holds complex128; real numbers are needed",
            ),
            ({"frequency": np.array(["a"] * 713)}, "frequency holds <U1; real numbers are needed"),
            ({"class": np.zeros(5)}, "class has 5 values, but time has 6"),
            ({"class": np.zeros((COUNT, 2))}, "class has the shape (6, 2); one value a window is needed"),
            ({"class": np.full(COUNT, 1j)}, "class holds complex128; numbers or texts are needed"),
            ({"time": np.array([], dtype="U1"), "class": np.array([])}, "time is empty: there is no window"),
        ],
    )
    def test_shape_or_type_that_does_not_fit(
        self, tmp_path: Path, content: dict[str, Any], message: str
    ) -> None:
        assert fault(tmp_path, content).startswith(message)

    def set(self, name: str, row: int, column: int, value: float) -> dict[str, Any]:
        values = arrays()[name]
        values[row, column] = value
        return {name: values}

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("phase", 400.0, "row 3: phase column 8 is 400; a phase is from −360 to 360 degrees"),
            ("phase", np.inf, "row 3: phase column 8 is inf; a finite number is needed"),
            ("ratio", 0.0, "row 3: ratio column 8 is 0; a ratio of amplitudes is from 1e-09 to 1e+09"),
            ("ratio", -2.0, "row 3: ratio column 8 is -2; a ratio of amplitudes is from 1e-09 to 1e+09"),
            ("coherence", 1.5, "row 3: coherence column 8 is 1.5; a coherence is from 0 to 1"),
            ("coherence", -0.5, "row 3: coherence column 8 is -0.5; a coherence is from 0 to 1"),
        ],
    )
    def test_value_that_cannot_be_is_named_with_its_place(
        self, tmp_path: Path, name: str, value: float, message: str
    ) -> None:
        assert fault(tmp_path, self.set(name, 2, 7, value)).startswith(message)

    def test_degrees_taken_for_radians_are_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        stated = {"array": "phase", "unit": "radians", "sign": "equatorward_minus_poleward"}
        assert "a phase is from −2π to 2π radians: is it in degrees?" in fault(tmp_path, cross_phase=stated)
        table(tmp_path, {"phase": np.radians(phases_deg())})
        assert "no cross-phase is larger than 3.12 degrees; is it in radians?" in caplog.text

    @pytest.mark.parametrize(
        ("axis", "message"),
        [
            (
                GRID_HZ,
                "its frequencies reach from 0.00111111 to 0.1 mHz, the program's from 1.11 to 100; is frequency",
            ),
            (GRID_HZ[::-1] * 0 + 5.0, "its frequency axis has 5 mHz at place 2; frequencies must be finite"),
            (np.where(np.arange(713) == 4, np.nan, GRID_HZ), "its frequency axis has nan mHz at place 5"),
            (GRID_HZ - 0.01, "its frequency axis has -0.00888889 mHz at place 1"),
        ],
    )
    def test_axis_that_cannot_be_used(self, tmp_path: Path, axis: FloatArray, message: str) -> None:
        assert fault(tmp_path, {"frequency": axis}).startswith(message)

    def test_axis_of_another_length_is_refused(self, tmp_path: Path) -> None:
        message = fault(tmp_path, frequency={"values": [1.0, 2.0, 3.0], "unit": "mHz"})
        assert message == "cross_phase has 713 frequencies, but the axis has 3"
        assert "which does not fit 6 windows and 3 freq" in fault(tmp_path, {"frequency": np.arange(3.0)})

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (
                [-1, 21.5, 30.0, 0.019, -1, 23.0],
                "row 4: f_res is 0.019 mHz; a resonance is from 1.1 to 100 mHz",
            ),
            ([-1, 21500.0, 30.0, 19.0, -1, 23.0], "row 2: f_res is 21500 mHz; a resonance is from 1.1"),
            ([-1, 0.0, 30.0, 19.0, -1, 23.0], "row 2: f_res is 0 mHz; a resonance is from 1.1"),
        ],
    )
    def test_resonance_outside_the_band_is_refused(
        self, tmp_path: Path, values: list[float], message: str
    ) -> None:
        assert fault(tmp_path, {"f_res": np.array(values)}).startswith(message)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"l_shell": 0.5}, "l_shell in the mapping is 0.5; allowed are 1 to 100"),
            (
                {"l_shell": {"column": "odd"}},
                "row 2: odd is -1; allowed are 1 to 100 (l_shell in the mapping)",
            ),
            ({"step_s": 0}, "step_s in the mapping is 0; allowed are 0.05 to 60"),
            (
                {"step_s": {"column": "odd"}},
                "row 2: odd is -1; allowed are 0.05 to 60 (step_s in the mapping)",
            ),
            (
                {"smoothing_bins": {"column": "odd"}},
                "row 2: odd is -1; allowed are 1 to 1000 (smoothing_bins",
            ),
            (
                {"pair": {"column": "names"}},
                "row 2: names is 'TAR'; write POLEWARD-EQUATORWARD, such as TAR-BRZ",
            ),
            ({"step_s": {"column": "names"}}, "row 1: names is 'TAR-BRZ'; write a number or nothing"),
        ],
    )
    def test_number_or_pair_that_cannot_be(self, tmp_path: Path, changes: Mapping, message: str) -> None:
        content = {
            "odd": np.array([3.0, -1.0, 3.0, 3.0, 3.0, 3.0]),
            "names": np.array(["TAR-BRZ", "TAR", "a", "b", "c", "d"]),
        }
        assert fault(tmp_path, content, **changes).startswith(message)

    def test_unknown_l_is_nan(self, tmp_path: Path) -> None:
        shells = np.array([2.9, np.nan, 2.9, 2.9, 2.9, 2.9])
        data = table(tmp_path, {"L": shells}, l_shell={"column": "L"})
        np.testing.assert_array_equal(data.l_shell, shells)
        assert np.isnan(table(tmp_path, l_shell=None).l_shell).all()

    def test_two_rows_of_one_window_are_refused(self, tmp_path: Path) -> None:
        same = times()
        same[4] = same[1]
        message = fault(tmp_path, {"time": np.array(same)})
        assert (
            message == "row 5 repeats the window of TAR-BRZ that ends 2017-09-07T02:30:00Z (row 2); keep one"
        )

    @pytest.mark.parametrize(
        ("form", "values", "message"),
        [
            ("iso8601", ["2017-09-07"] * COUNT, "row 1: t cannot be read as a time: found '2017-09-07'"),
            (
                "iso8601",
                ["1917-09-07T00:00:00"] * COUNT,
                "row 1: t is '1917-09-07T00:00:00', which as iso8601 is",
            ),
            (
                "epoch_seconds",
                ends_ns() / 1e6,
                "row 1: t is 1.5047496e+12, which as epoch_seconds is not from 1980",
            ),
            (
                "epoch_seconds",
                np.arange(COUNT) + 250.0,
                "row 1: t is 250, which as epoch_seconds is not from 1980",
            ),
            ("epoch_seconds", np.full(COUNT, np.nan), "row 1: t is nan, which as epoch_seconds"),
            ("datenum", ends_ns() / 1e9, "row 1: t is 1504749600, which as datenum is not from 1980"),
            (
                "day_of_year",
                np.arange(COUNT) + 361.0,
                "row 6: t is 366; a day of the year 2017 is from 1.0 to 366",
            ),
            ("day_of_year", np.arange(COUNT) + 0.5, "row 1: t is 0.5; a day of the year 2017 is from 1.0"),
        ],
    )
    def test_time_that_cannot_be_names_the_form(
        self, tmp_path: Path, form: str, values: Any, message: str
    ) -> None:
        stated = {"column": "t", "form": form, "marks": "end"}
        if form == "day_of_year":
            stated |= {"year": 2017}
            values = values + 0.25 if message.startswith("row 6") else values
            message = message.replace("is 366;", "is 366.25;")
        assert fault(tmp_path, {"t": np.array(values)}, time=stated).startswith(message)

    @pytest.mark.parametrize("year", [17, 2017.5])
    def test_year_that_is_none_is_refused(self, tmp_path: Path, year: float) -> None:
        stated = {"column": "t", "form": "day_of_year", "marks": "end", "year": year}
        message = fault(tmp_path, {"t": np.full(COUNT, 3.0)}, time=stated)
        assert message.startswith(
            f"row 1: time.year in the mapping is {year:g}; a whole year from 1980 to 2099"
        )


class TestFaultsOfCsv:
    HEAD = "time,p10,p20,p30,class\n"
    ROW = "2017-09-07T02:00:00Z,1,2,3,0\n"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty; expected is a line with the names of the columns"),
            ("time,p10,p20,class\n", "holds no rows of data"),
            (HEAD + "2017-09-07T02:00:00Z,1,2,0\n", "line 2: 4 cells, but the header names 5"),
            (
                HEAD + ROW + "\n2017-09-07T02:30:00Z,1,x,3,0\n",
                "line 4: p20 is 'x'; write a number or nothing",
            ),
            ("time,p10,p20,p20,class\n" + ROW, "has 2 columns 'p20'; give each its own name"),
            (
                "time,p10,p20,p30,kind\n" + ROW,
                "has no column 'class', which the mapping names; it has time, p10",
            ),
            (
                "time,a,b,c,class\n" + ROW,
                "no column fits cross_phase.prefix 'p'; it has time, a, b, c, class",
            ),
            ("time,p10,p20,px,class\n" + ROW, "the name of the column 'px' holds no frequency"),
            (HEAD + ROW.replace(",0\n", ",7\n"), "line 2: class is '7', which no class of the mapping names"),
            (
                HEAD + ROW.replace("T02", " 25"),
                "line 2: time cannot be read as a time: found '2017-09-07T25:00:00Z'",
            ),
            (
                HEAD + '"' + "x" * 140_000,
                "line 2: cannot be read as CSV: field larger than field limit (131072)",
            ),
        ],
    )
    def test_fault_names_line_column_and_value(self, tmp_path: Path, text: str, message: str) -> None:
        assert csv_fault(tmp_path, text).startswith(message)

    def test_empty_cells_and_words_are_missing_values(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text(
            self.HEAD.replace(",", ";") + "2017-09-07T02:00:00Z;;5;nan;0\n2017-09-07T02:30:00Z;1;2;3;1\n"
        )
        mapping = csv_mapping(
            cross_phase={"prefix": "p", "unit": "degrees", "sign": "equatorward_minus_poleward"},
            frequency={"from_names": True, "unit": "mHz"},
            amplitude_ratio=None,
            coherence=None,
            resonance=None,
            delimiter=";",
        )
        data = read_table(path, mapping)
        at_20 = int(np.abs(GRID_HZ - 20e-3).argmin())
        assert np.isfinite(data.cross_phase_rad[0]).nonzero()[0].tolist() == [at_20]
        assert data.usable.tolist() == [False, True]

    def test_bytes_that_are_no_text_are_told(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_bytes(b"time,\xff\n1,2\n")
        with pytest.raises(ArchiveError, match="holds the byte 0xff, which is not UTF-8; is it CSV"):
            read_table(path, csv_mapping())

    def test_arrays_are_not_to_be_had_from_csv(self, tmp_path: Path) -> None:
        write_csv(tmp_path / "t.csv", arrays())
        with pytest.raises(
            ArchiveError, match="a CSV file has no 2-D array: give columns, prefix or pattern"
        ):
            read_table(tmp_path / "t.csv", base_mapping())
        with pytest.raises(ArchiveError, match="a CSV file has no array of frequencies: give first and step"):
            read_table(tmp_path / "t.csv", csv_mapping(frequency={"array": "frequency", "unit": "mHz"}))
        names = {"columns": ["phase_1", "phase_2"], "unit": "degrees", "sign": "equatorward_minus_poleward"}
        with pytest.raises(ArchiveError, match=r"frequency\.from_names needs cross_phase\.prefix"):
            read_table(
                tmp_path / "t.csv",
                csv_mapping(cross_phase=names, frequency={"from_names": True, "unit": "mHz"}),
            )


class TestMapping:
    def faults(self, text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            parse_mapping(text, "map.yaml")
        return str(caught.value).splitlines()

    def changed(self, before: str, after: str) -> list[str]:
        text = yaml.safe_dump(base_mapping(), sort_keys=False)
        assert before in text
        return self.faults(text.replace(before, after, 1))

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            (
                "unit: degrees",
                "unit: degree",
                "cross_phase.unit: found degree; it must be one of 'degrees', 'radians'",
            ),
            ("  unit: degrees\n", "", "cross_phase.unit: the key unit is missing here; add it"),
            (
                "  sign: equatorward_minus_poleward\n",
                "",
                "cross_phase.sign: the key sign is missing here; add it",
            ),
            (
                "array: ratio",
                "array: ratio\n  prefix: r",
                "amplitude_ratio: found array and prefix; give exactly one",
            ),
            ("  array: ratio\n", "", "amplitude_ratio: found none of them; give exactly one: array, columns"),
            (
                "array: ratio",
                "pattern: '('",
                "amplitude_ratio.pattern: found (, which is no regular expression",
            ),
            ("array: ratio", "pattern: '(a)(b)'", "amplitude_ratio.pattern: found (a)(b); one group"),
            ("array: ratio", "columns: []", "amplitude_ratio: found an empty list of columns"),
            ("array: frequency", "first: 1.0", "frequency: first and step belong together; give both"),
            ("pair: TAR-BRZ", "pair: TAR", "pair: found pair TAR; write POLEWARD-EQUATORWARD"),
            (
                "pair: TAR-BRZ",
                "pair: {}",
                "pair: found none of them; give exactly one: a pair such as TAR-BRZ",
            ),
            ("squared: true", "squared: maybe", "coherence.squared: found maybe; it must be true or false"),
            ("source: a test", "source: yes", "source: found yes, which YAML reads as true; quote it"),
            ("step_s: 1", "step_s: no", "step_s: found no; it must be a number"),
            ("step_s: 1", "step_s: 1\nstep_s: 2", "duplicate key step_s (first on line"),
            ("step_s: 1", "stepp_s: 1", "step_s: the key step_s is missing here; add it"),
            ("step_s: 1", "step_s: 1\nlabels: 3", "labels: unknown key labels (did you mean label?)"),
            (
                "Freq: 1",
                "Freq: no",
                "label.classes.Freq: found false; write a number, a text in quotes, or a list",
            ),
            ("Freq: 1", "Freq: [1, 2]", "label.classes: found 2 under Freq and under PBL; keep one"),
            ("Freq: 1", "Fraq: 1", "label.classes.Fraq: unknown key Fraq (did you mean Freq?)"),
            (
                "form: iso8601",
                "form: day_of_year",
                "time: day_of_year needs year (a number, or column: NAME)",
            ),
            (
                "marks: end",
                "marks: middle",
                "time.marks: found middle; it must be one of 'start', 'centre', 'end'",
            ),
            ("source: a test", "source: a test\nwindow_s: 0", "window_s: found 0; it must be greater than 0"),
            ("source: a test", "source: 'a test", "cannot be read as YAML"),
        ],
    )
    def test_fault_names_file_key_and_value(self, before: str, after: str, message: str) -> None:
        lines = self.changed(before, after)
        assert all(re.match(r"map\.yaml:\d+:\d+: ", line) for line in lines)
        assert any(message in line for line in lines), lines

    def test_all_faults_come_at_once(self) -> None:
        assert len(self.faults("source: x\ntime: 3\nlabel: {column: c}\nfoo: 1\n")) >= 6

    def test_classes_without_any_value_are_refused(self) -> None:
        text = yaml.safe_dump(base_mapping(label={"column": "class", "classes": {}}))
        assert self.faults(text)[0].endswith(
            "label.classes: no value is given for any class; write NoFreq: 0 and so on"
        )

    def test_file_and_dict_say_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "map.yaml"
        path.write_text(yaml.safe_dump(base_mapping()))
        assert load_mapping(path) == load_mapping(base_mapping())
        write_npz(tmp_path / "table.npz", arrays())
        data = read_table(tmp_path / "table.npz", path)
        assert len(data) == COUNT
        with pytest.raises(ConfigurationError, match=r"^mapping:\d+:\d+: pair: found pair X"):
            load_mapping(base_mapping(pair="X"))
        with pytest.raises(ConfigurationError, match=r"^mapping:1:1: holds what YAML cannot: .*object"):
            load_mapping(base_mapping(step_s=object()))

    def test_mapping_that_cannot_be_read_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"none\.yaml:1:1: cannot be read \(No such file"):
            load_mapping(tmp_path / "none.yaml")
        (tmp_path / "bytes.yaml").write_bytes(b"source: \xff")
        with pytest.raises(ConfigurationError, match="holds the byte 0xff, which is not UTF-8"):
            load_mapping(tmp_path / "bytes.yaml")
        with pytest.raises(ConfigurationError, match="is not a possible path"):
            load_mapping(Path("a\0b"))

    def test_mappings_of_the_how_to_page_are_good(self) -> None:
        blocks = re.findall(
            r"^<!-- mapping -->\n```text\n(.*?)^```$",
            PAGE.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        )
        assert len(blocks) >= 2
        for block in blocks:
            assert parse_mapping(block, PAGE.name).source
