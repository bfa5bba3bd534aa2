"""Whatever is wrong with the bytes of a CDF file: series, or one ArchiveError of one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from cdf_kit import write_dis, write_fgm

from monitor.errors import ArchiveError
from monitor.io.files import SourceSeries, read_archive
from monitor.types.space import CELL_NS, VARIABLES

Piece = tuple[float, bytes]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("cdf")
    return [
        write_dis(folder / "dis.cdf", np.arange(50) * 4.5).read_bytes(),
        write_fgm(folder / "fgm.cdf", np.arange(50) * 4.5).read_bytes(),
    ]


@settings(max_examples=300, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, 1),
    pieces=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=4
    ),
    kept=st.one_of(st.just(1.0), st.floats(0.01, 1.0)),
    behind=st.binary(max_size=20),
)
def test_damaged_cdf_is_read_or_refused_in_one_line(
    wholes: list[bytes], tmp_path: Path, which: int, pieces: list[Piece], kept: float, behind: bytes
) -> None:
    content = bytearray(wholes[which])
    for place, piece in pieces:
        at = int(place * len(content))
        content[at : at + len(piece)] = piece
    path = tmp_path / "damaged.cdf"
    path.write_bytes(content[: max(4, int(kept * len(content)))] + behind)
    complaint = ""
    found: tuple[SourceSeries, ...] = ()
    try:
        found = read_archive(path).series
    except ArchiveError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert bool(found) != complaint.startswith(str(path))
    for series in found:
        assert set(series.components) <= set(VARIABLES)
        assert series.step_ns == CELL_NS
        assert not np.isinf(series.values).any()
