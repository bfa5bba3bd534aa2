"""What the conservation laws make of plasma at a fast shock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.science.synthetic.craft.series import ELEMENTARY_C, MU0, PROTON_KG, State
from monitor.types import FloatArray

GAMMA: Final = 5.0 / 3.0
NPA_PER_EV: Final = ELEMENTARY_C * 1e15
"""Pressure (nPa) of 1 eV at 1 cm⁻³."""

_RHO: Final = PROTON_KG * 1e6
_SWITCH_ON: Final = 1e-6


@dataclass(frozen=True, slots=True)
class ShockFlow:
    """A plasma against a shock: normal inflow and fast speed along the normal (km/s), angle of field and normal."""

    inflow_kms: float
    fast_kms: float
    theta_bn_rad: float
    sound_kms: float


def flow_against(upstream: State, pressure_nPa: float, normal: FloatArray, speed_kms: float) -> ShockFlow:
    """How a plasma of this pressure (of ions and electrons) meets a shock that moves along its normal."""
    strength = float(np.linalg.norm(upstream.B_nT))
    theta = math.acos(min(abs(float(upstream.B_nT @ normal)) / strength, 1.0))
    sound_kms = math.sqrt(GAMMA * pressure_nPa * 1e-9 / (_RHO * upstream.N_cm3)) / 1e3
    fast_kms = fast_speed_kms(upstream.alfven_speed_kms, sound_kms, theta)
    return ShockFlow(speed_kms - float(upstream.V_kms @ normal), fast_kms, theta, sound_kms)


def behind_shock(
    upstream: State, pressure_nPa: float, normal: FloatArray, speed_kms: float
) -> tuple[State, float]:
    """The plasma behind a fast shock, and its pressure (nPa, ions and electrons).

    Parameters
    ----------
    upstream : State
        Its temperatures are not used: `pressure_nPa` is the pressure.
    normal : ndarray, shape (3,)
        Unit vector to the upstream side.
    speed_kms : float
        Of the shock along its normal, in the frame of the velocities.

    Returns
    -------
    State
        With the whole pressure in its ions, isotropic.
    float

    Raises
    ------
    ValueError
        If the flow makes no fast shock.
    """
    flow = flow_against(upstream, pressure_nPa, normal, speed_kms)
    inflow_kms, alfven_kms = flow.inflow_kms, upstream.alfven_speed_kms
    ratio = compression_ratio(inflow_kms, alfven_kms, flow.sound_kms, flow.theta_bn_rad)
    rho, along_nT = _RHO * upstream.N_cm3, float(upstream.B_nT @ normal)
    tangential = upstream.B_nT - along_nT * normal
    normal2 = (alfven_kms * math.cos(flow.theta_bn_rad)) ** 2
    behind = tangential * (ratio * (inflow_kms**2 - normal2) / (inflow_kms**2 - ratio * normal2))
    # (nT)² is 1e-18 T², and a speed comes once from m/s and once to km/s.
    dragged = along_nT * (behind - tangential) * 1e-24 / (MU0 * rho * -inflow_kms)
    flowing = upstream.V_kms + inflow_kms * (1.0 - 1.0 / ratio) * normal + dragged
    ram_nPa = rho * (inflow_kms * 1e3) ** 2 * (1.0 - 1.0 / ratio) * 1e9
    squeezed_nPa = float(tangential @ tangential - behind @ behind) * 1e-9 / (2.0 * MU0)
    behind_nPa = pressure_nPa + ram_nPa + squeezed_nPa
    density = ratio * upstream.N_cm3
    hot_eV = behind_nPa / (density * NPA_PER_EV)
    return State(along_nT * normal + behind, density, flowing, hot_eV, hot_eV), behind_nPa


def compression_ratio(inflow_kms: float, alfven_kms: float, sound_kms: float, theta_bn_rad: float) -> float:
    """Compression of a fast shock, γ = 5/3.

    The relations of de Hoffmann and Teller (1950, doi:10.1103/PhysRev.80.692) reduce to a cubic in the compression X,
    the trivial X = 1 divided out, multiplied by cos⁴θ_Bn so that it holds at 90° too:

        (u² − X a² c²)² (X s² + ½ u² ((γ − 1) X − γ − 1))
        + ½ a² u² sin²θ X ((γ + (2 − γ) X) u² − X a² c² (γ + 1 − (γ − 1) X)) = 0

    with c = cos θ and the normal inflow u, the Alfvén speed a and the sound speed s upstream.

    Raises
    ------
    ValueError
        If the flow is slower than fast waves along the normal, or a field along the normal would be switched on.
    """
    u2, a2, s2 = inflow_kms**2, alfven_kms**2, sound_kms**2
    normal2 = a2 * math.cos(theta_bn_rad) ** 2
    if u2 <= fast_speed_kms(alfven_kms, sound_kms, theta_bn_rad) ** 2:
        raise ValueError(
            f"a flow of {inflow_kms:.1f} km/s makes no fast shock: it must exceed the fast speed"
        )
    turning = np.polymul([-normal2, u2], [-normal2, u2])
    energy = np.polymul(turning, [s2 + 0.5 * u2 * (GAMMA - 1.0), -0.5 * u2 * (GAMMA + 1.0)])
    field = np.polymul(
        [0.5 * (a2 - normal2) * u2, 0.0], [(2.0 - GAMMA) * u2 - normal2 * (GAMMA + 1.0), GAMMA * u2]
    )
    field = np.polyadd(field, [0.5 * (a2 - normal2) * u2 * normal2 * (GAMMA - 1.0), 0.0, 0.0, 0.0])
    roots = np.roots(np.polyadd(energy, field))
    real = roots.real[np.abs(roots.imag) < 1e-9 * np.abs(roots)]
    # Faster than Alfvén waves on both sides: other roots turn the tangential field over, and no such shock lasts. As
    # fast as they are behind it, it switches a field on of which a field along the normal does not say the direction.
    fast = real[
        (real > 1.0) & (real < (GAMMA + 1.0) / (GAMMA - 1.0)) & (real * normal2 < u2 * (1.0 - _SWITCH_ON))
    ]
    if fast.size == 0:
        raise ValueError(
            f"a flow of {inflow_kms:.1f} km/s at {math.degrees(theta_bn_rad):.1f}° makes no fast shock"
        )
    return float(fast.min())


def fast_speed_kms(alfven_kms: float, sound_kms: float, theta_bn_rad: float) -> float:
    """Speed of fast waves along the normal."""
    total = alfven_kms**2 + sound_kms**2
    product = 4.0 * (alfven_kms * sound_kms * math.cos(theta_bn_rad)) ** 2
    return math.sqrt(0.5 * (total + math.sqrt(max(total**2 - product, 0.0))))
