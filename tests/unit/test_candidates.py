"""Candidates of a resonance: where they lie, in what order, and what they look like from nearby."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flr_kit import FREQUENCY_HZ, blank, resonant, swapped
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.candidates import (
    CANDIDATES,
    GAIN_CANDIDATES,
    NAMES,
    FrequencyCandidates,
    frequency_candidates,
)
from monitor.science.features import PairSpectra, scale
from monitor.science.resonance import expected_frequency_Hz
from monitor.types import FloatArray

PHYSICAL = GAIN_CANDIDATES
WITHIN = 0.04


def found(spectra: PairSpectra, *, turned: bool = False) -> FrequencyCandidates:
    return frequency_candidates(spectra, scale(spectra), turned=turned)


def feature(candidates: FrequencyCandidates, name: str) -> FloatArray:
    return candidates.features[:, :, NAMES.index(name)].astype(np.float64)


def nearest(candidates: FrequencyCandidates, truth_Hz: FloatArray) -> FloatArray:
    """Distance in ln f of the nearest candidate from the truth."""
    off = np.abs(np.log(candidates.frequency_Hz / truth_Hz[:, None]))
    return np.where(candidates.valid, off, np.inf).min(axis=1)


def mixed(pairs: int = 40, *, error: float = 0.3, turned: bool = False) -> tuple[PairSpectra, FloatArray]:
    """Noisy resonances at many L, and their frequencies."""
    rng = np.random.default_rng(5)
    shells = rng.uniform(1.6, 6.0, pairs)
    centres = expected_frequency_Hz(shells) * np.exp(rng.uniform(-0.3, 0.4, pairs))
    centres = np.clip(centres, 4e-3, 75e-3)
    return resonant(shells, centres, error=error, turned=turned), centres


class TestPlaces:
    @settings(max_examples=60)
    @given(
        l_shell=st.floats(1.6, 6.0),
        x=st.floats(-0.5, 0.8),
        relative_width=st.floats(0.1, 0.35),
        half_spacing=st.floats(0.25, 0.9),
        turned=st.booleans(),
    )
    def test_clean_resonance_has_a_candidate_in_its_own_reading(
        self, l_shell: float, x: float, relative_width: float, half_spacing: float, turned: bool
    ) -> None:
        centre = expected_frequency_Hz(np.array([l_shell])) * np.exp(x)
        if not 4e-3 < centre[0] < 75e-3:
            return
        spectra = resonant(
            l_shell, centre, relative_width=relative_width, half_spacing=half_spacing, turned=turned
        )
        candidates = found(spectra, turned=turned)
        assert nearest(candidates, centre)[0] < WITHIN
        assert candidates.valid[0, PHYSICAL]
        assert candidates.frequency_Hz[0, PHYSICAL] == pytest.approx(centre[0], rel=WITHIN)

    @pytest.mark.parametrize("turned", [False, True])
    def test_resonance_in_the_other_reading_is_no_physical_candidate(self, turned: bool) -> None:
        spectra, _ = mixed(20, error=0.0, turned=turned)
        assert found(spectra, turned=turned).valid[:, PHYSICAL].all()
        other = found(spectra, turned=not turned)
        assert not other.valid[:, PHYSICAL].any()
        assert (feature(other, "physical") == 0.0).all()

    @pytest.mark.parametrize("error", [0.0, 0.3])
    def test_turned_reading_is_the_upright_one_of_exchanged_stations(self, error: float) -> None:
        spectra, _ = mixed(error=error)
        turned, exchanged = found(spectra, turned=True), found(swapped(spectra))
        assert np.array_equal(turned.valid, exchanged.valid)
        np.testing.assert_allclose(turned.frequency_Hz, exchanged.frequency_Hz, rtol=1e-5)
        np.testing.assert_allclose(turned.features, exchanged.features, rtol=2e-3, atol=2e-3)

    def test_noisy_resonances_have_a_candidate_nearby(self) -> None:
        spectra, centres = mixed()
        assert (nearest(found(spectra), centres) < 0.1).mean() > 0.9

    def test_gain_candidates_are_the_highest_maxima_of_the_profile(self) -> None:
        spectra, _ = mixed(15)
        candidates, profile = found(spectra), spectra.seen.profile
        expected = expected_frequency_Hz(spectra.l_shell)
        for pair in range(15):
            inside = np.abs(np.log(profile.frequency_Hz / expected[pair]) - 0.15) < 1.57
            gain = np.where(inside, profile.gain[0, pair], np.nan)
            peaks = [
                at for at in range(1, gain.size - 1) if gain[at - 1] <= gain[at] and gain[at] > gain[at + 1]
            ]
            best = sorted(peaks, key=lambda at: -gain[at])[:GAIN_CANDIDATES]
            told = candidates.frequency_Hz[pair, :GAIN_CANDIDATES][candidates.valid[pair, :GAIN_CANDIDATES]]
            assert told == pytest.approx(profile.frequency_Hz[best])

    def test_hump_of_both_powers_is_a_candidate(self) -> None:
        """A spectrum whose phase tells nothing, with a bump in the power of both stations."""
        bell = 2.0 * np.exp(-0.5 * (np.log(FREQUENCY_HZ / 20e-3) / 0.1) ** 2)
        spectra = blank(1, cross_phase_rad=0.0, amplitude_ratio=1.0, coherence=0.05)
        power = np.stack([bell, bell + 1.0])[None] - 2.0 * np.log(FREQUENCY_HZ)
        candidates = found(replace(spectra, log_power=power))
        hump = slice(GAIN_CANDIDATES + 1, None)
        assert candidates.valid[0, hump][0]
        assert candidates.frequency_Hz[0, hump][0] == pytest.approx(20e-3, rel=0.05)
        assert feature(candidates, "hump")[0, hump][0] > 1.0


class TestOrderAndMarks:
    def test_gains_and_humps_fall_from_place_to_place(self) -> None:
        spectra, _ = mixed()
        candidates = found(spectra)
        for name, places in (
            ("gain", slice(0, GAIN_CANDIDATES)),
            ("hump", slice(GAIN_CANDIDATES + 1, None)),
        ):
            height = np.where(candidates.valid, feature(candidates, name), -np.inf)[:, places]
            with np.errstate(invalid="ignore"):
                fall = np.diff(height, axis=1)
            assert (fall[np.isfinite(fall)] <= 0.0).all(), name
            # What is valid comes first.
            assert (np.diff(candidates.valid[:, places].astype(int), axis=1) <= 0).all()

    def test_places_without_a_candidate_are_marked_and_whole(self) -> None:
        # Of nothing the estimate still fits a model, upright; the reversed reading has no candidate at all.
        candidates = found(blank(2), turned=True)
        assert not candidates.valid.any()
        assert np.flatnonzero(found(blank(1)).valid[0]).tolist() == [PHYSICAL]
        assert candidates.frequency_Hz == pytest.approx(
            np.repeat(expected_frequency_Hz(np.full(2, 2.9))[:, None], CANDIDATES, axis=1)
        )
        assert candidates.features.shape == (2, CANDIDATES, len(NAMES))

    def test_unknown_power_has_no_hump_candidates(self) -> None:
        spectra, _ = mixed(6)
        candidates = found(replace(spectra, log_power=None))
        assert not candidates.valid[:, GAIN_CANDIDATES + 1 :].any()
        assert candidates.valid[:, 0].any()

    def test_candidates_lie_on_the_scaled_grid(self) -> None:
        spectra, _ = mixed()
        x = np.log(found(spectra).frequency_Hz / expected_frequency_Hz(spectra.l_shell)[:, None])
        valid = found(spectra).valid
        assert (x[valid] > -1.45).all()
        assert (x[valid] < 1.75).all()


class TestFeatures:
    def test_every_column_has_a_name_of_its_own(self) -> None:
        assert len(NAMES) == len(set(NAMES)) == found(mixed(2)[0]).features.shape[2]

    @pytest.mark.parametrize("turned", [False, True])
    def test_columns_hold_what_their_names_say(self, turned: bool) -> None:
        spectra, _ = mixed(10)
        scaled = scale(spectra)
        candidates = frequency_candidates(spectra, scaled, turned=turned)
        x = np.log(candidates.frequency_Hz / scaled.expected_Hz[:, None])
        gain = spectra.seen.profile.gain
        side, valid = int(turned), candidates.valid
        assert feature(candidates, "x") == pytest.approx(x, abs=1e-6)
        assert feature(candidates, "x_from_first") == pytest.approx(x - x[:, :1], abs=1e-6)
        assert (feature(candidates, "kind") == np.arange(CANDIDATES)).all()
        for name, values in (
            ("l_shell", spectra.l_shell),
            ("smoothing_bins", spectra.smoothing_bins),
            ("step_s", spectra.step_s),
            ("evidence", spectra.seen.evidence),
            ("physical", valid[:, PHYSICAL]),
        ):
            assert feature(candidates, name) == pytest.approx(
                np.repeat(values.astype(np.float64)[:, None], CANDIDATES, axis=1), rel=1e-6
            ), name
        first = valid[:, 0]
        at = [
            int(np.abs(np.log(spectra.seen.profile.frequency_Hz / f)).argmin())
            for f in candidates.frequency_Hz[:, 0]
        ]
        rows = np.arange(10)
        assert feature(candidates, "gain")[first, 0] == pytest.approx(gain[side, rows, at][first])
        assert feature(candidates, "gain_reversed")[first, 0] == pytest.approx(
            gain[1 - side, rows, at][first]
        )
        on_grid = (
            np.abs(np.log(spectra.seen.profile.frequency_Hz / scaled.expected_Hz[:, None]) - 0.15) < 1.57
        )
        top = np.nanmax(np.where(on_grid, gain[side], np.nan), axis=1)
        assert feature(candidates, "top_gain")[:, 0] == pytest.approx(top)
        below = feature(candidates, "gain") - feature(candidates, "top_gain")
        assert feature(candidates, "gain_below_top") == pytest.approx(below, abs=1e-3, nan_ok=True)
        physical = valid[:, PHYSICAL]
        assert feature(candidates, "x_from_physical")[physical, PHYSICAL] == pytest.approx(0.0, abs=1e-6)
        assert np.isnan(feature(candidates, "x_from_physical")[~physical]).all()

    @pytest.mark.parametrize("turned", [False, True])
    def test_spectra_along_a_candidate_are_those_about_it(self, turned: bool) -> None:
        spectra, _ = mixed(10)
        scaled = scale(spectra)
        candidates = frequency_candidates(spectra, scaled, turned=turned)
        x = np.log(candidates.frequency_Hz / scaled.expected_Hz[:, None])
        sign, order = (-1.0, (1, 0)) if turned else (1.0, (0, 1))
        sources = {
            "cross_phase": sign * scaled.cross_phase_rad,
            "log_amplitude_ratio": sign * scaled.log_ratio,
            "coherence": scaled.coherence,
            "power_poleward": scaled.power[:, order[0]],
            "power_equatorward": scaled.power[:, order[1]],
        }
        for name, values in sources.items():
            for offset in (-9, -1, 0, 4, 9):
                told = feature(candidates, f"{name}_{offset:+d}")
                for pair, place in zip(*np.nonzero(candidates.valid), strict=True):
                    wanted = np.interp(x[pair, place] + 0.05 * offset, scaled.x, values[pair])
                    if np.isfinite(told[pair, place]):
                        assert told[pair, place] == pytest.approx(wanted, abs=1e-4)
                assert np.isfinite(told[candidates.valid]).mean() > 0.8

    def test_candidate_at_a_clean_resonance_stands_on_the_top_of_the_phase(self) -> None:
        spectra, _ = mixed(10, error=0.0)
        candidates = found(spectra)
        heights = [feature(candidates, f"cross_phase_{offset:+d}")[:, PHYSICAL] for offset in range(-9, 10)]
        assert (np.abs(np.nanargmax(heights, axis=0) - 9) <= 1).all()


class TestCompanyAndRubbish:
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
    @pytest.mark.parametrize("turned", [False, True])
    def test_pair_does_not_depend_on_its_company_to_the_last_bit(self, size: int, turned: bool) -> None:
        spectra, _ = mixed(24)
        whole = found(spectra, turned=turned)
        order = np.random.default_rng(size).permutation(24)
        for start in range(0, 24, size):
            rows = order[start : start + size]
            part = found(spectra.rows(rows), turned=turned)
            assert part.frequency_Hz.tobytes() == whole.frequency_Hz[rows].tobytes()
            assert part.features.tobytes() == whole.features[rows].tobytes()
            assert np.array_equal(part.valid, whole.valid[rows])

    def test_no_pairs_have_no_candidates(self) -> None:
        none = mixed(2)[0].rows(np.arange(0))
        assert found(none).features.shape == (0, CANDIDATES, len(NAMES))

    @pytest.mark.parametrize("turned", [False, True])
    @pytest.mark.parametrize(
        "values",
        [
            {"cross_phase_rad": 0.0, "amplitude_ratio": 1.0, "coherence": 1.0, "log_power": 0.0},
            {"cross_phase_rad": 0.0, "amplitude_ratio": 0.0, "coherence": 0.0, "log_power": -np.inf},
            {"cross_phase_rad": np.pi, "amplitude_ratio": np.inf, "coherence": 1.0, "log_power": 88.0},
            {"cross_phase_rad": np.nan, "amplitude_ratio": np.nan, "coherence": 0.5, "log_power": 1.0},
        ],
        ids=["constant", "zero", "saturated", "masked"],
    )
    def test_rubbish_gives_numbers_or_nan(self, values: dict[str, float], turned: bool) -> None:
        candidates = found(blank(2, **values), turned=turned)
        assert candidates.features.dtype == np.float32
        assert not np.isinf(candidates.features).any()
        assert np.isfinite(candidates.frequency_Hz).all()
        assert (candidates.frequency_Hz > 0.0).all()
