"""Whatever the findings are, each gets a density or a reason, and the wave equation keeps its order."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.fieldline import dipole_wave_constant
from monitor.stages.density import DensityStage, DipoleField
from monitor.types import SECOND_NS, Finding, Illumination, Label, LineEnds, Pair, PhysicalReading, Reading

REASONS = {
    "no_l_shell",
    "l_too_low",
    "open_line",
    "frequency_unusable",
    "boundary_unknown",
    "harmonic_ambiguous",
}
number = st.floats() | st.floats(1e-4, 1.0) | st.floats(0.0, 1e-290)
findings = st.builds(
    lambda l_shell, values, light, label, end_s: Finding(
        pair=Pair("A", "B", l_shell),
        end_ns=end_s * SECOND_NS,
        length_ns=7200 * SECOND_NS,
        coverage=(),
        physical=PhysicalReading(Label.NO_FREQ, *[math.nan] * 6),
        illumination=light,
        mlt_h=None,
        probability=None,
        stage_one=None,
        as_freq=Reading(*values),
        as_pbl=None,
        label=label,
    ),
    st.none() | st.floats() | st.floats(1.0, 22.0),
    st.tuples(number, number, number),
    st.none() | st.sampled_from(Illumination),
    st.sampled_from(Label),
    st.sampled_from([700_000_000, 1_504_785_600]),
)


@settings(max_examples=60)
@given(st.lists(findings, max_size=12), st.booleans())
def test_density_stage_answers_every_finding(many: list[Finding], night: bool) -> None:
    before = list(many)
    done = DensityStage(DipoleField(), night=night).feed(many)
    assert [id(one) for one in many] == [id(one) for one in before]
    assert [one.pair.name for one in done] == [one.pair.name for one in many]
    for given_one, one in zip(many, done, strict=True):
        if given_one.reading is None:
            assert one is given_one
            continue
        assert one.density is not None or one.flags & REASONS
        if one.density is not None:
            assert one.illumination is Illumination.DAY or night
        for found in (one.density, *one.alternatives):
            if found is not None:
                assert 0.0 <= found.low_amu_cm3 <= found.density_amu_cm3 <= found.high_amu_cm3


@settings(max_examples=60)
@given(st.floats(1.2, 20.0), st.floats(-2.0, 8.0), st.floats(0.0, 1000.0))
def test_waves_keep_their_order(l_shell: float, index: float, ionosphere_km: float) -> None:
    at = np.array([l_shell])

    def constant(ends: LineEnds, harmonic: int = 1, m: float = index) -> float:
        found = dipole_wave_constant(at, m, harmonic=harmonic, ends=ends, ionosphere_km=ionosphere_km)
        return float(found[0])

    for ends in LineEnds:
        series = [constant(ends, harmonic) for harmonic in range(1, 6)]
        assert all(low < high for low, high in itertools.pairwise(series))
        # More weight slows every wave.
        assert constant(ends, m=max(-2.0, index - 0.5)) >= constant(ends) * (1.0 - 1e-8)
    # A fixed end is the tighter one, and the waves of looser ends lie between those of tighter ones.
    assert constant(LineEnds.MIXED) < constant(LineEnds.FIXED)
    assert constant(LineEnds.MIXED) < constant(LineEnds.FREE) < constant(LineEnds.FIXED, 3)
