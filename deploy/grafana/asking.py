"""What a dashboard file asks of Prometheus, its variables filled in, and what a server answers."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Any
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)(?::\w+)?\}|(?P<bare>[A-Za-z_]\w*))")


@dataclass(frozen=True, slots=True)
class Question:
    """One query of a panel, an annotation or a variable.

    Attributes
    ----------
    where : str
        Dashboard, panel and query, for people.
    expression : str
        PromQL, with the variables as the file has them.
    instant : bool
        Whether it asks for now alone; else for the whole range.
    """

    where: str
    ref_id: str
    expression: str
    instant: bool
    legend: str = ""


def questions(board: Mapping[str, Json]) -> Iterator[Question]:
    """Everything that a dashboard asks: panels, annotations and variables (the vectors that they take labels of)."""
    for panel in board["panels"]:
        yield from panel_questions(board, panel)
    for annotation in board["annotations"]["list"]:
        where = f"{board['title']}, annotation {annotation['name']}"
        yield Question(where, "Anno", annotation["target"]["expr"], instant=False)
    for variable in board["templating"]["list"]:
        vector = re.fullmatch(r"label_values\((?P<vector>.*), \w+\)", variable["query"])
        assert vector is not None, variable["query"]
        yield Question(f"{board['title']}, variable {variable['name']}", "A", vector["vector"], instant=True)


def panel_questions(board: Mapping[str, Json], panel: Mapping[str, Json]) -> Iterator[Question]:
    for target in panel["targets"]:
        yield Question(
            f"{board['title']}, {panel['title']}, {target['refId']}",
            target["refId"],
            target["expr"],
            instant=bool(target.get("instant")),
            legend=target.get("legendFormat", ""),
        )


def variables_of(expression: str) -> set[str]:
    """Names of the variables in a text; `$1` of `label_replace` is none."""
    return {match["braced"] or match["bare"] for match in _VARIABLE.finditer(expression)}


def filled(expression: str, values: Mapping[str, str]) -> str:
    """A text with its variables replaced; KeyError where one has no value."""
    return _VARIABLE.sub(lambda match: values[match["braced"] or match["bare"]], expression)


class Prometheus:
    """A server that is asked over HTTP; what it refuses is a `ValueError` with its own words."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def now(self, expression: str, at_s: float) -> list[Json]:
        """Series at one time (Unix time, s)."""
        return self._ask("query", {"query": expression, "time": f"{at_s:.3f}"})

    def over(self, expression: str, begin_s: float, end_s: float, step_s: float) -> list[Json]:
        """Series over a range."""
        asked = {
            "query": expression,
            "start": f"{begin_s:.3f}",
            "end": f"{end_s:.3f}",
            "step": f"{step_s:.3f}",
        }
        return self._ask("query_range", asked)

    def _ask(self, what: str, parameters: Mapping[str, str]) -> list[Json]:
        url = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  (http, by whoever gave the address)
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters['query']}: {error.read().decode(errors='replace')}") from error
        found = document["data"]["result"]
        if document["data"]["resultType"] == "scalar":
            return [{"metric": {}, "value": found}]
        return list(found)


def told(series: Sequence[Json]) -> bool:
    """Whether an answer holds a number anywhere."""
    return any(
        value not in ("NaN", "+Inf", "-Inf")
        for one in series
        for _, value in one.get("values", [one.get("value", (0, "NaN"))])
    )
