"""Charts of one quantity over another: XY charts, whose points are rows of one merged table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import xychart
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import xychart as xy_models
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from boards.panels import (
    DATA_SOURCE,
    NO_VALUE,
    Place,
    arranged,
    at,
    colour_value,
    named,
    query,
    ref_id,
)


@dataclass(frozen=True, slots=True)
class Points:
    """A series of points: where they are to the right and up, as two vectors with the same labels, of now or (`past`) of the whole range."""

    name: str
    where: tuple[str, str]
    colour: str
    size: int = 8
    past: bool = False


def scatter(
    title: str,
    place: Place,
    series: Sequence[Points],
    *,
    description: str,
    names: Mapping[str, str],
    limits: tuple[float, float] | None = None,
    logarithmic: bool = False,
    label: str = "",
    steps: int = 180,
) -> xychart.Panel:
    """Points over two axes.

    Parameters
    ----------
    names : mapping
        Titles of the labels that the rows have, for the tooltip.
    limits, label
        Of both axes.
    logarithmic : bool
        Whether the upward axis is.
    steps : int
        Points of what is `past`.
    """
    panel = (
        xychart.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .grid_pos(at(place))
        .no_value(NO_VALUE)
        .max_data_points(steps)
        .show(xy_models.XYShowMode.POINTS)
        .fill_opacity(80)
        .axis_label(label)
        .mapping(xy_models.SeriesMapping.MANUAL)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE))
    )
    if limits is not None:
        panel.min(limits[0]).max(limits[1])
    fields: dict[tuple[str, bool], str] = {}
    for one in series:
        for axis, expression in zip(("right", "up"), one.where, strict=True):
            # What several series share is asked once.
            if (expression, one.past) not in fields:
                panel.with_target(query(expression, len(fields), instant=not one.past, tabular=True))
                fields[expression, one.past] = f"{one.name}, {axis}"
    titles = {f"Value #{ref_id(number)}": title for number, title in enumerate(fields.values())}
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(arranged({**names, **titles}))
    drawn: list[Builder[xy_models.XYSeriesConfig]] = []
    for one in series:
        right, up = (fields[expression, one.past] for expression in one.where)
        drawn.append(_series(one.name, right, up))
        panel.with_override(named(up), list(_look(one, logarithmic=logarithmic)))
    return panel.series(drawn)


def _series(name: str, right: str, up: str) -> xychart.XYSeriesConfig:
    def matcher(kind: str, options: object) -> xychart.MatcherConfig:
        return xychart.MatcherConfig().id(kind).options(options)

    return (
        xychart.XYSeriesConfig()
        .name(xychart.XychartXYSeriesConfigName().fixed(name))
        .frame(xychart.XychartXYSeriesConfigFrame().matcher(matcher("byIndex", 0)))
        .x(xychart.XychartXYSeriesConfigX().matcher(matcher("byName", right)))
        .y(xychart.XychartXYSeriesConfigY().matcher(matcher("byName", up)))
    )


def _look(points: Points, *, logarithmic: bool) -> Iterator[DynamicConfigValue]:
    yield colour_value(points.colour)
    yield DynamicConfigValue("custom.pointSize", {"fixed": points.size})
    if logarithmic:
        scale = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        yield DynamicConfigValue("custom.scaleDistribution", scale.build())
