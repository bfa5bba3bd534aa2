"""The resonance of a field line as a model of cross-phase and amplitude ratio, and its least-squares fit.

Near the resonance the field of a driven field line is H(x, f) = h / (1 + i ζ), ζ = (x − x_R(f)) / δ, with x
counted poleward and numpy's transform (Pilipenko et al. 2013, doi:10.5047/eps.2013.02.007). For two stations
half a spacing on either side of the midpoint ζ = u ± β: β is half of the spacing in resonance widths, and
u = (f_R / 2w) (f / f_R − f_R / f) is the detuning of a driven damped oscillator, (f − f_R) / w close to the resonance,
w being the resonance width in frequency. The complex ratio E/P is then the circle ("hodograph")
a (1 + i (u + β)) / (1 + i (u − β)): its phase has a maximum 2 arctan β at f_R, where its modulus rises through a.
For two oscillators of the same Q, f_R is the geometric mean of their frequencies.
At a steep plasmapause f_R rises poleward, and phase and log modulus change sign together.

The fit takes phase and log ratio together with their error bars, as Boudouridis and Yizengaw (2020, "Non-linear
least square fitting technique for the determination of field line resonance frequency") do.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from monitor.types import BoolArray, FloatArray, IntArray

# Five points stand for the boxcar that smoothed the data.
_BOXCAR_OFFSETS = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
_STEP = 1e-4
# Always as many: a pair's fit must not depend on the company in its batch.
_ITERATIONS = 15


@dataclass(frozen=True, slots=True)
class Observation:
    """What a model is held against: strided bins of p pairs.

    Attributes
    ----------
    frequency_Hz : ndarray, shape (k,)
    phase_rad, log_ratio : ndarray, shape (p, k)
        Zero where the weights are zero.
    phase_weight, ratio_weight : ndarray, shape (p, k)
        Inverse variances, over the number of times that neighbouring bins repeat each other, so that
        sums are χ² of independent data; zero where the bin says nothing.
    smoothing_Hz : ndarray, shape (p,)
        Width of the boxcar that smoothed the data.
    """

    frequency_Hz: FloatArray
    phase_rad: FloatArray
    log_ratio: FloatArray
    phase_weight: FloatArray
    ratio_weight: FloatArray
    smoothing_Hz: FloatArray

    def rows(self, chosen: IntArray, turned: BoolArray | None = None) -> Observation:
        """The same for some of the pairs; where `turned`, as if the stations had changed places."""
        sign = 1.0 if turned is None else np.where(turned, -1.0, 1.0)[:, None]
        return Observation(
            self.frequency_Hz,
            sign * self.phase_rad[chosen],
            sign * self.log_ratio[chosen],
            self.phase_weight[chosen],
            self.ratio_weight[chosen],
            self.smoothing_Hz[chosen],
        )

    def windowed(self, window: FloatArray) -> Observation:
        """The same with the weights multiplied by `window`, shape (p, k)."""
        return replace(self, phase_weight=self.phase_weight * window, ratio_weight=self.ratio_weight * window)

    def independent(self) -> FloatArray:
        """Independent data (phase and ratio) that weigh something, shape (p,)."""
        spacing = self.frequency_Hz[1] - self.frequency_Hz[0]
        count: FloatArray = (
            2.0 * (self.phase_weight > 0.0).sum(axis=1) * np.minimum(1.0, spacing / self.smoothing_Hz)
        )
        return count


@dataclass(frozen=True, slots=True)
class HodographFit:
    """Least-squares fit of the resonance model (arrays of shape (p,)).

    `frequency_Hz`, `width_Hz` and `half_spacing` are f_R, w and β; `sigma_Hz` is the standard error of f_R with
    the scatter of the data and the disagreement of phase and ratio in it; `chi2` and `dof` belong to the window
    of the fit; `phase_share` and `ratio_share` say how much of the model each half of the data shows (1: all).
    """

    frequency_Hz: FloatArray
    width_Hz: FloatArray
    half_spacing: FloatArray
    sigma_Hz: FloatArray
    chi2: FloatArray
    dof: FloatArray
    phase_share: FloatArray
    ratio_share: FloatArray

    def rows(self, chosen: IntArray) -> HodographFit:
        """The same for some of the pairs."""
        return HodographFit(*(getattr(self, field.name)[chosen] for field in fields(self)))


def smoothed_model(
    frequency_Hz: FloatArray,
    resonance_Hz: FloatArray,
    width_Hz: FloatArray,
    half_spacing: FloatArray,
    smoothing_Hz: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Cross-phase (rad) and log amplitude ratio of a resonance as a smoothed spectrum shows them.

    Parameters
    ----------
    frequency_Hz : ndarray, shape (k,) or (p, k)
    resonance_Hz, width_Hz, half_spacing, smoothing_Hz : ndarray, shape (p,)
        f_R, w, β and the width of the boxcar.

    Returns
    -------
    phase_rad, log_ratio : ndarray, shape (p, k)
    """
    # With H = 1 / (1 + iζ), conj(H_P) H_E is (1 + ζ_P ζ_E + i (ζ_P − ζ_E)) / ((1 + ζ_P²) (1 + ζ_E²)); here ζ_P ζ_E
    # is u² − β² and ζ_P − ζ_E is 2β, so real arithmetic does.
    shape = (resonance_Hz.size, frequency_Hz.shape[-1])
    real, imaginary, poleward, equatorward = np.zeros((4, *shape))
    beta = half_spacing[:, None]
    relative = frequency_Hz / resonance_Hz[:, None]
    reach = (smoothing_Hz / resonance_Hz)[:, None]
    sharpness = (0.5 * resonance_Hz / width_Hz)[:, None]
    for offset in _BOXCAR_OFFSETS.tolist():
        # A boxcar may reach below zero frequency, where there is nothing.
        here = np.maximum(relative + offset * reach, 1e-3)
        u = sharpness * (here - 1.0 / here)
        middle = 1.0 + beta**2 + u**2
        p_power, e_power = middle + 2.0 * beta * u, middle - 2.0 * beta * u
        share = 1.0 / (p_power * e_power)
        real += (middle - 2.0 * beta**2) * share
        imaginary += share
        poleward += e_power * share
        equatorward += p_power * share
    log_ratio: FloatArray = 0.5 * np.log(equatorward / poleward)
    return np.arctan2(2.0 * beta * imaginary, real), log_ratio


def fit_window(frequency_Hz: FloatArray, resonance_Hz: FloatArray) -> FloatArray:
    """1 inside the window that a fit at f_R uses (an octave to either side), else 0; shape (p, k)."""
    centre = resonance_Hz[:, None]
    return ((frequency_Hz >= 0.5 * centre) & (frequency_Hz <= 2.0 * centre)).astype(np.float64)


def fit(
    observed: Observation, resonance_Hz: FloatArray, width_Hz: FloatArray, half_spacing: FloatArray
) -> HodographFit:
    """Refine f_R, w, β and the station factor a from starting values, for all pairs at once.

    Levenberg–Marquardt on (ln f_R, ln w, ln β, ln a) with the window held at the starting f_R.

    Parameters
    ----------
    observed : Observation
        Of p pairs, turned so that the phase peak is positive.
    resonance_Hz, width_Hz, half_spacing : ndarray, shape (p,)
        Starting values.
    """
    inside = observed.windowed(fit_window(observed.frequency_Hz, resonance_Hz))
    start = np.log(np.stack([resonance_Hz, width_Hz, half_spacing], axis=1))
    theta = start.copy()
    damping = np.full(theta.shape[0], 1e-2)
    residual, jacobian = _linearised(inside, theta)
    chi2 = np.einsum("pk,pk->p", residual, residual)
    for _ in range(_ITERATIONS):
        normal = np.einsum("pki,pkj->pij", jacobian, jacobian)
        gradient = np.einsum("pki,pk->pi", jacobian, residual)
        diagonal = np.einsum("pii->pi", normal)
        lhs = normal + damping[:, None, None] * np.eye(3) * (diagonal + 1e-9)[:, :, None]
        step = np.clip(np.linalg.solve(lhs, gradient[:, :, None])[:, :, 0], -0.5, 0.5)
        trial = _bounded(theta + step, start)
        new_residual, new_jacobian = _linearised(inside, trial)
        new_chi2 = np.einsum("pk,pk->p", new_residual, new_residual)
        better = new_chi2 < chi2
        theta[better], chi2[better] = trial[better], new_chi2[better]
        residual[better], jacobian[better] = new_residual[better], new_jacobian[better]
        damping = np.where(better, damping * 0.3, damping * 5.0)
    return _report(inside, theta, residual, jacobian, chi2)


def _bounded(theta: FloatArray, start: FloatArray) -> FloatArray:
    """Keep f_R within a third of an octave of the start, and w and β where the model means something."""
    bounded = theta.copy()
    bounded[:, 0] = np.clip(theta[:, 0], start[:, 0] - 0.25, start[:, 0] + 0.25)
    bounded[:, 1] = np.clip(theta[:, 1], theta[:, 0] + np.log(0.02), theta[:, 0] + np.log(1.0))
    bounded[:, 2] = np.clip(theta[:, 2], np.log(0.03), np.log(3.0))
    return bounded


def _whitened(observed: Observation, phase_rad: FloatArray, log_ratio: FloatArray) -> FloatArray:
    """Phase and log ratio in units of their errors, side by side (p, 2k), the station factor fitted out."""
    weight = observed.ratio_weight
    mean = (weight * log_ratio).sum(axis=1, keepdims=True) / np.maximum(
        weight.sum(axis=1, keepdims=True), 1e-30
    )
    return np.concatenate(
        [np.sqrt(observed.phase_weight) * phase_rad, np.sqrt(weight) * (log_ratio - mean)], axis=1
    )


def _model(observed: Observation, theta: FloatArray) -> FloatArray:
    resonance, width, half_spacing = np.exp(theta).T
    return _whitened(
        observed,
        *smoothed_model(observed.frequency_Hz, resonance, width, half_spacing, observed.smoothing_Hz),
    )


def _linearised(observed: Observation, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted residuals (p, 2k) and Jacobian (p, 2k, 3)."""
    centre = _model(observed, theta)
    residual = _whitened(observed, observed.phase_rad, observed.log_ratio) - centre
    columns = [(_model(observed, theta + step) - centre) / _STEP for step in _STEP * np.eye(3)]
    return residual, np.stack(columns, axis=2)


def _report(
    observed: Observation, theta: FloatArray, residual: FloatArray, jacobian: FloatArray, chi2: FloatArray
) -> HodographFit:
    resonance, width, half_spacing = np.exp(theta).T
    dof = np.maximum(1.0, observed.independent() - 4.0)
    normal = np.einsum("pki,pkj->pij", jacobian, jacobian) + 1e-9 * np.eye(3)
    variance = np.linalg.inv(normal)[:, 0, 0] * np.maximum(1.0, chi2 / dof)
    model = _model(observed, theta)
    slope = jacobian[:, :, 0]
    count = observed.frequency_Hz.size
    shifts, shares = [], []
    for half in (slice(0, count), slice(count, 2 * count)):
        shifts.append(_projection(residual[:, half], slope[:, half]))
        shares.append(1.0 + _projection(residual[:, half], model[:, half]))
    # Where phase and ratio would each put the resonance elsewhere, half of that is uncertainty.
    disagreement = 0.5 * np.clip(np.abs(shifts[0] - shifts[1]), 0.0, 0.5)
    return HodographFit(
        frequency_Hz=resonance,
        width_Hz=width,
        half_spacing=half_spacing,
        sigma_Hz=resonance * np.sqrt(variance + disagreement**2),
        chi2=chi2,
        dof=dof,
        phase_share=shares[0],
        ratio_share=shares[1],
    )


def _projection(data: FloatArray, onto: FloatArray) -> FloatArray:
    """Coefficient of `onto` in `data`, row by row, shape (p,)."""
    coefficient: FloatArray = (data * onto).sum(axis=1) / np.maximum((onto**2).sum(axis=1), 1e-12)
    return coefficient
