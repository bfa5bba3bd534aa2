"""Archive files, told apart by their content: CSV, IAGA-2002, CDF of spacecraft and observatories; all plain or gzip.

A file is named by its path, or `CODE=FILE` where the station or spacecraft shall be CODE. `ID.B=FILE` is a CSV without
a header whose columns are the time and the quantity B of a spacecraft: `B` and `V` stand for three components, all
else for the native quantity of that name. What else is switched on (`FileReader`) is asked before a file is taken for
CSV. All that can be wrong with a file is an `ArchiveError` of one line.
"""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.decoders.base import FileReader
from monitor.decoders.native import CRAFT_LIMITS
from monitor.errors import ArchiveError
from monitor.io.files.cdf import read_cdf
from monitor.io.files.craft import join_craft
from monitor.io.files.csv import read_csv
from monitor.io.files.decoded import HEAD_BYTES, read_decoded, reader_of
from monitor.io.files.iaga2002 import is_iaga2002, read_iaga2002
from monitor.io.files.series import SourceSeries, interleave

__all__ = ["Archive", "SourceSeries", "interleave", "open_archives", "read_archive"]

log = logging.getLogger(__name__)

MAXIMUM_BYTES: Final = 1 << 30
"""Largest file, after decompression: it is read whole."""

_GZIP = b"\x1f\x8b"
_CDF: Final = (b"\xcd\xf3\x00\x01", b"\xcd\xf2\x60\x02", b"\x00\x00\xff\xff")
_ZIP = b"PK\x03\x04"
_NAMED = re.compile(r"([A-Za-z0-9_]{2,16})(?:\.([A-Za-z]{1,5}))?=(.+)", re.DOTALL)
_STATION_WORDS: Final = "station code (2 to 8 letters or digits)"
_VECTORS: Final = ("B", "V")
_STATION = re.compile(r"[A-Z0-9]{2,8}")


@dataclass(frozen=True, slots=True)
class Archive:
    """What one file holds.

    Attributes
    ----------
    path : str
    series : tuple of SourceSeries
        One for each source and stretch without a long gap.
    notes : tuple of str
        What was left out, a line each, for the operator.
    """

    path: str
    series: tuple[SourceSeries, ...]
    notes: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Stations and spacecraft, in the order of the file."""
        return tuple(dict.fromkeys(one.source for one in self.series))


def read_archive(
    spec: str | Path, craft: Collection[str] = (), readers: Sequence[FileReader] = ()
) -> Archive:
    """Read one file, given as FILE or CODE=FILE; `craft` are the ids that are spacecraft, `readers` know other formats.

    Raises ArchiveError for a file that is missing, unreadable, or not what it says.
    """
    known_craft = frozenset(one.upper() for one in craft)
    path, code, columns = _split(spec, known_craft)
    head = b"" if columns else _head(path)
    if head.startswith(_CDF):
        series, notes = read_cdf(path, code, MAXIMUM_BYTES)
        return Archive(str(path), tuple(series), tuple(notes))
    content = _read(path)
    reader = None if columns or _is_iaga2002(head) else reader_of(head, readers, str(path))
    if reader is not None:
        return Archive(str(path), tuple(read_decoded(content, str(path), path.name, code, reader)), ())
    text = _as_text(content, str(path))
    if is_iaga2002(text):
        series, notes = read_iaga2002(text, str(path), code)
    else:
        series, notes = read_csv(text, str(path), code, known_craft, columns)
    return Archive(str(path), tuple(series), tuple(notes))


def open_archives(
    specs: Sequence[str | Path], craft: Collection[str] = (), readers: Sequence[FileReader] = ()
) -> list[SourceSeries]:
    """Read files as `read_archive` does, log their notes, and return all their series.

    Those of one spacecraft on the grid of 4.5 s are joined, so that field and moments come together.
    """
    series: list[SourceSeries] = []
    for spec in specs:
        archive = read_archive(spec, craft, readers)
        for note in archive.notes:
            log.warning("%s", note)
        for one in archive.series:
            _warn_of_overlap(one, series)
        series += archive.series
    return join_craft(series)


def _warn_of_overlap(new: SourceSeries, series: Sequence[SourceSeries]) -> None:
    for old in series:
        together = old.t0_ns < new.end_ns and new.t0_ns < old.end_ns
        if old.source == new.source and together and set(old.components) & set(new.components):
            log.warning(
                "%s and %s both hold %s at the same times; name them CODE=FILE where they are two instruments",
                old.path,
                new.path,
                new.source,
            )
            return


def _split(spec: str | Path, craft: Collection[str]) -> tuple[Path, str | None, tuple[str, ...]]:
    """Path, code and columns of FILE, CODE=FILE or ID.QUANTITY=FILE; a file of that whole name has no code."""
    if isinstance(spec, Path) or _exists(spec):
        return Path(spec), None, ()
    match = _NAMED.fullmatch(spec)
    if match is None:
        return Path(spec), None, ()
    code = match[1].upper()
    if code not in craft and (match[2] or not _STATION.fullmatch(code)):
        wanted = (
            "known spacecraft; name it with --craft"
            if match[2]
            else f"{_STATION_WORDS} and no known spacecraft"
        )
        raise ArchiveError(spec, f"{match[1]} is no {wanted}")
    return Path(match[3]), code, _columns(spec, match[2]) if match[2] else ()


def _columns(spec: str, quantity: str) -> tuple[str, ...]:
    """Header of a CSV that has none."""
    if quantity.upper() in _VECTORS:
        return ("time", *(f"{quantity.upper()}{axis}" for axis in "xyz"))
    name = next((one for one in CRAFT_LIMITS if one.lower() == quantity.lower()), None)
    if name is None:
        raise ArchiveError(spec, f"{quantity} is none of {' '.join((*_VECTORS, *CRAFT_LIMITS))}")
    return ("time", name)


def _head(path: Path) -> bytes:
    """How a file begins, unpacked; nothing where it cannot be read: what reads it whole says what is wrong."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if not head.startswith(_GZIP):
                return head
            file.seek(0)
            with gzip.open(file) as unpacked:
                return unpacked.read(HEAD_BYTES)
    except (OSError, EOFError, ValueError, zlib.error):
        return b""


def _is_iaga2002(head: bytes) -> bool:
    return is_iaga2002(head.decode("utf-8-sig", errors="replace"))


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False


def _read(path: Path) -> bytes:
    """The content of a file, unpacked. Raises ArchiveError."""
    name = str(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic.startswith(_GZIP):
                with gzip.open(file) as unpacked:
                    content = unpacked.read(MAXIMUM_BYTES + 1)
            else:
                content = file.read(MAXIMUM_BYTES + 1)
    except EOFError:
        raise ArchiveError(name, "is cut off: the gzip stream has no end; fetch the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ArchiveError(name, f"is a damaged gzip file: {error}; fetch the file again") from None
    except OSError as error:
        raise ArchiveError(name, f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise ArchiveError(repr(name), f"cannot be the name of a file: {error}") from None
    if len(content) > MAXIMUM_BYTES:
        raise ArchiveError(name, f"holds more than {MAXIMUM_BYTES} bytes; split it, for example by days")
    return content


def _as_text(content: bytes, name: str) -> str:
    if content.startswith(_CDF):
        raise ArchiveError(name, "is a CDF file, which names its own columns; write FILE or ID=FILE")
    if content.startswith(_ZIP):
        raise ArchiveError(name, "is a ZIP or NumPy file; convert it to CSV")
    if b"\0" in content:
        raise ArchiveError(name, "is binary; expected is text: CSV or IAGA-2002, plain or gzip")
    if not content.strip():
        raise ArchiveError(name, "is empty")
    # Header lines may be in any encoding; a sign that cannot be read spoils no number.
    return content.decode("utf-8-sig", errors="replace")
