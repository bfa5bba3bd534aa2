"""CDF files: of spacecraft, or ImagCDF of the observatories; plain, packed as a whole, or in gzip."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from monitor.errors import ArchiveError
from monitor.io.files.cdf_craft import read_craft
from monitor.io.files.cdf_guard import check_cdf
from monitor.io.files.cdf_imag import is_imagcdf, read_imagcdf
from monitor.io.files.cdf_packing import plain_cdf
from monitor.io.files.cdf_values import CdfValues
from monitor.io.files.series import SourceSeries


def read_cdf(path: Path, code: str | None, largest_bytes: int) -> tuple[list[SourceSeries], list[str]]:
    """Read a CDF file, of `largest_bytes` at most once it is unpacked.

    `code` is the spacecraft or the station that the operator named, which wins over the file's.

    Returns the series, one for each stretch without a long gap, and the notes for the operator. Raises ArchiveError,
    whatever the bytes.
    """
    name = str(path)
    try:
        with plain_cdf(path, largest_bytes) as plain:
            with plain.open("rb") as file:
                check_cdf(file, name)
            cdf = CdfValues(plain, name)
            read = read_imagcdf if is_imagcdf(cdf) else read_craft
            return read(cdf, code), cdf.notes
    except ArchiveError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ArchiveError(name, f"is a damaged gzip file: {error}; fetch the file again") from None
    except OSError as error:
        raise ArchiveError(name, f"cannot be read: {error.strerror or error}") from None
    except Exception as error:  # noqa: BLE001  (the library raises whatever it meets in a damaged file)
        what = f"{type(error).__name__}: {str(error)[:120]}".splitlines()[0]
        raise ArchiveError(name, f"cannot be read as CDF ({what}); fetch the file again") from None
