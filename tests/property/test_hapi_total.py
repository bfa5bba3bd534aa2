"""Whatever a product holds, its record is whole: as many cells as the header says, of its types, in every format."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.io.hapi.columns import Column
from monitor.io.hapi.encoding import encoder
from monitor.io.hapi.forms import FORMS
from monitor.io.hapi.times import TIME_LENGTH

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
# The keys that forms look for, so that what is found there is as odd as what is not.
KEYS = sorted(
    {
        *(
            "pair",
            "pairs",
            "label",
            "probability",
            "physical",
            "coverage",
            "flags",
            "model",
            "effective_time",
        ),
        *("frequency_mHz", "cross_phase_deg", "coherence", "rho", "rho_interval", "fit", "cam", "missing"),
        *("density_amu_cm3", "l_interval", "empirical", "properties", "geometry", "revision", "l_shell"),
        *("classifier", "coordinates", "start_datetime", "Freq", "MSH", "exponent", "id"),
    }
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["2017-09-07T12:00:00Z", "2017-09-07T12:00:00.123456789Z", "TAR-BRZ", "ä" * 200, 'a,"\r\n']
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from(KEYS), scalars | values, max_size=12)


def is_of_type(cell: Any, column: Column) -> bool:
    match column.type:
        case "double":
            return isinstance(cell, float) and math.isfinite(cell)
        case "integer":
            return type(cell) is int and abs(cell) < 1 << 31
        case "isotime":
            return bool(TIME.fullmatch(cell)) and len(cell) == TIME_LENGTH
        case _:
            return isinstance(cell, str) and len(cell.encode()) <= column.length and cell.isprintable()


@given(st.sampled_from(sorted(FORMS)), documents, documents)
def test_record_is_whole_whatever_the_product_holds(
    name: str, newest: dict[str, Any], document: dict[str, Any]
) -> None:
    columns = FORMS[name].columns(newest)
    json.dumps([column.describe() for column in columns], allow_nan=False)
    record = []
    for column in columns:
        cells = column.cells(document)
        assert len(cells) == column.width
        assert all(is_of_type(cell, column) for cell in cells), column.name
        record += cells

    text = encoder("csv", columns).encode([record, record]).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert [len(row) for row in rows] == [len(record)] * 2
    assert text.count("\n") == 2

    codes = {"double": "d", "integer": "i"}
    row = struct.Struct("<" + "".join(codes.get(one.type, f"{one.length}s") * one.width for one in columns))
    unpacked = row.unpack(encoder("binary", columns).encode([record]))
    assert [one.rstrip(b"\0").decode() if isinstance(one, bytes) else one for one in unpacked] == [
        cell.rstrip("\0") if isinstance(cell, str) else cell for cell in record
    ]

    writer = encoder("json", columns)
    found = json.loads(
        writer.begin({"a": 1}) + writer.encode([record]) + writer.encode([record]) + writer.end()
    )
    assert len(found["data"]) == 2
    assert [len(one) for one in found["data"]] == [len(columns)] * 2
