"""The objects of the contract: their fields, their flags and their revisions."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from monitor.stages.product import ProductStage
from monitor.types import (
    SECOND_NS,
    Label,
    Pair,
    ResonanceBatch,
    SpectrumBatch,
    StationQuality,
    Tick,
    WindowBatch,
)

S = SECOND_NS
T_NS = 1_504_785_600 * S  # 2017-09-07T12:00:00Z
CADENCE, LATENESS = 1800, 120


def stage(*, spectra: bool = False) -> ProductStage:
    return ProductStage(CADENCE * S, LATENESS * S, 86_400 * S, spectra=spectra)


def batch(
    time_ns: int = T_NS,
    label: Label = Label.FREQ,
    reason: str | None = None,
    frequency_Hz: float = 13.4e-3,
    usable: bool = True,
    gap_s: float = 0.0,
    spikes: int = 0,
    notes: frozenset[str] = frozenset(),
) -> ResonanceBatch:
    """One pair, TAR-BRZ, without its samples."""
    window = WindowBatch(
        pairs=(Pair("TAR", "BRZ", 2.9),),
        stations=("BRZ", "TAR"),
        station_index=np.array([[1, 0]]),
        end_ns=time_ns,
        length_ns=7200 * S,
        step_ns=S,
        values_nT=np.zeros((2, 0)),
        coverage=np.array([0.998, 1.0]),
        offset_ns=np.zeros(2, dtype=np.int64),
        notes=(notes, frozenset()),
    )
    quality = StationQuality(
        coverage=window.coverage,
        longest_gap_s=np.array([gap_s, 0.0]),
        spikes=np.array([0, spikes]),
        flat=np.zeros(2, dtype=np.bool_),
        usable=np.array([usable, True]),
    )
    frequency = np.array([10e-3, 20e-3, 30e-3])
    spectrum = SpectrumBatch(
        window=window,
        quality=quality,
        frequency_Hz=frequency,
        cross_phase_rad=np.array([[0.1, np.pi / 2, np.nan]]),
        amplitude_ratio=np.array([[0.5, 1.0, np.nan]]),
        coherence=np.array([[0.9, 0.8, np.nan]]),
        smoothing_bins=np.array([11]),
        usable=np.array([usable]),
    )
    known = 1.0 if label is not Label.NO_FREQ else np.nan
    return ResonanceBatch(
        spectrum=spectrum,
        label=(label,),
        reason=(reason,),
        frequency_Hz=np.array([frequency_Hz * known]),
        sigma_Hz=np.array([0.4e-3 * known]),
        cross_phase_rad=np.array([np.deg2rad(47.0) * known]),
        coherence=np.array([0.91 * known]),
        timing_offset_s=np.array([0.2]),
        timing_sigma_s=np.array([0.1]),
    )


class TestContent:
    def test_resonance_has_the_fields_of_the_contract(self) -> None:
        (product,) = stage().feed([batch()])
        document = json.loads(product.encode(T_NS + 3_123_456_789))
        assert product.topic == "flr/TAR-BRZ"
        assert product.retained
        assert document["schema"] == "geospace/flr/1"
        assert document["id"] == "flr/TAR-BRZ/2017-09-07T12:00:00Z/0"
        assert document["time"] == "2017-09-07T12:00:00Z"
        assert document["effective_time"] == "2017-09-07T11:00:00Z"
        assert document["valid_until"] == "2017-09-07T12:35:00Z"
        assert document["published"] == "2017-09-07T12:00:03.123Z"
        assert document["window_s"] == 7200
        assert document["label"] == "Freq"
        assert document["frequency_mHz"] == pytest.approx(13.4)
        assert document["frequency_interval_mHz"] == pytest.approx([13.4 - 0.658, 13.4 + 0.658], abs=1e-3)
        assert document["interval_level"] == 0.9
        assert document["physical"]["cross_phase_deg"] == pytest.approx(47.0)
        assert document["coverage"] == {"TAR": 1.0, "BRZ": 0.998}
        assert document["l_shell"] == 2.9
        assert document["flags"] == ["physical_only"]

    def test_what_is_not_known_is_null_and_flagged(self) -> None:
        (product,) = stage().feed([batch()])
        for name in ("probability", "stage_one", "density_amu_cm3", "mlt_h", "illumination", "harmonic"):
            assert product.body[name] is None
        assert "physical_only" in product.body["flags"]

    def test_no_freq_has_no_frequency_and_says_why(self) -> None:
        (product,) = stage().feed([batch(label=Label.NO_FREQ, reason="incoherent")])
        assert product.body["frequency_mHz"] is None
        assert product.body["frequency_interval_mHz"] is None
        assert product.body["density_amu_cm3"] is None
        assert product.body["flags"] == ["incoherent", "physical_only"]
        assert b"NaN" not in product.encode(T_NS)

    def test_mending_and_notes_are_flagged_in_order(self) -> None:
        (product,) = stage().feed([batch(gap_s=20.0, spikes=2, notes=frozenset({"decimated"}))])
        assert product.body["flags"] == ["bridged", "decimated", "despiked", "physical_only"]

    def test_unusable_window_was_not_mended(self) -> None:
        refused = batch(label=Label.NO_FREQ, reason="gap", usable=False, gap_s=900.0)
        (product,) = stage().feed([refused])
        assert product.body["flags"] == ["gap", "physical_only"]

    def test_interval_never_falls_below_zero(self) -> None:
        (product,) = stage().feed([batch(frequency_Hz=0.3e-3)])
        assert product.body["frequency_interval_mHz"][0] == 0.0

    def test_tick_makes_nothing(self) -> None:
        assert stage().feed(Tick(S)) == []


class TestRevisions:
    def test_same_content_is_not_sent_again(self) -> None:
        products = stage()
        assert len(products.feed([batch()])) == 1
        assert products.feed([batch()]) == []

    def test_changed_content_rises_by_one_and_there_is_no_way_back(self) -> None:
        products = stage()
        found = [products.feed([batch(frequency_Hz=f)])[0] for f in (13e-3, 14e-3, 13e-3)]
        assert [product.revision for product in found] == [0, 1, 2]
        assert found[2].body["id"].endswith("/2")

    def test_change_beyond_seven_digits_is_none(self) -> None:
        products = stage()
        products.feed([batch(frequency_Hz=13e-3)])
        assert products.feed([batch(frequency_Hz=13e-3 * (1 + 1e-12))]) == []

    def test_older_revision_goes_out_unretained(self) -> None:
        products = stage()
        products.feed([batch()])
        products.feed([batch(T_NS + CADENCE * S)])
        (older,) = products.feed([batch(frequency_Hz=15e-3)])
        (newest,) = products.feed([batch(T_NS + CADENCE * S, frequency_Hz=15e-3)])
        assert not older.retained
        assert newest.retained

    def test_memory_is_bounded(self) -> None:
        products = stage()
        for number in range(200):
            products.feed([batch(T_NS + number * CADENCE * S)])
        (times,) = products.snapshot()["issued"].values()
        assert len(times) == 86_400 // CADENCE + 1

    def test_revisions_go_on_after_a_restart(self) -> None:
        first, second = stage(), stage()
        first.feed([batch()])
        second.restore(json.loads(json.dumps(first.snapshot())))
        assert second.feed([batch()]) == []
        assert second.feed([batch(frequency_Hz=15e-3)])[0].revision == 1

    def test_state_of_another_version_is_refused(self) -> None:
        with pytest.raises(ValueError, match="version None"):
            stage().restore({})


class TestSpectra:
    def test_spectrum_goes_out_beside_the_resonance_without_masked_bins(self) -> None:
        flr, spectrum = stage(spectra=True).feed([batch()])
        assert (flr.kind, spectrum.kind) == ("flr", "spectrum")
        assert not spectrum.retained
        assert spectrum.body["frequency_mHz"] == [10.0, 20.0]
        assert spectrum.body["cross_phase_deg"] == pytest.approx([5.729578, 90.0])
        assert spectrum.body["amplitude_ratio"] == [0.5, 1.0]
        assert spectrum.body["coherence"] == [0.9, 0.8]
        assert spectrum.body["smoothing_bins"] == 11

    def test_unusable_window_has_no_spectrum(self) -> None:
        refused = batch(label=Label.NO_FREQ, reason="gap", usable=False)
        assert [product.kind for product in stage(spectra=True).feed([refused])] == ["flr"]


def test_input_is_not_changed() -> None:
    mine = batch()
    before = replace(mine, frequency_Hz=mine.frequency_Hz.copy())
    stage(spectra=True).feed([mine])
    assert np.array_equal(mine.frequency_Hz, before.frequency_Hz)
    assert np.isnan(mine.spectrum.coherence[0, 2])
