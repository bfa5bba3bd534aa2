"""Whatever a chain shows, the plasmapause stays a distribution and its estimate keeps its order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.plasmapause import Observation, advance, initial, observe, summarise
from monitor.science.plasmapause_parameters import ONE_PAIR

PARAMETERS = replace(ONE_PAIR, step_l=0.25, slopes_per_l=(-0.3, 0.1), slope_weights=(1.0, 1.0))


@st.composite
def windows(draw: st.DrawFn) -> list[tuple[float, Observation]]:
    """Some windows of one chain, each with the hours since the one before."""
    pairs = draw(st.integers(1, 150))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    l_shell = np.sort(random.uniform(1.2, 12.0, pairs))[::-1]
    result = []
    for hours in draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 12.0, 300.0]), min_size=1, max_size=4)):
        ln_density = random.normal(4.0, draw(st.sampled_from([1.0, 300.0])), pairs)
        ln_density[random.random(pairs) < 0.3] = np.nan
        half_span = np.where(random.random(pairs) < 0.5, np.nan, 0.5 * (l_shell - 1.0))
        sigma, label = random.uniform(0.0, 3.0, pairs), random.integers(-1, 3, pairs)
        window = Observation(l_shell, half_span, ln_density, sigma, label, random.random(pairs) < 0.5)
        result.append((hours, window))
    return result


@settings(max_examples=30)
@given(windows())
def test_state_stays_a_distribution_and_its_estimate_in_order(
    course: list[tuple[float, Observation]],
) -> None:
    state = initial(PARAMETERS)
    for hours, seen in course:
        state = observe(PARAMETERS, advance(PARAMETERS, state, hours), seen)
        assert abs(state.sum(dtype=np.float64) - 1.0) < 1e-4
        assert (state >= 0.0).all()
        found = summarise(PARAMETERS, state, seen, 0.9, 3.0)
        assert len(found.inside) == seen.l_shell.size
        assert (np.diff(found.inside) >= -1e-9).all()
        assert all(0.0 <= inside <= 1.0 for inside in found.inside)
        assert (found.reason is None) == (found.l_shell is not None)
        if found.l_shell is not None:
            assert found.low is not None
            assert found.high is not None
            assert found.low <= found.l_shell <= found.high <= found.low + 3.0
