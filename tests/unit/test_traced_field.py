"""Unit frequencies of pairs in IGRF and T89: what they depend on, and why there is none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monitor.science.tracing import traced_lines
from monitor.stages import traced_field
from monitor.stages.density import DipoleField
from monitor.stages.traced_field import SLOT_NS, TracedField
from monitor.stations import Station, load_station_table
from monitor.types import LineEnds, Pair

TABLE = load_station_table() | {
    "CAP": Station("CAP", latitude_deg=85.0, longitude_deg=25.0),
    "TOP": Station("TOP", latitude_deg=86.0, longitude_deg=25.0),
    "NEW": Station("NEW"),
}
TAR_BRZ, MUO_PEL = Pair("TAR", "BRZ", 2.9), Pair("MUO", "PEL", 5.4)
OPEN, NOWHERE = Pair("TOP", "CAP"), Pair("TAR", "NEW")
ALL = (TAR_BRZ, MUO_PEL, OPEN, NOWHERE)
NOON_NS = int(np.datetime64("2017-09-07T10:00", "ns").astype(np.int64))
HOUR_NS = 3600 * 10**9


def unit(
    field: TracedField,
    pairs: tuple[Pair, ...],
    time_ns: int = NOON_NS,
    kp: float | None = 2.0,
    harmonic: int = 1,
    index: float = 1.0,
) -> list[float]:
    found = field.unit_frequencies_Hz(
        pairs, time_ns, kp, harmonic, LineEnds.FIXED, np.full(len(pairs), index)
    )
    return found.tolist()


@pytest.fixture(scope="module")
def igrf() -> TracedField:
    return TracedField(TABLE, ALL, "igrf")


@pytest.fixture(scope="module")
def t89() -> TracedField:
    return TracedField(TABLE, ALL, "t89")


def test_igrf_is_near_the_dipole_over_estonia(igrf: TracedField) -> None:
    dipole = DipoleField().unit_frequencies_Hz(
        (TAR_BRZ, MUO_PEL), NOON_NS, None, 1, LineEnds.FIXED, np.array([1.0, 1.0])
    )
    found = np.array(unit(igrf, (TAR_BRZ, MUO_PEL)))
    # The stated L of the pairs are rounded, and 1 % of L is 4 % of the frequency.
    np.testing.assert_allclose(found, dipole, rtol=0.1)


def test_igrf_needs_no_kp_and_holds_for_the_year(igrf: TracedField) -> None:
    begin, end = (int(np.datetime64(day, "ns").astype(np.int64)) for day in ("2017-01-01", "2018-01-01"))
    same = unit(igrf, (TAR_BRZ,), begin, None)
    assert same == unit(igrf, (TAR_BRZ,), end - 1, 5.0)
    assert 0.0 < abs(unit(igrf, (TAR_BRZ,), end)[0] / same[0] - 1.0) < 0.01


def test_t89_depends_on_kp_by_its_class_and_on_the_half_hour(t89: TracedField) -> None:
    assert unit(t89, (MUO_PEL,), kp=1.7) == unit(t89, (MUO_PEL,), kp=2.3)
    assert unit(t89, (MUO_PEL,), kp=5.0)[0] < 0.95 * unit(t89, (MUO_PEL,), kp=1.7)[0]
    assert unit(t89, (MUO_PEL,), NOON_NS - SLOT_NS // 2) == unit(t89, (MUO_PEL,), NOON_NS + SLOT_NS // 2 - 1)
    assert unit(t89, (MUO_PEL,), NOON_NS + SLOT_NS // 2) != unit(t89, (MUO_PEL,))
    assert unit(t89, (MUO_PEL,), NOON_NS + SLOT_NS // 2) == unit(t89, (MUO_PEL,), NOON_NS + SLOT_NS)


@pytest.mark.parametrize("kind", ["igrf", "t89"])
def test_reason_is_given_for_every_pair_without_a_frequency(
    kind: str, igrf: TracedField, t89: TracedField
) -> None:
    field = igrf if kind == "igrf" else t89
    assert field.reasons(ALL, NOON_NS, 2.0) == (None, None, "open_line", "no_position")
    assert np.isnan(unit(field, ALL)).tolist() == [False, False, True, True]
    assert [line is None for line in field.lines(ALL, NOON_NS, 2.0)] == [False, False, True, True]


@pytest.mark.parametrize("kp", [None, float("nan")])
def test_t89_without_kp_says_so_and_igrf_does_not_care(
    kp: float | None, igrf: TracedField, t89: TracedField
) -> None:
    assert t89.reasons(ALL, NOON_NS, kp) == ("no_kp", "no_kp", "no_kp", "no_position")
    assert np.isnan(unit(t89, ALL, kp=kp)).all()
    assert igrf.reasons(ALL, NOON_NS, kp)[0] is None


def test_line_that_a_storm_opens_says_so(t89: TracedField) -> None:
    midnight = NOON_NS + 12 * HOUR_NS
    assert t89.reasons((MUO_PEL,), midnight, 1.0) == (None,)
    assert t89.reasons((MUO_PEL,), midnight, 8.0) == ("open_line",)
    assert np.isnan(unit(t89, (MUO_PEL,), midnight, 8.0)).all()


def test_kp_out_of_range_is_named(t89: TracedField) -> None:
    with pytest.raises(ValueError, match="Kp must be from 0 to 9, found 12"):
        unit(t89, (TAR_BRZ,), kp=12.0)


def test_pair_that_was_not_given_is_named(igrf: TracedField) -> None:
    with pytest.raises(KeyError, match="PEL"):
        unit(igrf, (Pair("PEL", "TAR"),))


def test_answers_do_not_depend_on_what_was_asked_before_or_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines and 32 frequencies are kept, more is asked for in turn: everything is forgotten and found again."""
    monkeypatch.setattr(traced_field, "_LINES_KEPT", 2)
    field = TracedField(TABLE, (TAR_BRZ,), "t89")
    asked = [
        (NOON_NS + hours * HOUR_NS, kp) for hours, kp in ((0, 1.0), (3, 1.0), (0, 4.0), (0, 1.0), (3, 1.0))
    ]
    in_turn = [unit(field, (TAR_BRZ,), *one) for one in asked]
    assert in_turn == [unit(TracedField(TABLE, (TAR_BRZ,), "t89"), (TAR_BRZ,), *one) for one in asked]
    assert len({tuple(one) for one in in_turn}) == 3
    together = TracedField(TABLE, ALL, "t89")
    np.testing.assert_allclose(unit(together, (MUO_PEL, TAR_BRZ), *asked[0])[1:], in_turn[0], rtol=1e-9)


def test_lines_are_followed_once_for_a_half_hour_and_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = []

    def counted(*arguments: object, **options: object) -> object:
        followed.append(len(arguments[0]))  # type: ignore[arg-type]
        return traced_lines(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(traced_field, "traced_lines", counted)
    field = TracedField(TABLE, ALL, "t89")
    for _ in range(2):
        unit(field, (TAR_BRZ,))
        unit(field, (TAR_BRZ, MUO_PEL, TAR_BRZ), harmonic=3)
        unit(field, ALL, index=2.0)
        field.reasons(ALL, NOON_NS, 2.0)
    assert followed == [1, 1, 2]


def test_higher_harmonic_is_higher_and_another_index_is_another_frequency(igrf: TracedField) -> None:
    first, third = unit(igrf, (TAR_BRZ,))[0], unit(igrf, (TAR_BRZ,), harmonic=3)[0]
    assert 3.0 < third / first < 4.5
    assert unit(igrf, (TAR_BRZ,), index=3.0)[0] < first


def test_no_pairs_have_no_frequencies(t89: TracedField) -> None:
    assert unit(t89, ()) == []
    assert t89.reasons((), NOON_NS, 2.0) == ()


def test_benchmark_quick_meets_its_claims() -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "geometry.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", script, "--quick"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "Against geopack",
        "IGRF lines against the centred dipole",
        "T89/3 noon",
        "CPU of unit frequencies",
    ):
        assert line in done.stdout
    assert "MISSED" not in done.stdout


def test_benchmark_with_a_missed_claim_ends_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "geometry.py"
    spec = importlib.util.spec_from_file_location("benchmark_geometry_missed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for name in ("over_estonia", "costs"):
        monkeypatch.setattr(module, name, lambda *_: None)
    for name in ("against_ppigrf", "explained"):
        monkeypatch.setattr(module, name, lambda *_: True)
    monkeypatch.setattr(module, "TARGET_AXES_DEG", 1e-9)
    assert module.main(["--quick"]) == 1
    assert "MISSED  GSM" in capsys.readouterr().out
    assert module.main(["--quick", "--no-check"]) == 0
