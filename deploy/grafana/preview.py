"""Draws the dashboards from their files and a Prometheus server's answers, where no Grafana is at hand (extra `docs`: matplotlib).

    python deploy/grafana/preview.py http://127.0.0.1:9090 FOLDER [--only DASHBOARD] [--at UNIX_TIME] [--span SECONDS]

A picture for each dashboard. It is no Grafana: it shows what stands where, and whether the queries say something.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from asking import Json, Prometheus, filled, panel_questions
from drawn.kinds import DAY_S, KINDS, framed
from matplotlib.figure import Figure
from PIL import Image

HERE = Path(__file__).resolve().parent
_COLUMNS, _STEPS = 24, 240
_COLUMN_IN, _ROW_IN = 0.75, 0.36
_NOTE = "Drawn from the dashboard file and real answers by preview.py, not by Grafana; simulated data"


def answered(
    board: Mapping[str, Json],
    panel: Mapping[str, Json],
    server: Prometheus,
    values: Mapping[str, str],
    at_s: float,
) -> dict[str, Sequence[Any]]:
    """What the queries of a panel find, by their letters; `values` are the variables, `$__range_s` among them."""
    span_s = float(values["__range_s"])
    step_s = span_s / panel.get("maxDataPoints", _STEPS)
    return {
        question.ref_id: server.now(filled(question.expression, values), at_s)
        if question.instant
        else server.over(filled(question.expression, values), at_s - span_s, at_s, step_s)
        for question in panel_questions(board, panel)
    }


def drawn(
    board: Mapping[str, Json],
    answers: Mapping[int, Mapping[str, Sequence[Any]]],
    range_s: tuple[float, float],
) -> Figure:
    """A dashboard as a picture, from the answers to its panels by their numbers, over a range (Unix time, s)."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = Figure(figsize=(_COLUMNS * _COLUMN_IN, rows * _ROW_IN + 0.5), facecolor="#111217")
    high = 1 - 0.5 / (rows * _ROW_IN + 0.5)
    figure.text(0.01, 1 - (1 - high) * 0.6, f"{board['title']}    ({_NOTE})", color="#D8D9DA", fontsize=11)
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, wide = place["x"] / _COLUMNS, place["w"] / _COLUMNS
        low, tall = high * (1 - (place["y"] + place["h"]) / rows), high * place["h"] / rows
        edge = 0.2 / (rows * _ROW_IN)
        # Charts need room for their labels on the left.
        room = 0.008 if panel["type"] in ("stat", "table") else 0.04
        axes = figure.add_axes((left + room, low + edge, wide - room - 0.006, tall - 2.4 * edge))
        framed(axes, panel["title"])
        KINDS[panel["type"]](axes, panel, answers[panel["id"]])
        if panel["type"] in ("timeseries", "state-timeline"):
            axes.set_xlim(*(time_s / DAY_S for time_s in range_s))
    return figure


def saved(figure: Figure, path: Path) -> None:
    """A PNG of few colours, a third of the size."""
    held = BytesIO()
    figure.savefig(held, dpi=80)
    Image.open(held).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the dashboards from a Prometheus server's answers.")
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="*", help="uid of one dashboard (default: all)")
    parser.add_argument("--at", type=float, default=time.time(), help="Unix time of the end (default: now)")
    parser.add_argument("--span", type=float, default=86_400.0, help="range in seconds (default: a day)")
    parser.add_argument("--pair", help="(default: the first)")
    parser.add_argument("--craft", help="(default: the first)")
    parser.add_argument("--answers", type=Path, help="file for panels and answers, for taken/taken.cjs")
    given = parser.parse_args()
    server = Prometheus(given.url)

    def first(metric: str, label: str) -> str:
        return min(str(one["metric"][label]) for one in server.now(metric, given.at))

    values = {
        "instance": first("geospace_build_info", "instance"),
        "chain": ".*",
        "pair": given.pair or first("geospace_pair_info", "pair"),
        "craft": given.craft or first("geospace_craft_info", "craft"),
        "__range_s": f"{given.span:.0f}",
        "__rate_interval": f"{max(15.0, given.span / _STEPS * 4):.0f}s",
    }
    given.folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for path in sorted((HERE / "dashboards").glob(f"{given.only}.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        answers = {panel["id"]: answered(board, panel, server, values, given.at) for panel in board["panels"]}
        saved(drawn(board, answers, (given.at - given.span, given.at)), given.folder / f"{path.stem}.png")
        kept += [
            {"board": board["title"], "panel": panel, "answers": answers[panel["id"]]}
            for panel in board["panels"]
        ]
    if given.answers is not None:
        given.answers.write_text(json.dumps(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
