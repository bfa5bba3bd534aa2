"""The configuration as a whole, and the stations and pairs that follow from it."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from monitor.config.http import Http
from monitor.config.mqtt import Mqtt
from monitor.config.schema import (
    ChainName,
    Conditioning,
    CraftEvents,
    CraftId,
    CraftWindows,
    Density,
    Events,
    Injection,
    Input,
    InstanceName,
    Intake,
    Isolation,
    Log,
    Models,
    Outputs,
    PairText,
    Plasmapause,
    PluginEntry,
    Resonance,
    Section,
    Spectra,
    StationCode,
    Store,
    Text,
    Windows,
    parse_pair,
)
from monitor.stations import (
    Axes,
    Station,
    invariant_latitude_deg,
    l_shell_at,
    l_shell_of_pair,
    load_station_table,
)
from monitor.types import Chain, Pair

SAME_SITE_DEG = 0.1
"""A position that differs by less from the shipped one is the same site, written with fewer digits."""

DEFAULT_INPUTS: tuple[Input, ...] = (
    Input(decoder="imagmqtt", topic="impf/+/+/+/+", options={"declination_unit": "degrees"}),
    Input(decoder="native", topic="geospace/v1/in/#"),
)

_MAGNETIC = {"magnetic_latitude_deg": None, "l_shell": None, "declination_deg": None, "epoch": None}


class StationEntry(Section):
    """What the operator knows about a station, beside or over the shipped table. Angles in degrees."""

    name: Text | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=360)] | None = None
    magnetic_latitude: Annotated[float, Field(gt=-90, lt=90)] | None = None
    l_shell: Annotated[float, Field(ge=1, le=100)] | None = None
    declination: Annotated[float, Field(ge=-180, le=180)] | None = None
    axes: Axes | None = None
    sensor: Text | None = None

    def applied_to(self, station: Station) -> Station:
        """Return the station with what this entry gives (a key given as null makes the value unknown).

        A site that moved by 0.1° or more keeps no magnetic values of the old one. Magnetic latitude and L are one
        quantity (L = 1/cos²), so that the one given replaces both; the hemisphere of a bare L is the station's, and
        unknown where that is.
        """
        names = {"latitude": "latitude_deg", "longitude": "longitude_deg", "declination": "declination_deg"}
        changes: dict[str, Any] = dict(_MAGNETIC) if self._moved(station) else {}
        given = self.model_fields_set
        changes |= {
            names.get(key, key): getattr(self, key) for key in given - {"magnetic_latitude", "l_shell"}
        }
        if given & {"magnetic_latitude", "l_shell"}:
            changes |= self._shell(changes.get("magnetic_latitude_deg", station.magnetic_latitude_deg))
        if given & {"magnetic_latitude", "l_shell", "declination"}:
            changes["epoch"] = None
        return dataclasses.replace(station, **changes)

    def _moved(self, station: Station) -> bool:
        pairs = ((self.latitude, station.latitude_deg), (self.longitude, station.longitude_deg))
        return any(
            new is not None and old is not None and abs((new - old + 180) % 360 - 180) >= SAME_SITE_DEG
            for new, old in pairs
        )

    def _shell(self, known_latitude_deg: float | None) -> dict[str, float | None]:
        latitude, l_shell = self.magnetic_latitude, self.l_shell
        if latitude is None and l_shell is not None and known_latitude_deg is not None:
            latitude = math.copysign(invariant_latitude_deg(l_shell), known_latitude_deg)
        if l_shell is None and latitude is not None:
            l_shell = l_shell_at(latitude)
        return {"magnetic_latitude_deg": latitude, "l_shell": l_shell}


class Config(BaseModel):
    """A configuration that has been checked. `load_config`, `parse_config` and `quick_config` make it.

    Made directly (in tests), it is checked value by value, but not for what several values must agree on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mqtt: Mqtt = Mqtt()
    inputs: tuple[Input, ...] = DEFAULT_INPUTS
    stations: dict[StationCode, StationEntry] = Field(default_factory=dict)
    pairs: tuple[PairText, ...] = ()
    chains: dict[ChainName, tuple[PairText, ...]] = Field(default_factory=dict)
    craft: tuple[CraftId, ...] = ()
    windows: Windows = Windows()
    craft_windows: CraftWindows = CraftWindows()
    conditioning: Conditioning = Conditioning()
    spectra: Spectra = Spectra()
    resonance: Resonance = Resonance()
    models: Models = Models()
    density: Density = Density()
    plasmapause: Plasmapause = Plasmapause()
    events: Events = Events()
    craft_events: CraftEvents = CraftEvents()
    outputs: Outputs = Outputs()
    store: Store = Store()
    http: Http = Http()
    intake: Intake = Intake()
    injection: Injection = Injection()
    log: Log = Log()
    plugins: dict[InstanceName, PluginEntry] = Field(default_factory=dict)
    isolation: Isolation = Isolation()

    def with_public_url(self, url: str) -> Config:
        """The same with a URL for links, where none is configured."""
        if self.http.public_url is not None:
            return self
        return self.model_copy(update={"http": self.http.model_copy(update={"public_url": url})})

    def station_table(self) -> dict[str, Station]:
        """Return all stations by code: the shipped ones, those configured, and those of pairs that nobody knows."""
        table = known_stations(self.stations)
        for pair in self.pairs:
            for code in parse_pair(pair).stations:
                table.setdefault(code, Station(code))
        return table

    @cached_property
    def pair_list(self) -> tuple[Pair, ...]:
        """The pairs in their order, each with its own L, else the mean of its stations' L, else None."""
        table = self.station_table()
        return tuple(_with_l_shell(parse_pair(text), table) for text in self.pairs)

    @cached_property
    def chain_list(self) -> tuple[Chain, ...]:
        """The chains in their order, each with those of its pairs whose L is known, the outermost first."""
        known = {pair.name: pair for pair in self.pair_list if pair.l_shell is not None}
        chains = []
        for name, texts in self.chains.items():
            names = (parse_pair(text).name for text in texts)
            pairs = [known[one] for one in names if one in known]
            chains.append(Chain(name, tuple(sorted(pairs, key=lambda pair: -(pair.l_shell or 0.0)))))
        return tuple(chains)


def known_stations(entries: dict[str, StationEntry]) -> dict[str, Station]:
    """Return the shipped table with the configured entries over it."""
    table = load_station_table()
    for code, entry in entries.items():
        table[code] = entry.applied_to(table.get(code, Station(code)))
    return table


def _with_l_shell(pair: Pair, table: dict[str, Station]) -> Pair:
    if pair.l_shell is not None:
        return pair
    return dataclasses.replace(pair, l_shell=l_shell_of_pair(table[pair.poleward], table[pair.equatorward]))
