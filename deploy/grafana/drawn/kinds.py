"""Each kind of panel on axes of matplotlib: near enough to judge layout, colours and text by."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from drawn.rows import Row, table

Json = Any
Answers = Mapping[str, Sequence[Json]]
_TEXT, _FAINT, _PANEL, _GRID = "#D8D9DA", "#8E8E8E", "#181B1F", "#2C3235"
DAY_S: Final = 86_400
"""Seconds in a unit of matplotlib's time."""
_PALETTE: Final = (
    "#73BF69",
    "#F2CC0C",
    "#8AB8FF",
    "#FF780A",
    "#F2495C",
    "#5794F2",
    "#B877D9",
    "#705DA0",
    "#37872D",
)
_PREFIXES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


def written(value: float, unit: str | None, decimals: int | None = None) -> str:
    """A number as Grafana writes it, nearly."""
    if unit == "percentunit":
        return f"{100 * value:.{decimals or 0}f} %"
    if unit in ("hertz", "bytes", "s", "decbytes") and value:
        factor, prefix = next(one for one in _PREFIXES if abs(value) >= one[0] or one[0] == 1e-6)
        name = {"hertz": "Hz", "bytes": "B", "decbytes": "B", "s": "s"}[unit]
        return f"{value / factor:.{1 if decimals is None else decimals}f} {prefix}{name}"
    if unit == "dtdurations":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:.0f} s"
    shown = f"{value:.{decimals}f}" if decimals is not None else f"{value:.4g}"
    if unit and unit.startswith("prefix:"):
        return unit.removeprefix("prefix:") + shown
    if unit and unit.startswith("suffix:"):
        return f"{shown} {unit.removeprefix('suffix:')}"
    return shown + {"degree": "°", "cps": " c/s"}.get(unit or "", "")


def mapped(panel: Json, value: Any) -> tuple[str, str] | None:
    """Text and colour that the mappings of a panel give a value; None where they give none."""
    nothing = value is None or (isinstance(value, float) and math.isnan(value))
    key = "" if nothing else f"{value:g}" if isinstance(value, float) else str(value)
    for one in panel["fieldConfig"]["defaults"].get("mappings", []):
        result = one["options"].get("result") if one["type"] == "special" else one["options"].get(key)
        if result is not None and nothing == (one["type"] == "special"):
            return result.get("text", key), result.get("color", _FAINT)
    return None


def upon(colour: str) -> str:
    """A colour of text that can be read on this ground."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 150 else "white"


def stepped(steps: Sequence[Json], value: float) -> str:
    """The colour of a number by thresholds."""
    return str([one["color"] for one in steps if one["value"] is None or value >= one["value"]][-1])


def override(panel: Json, name: str, what: str) -> Json:
    """What is said of one field alone."""
    for one in panel["fieldConfig"]["overrides"]:
        if name in one["matcher"]["options"]["names"]:
            for given in one["properties"]:
                if given["id"] == what:
                    return given["value"]
    return None


def named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend) or str(labels)


def lines(panel: Json, answers: Answers) -> Iterator[tuple[str, list[float], list[float]]]:
    """Name, times (days, as matplotlib counts them) and values of each line."""
    legends = {target["refId"]: target.get("legendFormat", "") for target in panel["targets"]}
    for ref_id, series in answers.items():
        for one in series:
            times = [float(time) / DAY_S for time, _ in one["values"]]
            yield named(legends[ref_id], one["metric"]), times, [float(value) for _, value in one["values"]]


def framed(axes: Axes, title: str) -> None:
    axes.set_facecolor(_PANEL)
    axes.set_title(title, loc="left", fontsize=9, color=_TEXT, fontweight="bold")
    axes.tick_params(colors=_FAINT, labelsize=7)
    for spine in axes.spines.values():
        spine.set_color(_GRID)


def stat(axes: Axes, panel: Json, answers: Answers) -> None:
    axes.set_axis_off()
    defaults = panel["fieldConfig"]["defaults"]
    series = answers["A"] or [{"metric": {}, "value": (0, "nan")}]
    legend = panel["targets"][0].get("legendFormat", "")
    for number, one in enumerate(series):
        value = float(one["value"][1])
        word = mapped(panel, value)
        if word is None and math.isnan(value):
            word = defaults["noValue"], "#5F6368"
        text = word[0] if word else written(value, defaults.get("unit"), defaults.get("decimals"))
        colour = word[1] if word else stepped(defaults["thresholds"]["steps"], value)
        width = 1 / len(series)
        axes.add_patch(
            Rectangle((number * width, 0), width * 0.98, 1, color=colour, transform=axes.transAxes)
        )
        name = named(legend, one["metric"]) + "\n" if legend and one["metric"] else ""
        axes.text(
            (number + 0.5) * width,
            0.5,
            name + text,
            ha="center",
            va="center",
            color=upon(colour),
            fontsize=13,
        )


def listing(axes: Axes, panel: Json, answers: Answers) -> None:
    axes.set_axis_off()
    titles, rows = table(answers, panel)
    if not rows:
        axes.text(0.5, 0.5, panel["fieldConfig"]["defaults"]["noValue"], ha="center", color=_FAINT)
        return
    sort = panel["options"]["sortBy"][0]
    rows.sort(key=lambda row: (row.get(sort["displayName"]) is None, row.get(sort["displayName"])))
    if sort["desc"]:
        rows.reverse()
    cells = [[_cell(panel, title, row) for title in titles] for row in rows]
    height = (len(rows) + 1) / panel["gridPos"]["h"]
    drawn = axes.table(
        [[text for text, _, _ in row] for row in cells],
        colLabels=titles,
        cellColours=[[back for _, back, _ in row] for row in cells],
        colColours=[_GRID] * len(titles),
        bbox=Bbox.from_bounds(0, 1 - min(1.0, height), 1, min(1.0, height)),
        cellLoc="left",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    for (at, column), cell in drawn.get_celld().items():
        cell.set_edgecolor(_GRID)
        cell.get_text().set_color(cells[at - 1][column][2] if at else _TEXT)


def _cell(panel: Json, title: str, row: Row) -> tuple[str, str, str]:
    """Text, background and colour of the text."""
    value = row.get(title)
    word = mapped(panel, value)
    options = override(panel, title, "custom.cellOptions") or {}
    text = word[0] if word else value if isinstance(value, str) else written(float(value or 0), None)
    if options.get("type") == "color-background" and word:
        return text, word[1], upon(word[1])
    if options.get("type") == "color-text" and isinstance(value, float):
        colour = stepped(override(panel, title, "thresholds")["steps"], value)
        return text, _PANEL, _TEXT if colour == "text" else colour
    return text, _PANEL, _TEXT


def timeseries(axes: Axes, panel: Json, answers: Answers) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = list(lines(panel, answers))
    if defaults["custom"].get("stacking", {}).get("mode") == "normal" and found:
        longest = max((times for _, times, _ in found), key=len)
        stacked = [dict(zip(times, values, strict=True)) for _, times, values in found]
        axes.stackplot(
            longest,
            [[one.get(time, 0.0) for time in longest] for one in stacked],
            colors=[_colour(panel, name, number) for number, (name, _, _) in enumerate(found)],
            labels=[name for name, _, _ in found],
            alpha=0.8,
        )
    else:
        for number, (name, times, values) in enumerate(found):
            dashed = override(panel, name, "custom.lineStyle")
            axes.plot(
                times,
                values,
                marker=".",
                markersize=2,
                color=_colour(panel, name, number),
                linestyle=(0, tuple(part / 2 for part in dashed["dash"])) if dashed else "-",
                linewidth=1.3,
                label=name,
            )
    if defaults["custom"].get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    axes.set_ylim(defaults.get("min"), defaults.get("max"))
    axes.xaxis_date()
    axes.yaxis.set_major_formatter(lambda value, _: written(value, defaults.get("unit")))
    axes.grid(color=_GRID)
    _legend(axes, found)


def _colour(panel: Json, name: str, number: int) -> str:
    given = override(panel, name, "color")
    return given["fixedColor"] if given else _PALETTE[number % len(_PALETTE)]


def _legend(axes: Axes, found: Sequence[Any]) -> None:
    if found:
        axes.legend(
            fontsize=6, ncols=4, labelcolor=_TEXT, facecolor=_PANEL, edgecolor=_GRID, loc="upper left"
        )
    else:
        axes.text(0.5, 0.5, "no value", ha="center", transform=axes.transAxes, color=_FAINT)


def strips(axes: Axes, panel: Json, answers: Answers) -> None:
    found = list(lines(panel, answers))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_yticks(range(len(found)), [name for name, _, _ in found])
    for height, (_, times, values) in enumerate(found):
        # One bar a state, from where it begins to where the next does.
        begins = [number for number, value in enumerate(values) if number == 0 or value != values[number - 1]]
        for number, after in itertools.pairwise([*begins, len(values) - 1]):
            text, colour = mapped(panel, values[number]) or (f"{values[number]:g}", _FAINT)
            axes.barh(height, times[after] - times[number], left=times[number], height=0.85, color=colour)
            axes.text(
                times[number], height, f" {text}", fontsize=6, va="center", color=upon(colour), clip_on=True
            )
    axes.xaxis_date()
    if not found:
        _legend(axes, found)


def xychart(axes: Axes, panel: Json, answers: Answers) -> None:
    _, rows = table(answers, panel)
    custom = panel["fieldConfig"]["defaults"]
    for one in panel["options"]["series"]:
        right, up = (one[axis]["matcher"]["options"] for axis in "xy")
        points = [
            (row[right], row[up]) for row in rows if row.get(right) is not None and row.get(up) is not None
        ]
        size = override(panel, up, "custom.pointSize")["fixed"]
        axes.scatter(
            [x for x, _ in points],
            [y for _, y in points],
            s=size**2 * 0.6,
            color=_colour(panel, up, 0),
            label=one["name"]["fixed"],
            alpha=0.9,
            linewidths=0,
        )
        if override(panel, up, "custom.scaleDistribution"):
            axes.set_yscale("log")
    if custom.get("min") is not None:
        axes.set_xlim(custom["min"], custom["max"])
        axes.set_ylim(custom["min"], custom["max"])
    axes.set_xlabel(custom["custom"].get("axisLabel", ""), color=_FAINT, fontsize=7)
    axes.grid(color=_GRID)
    _legend(axes, panel["options"]["series"])


KINDS: Final[Mapping[str, Callable[[Axes, Json, Answers], None]]] = {
    "stat": stat,
    "table": listing,
    "timeseries": timeseries,
    "state-timeline": strips,
    "xychart": xychart,
}
