"""What is shipped for Grafana: as generated, valid, whole, and about metrics, panels and rules that exist.

No Grafana server is asked: none can be installed from Debian. What its documentation and its own schema say is checked.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from test_alert_rules import promtool

from monitor.io.metrics import Metrics

Document = dict[str, Any]
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "formats" / "grafana-dashboard.json"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
BOARDS: dict[str, Document] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
BUILT_IN = {"__range_s", "__rate_interval"}
"""Grafana's own variables that are used."""
FILLED = {
    "instance": "127.0.0.1:9464",
    "chain": ".*",
    "pair": "NUR-TAR",
    "craft": "MMS1",
    "__range_s": "600",
    "__rate_interval": "1m",
}
KINDS = {"stat", "table", "timeseries", "state-timeline", "xychart"}
"""Panels that ship with Grafana."""
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)

sys.path.insert(0, str(GRAFANA))
from asking import filled, questions, variables_of  # noqa: E402  (it lies beside the dashboards)


def provisioned(kind: str) -> Document:
    return dict(
        yaml.safe_load((GRAFANA / "provisioning" / kind / "geospace.yaml").read_text(encoding="utf-8"))
    )


def rules() -> dict[str, Document]:
    """Grafana's alert rules by their names."""
    return {rule["title"]: rule for group in provisioned("alerting")["groups"] for rule in group["rules"]}


def alerts() -> dict[str, Document]:
    """Prometheus's, by theirs."""
    groups = (group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"])
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@cache
def known_series() -> set[str]:
    """Names that an expression may have: metrics of the daemon, what Prometheus adds, what the rules record."""
    suffixes = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}
    metrics = {
        family.name + suffix
        for family in Metrics().registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    }
    groups = (group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"])
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    return metrics | recorded | {"up"}


def series_of(expression: str) -> set[str]:
    """Names of series in an expression, by what they look like."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    found = set(re.findall(r"(?<![\w:])(?:\w+:)?(?:geospace|process)_\w+(?::\w+)?", bare))
    return found | set(re.findall(r"\bup\b(?=\{)", bare))


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
                assert target["variable"] in variables
                (organize,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
                assert target["field"] in organize["renameByName"].values()

    def test_queries_name_series_that_exist(self, board: Document) -> None:
        for question in questions(board):
            named = series_of(question.expression)
            assert named or "vector(time())" in question.expression, question.where
            assert named <= known_series(), question.where


def test_every_query_is_accepted_by_prometheus(tmp_path: Path) -> None:
    asked = [question for board in BOARDS.values() for question in questions(board)]
    asked_by_rules = [rule["data"][0]["model"]["expr"] for rule in rules().values()]
    recorded = [
        {"record": f"asked:{number}", "expr": expression}
        for number, expression in enumerate(
            [*(filled(question.expression, FILLED) for question in asked), *asked_by_rules]
        )
    ]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}))
    assert f"SUCCESS: {len(recorded)} rules found" in promtool("check", "rules", "--lint=none", path)
    recorded[7]["expr"] += ")"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}))
    with pytest.raises(AssertionError, match="unexpected right parenthesis"):
        promtool("check", "rules", "--lint=none", path)


# -- what the queries of Now mean -------------------------------------------------------------------------

INSTANCE = FILLED["instance"]
SERIES = {
    f'geospace_pair_info{{instance="{INSTANCE}",pair="A-B",chain="emma"}}': 1,
    f'geospace_pair_info{{instance="{INSTANCE}",pair="C-D"}}': 1,
    f'geospace_flr_label{{instance="{INSTANCE}",pair="A-B",label="NoFreq"}}': 0,
    f'geospace_flr_label{{instance="{INSTANCE}",pair="A-B",label="Freq"}}': 1,
    f'geospace_flr_label{{instance="{INSTANCE}",pair="INJP-INJQ",label="Freq"}}': 1,
    f'geospace_flr_l_shell{{instance="{INSTANCE}",pair="A-B"}}': 4,
    f'geospace_flr_l_shell{{instance="{INSTANCE}",pair="INJP-INJQ"}}': 3,
    f'geospace_flr_magnetic_local_time_seconds{{instance="{INSTANCE}",pair="INJP-INJQ"}}': 0,
    'geospace_flr_label{instance="elsewhere",pair="C-D",label="Freq"}': 1,
}
"""A pair with a resonance, one of no chain of which nothing is known, an injected one, another daemon."""


def expressions(title: str) -> dict[str, str]:
    """The queries of a panel of Now by what becomes of them."""
    (panel,) = (panel for panel in BOARDS["geospace-now"]["panels"] if panel["title"].startswith(title))
    names: dict[str, str] = {"Value #A": "A"}
    for one in panel.get("transformations", []):
        if one["id"] == "organize":
            names = one["options"]["renameByName"]
    return {
        names[f"Value #{target['refId']}"]: filled(target["expr"], {**FILLED, "chain": ".*"})
        for target in panel["targets"]
    }


def ask(tmp_path: Path, hour: int, asked: dict[str, list[tuple[str, float]]]) -> None:
    """Let promtool ask the queries: the labels and values that each is to find."""
    time = f'geospace_flr_magnetic_local_time_seconds{{instance="{INSTANCE}",pair="A-B"}}'
    series = [
        {"series": name, "values": f"{value}x20"} for name, value in {**SERIES, time: hour * 3600}.items()
    ]
    expected = [
        {
            "expr": expression,
            "eval_time": "2m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in found],
        }
        for expression, found in asked.items()
    ]
    document = {
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": expected}],
    }
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump(document))
    promtool("test", "rules", path)


@pytest.mark.parametrize(
    ("hour", "right", "up"),
    [(12, 0, 4), (6, 4, 0), (18, -4, 0), (0, 0, -4)],
    ids=["noon", "dawn", "dusk", "midnight"],
)
def test_map_has_the_sun_above_and_dawn_on_the_right(tmp_path: Path, hour: int, right: int, up: int) -> None:
    asked = expressions("Chain by L")
    ask(
        tmp_path,
        hour,
        {
            f"round({asked['Freq, right']}, 0.001) + 0": [('{of="A-B"}', right)],
            f"round({asked['Freq, up']}, 0.001) + 0": [('{of="A-B"}', up)],
            asked["PBL, right"]: [],
        },
    )


def test_pair_of_which_nothing_is_known_is_listed_as_stale_and_an_injected_one_not_at_all(
    tmp_path: Path,
) -> None:
    said = expressions("Pairs")["said"]
    (stale,) = expressions("Stale pairs").values()
    ask(
        tmp_path,
        12,
        {
            said: [('{pair="A-B", label="Freq"}', 1), ('{pair="C-D", label="stale"}', 1)],
            stale: [("{}", 1)],
        },
    )


# -- provisioning -----------------------------------------------------------------------------------------

PROVISIONED = ("alerting", "dashboards", "datasources")
STATES = {
    "noDataState": ("Ok", "Error", "nodata", ""),
    "execErrState": ("NoData", "error", "Pending"),
    "interval": ("15s", "10", "0s"),
    "for": ("5", "five minutes", "-1m"),
    "type": ("files", "prom", "percentile"),
    "access": ("server",),
    "httpMethod": ("PUT",),
    "prometheusType": ("prometheus",),
    "implementation": ("alertmanager",),
    "editorMode": ("text",),
    "reducer": ("lastNotNull", "median_low"),
    "severity": ("critical", "Page"),
    "apiVersion": (2, "1"),
    "isPaused": ("no",),
    "orgId": (0,),
    "uid": ("a b", "x" * 41),
    "refId": ("a1", ""),
    "runbook_url": ("runbook.md", "http://docs.example.org/runbook.md#x"),
}
"""Values that Grafana does not take, by key."""


def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((GRAFANA / "schemas" / f"{kind}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all objects in a document; of lists the first entry stands for the others."""
    if isinstance(document, dict):
        yield path
        for key, value in document.items():
            yield from places(value, (*path, key))
    elif isinstance(document, list) and document:
        yield from places(document[0], (*path, 0))


def changed(document: Any, path: tuple[Any, ...], key: str, value: Any) -> Any:
    mutant = copy.deepcopy(document)
    at = mutant
    for step in path:
        at = at[step]
    at[key] = value
    return mutant


@pytest.mark.parametrize("kind", PROVISIONED)
class TestProvisioning:
    def test_file_is_valid(self, kind: str) -> None:
        assert [error.message for error in validator(kind).iter_errors(provisioned(kind))] == []

    def test_unknown_key_anywhere_is_caught(self, kind: str) -> None:
        document, valid = provisioned(kind), validator(kind)
        found = [path for path in places(document) if path[-1:] != ("labels",)]
        assert len(found) >= 3
        for path in found:
            for key in ("unknown", "Title", "exec_err_state"):
                assert not valid.is_valid(changed(document, path, key, "x")), (path, key)

    def test_wrong_value_anywhere_is_caught(self, kind: str) -> None:
        document, valid = provisioned(kind), validator(kind)
        tried = 0
        for path in places(document):
            at = document
            for step in path:
                at = at[step]
            for key in STATES.keys() & at.keys():
                for value in STATES[key]:
                    assert not valid.is_valid(changed(document, path, key, value)), (path, key, value)
                    tried += 1
        assert tried >= 4

    def test_key_that_is_needed_is_missed(self, kind: str) -> None:
        document, valid = provisioned(kind), validator(kind)
        for key in document:
            assert not valid.is_valid({name: value for name, value in document.items() if name != key}), key


class TestAlertRules:
    def test_rules_are_those_of_prometheus(self) -> None:
        ours, theirs = rules(), alerts()
        assert set(ours) == set(theirs)
        for name, rule in ours.items():
            assert rule["data"][0]["model"]["expr"] == theirs[name]["expr"].strip(), name
            assert rule["labels"] == theirs[name]["labels"], name
            assert rule["for"] == theirs[name].get("for", "0s"), name
            assert rule["annotations"]["runbook_url"] == theirs[name]["annotations"]["runbook_url"], name

    def test_rules_have_ids_and_titles_of_their_own(self) -> None:
        listed = [rule for group in provisioned("alerting")["groups"] for rule in group["rules"]]
        for key in ("uid", "title"):
            assert len({rule[key] for rule in listed}) == len(listed), key

    def test_rules_lead_to_panels_that_there_are(self) -> None:
        for name, rule in rules().items():
            board = BOARDS[rule["dashboardUid"]]
            assert rule["panelId"] in {panel["id"] for panel in board["panels"]}, name
            linked = rule["annotations"]["__dashboardUid__"], rule["annotations"]["__panelId__"]
            assert linked == (rule["dashboardUid"], str(rule["panelId"])), name

    def test_rules_fire_for_whatever_their_query_gives_and_are_quiet_where_it_gives_nothing(self) -> None:
        for name, rule in rules().items():
            asked, reduced, decided = rule["data"]
            assert rule["condition"] == decided["refId"], name
            assert (reduced["model"]["expression"], reduced["model"]["reducer"]) == (asked["refId"], "last")
            assert decided["model"]["expression"] == f"is_null(${reduced['refId']}) == 0", name
            assert asked["model"]["instant"] is True, name
            assert rule["noDataState"] == "OK", name
            # A Prometheus that does not answer is told of once, and neither raises nor ends anything else.
            assert rule["execErrState"] == ("Error" if name == "GeospaceDaemonDown" else "KeepLast")

    def test_annotations_say_only_what_grafana_can_fill_in(self) -> None:
        for name, rule in rules().items():
            for text in rule["annotations"].values():
                assert "query" not in text, name
                assert not re.search(r"\$value\b", text), name
                assert not re.search(r"\$\{", text), name
                assert text.count("{{") == text.count("}}"), name
