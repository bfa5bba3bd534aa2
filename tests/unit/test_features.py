"""Features: which columns there are, what the scaled grid keeps of a spectrum, and that a row stands for itself."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from flr_kit import FREQUENCY_HZ, blank, resonant, swapped
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.science.features import (
    GROUPS,
    FeatureSchema,
    PairSpectra,
    ScaledSpectra,
    finite_or_nan,
    scale,
    window_features,
)
from monitor.science.resonance import expected_frequency_Hz
from monitor.types import FloatArray

SCHEMA = FeatureSchema()
BIN_HZ = float(FREQUENCY_HZ[1] - FREQUENCY_HZ[0])
STEP = 0.05


def mixed(pairs: int = 40, *, error: float = 0.3, step_s: float = 1.0) -> PairSpectra:
    """Noisy resonances at many L."""
    rng = np.random.default_rng(3)
    shells = rng.uniform(1.6, 6.4, pairs)
    centres = expected_frequency_Hz(shells) * np.exp(rng.uniform(-0.3, 0.4, pairs))
    return resonant(shells, centres, error=error, step_s=step_s)


def features(spectra: PairSpectra, schema: FeatureSchema = SCHEMA) -> FloatArray:
    return window_features(spectra, scale(spectra), schema).astype(np.float64)


def column(spectra: PairSpectra, name: str) -> FloatArray:
    return features(spectra)[:, SCHEMA.names.index(name)]


def cell_edges_Hz(scaled: ScaledSpectra, pair: int, cell: int) -> tuple[float, float]:
    """Ends of a cell that is a step of the grid wide, but no narrower than two Fourier bins."""
    ends = scaled.expected_Hz[pair] * np.exp(scaled.x[cell] + np.array([-0.5, 0.5]) * STEP)
    half = max(0.5 * (ends[1] - ends[0]), BIN_HZ)
    return float(ends.mean() - half), float(ends.mean() + half)


def mean_over(values: FloatArray, low_Hz: float, high_Hz: float) -> float:
    """Mean of a spectrum, a step at every bin, by twenty thousand points between two frequencies; NaN outside it."""
    points = low_Hz + (high_Hz - low_Hz) * (np.arange(20_000) + 0.5) / 20_000
    bins = np.rint((points - FREQUENCY_HZ[0]) / BIN_HZ).astype(np.int64)
    inside = (bins >= 0) & (bins < FREQUENCY_HZ.size)
    found = values[bins[inside]]
    return float(np.nanmean(found)) if np.isfinite(found).any() else np.nan


class TestSchema:
    def test_every_column_has_a_name_of_its_own(self) -> None:
        names = SCHEMA.names
        assert len(names) == len(set(names)) == features(mixed(2)).shape[1]

    @pytest.mark.parametrize(
        "groups", [(), ("cross_phase",), ("coherence", "power"), ("amplitude_ratio", "physical"), GROUPS]
    )
    def test_subset_has_the_columns_of_its_names(self, groups: tuple[str, ...]) -> None:
        spectra, schema = mixed(6), FeatureSchema(groups)
        place = [SCHEMA.names.index(name) for name in schema.names]
        assert np.array_equal(features(spectra, schema), features(spectra)[:, place], equal_nan=True)
        assert schema.names[-3:] == ("l_shell", "smoothing_bins", "step_s")

    def test_paper_alone_is_the_cross_phase_and_the_pair(self) -> None:
        names = FeatureSchema(("cross_phase",)).names
        assert len(names) == 64 + 3
        assert all(name.startswith("cross_phase_") for name in names[:64])

    @pytest.mark.parametrize("groups", [("phase",), ("coherence", "cross_phase"), ("power", "power")])
    def test_unknown_or_disordered_groups_are_refused_by_name(self, groups: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match=rf"groups must be some of .*got \('{groups[0]}'"):
            FeatureSchema(groups)

    def test_columns_hold_what_their_names_say(self) -> None:
        spectra = mixed(5)
        scaled, seen = scale(spectra), spectra.seen
        profile = seen.profile
        top = np.nanargmax(profile.gain, axis=2)
        wanted = {
            "cross_phase_07": scaled.cross_phase_rad[:, 7],
            "log_amplitude_ratio_00": scaled.log_ratio[:, 0],
            "coherence_33": scaled.coherence[:, 33],
            "power_poleward_20": scaled.power[:, 0, 20],
            "power_equatorward_20": scaled.power[:, 1, 20],
            "power_slope_poleward": scaled.slope[:, 0],
            "power_slope_equatorward": scaled.slope[:, 1],
            "physical_reversed": seen.reversed,
            "physical_log_frequency": np.log(seen.frequency_Hz / expected_frequency_Hz(spectra.l_shell)),
            "physical_log_relative_sigma": np.log(seen.sigma_Hz / seen.frequency_Hz),
            "physical_evidence": seen.evidence,
            "physical_accepted": seen.accepted,
            "physical_timing_offset_s": seen.timing_offset_s,
            "physical_scatter": seen.scatter,
            "physical_top_gain": np.nanmax(profile.gain[0], axis=1),
            "physical_top_gain_reversed": np.nanmax(profile.gain[1], axis=1),
            "physical_top_at_reversed": np.log(profile.frequency_Hz[top[1]] / scaled.expected_Hz),
            "l_shell": spectra.l_shell,
            "smoothing_bins": spectra.smoothing_bins,
            "step_s": spectra.step_s,
        }
        for name, values in wanted.items():
            expected = np.asarray(values, dtype=np.float64)
            assert column(spectra, name) == pytest.approx(expected, rel=1e-6, nan_ok=True), name

    def test_json_of_the_card_tells_grid_and_names(self) -> None:
        document = FeatureSchema(("coherence",)).to_json()
        assert document["groups"] == ["coherence"]
        assert document["names"][:2] == ["coherence_00", "coherence_01"]
        grid, x = document["grid"], scale(mixed(1)).x
        assert x == pytest.approx(grid["first"] + grid["step"] * (np.arange(grid["count"]) + 0.5))


class TestScaling:
    @settings(max_examples=60)
    @given(
        l_shell=st.floats(1.5, 6.5),
        x=st.floats(-0.9, 1.3),
        relative_width=st.floats(0.08, 0.4),
        half_spacing=st.floats(0.2, 0.9),
    )
    def test_resonance_peaks_in_its_cell_at_any_l(
        self, l_shell: float, x: float, relative_width: float, half_spacing: float
    ) -> None:
        centre = float(expected_frequency_Hz(np.array([l_shell]))[0]) * np.exp(x)
        if not 2.0e-3 < centre < 90e-3:
            return
        spectra = resonant(
            l_shell, centre, smoothing_bins=1, relative_width=relative_width, half_spacing=half_spacing
        )
        scaled = scale(spectra)
        peak = scaled.x[np.nanargmax(scaled.cross_phase_rad[0])]
        # Half a cell for the grid, and what a cell of two bins is wider than a step.
        assert abs(peak - x) <= 0.5 * max(STEP, 2.0 * BIN_HZ / centre) + 0.01

    def test_same_resonance_at_every_l_has_the_same_features(self) -> None:
        shells = np.array([1.8, 2.4, 3.0])
        scaled = scale(resonant(shells, expected_frequency_Hz(shells), smoothing_bins=1))
        shared = np.isfinite(scaled.cross_phase_rad).all(axis=0)
        assert shared.sum() > 30
        assert scaled.cross_phase_rad[1][shared] == pytest.approx(scaled.cross_phase_rad[0][shared], abs=0.05)
        assert scaled.log_ratio[2][shared] == pytest.approx(scaled.log_ratio[0][shared], abs=0.05)

    @pytest.mark.parametrize("step_s", [1.0, 10.0])
    def test_cells_are_the_means_of_their_bins(self, step_s: float) -> None:
        spectra = mixed(12, step_s=step_s)
        scaled = scale(spectra)
        assert spectra.log_power is not None
        for pair in range(12):
            for cell in range(0, 64, 3):
                edges = cell_edges_Hz(scaled, pair, cell)
                wanted = mean_over(np.log(spectra.amplitude_ratio[pair].astype(np.float64)), *edges)
                if np.isfinite(scaled.log_ratio[pair, cell]):
                    assert scaled.log_ratio[pair, cell] == pytest.approx(wanted, abs=2e-3)
                    level = scaled.power[pair, 0, cell] + scaled.slope[pair, 0] * scaled.x[cell]
                    other = scaled.power[pair, 0, cell - 3] + scaled.slope[pair, 0] * scaled.x[cell - 3]
                    if cell and np.isfinite(other):
                        before = mean_over(spectra.log_power[pair, 0], *cell_edges_Hz(scaled, pair, cell - 3))
                        rise = mean_over(spectra.log_power[pair, 0], *edges) - before
                        assert level - other == pytest.approx(rise, abs=2e-2)

    def test_mean_of_angles_is_taken_across_the_cut(self) -> None:
        spectra = blank(1, amplitude_ratio=1.0, coherence=0.8)
        sides = np.where(np.arange(FREQUENCY_HZ.size) % 2, np.pi - 0.1, -np.pi + 0.1)
        scaled = scale(replace(spectra, cross_phase_rad=sides[None].astype(np.float32)))
        known = np.isfinite(scaled.cross_phase_rad)
        assert known.sum() > 40
        assert (np.abs(scaled.cross_phase_rad[known]) > np.pi - 0.11).all()

    def test_mean_of_angles_is_weighted_by_the_root_of_coherence(self) -> None:
        rng = np.random.default_rng(11)
        phase = rng.uniform(-np.pi, np.pi, FREQUENCY_HZ.size)
        coherence = rng.uniform(0.0, 1.0, FREQUENCY_HZ.size)
        spectra = replace(
            blank(1, amplitude_ratio=1.0),
            cross_phase_rad=phase[None].astype(np.float32),
            coherence=coherence[None].astype(np.float32),
        )
        scaled = scale(spectra)
        arrow = np.sqrt(coherence) * np.exp(1j * phase)
        for cell in np.flatnonzero(np.isfinite(scaled.cross_phase_rad[0]))[::4].tolist():
            edges = cell_edges_Hz(scaled, 0, cell)
            wanted = np.angle(mean_over(arrow.real, *edges) + 1j * mean_over(arrow.imag, *edges))
            assert np.angle(np.exp(1j * (scaled.cross_phase_rad[0, cell] - wanted))) == pytest.approx(
                0.0, abs=0.02
            )

    def test_bins_masked_in_slow_samples_are_nan(self) -> None:
        spectra = resonant([2.9, 4.5], [20e-3, 9e-3], step_s=10.0)
        scaled = scale(spectra)
        f_Hz = scaled.expected_Hz[:, None] * np.exp(scaled.x)
        above = f_Hz > 40e-3 * np.exp(STEP) + BIN_HZ
        below = (f_Hz < 40e-3 * np.exp(-STEP) - BIN_HZ) & (f_Hz > FREQUENCY_HZ[0] + 2.0 * BIN_HZ)
        assert above.any()
        for values in (
            scaled.cross_phase_rad,
            scaled.log_ratio,
            scaled.coherence,
            *scaled.power.swapaxes(0, 1),
        ):
            assert np.isnan(values[above]).all()
            assert np.isfinite(values[below]).all()

    def test_cells_beyond_the_spectrum_are_nan(self) -> None:
        scaled = scale(resonant([1.6, 6.4], [50e-3, 5e-3]))
        f_Hz = scaled.expected_Hz[:, None] * np.exp(scaled.x)
        outside = (f_Hz > FREQUENCY_HZ[-1] * np.exp(STEP)) | (f_Hz < FREQUENCY_HZ[0] * np.exp(-STEP) - BIN_HZ)
        assert outside.any()
        assert np.isnan(scaled.cross_phase_rad[outside]).all()

    def test_narrow_cells_at_high_l_hold_two_bins_and_leave_no_holes(self) -> None:
        scaled = scale(resonant([6.5], [4.6e-3]))
        f_Hz = scaled.expected_Hz[0] * np.exp(scaled.x)
        narrow = (f_Hz * STEP < BIN_HZ) & (f_Hz > FREQUENCY_HZ[0] + BIN_HZ)
        assert narrow.sum() > 5
        assert np.isfinite(scaled.cross_phase_rad[0, narrow]).all()
        sharp = np.zeros((1, FREQUENCY_HZ.size), np.float32)
        at = int(np.abs(FREQUENCY_HZ - f_Hz[narrow][2]).argmin())
        sharp[0, at] = 1.0
        of_one = scale(replace(blank(1, cross_phase_rad=0.0, amplitude_ratio=1.0), coherence=sharp,
                               l_shell=np.array([6.5])))  # fmt: skip
        assert of_one.coherence.max() == pytest.approx(0.5, abs=1e-6)

    def test_cell_with_less_than_one_known_bin_is_nan(self) -> None:
        spectra = resonant([2.9], [20e-3])
        only = np.full_like(spectra.cross_phase_rad, np.nan)
        only[0, 136] = 0.4
        scaled = scale(replace(spectra, cross_phase_rad=only))
        known = np.flatnonzero(np.isfinite(scaled.cross_phase_rad[0]))
        assert known.size == 1
        assert scaled.cross_phase_rad[0, known] == pytest.approx(0.4, abs=1e-6)

    def test_line_through_the_power_is_told_as_its_slope(self) -> None:
        spectra = blank(1, cross_phase_rad=0.0, amplitude_ratio=1.0, coherence=0.5)
        lines = np.stack([-2.0 * np.log(FREQUENCY_HZ), 1.0 - 3.5 * np.log(FREQUENCY_HZ)])[None]
        scaled = scale(replace(spectra, log_power=lines))
        # The mean of a logarithm over a cell is not that of its middle: hence not exactly.
        assert scaled.slope[0] == pytest.approx([-2.0, -3.5], abs=0.02)
        assert np.nanmax(np.abs(scaled.power)) < 0.05

    def test_unknown_power_leaves_the_rest(self) -> None:
        spectra = mixed(3)
        with_power, without = scale(spectra), scale(replace(spectra, log_power=None))
        assert np.isnan(without.power).all()
        assert np.isnan(without.slope).all()
        assert np.array_equal(without.cross_phase_rad, with_power.cross_phase_rad, equal_nan=True)

    def test_unknown_l_raises(self) -> None:
        with pytest.raises(ValueError, match="L must be known"):
            scale(replace(mixed(2), l_shell=np.array([2.9, np.nan])))


class TestReversal:
    def test_reversing_twice_changes_nothing(self) -> None:
        scaled = scale(mixed())
        for field in fields(ScaledSpectra):
            once = getattr(scaled.reversed().reversed(), field.name)
            assert np.array_equal(once, getattr(scaled, field.name), equal_nan=True), field.name

    def test_reversed_is_what_exchanged_stations_give(self) -> None:
        spectra = mixed()
        turned, exchanged = scale(spectra).reversed(), scale(swapped(spectra))
        for field in fields(ScaledSpectra):
            np.testing.assert_allclose(
                getattr(turned, field.name), getattr(exchanged, field.name), atol=2e-6, err_msg=field.name
            )

    def test_rows_are_those_of_the_pairs(self) -> None:
        spectra = mixed(7)
        chosen = np.array([5, 0, 2])
        whole, some = scale(spectra), scale(spectra).rows(chosen)
        alone = scale(spectra.rows(chosen))
        assert np.array_equal(some.power, whole.power[chosen], equal_nan=True)
        for field in fields(ScaledSpectra):
            one, other = getattr(some, field.name), getattr(alone, field.name)
            assert np.array_equal(one, other, equal_nan=True), field.name


class TestHumps:
    def bumps(self, poleward: float, equatorward: float) -> ScaledSpectra:
        """Red power with a bump at 20 mHz at either station."""
        bell = np.exp(-0.5 * (np.log(FREQUENCY_HZ / 20e-3) / 0.1) ** 2)
        rows = np.stack([height * bell - 2.0 * np.log(FREQUENCY_HZ) for height in (poleward, equatorward)])
        spectra = blank(1, cross_phase_rad=0.0, amplitude_ratio=1.0, coherence=0.5)
        return scale(replace(spectra, log_power=rows[None]))

    def test_bump_of_both_stations_is_a_hump_at_its_place(self) -> None:
        scaled = self.bumps(2.0, 1.2)
        hump = scaled.humps()[0]
        f_Hz = scaled.expected_Hz[0] * np.exp(scaled.x[np.nanargmax(hump)])
        assert f_Hz == pytest.approx(20e-3, rel=STEP)
        # The mean of seventeen steps about a bell of two steps' width takes 0.29 of it away.
        assert np.nanmax(hump) == pytest.approx(1.2 * (1.0 - 0.29), abs=0.1)

    def test_bump_of_one_station_is_none(self) -> None:
        assert np.nanmax(self.bumps(2.0, 0.0).humps()) < 0.15

    def test_hump_is_the_same_for_exchanged_stations(self) -> None:
        scaled = self.bumps(2.0, 1.2)
        assert np.array_equal(scaled.humps(), scaled.reversed().humps(), equal_nan=True)

    def test_unknown_power_of_one_station_is_no_hump(self) -> None:
        scaled = self.bumps(1.0, 1.0)
        power = scaled.power.copy()
        power[0, 1] = np.nan
        assert np.isnan(replace(scaled, power=power).humps()).all()


class TestCompanyAndRubbish:
    @pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 17])
    def test_row_does_not_depend_on_its_company_to_the_last_bit(self, size: int) -> None:
        spectra = mixed(40)
        whole = window_features(spectra, scale(spectra), SCHEMA)
        order = np.random.default_rng(size).permutation(40)
        for start in range(0, 40, size):
            rows = order[start : start + size]
            some = spectra.rows(rows)
            part = window_features(some, scale(some), SCHEMA)
            assert part.tobytes() == whole[rows].tobytes()

    def test_no_pairs_have_no_rows(self) -> None:
        none = mixed(2).rows(np.arange(0))
        assert window_features(none, scale(none), SCHEMA).shape == (0, len(SCHEMA.names))

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"cross_phase_rad": 0.0, "amplitude_ratio": 1.0, "coherence": 1.0, "log_power": 0.0},
            {"cross_phase_rad": 0.0, "amplitude_ratio": 0.0, "coherence": 0.0, "log_power": -np.inf},
            {"cross_phase_rad": np.pi, "amplitude_ratio": np.inf, "coherence": 1.0, "log_power": np.inf},
            {"cross_phase_rad": -np.pi, "amplitude_ratio": 1e38, "coherence": 1.0, "log_power": 88.0},
            {"cross_phase_rad": 0.1, "amplitude_ratio": 1.0, "coherence": np.nan, "log_power": np.nan},
            {"cross_phase_rad": np.nan, "amplitude_ratio": np.nan, "coherence": 0.5, "log_power": 1.0},
            {"cross_phase_rad": 50.0, "amplitude_ratio": -1.0, "coherence": 1.000001, "log_power": 1e5},
        ],
        ids=["nan", "constant", "zero", "saturated", "huge", "incoherent", "masked", "impossible"],
    )
    def test_rubbish_gives_numbers_or_nan(self, values: dict[str, float]) -> None:
        spectra = blank(3, **values)
        table = window_features(spectra, scale(spectra), SCHEMA)
        assert table.dtype == np.float32
        assert table.shape == (3, len(SCHEMA.names))
        assert not np.isinf(table).any()
        assert (np.abs(table[np.isfinite(table)]) <= 1e6).all()
        assert (table[:, SCHEMA.names.index("l_shell")] == np.float32(2.9)).all()

    def test_amplitude_ratio_is_cut_at_four_either_way(self) -> None:
        for ratio, wanted in ((1e-9, -4.0), (1e9, 4.0)):
            scaled = scale(blank(1, cross_phase_rad=0.0, amplitude_ratio=ratio, coherence=0.5))
            assert np.nanmin(scaled.log_ratio) == np.nanmax(scaled.log_ratio) == wanted

    def test_infinite_and_senseless_numbers_become_nan(self) -> None:
        table = finite_or_nan(np.array([[1.5, np.inf, -np.inf], [np.nan, 1e300, -2e6]]))
        assert table.dtype == np.float32
        assert np.array_equal(table, np.array([[1.5, np.nan, np.nan], [np.nan] * 3], "f4"), equal_nan=True)

    def test_input_is_left_as_it_was(self) -> None:
        spectra = mixed(4)
        before = {field.name: getattr(spectra, field.name) for field in fields(PairSpectra)}
        copies = {name: value.copy() for name, value in before.items() if isinstance(value, np.ndarray)}
        features(spectra)
        for name, value in copies.items():
            assert np.array_equal(before[name], value, equal_nan=True), name
