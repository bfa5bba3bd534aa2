"""What the dashboards ask: accepted by Prometheus, and with the answers that their pictures rest on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from grafana_kit import BOARDS, FILLED, filled, panel_of, questions, rules
from test_alert_rules import promtool

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


def expressions(title: str) -> dict[str, str]:
    """The queries of a panel of Now by what becomes of them."""
    panel = panel_of(BOARDS["geospace-now"], title)
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
