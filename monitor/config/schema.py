"""The keys of the configuration, their defaults and what each may be. Attribute names equal the keys.

What concerns a single value stands here; what concerns several of them stands in `checking`.
Units are in the names (`_s` seconds, `_h` hours, `_mHz` millihertz); angles are degrees, latitudes north positive.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from monitor.config.reading import show
from monitor.config.topics import filter_fault, root_fault
from monitor.types import CELL_NS, SECOND_NS, WINDOW_CELLS, Kind, Pair

_STATION_CODE = re.compile(r"[A-Z0-9]{2,8}")
_CRAFT_ID = re.compile(r"[A-Z0-9_]{2,16}")
_CHAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PAIR = re.compile(r"([A-Z0-9]{2,8})-([A-Z0-9]{2,8})(?::([0-9]{1,3}(?:\.[0-9]{1,12})?))?", re.IGNORECASE)


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no conversions that hide a mistake, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def parse_station_code(text: str) -> str:
    """Return a station code in upper case; raise ValueError where it is none."""
    if not _STATION_CODE.fullmatch(text.upper()):
        raise ValueError(f"found station {show(text)}; a code is 2 to 8 letters A-Z or digits, such as TAR")
    return text.upper()


def parse_craft_id(text: str) -> str:
    """Return a spacecraft id in upper case; raise ValueError where it is none."""
    if not _CRAFT_ID.fullmatch(text.upper()):
        raise ValueError(
            f"found spacecraft {show(text)}; an id is 2 to 16 letters A-Z, digits or _, such as MMS1"
        )
    return text.upper()


def parse_chain_name(text: str) -> str:
    """Return the name of a chain as it is; raise ValueError where it cannot be part of a topic."""
    if not _CHAIN_NAME.fullmatch(text):
        raise ValueError(f"found chain {show(text)}; a name is 1 to 64 letters, digits, _ or -, such as emma")
    return text


def parse_instance_name(text: str) -> str:
    """Return the name under which a plugin is switched on; raise ValueError where it cannot be one of a folder."""
    if not _INSTANCE_NAME.fullmatch(text):
        raise ValueError(
            f"found plugin {show(text)}; a name is 1 to 40 letters, digits, _ or -, such as cdaweb"
        )
    return text


def parse_pair(text: str) -> Pair:
    """Read `POLEWARD-EQUATORWARD` or `POLEWARD-EQUATORWARD:L`; raise ValueError for anything else."""
    match = _PAIR.fullmatch(text)
    # IGNORECASE lets a few letters beyond ASCII pass (the Kelvin sign is a k).
    if match is None or not text.isascii():
        raise ValueError(
            f"found pair {show(text)}; write POLEWARD-EQUATORWARD or POLEWARD-EQUATORWARD:L, such as TAR-BRZ or MUO-PEL:5.37"
        )
    l_shell = None if match[3] is None else float(match[3])
    if l_shell is not None and not 1.0 <= l_shell <= 100.0:
        raise ValueError(f"found L {match[3]} in pair {show(text)}; L is from 1 to 100")
    return Pair(match[1].upper(), match[2].upper(), l_shell)


def _normal_pair(text: str) -> str:
    parse_pair(text)
    return text.upper()


StationCode = Annotated[str, AfterValidator(parse_station_code)]
CraftId = Annotated[str, AfterValidator(parse_craft_id)]
ChainName = Annotated[str, AfterValidator(parse_chain_name)]
InstanceName = Annotated[str, AfterValidator(parse_instance_name)]
PairText = Annotated[str, AfterValidator(_normal_pair)]


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("found an empty text; write a value or leave the key out")
    return text


Text = Annotated[str, AfterValidator(_filled)]
# Strict mode takes nothing but Path objects for a path; a file holds texts.
FilePath = Annotated[Path, Field(strict=False)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
# Bounded, so that a time in nanoseconds always fits into 64 bits.
Seconds = Annotated[float, Field(ge=0, le=31_536_000)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400)]
Hours = Annotated[float, Field(gt=0, le=876_000)]


def without_credentials(text: str) -> str:
    """Return a URL for a message: what stands before an @ may be a password."""
    return show(f"(not shown)@{text.rpartition('@')[2]}" if "@" in text else text)


def split_url(text: str) -> SplitResult:
    """Split a URL without query and fragment; raise ValueError, that shows no password, where it cannot be."""
    shown = without_credentials(text)
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where the port is no number or too large
    except ValueError:
        raise ValueError(f"found {shown}; the host or the port cannot be read") from None
    if parts.query or parts.fragment or any(character.isspace() for character in text):
        raise ValueError(f"found {shown}; a blank, ? or # is not allowed in this URL")
    return parts


def _filter(text: str) -> str:
    fault = filter_fault(text)
    if fault is not None:
        raise ValueError(f"found topic filter {show(text)}: {fault}")
    return text


def _root(text: str) -> str:
    fault = root_fault(text)
    if fault is not None:
        raise ValueError(f"found root {show(text)}: {fault}")
    return text


class Input(Section):
    """Which decoder reads which topics."""

    decoder: Text
    topic: Annotated[str, AfterValidator(_filter)]
    options: dict[str, Any] = Field(default_factory=dict)
    """The decoder's own options, as they were written."""

    @property
    def filters(self) -> tuple[str, ...]:
        """The topic filters to subscribe to. A MARTAS topic is a prefix of its data, meta and dict."""
        if self.decoder == "martas":
            return tuple(f"{self.topic}/{leaf}" for leaf in ("data", "meta", "dict"))
        return (self.topic,)


class PluginEntry(Section):
    """A plugin that is switched on, under a name of its own."""

    plugin: Text
    kind: Kind
    options: dict[str, Any] = Field(default_factory=dict)
    """As they were written."""
    begin: Literal["now", "beginning"] = "now"
    """Of a sink (its key is `from`): with what is committed from its first start on, or with all that is stored."""


class Windows(Section):
    """Windows of the ground stations. T is a multiple of the cadence since 1970, and a day holds whole ones."""

    length_s: Annotated[int, Field(ge=600, le=86_400)] = 7200
    cadence_s: Annotated[
        int, Field(ge=60, le=86_400), AfterValidator(lambda value: _divides_a_day(value))
    ] = 1800
    lateness_s: Seconds = 120.0
    revise_s: Seconds = 86_400.0


def _divides_a_day(cadence_s: int) -> int:
    if cadence_s > 0 and 86_400 % cadence_s:
        raise ValueError(
            f"found {cadence_s}; the cadence must divide a day (86400 s), such as 600, 900, 1800 or 3600"
        )
    return cadence_s


class CraftWindows(Section):
    """Windows of the spacecraft. They end at the multiples of the hop since 1970, and lie on a grid of 4.5 s."""

    length_s: Annotated[float, AfterValidator(lambda value: _network_length(value))] = 180.0
    hop_s: Annotated[float, Field(ge=4.5, le=180), AfterValidator(lambda value: _whole_cells(value))] = 180.0
    lateness_s: Seconds = 60.0
    revise_s: Annotated[float, Field(ge=0, le=86_400)] = 3600.0
    context: bool = True
    """Whether a window waits for the 31.5 s after it, which sharpen its edges."""
    bridge_ratio: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest share of a window that may be bridged; 0 gives up a window with any gap, as the paper does."""
    debounce: Annotated[float, Field(ge=0, le=20)] = 1.1
    """Evidence, as a logarithm of odds, that a change of the label needs; 0 takes every window at its word."""


def _network_length(length_s: float) -> float:
    if length_s != WINDOW_CELLS * CELL_NS / SECOND_NS:
        raise ValueError(f"found {length_s:g}; the network is one of windows of 180 s (40 steps of 4.5 s)")
    return length_s


def _whole_cells(hop_s: float) -> float:
    hop_ns, day_ns = round(hop_s * SECOND_NS), 86_400 * SECOND_NS
    if hop_ns % CELL_NS or day_ns % hop_ns:
        raise ValueError(
            f"found {hop_s:g}; the hop must be a multiple of 4.5 s that divides a day, such as 4.5, 9, 22.5, 45, 90 or 180"
        )
    return hop_s


class Conditioning(Section):
    """What may be repaired in a window before it is given up."""

    bridge_s: Seconds = 300.0
    minimum_coverage: Ratio = 0.9
    spike_threshold: Positive = 10.0
    maximum_spike_ratio: Ratio = 0.01


def _odd(bins: int) -> int:
    if bins % 2 == 0:
        raise ValueError(f"found {bins}; the number of bins must be odd, so that the smoothing is centred")
    return bins


class Spectra(Section):
    """Smoothing of the cross-spectrum, and the band that is kept."""

    smoothing_bins: Annotated[int, Field(ge=3, le=101), AfterValidator(_odd)] = 11
    minimum_frequency_mHz: Positive = 1.0
    maximum_frequency_mHz: Annotated[float, Field(gt=0, le=500)] = 100.0


class Resonance(Section):
    """When a cross-phase maximum counts as a resonance, and when a ramp counts as a timing offset."""

    significance: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    minimum_coherence: Ratio = 0.3
    timing_offset_s: PositiveSeconds = 1.5
    timing_bandwidth_mHz: Positive = 30.0


class Models(Section):
    """Which learned models are at work."""

    flr: Text = "auto"
    """`auto`, `physical`, or the folder of a model."""
    region: Text = "auto"
    """`auto`, `none`, or the folder of a model."""


class Density(Section):
    """How frequencies become mass densities."""

    field: Literal["dipole", "igrf", "t89"] = "dipole"
    kp: Annotated[float, Field(ge=0, le=9)] | None = None
    ionosphere_km: Annotated[float, Field(ge=0, le=1000)] = 110.0
    night: bool = False
    """Whether ends are taken as fixed in penumbra and at night too."""


class Plasmapause(Section):
    """When a position of the plasmapause is stated."""

    level: Annotated[float, Field(ge=0.5, le=0.99)] = 0.9
    widest_l: Annotated[float, Field(gt=0, le=5)] = 1.2


class Events(Section):
    """When a change is an event."""

    confirm: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    minimum_windows: Annotated[int, Field(ge=1, le=48)] = 2
    refractory_h: Annotated[float, Field(ge=0, le=168)] = 2.0
    merge_h: Annotated[float, Field(ge=0, le=168)] = 24.0


class CraftEvents(Section):
    """When a spacecraft has crossed the bow shock or the magnetopause."""

    confirm: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    minimum_s: Annotated[float, Field(gt=0, le=7200)] = 360.0
    """How long the windows must speak for the other side, without one that speaks against it."""
    refractory_s: Annotated[float, Field(ge=0, le=86_400)] = 600.0


class Outputs(Section):
    """Where products are published. The quality of service is 1 and not configurable."""

    root: Annotated[str, AfterValidator(_root)] = "geospace/v1"
    spectra: bool = False


class Store(Section):
    """The durable store, and how long it keeps samples and products (null: for ever)."""

    path: FilePath = Path("/var/lib/geospace-monitor/monitor.sqlite")
    retention_h: Hours = 72.0
    product_retention_h: Hours | None = None
    spectra_retention_h: Annotated[float, Field(ge=0, le=876_000)] = 168.0
    """Of the packed spectra that the page draws; 0 keeps none."""


class Isolation(Section):
    """What a plugin of another distribution may take, in a process of its own, before it is ended and begun anew."""

    answer_s: Annotated[float, Field(ge=0.1, le=600)] = 5.0
    start_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    write_s: Annotated[float, Field(ge=0.1, le=600)] = 50.0
    restarts: Annotated[int, Field(ge=0, le=100)] = 3
    """How often within an hour."""
    memory_MB: Annotated[int, Field(ge=512, le=1_000_000)] = 4096


class Intake(Section):
    """How much is taken in before it is committed."""

    queue_messages: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    maximum_payload_bytes: Annotated[int, Field(ge=1024, le=268_435_455)] = 4_194_304
    batch_s: Annotated[float, Field(gt=0, le=60)] = 0.2


class Injection(Section):
    """Shadows that are fed with signals of known truth, to see whether the whole path still gives them back."""

    pair: bool = False
    craft: bool = False


class Log(Section):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
