"""Labels by the physical estimate on the one clean real pair."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from monitor.config import quick_config
from monitor.errors import MonitorError
from monitor.jobs.flr.archive import label_archive
from monitor.jobs.flr.dataset import AMBIGUOUS, LabelledSpectra
from monitor.types import SECOND_NS, iso_time

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PEL_MUO = DATA / "ground" / "pel_muo_10s" / "pel_muo_2010-09-08_00-09UT_H_10s.csv.gz"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the measurements in ../shared/data are not there"),
]


@pytest.fixture(scope="module")
def spectra() -> LabelledSpectra:
    return label_archive([str(PEL_MUO)], quick_config(["MUO-PEL:5.37"], []))


def by_end(data: LabelledSpectra) -> dict[str, int]:
    return {iso_time(int(end))[11:16]: row for row, end in enumerate(data.end_ns)}


def test_every_window_of_the_morning_is_freq_with_its_frequency(spectra: LabelledSpectra) -> None:
    rows = by_end(spectra)
    assert list(rows) == [f"{half // 2:02d}:{half % 2 * 30:02d}" for half in range(1, 19)]
    morning = [row for end, row in rows.items() if end >= "03:30"]
    assert spectra.label[morning].tolist() == [1] * 12
    assert set(spectra.reason[morning].tolist()) == {"accepted"}
    # 18 to 21 mHz in the windows up to 06:00, 14 mHz in that of 09:00 (the maximum of a plain FFT's cross-phase).
    early = spectra.truth_Hz[[row for end, row in rows.items() if "03:30" <= end <= "06:00"]]
    assert ((early > 16.5e-3) & (early < 21.5e-3)).all()
    assert spectra.truth_Hz[rows["09:00"]] == pytest.approx(14e-3, rel=0.1)


def test_windows_without_two_whole_hours_cannot_be_used(spectra: LabelledSpectra) -> None:
    rows = by_end(spectra)
    for end in ("00:30", "01:00", "01:30"):
        row = rows[end]
        assert (spectra.usable[row], spectra.label[row], spectra.reason[row]) == (False, 0, "gap")
    assert spectra.usable[[row for end, row in rows.items() if end >= "02:00"]].all()


def test_what_is_not_accepted_is_ambiguous_and_without_frequency(spectra: LabelledSpectra) -> None:
    unsure = spectra.label == AMBIGUOUS
    assert set(spectra.reason[unsure].tolist()) <= {"between", "timing_offset"}
    assert np.isnan(spectra.truth_Hz[spectra.label != 1]).all()


def test_spectra_are_those_of_the_daemon(spectra: LabelledSpectra) -> None:
    assert spectra.cross_phase_rad.shape == (18, 713)
    assert spectra.cross_phase_rad.dtype == np.float32
    row = by_end(spectra)["04:30"]
    near = (spectra.frequency_Hz > 17e-3) & (spectra.frequency_Hz < 22e-3)
    assert 45.0 < np.degrees(spectra.cross_phase_rad[row, near].max()) < 70.0
    # 10 s: nothing above 0.8 of 50 mHz.
    assert np.isnan(spectra.coherence[row, spectra.frequency_Hz > 40.1e-3]).all()
    assert (spectra.step_s == 10.0).all()
    assert (spectra.l_shell == 5.37).all()
    assert (spectra.sequence == 0).all()


def test_powers_are_of_the_poleward_station_first(spectra: LabelledSpectra) -> None:
    assert spectra.log_power is not None
    assert spectra.log_power.shape == (18, 2, 713)
    # ln A(E)/A(P) is half the difference of the log powers, which are smoothed otherwise; swapped, they would disagree.
    row = by_end(spectra)["04:30"]
    low = (spectra.frequency_Hz > 8e-3) & (spectra.frequency_Hz < 40e-3)
    from_power = 0.5 * (spectra.log_power[row, 1] - spectra.log_power[row, 0])[low]
    assert np.corrcoef(from_power, np.log(spectra.amplitude_ratio[row, low]))[0, 1] > 0.7


def test_source_says_that_no_person_labelled_it(spectra: LabelledSpectra) -> None:
    assert spectra.source == (
        "labelled by the physical estimate, not by a person: pel_muo_2010-09-08_00-09UT_H_10s.csv.gz"
    )
    assert not spectra.synthetic
    assert set(spectra.illumination.tolist()) == {""}


def test_two_files_far_apart_give_two_sequences_and_no_windows_between(tmp_path: Path) -> None:
    text = gzip.decompress(PEL_MUO.read_bytes()).decode()
    later = tmp_path / "later.csv"
    later.write_text(text.replace("2010-09-08", "2010-09-09"))
    data = label_archive([str(PEL_MUO), str(later)], quick_config(["MUO-PEL:5.37"], []))
    days = (data.end_ns - data.end_ns[0]) // (86_400 * SECOND_NS)
    assert set(days.tolist()) == {0, 1}
    assert len(set(data.sequence.tolist())) == 2
    first, second = (data.rows(days == day) for day in (0, 1))
    morning = slice(3, 18)
    assert first.label[morning].tolist() == second.label[morning].tolist()
    np.testing.assert_array_equal(first.truth_Hz[morning], second.truth_Hz[morning])


def test_pair_without_common_samples_is_refused(tmp_path: Path) -> None:
    lines = gzip.decompress(PEL_MUO.read_bytes()).decode().splitlines()
    header = next(place for place, line in enumerate(lines) if line.startswith("time"))
    names = lines[header].split(",")
    only = names.index("PEL_H")
    alone = tmp_path / "PEL_day.csv"
    rows = (line.split(",") for line in lines[header:])
    alone.write_text("\n".join(f"{row[0]},{row[only]}" for row in rows) + "\n")
    with pytest.raises(MonitorError, match="no window of these files has samples of both stations"):
        label_archive([str(alone)], quick_config(["MUO-PEL:5.37"], []))
