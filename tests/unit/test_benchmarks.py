"""The benchmarks run, and what they compare is the same thing on both sides."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from monitor.io.broker import find_mosquitto
from monitor.types import ResonanceBatch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", BENCHMARKS / script, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def spectra(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("spectra", monkeypatch)


@pytest.fixture
def flr(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("flr", monkeypatch)


def test_spectra_quick_prints_every_measurement() -> None:
    done = run("spectra.py", "--quick")
    assert done.returncode == 0, done.stderr
    for line in ("csd + 2 welch", "cross-phase, all bins", "Physical estimate", "burst", "99 %"):
        assert line in done.stdout


def test_hapi_quick_reads_every_window_in_flat_memory() -> None:
    done = run("hapi.py", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("     2880  ") >= 3
    assert "met: every window once" in done.stdout


def test_craft_feed_quick_finds_the_same_windows() -> None:
    done = run("craft_feed.py", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("× real time", "none of 148", "10 spacecraft due at once"):
        assert line in done.stdout


@pytest.mark.broker
def test_ingest_quick_stores_every_sample() -> None:
    if find_mosquitto() is None:
        pytest.skip("the program mosquitto is not installed")
    done = run("ingest.py", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("samples lost: 0") == 4
    assert "store (commit to disk)" in done.stdout
    assert "refused, singles: 200 messages, 0 samples to store" in done.stdout


def test_reference_of_scipy_gives_the_same_three_outputs(spectra: ModuleType) -> None:
    window = spectra.windows(6, seed=3)
    ours = spectra.stage().feed([window])[0]
    assert len(window.pairs) == 30
    for row, (pole, equator) in enumerate(window.station_index.tolist()):
        phase, ratio, coherence = spectra.matched(window.values_nT[pole], window.values_nT[equator])
        coherent = coherence >= spectra.TARGET_COHERENCE
        assert coherent.mean() > 0.5
        apart = spectra.wrapped(ours.cross_phase_rad[row] - phase)[coherent]
        assert np.abs(apart).max() < 1e-5
        np.testing.assert_allclose(ours.amplitude_ratio[row], ratio, rtol=1e-5)
        np.testing.assert_allclose(ours.coherence[row], coherence, atol=1e-5)


def test_phase_claim_fails_where_the_target_is_beyond_single_precision(
    spectra: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = spectra.windows(6, seed=3)
    assert spectra.compare_phase(window)
    monkeypatch.setattr(spectra, "TARGET_PHASE_RAD", 1e-9)
    assert not spectra.compare_phase(window)


def test_missed_claim_ends_with_exit_code_1_unless_unchecked(
    spectra: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = spectra.windows(4, seed=5)
    monkeypatch.setattr(spectra, "windows", lambda *_, **__: small)
    monkeypatch.setattr(spectra, "compare_cost", lambda *_: True)
    monkeypatch.setattr(spectra, "cost_of_estimate", lambda *_: None)
    monkeypatch.setattr(spectra, "measure_lag", lambda *_: False)
    assert spectra.main([]) == 1
    told = capsys.readouterr().out
    assert "MISSED  99th percentile" in told
    assert told.count("met     ") == 2
    assert spectra.main(["--no-check"]) == 0


def test_flr_quick_prints_every_cost_and_finds_no_pair_that_depends_on_its_company() -> None:
    done = run("flr.py", "--quick")
    assert done.returncode == 0, done.stderr
    for line in ("Physical estimate, 24 pairs", "regression and intervals", "budget 250", "read as Freq"):
        assert line in done.stdout
    assert "another product alone than among all: 0 of 24" in done.stdout


def test_flr_ends_with_exit_code_1_where_a_pair_alone_gets_another_product(
    flr: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = flr.alone

    def other(batch: ResonanceBatch, row: int) -> ResonanceBatch:
        own: ResonanceBatch = alone(batch, row)
        chosen = own.spectrum.window.pairs[0].poleward == "P0002"
        return replace(own, timing_offset_s=own.timing_offset_s + 1.0) if chosen else own

    monkeypatch.setattr(flr, "alone", other)
    monkeypatch.setattr(
        flr, "a_day", lambda *_: [{"classify": 1.0, "regress": 1.0, "track": 1.0, "product": 1.0}]
    )
    assert flr.main(["--quick"]) == 1
    assert "another product alone than among all: 1 of 24" in capsys.readouterr().out


def test_alone_is_the_pair_of_its_row_with_all_that_belongs_to_it(flr: ModuleType) -> None:
    turns, _ = flr.estimates(flr.simulated_pairs(3))
    batch = flr.burst(turns, 1)[0]
    assert batch.spectrum.window.end_ns == flr.BEGIN_NS + flr.WINDOWS.cadence_ns
    one = flr.alone(batch, 2)
    assert one.spectrum.window.pairs == batch.spectrum.window.pairs[2:]
    assert one.spectrum.window.stations == ("P0002", "E0002")
    np.testing.assert_array_equal(one.spectrum.cross_phase_rad[0], batch.spectrum.cross_phase_rad[2])
    np.testing.assert_array_equal(one.spectrum.log_power, batch.spectrum.log_power[4:])
    np.testing.assert_array_equal(one.seen.profile.gain[:, 0], batch.seen.profile.gain[:, 2])
    assert (one.label, one.reason) == (batch.label[2:], batch.reason[2:])


@pytest.mark.broker
@pytest.mark.at_length
def test_sizing_quick_measures_a_daemon_that_runs() -> None:
    if find_mosquitto() is None:
        pytest.skip("the program mosquitto is not installed")
    done = run("sizing.py", "--quick", "--markdown")
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, row = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in done.stdout.splitlines()
        if line.startswith("|")
    ]
    cells = dict(zip(head, row, strict=True))
    assert cells.pop("") == "2 pairs"
    # A daemon that labels takes some memory and stores something; how much is for the full run to say.
    assert float(cells["memory"].split()[0]) > 50
    assert float(cells["peak"].split()[0]) >= float(cells["memory"].split()[0])
    assert float(cells["speed"].split()[0]) > 0
    assert float(cells["products, a year"].split()[0]) > 0
    assert "waiting at the broker" in done.stdout
