"""What the network has to beat: a logistic regression on summaries of windows, and a rule of thresholds.

The third rival, the paper's network of single cells, is learnt as the network is (`network.CellNetwork`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import softmax

from monitor.jobs.flr.fitting import Table
from monitor.jobs.flr.linear import LogisticModel, fit_logistic
from monitor.jobs.region.judged import window_of
from monitor.types import REGIONS, VARIABLES, Float32Array, FloatArray, Region, RegionExamples

_COLUMN: Final = {name: index for index, name in enumerate(VARIABLES)}
_DECADES: Final = ("B", "N", "Tpar", "Tperp", "T")
_SMALLEST = 1e-4
_PAIRS: Final = (("B", "N"), ("B", "T"), ("N", "T"), ("B", "V"))


def summaries(examples: RegionExamples) -> Float32Array:
    """What a window is like as a whole, shape (n, 28); NaN where a variable is missing.

    Of each variable its middle (of |B|, N and temperatures the logarithm; of components of B and V a compressed scale)
    and the logarithm of its scatter; of four pairs their correlation.
    """
    cells = window_of(examples)
    columns = [_scaled(cells[:, :, _COLUMN[name]], name) for name in VARIABLES]
    middle = [column.mean(axis=1) for column in columns]
    scatter = [np.log10(np.maximum(column.std(axis=1), 1e-4)) for column in columns]
    related = [_correlation(cells[:, :, _COLUMN[one]], cells[:, :, _COLUMN[two]]) for one, two in _PAIRS]
    return np.stack([*middle, *scatter, *related], axis=1).astype(np.float32)


def _scaled(values: FloatArray, name: str) -> FloatArray:
    if name in _DECADES:
        return np.log10(np.maximum(values, _SMALLEST))
    scale = 10.0 if name.startswith("B") else 100.0
    bent: FloatArray = np.arcsinh(values / scale)
    return bent


def _correlation(one: FloatArray, two: FloatArray) -> FloatArray:
    first = one - one.mean(axis=1, keepdims=True)
    second = two - two.mean(axis=1, keepdims=True)
    size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    related = np.divide((first * second).sum(axis=1), size, out=np.zeros(size.shape), where=size > 0.0)
    return np.where(np.isfinite(size), related, np.nan)


@dataclass(frozen=True, slots=True)
class LogisticRival:
    """Multinomial logistic regression on `summaries`."""

    model: LogisticModel

    def predict(self, examples: RegionExamples) -> FloatArray:
        """Probabilities, shape (n, 10)."""
        said: FloatArray = softmax(self.model.predict(summaries(examples)).astype(np.float64), axis=1)
        return said


def fit_logistic_rival(training: RegionExamples, validation: RegionExamples) -> LogisticRival:
    """Fit to one set, with the L2 penalty that does best on another; mixed windows are left out.

    Raises
    ------
    ValueError
        Where either has no window that can be learnt from.
    """
    return LogisticRival(fit_logistic(_table(training), _table(validation), len(REGIONS)))


def _table(examples: RegionExamples) -> Table:
    kept = examples.at(~examples.mixed)
    if not len(kept):
        raise ValueError("a logistic regression needs windows that are not mixed")
    return Table(summaries(kept), kept.label.astype(np.float64), np.ones(len(kept)))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A rule on the means of |B|, N and T of a window for six regions; it knows no boundary.

    The numbers lie between what the literature gives for neighbouring regions (about the geometric mean), and none
    was moved to suit a measurement: plasma sheet 0.3 cm⁻³, 4.2 keV, 10 nT, boundary layer of it 1 keV and lobe
    0.01–0.03 cm⁻³, 300 eV, 20 nT (Koskinen 2011, doi:10.1007/978-3-642-00319-6); sheath 8 cm⁻³, 150 eV, 15 nT
    (Hughes 1995); upstream of shocks 5.6 nT and 48 eV, downstream 18 nT and 190 eV as the ion instrument of MMS has
    them; foreshock waves of about 4 nT at 0.01–0.04 Hz (Czaykowska et al. 2000, arXiv:physics/0009046); dayside
    field at the magnetopause some 40 nT and more, twice what holds the sheath off.

    Attributes
    ----------
    hot_eV : float
        Plasma of closed field lines is hotter, the lobe's and the sheath's cooler.
    strong_nT : float
        Hot plasma in a stronger field is the magnetosphere proper, in a weaker one the plasma sheet.
    thin_cm3 : float
        Cool plasma that is thinner is the lobe's.
    shocked_nT, shocked_eV : float
        Cool dense plasma is the sheath's where |B| · T is larger than their product.
    wavy : float
        Unshocked plasma whose |B| scatters by a larger share of its mean is the foreshock's.
    """

    hot_eV: float = 1500.0
    strong_nT: float = 20.0
    thin_cm3: float = 0.1
    shocked_nT: float = 10.0
    shocked_eV: float = 95.0
    wavy: float = 0.05

    def predict(self, examples: RegionExamples) -> FloatArray:
        """1 for the class that the rule calls, shape (n, 10); where a quantity is missing every class has a tenth."""
        cells = window_of(examples)
        field, density, heat = (cells[:, :, _COLUMN[name]] for name in ("B", "N", "T"))
        b, n, t = field.mean(axis=1), density.mean(axis=1), heat.mean(axis=1)
        wavy = field.std(axis=1) > self.wavy * b
        hot, thin = t > self.hot_eV, n < self.thin_cm3
        shocked = b * t > self.shocked_nT * self.shocked_eV
        called = np.select(
            [hot & (b > self.strong_nT), hot, thin, shocked, wavy],
            [
                REGIONS.index(region)
                for region in (
                    Region.MAGNETOSPHERE,
                    Region.PLASMA_SHEET,
                    Region.LOBE,
                    Region.MAGNETOSHEATH,
                    Region.FORESHOCK,
                )
            ],
            REGIONS.index(Region.SOLAR_WIND),
        )
        said: FloatArray = np.eye(len(REGIONS))[called]
        said[np.isnan(b + n + t)] = 1.0 / len(REGIONS)
        return said
