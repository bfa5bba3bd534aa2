"""The report on events, and the whole way from samples to figures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from event_kit import HOUR_NS, course, event, run, stated

from monitor import cli
from monitor.config import Config
from monitor.jobs.events import evaluate, simulate
from monitor.jobs.events.figures import telling_run
from monitor.jobs.events.measures import judge, measure
from monitor.jobs.events.report import summary_lines, write_report
from monitor.jobs.events.simulate import CHAIN, STATIONS, Run, Stretch, chain_config, stretches
from monitor.science.synthetic.ranges import Range
from monitor.science.synthetic.storms import TEST_STORMS, draw_storm
from monitor.types import Label

STORM = course([(0, 5.5), (10, 5.5), (14, 3.25), (48, 3.25)])
CALM = course([(0, 4.5), (48, 4.5)])
MERGE_NS = 24 * HOUR_NS


def made_up() -> list[Run]:
    said = [
        event(12.5, "P0-E0", "inward"),
        event(12.5, CHAIN, "inward", name="chain"),
        event(30.0, CHAIN, "inward", start_h=11.5, state="end", outcome="passed", name="chain"),
        event(36.0, "P3-E3", "outward"),
        *(stated(hour, 3.3) for hour in np.arange(16.0, 40.0, 0.5).tolist()),
    ]
    return [run(CALM, [], seed=7), run(STORM, said, seed=8, night=(18.0, 26.0)), run(CALM, [], kind="quiet")]


def test_the_page_shows_figures_verdicts_and_definitions(tmp_path: Path) -> None:
    runs = made_up()
    measures = measure([judge(one, number, MERGE_NS) for number, one in enumerate(runs)])
    page = write_report(tmp_path / "report", measures, telling_run(runs), "the command")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Evaluation of events: simulated storms\n")
    assert "`the command`" in text
    assert re.search(r"\| visible crossings of pairs found \| ≥ 85 % \| 33\.3 % \|.*\*\*not met\*\* \|", text)
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)\n\n\*Synthetic: ", text)
    assert pictures == ["storm.png", "delay.png"]
    for name in pictures:
        assert 5_000 < (page.parent / name).stat().st_size < 150_000
    document = json.loads((page.parent / "measures.json").read_text(encoding="utf-8"))
    assert document["synthetic"] is True
    assert document["measures"]["pair"]["all"]["found"]["hits"] == 1
    visible = [document["measures"][table]["all"]["visible"] for table in ("pair", "pair_by_l")]
    assert visible[0] <= visible[1]
    assert f"| pairs, by L | all | 3 | {visible[1]} |" in text
    assert [one["met"] for one in document["criteria"]].count(False) == text.count("**not met**")


def test_tables_have_one_width(tmp_path: Path) -> None:
    runs = made_up()
    measures = measure([judge(one, number, MERGE_NS) for number, one in enumerate(runs)])
    text = write_report(tmp_path, measures, None, "x").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_the_storm_of_the_picture_is_that_with_most_to_see() -> None:
    runs = made_up()
    assert telling_run(runs) is runs[1]
    assert telling_run(runs[2:]) is None


def test_the_summary_names_what_is_missed() -> None:
    lines = summary_lines(measure([judge(one, 0, MERGE_NS) for one in made_up()]))
    assert lines[0].startswith("2 storms and 1 quiet stretches, 0.2 months of data; 3 crossings of pairs")
    [found] = [line for line in lines if "visible crossings of pairs found" in line]
    assert re.search(r" 33\.33 % .* ≥ 85 %  not met", found)


def test_stretches_make_up_the_days() -> None:
    found = stretches(3, 9.0, first_seed=10)
    assert [(one.kind, one.seed) for one in found] == [
        ("storm", 10), ("storm", 11), ("storm", 12), ("quiet", 10), ("quiet", 11), ("quiet", 12),
    ]  # fmt: skip
    assert [one.kind for one in stretches(1, 2.5)] == ["storm", "quiet"]


def test_the_configuration_keeps_thresholds_alone() -> None:
    base = Config.model_validate(
        {"pairs": ["MUO-PEL"], "chains": {"emma": ["MUO-PEL"]}, "events": {"confirm": 0.8}, "craft": ["MMS1"]}
    )
    assert base.pair_list[0].name == "MUO-PEL"
    found = chain_config(base)
    assert [pair.name for pair in found.pair_list][:2] == ["KEV-IVA", "IVA-SOD"]
    assert (len(found.pair_list), len(found.chain_list[0].pairs)) == (12, 12)
    assert (found.events.confirm, found.craft) == (0.8, ())


def test_a_storm_goes_all_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs and one day of samples through the daemon's own pipeline, to the report."""
    short = replace(TEST_STORMS, span_h=24.0, wave_power=Range(8.0, 10.0), noise_power=Range(0.1, 0.2))
    piece = Stretch(0, "storm", short)
    codes = [STATIONS[index] for index in (3, 5, 8, 10)]
    found = simulate.run(chain_config(Config(), codes), piece)
    shells = [(pair.poleward, pair.l_shell) for pair in found.truth.pairs]
    assert [code for code, _ in shells] == codes[:3]
    assert found.end_ns - found.start_ns == 24 * HOUR_NS
    assert found.truth.resonance.shape == found.day.shape == found.lit.shape == (45, 3)
    assert not (found.day & ~found.lit).any()
    assert found.start_ns == draw_storm(0, [("PEL", 5.0)], short).start_ns
    plasmapause = [one for one in found.said if one.product.kind == "plasmapause"]
    assert len(plasmapause) >= 40
    assert all(one.said_ns >= one.product.time_ns for one in plasmapause)
    assert {call.label for call in found.calls} <= set(Label)
    # By day the calls are those of the truth, mostly: the samples are those that the truth is about.
    index = {end_ns: row for row, end_ns in enumerate(found.truth.end_ns.tolist())}
    names = [pair.name for pair in found.truth.pairs]
    cells = [
        (index[call.end_ns], names.index(call.pair), call.label)
        for call in found.calls
        if call.end_ns in index
    ]
    seen = [label is not Label.NO_FREQ for row, column, label in cells if found.truth.resonance[row, column]]
    assert len(seen) >= 10
    assert np.mean(seen) > 0.7

    monkeypatch.setattr(evaluate, "runs", lambda *_arguments, **_options: iter([found]))
    told: list[str] = []
    measures = evaluate.evaluate_events(Config(), tmp_path, pieces=[piece], told=told.append)
    assert measures.storms == 1
    assert told[-1] == f"report: {tmp_path / 'report.md'}"


def test_the_command_takes_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def evaluate_events(config: Config, report: Path, **options: object) -> None:
        asked.update(options, report=report, confirm=config.events.confirm)

    monkeypatch.setattr(evaluate, "evaluate_events", evaluate_events)
    assert cli.main(["evaluate", "events", "--quick", "--first-seed", "100", "-o", str(tmp_path)]) == 0
    assert (asked["storms"], asked["quiet_days"], asked["first_seed"]) == (3, 2.5, 100)
    assert (asked["report"], asked["confirm"]) == (tmp_path, Config().events.confirm)
    assert cli.main(["evaluate", "events"]) == 0
    assert (asked["storms"], asked["quiet_days"]) == (evaluate.STORMS, evaluate.QUIET_DAYS)


def test_the_command_refuses_a_negative_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "events", "--first-seed", "-1"]) == 1
    assert "--first-seed must not be negative, found -1" in capsys.readouterr().err
