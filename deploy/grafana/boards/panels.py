"""The kinds of panels, each as one function: built on Grafana's own types, so that no option is misspelt."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    GridPos,
    MatcherConfig,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMapping,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from boards.palette import BAD, PLAIN, STALE, WARNING, State, mappings, worded

DATA_SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="geospace-prometheus")
NO_VALUE: Final = "no value"
DENSITY: Final = "suffix:amu/cm³"
L_SHELL: Final = "prefix:L = "
HOURS: Final = "suffix:h"
INSTANT: Final = "dateTimeAsIso"
"""Of milliseconds since 1970."""

Built = Builder[Panel]

Place = tuple[int, int, int, int]
"""Column, row, width and height on the grid of 24 columns."""


@dataclass(frozen=True, slots=True)
class Line:
    """A query of a chart over time: what it asks, the name of its lines, and how they look.

    Only a line with one fixed name can have a colour of its own.
    """

    expression: str
    legend: str
    colour: str | None = None
    dashes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a query, joined to the others by their labels; or a label, where there is no query.

    Units stand in the title, and the query scales: see decision 24.
    """

    title: str
    expression: str | None = None
    label: str | None = None
    hidden: bool = False
    coloured: bool = False
    limits: tuple[float, float] | None = None
    """From where on a number is a warning, and from where on bad."""


def at(place: Place) -> GridPos:
    x, y, w, h = place
    return GridPos(x=x, y=y, w=w, h=h)


def ref_id(number: int) -> str:
    """A, B, … Z, AA, AB, …"""
    letters = string.ascii_uppercase
    return (
        letters[number]
        if number < len(letters)
        else ref_id(number // len(letters) - 1) + ref_id(number % len(letters))
    )


def query(
    expression: str, number: int, *, instant: bool, tabular: bool, legend: str = ""
) -> prometheus.Dataquery:
    asked = (
        prometheus.Dataquery()
        .datasource(DATA_SOURCE)
        .ref_id(ref_id(number))
        .expr(expression)
        .format(PromQueryFormat.TABLE if tabular else PromQueryFormat.TIME_SERIES)
        .legend_format(legend)
    )
    return asked.instant() if instant else asked.range()


def fixed(colour: str) -> dashboard_builders.FieldColor:
    return dashboard_builders.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(colour)


def named(name: str) -> MatcherConfig:
    """The field of this name. `byName` would do, but its option is no object: see decision 24."""
    return MatcherConfig(id_val="byNames", options={"mode": "include", "names": [name]})


def colour_value(colour: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def steps(*limits: tuple[float | None, str]) -> dashboard_builders.ThresholdsConfig:
    """Thresholds: from which value on which colour; the first has no value."""
    return (
        dashboard_builders.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in limits])
    )


def charts(
    title: str,
    place: Place,
    lines: Sequence[Line],
    *,
    description: str,
    unit: str | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    logarithmic: bool = False,
    stacked: bool = False,
) -> timeseries.Panel:
    """Lines over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .grid_pos(at(place))
        .no_value(NO_VALUE)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .line_width(2)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
    )
    if unit is not None:
        panel.unit(unit)
    least, most = limits
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    if logarithmic:
        panel.scale_distribution(
            common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        panel.fill_opacity(70).line_width(0)
    for number, line in enumerate(lines):
        panel.with_target(query(line.expression, number, instant=False, tabular=False, legend=line.legend))
        properties = list(_line_properties(line))
        if properties:
            panel.with_override(named(line.legend), properties)
    return panel


def _line_properties(line: Line) -> Iterator[DynamicConfigValue]:
    if line.colour is not None:
        assert "{{" not in line.legend, line.legend
        yield colour_value(line.colour)
    if line.dashes is not None:
        yield DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": list(line.dashes)})


def interval(name: str, middle: str, lower: str, upper: str, colour: str) -> list[Line]:
    """A value between the ends of its interval."""
    return [
        Line(upper, f"{name}, upper end", colour, (4, 6)),
        Line(middle, name, colour),
        Line(lower, f"{name}, lower end", colour, (4, 6)),
    ]


def strips(
    title: str,
    place: Place,
    lines: Sequence[Line],
    states: Sequence[ValueMapping],
    *,
    description: str,
    limits: dashboard_builders.ThresholdsConfig | None = None,
) -> statetimeline.Panel:
    """States over time, a strip each; where nothing is said there is a gap."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .grid_pos(at(place))
        .no_value(NO_VALUE)
        .mappings(list(states))
        .color_scheme(dashboard_builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(limits or steps((None, PLAIN)))
        .show_value(common.VisibilityMode.AUTO)
        .merge_values(True)
        .row_height(0.85)
        .fill_opacity(80)
        .line_width(0)
        .span_nulls(False)
        .legend(common_builders.VizLegendOptions().show_legend(False))
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE))
    )
    for number, line in enumerate(lines):
        panel.with_target(query(line.expression, number, instant=False, tabular=False, legend=line.legend))
    return panel


def number(
    title: str,
    place: Place,
    expression: str,
    *,
    description: str,
    legend: str = "",
    unit: str | None = None,
    decimals: int | None = None,
    states: Mapping[str, State] | None = None,
    first: int = 0,
    limits: dashboard_builders.ThresholdsConfig | None = None,
    empty: str = NO_VALUE,
) -> stat.Panel:
    """One number, or a state, of now."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .grid_pos(at(place))
        .no_value(empty)
        .with_target(query(expression, 0, instant=True, tabular=False, legend=legend))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.AUTO)
        .color_scheme(dashboard_builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(limits or steps((None, STALE)))
    )
    if unit is not None:
        panel.unit(unit)
    if decimals is not None:
        panel.decimals(decimals)
    if states is not None:
        panel.mappings(mappings(states, unknown=empty, first=first))
    return panel


def listing(
    title: str,
    place: Place,
    columns: Sequence[Column],
    *,
    description: str,
    sort: str,
    descending: bool = False,
    texts: Mapping[str, State] | None = None,
    link: tuple[str, str] | None = None,
    empty: str = NO_VALUE,
) -> table.Panel:
    """A table of now: one row for each set of labels, one column for each query that is not hidden.

    `texts` are the words that have a colour in a coloured column; `link` is the title and the target of each row.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .grid_pos(at(place))
        .no_value(empty)
        .cell_height(common.TableCellHeight.SM)
        .sort_by([common_builders.TableSortByFieldState().display_name(sort).desc(descending)])
        .mappings(worded(texts or {}))
    )
    if link is not None:
        panel.data_links(
            [dashboard_builders.DashboardLink(link[0]).type(DashboardLinkType.LINK).url(link[1])]
        )
    names, left_out, asked = {}, [], 0
    for column in columns:
        if column.expression is None:
            names[column.label or column.title] = column.title
            continue
        panel.with_target(query(column.expression, asked, instant=True, tabular=True))
        names[f"Value #{ref_id(asked)}"] = column.title
        if column.hidden:
            left_out.append(f"Value #{ref_id(asked)}")
        asked += 1
    assert asked > 1, "of one query alone the value has another name"
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(arranged(names, left_out))
    for column in columns:
        properties = list(_cell_properties(column))
        if properties:
            panel.with_override(named(column.title), properties)
    return panel


def arranged(names: Mapping[str, str], hidden: Sequence[str] = ()) -> DataTransformerConfig:
    """Name fields and put them in order; the time of a query of now says nothing."""
    return DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {"Time": True, **dict.fromkeys(hidden, True)},
            "includeByName": {},
            "indexByName": {name: number for number, name in enumerate(names)},
            "renameByName": dict(names),
        },
    )


def _cell_properties(column: Column) -> Iterator[DynamicConfigValue]:
    if column.coloured:
        yield DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
    if column.limits is not None:
        warning, bad = column.limits
        yield DynamicConfigValue("custom.cellOptions", {"type": "color-text"})
        yield DynamicConfigValue("thresholds", steps((None, "text"), (warning, WARNING), (bad, BAD)).build())
        yield DynamicConfigValue("color", {"mode": "thresholds"})
