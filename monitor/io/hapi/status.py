"""The status codes of HAPI, and the error that carries one."""

from __future__ import annotations

from typing import Final

from monitor.errors import MonitorError
from monitor.types import Json

VERSION: Final = "3.3"
"""Of the specification that is followed: HAPI Data Access Specification 3.3.1, whose answers name it so."""

OK, NO_DATA = 1200, 1201
USER_ERROR, UNKNOWN_REQUEST_PARAMETER, BAD_START, BAD_STOP, STOP_BEFORE_START = 1400, 1401, 1402, 1403, 1404
OUTSIDE, UNKNOWN_DATASET, UNKNOWN_PARAMETER = 1405, 1406, 1407
BAD_FORMAT, BAD_INCLUDE, OUT_OF_ORDER, BAD_REFERENCES, BAD_DEPTH = 1409, 1410, 1411, 1412, 1413
INTERNAL, UPSTREAM = 1500, 1501

MESSAGES: Final = {
    OK: "OK",
    NO_DATA: "OK - no data for time range",
    USER_ERROR: "Bad request - user input error",
    UNKNOWN_REQUEST_PARAMETER: "Bad request - unknown API parameter name",
    BAD_START: "Bad request - syntax error in start time",
    BAD_STOP: "Bad request - syntax error in stop time",
    STOP_BEFORE_START: "Bad request - start equal to or after stop",
    OUTSIDE: "Bad request - start < startDate and/or stop > stopDate",
    UNKNOWN_DATASET: "Bad request - unknown dataset id",
    UNKNOWN_PARAMETER: "Bad request - unknown dataset parameter",
    BAD_FORMAT: "Bad request - unsupported output format",
    BAD_INCLUDE: "Bad request - unsupported include value",
    OUT_OF_ORDER: "Bad request - out-of-order or duplicate parameters",
    BAD_REFERENCES: "Bad request - unsupported resolve_references value",
    BAD_DEPTH: "Bad request - unsupported depth value",
    INTERNAL: "Internal server error",
    UPSTREAM: "Internal server error - upstream request error",
}
_PHRASES: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


class HapiError(MonitorError):
    """A request that is answered with one of HAPI's codes.

    Attributes
    ----------
    code : int
    detail : str
        What to do, in words of our own: nothing of a request goes back.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{MESSAGES[code]}{f': {detail}' if detail else ''}")
        self.code = code
        self.detail = detail


def http_status(code: int) -> int:
    """The HTTP status that goes with a code."""
    if code < USER_ERROR:
        return 200
    if code >= INTERNAL:
        return 500
    return 404 if code in (UNKNOWN_DATASET, UNKNOWN_PARAMETER) else 400


def reason(code: int) -> str:
    """The phrase behind the HTTP status: a data stream without a header has no other place to say its code."""
    phrase = _PHRASES[http_status(code)]
    return phrase if code == OK else f"{phrase}; HAPI {code} {MESSAGES[code]}"


def head(code: int = OK, detail: str = "") -> dict[str, Json]:
    """What every object that HAPI answers with begins with."""
    message = f"{MESSAGES[code]}{f': {detail}' if detail else ''}"
    return {"HAPI": VERSION, "status": {"code": code, "message": message}}
