"""The panels of a spacecraft and the window coloured by its activation: what is drawn, and where."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import MonitorError
from monitor.io.files.series import SourceSeries
from monitor.jobs.panels import Panels
from monitor.types import CELL_NS, REGIONS, SECOND_NS, Domain, Json, Product, Region, iso_time

pytest.importorskip("matplotlib", reason="matplotlib (extra train) is not installed")

from matplotlib.figure import Figure
from matplotlib.text import Text

from monitor.jobs.panels_drawing import NOTHING, QUALITY_COLOUR, REGION_COLOUR, SIZE_IN, Span, panel_figure
from monitor.jobs.region.figures_cam import cam_figure

T0_NS = 1_573_257_600 * SECOND_NS
HOP_NS = 180 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
ALL = ("Bx", "By", "Bz", "N", "Vx", "Vy", "Vz", "Tpar", "Tperp")


def measured(
    components: Sequence[str] = ALL, *, hours: float = 1.0, t0_ns: int = T0_NS, craft: str = "MMS1"
) -> SourceSeries:
    count = round(hours * HOUR_NS / CELL_NS)
    values = np.tile(np.arange(1.0, len(components) + 1.0)[:, None], count)
    return SourceSeries(craft, tuple(components), t0_ns, CELL_NS, values, "made", Domain.CRAFT)


def body(
    end_ns: int, label: Region | None, quality: str = "good", confidence: float = 0.9
) -> dict[str, Json]:
    probability = None
    if label is not None:
        probability = {str(region): (1.0 - confidence) / 9.0 for region in REGIONS}
        probability[label] = confidence
    return {
        "time": iso_time(end_ns),
        "window_s": 180.0,
        "label": None if label is None else str(label),
        "probability": probability,
        "quality": "poor" if label is None else quality,
    }


def product(end_ns: int, label: Region | None, revision: int = 0, craft: str = "MMS1") -> Product:
    return Product("region", craft, end_ns, revision, True, body(end_ns, label))


def crossing(start_ns: int, kind: str = "bow_shock_crossing", **more: Json) -> dict[str, Json]:
    return {
        "data_id": f"{kind}/{start_ns}",
        "kind": kind,
        "subject": "MMS1",
        "direction": "inbound",
        "start_datetime": iso_time(start_ns),
        "state": "begin",
        **more,
    }


def figure_of(
    regions: Sequence[dict[str, Json]],
    series: Sequence[SourceSeries] = (),
    events: Sequence[dict[str, Json]] = (),
    hop_ns: int = HOP_NS,
) -> Figure:
    span = Span(T0_NS, T0_NS + HOUR_NS)
    return panel_figure("MMS1", span, series or [measured()], regions, events, hop_ns=hop_ns)


def painted(figure: Figure) -> Figure:
    """The figure with its pixels."""
    figure.canvas.draw()
    return figure


def colour_at(figure: Figure, axis: int, at_ns: int, height: float) -> str:
    """Colour of the pixel at a time and a height (of the data) of a panel of a painted figure."""
    image = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    days = at_ns / (86_400 * SECOND_NS)
    column, row = figure.axes[axis].transData.transform((days, height))
    red, green, blue, _ = image[image.shape[0] - 1 - int(row), int(column)]
    return f"#{red:02X}{green:02X}{blue:02X}"


def texts(figure: Figure) -> str:
    return "\n".join(one.get_text() for one in figure.findobj(Text))


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


LABEL, PROBABILITY, QUALITY = 4, 5, 6


class TestStrips:
    def test_colours_are_those_of_the_labels(self) -> None:
        shown = [None, *REGIONS, Region.LOBE, None]
        figure = painted(figure_of([body(T0_NS + (k + 1) * HOP_NS, one) for k, one in enumerate(shown)]))
        for place, label in enumerate(shown):
            # Off the middle, where the name may stand.
            at_ns = T0_NS + place * HOP_NS + HOP_NS // 4
            expected = NOTHING if label is None else REGION_COLOUR[label]
            assert colour_at(figure, LABEL, at_ns, 0.1) == expected
        behind_ns = T0_NS + (len(shown) + 2) * HOP_NS
        assert colour_at(figure, LABEL, behind_ns, 0.1) == NOTHING

    def test_quality_has_its_colours_and_none_where_there_is_no_label(self) -> None:
        regions = [
            body(T0_NS + (k + 1) * HOP_NS, Region.LOBE, str(one)) for k, one in enumerate(QUALITY_COLOUR)
        ]
        figure = painted(figure_of([*regions, body(T0_NS + 4 * HOP_NS, None)]))
        colours = [colour_at(figure, QUALITY, T0_NS + k * HOP_NS + HOP_NS // 2, 0.5) for k in range(4)]
        assert colours == [*QUALITY_COLOUR.values(), NOTHING]

    def test_rows_of_probability_are_the_paler_the_less_probable(self) -> None:
        regions = [body(T0_NS + HOP_NS, Region.LOBE, confidence=0.6), body(T0_NS + HOUR_NS, None)]
        figure = painted(figure_of(regions))
        row = REGIONS.index(Region.LOBE) + 0.5
        assert colour_at(figure, PROBABILITY, T0_NS + HOP_NS // 2, row) == "#666666"  # 0.6 of black
        assert colour_at(figure, PROBABILITY, T0_NS + 3 * HOP_NS, row) == NOTHING

    def test_label_stands_for_a_hop_about_the_centre_of_its_window(self) -> None:
        hop_ns = HOP_NS // 4
        labels = [Region.SOLAR_WIND, Region.MAGNETOSHEATH, Region.SOLAR_WIND]
        ends = [T0_NS + HOP_NS + k * hop_ns for k in range(3)]
        regions = [body(end, one) for end, one in zip(ends, labels, strict=True)]
        figure = painted(figure_of(regions, hop_ns=hop_ns))
        for end_ns, label in zip(ends, labels, strict=True):
            for off_ns in (-hop_ns // 3, hop_ns // 3):
                centre_ns = end_ns - HOP_NS // 2
                assert colour_at(figure, LABEL, centre_ns + off_ns, 0.1) == REGION_COLOUR[label]

    def test_long_stays_bear_their_names_and_short_ones_do_not(self) -> None:
        stay = [body(T0_NS + (k + 1) * HOP_NS, Region.PLASMA_SHEET) for k in range(10)]
        figure = figure_of([*stay, body(T0_NS + 11 * HOP_NS, Region.FORESHOCK)], hop_ns=HOP_NS)
        assert [one.get_text() for one in figure.axes[LABEL].texts] == ["PS", "FS"]
        short = [body(T0_NS + 2 * HOP_NS, Region.FORESHOCK)]
        narrow = panel_figure(
            "MMS1", Span(T0_NS, T0_NS + 10 * HOUR_NS), [measured()], short, [], hop_ns=HOP_NS
        )
        assert list(narrow.axes[LABEL].texts) == []

    def test_without_labels_it_says_so(self) -> None:
        assert "no label" in texts(figure_of([]))
        assert "no label" not in texts(figure_of([body(T0_NS + HOP_NS, Region.LOBE)]))


class TestLines:
    def test_quantities_stand_in_their_panels_with_totals_derived(self) -> None:
        figure = figure_of([])
        names = [
            [text.get_text() for text in axis.get_legend().get_texts()] if axis.get_legend() else []
            for axis in figure.axes[:4]
        ]
        assert names == [
            ["$B_x$", "$B_y$", "$B_z$", "$|B|$"],
            ["$N$"],
            ["$V_x$", "$V_y$", "$V_z$"],
            [r"$T_\parallel$", r"$T_\perp$"],
        ]
        total = figure.axes[0].lines[3].get_ydata()
        assert np.asarray(total)[0] == pytest.approx(np.sqrt(1.0 + 4.0 + 9.0))
        assert [axis.get_yscale() for axis in figure.axes[:4]] == ["linear", "log", "linear", "log"]
        assert "missing" not in texts(figure)

    def test_missing_variables_are_said_where_they_are_missing(self) -> None:
        figure = figure_of([], [measured(("B", "Vx", "Vy", "V", "T"))])
        said = [[one.get_text() for one in axis.texts] for axis in figure.axes[:4]]
        assert said == [["missing:\nBx By Bz"], ["missing: N"], ["missing:\nVz"], ["missing:\nTpar Tperp"]]
        totals = [
            [t.get_text() for t in axis.get_legend().get_texts()]
            for axis in figure.axes[:4]
            if axis.get_legend()
        ]
        # Of temperature the total alone, as it is all there is; of velocity what came.
        assert totals == [["$|B|$"], ["$V_x$", "$V_y$"], ["$T$"]]

    def test_gaps_and_zeros_on_a_logarithmic_axis_break_the_line(self) -> None:
        series = measured(("N",))
        values = series.values.copy()
        values[0, 5], values[0, 9] = np.nan, 0.0
        gappy = SourceSeries("MMS1", ("N",), T0_NS, CELL_NS, values, "made", Domain.CRAFT)
        (line,) = figure_of([], [gappy]).axes[1].lines
        assert np.flatnonzero(np.isnan(np.asarray(line.get_ydata(), dtype=float))).tolist() == [5, 9]

    def test_events_are_marked_in_every_panel_within_the_span(self) -> None:
        events = [
            crossing(T0_NS + HOUR_NS // 2),
            crossing(T0_NS - HOUR_NS, kind="magnetopause_crossing"),
        ]
        marked, plain = figure_of([], events=events), figure_of([])
        assert "BS inbound" in texts(marked)
        assert "MP inbound" not in texts(marked)
        added = [
            len(one.lines) - len(other.lines) for one, other in zip(marked.axes, plain.axes, strict=True)
        ]
        assert added == [1] * len(plain.axes)


class TestFiles:
    def test_one_picture_of_the_size_that_is_meant(self, tmp_path: Path) -> None:
        panels = Panels(tmp_path / "out.png", [measured()], HOP_NS)
        assert panels.write() == [tmp_path / "out.png"]
        assert png_size(tmp_path / "out.png") == tuple(round(96 * inches) for inches in SIZE_IN)

    def test_spacecraft_and_days_have_files_of_their_own(self, tmp_path: Path) -> None:
        series = [
            measured(hours=20.0, t0_ns=T0_NS - 4 * HOUR_NS),  # across midnight, but not longer than a day
            measured(hours=1.0, t0_ns=T0_NS + 2 * HOUR_NS, craft="THA"),
            measured(hours=1.0, t0_ns=T0_NS + 50 * HOUR_NS, craft="THA"),
        ]
        written = Panels(tmp_path / "out.png", series, HOP_NS).write()
        assert [one.name for one in written] == [
            "out_MMS1.png",
            "out_THA_2019-11-09.png",
            "out_THA_2019-11-11.png",
        ]
        assert all(one.is_file() for one in written)

    def test_same_input_gives_the_same_file(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            panels = Panels(tmp_path / name, [measured()], HOP_NS)
            panels.take([product(T0_NS + HOP_NS, Region.LOBE)])
            panels.write()
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_newest_revision_counts_and_what_is_withdrawn_is_not_drawn(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn: list[tuple[list[Json], list[Json]]] = []

        def note(_craft: str, _span: Span, _series: Json, regions: Json, events: Json, **_: Json) -> Figure:
            drawn.append((list(regions), list(events)))
            return Figure()

        monkeypatch.setattr("monitor.jobs.panels.panel_figure", note)
        panels = Panels(tmp_path / "out.png", [measured()], HOP_NS)
        end_ns = T0_NS + HOP_NS
        open_one, gone = crossing(T0_NS), crossing(T0_NS + 1)
        updates = [open_one, gone, {**gone, "state": "end", "outcome": "withdrawn"}]
        panels.take(
            [
                product(end_ns + HOP_NS, Region.MAGNETOSHEATH),
                product(end_ns, Region.LOBE),
                product(end_ns, Region.FORESHOCK, revision=1),
                product(end_ns, Region.LOBE, craft="THA"),
                Product("health", "MMS1", T0_NS, 0, True, {}),
                *(Product("event", "x", T0_NS, 0, False, {"properties": one}) for one in updates),
            ]
        )
        panels.write()
        ((regions, events),) = drawn
        assert [one["label"] for one in regions] == ["FS", "MSH"]
        assert events == [open_one]

    def test_what_cannot_be_drawn_is_refused_before_the_work(self, tmp_path: Path) -> None:
        ground = SourceSeries("TAR", ("H",), T0_NS, SECOND_NS, np.ones((1, 10)), "made")
        refused = [
            (tmp_path / "out.png", [ground], "hold no sample of a configured spacecraft .*--craft ID"),
            (tmp_path / "out.pdf", [measured()], "name it OUT.png"),
            (tmp_path / "none" / "out.png", [measured()], "there is no folder .*none"),
        ]
        for path, series, message in refused:
            with pytest.raises(MonitorError, match=message) as caught:
                Panels(path, series, HOP_NS)
            assert str(path) in str(caught.value)

    def test_file_that_cannot_be_written_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "out.png").mkdir()
        panels = Panels(tmp_path / "out.png", [measured()], HOP_NS)
        with pytest.raises(MonitorError, match=r"cannot be written .*--panels"):
            panels.write()

    def test_missing_matplotlib_is_one_line_before_the_work(self, tmp_path: Path) -> None:
        code = (
            "import sys; sys.modules['matplotlib'] = None\n"
            "from pathlib import Path\n"
            "from monitor.jobs.panels import Panels\n"
            "from monitor.errors import MonitorError\n"
            f"try: Panels(Path({str(tmp_path / 'out.png')!r}), [], 1)\n"
            "except MonitorError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert "matplotlib, which is not installed: pip install 'geospace-monitor[" in done.stdout


# Machado, Oliveira and Fernandes (2009), doi:10.1109/TVCG.2009.113: total loss of each kind of cone, linear RGB.
LOSSES = {
    "none": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def seen(colour: str, loss: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of a colour as somebody with this loss sees it."""
    channel = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255.0
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(loss @ linear, 0.0, 1.0) / np.array([0.95047, 1.0, 1.08883])
    f = [np.cbrt(one) if one > 0.008856 else 7.787 * one + 16.0 / 116.0 for one in (x, y, z)]
    return np.array([116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("colours", [REGION_COLOUR, QUALITY_COLOUR], ids=["region", "quality"])
def test_colours_are_told_apart_by_the_colour_blind(colours: dict[str, str], kind: str) -> None:
    shades = [seen(one, LOSSES[kind]) for one in [*colours.values(), NOTHING]]
    nearest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(shades, 2))
    assert nearest > 15.0  # some six times what the eye just sees


class TestActivation:
    CAM = np.linspace(0.0, 1.0, 40)

    def test_dots_have_the_colour_of_their_activation(self) -> None:
        from matplotlib import colormaps

        figure = painted(cam_figure(np.ones((40, 12)), self.CAM, "SW"))
        for axis in figure.axes[:12]:
            (dots,) = axis.collections
            np.testing.assert_allclose(dots.get_facecolor(), colormaps["viridis"](self.CAM))  # type: ignore[attr-defined]
        assert figure.axes[0].get_xlim() == (0.0, 180.0)

    def test_every_quantity_is_drawn_once_and_what_is_missing_says_so(self) -> None:
        values = np.ones((40, 12))
        values[:, 4] = np.nan
        figure = cam_figure(values, self.CAM, "SW")
        named = {axis.get_ylabel().split()[0]: [one.get_text() for one in axis.texts] for axis in figure.axes}
        assert named.pop("class") == []  # the colour bar
        assert named.pop("N") == ["missing"]
        assert set(named) == {"Bx", "By", "Bz", "B", "Vx", "Vy", "Vz", "V", "Tpar", "Tperp", "T"}
        assert not any(named.values())

    def test_other_shapes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"found \(39, 12\) and \(40,\)"):
            cam_figure(np.ones((39, 12)), self.CAM, "SW")
