"""Density over L: a robust power law, and empirical positions of the plasmapause for comparison."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from monitor.types import FloatArray, PowerLaw

_FEWEST = 3
_LEVEL = 0.9
_HUBER = 1.345
_MAD_TO_SIGMA = 1.4826
_LEAST_SIGMA = 0.02  # of ln ρ: no density is known better
_ITERATIONS = 20
_REFERENCE_L = 4.0


def power_law(l_shell: FloatArray, density_amu_cm3: FloatArray, sigma_ln: FloatArray) -> PowerLaw | None:
    """Fit ρ = ρ₄ (L / 4)^−n robustly.

    Huber's M-estimate (1964, doi:10.1214/aoms/1177703732), started from the median of the slopes between all two
    pairs (Theil and Sen). A pair weighs by its own error and by the scatter about the first line, because profiles
    are no exact power laws. The interval of n is Student's at 90 %, for two pairs fewer than there are.

    Parameters
    ----------
    l_shell, density_amu_cm3, sigma_ln : ndarray, shape (p,)
        The last is the standard deviation of ln ρ; NaN counts as 0. Pairs with NaN, or with a density that is not
        positive, are left out.

    Returns
    -------
    PowerLaw or None
        None for fewer than three pairs at different L.

    Raises
    ------
    ValueError
        Arrays of different shapes.
    """
    if not l_shell.shape == density_amu_cm3.shape == sigma_ln.shape:
        raise ValueError(
            f"shapes {l_shell.shape}, {density_amu_cm3.shape}, {sigma_ln.shape} must be the same"
        )
    with np.errstate(invalid="ignore"):
        used = (l_shell > 0.0) & np.isfinite(l_shell) & (density_amu_cm3 > 0.0) & np.isfinite(density_amu_cm3)
    x, y = np.log(l_shell[used] / _REFERENCE_L), np.log(density_amu_cm3[used])
    if np.unique(x).size < _FEWEST:
        return None
    slope, at_reference = _theil_sen(x, y)
    scatter = _MAD_TO_SIGMA * float(np.median(np.abs(y - at_reference - slope * x)))
    scale = np.maximum(np.hypot(np.nan_to_num(sigma_ln[used]), scatter), _LEAST_SIGMA)
    for _ in range(_ITERATIONS):
        away = np.abs(y - at_reference - slope * x) / scale
        weight = np.minimum(1.0, _HUBER / np.maximum(away, _HUBER)) / scale**2
        centre = np.average(x, weights=weight)
        inertia = float((weight * (x - centre) ** 2).sum())
        slope = float((weight * (x - centre) * y).sum()) / inertia
        at_reference = float(np.average(y - slope * x, weights=weight))
    reach = float(special.stdtrit(x.size - 2, 0.5 + _LEVEL / 2.0)) / math.sqrt(inertia)
    return PowerLaw(
        density_at_l4_amu_cm3=math.exp(at_reference),
        exponent=-slope,
        exponent_low=-slope - reach,
        exponent_high=-slope + reach,
        pairs=int(used.sum()),
    )


def _theil_sen(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope and value at x = 0."""
    # As scipy.stats.theilslopes has it; importing that would take longer than anything else at the daemon's start.
    rise, run = np.subtract.outer(y, y), np.subtract.outer(x, x)
    slope = float(np.median(rise[run > 0.0] / run[run > 0.0]))
    return slope, float(np.median(y - slope * x))


def carpenter_anderson_1992(kp_max_24h: float) -> float:
    """L of the plasmapause from the largest Kp of the 24 hours before: 5.6 − 0.46 Kp.

    From electron densities of ISEE 1, local times 0 to 15 h (doi:10.1029/91JA01548).
    """
    return 5.6 - 0.46 * _checked(kp_max_24h)


def moldwin_2002(kp_max_12h: float) -> float:
    """L of the plasmapause from the largest Kp of the 12 hours before: 5.39 − 0.382 Kp.

    From the plasmapauses of CRRES at all local times (doi:10.1029/2001JA009211).
    """
    return 5.39 - 0.382 * _checked(kp_max_12h)


def _checked(kp: float) -> float:
    if not 0.0 <= kp <= 9.0:
        raise ValueError(f"Kp must lie between 0 and 9, not {kp}")
    return kp
