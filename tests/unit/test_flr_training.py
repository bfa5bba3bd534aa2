"""From simulated cases to a model and what it says of windows: nothing leaks, nothing depends on how it was computed."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from flr_kit import SMALL, TINY
from hypothesis import given
from hypothesis import strategies as st

from monitor.jobs.flr import bundled, fitting
from monitor.jobs.flr.bundled import BUNDLED, QUICK, TEST_CASES, Plan, sources
from monitor.jobs.flr.chain import Judged, final_classes, joined, judge, outcomes, track
from monitor.jobs.flr.dataset import AMBIGUOUS, LabelledSpectra, Outcomes, joined_data
from monitor.jobs.flr.examples import (
    SCHEMA,
    Examples,
    SeenSpectra,
    examples_of,
    joined_evidence,
    joined_examples,
    joined_spectra,
    judgeable,
    see,
)
from monitor.jobs.flr.synthetic import CaseBlock, examples, seen_spectra
from monitor.jobs.flr.training import (
    LARGEST_FALSE_PBL,
    LARGEST_PASSED,
    Material,
    Trained,
    fit_decisions,
    train,
)
from monitor.models.flr import FlrModel
from monitor.science.candidates import CANDIDATES, NAMES, frequency_candidates
from monitor.science.features import FeatureSchema, scale, window_features
from monitor.science.resonance import ResonanceParameters
from monitor.science.synthetic.ranges import STORMS, TEST, TRAINING
from monitor.science.tracker import pooled
from monitor.types import GainProfile, IntArray, ResonanceEvidence

NOFREQ, FREQ, PBL = range(3)
# Cases of 1 s and of 10 s take turns: their batches do not come in the order of the cases.
BLOCKS = (CaseBlock(TRAINING, range(506, 509)), CaseBlock(STORMS, range(508, 511), 1000))


def same(one: object, other: object) -> None:
    """Assert that two results have the same fields, arrays to the last bit."""
    assert type(one) is type(other)
    for each in fields(one):  # type: ignore[arg-type]
        first, second = getattr(one, each.name), getattr(other, each.name)
        if isinstance(first, np.ndarray):
            equal = first.shape == second.shape and first.tobytes() == second.tobytes()
            assert equal or np.array_equal(first, second), each.name
        elif isinstance(first, LabelledSpectra | ResonanceEvidence | GainProfile):
            same(first, second)
        else:
            assert first == second, each.name


@pytest.fixture(scope="module")
def seen() -> SeenSpectra:
    """Windows of six cases, made in one process."""
    return joined_spectra(list(seen_spectra(BLOCKS, workers=1)))


@pytest.fixture(scope="module")
def judged(tiny_material: Material, tiny: Trained) -> Judged:
    return judge(tiny_material.calibration, tiny.model)


@pytest.fixture(scope="module")
def said(judged: Judged, tiny: Trained) -> Outcomes:
    """What the chain says of the windows of calibration."""
    final = final_classes(judged, tiny.model, track(judged, tiny.model))
    return outcomes(judged, final, data="calibration", chain="tiny")


class TestPlan:
    @given(
        sizes=st.tuples(*[st.integers(0, 20_000)] * len(fields(Plan))),
    )
    def test_no_case_is_in_two_parts(self, sizes: tuple[int, ...]) -> None:
        parts = Plan(*sizes).blocks()
        seeds = [(block.ranges.stream, block.seeds) for blocks in parts.values() for block in blocks]
        numbers = [
            range(b.seeds.start + b.offset, b.seeds.stop + b.offset) for bs in parts.values() for b in bs
        ]
        for index, (stream, one) in enumerate(seeds):
            for other_stream, other in seeds[:index]:
                assert stream != other_stream or not self.overlap(one, other)
            # The sequences that tell windows apart are the seeds and their offset.
            assert not any(self.overlap(numbers[index], before) for before in numbers[:index])
        assert sum(len(one) for _, one in seeds) == sum(sizes)

    def overlap(self, one: range, other: range) -> bool:
        return max(one.start, other.start) < min(one.stop, other.stop)

    @pytest.mark.parametrize("plan", [BUNDLED, QUICK, SMALL])
    def test_test_cases_come_from_a_stream_of_their_own(self, plan: Plan) -> None:
        streams = {block.ranges.stream for blocks in plan.blocks().values() for block in blocks}
        assert TEST.stream not in streams
        assert len(TEST_CASES) > 0

    def test_parts_of_the_material_share_no_sequence(self, tiny_material: Material) -> None:
        parts = [
            tiny_material.training.sequence,
            tiny_material.validation.sequence,
            tiny_material.calibration.data.sequence,
        ]
        every = np.concatenate([np.unique(part) for part in parts])
        assert every.size == np.unique(every).size
        assert every.size == sum(getattr(SMALL, each.name) for each in fields(SMALL))

    def test_card_tells_count_and_seeds_of_every_part(self, tiny_material: Material) -> None:
        told = {source.split: source for source in sources(SMALL, tiny_material)}
        assert told["training"].count == len(tiny_material.training)
        assert told["calibration"].count == len(tiny_material.calibration)
        assert told["training"].drawn["cases"] == [
            {"ranges": "TRAINING", "first_seed": 0, "last_seed": 39},
            {"ranges": "STORMS", "first_seed": 0, "last_seed": 21},
            {"ranges": "FAINT_STORMS", "first_seed": 0, "last_seed": 7},
        ]
        [validation] = told["validation"].drawn["cases"]
        assert validation["ranges"] == "TRAINING"
        assert validation["first_seed"] > 39
        assert told["calibration"].drawn["cases"][0]["ranges"] == "CALIBRATION"
        tested = bundled.tested_source(90, range(10))
        assert (tested.split, tested.count) == ("test", 90)
        assert tested.drawn["cases"] == [{"ranges": "TEST", "first_seed": 0, "last_seed": 9}]


class TestSpectraAndExamples:
    def test_spectra_and_examples_do_not_depend_on_the_number_of_processes(self, seen: SeenSpectra) -> None:
        same(joined_spectra(list(seen_spectra(BLOCKS, workers=2))), seen)
        one = joined_examples([examples_of(seen.rows(seen.data.sequence // 1000 == at)) for at in (0, 1)])
        same(joined_examples(list(examples(BLOCKS, workers=2))), one)

    def test_windows_are_in_the_order_of_cases_and_time(self, seen: SeenSpectra) -> None:
        order = np.lexsort((seen.data.end_ns, seen.data.sequence))
        assert np.array_equal(order, np.arange(len(seen)))
        assert np.unique(seen.data.sequence).tolist() == [506, 507, 508, 1508, 1509, 1510]
        assert np.unique(seen.data.step_s).tolist() == [1.0, 10.0]

    def test_frequency_is_that_of_windows_with_a_resonance(self, tiny_material: Material) -> None:
        data = tiny_material.calibration.data
        assert np.array_equal(np.isfinite(data.truth_Hz[data.label >= 0]), data.label[data.label >= 0] > 0)
        assert set(np.unique(data.label)) == {AMBIGUOUS, NOFREQ, FREQ, PBL}

    def test_features_are_those_of_the_spectra(self, seen: SeenSpectra) -> None:
        made, asked = examples_of(seen), judgeable(seen)
        assert made.features.shape == (len(seen), len(SCHEMA.names))
        assert np.isnan(made.features[~asked]).all()
        spectra = seen.rows(asked).spectra
        wanted = window_features(spectra, scale(spectra), SCHEMA)
        assert made.features[asked].tobytes() == wanted.tobytes()
        assert np.array_equal(made.usable, asked)

    def test_candidates_belong_to_windows_with_a_frequency(self, tiny_material: Material) -> None:
        seen = tiny_material.calibration
        made = examples_of(seen)
        wanted = np.flatnonzero(made.usable & (made.label > 0) & np.isfinite(seen.data.truth_Hz))
        assert np.array_equal(np.sort(made.owner), wanted)
        assert np.array_equal(made.truth_Hz, seen.data.truth_Hz[made.owner])
        assert np.array_equal(made.l_shell, seen.data.l_shell[made.owner])
        assert np.array_equal(made.turned, made.label[made.owner] == PBL)
        for row in [0, int(np.flatnonzero(made.turned)[0])]:
            spectra = seen.rows(made.owner[row : row + 1]).spectra
            one = frequency_candidates(spectra, scale(spectra), turned=bool(made.turned[row]))
            assert one.features[0].tobytes() == made.candidate_features[row].tobytes()
            assert np.array_equal(one.frequency_Hz[0], made.candidate_Hz[row])

    def test_a_candidate_is_near_nearly_every_truth(self, tiny_material: Material) -> None:
        learnt = tiny_material.training
        off = np.abs(np.log(learnt.candidate_Hz / learnt.truth_Hz[:, None]))
        assert (np.where(learnt.valid, off, np.inf).min(axis=1) < 0.1).mean() > 0.9

    def test_windows_that_cannot_be_judged_have_no_candidates(self, seen: SeenSpectra) -> None:
        none = SeenSpectra(replace(seen.data, usable=np.zeros(len(seen), dtype=np.bool_)), seen.seen)
        made = examples_of(none)
        assert np.isnan(made.features).all()
        assert made.owner.size == 0
        assert made.candidate_features.shape == (0, CANDIDATES, len(NAMES))
        assert not made.usable.any()

    def test_unknown_l_and_clock_offsets_are_not_asked_about(self, seen: SeenSpectra) -> None:
        shells, offset = seen.data.l_shell.copy(), seen.seen.offset.copy()
        at = np.flatnonzero(judgeable(seen))[:2]
        shells[at[0]], offset[at[1]] = np.nan, True
        changed = SeenSpectra(replace(seen.data, l_shell=shells), replace(seen.seen, offset=offset))
        assert np.array_equal(np.flatnonzero(judgeable(seen) & ~judgeable(changed)), at)
        assert np.isnan(examples_of(changed).features[at]).all()


class TestTables:
    """Spectra that come from a table, where the estimate has yet to look."""

    def test_estimate_sees_in_a_table_what_the_stage_saw(self, seen: SeenSpectra) -> None:
        again = see(seen.data, ResonanceParameters()).seen
        rows = seen.data.usable
        np.testing.assert_allclose(again.evidence[rows], seen.seen.evidence[rows], rtol=1e-5, atol=1e-5)
        assert np.array_equal(again.accepted[rows], seen.seen.accepted[rows])
        assert np.array_equal(again.reversed[rows], seen.seen.reversed[rows])

    def test_unknown_coherence_is_taken_as_seven_tenths(self, seen: SeenSpectra) -> None:
        data = seen.data
        unknown = np.full_like(data.coherence, np.nan)
        assumed = np.where(np.isfinite(data.cross_phase_rad), np.float32(0.7), np.float32(np.nan))
        one = see(replace(data, coherence=unknown), ResonanceParameters())
        other = see(replace(data, coherence=assumed), ResonanceParameters())
        np.testing.assert_allclose(one.seen.evidence, other.seen.evidence, rtol=1e-5)
        assert np.isnan(one.data.coherence).all()

    def test_table_of_phases_alone_gives_features(self, seen: SeenSpectra) -> None:
        nothing = np.full_like(seen.data.coherence, np.nan)
        data = replace(seen.data, coherence=nothing, amplitude_ratio=nothing, log_power=None)
        made = examples_of(see(data, ResonanceParameters()))
        known = np.isfinite(made.features[made.usable]).any(axis=0)
        names = np.array(SCHEMA.names)
        assert all(name.startswith("cross_phase") for name in names[known][:40])
        assert not any(name.startswith(("coherence", "log_amplitude", "power")) for name in names[known])

    def test_no_windows_are_seen_as_none(self, seen: SeenSpectra) -> None:
        none = see(seen.data.rows(np.arange(0)), ResonanceParameters())
        assert len(none) == 0
        assert len(examples_of(none)) == 0


class TestJoining:
    @pytest.mark.parametrize("cuts", [[0, 54], [0, 1, 54], [0, 20, 20, 41, 54]])
    def test_parts_of_spectra_are_joined_as_they_were(self, seen: SeenSpectra, cuts: list[int]) -> None:
        assert len(seen) == 54
        parts = [seen.rows(np.arange(low, high)) for low, high in pairwise(cuts)]
        same(joined_spectra(parts), seen)
        same(joined_data([part.data for part in parts]), seen.data)
        same(joined_evidence([part.seen for part in parts]), seen.seen)

    def test_parts_of_examples_are_joined_with_their_owners(self, tiny_material: Material) -> None:
        seen = tiny_material.calibration
        whole = examples_of(seen)
        parts = [examples_of(seen.rows(np.arange(low, low + 90))) for low in range(0, len(seen), 90)]
        together = joined_examples(parts)
        # Each part has its Freq first, then its PBL.
        back, order = np.argsort(whole.owner, kind="stable"), np.argsort(together.owner, kind="stable")
        for each in fields(Examples):
            one, other = getattr(whole, each.name), getattr(together, each.name)
            if one.shape[0] == whole.owner.size and one.shape[0] != len(whole):
                one, other = one[back], other[order]
            assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), each.name

    def test_power_is_joined_only_where_every_part_has_it(self, seen: SeenSpectra) -> None:
        without = replace(seen.data, log_power=None)
        assert joined_data([seen.data, without]).log_power is None
        assert without.rows(np.array([3])).log_power is None

    def test_rows_by_mask_and_by_number_are_the_same(self, seen: SeenSpectra) -> None:
        mask = np.random.default_rng(1).random(len(seen)) < 0.4
        same(seen.rows(mask), seen.rows(np.flatnonzero(mask)))

    def test_judged_parts_are_joined_without_their_spectra(
        self, tiny_material: Material, tiny: Trained, judged: Judged
    ) -> None:
        seen = tiny_material.calibration
        parts = [judge(seen.rows(np.arange(low, low + 150)), tiny.model) for low in range(0, len(seen), 150)]
        together = joined(parts)
        for name in ("asked", "likely", "physical", "physical_Hz"):
            assert np.array_equal(getattr(together, name), getattr(judged, name), equal_nan=True), name
        for name in ("probability", "stage_one", "novel"):
            one, other = getattr(together.classified, name), getattr(judged.classified, name)
            assert np.array_equal(one, other, equal_nan=True), name
        assert np.array_equal(together.readings.high_Hz, judged.readings.high_Hz, equal_nan=True)
        assert np.array_equal(together.data.truth_Hz, judged.data.truth_Hz, equal_nan=True)
        assert together.data.cross_phase_rad.shape == (len(seen), 0)


class TestFitting:
    def test_columns_of_a_smaller_schema_are_its_names(self) -> None:
        schema = FeatureSchema(("coherence", "physical"))
        assert [SCHEMA.names[place] for place in fitting.columns(schema)] == list(schema.names)

    def test_table_has_only_windows_with_a_label(self, tiny_material: Material) -> None:
        learnt = tiny_material.training
        table = fitting.classifier_table(learnt, SCHEMA, "multiclass", (1.0, 3.0, 7.0))
        rows = np.flatnonzero(learnt.usable & (learnt.label >= 0))
        assert np.array_equal(table.target, learnt.label[rows])
        assert np.array_equal(table.weight, np.array([1.0, 3.0, 7.0])[learnt.label[rows]])
        assert np.array_equal(table.features, learnt.features[rows], equal_nan=True)
        assert (learnt.label == AMBIGUOUS).any()

    def test_binary_table_counts_pbl_as_nofreq(self, tiny_material: Material) -> None:
        learnt = tiny_material.training
        table = fitting.classifier_table(learnt, SCHEMA, "binary", (1.0, 1.0, 1.0))
        assert np.array_equal(table.target, learnt.label[learnt.usable & (learnt.label >= 0)] == FREQ)

    def test_chosen_readings_are_near_the_truth_that_was_learnt(
        self, tiny_material: Material, tiny: Trained
    ) -> None:
        learnt = tiny_material.training
        boosters = tiny.model._chooser, tiny.model._corrector
        chosen = fitting.chosen_readings(learnt, *boosters)  # type: ignore[arg-type]
        error = np.abs(np.log(chosen.frequency_Hz / learnt.truth_Hz))
        assert np.nanmedian(error) < 0.03

    def test_search_tries_the_defaults_and_sorts_by_loss(self, tiny_material: Material) -> None:
        parts = [
            fitting.classifier_table(part, FeatureSchema(("physical",)), "multiclass", (1.0, 1.0, 1.0))
            for part in (tiny_material.training, tiny_material.validation)
        ]
        told: list[fitting.Trial] = []
        trials = fitting.search_classifier(*parts, "multiclass", tries=3, seed=1, threads=1, told=told.append)
        assert told[0].hyper == fitting.CLASSIFIER_HYPER
        assert sorted(trial.loss for trial in told) == [trial.loss for trial in trials]
        assert len({trial.hyper for trial in trials}) == 3
        document = fitting.hyper_json(trials[0].hyper, trials[0])
        assert document["best_rounds"] == trials[0].rounds
        assert document["max_depth"] == trials[0].hyper.max_depth


class TestTraining:
    def test_same_seed_gives_the_same_bytes(self, tiny_material: Material, tiny: Trained) -> None:
        again = train(tiny_material, TINY)
        assert dict(again.contents) == dict(tiny.contents)
        assert again.hyper_parameters == tiny.hyper_parameters

    def test_other_seed_gives_another_model(self, tiny_material: Material, tiny: Trained) -> None:
        other = train(tiny_material, replace(TINY, seed=TINY.seed + 1))
        assert other.contents["classifier.json"] != tiny.contents["classifier.json"]

    def test_material_is_left_as_it_was(self, tiny_material: Material) -> None:
        before = tiny_material.training.features.copy(), tiny_material.training.candidate_features.copy()
        train(tiny_material, TINY)
        assert np.array_equal(tiny_material.training.features, before[0], equal_nan=True)
        assert np.array_equal(tiny_material.training.candidate_features, before[1], equal_nan=True)

    @pytest.mark.parametrize("part", ["training", "validation", "calibration"])
    @pytest.mark.parametrize("kind", [NOFREQ, FREQ, PBL])
    def test_absent_class_is_named_with_its_part(self, tiny_material: Material, part: str, kind: int) -> None:
        name = ("NoFreq", "Freq", "PBL")[kind]
        with pytest.raises(ValueError, match=f"no {part} window is {name}: every class is needed"):
            train(without(tiny_material, part, kind), TINY)

    def test_binary_model_needs_no_pbl(self, tiny_material: Material) -> None:
        trained = train(without(tiny_material, "training", PBL), replace(TINY, mode="binary"))
        assert trained.model.parameters.mode == "binary"

    def test_training_without_frequencies_says_so(self, tiny_material: Material) -> None:
        learnt = tiny_material.training
        blind = replace(tiny_material, training=replace(learnt, valid=np.zeros_like(learnt.valid)))
        with pytest.raises(ValueError, match="no training window has a true frequency"):
            train(blind, TINY)

    def test_progress_is_told_from_step_to_step(self, tiny_material: Material) -> None:
        told: list[str] = []
        train(tiny_material, replace(TINY, tries=2), told.append)
        steps = [
            "search",
            "classifier",
            "chooser",
            "corrector",
            "difficulty",
            "novelty",
            "calibration",
            "intervals",
        ]
        places = [next(at for at, line in enumerate(told) if line.startswith(step)) for step in steps]
        assert places == sorted(places)

    def test_weights_keep_their_caps_on_the_windows_they_were_fitted_to(
        self, tiny: Trained, judged: Judged
    ) -> None:
        final = tiny.final
        assert final.nofreq_as_freq + final.nofreq_as_pbl <= LARGEST_PASSED
        assert final.false_pbl <= LARGEST_FALSE_PBL
        parameters = tiny.model.parameters
        posterior = track(judged, tiny.model).posterior
        whole = pooled(parameters.tracker, posterior, judged.observed.probability)
        called = (whole * np.array(parameters.track_weights)).argmax(axis=1)
        nofreq = (judged.data.label == NOFREQ) & judged.asked & ~judged.classified.novel
        assert (called[nofreq] > 0).mean() <= LARGEST_PASSED + 1e-12

    def test_tracker_was_fitted_to_what_the_model_will_say(self, tiny: Trained, judged: Judged) -> None:
        """Once it was fitted to intervals of another width than those that the model then gave it."""
        for name in ("probability", "reading_Hz", "sigma"):
            fitted_to, said = getattr(tiny.judged.observed, name), getattr(judged.observed, name)
            assert np.array_equal(fitted_to, said, equal_nan=True), name
        assert np.array_equal(tiny.judged.classified.stage_one, judged.classified.stage_one)

    def test_decisions_can_be_fitted_again_alone(self, tiny_material: Material, tiny: Trained) -> None:
        """As `--retune` does: the same windows give the same parameters, whatever they were before."""
        spoilt = replace(tiny.model.parameters, weights=(1.0, 0.0, 0.0), track_weights=(0.0, 0.0, 1.0))
        again = fit_decisions(tiny_material.calibration, tiny.model.with_parameters(spoilt))
        assert again.parameters == tiny.model.parameters


def without(material: Material, part: str, kind: int) -> Material:
    """The material with the windows of one class in one part made ambiguous."""

    def blind(label: IntArray) -> IntArray:
        return np.where(label == kind, AMBIGUOUS, label)

    if part == "calibration":
        seen = material.calibration
        return replace(
            material, calibration=SeenSpectra(replace(seen.data, label=blind(seen.data.label)), seen.seen)
        )
    examples: Examples = getattr(material, part)
    changed = replace(examples, label=blind(examples.label))
    return (
        replace(material, training=changed) if part == "training" else replace(material, validation=changed)
    )


class TestChain:
    def test_every_window_has_one_class(self, said: Outcomes, tiny_material: Material) -> None:
        assert len(said) == len(tiny_material.calibration)
        for label in (said.final, said.stage_one, said.physical):
            assert set(np.unique(label)) <= {NOFREQ, FREQ, PBL}

    def test_frequency_goes_with_a_resonance_and_with_nothing_else(self, said: Outcomes) -> None:
        for values in (said.frequency_Hz, said.low_Hz, said.high_Hz):
            assert np.array_equal(np.isfinite(values), said.final != NOFREQ)
        found = said.final != NOFREQ
        assert found.sum() > 50
        assert (said.low_Hz[found] <= said.frequency_Hz[found]).all()
        assert (said.frequency_Hz[found] <= said.high_Hz[found]).all()
        assert np.array_equal(np.isfinite(said.physical_Hz), said.physical != NOFREQ)

    def test_window_that_cannot_be_judged_is_nofreq(self, said: Outcomes, judged: Judged) -> None:
        unasked = ~judged.asked
        assert unasked.sum() > 5
        assert (said.final[unasked] == NOFREQ).all()
        assert (said.stage_one[unasked] == NOFREQ).all()
        assert np.isnan(said.probability[unasked]).all()
        assert (said.physical[~said.usable] == NOFREQ).all()
        assert np.isfinite(said.probability[judged.asked]).all()

    def test_novel_window_is_nofreq(self, judged: Judged, tiny: Trained) -> None:
        strange = judged.classified.novel.copy()
        strange[np.flatnonzero(judged.asked)[::2]] = True
        changed = replace(judged, classified=replace(judged.classified, novel=strange))
        final = final_classes(changed, tiny.model, track(changed, tiny.model))
        assert (final[strange] == NOFREQ).all()
        assert (final[~strange] != NOFREQ).any()

    def test_truth_is_read_in_its_own_orientation(self, said: Outcomes, judged: Judged) -> None:
        for kind in (FREQ, PBL):
            rows = np.flatnonzero(said.label == kind)
            wanted = np.where(judged.asked[rows], judged.readings.frequency_Hz[rows, kind - 1], np.nan)
            assert np.array_equal(said.truth_read_Hz[rows], wanted, equal_nan=True)
        assert np.isnan(said.truth_read_Hz[said.label <= NOFREQ]).all()

    def test_labels_and_times_are_carried_along(self, said: Outcomes, tiny_material: Material) -> None:
        data = tiny_material.calibration.data
        for name in ("sequence", "end_ns", "label", "l_shell", "step_s", "illumination", "reason", "pair"):
            assert np.array_equal(getattr(said, name), getattr(data, name)), name

    def test_only_likely_readings_are_taken_unless_all_are_wanted(
        self, tiny_material: Material, tiny: Trained, judged: Judged
    ) -> None:
        few = judge(tiny_material.calibration, tiny.model, everything=False)
        assert np.array_equal(few.likely, judged.likely)
        assert np.isnan(few.readings.frequency_Hz[~few.likely]).all()
        assert np.array_equal(
            few.readings.frequency_Hz[few.likely], judged.readings.frequency_Hz[few.likely], equal_nan=True
        )
        # What the tracker is given is the same, and so is what comes of it.
        one, other = (track(part, tiny.model).posterior for part in (few, judged))
        assert np.array_equal(one, other)

    def test_looking_ahead_gives_another_posterior(self, judged: Judged, tiny: Trained) -> None:
        causal, smooth = (track(judged, tiny.model, smooth=ahead).posterior for ahead in (False, True))
        assert smooth.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
        assert np.abs(smooth - causal).max() > 0.1
        last = np.flatnonzero(np.diff(judged.data.sequence, append=-1))
        assert smooth[last] == pytest.approx(causal[last], abs=1e-5)

    def test_sequence_does_not_depend_on_the_others(
        self, tiny_material: Material, tiny: Trained, said: Outcomes
    ) -> None:
        seen = tiny_material.calibration
        for number in np.unique(seen.data.sequence)[::15]:
            rows = np.flatnonzero(seen.data.sequence == number)
            alone = judge(seen.rows(rows), tiny.model)
            final = final_classes(alone, tiny.model, track(alone, tiny.model))
            assert np.array_equal(final, said.final[rows])
            told = outcomes(alone, final, data="calibration", chain="tiny")
            assert np.array_equal(told.frequency_Hz, said.frequency_Hz[rows], equal_nan=True)

    def test_windows_that_nothing_can_be_asked_of_need_no_model(
        self, seen: SeenSpectra, tiny: Trained
    ) -> None:
        none = SeenSpectra(replace(seen.data, usable=np.zeros(len(seen), dtype=np.bool_)), seen.seen)
        quiet = judge(none, tiny.model)
        final = final_classes(quiet, tiny.model, track(quiet, tiny.model))
        assert (final == NOFREQ).all()
        assert (quiet.physical == NOFREQ).all()
        assert np.isnan(quiet.readings.frequency_Hz).all()

    def test_model_can_be_shared(self, judged: Judged, tiny_material: Material, tiny: Trained) -> None:
        """Judging leaves the model and the spectra as they were."""
        model: FlrModel = tiny.model
        again = judge(tiny_material.calibration, model)
        assert np.array_equal(again.classified.probability, judged.classified.probability, equal_nan=True)
        assert np.array_equal(again.readings.score, judged.readings.score, equal_nan=True)
