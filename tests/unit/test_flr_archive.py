"""Labels by the physical estimate: the rule of what is sure, and files through the daemon's stages."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from monitor.config import quick_config
from monitor.errors import ArchiveError, MonitorError
from monitor.jobs.flr import archive
from monitor.jobs.flr.archive import CLEARLY_NONE, label_archive, labels_of
from monitor.jobs.flr.dataset import AMBIGUOUS
from monitor.science.conditioning import ConditioningParameters
from monitor.science.resonance import ResonanceParameters
from monitor.science.spectra import SpectrumParameters
from monitor.science.synthetic.batches import generate
from monitor.stages.resonance import ResonanceStage
from monitor.stages.spectrum import SpectrumStage
from monitor.types import CLASSES, SECOND_NS, Label, ResonanceBatch, iso_time

START_NS = 1_590_969_600 * SECOND_NS  # 2020-06-01T00:00:00Z
PARAMETERS = ResonanceParameters()


@pytest.fixture(scope="module")
def batches() -> list[ResonanceBatch]:
    """Estimates of the windows of some synthetic cases."""
    spectrum = SpectrumStage(ConditioningParameters(), SpectrumParameters())
    stage = ResonanceStage(PARAMETERS)
    return [
        estimate
        for window, _ in generate(range(810_000, 810_020))
        for estimate in stage.feed(spectrum.feed([window]))
    ]


def test_label_is_taken_only_where_the_estimate_is_sure(batches: list[ResonanceBatch]) -> None:
    met = set()
    for batch in batches:
        assert batch.seen is not None
        labels, reasons = labels_of(batch, PARAMETERS)
        for row, label in enumerate(batch.label):
            limit = stats.chi2.isf(0.005 if batch.seen.reversed[row] else 0.05, 4)
            doubtful = batch.seen.evidence[row] >= 0.1 * limit
            if label is not Label.NO_FREQ:
                expected, reason = CLASSES.index(label), "accepted"
            elif not batch.spectrum.usable[row]:
                expected, reason = 0, str(batch.reason[row])
            elif batch.reason[row] == "timing_offset":
                expected, reason = AMBIGUOUS, "timing_offset"
            elif doubtful:
                expected, reason = AMBIGUOUS, "between"
            else:
                expected, reason = 0, str(batch.reason[row])
            assert (labels[row], reasons[row]) == (expected, reason)
            met.add((expected, reason))
    # The cases show every branch.
    assert {(1, "accepted"), (2, "accepted"), (AMBIGUOUS, "between"), (0, "gap"), (0, "no_resonance")} <= met


def test_evidence_that_is_unknown_is_no_proof_of_none(batches: list[ResonanceBatch]) -> None:
    batch = next(one for one in batches if any(reason == "no_resonance" for reason in one.reason))
    assert batch.seen is not None
    unknown = replace(batch, seen=replace(batch.seen, evidence=np.full_like(batch.seen.evidence, np.nan)))
    labels, _ = labels_of(unknown, PARAMETERS)
    row = batch.reason.index("no_resonance")
    assert labels[row] == AMBIGUOUS
    assert 0.0 < CLEARLY_NONE < 1.0


def station_file(folder: Path, code: str, hours: float, seed: int, *, dead_from_h: float = 99.0) -> str:
    """A file of red noise at 1 s; returns its name."""
    count = round(hours * 3600)
    values = np.cumsum(np.random.default_rng(seed).normal(0.0, 0.1, count))
    values[round(dead_from_h * 3600) :] = 1.0
    path = folder / f"{code}_day.csv"
    rows = (
        f"{iso_time(START_NS + row * SECOND_NS)},{value:.3f}" for row, value in enumerate(values.tolist())
    )
    path.write_text("\n".join(["time,H", *rows]) + "\n")
    return str(path)


def test_noise_that_two_stations_do_not_share_is_no_freq(tmp_path: Path) -> None:
    files = [
        station_file(tmp_path, "TAR", 6.0, 1),
        station_file(tmp_path, "BRZ", 6.0, 2),
        station_file(tmp_path, "SUW", 6.0, 3, dead_from_h=3.0),
    ]
    data = label_archive(files, quick_config(["TAR-BRZ:2.9", "BRZ-SUW"], []))
    assert data.pair.tolist() == ["TAR-BRZ"] * 12 + ["BRZ-SUW"] * 12
    assert data.sequence.tolist() == [0] * 12 + [1] * 12
    ends_h = (data.end_ns - START_NS) / 3600e9
    assert ends_h.tolist() == [half / 2 for half in range(1, 13)] * 2
    whole = ends_h >= 2.0
    first = data.pair == "TAR-BRZ"
    assert data.usable[first & whole].all()
    assert set(data.label[first & whole].tolist()) <= {0, AMBIGUOUS}
    assert (data.label[first & whole] == 0).mean() > 0.7
    assert np.isnan(data.truth_Hz).all()
    dead = ~first & (ends_h >= 5.0)
    assert not data.usable[dead].any()
    assert set(data.reason[dead].tolist()) == {"flat"}
    assert (data.label[~data.usable] == 0).all()
    assert data.source.endswith("not by a person: TAR_day.csv, BRZ_day.csv, SUW_day.csv")
    assert data.cross_phase_rad.shape == (24, 713)
    assert data.log_power is not None
    assert data.log_power.shape == (24, 2, 713)


def test_windows_that_are_estimated_together_keep_their_own_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [station_file(tmp_path, code, 4.0, seed) for seed, code in enumerate(("TAR", "BRZ", "SUW"))]
    config = quick_config(["TAR-BRZ:2.9", "BRZ-SUW"], [])
    together = label_archive(files, config)
    monkeypatch.setattr(archive, "_BATCH_WINDOWS", 1)
    alone = label_archive(files, config)
    for field in fields(together):
        np.testing.assert_array_equal(
            getattr(together, field.name), getattr(alone, field.name), err_msg=field.name
        )


def test_windows_without_a_sample_of_one_station_are_left_out(tmp_path: Path) -> None:
    files = [station_file(tmp_path, "TAR", 5.0, 1), station_file(tmp_path, "BRZ", 2.0, 2)]
    data = label_archive(files, quick_config(["TAR-BRZ"], []))
    # BRZ ends at 02:00: the window that ends at 04:00 begins there.
    assert ((data.end_ns - START_NS) / 3600e9).tolist() == [half / 2 for half in range(1, 8)]
    assert data.usable.tolist() == [False] * 3 + [True] + [False] * 3


def test_samples_that_contradict_their_station_are_refused_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [station_file(tmp_path, "TAR", 2.0, 1), station_file(tmp_path, "BRZ", 2.0, 2)]
    other = tmp_path / "TAR_ten.csv"
    rows = (f"{iso_time(START_NS + 3600 * SECOND_NS + row * 10 * SECOND_NS)},1" for row in range(60))
    other.write_text("\n".join(["time,H", *rows]) + "\n")
    with caplog.at_level(logging.WARNING):
        data = label_archive([*files, str(other)], quick_config(["TAR-BRZ"], []))
    refusals = [record.message for record in caplog.records if record.message.startswith("refused: ")]
    assert len(refusals) == 1
    assert len(data) > 0


def test_progress_is_drawn_only_where_it_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [station_file(tmp_path, "TAR", 0.6, 1), station_file(tmp_path, "BRZ", 0.6, 2)]
    config = quick_config(["TAR-BRZ"], [])
    label_archive(files, config)
    assert capsys.readouterr().err == ""
    label_archive(files, config, progress=True)
    assert "samples" in capsys.readouterr().err


def test_files_that_cannot_be_labelled_say_why(tmp_path: Path) -> None:
    alone = station_file(tmp_path, "TAR", 3.0, 1)
    config = quick_config(["TAR-BRZ"], [])
    with pytest.raises(MonitorError, match="no window of these files has samples of both stations of a pair"):
        label_archive([alone], config)
    with pytest.raises(MonitorError, match="no station of the pairs is in these files: they hold TAR"):
        label_archive([alone], quick_config(["MUO-PEL"], []))
    with pytest.raises(ArchiveError, match=r"none\.csv: cannot be read: No such file"):
        label_archive([str(tmp_path / "none.csv")], config)
