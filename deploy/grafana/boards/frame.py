"""What all dashboards have in common: names, variables, links to each other, events on every chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from boards.palette import SECOND
from boards.panels import DATA_SOURCE
from boards.queries import HERE

TAG: Final = "geospace"
# Grafana takes panels that name no version for those of long ago, and spoils XY charts by migrating them.
_WRITTEN_FOR: Final = "12.1.0"
NOW, PAIR, CRAFT, HEALTH = "geospace-now", "geospace-pair", "geospace-craft", "geospace-health"
_KEPT: Final = "${instance:queryparam}&${__url_time_range}"
PAIR_LINK: Final = ("Open the pair", f"/d/{PAIR}?var-pair=${{__data.fields.Pair}}&{_KEPT}")
CRAFT_LINK: Final = ("Open the spacecraft", f"/d/{CRAFT}?var-craft=${{__data.fields.Spacecraft}}&{_KEPT}")


def variable(name: str, title: str, values: str) -> dashboard.QueryVariable:
    """A variable whose values are those of a label: `label_values(vector, label)`."""
    return (
        dashboard.QueryVariable(name)
        .label(title)
        .datasource(DATA_SOURCE)
        .query(values)
        .definition(values)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def of_label(name: str, title: str, vector: str, label: str) -> dashboard.QueryVariable:
    return variable(name, title, f"label_values({vector}, {label})")


INSTANCE: Final = of_label("instance", "Daemon", "geospace_build_info", "instance")


def chain() -> dashboard.QueryVariable:
    """The chains; all of them at first, with the pairs that belong to none."""
    return (
        of_label("chain", "Chain", f"geospace_pair_info{{{HERE}}}", "chain")
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def events(name: str, expression: str, colour: str = SECOND) -> dashboard.AnnotationQuery:
    """Open events of a kind as stretches on every chart over time."""
    asked = (
        Dataquery()
        .ref_id("Anno")
        .datasource(DATA_SOURCE)
        .expr(expression)
        .format(PromQueryFormat.TIME_SERIES)
        .legend_format("{{kind}} {{subject}}")
        .interval("15s")
        .range()
    )
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(DATA_SOURCE)
        .enable(True)
        .icon_color(colour)
        .target(asked)
        .expr(expression)
        .step("15s")
        .title_format("{{kind}}")
        .text_format("{{subject}}")
        .tag_keys("kind,subject")
    )


def framed(
    uid: str,
    title: str,
    description: str,
    *,
    span: str,
    variables: Sequence[dashboard.QueryVariable],
    annotations: Sequence[dashboard.AnnotationQuery],
    panels: Sequence[Builder[Panel]],
) -> Dashboard:
    """A dashboard: panels numbered in their order, times in UTC, links that keep variables and range."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("utc")
        .refresh("15s")
        .time(f"now-{span}", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("Geospace")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
            .include_vars(True)
            .as_dropdown(False)
        )
    )
    for one in variables:
        board.with_variable(one)
    for another in annotations:
        board.annotation(another)
    built = board.build()
    whole = [panel.build() for panel in panels]
    for number, panel in enumerate(whole, start=1):
        panel.id_val = number
        panel.plugin_version = _WRITTEN_FOR
    built.panels = [*whole]
    return built
