"""Which variables of CDF files are what: MMS, Cluster and THEMIS, in the order of preference.

A component is taken from the first row that has it. Vectors are preferred in GSE; the despun frames of the quicklook
files (DMPA, DBCS) lie within 3° of it in the regions of interest. THEMIS' field-aligned temperatures are two
perpendicular ones and the parallel one. Epochs of MMS FPI are the begin of the 4.5 s (VAR_NOTES: "begin-time"); all
others are the middle of a sample.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FIELD: Final = ("Bx", "By", "Bz")
_VELOCITY: Final = ("Vx", "Vy", "Vz")


@dataclass(frozen=True, slots=True)
class KnownVariable:
    """What a variable of a known name holds.

    Attributes
    ----------
    pattern : re.Pattern
        Its first group tells the spacecraft.
    mission : str
        Prefix of the spacecraft's id.
    components : tuple of str
        Of `monitor.types.space.VARIABLES`.
    weights : tuple of tuple of float
        For each component, the weights of the variable's columns.
    frame : str or None
    begins : bool
        Whether its epochs are the begin of a sample, and not its middle.
    """

    pattern: re.Pattern[str]
    mission: str
    components: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    frame: str | None = None
    begins: bool = False

    @property
    def columns(self) -> int:
        """Number of columns that the variable has."""
        return len(self.weights[0])


def _columns(count: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(row == column) for column in range(count)) for row in range(count))


def _mms(name: str, components: tuple[str, ...], frame: str | None = None) -> KnownVariable:
    begins = name.startswith("dis_")
    pattern = re.compile(rf"mms([1-4])_{name}")
    return KnownVariable(pattern, "MMS", components, _columns(len(components)), frame, begins)


def _cluster(name: str, components: tuple[str, ...], frame: str | None = None) -> KnownVariable:
    pattern = re.compile(name.replace("Cn_", "C([1-4])_"))
    return KnownVariable(pattern, "C", components, _columns(len(components)), frame)


def _themis(name: str, components: tuple[str, ...], frame: str | None = None) -> KnownVariable:
    pattern = re.compile(rf"th([a-e])_{name}")
    return KnownVariable(pattern, "TH", components, _columns(len(components)), frame)


def _themis_temperatures(name: str) -> KnownVariable:
    weights = ((0.0, 0.0, 1.0), (0.5, 0.5, 0.0))
    return KnownVariable(re.compile(rf"th([a-e])_{name}"), "TH", ("Tpar", "Tperp"), weights)


_TOTAL: Final = (*_FIELD, "B")

KNOWN: Final[tuple[KnownVariable, ...]] = (
    _mms("fgm_b_gse_srvy_l2", _TOTAL, "gse"),
    _mms("fgm_b_dmpa_srvy_l2", _TOTAL, "dmpa"),
    _mms("fgm_b_gsm_srvy_l2", _TOTAL, "gsm"),
    _mms("dfg_srvy_dmpa", _TOTAL, "dmpa"),
    _mms("afg_srvy_dmpa", _TOTAL, "dmpa"),
    _mms("dis_numberdensity_fast", ("N",)),
    _mms("dis_bulkv_gse_fast", _VELOCITY, "gse"),
    _mms("dis_bulkv_dbcs_fast", _VELOCITY, "dbcs"),
    _mms("dis_temppara_fast", ("Tpar",)),
    _mms("dis_tempperp_fast", ("Tperp",)),
    _cluster("B_vec_xyz_gse__Cn_CP_FGM_(?:SPIN|5VPS|FULL)", _FIELD, "gse"),
    _cluster("B_mag__Cn_CP_FGM_(?:SPIN|5VPS|FULL)", ("B",)),
    _cluster("B_xyz_gse__Cn_(?:PP|UP)_FGM", _FIELD, "gse"),
    _cluster("density__Cn_CP_CIS_HIA_ONBOARD_MOMENTS", ("N",)),
    _cluster("velocity_gse__Cn_CP_CIS_HIA_ONBOARD_MOMENTS", _VELOCITY, "gse"),
    _cluster("temp_par__Cn_CP_CIS_HIA_ONBOARD_MOMENTS", ("Tpar",)),
    _cluster("temp_perp__Cn_CP_CIS_HIA_ONBOARD_MOMENTS", ("Tperp",)),
    _cluster("density__Cn_CP_CIS_CODIF_HS_H1_MOMENTS", ("N",)),
    _cluster("velocity__Cn_CP_CIS_CODIF_HS_H1_MOMENTS", _VELOCITY, "gse"),
    _cluster("T_par__Cn_CP_CIS_CODIF_HS_H1_MOMENTS", ("Tpar",)),
    _cluster("T_perp__Cn_CP_CIS_CODIF_HS_H1_MOMENTS", ("Tperp",)),
    _cluster("N_p__Cn_PP_CIS", ("N",)),
    _cluster("V_p_xyz_gse__Cn_PP_CIS", _VELOCITY, "gse"),
    _cluster("T_p_par__Cn_PP_CIS", ("Tpar",)),
    _cluster("T_p_perp__Cn_PP_CIS", ("Tperp",)),
    _themis("fgs_gse", _FIELD, "gse"),
    _themis("fgs_btotal", ("B",)),
    _themis("peim_density", ("N",)),
    _themis("peim_velocity_gse", _VELOCITY, "gse"),
    _themis_temperatures("peim_t3_mag"),
    _themis("peir_density", ("N",)),
    _themis("peir_velocity_gse", _VELOCITY, "gse"),
    _themis_temperatures("peir_magt3"),
    _themis("ptirf_density", ("N",)),
    _themis("ptirf_velocity_gse", _VELOCITY, "gse"),
    _themis_temperatures("ptirf_magt3"),
)

_MEGAKELVIN_eV: Final = 86.17333262
"""Boltzmann's constant (CODATA 2018) times 10⁶ K, in eV."""

UNITS: Final[dict[str, dict[str, float]]] = {
    "nT": {"nT": 1.0, "T": 1e9},
    "cm^-3": {
        "cm^-3": 1.0, "particles cm^-3": 1.0, "#/cm^3": 1.0, "1/cm^3": 1.0, "/cm^3": 1.0, "/cc": 1.0,
        "1/cc": 1.0, "cm-3": 1.0, "cm**-3": 1.0, "m^-3": 1e-6, "1/m^3": 1e-6,
    },
    "km/s": {"km/s": 1.0, "km s^-1": 1.0, "km/sec": 1.0, "m/s": 1e-3, "m s^-1": 1e-3},
    "eV": {"eV": 1.0, "keV": 1e3, "MK": _MEGAKELVIN_eV, "K": _MEGAKELVIN_eV * 1e-6},
}  # fmt: skip
"""For each unit of the native message, the units that files give and the factor to it."""

_UNIT_OF: Final = {"B": "nT", "N": "cm^-3", "V": "km/s", "T": "eV"}
_REMARK: Final = re.compile(r"\s*(?:\(.*\)|\b(?:GSE|GSM|DSL|DMPA|DBCS)\b)\s*")


def unit_factor(component: str, written: str) -> tuple[float | None, str]:
    """Factor from the unit that a file gives to that of the native message, and the latter's name.

    The factor is None for a unit that is not known.
    """
    unit = _UNIT_OF[component[0]]
    return UNITS[unit].get(_REMARK.sub(" ", written).strip()), unit
