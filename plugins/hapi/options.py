"""What the operator says of a HAPI server, and of what is taken from it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from monitor.config.schema import FilePath
from monitor.decoders.base import craft_id, parse_time_ns, station_code
from monitor.decoders.native import CRAFT_LIMITS
from monitor.errors import DecodeError
from monitor.plugins import Options

from ..fetching import fault_of_url
from .mappings import GROUND_COMPONENTS, MAPPINGS

COLUMN = re.compile(r"([^\[\]]+)(?:\[([0-9]{1,3})\])?")
"""`Parameter` or `Parameter[2]`, a column of a vector."""


def _url(text: str) -> str:
    fault = fault_of_url(text)
    if fault is not None:
        raise ValueError(f"found {text.rpartition('@')[2][:120]!r}: {fault}")
    return text.rstrip("/")


def _station(text: str) -> str:
    code = station_code(text)
    if code is None:
        raise ValueError(f"found station {text[:40]!r}; a code is 2 to 8 letters or digits, such as TAR")
    return code


def _craft(text: str) -> str:
    name = craft_id(text)
    if name is None:
        raise ValueError(
            f"found spacecraft {text[:40]!r}; an id is 2 to 16 letters, digits or _, such as MMS1"
        )
    return name


def _mapping(text: str) -> str:
    if text not in MAPPINGS:
        raise ValueError(f"found mapping {text[:40]!r}; known are {', '.join(MAPPINGS)}")
    return text


def _time(text: str) -> str:
    try:
        parse_time_ns(text)
    except DecodeError as error:
        raise ValueError(error.detail) from None
    return text


def _column(text: str) -> str:
    if not COLUMN.fullmatch(text):
        raise ValueError(
            f"found {text[:60]!r}; write the name of a parameter, or Name[0] for one of its columns"
        )
    return text


class FeedOptions(Options):
    """One dataset, and whose samples it holds."""

    station: Annotated[str, AfterValidator(_station)] | None = None
    """Code of the station that it belongs to."""
    craft: Annotated[str, AfterValidator(_craft)] | None = None
    """Id of the spacecraft that it belongs to."""
    dataset: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    """Id on the server; a mapping knows its own."""
    mapping: Annotated[str, AfterValidator(_mapping)] | None = None
    """A dataset whose parameters are known."""
    components: dict[str, Annotated[str, AfterValidator(_column)]] = Field(default_factory=dict)
    """Which parameter is what: `{H: "Field_Vector[0]"}`; needed where the names say nothing."""
    units: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    """Unit of these components, where the server names none or a wrong one."""
    frame: Literal["gse", "gsm", "dmpa", "dbcs"] | None = None
    """Frame of a spacecraft's vectors, where `components` names them."""
    times: Literal["begin", "center", "end"] | None = None
    """Where a time stamp is in its sample's interval, where the server does not say, or is wrong."""
    role: Literal["live", "backfill"] = "live"
    """`backfill` asks for nothing but what other feeds of the same station or spacecraft have left out."""

    @property
    def subject(self) -> str:
        """Station or spacecraft."""
        return self.station or self.craft or ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.station is None) == (self.craft is None):
            raise ValueError("name a station or a spacecraft: one of the two")
        allowed = GROUND_COMPONENTS if self.craft is None else tuple(CRAFT_LIMITS)
        unknown = [name for name in self.components if name not in allowed]
        if unknown:
            raise ValueError(f"found components {', '.join(unknown)}; known are {' '.join(allowed)}")
        if self.mapping is not None and MAPPINGS[self.mapping].is_craft == (self.craft is None):
            kind = "a spacecraft" if MAPPINGS[self.mapping].is_craft else "a station"
            raise ValueError(f"the mapping {self.mapping} is for {kind}")
        if self.dataset is None and (self.mapping is None or self.dataset_id is None):
            raise ValueError(f"name the dataset of {self.subject}")
        return self

    @property
    def dataset_id(self) -> str | None:
        """Id on the server; None where neither the operator nor the mapping tells it."""
        if self.dataset is not None or self.mapping is None:
            return self.dataset
        return MAPPINGS[self.mapping].dataset_of(self.subject)

    @property
    def key(self) -> str:
        """Name of the feed in what is remembered."""
        return f"{self.subject} {self.dataset_id}"


class HapiOptions(Options):
    """A HAPI server and its feeds."""

    url: Annotated[str, AfterValidator(_url)]
    """Address of the server, up to and with `/hapi`."""
    feeds: Annotated[list[FeedOptions], Field(min_length=1, max_length=500)]
    """What is taken from it."""
    poll_s: Annotated[float, Field(ge=0.1, le=86_400)] = 60.0
    """From the end of one round of requests to the next."""
    request_s: Annotated[float, Field(ge=60, le=864_000)] = 3600.0
    """Longest stretch of data that is asked for at once."""
    requests_per_minute: Annotated[float, Field(gt=0, le=6000)] = 30.0
    """Never more than these."""
    timeout_s: Annotated[float, Field(ge=1, le=3600)] = 120.0
    """Of one request."""
    maximum_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 64 << 20
    """Largest answer, unpacked."""
    format: Literal["csv", "binary"] = "csv"
    """Form of the data; `binary` where the server offers it."""
    start: Annotated[str, AfterValidator(_time)] | None = None
    """Where a first run begins; by default `look_back_s` before the newest data."""
    look_back_s: Annotated[float, Field(ge=0, le=31_536_000)] = 10_800.0
    """How far before the newest data a first run begins."""
    catch_up_s: Annotated[float, Field(ge=60, le=315_360_000)] = 604_800.0
    """How much is fetched after an absence, counted back from the newest data; older data are left."""
    wait_s: Annotated[float, Field(ge=0, le=86_400)] = 600.0
    """How long (in data time) one dataset of a spacecraft waits for the others of it."""
    gap_attempts: Annotated[int, Field(ge=0, le=100)] = 6
    """How often a gap is asked for again; 0 never."""
    gap_retry_s: Annotated[float, Field(ge=0.1, le=86_400)] = 300.0
    """From the first to the second time; the interval doubles from then on, up to six hours."""
    shortest_gap_s: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    """Gaps below this are left alone."""
    username: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Where the server asks for one."""
    password_file: Annotated[str, Field(min_length=1)] | None = None
    """Its password: a path, or the name of a credential of systemd."""

    ca_file: FilePath | None = None
    """Authority that signed the server's certificate; by default those of the system."""

    @model_validator(mode="after")
    def _agreeing(self) -> Self:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together: name both or neither")
        keys = [feed.key for feed in self.feeds]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is there twice; leave one out")
        return self
