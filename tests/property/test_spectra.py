"""What holds for the spectra of any records."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.conditioning import ConditioningParameters, condition
from monitor.science.spectra import (
    SpectrumParameters,
    cross_spectra,
    smoothing_for_frequency,
    station_spectra,
)
from monitor.types import FloatArray, IntArray

COUNT, STEP_S = 720, 10.0
BINS = SpectrumParameters(maximum_frequency_Hz=0.04).bins(COUNT * STEP_S)
KINDS = st.sampled_from(["noise", "constant", "missing", "holed", "copy", "huge", "quantised"])


def records(seed: int, kinds: list[str]) -> FloatArray:
    """Stations of these kinds with a common part, shape (s, COUNT)."""
    rng = np.random.default_rng(seed)
    common = np.cumsum(rng.normal(0.0, 0.3, COUNT))
    rows = []
    for kind in kinds:
        row = 20_000.0 + common + np.cumsum(rng.normal(0.0, 0.1, COUNT))
        if kind == "constant":
            row = np.full(COUNT, row[0])
        elif kind == "missing":
            row = np.full(COUNT, np.nan)
        elif kind == "holed":
            row[rng.integers(0, COUNT, 60)] = np.nan
        elif kind == "copy":
            row = common.copy()
        elif kind == "huge":
            row = 1e5 * row
        elif kind == "quantised":
            row = np.round(row)
        rows.append(row)
    return np.stack(rows)


def spectra(
    values: FloatArray, index: IntArray, widths: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    coverage = np.isfinite(values).mean(axis=1)
    differences, _ = condition(values, coverage, STEP_S, ConditioningParameters())
    phase, ratio, coherence = cross_spectra(
        station_spectra(differences, int(BINS[-1]) + 10), index, widths, BINS, None, COUNT * STEP_S
    )
    return phase.astype(np.float64), ratio.astype(np.float64), coherence.astype(np.float64)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(KINDS, min_size=2, max_size=20),
    width=st.sampled_from([3, 5, 7, 11]),
)
def test_spectra_are_in_range_or_nan_together(seed: int, kinds: list[str], width: int) -> None:
    values = records(seed, kinds)
    before = values.copy()
    index = np.array([[a, (a + 1) % len(kinds)] for a in range(len(kinds))])
    phase, ratio, coherence = spectra(values, index, np.full(len(kinds), width))
    known = np.isfinite(phase)
    assert np.array_equal(known, np.isfinite(ratio))
    assert np.array_equal(known, np.isfinite(coherence))
    assert (np.abs(phase[known]) <= np.pi + 1e-6).all()
    assert (ratio[known] > 0.0).all()
    assert ((coherence[known] >= 0.0) & (coherence[known] <= 1.0 + 1e-5)).all()
    silent = {at for at, kind in enumerate(kinds) if kind in ("constant", "missing")}
    for row, (pole, equator) in enumerate(index.tolist()):
        if {pole, equator} & silent:
            assert not known[row].any()
    assert np.array_equal(values, before, equal_nan=True)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(KINDS, min_size=2, max_size=40),
    data=st.data(),
)
def test_pair_does_not_depend_on_its_company_to_the_last_bit(
    seed: int, kinds: list[str], data: st.DataObject
) -> None:
    values = records(seed, kinds)
    stations = st.integers(0, len(kinds) - 1)
    pairs = data.draw(st.lists(st.tuples(stations, stations), min_size=1, max_size=100))
    widths = np.array(
        data.draw(st.lists(st.sampled_from([3, 7, 11]), min_size=len(pairs), max_size=len(pairs)))
    )
    together = spectra(values, np.array(pairs), widths)
    chosen = data.draw(st.integers(0, len(pairs) - 1))
    pole, equator = pairs[chosen]
    alone = spectra(values[[pole, equator]], np.array([[0, 1]]), widths[chosen : chosen + 1])
    for one, many in zip(alone, together, strict=True):
        assert np.array_equal(one[0], many[chosen], equal_nan=True)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), baseline=st.floats(-6e4, 6e4))
def test_scale_and_baseline_of_a_station_change_the_ratio_alone(
    seed: int, scale: float, baseline: float
) -> None:
    values = records(seed, ["noise", "noise"])
    changed = values.copy()
    changed[1] = scale * (values[1] - 20_000.0) + baseline
    index, widths = np.array([[0, 1]]), np.array([11])
    phase, ratio, coherence = spectra(values, index, widths)
    other_phase, other_ratio, other_coherence = spectra(changed, index, widths)
    told = coherence[0] > 0.1
    assert np.abs(np.angle(np.exp(1j * (other_phase - phase)))[0, told]).max(initial=0.0) < 1e-4
    np.testing.assert_allclose(other_ratio, scale * ratio, rtol=1e-4)
    np.testing.assert_allclose(other_coherence, coherence, atol=1e-4)


@given(
    expected=st.lists(st.floats(0.0, 10.0) | st.just(float("nan")) | st.just(float("inf")), min_size=1),
    length_s=st.floats(600.0, 86_400.0),
    default=st.integers(0, 50).map(lambda half: 2 * half + 1),
)
def test_smoothing_is_odd_and_within_its_limits(expected: list[float], length_s: float, default: int) -> None:
    widths = smoothing_for_frequency(np.array(expected), length_s, default)
    assert (widths % 2 == 1).all()
    assert (widths >= min(3, default)).all()
    assert (widths <= default).all()
