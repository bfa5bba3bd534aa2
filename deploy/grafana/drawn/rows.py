"""Answers as tables, and the two transformations that the dashboards use: `merge` and `organize`, as Grafana does them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Any
Row = dict[str, Any]


def rows_of(answers: Mapping[str, Sequence[Json]]) -> list[list[Row]]:
    """A table for each query that found something: time, labels, value; one after another in time."""
    found = {ref_id: series for ref_id, series in answers.items() if series}
    return [
        sorted(_rows(series, f"Value #{ref_id}" if len(found) > 1 else "Value"), key=lambda row: row["Time"])
        for ref_id, series in found.items()
    ]


def _rows(series: Sequence[Json], name: str) -> Iterator[Row]:
    for one in series:
        labels = {key: value for key, value in one["metric"].items() if key != "__name__"}
        for time_s, value in one.get("values", [one.get("value")]):
            yield {"Time": float(time_s), **labels, name: float(value)}


def merged(tables: Sequence[Sequence[Row]]) -> list[Row]:
    """Rows that agree in all that they share become one."""
    if not tables:
        return []
    keys = set.intersection(*({name for row in table for name in row} for table in tables))
    held: dict[tuple[Any, ...], list[Row]] = {}
    order: list[Row] = []
    for row in (row for table in tables for row in table):
        alike = held.setdefault(tuple(row.get(key) for key in sorted(keys)), [])
        same = [
            other for other in alike if all(other.get(name, value) == value for name, value in row.items())
        ]
        for other in same:
            other.update(row)
        if not same:
            alike.append(dict(row))
            order.append(alike[-1])
    return order


def organized(rows: Sequence[Row], options: Mapping[str, Json]) -> tuple[list[str], list[Row]]:
    """Titles in their order, and the rows by title."""
    there = {name for row in rows for name in row}
    place = options["indexByName"]
    kept = [
        name
        for name in sorted(there, key=lambda name: place.get(name, 99))
        if not options["excludeByName"].get(name)
    ]
    titles = {name: options["renameByName"].get(name, name) for name in kept}
    return list(titles.values()), [{title: row.get(name) for name, title in titles.items()} for row in rows]


def table(answers: Mapping[str, Sequence[Json]], panel: Mapping[str, Json]) -> tuple[list[str], list[Row]]:
    """What the transformations of a panel make of its answers."""
    options = {one["id"]: one["options"] for one in panel["transformations"]}
    return organized(merged(rows_of(answers)), options["organize"])
