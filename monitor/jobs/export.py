"""Tables out of the store: samples that `process` and `replay` read again, and everything that was published.

The store is only read, beside a running daemon if need be; memory does not depend on how much is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tqdm import tqdm

from monitor.errors import MonitorError
from monitor.io.flattening import Document, ProductColumns, product_parts
from monitor.io.store.series import SeriesReader, StoredSeries
from monitor.io.tables import format_of, table
from monitor.jobs.export_samples import file_name, part_count, sample_columns, sample_parts
from monitor.types import SECOND_NS

SAMPLES: Final = "samples"
PRODUCTS: Final = ("flr", "spectrum", "profile", "plasmapause", "region", "event", "health")
KINDS: Final = (SAMPLES, *PRODUCTS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export: kinds, of the times [start, end) (ns UTC); sources of samples and subjects of products, all where
    none is named; of a product only its newest revision, or every one."""

    kinds: tuple[str, ...]
    start_ns: int = 0
    end_ns: int = 1 << 62
    sources: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    all_revisions: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """A table and its rows; without any there is no file."""

    path: Path
    rows: int


def export(
    store: Path, wanted: Wanted, output: Path, file_format: str, *, progress: bool = False
) -> list[Exported]:
    """Write what is wanted: into the file `output` where its name says a format, else into a folder of that name.

    Parameters
    ----------
    store : Path
    wanted : Wanted
    output : Path
    file_format : str
        Of the tables in a folder, one of `FORMATS`.
    progress : bool
        Whether to draw progress bars.

    Raises
    ------
    MonitorError
        There is nothing of what is wanted, or more than one table for one file; a table cannot be written.
    """
    single = format_of(output) is not None
    with SeriesReader.opened(store) as reader:
        series = (
            reader.series(wanted.sources, wanted.start_ns, wanted.end_ns) if SAMPLES in wanted.kinds else []
        )
        products = [kind for kind in wanted.kinds if kind != SAMPLES]
        names = [file_name(one) for one in series] + products
        if single and len(names) != 1:
            raise MonitorError(
                f"{output}: is one file, but there {'is' if not names else 'are'} {', '.join(names) or 'nothing'}"
                " to export; name a folder, or one source with --source"
            )
        path_of = _paths(output, file_format, single=single)
        written = [_export_samples(reader, one, path_of(file_name(one)), progress) for one in series]
        written += [_export_products(reader, kind, wanted, path_of(kind), progress) for kind in products]
    if not any(one.rows for one in written):
        raise MonitorError(f"{store}: holds nothing of what is asked for")
    return written


def _paths(output: Path, file_format: str, *, single: bool) -> Callable[[str], Path]:
    if single:
        return lambda _name: output
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MonitorError(f"{output}: cannot be made a folder ({error.strerror})") from error
    return lambda name: output / f"{name}.{file_format}"


def _export_samples(reader: SeriesReader, series: StoredSeries, path: Path, progress: bool) -> Exported:
    about = {
        "source": series.source,
        "domain": series.domain.value,
        "step_s": f"{series.step_ns / SECOND_NS:g}",
    }
    rows = 0
    with (
        table(path, sample_columns(series), about) as written,
        tqdm(total=part_count(series), desc=path.name, unit="part", disable=not progress) as bar,
    ):
        for cells in sample_parts(reader, series):
            written.write(cells)
            rows += len(cells[0])
            bar.update()
    return Exported(path, rows)


def _export_products(reader: SeriesReader, kind: str, wanted: Wanted, path: Path, progress: bool) -> Exported:
    def stored() -> Iterator[Document]:
        for subject in wanted.subjects or (None,):
            yield from reader.products(
                kind, subject, wanted.start_ns, wanted.end_ns, latest_revision=not wanted.all_revisions
            )

    found = ProductColumns()
    found.see(stored())
    if not found.count:
        return Exported(path, 0)
    rows = 0
    with (
        table(path, found.columns, {"kind": kind}) as written,
        tqdm(total=found.count, desc=path.name, unit="row", disable=not progress) as bar,
    ):
        for cells in product_parts(stored(), found.columns):
            written.write(cells)
            rows += len(cells[0])
            bar.update(len(cells[0]))
    return Exported(path, rows)
