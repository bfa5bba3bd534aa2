"""What a client asks for: the parameters of a request, checked as strictly as HAPI wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from monitor.io.hapi.encoding import MEDIA_TYPES, Format
from monitor.io.hapi.status import (
    BAD_DEPTH,
    BAD_FORMAT,
    BAD_INCLUDE,
    BAD_REFERENCES,
    BAD_START,
    BAD_STOP,
    STOP_BEFORE_START,
    UNKNOWN_REQUEST_PARAMETER,
    USER_ERROR,
    HapiError,
)
from monitor.io.hapi.times import parse_time_ns

# Those of version 2, which servers of version 3 take as well.
_FORMER: Final = {"id": "dataset", "time.min": "start", "time.max": "stop"}
_TIME_ADVICE: Final = "write it as 2017-09-07T12:00:00Z or 2017-250T12:00:00Z"


@dataclass(frozen=True, slots=True)
class InfoRequest:
    """A dataset and the names of its parameters; none for all of them."""

    dataset: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataRequest:
    """A stretch [start, stop) of a dataset (ns UTC), its format, and whether the header comes with it."""

    dataset: str
    parameters: tuple[str, ...]
    start_ns: int
    stop_ns: int
    format: Format
    header: bool


def no_request(query: Iterable[tuple[str, str]]) -> None:
    """A request that has no parameters. Raises HapiError where it has."""
    _named(query, ())


def catalog_request(query: Iterable[tuple[str, str]]) -> None:
    """A request for the catalog, which goes no deeper than the datasets. Raises HapiError."""
    asked = _named(query, ("depth", "resolve_references"))
    if asked.get("depth", "dataset") != "dataset":
        raise HapiError(BAD_DEPTH, "dataset is the only one here")
    _references(asked)


def info_request(query: Iterable[tuple[str, str]]) -> InfoRequest:
    """A request for a header. Raises HapiError."""
    asked = _named(query, ("dataset", "parameters", "resolve_references"))
    _references(asked)
    return InfoRequest(_needed(asked, "dataset"), _parameters(asked))


def data_request(query: Iterable[tuple[str, str]]) -> DataRequest:
    """A request for data. Raises HapiError."""
    asked = _named(
        query, ("dataset", "parameters", "start", "stop", "include", "format", "resolve_references")
    )
    _references(asked)
    name, start, stop = (_needed(asked, key) for key in ("dataset", "start", "stop"))
    start_ns, stop_ns = _time_ns(start, BAD_START), _time_ns(stop, BAD_STOP)
    if start_ns >= stop_ns:
        raise HapiError(STOP_BEFORE_START)
    if asked.get("include", "header") != "header":
        raise HapiError(BAD_INCLUDE, "header is the only one")
    form = next((one for one in MEDIA_TYPES if one == asked.get("format", "csv")), None)
    if form is None:
        raise HapiError(BAD_FORMAT, "csv, binary and json are there")
    return DataRequest(name, _parameters(asked), start_ns, stop_ns, form, "include" in asked)


def _named(query: Iterable[tuple[str, str]], allowed: Iterable[str]) -> Mapping[str, str]:
    """The parameters of a request under the names of version 3, each given once."""
    asked: dict[str, str] = {}
    known = set(allowed)
    for key, value in query:
        name = _FORMER.get(key, key)
        if name not in known:
            raise HapiError(UNKNOWN_REQUEST_PARAMETER, f"known here: {', '.join(sorted(known)) or 'none'}")
        if name in asked:
            raise HapiError(USER_ERROR, f"{name} is given twice")
        asked[name] = value
    return asked


def _needed(asked: Mapping[str, str], name: str) -> str:
    if not asked.get(name):
        raise HapiError(USER_ERROR, f"{name} is missing")
    return asked[name]


def _parameters(asked: Mapping[str, str]) -> tuple[str, ...]:
    listed = asked.get("parameters", "")
    return tuple(listed.split(",")) if listed else ()


def _time_ns(text: str, code: int) -> int:
    try:
        return parse_time_ns(text)
    except ValueError:
        raise HapiError(code, _TIME_ADVICE) from None


def _references(asked: Mapping[str, str]) -> None:
    # There are no references in what is given out: resolved or not, it is the same.
    if asked.get("resolve_references", "true") not in ("true", "false"):
        raise HapiError(BAD_REFERENCES, "true or false")
