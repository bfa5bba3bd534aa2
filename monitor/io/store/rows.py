"""Rows of the store: how blocks and products become rows, and rows become blocks again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monitor.errors import StoreError
from monitor.types import Domain, Json, Product, SampleBlock, iso_time

SAMPLE_COLUMNS = "source, domain, components, t0_ns, end_ns, step_ns, level, sensor, frame, data"
"""What `sample_row` gives and `stored_block` takes."""
# Live singles become one row per call, but a row stays small enough to be read whole.
ROW_VALUES = 1 << 16


def coalesce(blocks: Sequence[SampleBlock]) -> list[SampleBlock]:
    """Join blocks that follow on each other, so that live singles do not cost a row each.

    A block is only ever joined to the last one of its source, and only when it begins where that one ends: laid over
    each other in order, the result gives the same samples as the input (what comes later wins). Empty blocks vanish.
    """
    runs: list[list[SampleBlock]] = []
    last: dict[str, list[SampleBlock]] = {}
    sizes: dict[str, int] = {}
    for block in blocks:
        if not block.count:
            continue
        run = last.get(block.source)
        size = sizes.get(block.source, 0) + block.values.size
        if run is not None and size <= ROW_VALUES and _follows(run[-1], block):
            run.append(block)
        else:
            run = [block]
            size = block.values.size
            runs.append(run)
        last[block.source], sizes[block.source] = run, size
    return [
        run[0] if len(run) == 1 else replace(run[0], values=np.concatenate([b.values for b in run], axis=1))
        for run in runs
    ]


def _follows(before: SampleBlock, block: SampleBlock) -> bool:
    return before.end_ns == block.t0_ns and _series(before) == _series(block)


def _series(block: SampleBlock) -> tuple[object, ...]:
    return (block.domain, block.components, block.step_ns, block.level, block.sensor, block.frame)


def sample_row(block: SampleBlock) -> tuple[object, ...]:
    if block.step_ns <= 0 or block.values.shape[0] != len(block.components):
        raise StoreError(
            f"samples of {block.source} cannot be stored: {len(block.components)} components in an array of shape"
            f" {block.values.shape} with a step of {block.step_ns} ns"
        )
    data = np.ascontiguousarray(block.values, dtype="<f8").tobytes()
    components = json.dumps(block.components)
    head = (block.source, block.domain.value, components, block.t0_ns, block.end_ns, block.step_ns)
    return (*head, block.level, block.sensor, block.frame, data)


def stored_block(stored: Sequence[Any]) -> SampleBlock:
    """The block of a stored row (without its number, in the order of `SAMPLE_COLUMNS`); ValueError where it is damaged."""
    source, domain, components, t0_ns, end_ns, step_ns, level, sensor, frame, data = stored
    try:
        # SQLite's columns take numbers of any kind; a damaged one may be no whole number any more.
        if not all(isinstance(number, int) for number in (t0_ns, end_ns, step_ns)):
            raise ValueError(f"its times {t0_ns}, {end_ns} or its step {step_ns} are no whole numbers")
        names = tuple(str(name) for name in json.loads(components))
        values = np.frombuffer(data, dtype="<f8").reshape(len(names), -1).astype(np.float64)
        if t0_ns + values.shape[1] * step_ns != end_ns:
            raise ValueError(f"{values.shape[1]} samples do not reach its end {iso_time(end_ns)}")
        return SampleBlock(source, names, t0_ns, step_ns, values, Domain(domain), level, sensor, frame)
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def require_same(connection: sqlite3.Connection, product: Product, payload: bytes) -> None:
    """Raise when the product that is stored under this id has other content."""
    key = (product.kind, product.subject, product.time_ns, product.revision)
    stored: bytes = connection.execute(
        "SELECT payload FROM product WHERE kind = ? AND subject = ? AND time_ns = ? AND revision = ?", key
    ).fetchone()[0]
    if stored != payload and _parsed(stored) != _parsed(payload):
        raise StoreError(
            f"{product.topic} of {iso_time(product.time_ns)}, revision {product.revision}:"
            " published twice with different content under one id; a new content needs a higher revision"
        )


def _parsed(payload: bytes) -> Json:
    try:
        document = json.loads(payload)
    except ValueError:
        return payload
    return content(document) if isinstance(document, dict) else document


def content(document: Mapping[str, Json]) -> dict[str, Json]:
    """An object without the moment of sending: `published`, of an event `properties.pubtime`."""
    left = {key: value for key, value in document.items() if key != "published"}
    properties = left.get("properties")
    if isinstance(properties, dict):
        left["properties"] = {key: value for key, value in properties.items() if key != "pubtime"}
    return left


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A product that waits for the broker: `row` is what `mark_published` takes, `topic` is below the output root."""

    row: int
    topic: str
    payload: bytes
    retained: bool
    kind: str
    subject: str
    time_ns: int
    revision: int
