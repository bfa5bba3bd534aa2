"""Whether the records of a CDF file hang together, before a library follows them.

A damaged CDF can name records beyond its end, chains that lead back to themselves, or more dimensions and values than
there is memory. Here each link is followed once, every size is held against the file's, and packed blocks are unpacked
no further than their records go. What passes can be read in bounded time and memory.
Format: https://spdf.gsfc.nasa.gov/pub/software/cdf/doc/cdf391/cdf39ifd.pdf (version 3, single file).
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

from monitor.errors import ArchiveError

MAGIC: Final = b"\xcd\xf3\x00\x01"
_NOT_PACKED: Final = b"\x00\x00\xff\xff"
_LARGEST_VARIABLE_BYTES: Final = 1 << 29
_MOST_DIMENSIONS: Final = 10
_SPARSE_LIMIT_BYTES: Final = 1 << 24
_CDR, _GDR, _RVDR, _ADR, _AGREDR, _VXR, _VVR, _ZVDR, _AZEDR, _CPR, _CVVR = 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13
_TYPE_BYTES: Final = {
    1: 1, 2: 2, 4: 4, 8: 8, 11: 1, 12: 2, 14: 4, 21: 4, 22: 8,
    31: 8, 32: 16, 33: 8, 41: 1, 44: 4, 45: 8, 51: 1, 52: 1,
}  # fmt: skip


def check_cdf(file: BinaryIO, path: str) -> None:
    """Follow all records of an open CDF file; raise ArchiveError where they do not hang together."""
    _Walk(file, path).follow()


class _Walk:
    """One walk through the records of a file. Offsets are those of the format, from a record's first byte."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self._size = file.seek(0, 2)
        self._seen: set[int] = set()
        self._r_sizes: tuple[int, ...] = ()

    def follow(self) -> None:
        self._file.seek(0)
        magic = self._file.read(8)
        if not magic.startswith(MAGIC):
            raise ArchiveError(self._path, "is a CDF of a version before 3; convert it with cdfconvert")
        if magic[4:] != _NOT_PACKED:
            raise self._damaged("it is neither plain nor packed in a known way")
        gdr_at = 8 + len(self._record(8, (_CDR,)))
        gdr = self._record(gdr_at, (_GDR,))
        if _integer(gdr, 36, 8) > self._size:
            raise self._damaged(
                f"its own length says {_integer(gdr, 36, 8)} bytes, but {self._size} are there"
            )
        dimensions = self._count(gdr, 56, _MOST_DIMENSIONS)
        self._r_sizes = tuple(_integer(gdr, 84 + 4 * place, 4) for place in range(dimensions))
        self._variables(_integer(gdr, 12, 8), self._count(gdr, 44), _RVDR)
        self._variables(_integer(gdr, 20, 8), self._count(gdr, 60), _ZVDR)
        self._attributes(_integer(gdr, 28, 8), self._count(gdr, 48))

    def _variables(self, at: int, count: int, kind: int) -> None:
        for _ in range(count):
            record = self._record(at, (kind,))
            self._variable(record, kind)
            at = _integer(record, 12, 8)

    def _variable(self, record: bytes, kind: int) -> None:
        flags, records = _integer(record, 44, 4), _integer(record, 24, 4) + 1
        if not flags & 1:
            records = min(records, 1)
        record_bytes = self._value_bytes(record, 20, 64)
        for size in self._dimensions(record, kind):
            if not 0 < size <= _LARGEST_VARIABLE_BYTES:
                raise self._damaged(f"a dimension has {size} values")
            record_bytes *= size
        if records < 0 or records * record_bytes > _LARGEST_VARIABLE_BYTES:
            raise self._damaged(f"a variable would take {records} records of {record_bytes} bytes")
        if flags & 4:
            self._record(_integer(record, 72, 8), (_CPR,))
        if records == 0:
            return
        blocks = sorted(self._blocks(_integer(record, 28, 8), record_bytes))
        if _integer(record, 48, 4):
            if records * record_bytes > _SPARSE_LIMIT_BYTES:
                raise self._damaged(f"a variable of {records} records is sparse")
            return
        ready = 0
        for first, last in blocks:
            if first != ready:
                raise self._damaged(f"the records from {min(first, ready)} on are not there, or twice")
            ready = last + 1
        if ready < records:
            raise self._damaged(f"a variable has {ready} of its {records} records")

    def _dimensions(self, record: bytes, kind: int) -> list[int]:
        """Sizes of the dimensions along which a variable varies."""
        if kind == _RVDR:
            vary = [_integer(record, 340 + 4 * place, 4) for place in range(len(self._r_sizes))]
            return [size for size, varies in zip(self._r_sizes, vary, strict=True) if varies]
        count = self._count(record, 340, _MOST_DIMENSIONS)
        sizes = [_integer(record, 344 + 4 * place, 4) for place in range(count)]
        vary = [_integer(record, 344 + 4 * (count + place), 4) for place in range(count)]
        return [size for size, varies in zip(sizes, vary, strict=True) if varies]

    def _blocks(self, at: int, record_bytes: int) -> list[tuple[int, int]]:
        """First and last record of every block below an index; each block is checked."""
        blocks: list[tuple[int, int]] = []
        ahead = [at]
        while ahead:
            index = self._record(ahead.pop(), (_VXR,))
            if _integer(index, 12, 8):
                ahead.append(_integer(index, 12, 8))
            entries, used = self._count(index, 20), self._count(index, 24)
            if used > entries or 28 + 16 * entries > len(index):
                raise self._damaged(f"an index of {entries} entries uses {used}")
            for place in range(used):
                first = _integer(index, 28 + 4 * place, 4)
                last = _integer(index, 28 + 4 * (entries + place), 4)
                offset = _integer(index, 28 + 8 * entries + 8 * place, 8)
                if self._kind(offset) == _VXR:
                    ahead.append(offset)
                    continue
                self._block(offset, (last - first + 1) * record_bytes)
                blocks.append((first, last))
        return blocks

    def _block(self, at: int, expected_bytes: int) -> None:
        block = self._record(at, (_VVR, _CVVR))
        if expected_bytes <= 0 or expected_bytes > _LARGEST_VARIABLE_BYTES:
            raise self._damaged(f"a block would take {expected_bytes} bytes")
        if _integer(block, 8, 4) == _VVR:
            found = len(block) - 12
        else:
            packed = block[24 : 24 + max(0, _integer(block, 16, 8))]
            try:
                found = len(zlib.decompressobj(wbits=31).decompress(packed, expected_bytes + 1))
            except zlib.error as error:
                raise self._damaged(f"a packed block cannot be unpacked: {error}") from None
            if found > expected_bytes:
                raise self._damaged(f"a packed block holds more than its {expected_bytes} bytes")
        if found < expected_bytes:
            raise self._damaged(f"a block has {found} of its {expected_bytes} bytes")

    def _attributes(self, at: int, count: int) -> None:
        for _ in range(count):
            record = self._record(at, (_ADR,))
            self._entries(_integer(record, 20, 8), self._count(record, 36))
            self._entries(_integer(record, 48, 8), self._count(record, 56))
            at = _integer(record, 12, 8)

    def _entries(self, at: int, count: int) -> None:
        for _ in range(count):
            record = self._record(at, (_AGREDR, _AZEDR))
            if self._value_bytes(record, 24, 32) > len(record) - 56:
                raise self._damaged("an attribute is longer than its record")
            at = _integer(record, 12, 8)

    def _record(self, at: int, kinds: tuple[int, ...]) -> bytes:
        """The record at an offset, which no other link may have led to."""
        if at in self._seen:
            raise self._damaged(f"two links lead to byte {at}")
        self._seen.add(at)
        kind = self._kind(at)
        self._file.seek(at)
        size = _integer(self._file.read(8), 0, 8)
        if kind not in kinds or not 12 < size <= self._size - at:
            raise self._damaged(f"no record of the expected kind is at byte {at}")
        self._file.seek(at)
        return self._file.read(size)

    def _kind(self, at: int) -> int:
        if not 8 <= at <= self._size - 12:
            raise self._damaged(f"a link leads to byte {at}, beyond the file")
        self._file.seek(at + 8)
        return _integer(self._file.read(4), 0, 4)

    def _count(self, record: bytes, at: int, most: int | None = None) -> int:
        """A number of things of which each takes some bytes of the file, so that it is never larger."""
        count = _integer(record, at, 4)
        if not 0 <= count <= (self._size if most is None else most):
            raise self._damaged(f"a count is {count}")
        return count

    def _value_bytes(self, record: bytes, type_at: int, elements_at: int) -> int:
        kind, elements = _integer(record, type_at, 4), _integer(record, elements_at, 4)
        if kind not in _TYPE_BYTES or not 0 < elements <= self._size:
            raise self._damaged(f"{elements} elements of type {kind}")
        return _TYPE_BYTES[kind] * elements

    def _damaged(self, what: str) -> ArchiveError:
        return ArchiveError(self._path, f"is a damaged or cut off CDF ({what}); fetch the file again")


def _integer(record: bytes, at: int, size: int) -> int:
    """A signed integer; what lies beyond the record's end is -1, which no count, size or link may be."""
    piece = record[at : at + size]
    return int.from_bytes(piece, "big", signed=True) if len(piece) == size else -1
