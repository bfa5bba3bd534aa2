"""Random storms: what they are drawn from, and what the simulator's new knobs do."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from monitor.science.synthetic.ground import GroundSimulator, quiet_day
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.ranges import Range
from monitor.science.synthetic.scenario import Scenario, factor_at
from monitor.science.synthetic.storms import FITTING_STORMS, TEST_STORMS, Kind, StormRanges, draw_storm
from monitor.types import SECOND_NS, Pair

HOUR_NS = 3600 * SECOND_NS
START_NS = 480_000 * HOUR_NS
STATIONS = (("PEL", 5.29), ("OUJ", 4.45), ("NUR", 3.47), ("BRZ", 2.75))


def courses(kind: Kind, seeds: range, ranges: StormRanges = FITTING_STORMS) -> list[list[float]]:
    drawn = [draw_storm(seed, STATIONS, ranges, kind=kind) for seed in seeds]
    return [[place for _, place in one.plasma.plasmapause] for one in drawn]


class TestDrawing:
    def test_the_same_seed_gives_the_same_storm_and_another_another(self) -> None:
        assert draw_storm(5, STATIONS) == draw_storm(5, STATIONS)
        others = [
            draw_storm(6, STATIONS),
            draw_storm(5, STATIONS, TEST_STORMS),
            draw_storm(5, STATIONS, kind="quiet"),
        ]
        assert len({one.start_ns for one in [draw_storm(5, STATIONS), *others]}) == 4

    def test_a_changed_range_leaves_what_the_others_draw(self) -> None:
        wider = replace(FITTING_STORMS, quality=Range(20.0, 30.0))
        one, other = draw_storm(3, STATIONS), draw_storm(3, STATIONS, wider)
        assert 20.0 <= other.quality <= 30.0
        assert replace(other, quality=one.quality) == one

    @pytest.mark.parametrize("kind", ["storm", "quiet"])
    def test_every_number_lies_in_its_range(self, kind: Kind) -> None:
        ranges = FITTING_STORMS
        for seed in range(60):
            drawn = draw_storm(seed, STATIONS, ranges, kind=kind)
            for name in (
                "wave_power",
                "noise_power",
                "quality",
                "night_quality",
                "direct_share",
                "quantum_nT",
            ):
                assert getattr(drawn, name) in getattr(ranges, name), name
            for name in ("site_quality", "site_gain", "site_noise"):
                assert set(getattr(drawn, name)) == {code for code, _ in STATIONS}
                assert all(value in getattr(ranges, name) for value in getattr(drawn, name).values())
            plasma = drawn.plasma
            shared = {field.name for field in fields(PlasmaModel)} & {field.name for field in fields(ranges)}
            assert {"saturation", "trough_exponent", "plasmapause_width_l"} <= shared
            for name in shared - {"torus"}:
                assert getattr(plasma, name) in getattr(ranges, name), name
            assert plasma.torus == 0.0 or plasma.torus in ranges.torus
            assert 2012 <= datetime.fromtimestamp(drawn.start_ns // SECOND_NS, UTC).year <= 2023
            assert drawn.start_ns % (HOUR_NS // 2) == 0

    def test_a_storm_erodes_within_hours_and_comes_back_slowly(self) -> None:
        for course in courses("storm", range(40)):
            place = np.array(course)
            lowest = int(place.argmin())
            assert place[:20].mean() - place[lowest] > 0.5
            inward, outward = place[1:] - place[:-1], place[lowest + 1 :] - place[lowest:-1]
            # Knots half an hour apart: erosion at up to 1.9 R_E / h, refilling at up to 3.2 R_E a day, and ripples.
            assert inward.min() > -1.2
            assert outward.max(initial=0.0) < 0.25
            assert 2.0 < place.min() < 4.4
            assert place.max() < 6.2

    def test_quiet_stretches_rest_drift_or_have_no_plasmapause(self) -> None:
        found = courses("quiet", range(80))
        none = [course for course in found if not course]
        assert 10 <= len(none) <= 32
        spans = [max(course) - min(course) for course in found if course]
        assert min(spans) < 0.1
        assert 0.3 < max(spans) < 1.1

    def test_starts_are_spread_over_the_year_and_the_day(self) -> None:
        starts = [
            datetime.fromtimestamp(draw_storm(seed, STATIONS, TEST_STORMS).start_ns // SECOND_NS, UTC)
            for seed in range(60)
        ]
        assert len({start.month for start in starts}) == 12
        assert len({start.hour for start in starts}) >= 18

    def test_the_disturbance_belongs_to_the_main_phase(self) -> None:
        drawn = draw_storm(1, STATIONS)
        times = [time_ns for time_ns, _ in drawn.wave_course]
        assert factor_at(drawn.wave_course, drawn.start_ns) == 1.0
        assert factor_at(drawn.wave_course, times[1]) == pytest.approx(drawn.wave_course[1][1])
        assert factor_at(drawn.wave_course, times[-1] + HOUR_NS) == 1.0
        assert draw_storm(1, STATIONS, kind="quiet").wave_course == ()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"stream": -1}, "stream must not be negative, got -1"),
            ({"span_h": 23.0}, "span_h must be at least 24"),
            ({"first_year": 2024}, "years must rise"),
            ({"quiet_l": Range(2.5, 3.0)}, "quiet_l less smallest_erosion_l must reach storm_l"),
            ({"gap_probability": 1.5}, r"gap_probability must lie in \[0, 1\], got 1.5"),
        ],
    )
    def test_bad_ranges_are_named(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            replace(FITTING_STORMS, **changes)

    def test_bad_arguments_are_named(self) -> None:
        with pytest.raises(ValueError, match="seed must not be negative, got -3"):
            draw_storm(-3, STATIONS)
        with pytest.raises(ValueError, match="kind is storm or quiet, got 'calm'"):
            draw_storm(3, STATIONS, kind="calm")  # type: ignore[arg-type]


def hour(scenario: Scenario, after_h: int = 9) -> np.ndarray[Any, np.dtype[np.float64]]:
    start_ns = scenario.start_ns + after_h * HOUR_NS
    return np.stack(list(GroundSimulator(scenario).samples(start_ns, start_ns + HOUR_NS).values()))


class TestSites:
    plain = replace(quiet_day(START_NS), stations=STATIONS, quantum_nT=0.0, slow_rms_nT=0.0, spikes_per_h=0.0)
    still = replace(plain, wave_power=0.0, noise_power=0.0)

    def test_factors_of_one_leave_every_bit(self) -> None:
        ones = {code: 1.0 for code, _ in STATIONS}
        knots = ((START_NS, 1.0), (START_NS + HOUR_NS, 1.0))
        same = replace(
            self.plain,
            site_quality=ones,
            site_gain=ones,
            site_noise=ones,
            wave_course=knots,
            noise_course=knots,
        )
        assert np.array_equal(hour(same), hour(self.plain))

    def test_gain_and_noise_scale_their_part_at_their_station(self) -> None:
        base, waves = hour(self.still), replace(self.plain, noise_power=0.0)
        gained = hour(replace(waves, site_gain={"OUJ": 2.0})) - base
        assert gained[1] == pytest.approx(2.0 * (hour(waves) - base)[1], abs=1e-9)
        assert np.array_equal(gained[[0, 2, 3]], (hour(waves) - base)[[0, 2, 3]])
        noise = replace(self.plain, wave_power=0.0)
        louder = hour(replace(noise, site_noise={"BRZ": 4.0})) - base
        assert louder[3] == pytest.approx(2.0 * (hour(noise) - base)[3], abs=1e-9)

    def test_a_course_scales_power_in_time(self) -> None:
        base, waves = hour(self.still), replace(self.plain, noise_power=0.0)
        louder = hour(replace(waves, wave_course=((START_NS, 9.0),))) - base
        assert louder == pytest.approx(3.0 * (hour(waves) - base), abs=1e-9)
        knots = ((START_NS, 1.0), (START_NS + 2 * HOUR_NS, 100.0))
        assert factor_at(knots, START_NS + HOUR_NS) == pytest.approx(10.0)
        assert factor_at((), START_NS) == 1.0

    def test_quality_falls_by_night_and_at_a_station_with_less(self) -> None:
        scenario = replace(
            self.plain, quality=4.0, night_quality=0.25, site_quality={"NUR": 0.5}, longitude_deg=0.0
        )
        simulator, day_ns = GroundSimulator(scenario), START_NS // (24 * HOUR_NS) * 24 * HOUR_NS
        assert simulator.quality(day_ns + 12 * HOUR_NS) == pytest.approx([4.0, 4.0, 2.0, 4.0])
        assert simulator.quality(day_ns) == pytest.approx([1.0, 1.0, 0.5, 1.0])
        assert simulator.quality(day_ns + 6 * HOUR_NS) == pytest.approx([2.0, 2.0, 1.0, 2.0])

    def test_truth_knows_them(self) -> None:
        pair, at = Pair("OUJ", "NUR"), START_NS + 9 * HOUR_NS
        plain = GroundSimulator(self.plain).truth(pair, at).signal_to_noise
        quieter = replace(self.plain, site_noise=dict.fromkeys(("OUJ", "NUR"), 0.5))
        assert GroundSimulator(quieter).truth(pair, at).signal_to_noise == pytest.approx(2.0 * plain)
        louder = replace(self.plain, wave_course=((at, 3.0),), noise_course=((at, 2.0),))
        assert GroundSimulator(louder).truth(pair, at).signal_to_noise == pytest.approx(1.5 * plain)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"site_gain": {"XYZ": 1.0}}, "site_gain: XYZ is not among the stations"),
            ({"site_noise": {"NUR": 0.0}}, "site_noise: the factor of NUR must be positive, got 0.0"),
            ({"night_quality": 0.0}, "night_quality must be positive, got 0.0"),
            ({"wave_course": ((2, 1.0), (1, 1.0))}, "wave_course: the knots must rise in time"),
            ({"noise_course": ((2, -1.0),)}, "noise_course: factors must be positive"),
        ],
    )
    def test_bad_values_are_named(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            replace(self.plain, **changes)


class TestShapes:
    def test_slope_exponent_and_torus_do_what_they_say(self) -> None:
        knots = ((START_NS, 4.0),)
        plain = PlasmaModel(plasmapause=knots, plasmapause_width_l=0.05, refilling=0.0)

        def log_density(model: PlasmaModel, l_shell: float) -> float:
            return float(np.log(model.density_amu_cm3(np.array([l_shell]), START_NS, 0.0)[0]))

        steeper = replace(plain, plasmasphere_slope=-0.3)
        assert log_density(steeper, 2.0) - log_density(plain, 2.0) == pytest.approx(0.3)
        flatter = replace(plain, trough_exponent=3.0)
        assert log_density(flatter, 6.0) - log_density(flatter, 5.0) == pytest.approx(
            -3.0 * np.log(6.0 / 5.0)
        )
        assert log_density(flatter, 5.0) == pytest.approx(log_density(plain, 5.0))
        heavy = replace(plain, torus=1.0)
        assert log_density(heavy, 4.0) - log_density(plain, 4.0) == pytest.approx(1.0)
        assert log_density(heavy, 4.3) - log_density(plain, 4.3) == pytest.approx(np.exp(-0.5))
