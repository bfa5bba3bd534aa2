"""What each part is worth: the nearest-peak rule, logistic regression, direct reading, and the rows beside each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.signal import find_peaks as scipy_peaks

from monitor.jobs.flr import ablation as bench
from monitor.jobs.flr.ablation import (
    CAPPED,
    LADDER,
    LOGISTIC,
    NOTES,
    OURS,
    PEAK_RULE,
    PHYSICS,
    UNTRACKED,
    ablation,
)
from monitor.jobs.flr.chain import final_classes, judge, outcomes, track
from monitor.jobs.flr.direct import fit_direct, reading_table, turned_features
from monitor.jobs.flr.examples import SCHEMA, SeenSpectra, examples_of, joined_spectra, see
from monitor.jobs.flr.fitting import Table, columns
from monitor.jobs.flr.linear import fit_logistic
from monitor.jobs.flr.measures import Measures, measure
from monitor.jobs.flr.rules import PeakRule, Peaks, find_peaks, fit_peak_rule
from monitor.jobs.flr.synthetic import CaseBlock, seen_spectra
from monitor.jobs.flr.training import Material, Recipe, Trained, train
from monitor.science.resonance import ResonanceParameters, expected_frequency_Hz
from monitor.science.skill import tss
from monitor.science.synthetic.ranges import TEST
from monitor.types import Float32Array, FloatArray

N, F, P = 0, 1, 2
GRID: FloatArray = np.arange(64, dtype=np.float64) * 0.05 - 1.425
LEARNED = [name for name, _ in LADDER]
ORDER = [OURS, UNTRACKED, CAPPED, *LEARNED, LOGISTIC, PEAK_RULE, PHYSICS]
RULE = PeakRule(np.deg2rad(30.0), 0.6)


def bell(at: float, height_rad: float, width: float = 0.15) -> FloatArray:
    """A resonance in the cross-phase."""
    shape: FloatArray = height_rad * np.exp(-0.5 * ((GRID - at) / width) ** 2)
    return shape


def peaks_of(*phase: FloatArray, coherence: float = 0.9) -> Peaks:
    """Peaks of spectra that are as coherent everywhere."""
    rows = np.array(phase).astype(np.float32)
    return find_peaks(GRID, rows, np.full(rows.shape, coherence, dtype=np.float32))


class TestPeakRule:
    @pytest.mark.parametrize(("sign", "called"), [(1.0, F), (-1.0, P)])
    def test_clean_resonance_is_found_where_it_is(self, sign: float, called: int) -> None:
        places = np.array([-1.0, -0.313, 0.0, 0.271, 1.2])
        peaks = peaks_of(*(sign * bell(place, 1.2) for place in places))
        assert RULE.call(peaks).tolist() == [called] * 5
        read = RULE.read(peaks)
        np.testing.assert_allclose(read[:, called - 1], places, atol=0.002)
        assert np.isnan(read[:, 2 - called]).all()

    def test_nearest_of_two_peaks_is_taken_though_the_other_is_higher(self) -> None:
        peaks = peaks_of(bell(0.3, 0.8) + bell(-0.9, 1.5))
        assert RULE.read(peaks)[0, 0] == pytest.approx(0.3, abs=0.002)
        # Where the near one is too low, the far one is left.
        assert PeakRule(1.0, 0.6).read(peaks)[0, 0] == pytest.approx(-0.9, abs=0.002)

    def test_deeper_minimum_makes_it_pbl(self) -> None:
        assert RULE.call(peaks_of(bell(0.1, 0.8) - bell(0.9, 1.1))).tolist() == [P]
        assert RULE.call(peaks_of(bell(0.1, 1.1) - bell(0.9, 0.8))).tolist() == [F]

    def test_low_incoherent_or_masked_peaks_are_no_resonance(self) -> None:
        masked = bell(0.2, 1.2)
        masked[np.abs(GRID - 0.2) < 0.06] = np.nan
        nothing = np.full(64, np.nan)
        assert RULE.call(peaks_of(bell(0.2, 0.4), masked, nothing, 0.0 * GRID)).tolist() == [N] * 4
        incoherent = peaks_of(bell(0.2, 1.2), coherence=0.55)
        assert RULE.call(incoherent).tolist() == [N]
        assert np.isnan(RULE.read(incoherent)).all()

    def test_phase_decides_where_there_is_no_coherence(self) -> None:
        assert RULE.call(peaks_of(bell(0.2, 1.2), bell(0.2, 0.4), coherence=np.nan)).tolist() == [F, N]

    def test_peaks_are_those_of_scipy(self) -> None:
        rng = np.random.default_rng(3)
        phase = rng.normal(0.0, 0.6, (40, 64)).astype(np.float32)
        rule = PeakRule(0.5, 0.0)
        read = rule.read(find_peaks(GRID, phase, np.ones_like(phase)))
        for row, (upright, turned) in zip(phase, read, strict=True):
            for values, found in ((row, upright), (-row, turned)):
                at, _ = scipy_peaks(values, height=0.5)
                # The parabola moves a peak by half a cell at most.
                assert np.abs(GRID[at] - found).min() <= 0.0251
                assert abs(found) <= np.abs(GRID[at]).min() + 0.0251

    def test_no_spectra_and_flat_spectra_have_no_peaks(self) -> None:
        empty = np.zeros((0, 64), dtype=np.float32)
        assert RULE.call(find_peaks(GRID, empty, empty)).shape == (0,)
        assert RULE.read(peaks_of(0.0 * GRID, 0.0 * GRID)).shape == (2, 2)

    def test_spectra_of_another_grid_are_refused(self) -> None:
        rows = np.zeros((2, 63), dtype=np.float32)
        with pytest.raises(ValueError, match=r"\(64,\), cross_phase_rad \(2, 63\)"):
            find_peaks(GRID, rows, rows)

    def test_thresholds_part_what_can_be_parted(self) -> None:
        rng = np.random.default_rng(7)
        rows, coherence, truth = [], [], []
        for kind in rng.integers(0, 4, 200).tolist():
            # A quarter each: too low, too incoherent, Freq, PBL.
            height = rng.uniform(0.1, 0.5) if kind == 0 else rng.uniform(0.8, 1.5)
            rows.append((-1.0 if kind == 3 else 1.0) * bell(rng.uniform(-0.5, 0.5), height))
            coherence.append(rng.uniform(0.2, 0.5) if kind == 1 else rng.uniform(0.7, 1.0))
            truth.append([N, N, F, P][kind])
        shown = np.repeat(np.array(coherence, dtype=np.float32)[:, None], 64, axis=1)
        peaks = find_peaks(GRID, np.array(rows, dtype=np.float32), shown)
        label = np.array(truth)
        rule = fit_peak_rule(peaks, label)
        assert 0.48 < rule.smallest_phase_rad < 0.81
        assert 0.5 <= rule.smallest_coherence <= 0.7
        assert rule.call(peaks).tolist() == truth
        np.testing.assert_array_equal(rule.call(peaks.rows(label > 0)), label[label > 0])
        # In binary mode only Freq counts as found, and the same thresholds do.
        assert fit_peak_rule(peaks, label, binary=True).call(peaks).tolist() == truth

    def test_fit_names_the_class_without_windows(self) -> None:
        with pytest.raises(ValueError, match="PBL"):
            fit_peak_rule(peaks_of(bell(0.0, 1.0), 0.0 * GRID), np.array([F, N]))


def normal_classes(count: int, seed: int, centres: FloatArray) -> Table:
    """Windows of classes that are normal about their centres with unit scatter."""
    rng = np.random.default_rng(seed)
    target = np.arange(count) % len(centres)
    features = centres[target] + rng.normal(size=(count, centres.shape[1]))
    return Table(features.astype(np.float32), target.astype(np.float64), np.ones(count))


class TestLogistic:
    CENTRES = np.array([[0.0, 0.0], [1.5, 0.5], [-0.5, 1.0]])

    def test_margins_are_those_of_the_exact_posterior(self) -> None:
        model = fit_logistic(
            normal_classes(30_000, 1, self.CENTRES), normal_classes(6000, 2, self.CENTRES), 3
        )
        at = np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, 0.5], [2.0, -1.0]], dtype=np.float32)
        # ln p(class) − ln p(first class) of normal densities with equal scatter and equal shares.
        exact = at @ self.CENTRES.T - 0.5 * (self.CENTRES**2).sum(axis=1)
        margin = model.predict(at)
        np.testing.assert_allclose(margin - margin[:, :1], exact, atol=0.12)

    def test_weights_of_rows_move_the_intercept_as_class_shares_do(self) -> None:
        training = normal_classes(30_000, 1, self.CENTRES)
        heavy = replace(training, weight=np.where(training.target == 2, 4.0, 1.0))
        held = normal_classes(6000, 2, self.CENTRES)
        held = replace(held, weight=np.where(held.target == 2, 4.0, 1.0))
        at = np.zeros((1, 2), dtype=np.float32)
        margin = fit_logistic(heavy, held, 3).predict(at)[0]
        assert margin[2] - margin[0] == pytest.approx(np.log(4.0) - 0.5 * 1.25, abs=0.12)

    def test_unknown_features_count_as_their_mean(self) -> None:
        training, held = (normal_classes(3000, seed, self.CENTRES) for seed in (1, 2))
        training, held = (
            replace(part, features=np.column_stack([part.features, np.full(3000, np.nan)]).astype(np.float32))
            for part in (training, held)
        )
        model = fit_logistic(training, held, 3)
        mean = training.features[:, :2].mean(axis=0)
        known, unknown = model.predict(np.array([[*mean, 1.0], [np.nan] * 3], dtype=np.float32))
        assert np.isfinite(unknown).all()
        np.testing.assert_allclose(known, unknown, atol=1e-4)

    def test_penalty_is_strong_where_features_tell_nothing(self) -> None:
        nothing = np.zeros((2, 60))
        model = fit_logistic(normal_classes(60, 1, nothing), normal_classes(600, 2, nothing), 2)
        held = normal_classes(600, 3, nothing)
        margin = model.predict(held.features).astype(np.float64)
        loss = np.logaddexp(0.0, margin[:, 0] - margin[:, 1])[held.target == 1].mean()
        # Unpenalised, sixty noisy columns part sixty windows perfectly, and others at several nats.
        assert loss < 1.0


@dataclass(frozen=True)
class Made:
    """A small model, what it was trained from, windows to test it on, and the rows of the ablation."""

    material: Material
    trained: Trained
    test: list[SeenSpectra]
    rows: list[tuple[str, Measures]]
    told: list[str]


@pytest.fixture(scope="module")
def made(tiny_material: Material, tiny: Trained) -> Made:
    made_from, trained = tiny_material, tiny
    test = list(seen_spectra([CaseBlock(TEST, range(60))], workers=1))
    told: list[str] = []
    rows = ablation(made_from, trained.model, iter(test), seed=1, threads=1, data="small", told=told.append)
    return Made(made_from, trained, test, rows, told)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rivals that learn next to nothing, where only the frame is tested."""
    for name in ("CLASSIFIER_HYPER", "DIRECT_HYPER"):
        monkeypatch.setattr(bench, name, replace(getattr(bench, name), rounds=2))


def turned_table(seen: SeenSpectra) -> SeenSpectra:
    """The same spectra with the stations swapped, looked at anew by the physical estimate."""
    data = seen.data
    assert data.log_power is not None
    swapped = replace(
        data,
        cross_phase_rad=-data.cross_phase_rad,
        amplitude_ratio=1.0 / data.amplitude_ratio,
        log_power=data.log_power[:, ::-1],
    )
    return see(swapped, ResonanceParameters())


class TestDirect:
    def test_turned_features_are_those_of_swapped_stations(self, made: Made) -> None:
        seen = made.test[0]
        swapped = examples_of(turned_table(seen))
        both = examples_of(seen).usable & swapped.usable
        turned, expected = turned_features(examples_of(seen).features)[both], swapped.features[both]
        place = {name: index for index, name in enumerate(SCHEMA.names)}
        shared = [
            index for name, index in place.items() if not name.startswith("physical_") or "_top_" in name
        ]
        np.testing.assert_allclose(turned[:, shared], expected[:, shared], rtol=2e-3, atol=1e-3)
        # The estimate asks more of a reversed resonance: the rest agrees where it has chosen the same model.
        chosen = ["physical_reversed", "physical_accepted"]
        same = np.all([turned[:, place[name]] == expected[:, place[name]] for name in chosen], axis=0)
        assert same.mean() > 0.6
        np.testing.assert_allclose(turned[same], expected[same], rtol=0.01, atol=0.05)

    def test_turning_twice_changes_nothing(self, made: Made) -> None:
        features = made.material.training.features
        np.testing.assert_array_equal(turned_features(turned_features(features)), features)

    def test_table_has_the_true_frequency_and_turns_pbl(self, made: Made) -> None:
        training = made.material.training
        every = columns(SCHEMA)
        table = reading_table(training, every)
        np.testing.assert_allclose(
            expected_frequency_Hz(training.l_shell) * np.exp(table.target), training.truth_Hz
        )
        upright = training.features[training.owner]
        assert training.turned.any()
        np.testing.assert_array_equal(table.features[~training.turned], upright[~training.turned])
        sign = np.nanmean(table.features[training.turned, :64]) * np.nanmean(upright[training.turned, :64])
        assert sign < 0.0

    def test_trees_read_better_than_the_mean_of_training(self, made: Made) -> None:
        every = columns(SCHEMA)
        training, validation = (
            reading_table(part, every) for part in (made.material.training, made.material.validation)
        )
        booster = fit_direct(training, validation, bench.DIRECT_HYPER, seed=1, threads=1)
        read: Float32Array = booster.inplace_predict(validation.features)
        error = np.abs(read - validation.target).mean()
        assert error < 0.6 * np.abs(training.target.mean() - validation.target).mean()


class TestAblation:
    def test_rows_come_in_order_and_judge_the_same_windows(self, made: Made) -> None:
        assert [name for name, _ in made.rows] == ORDER
        assert [measures.chain for _, measures in made.rows] == ORDER
        assert {measures.data for _, measures in made.rows} == {"small"}
        (counts,) = {(one.windows, one.scored, one.sequences) for _, one in made.rows}
        assert counts[0] == sum(len(part) for part in made.test)
        assert 0 < counts[1] < counts[0]

    def test_parts_of_the_model_are_the_chain_itself(self, made: Made) -> None:
        model = made.trained.model
        part = judge(joined_spectra(made.test), model)
        final = final_classes(part, model, track(part, model))
        rows = dict(made.rows)
        assert rows[OURS] == measure(outcomes(part, final, data="small", chain=OURS))
        untracked = outcomes(part, part.classified.stage_one, data="small", chain=UNTRACKED)
        assert rows[UNTRACKED] == measure(untracked)
        assert rows[OURS].stage_one == rows[UNTRACKED].final == rows[CAPPED].stage_one

    def test_physical_row_is_the_estimate_alone(self, made: Made) -> None:
        model = made.trained.model
        part = judge(joined_spectra(made.test), model)
        said = outcomes(part, part.physical, data="small", chain=PHYSICS)
        unknown = np.full(len(said), np.nan)
        alone = replace(
            said,
            stage_one=part.physical,
            frequency_Hz=part.physical_Hz,
            low_Hz=unknown,
            high_Hz=unknown,
        )
        expected, found = measure(alone), dict(made.rows)[PHYSICS]
        assert found.final == expected.final == dict(made.rows)[OURS].physical
        assert found.published == expected.published
        assert found.published["all"]["all"].count > 0
        assert found.calibration.top_label is None

    @pytest.mark.parametrize("name", [LADDER[-1][0], LOGISTIC, PEAK_RULE])
    def test_rivals_beat_chance(self, made: Made, name: str) -> None:
        table = np.array(dict(made.rows)[name].final.confusion["all"])
        assert float(tss(table)) > 0.4

    def test_caps_let_pass_no_more_than_the_threshold_without(self, made: Made) -> None:
        rows = dict(made.rows)
        capped, free = (rows[name].final.nofreq_passed["all"].hits for name in (CAPPED, UNTRACKED))
        assert capped <= free

    def test_rivals_have_no_intervals_and_our_rows_have(self, made: Made) -> None:
        counted = {name: measures.published["all"]["all"].covered.count for name, measures in made.rows}
        assert all(counted[name] > 0 for name in (OURS, UNTRACKED, CAPPED))
        assert {counted[name] for name in ORDER[3:]} == {0}

    def test_learned_rivals_have_probabilities_and_rules_have_none(self, made: Made) -> None:
        counted = {name: measures.calibration.count for name, measures in made.rows}
        assert counted[LOGISTIC] == counted[LEARNED[0]] == counted[OURS] > 0
        assert counted[PEAK_RULE] == counted[PHYSICS] == 0

    def test_every_step_is_told_and_every_row_has_its_note(self, made: Made) -> None:
        assert [line for line in made.told if line == f"ablation: {OURS}"]
        assert all(any(line.endswith(name) for line in made.told) for name in ORDER)
        told = " ".join(NOTES)
        named = [OURS, UNTRACKED, CAPPED, LEARNED[0], LEARNED[-1], LOGISTIC, PEAK_RULE, PHYSICS]
        assert all(f"*{name}*" in told for name in named)
        assert "400 rounds" in told

    @pytest.mark.usefixtures("short")
    def test_row_under_the_caps_is_left_out_where_nothing_keeps_them(self, made: Made) -> None:
        data = made.material.calibration.data
        swapped = np.array([F, N, P, -1])[data.label]
        wrong = SeenSpectra(replace(data, label=swapped), made.material.calibration.seen)
        told: list[str] = []
        rows = ablation(
            replace(made.material, calibration=wrong),
            made.trained.model,
            made.test[:1],
            seed=1,
            threads=1,
            told=told.append,
        )
        assert [name for name, _ in rows] == [name for name in ORDER if name != CAPPED]
        (line,) = [line for line in told if "left out" in line]
        assert "largest_passed 0.03" in line

    @pytest.mark.usefixtures("short")
    def test_no_rival_says_pbl_in_binary_mode(self, made: Made) -> None:
        trained = train(made.material, Recipe(mode="binary", tries=1, threads=1))
        rows = ablation(made.material, trained.model, made.test[:1], seed=1, threads=1)
        assert [name for name, _ in rows] == ORDER
        for _, measures in rows:
            called = np.array(measures.final.confusion["all"]).sum(axis=0)
            assert called[P] == 0
        assert dict(rows)[PHYSICS].final.freq_found["all"].hits > 0

    def test_class_without_windows_is_named(self, made: Made) -> None:
        calibration = made.material.calibration
        few = replace(made.material, calibration=calibration.rows(calibration.data.label != P))
        with pytest.raises(ValueError, match="class 2"):
            ablation(few, made.trained.model, made.test[:1], seed=1, threads=1)
