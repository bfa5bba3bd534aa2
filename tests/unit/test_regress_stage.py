"""The regressing stage: whose frequency is read, and how all that is known of a window becomes a finding."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.models.flr import Classified, FlrModel, Readings
from monitor.science.features import PairSpectra, ScaledSpectra, scale
from monitor.stages.classify import ClassifiedBatch
from monitor.stages.place import Places
from monitor.stages.regress import PhysicalStage, RegressStage
from monitor.stations import load_station_table
from monitor.types import (
    SECOND_NS,
    BoolArray,
    Finding,
    GainProfile,
    Illumination,
    Label,
    Pair,
    Reading,
    ResonanceBatch,
    ResonanceEvidence,
    SpectrumBatch,
    StationQuality,
    Tick,
    WindowBatch,
)

S = SECOND_NS
T_NS = 1_504_785_600 * S  # 2017-09-07T12:00:00Z
NAN = math.nan
PAIRS = (
    Pair("SOD", "BRZ", 4.0),  # a gap
    Pair("NUR", "TAR", 3.2),  # Freq
    Pair("BRZ", "SUW", 2.6),  # PBL, likely Freq too
    Pair("MUO", "PEL", None),  # nobody can be asked; the physical estimate sees Freq
    Pair("NUR", "BRZ", 3.0),  # unlike anything
    Pair("NUR", "SUW", 2.9),  # NoFreq
    Pair("TAR", "SUW", 2.7),  # a clock offset
)
STATIONS = ("TAR", "BRZ", "NUR", "SUW", "MUO", "PEL", "SOD")
ASKED = np.array([1, 2, 4, 5])
CLASSIFIED = Classified(
    probability=np.array([[0.04, 0.95, 0.01], [0.1, 0.3, 0.6], [0.2, 0.7, 0.1], [0.97, 0.02, 0.01]]),
    stage_one=np.array([1, 2, 1, 0]),
    novel=np.array([False, False, True, False]),
)


class Fake(FlrModel):
    """Reads 10 mHz as Freq and 30 mHz as PBL (±10 %), wherever it is asked; remembers where that was."""

    def __init__(self, found: bool = True) -> None:
        self.wanted: list[list[bool]] = []
        self._found = found

    def read(self, spectra: PairSpectra, scaled: ScaledSpectra, wanted: BoolArray) -> Readings:
        self.wanted = wanted.tolist()
        f = np.where(wanted & self._found, [10e-3, 30e-3], np.nan)
        return Readings(f, 0.9 * f, 1.1 * f, f, f)


def evidence(pairs: int) -> ResonanceEvidence:
    profile = GainProfile(np.array([1e-2, 2e-2]), *(np.zeros((2, pairs, 2), np.float32) for _ in range(3)))
    nothing, never = np.full(pairs, np.nan), np.zeros(pairs, np.bool_)
    return ResonanceEvidence(never, never, *([nothing] * 9), profile=profile, offset=never)


def batch(
    *,
    reason: tuple[str | None, ...] = ("gap", None, "no_resonance", None, None, "incoherent", "timing_offset"),
    gap_s: float = 0.0,
    spikes: int = 0,
    notes: frozenset[str] = frozenset(),
) -> ResonanceBatch:
    """Seven pairs without samples; gap, spikes and notes are those of the station NUR."""
    rows = len(PAIRS)
    index = np.array([[STATIONS.index(code) for code in pair.stations] for pair in PAIRS])
    window = WindowBatch(
        pairs=PAIRS,
        stations=STATIONS,
        station_index=index,
        end_ns=T_NS,
        length_ns=7200 * S,
        step_ns=S,
        values_nT=np.zeros((7, 0)),
        coverage=np.array([1.0, 0.998, 0.99, 0.97, 1.0, 1.0, 0.875]),
        offset_ns=np.zeros(7, np.int64),
        notes=(frozenset(), frozenset(), notes, *[frozenset[str]()] * 4),
    )
    quality = StationQuality(
        coverage=window.coverage,
        longest_gap_s=np.array([0.0, 0.0, gap_s, 0.0, 0.0, 0.0, 900.0]),
        spikes=np.array([0, 0, spikes, 0, 0, 0, 0]),
        flat=np.zeros(7, np.bool_),
        usable=np.arange(7) < 6,
    )
    usable = np.array([False, *[True] * 6])
    values = np.full((rows, 3), 0.5)
    spectrum = SpectrumBatch(
        window=window,
        quality=quality,
        frequency_Hz=np.array([10e-3, 20e-3, 30e-3]),
        cross_phase_rad=values,
        amplitude_ratio=values,
        coherence=values,
        smoothing_bins=np.full(rows, 11),
        usable=usable,
    )
    seen = np.array([NAN, 1.0, NAN, 1.0, 1.0, NAN, NAN])
    no, yes = Label.NO_FREQ, Label.FREQ
    return ResonanceBatch(
        spectrum=spectrum,
        label=(no, yes, no, yes, yes, no, no),
        reason=reason,
        frequency_Hz=11e-3 * seen,
        sigma_Hz=1e-3 * seen,
        cross_phase_rad=0.7 * seen,
        coherence=0.9 * seen,
        timing_offset_s=np.full(rows, 0.2),
        timing_sigma_s=np.full(rows, 0.1),
        seen=evidence(rows),
    )


def classified(resonance: ResonanceBatch) -> ClassifiedBatch:
    spectrum, seen = resonance.spectrum, resonance.seen
    assert seen is not None
    spectra = PairSpectra(
        frequency_Hz=spectrum.frequency_Hz,
        cross_phase_rad=spectrum.cross_phase_rad[ASKED],
        amplitude_ratio=spectrum.amplitude_ratio[ASKED],
        coherence=spectrum.coherence[ASKED],
        log_power=None,
        smoothing_bins=spectrum.smoothing_bins[ASKED],
        step_s=np.ones(ASKED.size),
        l_shell=np.array([PAIRS[row].l_shell or NAN for row in ASKED]),
        seen=seen.rows(ASKED),
    )
    return ClassifiedBatch(resonance, ASKED, spectra, scale(spectra), CLASSIFIED)


def places() -> Places:
    # SUW has no place: neither light nor hour is known of its pairs.
    return Places({code: one for code, one in load_station_table().items() if code != "SUW"}, PAIRS)


@pytest.fixture(scope="module")
def here() -> Places:
    return places()


def findings(here: Places, model: Fake | None = None, **changes: Any) -> dict[str, Finding]:
    found = RegressStage(model or Fake(), here).feed([classified(batch(**changes))])
    assert [one.pair for one in found] == list(PAIRS)
    return {one.pair.name: one for one in found}


def flags(one: Finding) -> list[str]:
    return sorted(one.flags)


class TestLearned:
    def test_readings_are_taken_where_a_class_is_likely(self, here: Places) -> None:
        model = Fake()
        found = findings(here, model)
        # Freq: PBL has 1 %. PBL: both. Unlike anything: neither. NoFreq: Freq has just 2 %.
        assert model.wanted == [[True, False], [True, True], [False, False], [True, False]]
        assert found["NUR-TAR"].as_freq == Reading(10e-3, pytest.approx(9e-3), pytest.approx(11e-3))
        assert found["NUR-TAR"].as_pbl is None
        assert found["BRZ-SUW"].as_pbl == Reading(30e-3, pytest.approx(27e-3), pytest.approx(33e-3))
        assert found["NUR-SUW"].as_freq is not None
        assert found["NUR-SUW"].reading is None

    def test_label_is_stage_one_before_the_tracker(self, here: Places) -> None:
        found = findings(here)
        said = {name: (one.label, one.stage_one) for name, one in found.items() if one.stage_one is not None}
        assert said == {
            "NUR-TAR": (Label.FREQ, Label.FREQ),
            "BRZ-SUW": (Label.PBL, Label.PBL),
            "NUR-SUW": (Label.NO_FREQ, Label.NO_FREQ),
        }
        assert found["BRZ-SUW"].probability == (0.1, 0.3, 0.6)
        assert found["BRZ-SUW"].track_probability is None
        assert found["BRZ-SUW"].reading == found["BRZ-SUW"].as_pbl
        assert "no_resonance" in found["BRZ-SUW"].flags

    def test_resonance_without_a_frequency_is_none(self, here: Places) -> None:
        found = findings(here, Fake(found=False))["NUR-TAR"]
        assert (found.stage_one, found.label, found.reading) == (Label.FREQ, Label.NO_FREQ, None)
        assert found.probability == (0.04, 0.95, 0.01)
        assert flags(found) == ["dropped"]

    def test_spectrum_unlike_those_of_training_is_flagged_and_not_guessed(self, here: Places) -> None:
        found = findings(here)["NUR-BRZ"]
        assert flags(found) == ["out_of_distribution"]
        assert (found.probability, found.stage_one, found.label) == (None, None, Label.NO_FREQ)
        assert (found.as_freq, found.as_pbl) == (None, None)
        assert found.physical.label is Label.FREQ

    @pytest.mark.parametrize(("name", "reason"), [("SOD-BRZ", "gap"), ("TAR-SUW", "timing_offset")])
    def test_window_about_which_the_model_was_not_asked_has_the_reason(
        self, here: Places, name: str, reason: str
    ) -> None:
        found = findings(here)[name]
        assert flags(found) == [reason]
        assert (found.probability, found.stage_one, found.label) == (None, None, Label.NO_FREQ)

    def test_pair_of_unknown_l_is_left_to_the_physical_estimate(self, here: Places) -> None:
        found = findings(here)["MUO-PEL"]
        assert flags(found) == ["physical_only"]
        assert (found.label, found.probability, found.stage_one) == (Label.FREQ, None, None)
        assert found.reading is not None
        assert found.reading.frequency_Hz == 11e-3
        assert found.reading.low_Hz == pytest.approx(11e-3 - 1.6449e-3, rel=1e-4)
        assert found.reading.high_Hz == pytest.approx(11e-3 + 1.6449e-3, rel=1e-4)

    def test_time_alone_makes_nothing_and_nothing_is_kept(self, here: Places) -> None:
        stage = RegressStage(Fake(), here)
        assert stage.feed(Tick(S)) == []
        assert stage.feed([]) == []
        stage.restore(stage.snapshot())
        assert stage.snapshot() == {"version": 1}


class TestWindow:
    def test_what_is_known_of_the_window_is_in_its_finding(self, here: Places) -> None:
        found = findings(here)["NUR-TAR"]
        assert (found.end_ns, found.length_ns) == (T_NS, 7200 * S)
        assert found.coverage == (("NUR", 0.99), ("TAR", 1.0))
        # Two hours east of Greenwich, at 11:00: a September noon, seen at the window's centre.
        assert found.illumination is Illumination.DAY
        assert found.mlt_h == pytest.approx(13.0, abs=0.5)
        assert found.physical.frequency_Hz == 11e-3
        assert found.physical.cross_phase_rad == 0.7
        assert found.physical.timing_offset_s == 0.2

    def test_pair_whose_place_is_unknown_has_neither_light_nor_hour(self, here: Places) -> None:
        found = findings(here)["BRZ-SUW"]
        assert (found.illumination, found.mlt_h) == (None, None)
        assert found.label is Label.PBL

    def test_mending_and_notes_are_flagged(self, here: Places) -> None:
        found = findings(here, gap_s=20.0, spikes=2, notes=frozenset({"decimated"}))
        assert flags(found["NUR-TAR"]) == ["bridged", "decimated", "despiked"]
        assert flags(found["BRZ-SUW"]) == ["no_resonance"]

    def test_unusable_window_was_not_mended(self, here: Places) -> None:
        # SOD misses 900 s: too long for a bridge.
        assert flags(findings(here)["SOD-BRZ"]) == ["gap"]


class TestPhysicalAlone:
    def test_every_finding_is_that_of_the_physical_estimate(self, here: Places) -> None:
        found = PhysicalStage(here).feed([batch()])
        assert [one.label for one in found] == list(batch().label)
        assert all("physical_only" in one.flags for one in found)
        assert all(one.probability is None and one.track_probability is None for one in found)
        assert [one.reading is None for one in found] == [one.label is Label.NO_FREQ for one in found]
        assert flags(found[0]) == ["gap", "physical_only"]

    def test_reversed_resonance_is_read_as_such(self, here: Places) -> None:
        turned = replace(batch(), label=(Label.PBL,) * 7)
        found = PhysicalStage(here).feed([turned])[1]
        assert found.as_freq is None
        assert found.reading is not None
        assert found.reading.frequency_Hz == 11e-3

    def test_interval_never_falls_below_zero(self, here: Places) -> None:
        wide = replace(batch(), sigma_Hz=np.full(7, 20e-3))
        reading = PhysicalStage(here).feed([wide])[1].reading
        assert reading is not None
        assert reading.low_Hz == 0.0

    def test_time_alone_makes_nothing_and_nothing_is_kept(self, here: Places) -> None:
        stage = PhysicalStage(here)
        assert stage.feed(Tick(S)) == []
        stage.restore(stage.snapshot())
        assert stage.snapshot() == {"version": 1}
