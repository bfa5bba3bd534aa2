"""The plasmapause against enumeration of all states, against simulated chains, and by its cases."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from monitor.science.plasmapause import (
    UNLABELLED,
    Observation,
    advance,
    by_gradient,
    by_label,
    initial,
    observe,
    summarise,
)
from monitor.science.plasmapause_model import levels, plasmasphere_ln, trough_ln
from monitor.science.plasmapause_parameters import ONE_PAIR, PlasmapauseParameters
from monitor.science.synthetic.plasma import PlasmaModel, resonance_frequency_Hz
from monitor.types import CLASSES, SECOND_NS, Float32Array, FloatArray, Label, PlasmapauseEstimate

PARAMETERS = PlasmapauseParameters()
STATIONS = np.array([6.59, 5.97, 5.45, 4.9, 4.45, 3.97, 3.47, 3.06, 2.75, 2.48])
CHAIN, HALF = (STATIONS[:-1] + STATIONS[1:]) / 2.0, (STATIONS[:-1] - STATIONS[1:]) / 2.0
FREQ, PBL = CLASSES.index(Label.FREQ), CLASSES.index(Label.PBL)
LEVEL, WIDEST = 0.9, 1.2
NOON_NS = 1_500_000_000 // 86400 * 86400 * SECOND_NS + 10 * 3600 * SECOND_NS
LONGITUDE_DEG = 26.0


def observation(
    density: FloatArray | None = None, pbl: tuple[int, ...] = (), freq: bool = True
) -> Observation:
    """A window of the chain: densities (NaN: none), pairs labelled PBL, and the others Freq where they have one."""
    density = np.full(CHAIN.size, np.nan) if density is None else density
    label = np.where(np.isfinite(density) & freq, FREQ, UNLABELLED)
    label[list(pbl)] = PBL
    return Observation(
        CHAIN, HALF, np.log(density), np.full(CHAIN.size, 0.1), label, np.zeros(CHAIN.size, dtype=bool)
    )


def of_model(model: PlasmaModel, time_ns: int = NOON_NS) -> Observation:
    """What the chain would measure of a model: f = √(f_P f_E) of each pair, and the label by the order of the two."""
    rings = resonance_frequency_Hz(STATIONS, model.density_amu_cm3(STATIONS, time_ns, LONGITUDE_DEG), 1)
    unit = resonance_frequency_Hz(CHAIN, np.ones(CHAIN.size), 1)
    pair = np.sqrt(rings[:-1] * rings[1:])
    reversed_ = np.log(rings[:-1] / rings[1:])
    # Stations that ring alike show no phase difference.
    label = np.where(reversed_ > 0.03, PBL, np.where(reversed_ < -0.03, FREQ, UNLABELLED))
    ln_density = np.where(label == UNLABELLED, np.nan, 2.0 * np.log(unit / pair))
    return replace(observation(), ln_density=ln_density, label=label)


def after(seen: Observation, windows: int = 6) -> Float32Array:
    """The state after some windows, half an hour apart, that all show the same."""
    state = initial(PARAMETERS)
    for _ in range(windows):
        state = observe(PARAMETERS, advance(PARAMETERS, state, 0.5), seen)
    return state


def estimate(seen: Observation, windows: int = 6) -> PlasmapauseEstimate:
    return summarise(PARAMETERS, after(seen, windows), seen, LEVEL, WIDEST)


def stated(found: PlasmapauseEstimate) -> tuple[float, float, float]:
    assert found.l_shell is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.l_shell, found.high


# Against enumeration

TINY = PlasmapauseParameters(
    lowest_l=3.0,
    highest_l=5.0,
    step_l=0.5,
    widths_l=(0.1, 0.4),
    width_weights=(2.0, 1.0),
    slopes_per_l=(-0.2, 0.1),
    slope_weights=(1.0, 3.0),
    plasmasphere_levels=(-1.0, 0.5, 2),
    trough_levels=(-0.5, 1.0, 2),
)


def likelihood(
    p: PlasmapauseParameters, seen: Observation, state: tuple[float, float, float, float, float]
) -> float:
    """Of a window in one state, written out with scipy's distributions."""
    place, inner, outer, width, slope = state

    def ln_density(l_shell: float) -> float:
        filling = min(max((l_shell - p.full_below_l) / (p.filling_beyond_l - p.full_below_l), 0.0), 1.0)
        level = inner if inner > p.full_level else filling * inner + (1.0 - filling) * p.full_level
        full = math.log(10.0) * (3.9043 - 0.3145 * l_shell) + level + slope * (l_shell - 4.0)
        empty = math.log(7600.0) - 4.5 * math.log(l_shell) + outer
        return full + 0.5 * (1.0 + math.tanh((l_shell - place) / width)) * (empty - full)

    result = 1.0
    for pair in range(seen.l_shell.size):
        station = [seen.l_shell[pair] + sign * seen.half_span_l[pair] for sign in (1.0, -1.0)]
        poleward, equatorward = map(ln_density, station)
        scale = math.hypot(seen.sigma_ln[pair], p.density_scatter)
        off = seen.ln_density[pair] - 0.5 * (poleward + equatorward)
        share = p.ambiguous_third_harmonic if seen.ambiguous[pair] else p.third_harmonic
        told = (1.0 - share) * stats.t.pdf(off / scale, p.density_freedom) / scale
        told += share * stats.t.pdf((off + p.third_harmonic_ln) / scale, p.density_freedom) / scale
        result *= ((1.0 - p.density_outlier) * told + p.density_outlier / 10.0) ** p.density_evidence
        step = 4.0 * math.log(station[1] / station[0]) - 0.5 * (poleward - equatorward)
        turned = stats.norm.cdf(step / p.gradient_scatter)
        reads_pbl = (1.0 - p.missed_pbl) * turned + p.false_pbl * (1.0 - turned)
        result *= (reads_pbl if seen.label[pair] == PBL else 1.0 - reads_pbl) ** p.label_evidence
    return float(result)


def test_observe_is_bayes_rule_over_all_states() -> None:
    seen = Observation(
        l_shell=np.array([4.6, 4.1, 2.5]),
        half_span_l=np.array([0.25, 0.3, 0.2]),
        ln_density=np.log([20.0, 60.0, 300.0]),
        sigma_ln=np.array([0.1, 0.3, 0.05]),
        label=np.array([FREQ, PBL, FREQ]),
        ambiguous=np.array([True, False, False]),
    )
    shapes = itertools.product(TINY.widths_l, TINY.slopes_per_l)
    axes = (TINY.l_grid(), levels(TINY.plasmasphere_levels), levels(TINY.trough_levels), list(shapes))
    direct = np.array([likelihood(TINY, seen, (a, b, c, *d)) for a, b, c, d in itertools.product(*axes)])
    direct = direct.reshape(TINY.shape) * initial(TINY)
    # The likelihood is tabulated: 0.02 in ln ρ and 0.01 in the step.
    np.testing.assert_allclose(observe(TINY, initial(TINY), seen), direct / direct.sum(), rtol=0.1)


def test_observe_takes_pairs_in_any_order() -> None:
    seen = of_model(PlasmaModel(plasmapause=((NOON_NS, 4.2),)))
    one_by_one = initial(PARAMETERS)
    for pair in range(CHAIN.size):
        alone = np.arange(CHAIN.size) == pair
        part = replace(
            seen,
            ln_density=np.where(alone, seen.ln_density, np.nan),
            label=np.where(alone, seen.label, UNLABELLED),
        )
        one_by_one = observe(PARAMETERS, one_by_one, part)
    np.testing.assert_allclose(one_by_one, observe(PARAMETERS, initial(PARAMETERS), seen), atol=1e-7)


# Motion


def test_advance_conserves_probability_and_composes() -> None:
    state = after(of_model(PlasmaModel(plasmapause=((NOON_NS, 3.8),))), 2)
    once = advance(PARAMETERS, state, 3.0)
    twice = advance(PARAMETERS, advance(PARAMETERS, state, 1.25), 1.75)
    assert once.sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(once, twice, atol=1e-7)
    np.testing.assert_allclose(advance(PARAMETERS, state, 0.0), state, atol=1e-7)


def test_advance_moves_the_mean_as_its_rates_say() -> None:
    parameters = replace(PARAMETERS, restart_per_h=1e-9)
    state = np.zeros(parameters.shape, dtype=np.float32)
    grid = parameters.l_grid()
    start = grid.size // 2
    state[start, 3, 3, 0] = 1.0
    place = advance(parameters, state, 0.5).sum(axis=(1, 2, 3), dtype=np.float64)
    rate = (
        parameters.refilling_per_h * parameters.refilling_l - parameters.erosion_per_h * parameters.erosion_l
    )
    assert place @ grid - grid[start] == pytest.approx(0.5 * rate, abs=0.001)


def test_advance_leaves_what_it_knows_after_days() -> None:
    seen = observation(pbl=(4,))
    state = after(seen)
    widths = []
    for hours in (0.0, 3.0, 12.0, 48.0):
        place = advance(PARAMETERS, state, hours).sum(axis=(1, 2, 3), dtype=np.float64)
        mean = place @ PARAMETERS.l_grid()
        widths.append(math.sqrt(place @ (PARAMETERS.l_grid() - mean) ** 2))
    assert widths == sorted(widths)
    assert widths[0] < 0.3 < 0.7 < widths[-1]


# Cases


def test_pbl_at_one_pair_pins_the_plasmapause() -> None:
    low, middle, high = stated(estimate(observation(pbl=(4,))))
    assert abs(middle - CHAIN[4]) < 0.15
    assert CHAIN[5] < low < middle < high < CHAIN[3]


def test_pbl_further_out_moves_the_estimate_further_out() -> None:
    places = [stated(estimate(observation(pbl=(pair,))))[1] for pair in range(1, 8)]
    assert (np.diff(places) < -0.15).all()


@pytest.mark.parametrize("mass", [1.0, 2.5])
@pytest.mark.parametrize("saturation", [0.25, 0.9])
@pytest.mark.parametrize("width", [0.08, 0.3])
def test_plasmapause_is_found_whatever_the_level_and_the_width(
    mass: float, saturation: float, width: float
) -> None:
    model = PlasmaModel(
        saturation=saturation,
        mean_ion_mass_amu=mass,
        plasmapause=((NOON_NS, 4.15),),
        plasmapause_width_l=width,
    )
    low, middle, high = stated(estimate(of_model(model)))
    assert abs(middle - 4.15) < 0.25
    assert low < 4.15 < high


def test_plasmasphere_over_the_whole_chain_is_beyond_it() -> None:
    found = estimate(of_model(PlasmaModel()))
    assert (found.l_shell, found.reason, found.confidence) == (None, "beyond_chain", 0.0)
    assert min(found.inside[1:]) > 0.9


def test_trough_over_the_whole_chain_is_beyond_it() -> None:
    found = estimate(of_model(PlasmaModel(plasmapause=((NOON_NS, 1.8),), trough_factor=0.5)))
    assert (found.l_shell, found.reason) == (None, "beyond_chain")
    # Not surer: it may be a plasmasphere that has hardly refilled.
    assert max(found.inside) < 0.25


def test_plasma_that_falls_nowhere_and_may_be_either_is_left_open() -> None:
    ln_density = 0.5 * (plasmasphere_ln(CHAIN) + PARAMETERS.plasmasphere_prior)
    ln_density += 0.5 * (trough_ln(CHAIN) + PARAMETERS.trough_prior)
    found = estimate(observation(np.exp(ln_density)))
    assert found.l_shell is None
    assert all(0.1 < inside < 0.9 for inside in found.inside)


def test_nothing_seen_is_no_data_and_leaves_the_state() -> None:
    state = initial(PARAMETERS)
    assert observe(PARAMETERS, state, observation()) is state
    found = summarise(PARAMETERS, state, observation(), LEVEL, WIDEST)
    assert (found.l_shell, found.low, found.high, found.reason) == (None, None, None, "no_data")
    assert 0.1 < found.inside[0] < found.inside[-1] < 1.0


def test_a_night_without_data_ends_the_statement() -> None:
    state = after(observation(pbl=(4,)))
    dark = observation()
    soon = summarise(PARAMETERS, advance(PARAMETERS, state, 1.0), dark, LEVEL, WIDEST)
    late = summarise(PARAMETERS, advance(PARAMETERS, state, 12.0), dark, LEVEL, WIDEST)
    assert soon.l_shell is not None
    assert (late.l_shell, late.reason) == (None, "no_data")


def test_too_wide_an_interval_is_uncertain() -> None:
    seen = observation(pbl=(4,))
    state = after(seen, 3)
    assert summarise(PARAMETERS, state, seen, LEVEL, WIDEST).reason is None
    assert summarise(PARAMETERS, state, seen, LEVEL, 0.05).reason == "uncertain"


def test_interval_holds_its_probability() -> None:
    seen = of_model(PlasmaModel(plasmapause=((NOON_NS, 4.15),)))
    state = after(seen)
    edges = np.append(PARAMETERS.l_grid(), PARAMETERS.highest_l + PARAMETERS.step_l) - 0.5 * PARAMETERS.step_l
    below = np.append(0.0, np.cumsum(state.sum(axis=(1, 2, 3), dtype=np.float64)))
    for level in (0.5, 0.9):
        found = summarise(PARAMETERS, state, seen, level, WIDEST)
        low, middle, high = np.interp(stated(found), edges, below)
        assert found.confidence == level
        assert high - low == pytest.approx(level, abs=1e-3)
        assert middle == pytest.approx(0.5, abs=1e-3)


def test_side_of_a_pair_at_the_plasmapause_is_open() -> None:
    seen = observation(pbl=(4,))
    state = after(seen)
    at_once = summarise(PARAMETERS, state, seen, LEVEL, WIDEST)
    place = stated(at_once)[1]
    sides = []
    for l_shell in (place + 0.4, place, place - 0.4):
        probe = Observation(*(getattr(seen, name)[4:5] for name in Observation.__dataclass_fields__))
        probe = replace(probe, l_shell=np.array([l_shell]))
        sides.append(summarise(PARAMETERS, state, probe, LEVEL, WIDEST).inside[0])
    assert sides[0] < 0.1 < 0.4 < sides[1] < 0.6 < 0.9 < sides[2]


# Robustness


def test_one_wild_density_moves_little() -> None:
    seen = of_model(PlasmaModel(plasmapause=((NOON_NS, 4.15),)))
    clean = stated(estimate(seen))[1]
    for pair in np.flatnonzero(seen.has_density).tolist():
        ln_density = seen.ln_density.copy()
        ln_density[pair] += 4.0
        assert abs(stated(estimate(replace(seen, ln_density=ln_density)))[1] - clean) < 0.2


@pytest.mark.parametrize("pair", [0, 1, 6, 8])
def test_one_false_pbl_moves_no_pair_to_the_other_side(pair: int) -> None:
    seen = of_model(PlasmaModel(plasmapause=((NOON_NS, 4.15),)))
    state = after(seen)
    label = seen.label.copy()
    label[pair] = PBL
    flawed = observe(PARAMETERS, advance(PARAMETERS, state, 0.5), replace(seen, label=label))
    found = summarise(PARAMETERS, flawed, seen, LEVEL, WIDEST)
    assert abs(stated(found)[1] - 4.15) < 0.25
    assert min(found.inside[5:]) > 0.9
    assert max(found.inside[:4]) < 0.1


def test_a_third_harmonic_is_no_trough() -> None:
    seen = of_model(PlasmaModel())
    ln_density = seen.ln_density.copy()
    ln_density[3] -= PARAMETERS.third_harmonic_ln
    ambiguous = np.arange(CHAIN.size) == 3
    found = estimate(replace(seen, ln_density=ln_density, ambiguous=ambiguous))
    assert found.inside[3] > 0.9


def test_storm_is_followed_from_plasma_that_is_not_the_models_own() -> None:
    course = ((0, 5.2), (4, 5.2), (10, 3.4), (14, 3.4), (30, 3.8))
    model = PlasmaModel(
        saturation=0.5,
        plasmapause=tuple((NOON_NS + hour * 3600 * SECOND_NS, place) for hour, place in course),
        plasmapause_width_l=0.18,
        refilling=0.3,
    )
    state, errors, covered = initial(PARAMETERS), [], []
    random = np.random.default_rng(4)
    for window in range(60):
        time_ns = NOON_NS + window * 1800 * SECOND_NS
        seen = of_model(model, time_ns)
        noise = 0.1 * random.standard_normal(CHAIN.size)
        hidden = random.random(CHAIN.size) < 0.3
        seen = replace(
            seen,
            ln_density=np.where(hidden, np.nan, seen.ln_density + noise),
            label=np.where(hidden, UNLABELLED, seen.label),
        )
        state = observe(PARAMETERS, advance(PARAMETERS, state, 0.5), seen)
        found = summarise(PARAMETERS, state, seen, LEVEL, WIDEST)
        truth = model.plasmapause_l(time_ns)
        assert truth is not None
        if found.l_shell is not None:
            errors.append(abs(found.l_shell - truth))
            covered.append(stated(found)[0] <= truth <= stated(found)[2])
    assert len(errors) >= 50
    assert np.median(errors) < 0.15
    assert np.mean(covered) > 0.8


def test_one_pair_alone_tells_its_side() -> None:
    def side(density: float) -> PlasmapauseEstimate:
        seen = Observation(
            np.array([4.0]),
            np.array([np.nan]),
            np.log([density]),
            np.array([0.1]),
            np.array([FREQ]),
            np.array([False]),
        )
        state = initial(ONE_PAIR)
        for _ in range(8):
            state = observe(ONE_PAIR, advance(ONE_PAIR, state, 0.5), seen)
        return summarise(ONE_PAIR, state, seen, LEVEL, WIDEST)

    assert side(500.0).inside[0] > 0.9
    assert side(12.0).inside[0] < 0.1
    assert side(12.0).reason == "beyond_chain"


# The plain estimates


def test_by_label_is_the_mean_of_the_reversed_pairs() -> None:
    assert by_label(observation(pbl=(2, 4))) == pytest.approx((CHAIN[2] + CHAIN[4]) / 2.0)
    assert by_label(observation()) is None


def test_by_gradient_needs_more_than_the_eighth_power() -> None:
    density = 100.0 * (CHAIN / 4.0) ** -7.9
    assert by_gradient(observation(density)) is None
    density[:3] /= 3.0
    assert by_gradient(observation(density)) == pytest.approx((CHAIN[2] + CHAIN[3]) / 2.0)
    density[3] = np.nan
    assert by_gradient(observation(density)) == pytest.approx((CHAIN[2] + CHAIN[4]) / 2.0)
    assert by_gradient(observation()) is None


def test_by_gradient_passes_over_pairs_at_the_same_place() -> None:
    seen = observation(100.0 * (CHAIN / 4.0) ** -4.0)
    same = replace(seen, l_shell=np.full(CHAIN.size, 4.0), half_span_l=np.full(CHAIN.size, 0.2))
    assert by_gradient(same) is None


# What is refused


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("l_shell", np.nan, "l_shell must exceed 1, not nan"),
        ("l_shell", 0.9, r"l_shell must exceed 1, not 0\.9"),
        ("l_shell", 7.0, "l_shell must not rise"),
        ("half_span_l", 0.0, r"half_span_l must be positive .* not 0\.0"),
        ("half_span_l", 9.0, r"half_span_l must be positive .* not 9\.0"),
        ("sigma_ln", -0.1, r"sigma_ln must not be negative .* not -0\.1"),
        ("sigma_ln", np.nan, "sigma_ln must not be negative .* not nan"),
        ("label", 3, "label must be a place in CLASSES or -1, not 3"),
    ],
)
def test_observation_refuses_what_cannot_be(name: str, value: float, message: str) -> None:
    seen = observation(np.full(CHAIN.size, 50.0))
    changed = getattr(seen, name).copy()
    changed[2] = value
    with pytest.raises(ValueError, match=message):
        replace(seen, **{name: changed})


def test_observation_refuses_arrays_of_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"sigma_ln must have the shape \(p,\) of l_shell, not \(3,\)"):
        replace(observation(), sigma_ln=np.zeros(3))


@pytest.mark.parametrize("hours", [-0.5, math.nan, math.inf])
def test_advance_refuses_impossible_hours(hours: float) -> None:
    with pytest.raises(ValueError, match=f"hours must not be negative, not {hours}"):
        advance(PARAMETERS, initial(PARAMETERS), hours)


def test_summarise_refuses_a_chain_of_nothing_and_an_impossible_level() -> None:
    none = Observation(*(getattr(observation(), name)[:0] for name in Observation.__dataclass_fields__))
    with pytest.raises(ValueError, match="one pair at least"):
        summarise(PARAMETERS, initial(PARAMETERS), none, LEVEL, WIDEST)
    with pytest.raises(ValueError, match=r"level must lie between 0 and 1, not 1\.0"):
        summarise(PARAMETERS, initial(PARAMETERS), observation(), 1.0, WIDEST)


# Parameters


def test_parameters_survive_json() -> None:
    document = json.loads(json.dumps(ONE_PAIR.to_json()))
    assert PlasmapauseParameters.from_json(document) == ONE_PAIR


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_l": 0.0}, r"step_l must be positive, not 0\.0"),
        ({"false_pbl": 1.0}, r"false_pbl must lie between 0 and 1, not 1\.0"),
        ({"erosion_per_h": -1.0}, r"erosion_per_h must not be negative, not -1\.0"),
        ({"lowest_l": 8.0}, r"the grid of L must rise from 1, not from 8\.0"),
        ({"widths_l": ()}, r"widths_l must be positive, not \(\)"),
        ({"slopes_per_l": (math.nan,)}, "slopes_per_l must be finite"),
        ({"width_weights": (1.0,)}, "width_weights must be 2 positive weights"),
        ({"trough_levels": (1.0, 0.0, 4)}, "trough_levels must rise in two steps or more"),
        ({"full_below_l": 3.0}, r"filling_beyond_l must exceed full_below_l, not 3\.0"),
        ({"least_drop": 0.5}, r"least_drop must be at least 1, not 0\.5"),
    ],
)
def test_parameters_refuse_what_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PARAMETERS, **change)


@pytest.mark.parametrize("document", [None, {}, {"step_l": 0.1}, PARAMETERS.to_json() | {"step_l": "0.1"}])
def test_parameters_refuse_another_document(document: object) -> None:
    with pytest.raises(ValueError, match="the parameters of a plasmapause"):
        PlasmapauseParameters.from_json(document)
