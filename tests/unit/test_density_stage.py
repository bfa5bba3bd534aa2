"""Findings get densities: by day one, in the dark a list, and a reason wherever there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.science.density import density_index
from monitor.science.fieldline import dipole_unit_frequency_Hz
from monitor.stages.density import DensityStage, DipoleField
from monitor.types import (
    SECOND_NS,
    Finding,
    FloatArray,
    Illumination,
    Label,
    LineEnds,
    Pair,
    PhysicalReading,
    Reading,
    Tick,
)

T_NS = 1_504_785_600 * SECOND_NS  # 2017-09-07T12:00:00Z
HOUR_NS = 3600 * SECOND_NS
NAN = math.nan
UNSEEN = PhysicalReading(Label.NO_FREQ, NAN, NAN, NAN, NAN, NAN, NAN)
DAY, PENUMBRA, NIGHT = Illumination.DAY, Illumination.PENUMBRA, Illumination.NIGHT


def finding(l_shell: float | None = 2.9, frequency_mHz: float = 22.0, **changes: Any) -> Finding:
    """A resonance by day."""
    frequency = frequency_mHz * 1e-3
    one = Finding(
        pair=Pair("TAR", "BRZ", l_shell),
        end_ns=T_NS,
        length_ns=2 * HOUR_NS,
        coverage=(("TAR", 1.0), ("BRZ", 1.0)),
        physical=UNSEEN,
        illumination=DAY,
        mlt_h=13.25,
        probability=(0.05, 0.93, 0.02),
        stage_one=Label.FREQ,
        as_freq=Reading(frequency, 0.95 * frequency, 1.05 * frequency),
        as_pbl=None,
        label=Label.FREQ,
        flags=frozenset({"decimated"}),
    )
    return replace(one, **changes)


def inverted(one: Finding, *, night: bool = False) -> Finding:
    (found,) = DensityStage(DipoleField(), night=night).feed([one])
    return found


def expected(
    l_shell: float, frequency_mHz: float, harmonic: int = 1, ends: LineEnds = LineEnds.FIXED
) -> float:
    at = np.array([l_shell])
    unit_Hz = dipole_unit_frequency_Hz(at, density_index(at).index, year=2017.5, harmonic=harmonic, ends=ends)
    return float((unit_Hz[0] / frequency_mHz * 1e3) ** 2)


def test_frequency_by_day_gives_the_density_of_the_fundamental() -> None:
    found = inverted(finding())
    assert found.density is not None
    assert found.density.density_amu_cm3 == pytest.approx(expected(2.9, 22.0))
    assert found.density.low_amu_cm3 < found.density.density_amu_cm3 / 1.1
    assert found.density.high_amu_cm3 > found.density.density_amu_cm3 / 0.95**2
    assert (found.density.harmonic, found.density.ends, found.density.density_index) == (
        1,
        LineEnds.FIXED,
        1.0,
    )
    assert found.alternatives == ()
    assert found.flags == {"decimated"}
    assert replace(found, density=None) == finding()


def test_pbl_takes_its_own_reading() -> None:
    found = inverted(finding(label=Label.PBL, as_pbl=Reading(30e-3, 29e-3, 31e-3)))
    assert found.density is not None
    assert found.density.density_amu_cm3 == pytest.approx(expected(2.9, 30.0))


@pytest.mark.parametrize("frequency_mHz", [14.0, 17.5, 21.0])
def test_muo_pel_states_both_harmonics(frequency_mHz: float) -> None:
    found = inverted(finding(5.37, frequency_mHz))
    assert found.density is not None
    assert 3.0 < found.density.density_amu_cm3 < 12.0
    (third,) = found.alternatives
    assert 50.0 < third.density_amu_cm3 < 170.0
    assert (third.harmonic, third.ends) == (3, LineEnds.FIXED)
    assert "harmonic_ambiguous" in found.flags


def test_fundamental_that_is_too_thin_is_only_listed_beside_the_third() -> None:
    found = inverted(finding(5.37, 50.0))
    assert found.density is None
    assert [one.harmonic for one in found.alternatives] == [1, 3]
    assert found.flags == {"decimated", "harmonic_ambiguous"}


def test_density_that_nothing_explains_is_stated_with_a_flag() -> None:
    for frequency_mHz in (1.0, 300.0):
        found = inverted(finding(5.37, frequency_mHz))
        assert found.density is not None
        assert found.alternatives == ()
        assert found.flags == {"decimated", "density_implausible"}


@pytest.mark.parametrize("light", [PENUMBRA, NIGHT, None])
def test_dark_ends_leave_a_list_of_alternatives(light: Illumination | None) -> None:
    found = inverted(finding(illumination=light))
    assert found.density is None
    assert [(one.harmonic, one.ends) for one in found.alternatives] == [(1, ends) for ends in LineEnds]
    for one in found.alternatives:
        assert one.density_amu_cm3 == pytest.approx(expected(2.9, 22.0, ends=one.ends))
        assert one.low_amu_cm3 < one.density_amu_cm3 < one.high_amu_cm3
    assert found.flags == {"decimated", "boundary_unknown"}


def test_night_takes_ends_as_fixed_where_that_is_wanted() -> None:
    found = inverted(finding(illumination=NIGHT), night=True)
    assert found.density is not None
    assert found.density.density_amu_cm3 == pytest.approx(expected(2.9, 22.0))
    assert [one.ends for one in found.alternatives] == [LineEnds.MIXED, LineEnds.FREE]
    assert "boundary_unknown" in found.flags
    assert inverted(finding(), night=True) == inverted(finding())


@pytest.mark.parametrize(
    ("l_shell", "flag"),
    [(None, "no_l_shell"), (NAN, "no_l_shell"), (1.19, "l_too_low"), (0.0, "l_too_low"), (-4.0, "l_too_low"),
     (25.0, "open_line"), (math.inf, "open_line")],
)  # fmt: skip
def test_line_that_is_none_has_no_density_and_says_why(l_shell: float | None, flag: str) -> None:
    found = inverted(finding(l_shell))
    assert found.density is None
    assert found.alternatives == ()
    assert found.flags == {"decimated", flag}
    assert inverted(finding(l_shell, illumination=NIGHT)).flags == {"decimated", flag, "boundary_unknown"}


@pytest.mark.parametrize(
    "values",
    [
        (0.0, 0.0, 0.0),
        (NAN, NAN, NAN),
        (-1.0, -2.0, 1.0),
        (0.02, 0.0, 0.03),
        (0.02, 0.01, math.inf),
        (5e-324, 5e-324, 5e-324),
    ],
)
def test_frequency_that_is_none_has_no_density_and_says_why(values: tuple[float, float, float]) -> None:
    found = inverted(finding(as_freq=Reading(*values)))
    assert found.density is None
    assert found.alternatives == ()
    assert found.flags == {"decimated", "frequency_unusable"}


def test_window_without_a_resonance_is_untouched() -> None:
    quiet = finding(label=Label.NO_FREQ, illumination=NIGHT)
    assert inverted(quiet) is quiet


def test_findings_keep_their_order_and_get_what_they_get_alone() -> None:
    lights = (DAY, NIGHT, PENUMBRA, None)
    rng = np.random.default_rng(5)
    many = [
        finding(
            float(rng.uniform(1.0, 8.0)),
            float(rng.uniform(2.0, 80.0)),
            pair=Pair(f"A{row}", f"B{row}", float(rng.uniform(1.0, 8.0))),
            illumination=lights[row % 4],
            end_ns=T_NS + row % 3 * HOUR_NS,
            label=Label.NO_FREQ if row % 7 == 0 else Label.FREQ,
        )
        for row in range(60)
    ]
    together = DensityStage(DipoleField()).feed(many)
    assert [one.pair for one in together] == [one.pair for one in many]
    for alone, one in zip((inverted(one) for one in many), together, strict=True):
        assert (alone.flags, alone.pair, len(alone.alternatives)) == (
            one.flags,
            one.pair,
            len(one.alternatives),
        )
        assert (alone.density is None) == (one.density is None)
        if alone.density is not None and one.density is not None:
            assert alone.density.density_amu_cm3 == pytest.approx(one.density.density_amu_cm3, rel=1e-12)


class Storm:
    """A field that knows no line without Kp, and none of the pair A1; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, LineEnds, float | None]] = []

    def unit_frequencies_Hz(
        self,
        pairs: Sequence[Pair],
        effective_ns: int,
        kp: float | None,
        harmonic: int,
        ends: LineEnds,
        density_index: FloatArray,
    ) -> FloatArray:
        assert len(pairs) == density_index.size
        self.asked.append((effective_ns, harmonic, ends, kp))
        return np.full(len(pairs), 0.5 * harmonic)

    def reasons(self, pairs: Sequence[Pair], effective_ns: int, kp: float | None) -> list[str | None]:
        assert effective_ns == T_NS - HOUR_NS
        if kp is None:
            return ["no_kp"] * len(pairs)
        return ["open_line" if pair.poleward == "A1" else None for pair in pairs]


def test_field_says_why_a_pair_has_no_line() -> None:
    field = Storm()
    pairs = [finding(pair=Pair(f"A{number}", "B", 3.0)) for number in range(3)]
    unknown = DensityStage(field).feed(pairs)
    assert [one.flags - {"decimated"} for one in unknown] == [{"no_kp"}] * 3
    assert not field.asked
    known = DensityStage(field).feed(pairs, lambda time_ns: 3.0 if time_ns == T_NS - HOUR_NS else None)
    assert [one.density is None for one in known] == [False, True, False]
    assert "open_line" in known[1].flags
    assert field.asked == [(T_NS - HOUR_NS, harmonic, LineEnds.FIXED, 3.0) for harmonic in (1, 3)]


def test_field_is_asked_once_for_all_pairs_of_a_window() -> None:
    field = Storm()
    lights = (DAY, NIGHT)
    many = [finding(pair=Pair(f"C{row}", "D", 3.0), illumination=lights[row % 2]) for row in range(40)]
    DensityStage(field).feed(many, lambda _: 1.0)
    assert len(field.asked) == 5


def test_stage_takes_time_and_its_own_state() -> None:
    stage = DensityStage(DipoleField())
    assert stage.feed(Tick(1)) == []
    assert stage.feed([]) == []
    stage.restore(stage.snapshot())
    assert stage.lookback_ns == 0
    with pytest.raises(ValueError, match="version 2 is not 1"):
        stage.restore({"version": 2})


def test_dipole_takes_the_moment_of_the_year_and_the_height_of_the_ionosphere() -> None:
    at = np.array([1.0])
    pairs = [Pair("A", "B", 2.0)]
    values = [
        float(DipoleField(height).unit_frequencies_Hz(pairs, time_ns, None, 1, LineEnds.FIXED, at)[0])
        for height, time_ns in ((110.0, T_NS), (110.0, T_NS + 90 * 24 * HOUR_NS), (110.0, 0), (500.0, T_NS))
    ]
    assert (
        values[0]
        == values[1]
        == pytest.approx(float(dipole_unit_frequency_Hz(np.array([2.0]), 1.0, year=2017.5)[0]))
    )
    assert values[2] > values[0]
    assert values[3] > values[0]
