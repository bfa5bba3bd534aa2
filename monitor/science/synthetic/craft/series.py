"""Plasma as a spacecraft meets it: one state, and a series of them at the network's cadence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.types import CELL_NS, SECOND_NS, FloatArray

STEP_S: Final = CELL_NS / SECOND_NS
PROTON_KG: Final = 1.67262192e-27
MU0: Final = 4e-7 * math.pi
ELEMENTARY_C: Final = 1.602176634e-19


@dataclass(frozen=True, slots=True)
class State:
    """A uniform plasma; vectors in GSE. `B_nT` and `V_kms` have shape (3,)."""

    B_nT: FloatArray
    N_cm3: float
    V_kms: FloatArray
    Tpar_eV: float
    Tperp_eV: float

    @property
    def T_eV(self) -> float:
        """Total temperature, (T∥ + 2 T⊥) / 3."""
        return (self.Tpar_eV + 2.0 * self.Tperp_eV) / 3.0

    @property
    def alfven_speed_kms(self) -> float:
        """|B| / √(μ₀ ρ), of protons."""
        return float(alfven_speed_kms(np.linalg.norm(self.B_nT), self.N_cm3))

    @property
    def beta(self) -> float:
        """Ion plasma beta."""
        thermal = self.N_cm3 * 1e6 * self.T_eV * ELEMENTARY_C
        return float(thermal / ((np.linalg.norm(self.B_nT) * 1e-9) ** 2 / (2.0 * MU0)))


@dataclass(frozen=True, slots=True)
class PlasmaSeries:
    """n steps of `STEP_S` seconds; vectors in GSE.

    Attributes
    ----------
    B_nT, V_kms : ndarray, shape (n, 3)
    N_cm3, Tpar_eV, Tperp_eV : ndarray, shape (n,)
    """

    B_nT: FloatArray
    N_cm3: FloatArray
    V_kms: FloatArray
    Tpar_eV: FloatArray
    Tperp_eV: FloatArray

    @property
    def steps(self) -> int:
        return int(self.N_cm3.size)

    @classmethod
    def uniform(cls, state: State, steps: int) -> PlasmaSeries:
        """The same state throughout."""
        return cls(
            np.tile(state.B_nT, (steps, 1)),
            np.full(steps, state.N_cm3),
            np.tile(state.V_kms, (steps, 1)),
            np.full(steps, state.Tpar_eV),
            np.full(steps, state.Tperp_eV),
        )

    @classmethod
    def joined(cls, parts: Sequence[PlasmaSeries]) -> PlasmaSeries:
        """One after the other."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("B_nT", "N_cm3", "V_kms", "Tpar_eV", "Tperp_eV")
            )
        )

    def part(self, begin: int, end: int) -> PlasmaSeries:
        """Steps from `begin` to before `end`."""
        return PlasmaSeries(
            self.B_nT[begin:end],
            self.N_cm3[begin:end],
            self.V_kms[begin:end],
            self.Tpar_eV[begin:end],
            self.Tperp_eV[begin:end],
        )

    def mixed(self, other: PlasmaSeries, share: FloatArray) -> PlasmaSeries:
        """Goes over to `other` where `share` (n,) is 1: fields and densities linearly, speeds weighted by density,
        pressures (hence temperatures) by density too, as of two populations that are both there."""
        own, alien = (1.0 - share) * self.N_cm3, share * other.N_cm3
        density = own + alien
        weight = np.divide(alien, density, out=np.zeros_like(density), where=density > 0.0)
        return PlasmaSeries(
            self.B_nT + share[:, None] * (other.B_nT - self.B_nT),
            density,
            self.V_kms + weight[:, None] * (other.V_kms - self.V_kms),
            self.Tpar_eV + weight * (other.Tpar_eV - self.Tpar_eV),
            self.Tperp_eV + weight * (other.Tperp_eV - self.Tperp_eV),
        )

    def turned(self, rotation: FloatArray) -> PlasmaSeries:
        """Vectors turned by a matrix (3, 3)."""
        return PlasmaSeries(
            self.B_nT @ rotation.T, self.N_cm3, self.V_kms @ rotation.T, self.Tpar_eV, self.Tperp_eV
        )

    def values(self) -> FloatArray:
        """The twelve quantities (n, 12) in the order of `VARIABLES`."""
        columns = (
            self.B_nT,
            np.linalg.norm(self.B_nT, axis=1),
            self.N_cm3,
            self.V_kms,
            np.linalg.norm(self.V_kms, axis=1),
            self.Tpar_eV,
            self.Tperp_eV,
            (self.Tpar_eV + 2.0 * self.Tperp_eV) / 3.0,
        )
        return np.column_stack(columns)


def alfven_speed_kms(field_nT: float | np.floating, density_cm3: float) -> float:
    """Alfvén speed of protons."""
    return float(field_nT * 1e-9 / math.sqrt(MU0 * density_cm3 * 1e6 * PROTON_KG) / 1e3)
