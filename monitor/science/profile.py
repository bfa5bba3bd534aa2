"""Density over L: a robust power law, and empirical positions of the plasmapause for comparison."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from monitor.types import FloatArray, PowerLaw

_FEWEST = 3
_LEVEL = 0.9
_REFERENCE_L = 4.0


def power_law(l_shell: FloatArray, density_amu_cm3: FloatArray, sigma_ln: FloatArray) -> PowerLaw | None:
    """Fit ρ = ρ₄ (L / 4)^−n by Theil and Sen: the median of the slopes between all two pairs.

    One wild density in four moves it little. Where the errors are known they widen nothing: the interval is that
    of the ranks of the slopes (Sen 1968, doi:10.1080/01621459.1968.10480934), at 90 %.

    Parameters
    ----------
    l_shell, density_amu_cm3, sigma_ln : ndarray, shape (p,)
        Pairs with NaN, or with a density that is not positive, are left out.

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
    slope, _, low, high = stats.theilslopes(y, x, alpha=_LEVEL)
    at_reference = float(np.median(y - slope * x))
    return PowerLaw(
        density_at_l4_amu_cm3=math.exp(at_reference),
        exponent=-float(slope),
        exponent_low=-float(high),
        exponent_high=-float(low),
        pairs=int(used.sum()),
    )


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
