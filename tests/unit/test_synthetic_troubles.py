"""Each trouble of a random pair does what it says, and only that."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import signal

from monitor.science.synthetic.disturbance import clock_lag_s, local_noise
from monitor.science.synthetic.excitation import Grid
from monitor.science.synthetic.pairs import (
    TRAINING,
    TROUBLES,
    CaseRanges,
    CaseSeries,
    Range,
    draw_case,
    simulate,
)
from monitor.types import SECOND_NS, FloatArray

HOUR_NS = 3600 * SECOND_NS
MIDNIGHT_NS = 1_584_662_400 * SECOND_NS
CALM = dataclasses.replace(
    TRAINING.without(*TROUBLES, "auroral", "coarse_step", "background", "train", "packets"),
    noise_nT2_Hz=Range(0.002, 0.004),
    delay_s=Range(0.0, 0.0),
)


def certain(what: str, ranges: CaseRanges, **others: Range) -> CaseRanges:
    changes: dict[str, Any] = {f"{what}_probability": 1.0, **others}
    return dataclasses.replace(ranges, **changes)


def both(what: str, seed: int = 3, **others: Range) -> tuple[CaseSeries, CaseSeries]:
    """The same case without and with a trouble."""
    on = certain(what, CALM, **others)
    return simulate(draw_case(seed, on.without(what))), simulate(draw_case(seed, on))


def slope_s(series: CaseSeries, hours: slice) -> float:
    """Delay that the cross-phase of a stretch shows: slope over 2π, by scipy alone."""
    rows = np.diff(series.H_nT[:, hours.start * 3600 : hours.stop * 3600], axis=1)
    frequency, cross = signal.csd(rows[0], rows[1], 1.0, nperseg=1200)
    band = (frequency > 5e-3) & (frequency < 60e-3)
    weight = np.abs(cross[band])
    return float(
        np.polyfit(frequency[band], np.unwrap(np.angle(cross[band])), 1, w=weight)[0] / (2.0 * np.pi)
    )


def test_gaps_are_missing_samples_of_the_length_that_is_drawn() -> None:
    whole, gappy = both("gap", gap_s=Range(100.0, 200.0))
    assert np.isfinite(whole.H_nT).all()
    for missing, station in zip(gappy.missing, gappy.case.stations, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(int), [0]))))
        lengths = edges[1::2] - edges[::2]
        assert 1 <= lengths.size <= station.gaps
        assert lengths.max() <= 200 * station.gaps
    assert np.array_equal(np.isnan(gappy.H_nT), gappy.missing)
    assert np.array_equal(gappy.H_nT[~gappy.missing], whole.H_nT[~gappy.missing])


def test_dead_channel_repeats_its_last_value() -> None:
    seen = 0
    for seed in range(10):
        alive, dead = both("dead", seed)
        for row in (0, 1):
            begin = int(np.argmax(dead.dead[row]))
            assert dead.dead[row, begin:].all()
            assert np.ptp(dead.H_nT[row, begin:]) == 0.0
            assert np.array_equal(dead.H_nT[row, :begin], alive.H_nT[row, :begin])
            seen += begin > 0
    assert seen >= 5


def test_spikes_are_single_samples_of_the_size_that_is_drawn() -> None:
    plain, spiky = both("spikes", spikes_per_h=Range(20.0, 20.0), spike_nT=Range(5.0, 50.0))
    thrown = spiky.H_nT - plain.H_nT
    sizes = np.abs(thrown[np.abs(thrown) > 1e-6])
    assert 180 <= sizes.size <= 300  # 20 an hour, 6 hours, two stations
    assert sizes.min() > 4.9
    assert np.quantile(sizes, 0.99) < 51.0
    assert np.allclose(thrown, spiky.spikes_nT, atol=1e-6)


def test_steps_stay_in_the_record() -> None:
    plain, stepped = both("steps", step_nT=Range(10.0, 20.0))
    jump = stepped.H_nT - plain.H_nT
    assert np.allclose(jump, stepped.jumps_nT, atol=1e-6)
    for row, station in zip(np.diff(jump, axis=1), stepped.case.stations, strict=True):
        heights = np.abs(row[np.abs(row) > 1e-6])
        assert 1 <= heights.size <= station.steps
        assert (heights > 9.9).all()


@pytest.mark.parametrize("offset_s", [0.4, 6.0])
def test_clock_offset_tilts_the_phase_by_the_difference_of_the_clocks(offset_s: float) -> None:
    ranges = certain("uncoupled", CALM, driver_nT2_Hz=Range(50.0, 80.0))
    ranges = certain("clock", ranges, clock_offset_s=Range(offset_s, offset_s))
    for seed in range(20):
        late = simulate(draw_case(seed, ranges))
        lags = [station.clock_offset_s for station in late.case.stations]
        assert sorted(map(abs, lags)) == [offset_s, offset_s]
        assert np.allclose(late.clock_lag_s, lags)
        if lags[0] != lags[1]:
            # The late station's phase is turned by −2π f τ.
            assert slope_s(late, slice(0, 6)) == pytest.approx(lags[0] - lags[1], rel=0.03)
            return
    pytest.fail("no case with different clocks in 20")


def test_clock_that_is_late_shows_the_field_of_earlier() -> None:
    right, late = both("clock", clock_offset_s=Range(7.0, 7.0))
    for row, station in enumerate(late.case.stations):
        lag = round(station.clock_offset_s)
        was = right.resonant_nT[row, 100:-100]
        shown = late.resonant_nT[row, 100 + lag : late.H_nT.shape[1] - 100 + lag]
        assert np.std(shown - was) < 0.01 * np.std(was)


def test_clock_ramp_grows_over_the_case() -> None:
    ranges = certain("uncoupled", CALM, driver_nT2_Hz=Range(50.0, 80.0))
    # Steady waves, so that a stretch speaks for its middle.
    ranges = dataclasses.replace(ranges, night_share=Range(1.0, 1.0), packet_spread=Range(0.01, 0.01))
    ranges = certain("clock_ramp", ranges, clock_ramp_s_h=Range(1.0, 1.0))
    for seed in range(20):
        case = draw_case(seed, ranges)
        rates = [station.clock_ramp_s_h for station in case.stations]
        if rates[0] != rates[1]:
            series = simulate(case)
            early, later = slope_s(series, slice(0, 2)), slope_s(series, slice(4, 6))
            assert early == pytest.approx(rates[0] - rates[1], abs=0.15)
            assert later == pytest.approx(5.0 * (rates[0] - rates[1]), rel=0.05)
            assert clock_lag_s(case, 0, np.array([case.start_ns], dtype=np.float64)) == pytest.approx(0.0)
            return
    pytest.fail("no case with different ramps in 20")


def test_digitiser_gives_multiples_of_its_step() -> None:
    for seed in range(5):
        series = simulate(draw_case(seed, CALM))
        for row, station in zip(series.H_nT, series.case.stations, strict=True):
            steps = row / station.quantum_nT
            assert np.abs(steps - np.round(steps)).max() < 1e-4


def test_swapped_stations_change_rows_and_truth_alike() -> None:
    straight, swapped = both("swapped_stations")
    for name in ("H_nT", "resonant_nT", "coherent_nT", "local_nT"):
        assert np.array_equal(getattr(swapped, name), getattr(straight, name)[::-1])
    assert np.array_equal(swapped.rings_Hz[:, 0], straight.rings_Hz[:, 1])
    assert np.array_equal(swapped.rings_Hz[:, 2], straight.rings_Hz[:, 2])


def test_swapped_component_shows_little_of_the_resonance() -> None:
    ranges = dataclasses.replace(CALM, uncoupled_probability=0.0)
    north = simulate(draw_case(3, ranges))
    east = simulate(draw_case(3, certain("swapped_component", ranges)))
    ratio = east.resonant_nT.std(axis=1) / north.resonant_nT.std(axis=1)
    assert ((ratio > 0.04) & (ratio < 0.26)).all()


def test_cultural_noise_is_at_its_station_alone() -> None:
    changed = np.zeros(2, dtype=int)
    for seed in range(10):
        plain, noisy = both("cultural", seed, cultural_nT=Range(1.0, 1.0))
        assert np.array_equal(plain.resonant_nT, noisy.resonant_nT)
        assert np.array_equal(plain.coherent_nT, noisy.coherent_nT)
        added = noisy.local_nT - plain.local_nT
        # Of steps: most differences are the digitiser's only, a few are nT.
        for row in (0, 1):
            steps = np.abs(np.diff(added[row]))
            changed[row] += steps.max() > 0.1
            assert np.median(steps) < 0.21
        if (np.abs(added).max(axis=1) > 0.1).all():
            assert not np.allclose(added[0], added[1], atol=0.5)
    assert (changed >= 5).all()


def test_auroral_noise_comes_by_night_and_poleward() -> None:
    ranges = certain("auroral", CALM, auroral_gain=Range(8.0, 8.0), noise_nT2_Hz=Range(0.4, 0.5))
    rms = {}
    for l_shell, hour in ((6.3, 0), (6.3, 12), (3.0, 0)):
        ranges = dataclasses.replace(ranges, l_shell=Range(l_shell, l_shell), drift_nT_h=Range(0.0, 0.0))
        case = draw_case(2, ranges)
        case = dataclasses.replace(case, start_ns=MIDNIGHT_NS, longitude_deg=0.0)
        series = local_noise(case, 0, Grid(MIDNIGHT_NS + hour * HOUR_NS, SECOND_NS, 7200))
        rms[l_shell, hour] = series.std() / l_shell**case.noise_latitude
    assert rms[6.3, 0] > 4.0 * rms[6.3, 12]
    assert rms[3.0, 0] == pytest.approx(rms[6.3, 12], rel=0.5)


def test_noise_grows_poleward_and_differs_between_stations() -> None:
    ranges = dataclasses.replace(CALM, noise_ratio=Range(1.0, 1.0), drift_nT_h=Range(0.0, 0.0))
    case = draw_case(2, dataclasses.replace(ranges, noise_latitude=Range(2.0, 2.0), l_shell=Range(4.0, 4.0)))
    grid = Grid(case.start_ns, SECOND_NS, 21600)
    rows = [local_noise(case, row, grid) for row in (0, 1)]
    level: list[FloatArray] = []
    for row in rows:
        frequency, density = signal.welch(row, 1.0, nperseg=1200)
        level.append(density[(frequency > 5e-3) & (frequency < 15e-3)].mean())
    shells = [station.l_shell for station in case.stations]
    assert level[0] / level[1] == pytest.approx((shells[0] / shells[1]) ** 4, rel=0.25)
    assert abs(np.asarray(np.corrcoef(np.diff(rows)))[0, 1]) < 0.05


def test_drift_is_of_its_sensor() -> None:
    still, drifting = (
        simulate(draw_case(4, dataclasses.replace(CALM, drift_nT_h=Range(rate, rate)))) for rate in (0.0, 2.0)
    )
    drift = drifting.local_nT - still.local_nT
    assert np.abs(drift[:, -1] - drift[:, 0] - 12.0).max() < 8.0
    assert (drift[:, -1] > drift[:, 0]).all()
    assert not np.allclose(drift[0], drift[1], atol=0.3)
