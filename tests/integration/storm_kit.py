"""A storm that comes over a chain now: simulated once, moved in time and longitude, and sent as stations would.

The samples are always the same ones, of a morning in June 2017. Moved to another time, the chain is moved around the
Earth with them, so that it is the same hour there: waves, light and the ionosphere's damping are those of its day side
whatever the hour and the season of the test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from daemon_kit import Feeder

from monitor.config import Config
from monitor.pipeline import Pipeline
from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.scenario import EMMA, Scenario
from monitor.stations import load_station_table
from monitor.types import SECOND_NS, Product, SampleBlock

MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
T0_NS = 1_497_495_600 * SECOND_NS
"""2017-06-15T03:00:00Z."""
START_NS = T0_NS + 264 * MINUTE_NS
"""Where the history begins: as late as a window of two hours and an established side allow."""
STATIONS = tuple(station for station in EMMA if station[0] in ("OUJ", "HAN", "NUR", "TAR"))
PAIRS = tuple(f"{poleward}-{equatorward}" for (poleward, _), (equatorward, _) in pairwise(STATIONS))
CHAIN = "emma"
# The plasmapause rests beyond the chain, and comes in to L = 3 within two and a half hours.
_COURSE = ((0.0, 4.75), (5.0, 4.75), (7.5, 3.0), (14.0, 3.0))
_PIECE_NS = 5 * SECOND_NS
_LONG_PIECE_NS = MINUTE_NS

SETTINGS: dict[str, Any] = {
    "pairs": list(PAIRS),
    "chains": {CHAIN: list(PAIRS)},
    # The windows that the bundled model knows, as often as can be.
    "windows": {"length_s": 7200, "cadence_s": 60, "lateness_s": 10, "revise_s": 3600},
    # After the last sample no window is labelled for longer than a gap may be bridged.
    "conditioning": {"bridge_s": 60},
    # Moved over the sea the far ends of the lines come to lie otherwise: light shall not decide.
    "density": {"night": True},
    # The event of a chain is over when nothing has followed for so long: in the third window after the one it began in.
    "events": {"merge_h": 0.035},
}


def simulator() -> GroundSimulator:
    """The storm where and when it is simulated."""
    knots = tuple((T0_NS + round(hour * HOUR_NS), l_shell) for hour, l_shell in _COURSE)
    return GroundSimulator(
        Scenario(STATIONS, T0_NS, 3, plasma=PlasmaModel(plasmapause=knots), wave_power=3.0)
    )


def foreseen() -> Product:
    """The word with which the pipeline, offline, begins the crossing of the chain: whose window ends when it is known.

    Nothing is sent that was not computed: what the daemon says later follows from the samples alone.
    """
    pipeline, storm = (
        Pipeline(Config.model_validate({**SETTINGS, "stations": stations_moved(0)})),
        simulator(),
    )
    for start_ns in range(START_NS, START_NS + 5 * HOUR_NS, MINUTE_NS):
        for product in pipeline.feed(storm.blocks(start_ns, start_ns + MINUTE_NS)):
            if product.kind == "event" and product.subject.endswith(f"/{CHAIN}"):
                assert product.body["properties"]["state"] == "begin"
                return product
    raise AssertionError("the storm is not seen: another model or other settings call for another storm")


def stations_moved(shift_ns: int) -> dict[str, dict[str, float]]:
    """The chain on the meridian that has, after a time, the hour that its own had before."""
    table = load_station_table()
    turn_deg = -360.0 * ((shift_ns % DAY_NS) / DAY_NS)
    moved = {}
    for code, l_shell in STATIONS:
        longitude_deg = table[code].longitude_deg
        assert longitude_deg is not None
        moved[code] = {"longitude": (longitude_deg + turn_deg + 180.0) % 360.0 - 180.0, "l_shell": l_shell}
    return moved


class Feed:
    """The chain's stations: the storm from its beginning to now as fast as it goes, then as time goes on.

    Parameters
    ----------
    port : int
        Of the broker.
    shift_ns : int
        How far the storm is moved: whole minutes.
    from_ns, until_ns : int
        Time (moved) of the first sample; nothing is sent from the last one on, until `go_on` says another.
    """

    def __init__(self, port: int, shift_ns: int, *, from_ns: int, until_ns: int) -> None:
        self._feeder = Feeder(port)
        self._storm = simulator()
        self._shift_ns = shift_ns
        self._next_ns = from_ns
        self._until_ns = until_ns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._feeder.close()

    def go_on(self, until_ns: int) -> None:
        """Send up to another time."""
        self._until_ns = until_ns

    @property
    def has_come_to_now(self) -> bool:
        """Whether all that may be sent by now is sent."""
        return self._next_ns + _LONG_PIECE_NS > min(self._until_ns, time.time_ns())

    def _run(self) -> None:
        while not self._stop.is_set():
            for blocks in self._due():
                self._feeder.send(blocks)
            self._stop.wait(0.1)

    def _due(self) -> Iterator[list[SampleBlock]]:
        while not self._stop.is_set():
            limit_ns = min(self._until_ns, time.time_ns())
            piece_ns = _LONG_PIECE_NS if limit_ns - self._next_ns >= _LONG_PIECE_NS else _PIECE_NS
            if self._next_ns + piece_ns > limit_ns:
                return
            start_ns = self._next_ns - self._shift_ns
            self._next_ns += piece_ns
            yield [
                replace(block, t0_ns=block.t0_ns + self._shift_ns)
                for block in self._storm.blocks(start_ns, start_ns + piece_ns)
            ]
