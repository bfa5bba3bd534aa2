"""Whatever wind meets whatever shock: what holds of every fast shock."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.science.synthetic.craft.rankine_hugoniot import (
    GAMMA,
    NPA_PER_EV,
    behind_shock,
    fast_speed_kms,
    flow_against,
)
from monitor.science.synthetic.craft.series import State
from monitor.types import FloatArray

_unit = st.tuples(st.floats(-1.0, 1.0), st.floats(0.0, 2.0 * math.pi)).map(
    lambda drawn: np.array(
        [
            drawn[0],
            math.sqrt(1.0 - drawn[0] ** 2) * math.cos(drawn[1]),
            math.sqrt(1.0 - drawn[0] ** 2) * math.sin(drawn[1]),
        ]
    )
)


@given(
    field=_unit,
    strength_nT=st.floats(0.5, 60.0),
    density_cm3=st.floats(0.1, 80.0),
    temperature_eV=st.floats(2.0, 150.0),
    normal=_unit,
    speed_kms=st.floats(-200.0, 200.0),
    over_fast=st.floats(1.05, 30.0),
)
def test_plasma_behind_any_fast_shock_is_denser_hotter_and_slower_than_fast_waves(
    field: FloatArray,
    strength_nT: float,
    density_cm3: float,
    temperature_eV: float,
    normal: FloatArray,
    speed_kms: float,
    over_fast: float,
) -> None:
    pressure_nPa = density_cm3 * temperature_eV * NPA_PER_EV
    still = State(strength_nT * field, density_cm3, np.zeros(3), temperature_eV, temperature_eV)
    inflow_kms = over_fast * flow_against(still, pressure_nPa, normal, 0.0).fast_kms
    wind = State(still.B_nT, density_cm3, (speed_kms - inflow_kms) * normal, temperature_eV, temperature_eV)
    try:
        behind, behind_nPa = behind_shock(wind, pressure_nPa, normal, speed_kms)
    except ValueError:
        # A field along the normal is switched on by a flow that is hardly faster than Alfvén waves: no jump.
        assume(False)
    compression = behind.N_cm3 / density_cm3
    assert 1.0 < compression < (GAMMA + 1.0) / (GAMMA - 1.0)
    assert behind_nPa / pressure_nPa >= compression**GAMMA * (1.0 - 1e-9)
    assert abs(behind.B_nT @ normal - wind.B_nT @ normal) < 1e-9 * strength_nT
    assert np.linalg.norm(behind.B_nT) >= strength_nT * (1.0 - 1e-9)
    after = flow_against(behind, behind_nPa, normal, speed_kms)
    assert math.isclose(after.inflow_kms * compression, inflow_kms, rel_tol=1e-6)
    alfven_kms = behind.alfven_speed_kms
    assert after.inflow_kms < fast_speed_kms(alfven_kms, after.sound_kms, after.theta_bn_rad)
    assert after.inflow_kms > alfven_kms * math.cos(after.theta_bn_rad)
