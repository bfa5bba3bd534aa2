"""Reading a table by its row numbers, around whatever pages of it cannot be read."""

from __future__ import annotations

import bisect
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from monitor.types import iso_time

# Where a page high up in the tree is gone, no row below it is found, however often one asks.
_MOST_FAILURES: Final = 100_000


class Missing:
    """Row numbers that could not be read, as ranges; and, where an index still knows, of whom and from when they were."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._known: dict[str, tuple[int, int, int]] = {}

    @property
    def rows(self) -> int:
        """How many row numbers."""
        return sum(last - first + 1 for first, last in self._ranges)

    def add(self, first: int, last: int) -> None:
        """Note the row numbers `first` to `last`; they come in rising order."""
        if self._ranges and self._ranges[-1][1] >= first - 1:
            self._ranges[-1] = (self._ranges[-1][0], last)
        else:
            self._ranges.append((first, last))

    def look_up(self, source: sqlite3.Connection) -> None:
        """Ask the index of samples what the missing ones were, as far as it can be read."""
        if not self._ranges:
            return
        firsts = [first for first, _ in self._ranges]
        try:
            for name, end_ns, row in source.execute(
                "SELECT source, end_ns, row FROM sample INDEXED BY sample_by_end ORDER BY source, end_ns"
            ):
                at = bisect.bisect_right(firsts, row) - 1
                if at >= 0 and row <= self._ranges[at][1]:
                    count, oldest, newest = self._known.get(name, (0, end_ns, end_ns))
                    self._known[name] = (count + 1, min(oldest, end_ns), max(newest, end_ns))
        except (sqlite3.DatabaseError, UnicodeError, TypeError):
            return

    def line(self) -> str:
        """What is missing, for the operator."""
        known = [
            f"{name} {count} row{'s' * (count != 1)} (ends {iso_time(oldest)} to {iso_time(newest)})"
            for name, (count, oldest, newest) in sorted(self._known.items())
        ]
        rest = self.rows - sum(count for count, _, _ in self._known.values())
        if rest > 0:
            known.append(f"up to {rest} rows of which nothing is known")
        return f"of samples {', '.join(known)}"


class Walk:
    """Gives the rows of a table in the order of their numbers; notes those that cannot be read.

    Parameters
    ----------
    source : sqlite3.Connection
    table, columns : str
    missing : Missing
        Takes the row numbers that could not be read (whether or not there were rows of these numbers).
    """

    def __init__(self, source: sqlite3.Connection, table: str, columns: str, missing: Missing) -> None:
        self._source = source
        self._sql = f"SELECT row, {columns} FROM {table} NOT INDEXED WHERE row BETWEEN ? AND ? ORDER BY row"  # noqa: S608 (constants)
        self._missing = missing
        self._failures = 0

    def rows(self, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        """Yield the readable rows with numbers from `first` to `last`.

        Where reading fails, what remains is halved until the rows that fail stand alone.
        """
        ahead = [(first, last)]
        while ahead:
            low, high = ahead.pop()
            try:
                for row in self._source.execute(self._sql, (low, high)):
                    if not low <= row[0] <= high:
                        raise sqlite3.DatabaseError(f"row {row[0]} is out of its place")
                    low = row[0] + 1
                    yield row
            except (sqlite3.DatabaseError, UnicodeError):
                self._failures += 1
                if low >= high or self._failures > _MOST_FAILURES:
                    if low <= high:
                        self._missing.add(low, high)
                    continue
                middle = (low + high) // 2
                ahead += [(middle + 1, high), (low, middle)]
