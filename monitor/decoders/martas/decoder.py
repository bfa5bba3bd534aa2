"""The decoder of MARTAS: what it knows of each sensor, and what it makes of a message.

MARTAS publishes data first, then `dict` and `meta`, with the first message and with every tenth; none is retained.
So data may come before anything is known of their columns: they wait for it, and what is known is remembered.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from monitor.decoders.base import check_times, station_code
from monitor.decoders.martas.columns import Clock, Columns, SensorOptions
from monitor.decoders.martas.grid import Grid
from monitor.decoders.martas.meta import Meta, parse_meta
from monitor.decoders.martas.pending import Pending
from monitor.decoders.martas.rows import Rows, parse_rows
from monitor.errors import DecodeError
from monitor.types import (
    SECOND_NS,
    FloatArray,
    IntArray,
    Json,
    Message,
    Options,
    SampleBlock,
    Surroundings,
)

logger = logging.getLogger(__name__)

_VERSION: Final = 1
# Some have a unit in their name, with whatever signs that has.
_SENSOR = re.compile(r"[^\s/]{1,64}")
_MOST_SENSORS: Final = 500
_NOTHING: Final = SensorOptions()


@dataclass(slots=True)
class _Sensor:
    """What is known of one sensor: its columns, or why it has none; where its samples stand."""

    grid: Grid
    meta: Meta | None = None
    columns: Columns | None = None
    refusal: DecodeError | None = None
    changes: int = 0


class MartasDecoder:
    """Reads what MARTAS publishes below `<station>/<sensor>/`; of several times and units it takes what meta names.

    Parameters
    ----------
    options : MartasDecoder.Options
    surroundings : Surroundings
    """

    class Options(Options):
        """What MARTAS does not say: codes of stations by their name in the topic, and what is special of sensors."""

        stations: dict[str, Annotated[str, Field(pattern=r"^[A-Z0-9]{2,8}$")]] = Field(default_factory=dict)
        sensors: dict[str, SensorOptions] = Field(default_factory=dict)
        clock: Clock = "primary"

    name = "martas"

    def __init__(self, options: Options, surroundings: Surroundings) -> None:
        self._options = options
        self._surroundings = surroundings
        self._sensors: dict[str, _Sensor] = {}
        self._pending = Pending()
        self._changes = 0

    @property
    def changes(self) -> int:
        """Another number after each message that changed what is remembered."""
        return self._changes

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        """Return what a message completes; raise DecodeError where it cannot be used."""
        levels = message.topic.rsplit("/", 2)
        if len(levels) < 3 or levels[2] not in ("data", "meta", "dict"):
            raise DecodeError(
                "bad_topic", f"{message.topic[:120]!r} does not end in STATION/SENSOR/data, meta or dict"
            )
        path, sensor, leaf = levels
        place = path.rpartition("/")[2]
        if not (_SENSOR.fullmatch(sensor) and sensor.isprintable()):
            raise DecodeError("bad_topic", f"{sensor[:60]!r} cannot name a sensor, as LEMI036_1_0001 does")
        options = self._options.sensors.get(sensor, _NOTHING)
        if leaf == "dict" or options.ignore:
            return ()
        station = self._station(place, options)
        if len(message.payload) > self._surroundings.maximum_payload_bytes:
            limit = self._surroundings.maximum_payload_bytes
            raise DecodeError(
                "too_large", f"the payload has {len(message.payload)} bytes; allowed are {limit}"
            )
        key = f"{path}/{sensor}"
        take = self._take_meta if leaf == "meta" else self._take_data
        blocks = take(key, station, sensor, message)
        for block in blocks:
            # What waited was within the bounds of its own time: since then the clock here may have been set back.
            check_times(block.t0_ns, block.step_ns, block.count, message.received_ns)
        return blocks

    def snapshot(self) -> Json:
        """What is known of the sensors, and the data that wait, as JSON."""
        sensors = {
            key: {"meta": None if one.meta is None else one.meta.text, "grid": one.grid.snapshot()}
            for key, one in self._sensors.items()
        }
        return {"version": _VERSION, "sensors": sensors, "waiting": self._pending.snapshot()}

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for what cannot be read, and then nothing is taken up."""
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            raise ValueError(f"the state is not of version {_VERSION}, which this program writes")
        sensors: dict[str, _Sensor] = {}
        pending = Pending()
        try:
            for key, known in state["sensors"].items():
                sensor = key.rpartition("/")[2]
                sensors[key] = one = self._new_sensor(sensor)
                if known["meta"] is not None:
                    self._learn(one, sensor, parse_meta(known["meta"].encode(), sensor))
                one.grid.restore(known["grid"])
            pending.restore(state["waiting"])
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, DecodeError) as error:
            raise ValueError(f"the state cannot be read: {error!r}") from error
        self._sensors, self._pending = sensors, pending

    def _station(self, place: str, options: SensorOptions) -> str:
        """The code of the station, by the sensor or by its name in the topic."""
        code = options.station or self._options.stations.get(place) or station_code(place)
        if code is None:
            raise DecodeError(
                "bad_topic", f"{place[:60]!r} is not a station code: name the one it has in options.stations"
            )
        known = self._surroundings.stations
        if known and code not in known:
            raise DecodeError("unknown_station", f"{code} belongs to no configured pair")
        return code

    def _known(self, key: str, sensor: str) -> _Sensor:
        """What is known of a sensor; of too many, the one that was silent longest is forgotten."""
        known = self._sensors.pop(key, None) or self._new_sensor(sensor)
        self._sensors[key] = known
        if len(self._sensors) > _MOST_SENSORS:
            silent = next(iter(self._sensors))
            del self._sensors[silent]
            self._pending.take(silent)
        return known

    def _new_sensor(self, sensor: str) -> _Sensor:
        step_s = self._options.sensors.get(sensor, _NOTHING).step_s
        return _Sensor(Grid(None if step_s is None else round(step_s * SECOND_NS)))

    def _learn(self, known: _Sensor, sensor: str, meta: Meta) -> None:
        """Make the columns of a meta; where it has none that are the field, keep why."""
        options = self._options.sensors.get(sensor, _NOTHING)
        before = known.columns.components if known.columns is not None else None
        known.meta, known.columns, known.refusal = meta, None, None
        try:
            known.columns = Columns(meta, sensor, options, options.clock or self._options.clock)
        except DecodeError as error:
            known.refusal = error
        if known.columns is None or known.columns.components != before:
            known.grid.forget()

    def _take_meta(self, key: str, station: str, sensor: str, message: Message) -> list[SampleBlock]:
        meta = parse_meta(message.payload, sensor)
        known = self._known(key, sensor)
        if known.meta is None or known.meta.text != meta.text:
            if known.meta is not None:
                known.changes += 1
                # One that says now this and now that must not fill the log.
                if known.changes.bit_count() == 1:
                    logger.warning(
                        "%.120r: meta has changed from %.200r to %.200r (time %d)",
                        key,
                        known.meta.text,
                        meta.text,
                        known.changes,
                    )
            self._learn(known, sensor, meta)
            self._changes += 1
        waiting = self._pending.take(key)
        if not waiting:
            return []
        self._changes += 1
        return self._released(known, station, sensor, waiting)

    def _released(
        self, known: _Sensor, station: str, sensor: str, waiting: Sequence[Message]
    ) -> list[SampleBlock]:
        """What waited for its meta; DecodeError where none of it can be used."""
        times, values = [], []
        fault: DecodeError | None = None
        for message in waiting:
            try:
                some_times, some_values = _measured(known, sensor, _rows(message, sensor))
            except DecodeError as error:
                fault = fault or error
            else:
                times.append(some_times)
                values.append(some_values)
        if not times:
            raise fault or DecodeError("empty", f"{sensor}: nothing waited")
        return self._placed(known, station, sensor, np.concatenate(times), np.hstack(values))

    def _take_data(self, key: str, station: str, sensor: str, message: Message) -> list[SampleBlock]:
        rows = _rows(message, sensor)
        known = self._known(key, sensor)
        # Rows of another width: MARTAS was set up anew, and its new meta comes behind them.
        if known.meta is None or not known.meta.fits(rows.width):
            self._changes += 1
            given_up = self._pending.keep(key, message)
            if given_up:
                raise DecodeError(
                    "no_meta",
                    f"{sensor} sends data but no meta for them: the oldest of what waits was given up",
                )
            return []
        return self._placed(known, station, sensor, *_measured(known, sensor, rows))

    def _placed(
        self, known: _Sensor, station: str, sensor: str, times_ns: IntArray, values: FloatArray
    ) -> list[SampleBlock]:
        assert known.columns is not None
        runs = known.grid.place(times_ns, values)
        self._changes += 1
        components = known.columns.components
        return [
            SampleBlock(station, components, run.t0_ns, run.step_ns, run.values, sensor=sensor)
            for run in runs
        ]


def _rows(message: Message, sensor: str) -> Rows:
    return parse_rows(message.payload, sensor, message.received_ns)


def _measured(known: _Sensor, sensor: str, rows: Rows) -> tuple[IntArray, FloatArray]:
    """Times (ns UTC) and components (c, n) of rows. Raises DecodeError."""
    if known.columns is None or known.meta is None:
        assert known.refusal is not None
        raise DecodeError(known.refusal.reason, known.refusal.detail)
    if not known.meta.fits(rows.width):
        raise DecodeError(
            "bad_row", f"{sensor}: {rows.width} values behind the time, {len(known.meta.keys)} keys in meta"
        )
    times_ns, values = known.columns.times_ns(rows), known.columns.values(rows)
    if times_ns is not rows.times_ns:
        for time_ns in (int(times_ns.min()), int(times_ns.max())):
            check_times(time_ns, SECOND_NS, 1, rows.received_ns)
    return times_ns, values
