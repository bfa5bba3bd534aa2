"""CDF files that are packed: by gzip, or as a whole by the CDF library, as the observatories send theirs.

What is packed is unpacked beside it, piece by piece and no further than its own words allow, into a file that goes
with the reading. Format: https://spdf.gsfc.nasa.gov/pub/software/cdf/doc/cdf391/cdf39ifd.pdf (compressed CDF record).
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from monitor.errors import ArchiveError

PACKED: Final = b"\xcd\xf3\x00\x01\xcc\xcc\x00\x01"
"""How a CDF of version 3 begins that is packed as a whole."""

_PLAIN: Final = b"\xcd\xf3\x00\x01\x00\x00\xff\xff"
_GZIP: Final = b"\x1f\x8b"
_PIECE_BYTES: Final = 1 << 20
_CCR, _CPR, _BY_GZIP = 10, 11, 5
_CCR_HEAD_BYTES, _CPR_HEAD_BYTES = 32, 24


@contextmanager
def plain_cdf(path: Path, largest_bytes: int) -> Iterator[Path]:
    """Where the CDF at `path` is to be read, unpacked; of `largest_bytes` at most.

    Raises ArchiveError for what cannot be unpacked, OSError for what cannot be read.
    """
    name = str(path)
    with ExitStack() as stack:
        if _begins(path, _GZIP):
            path = _unzipped(path, stack.enter_context(_beside()), name, largest_bytes)
        if _begins(path, PACKED):
            path = _unpacked(path, stack.enter_context(_beside()), name, largest_bytes)
        yield path


@contextmanager
def _beside() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="geospace-monitor-") as folder:
        yield Path(folder) / "plain.cdf"


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _unzipped(path: Path, to: Path, name: str, largest_bytes: int) -> Path:
    with gzip.open(path) as packed, to.open("wb") as plain:
        while piece := packed.read(_PIECE_BYTES):
            if plain.tell() + len(piece) > largest_bytes:
                raise ArchiveError(
                    name, f"holds more than {largest_bytes} bytes; split it, for example by days"
                )
            plain.write(piece)
    return to


def _unpacked(path: Path, to: Path, name: str, largest_bytes: int) -> Path:
    with path.open("rb") as packed, to.open("wb") as plain:
        size = _packed_at(packed, name)
        if not 0 < size <= largest_bytes:
            raise ArchiveError(
                name,
                f"says that it holds {size} bytes; allowed are {largest_bytes}: split it, for example by days",
            )
        plain.write(_PLAIN)
        stream = zlib.decompressobj(wbits=31)
        left = size
        try:
            while left and not stream.eof:
                given = stream.unconsumed_tail or packed.read(_PIECE_BYTES)
                if not given:
                    break
                piece = stream.decompress(given, min(left, _PIECE_BYTES))
                plain.write(piece)
                left -= len(piece)
        except zlib.error as error:
            raise _damaged(name, str(error)) from None
    if left:
        raise _damaged(name, f"{left} of {size} bytes are missing")
    return to


def _packed_at(packed: BinaryIO, name: str) -> int:
    """Leave the file at its packed content; return how long that is unpacked."""
    packed.seek(len(PACKED))
    record = packed.read(_CCR_HEAD_BYTES)
    if len(record) < _CCR_HEAD_BYTES or int.from_bytes(record[8:12], "big") != _CCR:
        raise _damaged(name, "its record of packed content is not there")
    packed.seek(int.from_bytes(record[12:20], "big") & 0x7FFF_FFFF_FFFF_FFFF)
    how = packed.read(_CPR_HEAD_BYTES)
    if len(how) < _CPR_HEAD_BYTES or int.from_bytes(how[8:12], "big") != _CPR:
        raise _damaged(name, "it does not say how it is packed")
    if int.from_bytes(how[12:16], "big") != _BY_GZIP:
        raise ArchiveError(name, "is a CDF packed as a whole, and not by gzip; unpack it with cdfconvert")
    packed.seek(len(PACKED) + _CCR_HEAD_BYTES)
    return int.from_bytes(record[20:28], "big", signed=True)


def _damaged(name: str, what: str) -> ArchiveError:
    return ArchiveError(name, f"is a damaged or cut off CDF ({what}); fetch the file again")
