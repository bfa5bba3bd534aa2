"""The `spectrum` objects of the contract: what they show, what they leave out, their revisions."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from monitor.stages.spectrum_product import SpectrumProductStage
from monitor.types import SECOND_NS, Pair, SpectrumBatch, StationQuality, Tick, WindowBatch

S = SECOND_NS
T_NS = 1_504_785_600 * S  # 2017-09-07T12:00:00Z


def batch(time_ns: int = T_NS, *, usable: tuple[bool, bool] = (True, True)) -> SpectrumBatch:
    """Two pairs of three stations; a bin of the first is masked."""
    window = WindowBatch(
        pairs=(Pair("TAR", "BRZ", 2.9), Pair("BRZ", "SUW", 2.6)),
        stations=("TAR", "BRZ", "SUW"),
        station_index=np.array([[0, 1], [1, 2]]),
        end_ns=time_ns,
        length_ns=7200 * S,
        step_ns=S,
        values_nT=np.zeros((3, 0)),
        coverage=np.ones(3),
        offset_ns=np.zeros(3, dtype=np.int64),
        notes=(frozenset(),) * 3,
    )
    return SpectrumBatch(
        window=window,
        quality=StationQuality(
            np.ones(3), np.zeros(3), np.zeros(3, np.int64), np.zeros(3, np.bool_), np.ones(3, np.bool_)
        ),
        frequency_Hz=np.array([10e-3, 20e-3, 30e-3]),
        cross_phase_rad=np.array([[0.1, np.pi / 2, np.nan], [0.0, 0.0, 0.0]]),
        amplitude_ratio=np.array([[0.5, 1.0, np.nan], [1.0, 1.0, 1.0]]),
        coherence=np.array([[0.9, 0.8, np.nan], [0.7, 0.7, 0.7]]),
        smoothing_bins=np.array([11, 9]),
        usable=np.array(usable),
    )


def stage() -> SpectrumProductStage:
    return SpectrumProductStage(86_400 * S)


def test_spectrum_goes_out_without_masked_bins() -> None:
    first, second = stage().feed([batch()])
    assert first.topic == "spectrum/TAR-BRZ"
    assert not first.retained
    document = json.loads(first.encode(T_NS))
    assert document == {
        "schema": "geospace/spectrum/1",
        "id": "spectrum/TAR-BRZ/2017-09-07T12:00:00Z/0",
        "pair": "TAR-BRZ",
        "time": "2017-09-07T12:00:00Z",
        "window_s": 7200.0,
        "revision": 0,
        "smoothing_bins": 11,
        "frequency_mHz": [10.0, 20.0],
        "cross_phase_deg": [pytest.approx(5.729578), 90.0],
        "amplitude_ratio": [0.5, 1.0],
        "coherence": [0.9, 0.8],
        "published": "2017-09-07T12:00:00Z",
    }
    assert second.body["frequency_mHz"] == [10.0, 20.0, 30.0]
    assert second.body["smoothing_bins"] == 9


def test_unusable_window_has_no_spectrum() -> None:
    assert [product.subject for product in stage().feed([batch(usable=(False, True))])] == ["BRZ-SUW"]


def test_revision_rises_only_with_the_content() -> None:
    spectra = stage()
    assert [product.revision for product in spectra.feed([batch()])] == [0, 0]
    assert spectra.feed([batch()]) == []
    again = spectra.feed([replace(batch(), smoothing_bins=np.array([7, 9]))])
    assert [(product.subject, product.revision) for product in again] == [("TAR-BRZ", 1)]


def test_revisions_go_on_after_a_restart() -> None:
    first, second = stage(), stage()
    first.feed([batch()])
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert second.feed([batch()]) == []
    with pytest.raises(ValueError, match="version None"):
        second.restore({})


def test_tick_makes_nothing_and_input_is_not_changed() -> None:
    mine, spectra = batch(), stage()
    assert spectra.feed(Tick(S)) == []
    spectra.feed([mine])
    assert np.isnan(mine.coherence[0, 2])
    assert mine.frequency_Hz.tolist() == [10e-3, 20e-3, 30e-3]
