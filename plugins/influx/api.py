"""The options of `influx`, and the requests of both versions of the database. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlencode

import msgspec
from pydantic import Field, model_validator

from monitor.config.schema import FilePath, PositiveSeconds, Text
from monitor.plugins import Options
from monitor.types import iso_time

from ..posting import HttpUrl
from .lines import Point

InfluxKind = Literal["flr", "region", "plasmapause", "profile"]
Request: TypeAlias = tuple[str, bytes, Mapping[str, str]]
"""URL, body and headers."""

_STATEMENTS: Final = 100
"""In a request."""
_SINGLE: Final = "'"
_DOUBLE: Final = '"'
_JSON: Final = {"Content-Type": "application/json"}


class InfluxOptions(Options):
    """See the reference of plugins."""

    url: HttpUrl
    version: Literal[1, 2] = 2
    org: Text | None = None
    bucket: Text | None = None
    database: Text | None = None
    username: Text | None = None
    token_file: Text | None = None
    kinds: Annotated[tuple[InfluxKind, ...], Field(strict=False, min_length=1)] = (
        "flr",
        "region",
        "plasmapause",
        "profile",
    )
    prefix: str = "geospace_"
    timeout_s: PositiveSeconds = 10.0
    batch_points: Annotated[int, Field(ge=1, le=100_000)] = 5000
    delete_revised: bool = True
    ca_file: FilePath | None = None

    @model_validator(mode="after")
    def _complete(self) -> InfluxOptions:
        needed = {1: ("database",), 2: ("org", "bucket")}[self.version]
        for key in needed:
            if getattr(self, key) is None:
                raise ValueError(f"{key} is missing: version {self.version} needs {' and '.join(needed)}")
        if self.username is not None and self.token_file is None:
            raise ValueError("username is there without token_file, the file of its password")
        return self


def write_url(options: InfluxOptions) -> str:
    """Where points are posted."""
    base = options.url.rstrip("/")
    if options.version == 1:
        return f"{base}/write?{urlencode({'db': options.database, 'precision': 'ns'})}"
    return (
        f"{base}/api/v2/write?{urlencode({'org': options.org, 'bucket': options.bucket, 'precision': 'ns'})}"
    )


def deletions(options: InfluxOptions, points: Sequence[Point]) -> Iterator[Request]:
    """Requests that delete what there is of points; version 2 takes one at a time."""
    base = options.url.rstrip("/")
    if options.version == 1:
        url = f"{base}/query?{urlencode({'db': options.database})}"
        for first in range(0, len(points), _STATEMENTS):
            statements = ";".join(map(_statement, points[first : first + _STATEMENTS]))
            form = urlencode({"q": statements}).encode()
            yield url, form, {"Content-Type": "application/x-www-form-urlencoded"}
        return
    url = f"{base}/api/v2/delete?{urlencode({'org': options.org, 'bucket': options.bucket})}"
    for point in points:
        time = iso_time(point.time_ns)
        yield url, msgspec.json.encode({"start": time, "stop": time, "predicate": _predicate(point)}), _JSON


def _statement(point: Point) -> str:
    """InfluxQL: names in double quotes, texts in single ones."""
    where = [f"{_name(tag)}={_quoted(value, _SINGLE)}" for tag, value in point.tags]
    where.append(f"time={point.time_ns}")
    return f"DELETE FROM {_name(point.measurement)} WHERE {' AND '.join(where)}"  # noqa: S608  (quoted; the test is hostile)


def _predicate(point: Point) -> str:
    parts = [("_measurement", point.measurement), *point.tags]
    return " AND ".join(f"{_name(name)}={_quoted(value, _DOUBLE)}" for name, value in parts)


def _name(text: str) -> str:
    return _quoted(text, _DOUBLE)


def _quoted(text: str, mark: str) -> str:
    inner = text.replace("\\", "\\\\").replace(mark, f"\\{mark}")
    return f"{mark}{inner}{mark}"
