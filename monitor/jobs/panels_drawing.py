"""How the panels of a spacecraft are drawn: lines of what it measured, strips of what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.decoders.native import derive_totals
from monitor.io.files.series import SourceSeries
from monitor.jobs.flr.canvas import GREY, INK, panels
from monitor.types import REGIONS, SECOND_NS, FloatArray, Json, Quality, Region, iso_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Tol's muted scheme, with black for its pale grey: also the colour-blind can tell them apart.
REGION_COLOUR: Final = {
    Region.SOLAR_WIND: "#DDCC77",
    Region.FORESHOCK: "#CC6677",
    Region.BOW_SHOCK: "#332288",
    Region.MAGNETOSHEATH: "#88CCEE",
    Region.MAGNETOPAUSE: "#882255",
    Region.BOUNDARY_LAYER: "#44AA99",
    Region.MAGNETOSPHERE: "#117733",
    Region.PLASMA_SHEET: "#AA4499",
    Region.PLASMA_SHEET_BOUNDARY_LAYER: "#999933",
    Region.LOBE: "#000000",
}
QUALITY_COLOUR: Final = {Quality.GOOD: "#A6CEE3", Quality.UNCERTAIN: "#E69F00", Quality.POOR: "#7F0000"}
NOTHING: Final = "#FFFFFF"
"""Where there is no label."""

SIZE_IN: Final = (11.0, 11.5)
_HEIGHTS = (2.2, 1.6, 1.8, 1.8, 0.45, 2.4, 0.4)
_LINE = ("#0072B2", "#009E73", "#D55E00")
# A run of labels that is narrower than this share of the picture has no room for its name.
_NAMED_SHARE = 0.035
_EVENT_NAMES = {"bow_shock_crossing": "BS", "magnetopause_crossing": "MP"}


@dataclass(frozen=True, slots=True)
class Span:
    """From one time to before another."""

    begin_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One panel of lines."""

    unit: str
    lines: tuple[tuple[str, str, str], ...]
    """Component, name in the legend, colour."""
    logarithmic: bool = False
    instead: tuple[str, str, str] | None = None
    """Drawn where none of the lines is there."""


_QUANTITIES: Final = (
    _Quantity(
        "nT",
        (
            ("Bx", "$B_x$", _LINE[0]),
            ("By", "$B_y$", _LINE[1]),
            ("Bz", "$B_z$", _LINE[2]),
            ("B", "$|B|$", INK),
        ),
    ),
    _Quantity("cm$^{-3}$", (("N", "$N$", INK),), logarithmic=True),
    _Quantity(
        "km/s",
        (("Vx", "$V_x$", _LINE[0]), ("Vy", "$V_y$", _LINE[1]), ("Vz", "$V_z$", _LINE[2])),
        instead=("V", "$|V|$", INK),
    ),
    _Quantity(
        "eV",
        (("Tpar", r"$T_\parallel$", _LINE[2]), ("Tperp", r"$T_\perp$", _LINE[0])),
        logarithmic=True,
        instead=("T", "$T$", INK),
    ),
)


def panel_figure(
    craft: str,
    span: Span,
    series: Sequence[SourceSeries],
    regions: Sequence[Mapping[str, Json]],
    events: Sequence[Mapping[str, Json]],
    *,
    hop_ns: int,
) -> Figure:
    """Field, density, velocity and temperatures, the labels, their probabilities and their quality.

    Parameters
    ----------
    craft : str
    span : Span
    series : sequence of SourceSeries
        Of this spacecraft.
    regions : sequence of mapping
        `region` objects of this spacecraft, one a time; a label stands for a hop about the centre of its window.
    events : sequence of mapping
        The properties of the newest notification of each of its events.
    hop_ns : int
        From one label to the next.

    Raises
    ------
    MonitorError
        Where matplotlib is not installed.
    """
    figure, axes = panels(len(_HEIGHTS), 1, SIZE_IN, sharex=True, height_ratios=_HEIGHTS)
    for axis, quantity in zip(axes[:, 0], _QUANTITIES, strict=False):
        _draw_quantity(axis, quantity, series, span)
    strip = _Strip.of(regions, span, hop_ns)
    label, probability, quality = axes[-3:, 0]
    _draw_labels(label, strip)
    _draw_probabilities(probability, strip)
    _draw_quality(quality, strip)
    _mark_events(axes[:, 0], events, span)
    _time_axis(axes[-1, 0], span)
    begin, end = (iso_time(at_ns // SECOND_NS * SECOND_NS) for at_ns in (span.begin_ns, span.end_ns))
    figure.suptitle(f"{craft}   {begin} – {end}", fontsize=12)
    figure.align_ylabels()
    return figure


@dataclass(frozen=True, slots=True)
class _Strip:
    """Labels on an even grid of hops.

    Attributes
    ----------
    edges : ndarray, shape (2,)
        Begin of the first and end of the last, as matplotlib's days.
    label, quality : tuple of str or None
    probability : ndarray, shape (10, n)
        NaN where there is none.
    """

    edges: FloatArray
    label: tuple[str | None, ...]
    quality: tuple[str | None, ...]
    probability: FloatArray

    @classmethod
    def of(cls, regions: Sequence[Mapping[str, Json]], span: Span, hop_ns: int) -> _Strip:
        """The strip over `span`; where no object stands, nothing is known."""
        # A hop about the centre of a window: between neighbours there is neither gap nor overlap.
        first_ns, cells = span.begin_ns, max(1, -(-(span.end_ns - span.begin_ns) // hop_ns))
        if regions:
            begin_ns = _centre_ns(regions[0]) - hop_ns // 2
            first_ns -= (span.begin_ns - begin_ns) % hop_ns
            cells = -(-(span.end_ns - first_ns) // hop_ns)
        label: list[str | None] = [None] * cells
        quality: list[str | None] = [None] * cells
        probability = np.full((len(REGIONS), cells), np.nan)
        for body in regions:
            place = (_centre_ns(body) - first_ns) // hop_ns
            if 0 <= place < cells and body["label"] is not None:
                label[place], quality[place] = body["label"], body["quality"]
                probability[:, place] = [body["probability"][region] for region in REGIONS]
        edges = _days(np.array([first_ns, first_ns + cells * hop_ns]))
        return cls(edges, tuple(label), tuple(quality), probability)

    def extent(self, low: float, high: float) -> tuple[float, float, float, float]:
        """Of an image over the strip."""
        return float(self.edges[0]), float(self.edges[1]), low, high


def _centre_ns(body: Mapping[str, Json]) -> int:
    half_ns = round(float(body["window_s"]) * SECOND_NS / 2)
    return _time_ns(body["time"]) - half_ns


def _draw_quantity(axis: Any, quantity: _Quantity, series: Sequence[SourceSeries], span: Span) -> None:
    missing = [
        name
        for name, legend, colour in quantity.lines
        if not _draw_line(axis, series, span, name, legend, colour, logarithmic=quantity.logarithmic)
    ]
    if len(missing) == len(quantity.lines) and quantity.instead is not None:
        _draw_line(axis, series, span, *quantity.instead, logarithmic=quantity.logarithmic)
    if missing:
        _say_missing(axis, missing)
    if quantity.logarithmic and axis.lines:
        axis.set_yscale("log")
    elif not quantity.logarithmic:
        axis.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
    axis.set_ylabel(quantity.unit)
    axis.grid(alpha=0.25)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9, handlelength=1.0)


def _say_missing(axis: Any, names: Sequence[str]) -> None:
    """Beside the lines; in their place, where there are none."""
    if axis.lines:
        axis.annotate(
            f"missing:\n{' '.join(names)}", (1.0, 0.0), xycoords="axes fraction", xytext=(6, 2),
            textcoords="offset points", va="bottom", fontsize=8, color=INK, annotation_clip=False,
        )  # fmt: skip
        return
    axis.set_yticks([])
    axis.text(
        0.5, 0.5, f"missing: {' '.join(names)}", transform=axis.transAxes, ha="center", va="center",
        fontsize=9, color=INK,
    )  # fmt: skip


def _draw_line(
    axis: Any,
    series: Sequence[SourceSeries],
    span: Span,
    name: str,
    legend: str,
    colour: str,
    *,
    logarithmic: bool,
) -> bool:
    """Draw a component wherever it was measured; tell whether it was at all."""
    drawn = False
    for one in sorted(series, key=lambda one: one.t0_ns):
        # A sample before the span and one after it too: the line runs to the edge.
        first = max(0, (span.begin_ns - one.t0_ns) // one.step_ns)
        last = min(one.count, -(-(span.end_ns - one.t0_ns) // one.step_ns) + 1)
        if first >= last:
            continue
        components, values = derive_totals(one.components, one.values[:, first:last])
        if name not in components:
            continue
        row = values[components.index(name)]
        if logarithmic:
            row = np.where(row > 0.0, row, np.nan)
        if not np.isfinite(row).any():
            continue
        middles = one.t0_ns + np.arange(first, last, dtype=np.int64) * one.step_ns + one.step_ns // 2
        axis.plot(_days(middles), row, color=colour, linewidth=0.8, label=None if drawn else legend)
        drawn = True
    return drawn


def _draw_labels(axis: Any, strip: _Strip) -> None:
    colours = _colours(strip.label, {str(region): colour for region, colour in REGION_COLOUR.items()})
    axis.imshow(colours[None], aspect="auto", interpolation="nearest", extent=strip.extent(0.0, 1.0))
    step = (strip.edges[1] - strip.edges[0]) / len(strip.label)
    for label, first, last in _runs(strip.label):
        if label is not None and last - first >= _NAMED_SHARE * len(strip.label):
            dark = _luminance(REGION_COLOUR[Region(label)]) < 0.45
            axis.text(
                strip.edges[0] + 0.5 * (first + last) * step, 0.5, label, ha="center", va="center",
                fontsize=9, fontweight="bold", color="white" if dark else INK, clip_on=True,
            )  # fmt: skip
    if not any(strip.label):
        axis.text(0.5, 0.5, "no label", transform=axis.transAxes, ha="center", va="center", fontsize=9)
    _bare(axis, "region")


def _draw_probabilities(axis: Any, strip: _Strip) -> None:
    """A row a region in its colour, the paler the less probable: the rows are the key to the labels as well."""
    known = np.nan_to_num(strip.probability)[:, :, None]
    own = np.array([_rgb(REGION_COLOUR[region]) for region in REGIONS])[:, None]
    image = 1.0 - known * (1.0 - own)
    axis.imshow(image, aspect="auto", interpolation="nearest", extent=strip.extent(len(REGIONS), 0.0))
    middles = np.arange(len(REGIONS)) + 0.5
    axis.set_yticks(middles, [str(region) for region in REGIONS], fontsize=8)
    for row in range(1, len(REGIONS)):
        axis.axhline(row, color=GREY, linewidth=0.3)
    for row, region in enumerate(REGIONS):
        axis.annotate(
            "■", (1.0, row + 0.5), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", color=REGION_COLOUR[region], va="center", fontsize=10, annotation_clip=False,
        )  # fmt: skip
    axis.set_ylabel("probability")


def _draw_quality(axis: Any, strip: _Strip) -> None:
    colours = _colours(strip.quality, {str(quality): colour for quality, colour in QUALITY_COLOUR.items()})
    axis.imshow(colours[None], aspect="auto", interpolation="nearest", extent=strip.extent(0.0, 1.0))
    _bare(axis, "quality")
    for row, (quality, colour) in enumerate([*QUALITY_COLOUR.items(), ("none", NOTHING)]):
        for place, text, ink in (
            (4, "□" if colour == NOTHING else "■", GREY if colour == NOTHING else colour),
            (13, quality, INK),
        ):
            axis.annotate(
                text, (1.0, 1.0), xycoords="axes fraction", xytext=(place, 9 - 10 * row),
                textcoords="offset points", color=ink, va="top", fontsize=8, annotation_clip=False,
            )  # fmt: skip


def _bare(axis: Any, name: str) -> None:
    axis.set_yticks([])
    axis.set_ylim(0.0, 1.0)
    axis.set_ylabel(name, rotation=0, ha="right", va="center")


def _mark_events(axes: Sequence[Any], events: Sequence[Mapping[str, Json]], span: Span) -> None:
    """A line through the panels at the start of each event, with its name above."""
    for about in events:
        start_ns = _time_ns(about["start_datetime"])
        if not span.begin_ns <= start_ns < span.end_ns:
            continue
        at = float(_days(np.array([start_ns]))[0])
        for axis in axes:
            axis.axvline(at, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
        name = _EVENT_NAMES.get(about["kind"], about["kind"])
        axes[0].annotate(
            f"{name} {about['direction']}", (at, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, rotation=30,
        )  # fmt: skip


def _time_axis(axis: Any, span: Span) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=12)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    axis.set_xlim(*_days(np.array([span.begin_ns, span.end_ns])))
    axis.set_xlabel("UT")


def _colours(names: Sequence[str | None], colour: Mapping[str, str]) -> FloatArray:
    """Red, green and blue (n, 3), 0 to 1, of names."""
    return np.array([_rgb(NOTHING if name is None else colour[name]) for name in names])


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[place : place + 2], 16) / 255.0 for place in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    red, green, blue = _rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _runs(names: Sequence[str | None]) -> list[tuple[str | None, int, int]]:
    """Equal neighbours as (name, first, behind the last)."""
    runs: list[tuple[str | None, int, int]] = []
    for place, name in enumerate(names):
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1], place + 1)
        else:
            runs.append((name, place, place + 1))
    return runs


def _days(times_ns: Any) -> FloatArray:
    """Times (ns) as matplotlib counts them: days since 1970."""
    return np.asarray(times_ns, dtype=np.int64) / (86_400.0 * SECOND_NS)


def _time_ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * SECOND_NS + moment.microsecond * 1000
