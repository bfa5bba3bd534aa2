"""The classifying stage: whom it asks the model about, what it shows it, and what it hands on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.models.flr import Classified, FlrModel
from monitor.science.conditioning import ConditioningParameters
from monitor.science.features import PairSpectra, ScaledSpectra
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.stages.classify import ClassifyStage, pair_spectra
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.types import SECOND_NS, Pair, ResonanceBatch, Tick, WindowBatch

COUNT, STEP_S = 720, 10
CLEAN, TURNED = Pair("AAA", "BBB", 2.9), Pair("BBB", "AAA", 2.4)
LATE, HOLED = Pair("AAA", "CCC", 2.9), Pair("AAA", "DDD", 2.9)
NOWHERE = Pair("AAA", "BBB", None)


class Fake(FlrModel):
    """Says that everything is an even chance, and remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[PairSpectra, ScaledSpectra]] = []

    def classify(self, spectra: PairSpectra, scaled: ScaledSpectra) -> Classified:
        self.shown.append((spectra, scaled))
        count = spectra.l_shell.size
        even = np.full((count, 3), 1.0 / 3.0)
        return Classified(even, np.zeros(count, np.int64), np.zeros(count, np.bool_))


def window() -> WindowBatch:
    """Waves at AAA and BBB, the same 20 s later at CCC, and half of them at DDD."""
    rng = np.random.default_rng(4)
    common = np.cumsum(rng.normal(size=COUNT + 2))
    own = 0.05 * np.cumsum(rng.normal(size=(3, COUNT)), axis=1)
    values = np.stack([common[2:], common[2:], common[:-2], common[2:]]) + own[[0, 1, 2, 2]]
    values[3, : COUNT // 2] = np.nan
    return WindowBatch(
        pairs=(HOLED, CLEAN, LATE, NOWHERE, TURNED),
        stations=("AAA", "BBB", "CCC", "DDD"),
        station_index=np.array([[0, 3], [0, 1], [0, 2], [0, 1], [1, 0]]),
        end_ns=1_504_785_600 * SECOND_NS,
        length_ns=7200 * SECOND_NS,
        step_ns=STEP_S * SECOND_NS,
        values_nT=values,
        coverage=np.array([1.0, 1.0, 1.0, 0.5]),
        offset_ns=np.zeros(4, np.int64),
        notes=(frozenset(),) * 4,
    )


@pytest.fixture(scope="module")
def batch() -> ResonanceBatch:
    spectra = SpectrumStage(ConditioningParameters(), SpectrumParameters()).feed([window()])
    (found,) = ResonanceStage(ResonanceParameters()).feed(spectra)
    assert [found.reason[row] for row in (0, 2)] == ["gap", "timing_offset"]
    return found


def test_model_is_asked_about_usable_pairs_of_known_l_without_a_clock_offset(batch: ResonanceBatch) -> None:
    model = Fake()
    (found,) = ClassifyStage(model).feed([batch])
    assert found.asked.tolist() == [1, 4]
    ((spectra, scaled),) = model.shown
    assert spectra.l_shell.tolist() == [2.9, 2.4]
    assert scaled.cross_phase_rad.shape[0] == 2
    assert found.classified.probability.shape == (2, 3)
    assert found.resonance is batch
    assert found.spectra is spectra
    assert found.scaled is scaled


def test_model_sees_each_pair_poleward_first(batch: ResonanceBatch) -> None:
    seen = pair_spectra(batch, np.array([1, 4]))
    power = batch.spectrum.log_power
    assert power is not None
    assert seen.log_power is not None
    np.testing.assert_array_equal(seen.log_power[0], power[[0, 1]])
    np.testing.assert_array_equal(seen.log_power[1], power[[1, 0]])
    np.testing.assert_array_equal(seen.cross_phase_rad, batch.spectrum.cross_phase_rad[[1, 4]])
    np.testing.assert_array_equal(seen.coherence, batch.spectrum.coherence[[1, 4]])
    assert seen.smoothing_bins.tolist() == batch.spectrum.smoothing_bins[[1, 4]].tolist()
    assert seen.step_s.tolist() == [STEP_S, STEP_S]
    assert seen.seen.profile.gain.shape[1] == 2


def test_spectra_without_powers_have_none(batch: ResonanceBatch) -> None:
    bare = replace(batch, spectrum=replace(batch.spectrum, log_power=None))
    assert pair_spectra(bare, np.array([1])).log_power is None


def test_batch_of_which_nobody_can_be_asked_is_handed_on(batch: ResonanceBatch) -> None:
    nobody = replace(batch, spectrum=replace(batch.spectrum, usable=np.zeros(5, np.bool_)))
    model = Fake()
    (found,) = ClassifyStage(model).feed([nobody])
    assert found.asked.size == 0
    assert found.classified.probability.shape == (0, 3)


def test_each_batch_has_its_answer_and_time_alone_has_none(batch: ResonanceBatch) -> None:
    stage = ClassifyStage(Fake())
    assert len(stage.feed([batch, batch])) == 2
    assert stage.feed([]) == []
    assert stage.feed(Tick(SECOND_NS)) == []


def test_stage_keeps_nothing_and_does_not_change_its_input(batch: ResonanceBatch) -> None:
    stage, before = ClassifyStage(Fake()), batch.spectrum.cross_phase_rad.copy()
    state = stage.snapshot()
    stage.feed([batch])
    stage.restore(state)
    assert stage.snapshot() == state == {"version": 1}
    np.testing.assert_array_equal(batch.spectrum.cross_phase_rad, before)
