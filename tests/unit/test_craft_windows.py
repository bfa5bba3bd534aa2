"""Courses of simulated spacecraft, and the labelled windows that are cut from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.science.region import window_label
from monitor.science.synthetic.craft.courses import INDEX, NEIGHBOURS, CourseRanges, course_along, draw_course
from monitor.science.synthetic.craft.instrument import InstrumentRanges, measured, missing_mask
from monitor.science.synthetic.craft.series import PlasmaSeries, State
from monitor.science.synthetic.craft.windows import (
    TEST,
    TRAINING,
    WindowSampler,
    simulate_run,
    simulate_runs,
    window_labels,
)
from monitor.science.synthetic.ranges import Range
from monitor.types import CONTEXT_CELLS, REGIONS, SUPPORT_CELLS, VARIABLES, WINDOW_CELLS, Region

SW, FS, BS, MSH, MP, BL, MSP, PS, PSBL, LOBE = REGIONS


@pytest.fixture(scope="module")
def runs():
    return simulate_runs(TRAINING, 64)


@pytest.mark.parametrize("seed", range(8))
def test_course_has_the_asked_length_and_is_finite(seed):
    course = draw_course(np.random.default_rng(seed), CourseRanges(), 500, REGIONS[seed % 2])
    values = course.series.values()
    assert course.region.shape == (500,)
    assert values.shape == (500, len(VARIABLES))
    assert np.isfinite(values).all()
    assert (course.series.N_cm3 > 0).all()
    assert (course.series.Tpar_eV > 0).all()


def test_course_inbound_passes_shock_and_magnetopause_where_they_are_marked():
    stays = [(SW, 120), (MSH, 140), (MSP, 120)]
    course = course_along(np.random.default_rng(3), CourseRanges(), stays)
    shock, pause = course.layers
    assert (shock.label, pause.label) == (INDEX[BS], INDEX[MP])
    assert 80 < shock.begin <= shock.end < 200
    assert 200 < pause.begin <= pause.end < 330
    assert set(course.region[shock.begin : shock.end]) == {INDEX[BS]}
    # The shock compresses: density and field are larger behind it.
    density, field = course.series.N_cm3, np.linalg.norm(course.series.B_nT, axis=1)
    assert np.median(density[150:200]) > 1.2 * np.median(density[20:80])
    assert np.median(field[150:200]) > 1.1 * np.median(field[20:80])
    speed = np.linalg.norm(course.series.V_kms, axis=1)
    assert np.median(speed[300:]) < np.median(speed[:80])


def test_course_of_regions_that_do_not_touch_is_refused():
    with pytest.raises(ValueError, match="SW and PS are no neighbours"):
        course_along(np.random.default_rng(0), CourseRanges(), [(SW, 50), (PS, 50)])


def test_map_of_neighbours_is_symmetric_and_adds_up():
    for region, others in NEIGHBOURS.items():
        assert sum(others.values()) == pytest.approx(1.0)
        for other in others:
            assert region in NEIGHBOURS[other], (region, other)


def test_course_is_the_same_for_the_same_number_and_another_for_another():
    first, seen = simulate_run(TRAINING, 5)
    again, seen_again = simulate_run(TRAINING, 5)
    _, other = simulate_run(TEST, 5)
    assert np.array_equal(seen, seen_again)
    assert np.array_equal(first.region, again.region)
    assert other.shape != seen.shape or not np.allclose(other, seen)


@pytest.mark.parametrize("number", [0, 3, 11, 25])
def test_labels_of_all_windows_are_those_of_each(number):
    course, _ = simulate_run(TRAINING, number)
    label, mixed = window_labels(course)
    for begin in range(0, label.size, 7):
        layers = [replace(layer, begin=layer.begin - begin, end=layer.end - begin) for layer in course.layers]
        one = window_label(course.region[begin : begin + WINDOW_CELLS], layers)
        assert one == (label[begin], mixed[begin])


def test_sampler_draws_the_classes_in_their_shares(runs):
    share = {SW: 0.5, LOBE: 0.5}
    drawn = WindowSampler(runs, TRAINING, share).draw(np.random.default_rng(0), 400, mixed=20)
    assert drawn.values.shape == (420, SUPPORT_CELLS, len(VARIABLES))
    assert drawn.mixed.sum() == 20
    counts = np.bincount(drawn.label[~drawn.mixed], minlength=10)
    assert counts[INDEX[SW]] + counts[INDEX[LOBE]] == 400
    assert abs(int(counts[INDEX[SW]]) - 200) < 60


def test_sampler_without_a_window_of_a_class_says_which(runs):
    nothing = replace(runs, mixed=runs.mixed | (runs.label == INDEX[BS]))
    with pytest.raises(ValueError, match="BS"):
        WindowSampler(nothing, TRAINING)


def test_sampled_windows_miss_whole_variables_only(runs):
    drawn = WindowSampler(runs, TRAINING).draw(np.random.default_rng(1), 500)
    missing = np.isnan(drawn.values[:, CONTEXT_CELLS[0] : CONTEXT_CELLS[0] + WINDOW_CELLS])
    assert np.array_equal(missing.any(axis=1), missing.all(axis=1))
    complete = ~missing.any(axis=(1, 2))
    assert 0.35 < complete.mean() < 0.6
    # A short block stands alone: what is around it is unknown.
    assert 0 < (~drawn.context).sum() < 50
    assert np.isnan(drawn.values[~drawn.context][:, 0]).all()


def test_missing_mask_leaves_something():
    mask = missing_mask(np.random.default_rng(2), 5000)
    assert (~mask).sum(axis=1).min() >= 2
    scalars = [name in ("B", "N", "T") for name in VARIABLES]
    assert ((~mask) == scalars).all(axis=1).mean() > 0.05


def test_measured_without_errors_is_the_plasma():
    none = Range(0.0, 0.0)
    perfect = InstrumentRanges(
        field_offset_nT=none,
        field_noise_nT=none,
        field_gain=none,
        density_gain=none,
        temperature_gain=none,
        speed_gain=none,
        counts_per_cm3=Range(1e30, 1e30),
        background_probability=0.0,
        anisotropy_loss=none,
        coarse_probability=0.0,
        interpolated_probability=0.0,
    )
    state = State(np.array([3.0, -4.0, 0.0]), 5.0, np.array([-400.0, 30.0, 0.0]), 30.0, 60.0)
    values = measured(np.random.default_rng(0), perfect, PlasmaSeries.uniform(state, 20))
    expected = [3.0, -4.0, 0.0, 5.0, 5.0, -400.0, 30.0, 0.0, np.hypot(400.0, 30.0), 30.0, 60.0, 50.0]
    assert np.allclose(values, expected, rtol=1e-9)


def test_measured_in_the_lobe_is_noisier_than_in_the_sheath():
    ranges = replace(InstrumentRanges(), background_probability=0.0, coarse_probability=0.0)
    ranges = replace(ranges, interpolated_probability=0.0)
    thin = State(np.array([25.0, 0.0, 0.0]), 0.02, np.zeros(3), 300.0, 300.0)
    thick = replace(thin, N_cm3=20.0)

    def spread(state):
        values = measured(np.random.default_rng(4), ranges, PlasmaSeries.uniform(state, 400))
        return np.std(np.log(values[:, VARIABLES.index("N")])), values[:, VARIABLES.index("Vx")].std()

    assert spread(thin)[0] > 5.0 * spread(thick)[0]
    assert spread(thin)[1] > 5.0 * spread(thick)[1]


def test_test_ranges_reach_past_those_of_training():
    wider = TEST.instrument.counts_per_cm3
    assert wider.low < TRAINING.instrument.counts_per_cm3.low
    assert wider.high > TRAINING.instrument.counts_per_cm3.high
    assert TEST.stream != TRAINING.stream
    assert Region.BOW_SHOCK not in NEIGHBOURS
