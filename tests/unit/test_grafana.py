"""The dashboards for Grafana: as generated, valid, whole, and about panels, fields, units and metrics that exist.

No Grafana server is asked: none can be installed from Debian. What its own schema and types say is checked.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import jsonschema
import pytest
from grafana_kit import (
    BOARDS,
    GRAFANA,
    Document,
    known_series,
    panel_of,
    provisioned,
    questions,
    series_of,
    variables_of,
)

SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "formats" / "grafana-dashboard.json"
BUILT_IN = {"__range_s", "__rate_interval"}
"""Grafana's own variables that are used."""
KINDS = {"stat", "table", "timeseries", "state-timeline", "xychart"}
"""Panels that ship with Grafana."""
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


class TestFiles:
    def test_files_are_what_the_generator_writes(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, GRAFANA / "generate.py", tmp_path],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
        assert {path.name for path in written} == {f"{name}.json" for name in BOARDS} | {"geospace.yaml"}
        for path in sorted(written):
            assert (GRAFANA / path).read_text() == (tmp_path / path).read_text(), (
                f"{path} differs: run python deploy/grafana/generate.py"
            )

    @pytest.mark.skipif(not SCHEMA.is_file(), reason="the schema in ../shared/formats is not there")
    @every_board
    def test_dashboards_are_valid_against_the_schema_of_grafana(self, board: Document) -> None:
        validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
        assert [error.message[:300] for error in validator.iter_errors(board)] == []
        # It is strict enough to see a key that is not there, and a mode that is none.
        for change in ({"panelss": []}, {"graphTooltip": 7}):
            assert not validator.is_valid({**board, **change})


@every_board
class TestDashboards:
    def test_dashboard_is_framed_as_the_others(self, board: Document) -> None:
        assert (board["timezone"], board["refresh"], board["editable"]) == ("utc", "15s", False)
        assert board["tags"] == ["geospace"]
        (link,) = board["links"]
        assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
            "dashboards",
            ["geospace"],
            True,
            True,
        )
        assert board["annotations"]["list"]

    def test_panels_are_numbered_described_and_say_when_there_is_nothing(self, board: Document) -> None:
        numbers = [panel["id"] for panel in board["panels"]]
        assert numbers == list(range(1, len(numbers) + 1))
        for panel in board["panels"]:
            assert panel["type"] in KINDS, panel["title"]
            # Without it Grafana migrates XY charts from a form that they do not have.
            assert float(panel["pluginVersion"].rpartition(".")[0]) >= 11.1, panel["title"]
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]

    def test_panels_fill_the_grid_and_do_not_overlap(self, board: Document) -> None:
        taken = [
            (x, y)
            for place in (panel["gridPos"] for panel in board["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(taken) == len(set(taken)), "two panels overlap"
        rows = 1 + max(y for _, y in taken)
        assert set(taken) == set(itertools.product(range(24), range(rows))), "there are holes"

    def test_every_query_asks_the_shipped_data_source(self, board: Document) -> None:
        source = {
            "type": "prometheus",
            "uid": next(
                one["uid"] for one in provisioned("datasources")["datasources"] if one["type"] == "prometheus"
            ),
        }
        for panel in board["panels"]:
            assert panel["datasource"] == source, panel["title"]
            asked = [target["refId"] for target in panel["targets"]]
            assert asked, panel["title"]
            assert len(asked) == len(set(asked)), panel["title"]
            for target in panel["targets"]:
                assert target["datasource"] == source, panel["title"]
                assert target["expr"].strip(), panel["title"]
                assert bool(target.get("instant")) != bool(target.get("range")), panel["title"]
        for one in (*board["annotations"]["list"], *board["templating"]["list"]):
            assert one["datasource"] == source, one["name"]

    def test_variables_that_are_used_exist_and_the_others_do_not(self, board: Document) -> None:
        declared = {one["name"] for one in board["templating"]["list"]}
        used: set[str] = set()
        for question in questions(board):
            found = variables_of(question.expression)
            assert found <= declared | BUILT_IN, question.where
            used |= found
        assert declared <= used

    def test_units_are_those_of_grafana(self, board: Document) -> None:
        units = import_module("grafana_foundation_sdk.models.units")
        known = {
            value for name, value in vars(units).items() if name[:1].isupper() and isinstance(value, str)
        }
        assert len(known) > 100
        for panel in board["panels"]:
            unit = panel["fieldConfig"]["defaults"].get("unit", "none")
            assert unit in known or re.fullmatch(r"(prefix|suffix):.+", unit), panel["title"]

    def test_overrides_and_points_name_fields_that_there_are(self, board: Document) -> None:
        for panel in board["panels"]:
            arranged = [one["options"] for one in panel.get("transformations", []) if one["id"] == "organize"]
            fields = {name for options in arranged for name in options["renameByName"].values()}
            fields |= {target.get("legendFormat") for target in panel["targets"]}
            for override in panel["fieldConfig"]["overrides"]:
                assert set(override["matcher"]["options"]["names"]) <= fields, panel["title"]
            for series in panel["options"].get("series", []):
                assert {series[axis]["matcher"]["options"] for axis in "xy"} <= fields, panel["title"]
            for options in arranged:
                asked = {f"Value #{target['refId']}" for target in panel["targets"]}
                assert asked <= set(options["renameByName"]), panel["title"]
                values = {name for name in options["excludeByName"] if name.startswith("Value #")}
                assert values <= asked, panel["title"]

    def test_links_lead_to_dashboards_with_their_variables(self, board: Document) -> None:
        for panel in board["panels"]:
            for link in panel["fieldConfig"]["defaults"].get("links", []):
                target = re.match(
                    r"/d/(?P<uid>[\w-]+)\?var-(?P<variable>\w+)=\$\{__data\.fields\.(?P<field>\w+)\}&",
                    link["url"],
                )
                assert target is not None, link["url"]
                variables = {one["name"] for one in BOARDS[target["uid"]]["templating"]["list"]}
                assert target["variable"] in variables, link["url"]
                (organize,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
                assert target["field"] in organize["renameByName"].values()

    def test_queries_name_series_that_exist(self, board: Document) -> None:
        for question in questions(board):
            named = series_of(question.expression)
            assert named or "vector(time())" in question.expression, question.where
            assert named <= known_series(), question.where


FAULTS: dict[str, tuple[str, Callable[[Document], object]]] = {
    "browser's time": ("dashboard_is_framed_as_the_others", lambda board: board.update(timezone="browser")),
    "number twice": (
        "panels_are_numbered_described_and_say_when_there_is_nothing",
        lambda board: board["panels"][1].update(id=1),
    ),
    "panel of a plugin": (
        "panels_are_numbered_described_and_say_when_there_is_nothing",
        lambda board: board["panels"][1].update(type="grafana-worldmap-panel"),
    ),
    "overlap": (
        "panels_fill_the_grid_and_do_not_overlap",
        lambda board: board["panels"][0]["gridPos"].update(w=5),
    ),
    "hole": (
        "panels_fill_the_grid_and_do_not_overlap",
        lambda board: board["panels"][0]["gridPos"].update(w=3),
    ),
    "other source": (
        "every_query_asks_the_shipped_data_source",
        lambda board: board["panels"][3]["targets"][0]["datasource"].update(uid="default"),
    ),
    "no query": (
        "every_query_asks_the_shipped_data_source",
        lambda board: board["panels"][3]["targets"][0].update(expr=" "),
    ),
    "unknown variable": (
        "variables_that_are_used_exist_and_the_others_do_not",
        lambda board: board["panels"][3]["targets"][0].update(expr='up{instance="$machine"}'),
    ),
    "unit of its own": (
        "units_are_those_of_grafana",
        lambda board: board["panels"][3]["fieldConfig"]["defaults"].update(unit="millihertz"),
    ),
    "override of nothing": (
        "overrides_and_points_name_fields_that_there_are",
        lambda board: panel_of(board, "Pairs")["fieldConfig"]["overrides"][0]["matcher"]["options"].update(
            names=["Labels"]
        ),
    ),
    "points of nothing": (
        "overrides_and_points_name_fields_that_there_are",
        lambda board: panel_of(board, "Chain by")["options"]["series"][0]["x"]["matcher"].update(options="x"),
    ),
    "link to nowhere": (
        "links_lead_to_dashboards_with_their_variables",
        lambda board: panel_of(board, "Pairs")["fieldConfig"]["defaults"]["links"][0].update(
            url="/d/geospace-pair?var-station=${__data.fields.Pair}&"
        ),
    ),
    "metric that is not there": (
        "queries_name_series_that_exist",
        lambda board: board["panels"][3]["targets"][0].update(expr='geospace_labels{instance="$instance"}'),
    ),
}
"""What may be wrong with a dashboard, and the test above that is to see it."""


@pytest.mark.parametrize(("test", "spoil"), FAULTS.values(), ids=FAULTS)
def test_fault_in_a_dashboard_is_seen(test: str, spoil: Callable[[Document], object]) -> None:
    board = copy.deepcopy(BOARDS["geospace-now"])
    check = getattr(TestDashboards(), f"test_{test}")
    check(board)
    spoil(board)
    with pytest.raises(AssertionError):
        check(board)
