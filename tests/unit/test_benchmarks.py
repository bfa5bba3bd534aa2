"""The benchmarks run, and what they compare is the same thing on both sides."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from monitor.io.broker import find_mosquitto

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", BENCHMARKS / script, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def spectra(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_spectra", BENCHMARKS / "spectra.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_spectra_quick_prints_every_measurement() -> None:
    done = run("spectra.py", "--quick")
    assert done.returncode == 0, done.stderr
    for line in ("csd + 2 welch", "cross-phase, all bins", "Physical estimate", "burst", "99 %"):
        assert line in done.stdout


@pytest.mark.broker
def test_ingest_quick_stores_every_sample() -> None:
    if find_mosquitto() is None:
        pytest.skip("the program mosquitto is not installed")
    done = run("ingest.py", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("samples lost: 0") == 4
    assert "store (commit to disk)" in done.stdout


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
