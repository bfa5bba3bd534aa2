"""Profiles as a table: a row for each pair and time, with the columns of the EMMA group's records."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from monitor.types import Json, Product

PROFILE_COLUMNS = {
    "time": "UTC",
    "gsm_lat": "deg",
    "gsm_lon": "deg",
    "gsm_z": "m",
    "rho_si": "kg m-3",
    "rho": "amu cm-3",
    "distance": "R_E",
    "lt": "h",
    "mlt": "h",
    "l_shell": "",
    "rho_low": "amu cm-3",
    "rho_high": "amu cm-3",
    "label": "",
    "illumination": "",
    "flags": "",
}
"""The columns behind `chain` and `pair`, with their units: the first nine as the EMMA group names them."""

_AS_THEY_ARE = tuple(name for name in PROFILE_COLUMNS if name not in ("time", "rho_low", "rho_high", "flags"))

Row = dict[str, str]


def profile_rows(body: Mapping[str, Json]) -> Iterator[Row]:
    """The rows of one `profile` object, the outermost pair first; a cell is empty where nothing is known.

    `time` is the centre of the window: what densities, places and hours belong to. Flags have a space between them.
    """
    for place, pair in enumerate(body["pairs"]):
        low, high = body["rho_interval"][place] or (None, None)
        yield {
            "chain": body["chain"],
            "pair": pair,
            "time": body["effective_time"],
            **{name: _cell(body[name][place]) for name in _AS_THEY_ARE},
            "rho_low": _cell(low),
            "rho_high": _cell(high),
            "flags": " ".join(body["flags"][place]),
        }


class Profiles:
    """The newest revision of every `profile` object that comes by, for a table of them."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], Product] = {}

    def take(self, products: Iterable[Product]) -> None:
        """Note profiles, in the order in which they are made; other kinds are passed over."""
        for product in products:
            if product.kind == "profile":
                self._newest[product.subject, product.time_ns] = product

    def write(self, file: IO[str]) -> int:
        """Write them as CSV, by chain and time, to a file opened with `newline=""`; return the number of rows."""
        writer = csv.DictWriter(file, ["chain", "pair", *PROFILE_COLUMNS], lineterminator="\n")
        writer.writeheader()
        count = 0
        for key in sorted(self._newest):
            for row in profile_rows(self._newest[key].body):
                writer.writerow(row)
                count += 1
        return count


def _cell(value: Json) -> str:
    """A value as text that reads back as the same number."""
    return "" if value is None else str(value)
