"""Signs and estimates on the one clean real resonance, stage by stage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import signal

from monitor.science.conditioning import ConditioningParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.types import Label, Pair, ResonanceBatch, SampleBlock, WindowBatch

pytestmark = pytest.mark.realdata

Load = Callable[..., SampleBlock]
COUNT = 720
PAIRS = (Pair("MUO", "PEL", 5.37), Pair("PEL", "MUO", 5.37))


@pytest.fixture(scope="module")
def batches(load: Load) -> dict[float, ResonanceBatch]:
    """Both orders of the pair by the hour of the window's end, 03:30 to 09:00."""
    path = "ground/pel_muo_10s/pel_muo_2010-09-08_00-09UT_H_10s.csv.gz"
    records = [load(path, code, f"{code}_H") for code in ("MUO", "PEL")]
    spectrum = SpectrumStage(ConditioningParameters(), SpectrumParameters())
    resonance = ResonanceStage(ResonanceParameters())
    found = {}
    for half_hour in range(7, 19):
        last = 180 * half_hour
        window = WindowBatch(
            pairs=PAIRS,
            stations=("MUO", "PEL"),
            station_index=np.array([[0, 1], [1, 0]]),
            end_ns=records[0].t0_ns + last * records[0].step_ns,
            length_ns=COUNT * records[0].step_ns,
            step_ns=records[0].step_ns,
            values_nT=np.stack([record.values[0, last - COUNT : last] for record in records]),
            coverage=np.ones(2),
            offset_ns=np.zeros(2, dtype=np.int64),
            notes=(frozenset(), frozenset()),
        )
        (found[half_hour / 2],) = resonance.feed(spectrum.feed([window]))
    return found


def test_poleward_first_is_normal_and_the_other_order_never(batches: dict[float, ResonanceBatch]) -> None:
    assert {batch.label[0] for batch in batches.values()} == {Label.FREQ}
    assert Label.FREQ not in {batch.label[1] for batch in batches.values()}


def test_cross_phase_peaks_at_50_to_64_degrees_in_the_morning(batches: dict[float, ResonanceBatch]) -> None:
    for hour in (3.5, 4.0, 4.5, 5.0, 5.5, 6.0):
        spectrum = batches[hour].spectrum
        inside = (spectrum.frequency_Hz > 17e-3) & (spectrum.frequency_Hz < 22e-3)
        peak = np.degrees(spectrum.cross_phase_rad[0, inside].max())
        assert 45.0 < peak < 70.0, hour


def test_amplitude_ratio_rises_through_one_near_the_resonance(batches: dict[float, ResonanceBatch]) -> None:
    for hour, batch in batches.items():
        spectrum = batch.spectrum
        log_ratio = np.log(spectrum.amplitude_ratio[0])
        below = np.abs(spectrum.frequency_Hz - 0.75 * batch.frequency_Hz[0]).argmin()
        above = np.abs(spectrum.frequency_Hz - 1.35 * batch.frequency_Hz[0]).argmin()
        assert log_ratio[above] > log_ratio[below], hour


def test_coherence_at_the_resonance_is_high(batches: dict[float, ResonanceBatch]) -> None:
    assert min(float(batch.coherence[0]) for batch in batches.values()) > 0.6


def test_sign_is_that_of_scipy_csd(batches: dict[float, ResonanceBatch]) -> None:
    """scipy's csd(x, y) is conj(X) Y: phase(y) − phase(x), here equatorward − poleward."""
    for hour, batch in batches.items():
        muo, pel = batch.spectrum.window.values_nT
        frequency, cross = signal.csd(np.diff(muo), np.diff(pel), fs=0.1, nperseg=240)
        near = np.abs(frequency - batch.frequency_Hz[0]).argmin()
        assert np.angle(cross[near]) > 0.2, hour


def test_clock_offset_of_real_stations_is_not_invented(batches: dict[float, ResonanceBatch]) -> None:
    assert "timing_offset" not in {reason for batch in batches.values() for reason in batch.reason}
