"""Archive files in a format of a plugin: a decoder that reads whole files makes blocks of them, and these become series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from monitor.decoders.base import FileReader, checked
from monitor.errors import ArchiveError, DecodeError
from monitor.io.files.craft import brought_to_grid
from monitor.io.files.series import SourceSeries
from monitor.types import Domain, Message, SampleBlock

HEAD_BYTES: Final = 4096
"""How much of a file its decoder is recognised by."""

_ANY_TIME_NS: Final = 1 << 62
"""An archive is not held against the clock of the day."""


def reader_of(head: bytes, readers: Sequence[FileReader], path: str) -> FileReader | None:
    """The first of some readers that knows a file by its first `HEAD_BYTES`. Raises ArchiveError where one fails."""
    for reader in readers:
        try:
            if reader.recognises(head):
                return reader
        except Exception as error:
            raise _fault(reader, path, error) from error
    return None


def read_decoded(
    content: bytes, path: str, name: str, code: str | None, reader: FileReader
) -> list[SourceSeries]:
    """The series of a file with this content and name; `code` is the source that the operator named.

    What a spacecraft has comes to the grid of 4.5 s. Raises ArchiveError.
    """
    message = Message(name, content, _ANY_TIME_NS)
    try:
        blocks = checked(reader.decode(message), message)
    except DecodeError as error:
        raise ArchiveError(path, str(error)) from None
    except Exception as error:
        raise _fault(reader, path, error) from error
    sources = dict.fromkeys(block.source for block in blocks)
    if not sources:
        raise ArchiveError(path, "holds no samples")
    if code is not None and len(sources) > 1:
        raise ArchiveError(path, f"holds {', '.join(sources)}; {code}= names a file of one source")
    series: list[SourceSeries] = []
    for block in blocks:
        one = _series(block, path, block.source if code is None else code)
        series += brought_to_grid(one) if one.domain is Domain.CRAFT else [one]
    return series


def _series(block: SampleBlock, path: str, source: str) -> SourceSeries:
    values = np.array(block.values)
    values.flags.writeable = False
    return SourceSeries(
        source, block.components, block.t0_ns, block.step_ns, values, path, block.domain, frame=block.frame
    )


def _fault(reader: FileReader, path: str, error: Exception) -> ArchiveError:
    return ArchiveError(
        path, f"cannot be read by the plugin {reader.name} ({type(error).__name__}: {error!s:.120})"
    )
