"""Packed spectra: what comes out is what went in, to the steps that are stated; other bytes are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.io.store import Store
from monitor.io.store.reading import StoreReader
from monitor.io.store.spectra import pack_spectrum, spectrum_row, unpack_spectrum
from monitor.types import SECOND_NS, Product

T0_NS = 1_504_785_600 * SECOND_NS
WEEK_NS = 7 * 86_400 * SECOND_NS

cells = st.lists(
    st.tuples(
        st.floats(-180.0, 180.0) | st.none(),
        st.floats(1e-6, 1e6) | st.none(),
        st.floats(0.0, 1.0) | st.none(),
    ),
    max_size=40,
)


def body(rows: list[tuple[float | None, float | None, float | None]]) -> dict[str, list[float | None]]:
    phase, ratio, coherence = ([row[place] for row in rows] for place in range(3))
    return {
        "frequency_mHz": [1.0 + number / 7.2 for number in range(len(rows))],
        "cross_phase_deg": phase,
        "amplitude_ratio": ratio,
        "coherence": coherence,
    }


def product(number: int, *, pair: str = "TAR-BRZ", revision: int = 0) -> Product:
    content = body([(float(number), 1.0 + revision, 0.5)] * 8)
    return Product("spectrum", pair, T0_NS + number * 1800 * SECOND_NS, revision, False, content)


@given(rows=cells)
def test_spectrum_comes_back_within_its_steps(
    rows: list[tuple[float | None, float | None, float | None]],
) -> None:
    given_arrays = {name: np.array(column, dtype=float) for name, column in body(rows).items()}
    found = unpack_spectrum(pack_spectrum(body(rows)))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(given_arrays, len(rows))
    np.testing.assert_allclose(found["frequency_mHz"], given_arrays["frequency_mHz"], rtol=1e-5)
    np.testing.assert_allclose(found["cross_phase_deg"], given_arrays["cross_phase_deg"], atol=0.0051)
    np.testing.assert_allclose(found["amplitude_ratio"], given_arrays["amplitude_ratio"], rtol=5.1e-4)
    np.testing.assert_allclose(found["coherence"], given_arrays["coherence"], atol=0.5 / 254 + 1e-9)


def test_uneven_frequencies_are_refused() -> None:
    uneven = body([(1.0, 1.0, 0.5)] * 4) | {"frequency_mHz": [1.0, 2.0, 4.0, 5.0]}
    with pytest.raises(ValueError, match="not evenly spaced"):
        pack_spectrum(uneven)


@given(data=st.binary(max_size=80))
def test_other_bytes_are_refused_or_read_as_what_they_say(data: bytes) -> None:
    try:
        found = unpack_spectrum(data)
    except ValueError:
        return
    assert len(data) == 12 + 5 * len(found["coherence"])


class TestStore:
    def test_newest_revision_of_each_window_is_kept(self, tmp_path: Path) -> None:
        with Store.open(
            tmp_path / "s", retention_ns=1, product_retention_ns=None, spectra_retention_ns=WEEK_NS
        ) as store:
            store.commit(
                [],
                {},
                [spectrum_row(product(0)), spectrum_row(product(1)), spectrum_row(product(0, revision=2))],
            )
            store.commit([], {}, [spectrum_row(product(0, revision=1))])
            rows = store.some_spectra("TAR-BRZ", T0_NS, T0_NS + WEEK_NS, 10)
        assert [(time_ns, revision) for time_ns, revision, _ in rows] == [
            (T0_NS, 2),
            (T0_NS + 1800 * SECOND_NS, 0),
        ]
        assert unpack_spectrum(rows[0][2])["amplitude_ratio"][0] == pytest.approx(3.0, rel=1e-3)

    def test_old_ones_go_by_the_newest_of_their_own_pair(self, tmp_path: Path) -> None:
        day = 48
        with Store.open(
            tmp_path / "s", retention_ns=1, product_retention_ns=None, spectra_retention_ns=86_400 * SECOND_NS
        ) as store:
            numbers = range(0, 3 * day, 8)
            store.commit([], {}, [spectrum_row(product(number)) for number in numbers])
            store.commit(
                [], {}, [spectrum_row(product(number, pair="MUO-PEL")) for number in range(0, day, 8)]
            )
            while store.prune():
                pass
            kept = {
                pair: [row[0] for row in store.some_spectra(pair, 0, 1 << 62, 1000)]
                for pair in ("TAR-BRZ", "MUO-PEL")
            }
        newest_ns = product(numbers[-1]).time_ns
        assert kept["TAR-BRZ"] == [
            product(number).time_ns
            for number in numbers
            if product(number).time_ns >= newest_ns - 86_400 * SECOND_NS
        ]
        assert len(kept["MUO-PEL"]) == 6

    def test_store_of_an_older_program_gets_its_table(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        with Store.open(path, retention_ns=1, product_retention_ns=None) as store:
            store._files.writer.execute("DROP TABLE spectrum")
        with Store.open(path, retention_ns=1, product_retention_ns=None) as store:
            store.commit([], {}, [spectrum_row(product(0))])
        with StoreReader.opened(path) as reader:
            assert len(reader.some_spectra("TAR-BRZ", 0, 1 << 62, 10)) == 1
