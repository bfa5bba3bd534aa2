"""Windows in event time: the rules of the contract ("Time"), one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from monitor.stages.window import WindowParameters, WindowStage
from monitor.stations import Station
from monitor.types import SECOND_NS, Domain, FloatArray, Pair, SampleBlock, Tick, WindowBatch

S = SECOND_NS
CADENCE, LENGTH, LATENESS, REVISE = 600, 1200, 120, 3600
PARAMETERS = WindowParameters(LENGTH * S, CADENCE * S, LATENESS * S, REVISE * S)
T0 = 1_504_785_600  # 2017-09-07T12:00:00Z, a multiple of the cadence
P, E = "MUO", "PEL"


def stage(*pairs: Pair, stations: Sequence[Station] = ()) -> WindowStage:
    pairs = pairs or (Pair(P, E),)
    known = {code: Station(code) for pair in pairs for code in pair.stations}
    return WindowStage(pairs, known | {station.code: station for station in stations}, PARAMETERS)


def truth(start: float, count: int, step: float = 1.0) -> FloatArray:
    """A value for each time, so that every sample can be recognised."""
    return (start - T0) + step * np.arange(float(count))


def block(
    code: str, start: float, stop: float, step: float = 1.0, level: int = 0, values: FloatArray | None = None
) -> SampleBlock:
    """Samples of [start, stop) in seconds since T0."""
    count = round((stop - start) / step)
    data = truth(T0 + start, count, step) if values is None else values
    return SampleBlock(
        code, ("H",), round((T0 + start) * S), round(step * S), data[None, :].copy(), level=level
    )


def both(start: float, stop: float, step: float = 1.0) -> list[SampleBlock]:
    return [block(P, start, stop, step), block(E, start, stop, step)]


def ends(batches: Sequence[WindowBatch]) -> list[int]:
    """Window ends in seconds since T0."""
    return [batch.end_ns // S - T0 for batch in batches]


class TestClosing:
    def test_window_closes_when_both_stations_have_reached_its_end(self) -> None:
        windows = stage()
        assert windows.feed(both(0, 599)) == []
        assert windows.feed([block(P, 599, 600)]) == []
        assert ends(windows.feed([block(E, 599, 600)])) == [600]

    def test_window_holds_the_samples_before_its_end_and_no_other(self) -> None:
        windows = stage()
        batch = windows.feed(both(0, 1300))[-1]
        assert ends([batch]) == [1200]
        assert batch.values_nT.shape == (2, LENGTH)
        assert batch.values_nT[0].tolist() == truth(T0, LENGTH).tolist()
        assert batch.coverage.tolist() == [1.0, 1.0]

    def test_window_closes_at_E_of_its_end_plus_lateness(self) -> None:
        windows = stage()
        windows.feed(both(0, 500))
        assert windows.feed([block(P, 500, 600 + LATENESS - 1)]) == []
        (batch,) = windows.feed([block(P, 600 + LATENESS - 1, 600 + LATENESS)])
        assert ends([batch]) == [600]
        assert batch.coverage[batch.station_index[0]].tolist() == [0.5, 500 / LENGTH]

    def test_lateness_passes_with_idle_time_too(self) -> None:
        windows = stage()
        windows.feed([*both(0, 500), block(P, 500, 650)])
        assert windows.feed(Tick(69 * S)) == []
        assert ends(windows.feed(Tick(1 * S))) == [600]

    def test_idle_time_counts_from_the_last_input_of_either_station(self) -> None:
        windows = stage()
        windows.feed([*both(0, 500), block(P, 500, 650)])
        windows.feed(Tick(60 * S))
        windows.feed([block(E, 500, 501)])
        assert windows.feed(Tick(69 * S)) == []
        assert ends(windows.feed(Tick(1 * S))) == [600]

    def test_tick_before_any_sample_closes_nothing(self) -> None:
        windows = stage()
        assert windows.feed(Tick(10**6 * S)) == []
        assert windows.feed(both(0, 10)) == []

    def test_both_silent_for_hours_close_every_window_once(self) -> None:
        windows = stage()
        windows.feed(both(0, 10))
        assert ends(windows.feed(Tick(1800 * S))) == [600, 1200]
        assert ends(windows.feed(Tick(200 * S))) == [1800]
        assert windows.feed(Tick(0)) == []

    def test_first_window_follows_the_first_sample(self) -> None:
        windows = stage()
        assert ends(windows.feed(both(599, 600))) == [600]
        windows = stage()
        assert windows.feed(both(600, 601)) == []  # T = 600 does not follow a sample at 600
        assert ends(windows.feed(both(601, 1200))) == [1200]

    def test_silent_partner_closes_as_a_gap(self) -> None:
        (batch,) = stage().feed([block(P, 0, 720)])
        assert ends([batch]) == [600]
        assert batch.coverage[batch.station_index[0, 1]] == 0.0
        assert np.isnan(batch.values_nT[batch.station_index[0, 1]]).all()

    def test_windows_close_in_time_order_and_pairs_share_their_stations(self) -> None:
        windows = stage(Pair(P, E), Pair(E, "NUR"))
        windows.feed([block(code, 0, 550) for code in (P, E, "NUR")])
        batches = windows.feed([block(code, 550, 1150) for code in (P, E, "NUR")])
        batches += windows.feed([block(code, 1150, 1700) for code in (P, E, "NUR")])
        assert ends(batches) == [600, 1200]
        last = batches[-1]
        assert last.stations == ("MUO", "NUR", "PEL")
        assert last.station_index.tolist() == [[0, 2], [2, 1]]

    def test_pair_without_data_does_not_hold_up_the_others(self) -> None:
        windows = stage(Pair(P, E), Pair("TAR", "BRZ"))
        (batch,) = windows.feed(both(0, 600))
        assert [pair.name for pair in batch.pairs] == ["MUO-PEL"]

    def test_flush_closes_what_ends_at_or_before_E(self) -> None:
        windows = stage()
        windows.feed([block(P, 0, 600), block(E, 0, 100)])
        assert ends(windows.flush()) == [600]
        windows = stage()
        windows.feed([block(P, 0, 599), block(E, 0, 100)])
        assert windows.flush() == []

    def test_unknown_station_and_spacecraft_are_passed_over(self) -> None:
        windows = stage()
        craft = SampleBlock("MUO", ("Bx",), T0 * S, S, np.ones((1, 2000)), domain=Domain.CRAFT)
        assert windows.feed([craft, block("XYZ", 0, 2000)]) == []
        assert windows.clocks == {}

    def test_empty_block_moves_no_clock(self) -> None:
        windows = stage()
        windows.feed([block(P, 900, 900)])
        assert windows.clocks == {}


class TestLateSamples:
    def closed(self) -> WindowStage:
        """Both stations through 1250; MUO lacks 300–310."""
        windows = stage()
        windows.feed([block(P, 0, 300), block(P, 310, 600), block(E, 0, 600)])
        windows.feed(both(600, 1200))
        windows.feed(both(1200, 1250))
        return windows

    def test_late_samples_re_open_the_windows_that_hold_them(self) -> None:
        windows = self.closed()
        assert windows.feed([block(P, 300, 310)]) == []  # they may not have come all
        revised = windows.feed(Tick(10 * S))
        assert ends(revised) == [600, 1200]
        assert all(np.nanmax(batch.coverage[0]) > 0 for batch in revised)
        assert np.isfinite(revised[1].values_nT[0]).all()

    def test_late_samples_settle_in_event_time_without_idle_time(self) -> None:
        windows = self.closed()
        windows.feed([block(P, 300, 310)])
        assert windows.feed(both(1250, 1309)) == []
        assert ends(windows.feed(both(1309, 1310))) == [600, 1200]

    def test_same_samples_again_change_nothing(self) -> None:
        windows = self.closed()
        windows.feed([block(P, 0, 300), block(E, 0, 600), block(E, 600, 1200)])
        assert windows.feed(Tick(10 * S)) == []
        assert windows.flush() == []

    def test_sample_of_the_open_window_re_opens_only_closed_ones(self) -> None:
        windows = stage()
        windows.feed([*both(0, 600), block(P, 600, 700), block(P, 710, 800), block(E, 600, 800)])
        windows.feed([block(P, 700, 710)])
        assert windows.feed(Tick(10 * S)) == []

    def test_samples_too_late_to_change_a_product_are_counted(self) -> None:
        windows = stage()
        span = LENGTH + CADENCE + LATENESS + REVISE
        windows.feed(both(0, 1000))
        for start in range(1000, span + 2000, 500):
            windows.feed(both(start, start + 500))
        windows.flush()
        assert windows.too_late_samples == 0
        windows.feed([block(P, 5, 10, values=np.full(5, 9.0))])
        assert windows.too_late_samples == 5
        assert windows.flush() == []

    def test_earlier_first_sample_begins_earlier(self) -> None:
        windows = stage()
        assert ends(windows.feed(both(1200, 1850))) == [1800]
        windows.feed([block(E, 0, 1200), block(P, 0, 1200)])
        # 2400 is the first window that is still open.
        assert ends(windows.flush()) == [600, 1200, 1800]


class TestContent:
    @pytest.mark.parametrize("levels", [(1, 2), (2, 1)])
    def test_higher_level_wins_whatever_the_order(self, levels: tuple[int, int]) -> None:
        windows = stage()
        for level in levels:
            windows.feed([block(P, 0, 600, level=level, values=np.full(600, float(level)))])
        (batch,) = windows.feed([block(E, 0, 600)])
        assert np.nanmin(batch.values_nT[batch.station_index[0, 0]]) == 2.0

    def test_gap_never_overwrites_a_value(self) -> None:
        windows = stage()
        windows.feed([block(P, 0, 600), block(P, 0, 600, level=4, values=np.full(600, np.nan))])
        (batch,) = windows.feed([block(E, 0, 600)])
        assert batch.coverage.tolist() == [0.5, 0.5]

    def test_block_longer_than_the_ring_loses_no_window(self) -> None:
        long = 20_000
        windows = stage()
        windows.feed([block(P, 0, long)])
        closed = {end: batch for batch in windows.flush() for end in ends([batch])}
        windows = stage()
        batches = windows.feed([block(P, 0, long), block(E, long - 1, long)])
        assert ends(batches) == list(range(600, long + 1, 600))
        assert all(
            batch.coverage[0] == min(1.0, end / LENGTH)
            for batch, end in zip(batches, ends(batches), strict=True)
        )
        assert set(closed) <= set(ends(batches))

    def test_ten_hertz_is_decimated_and_says_so(self) -> None:
        windows = stage()
        windows.feed([block(P, 0, 600, 0.1), block(P, 600, 1200, 0.1)])
        batch = windows.feed([block(E, 0, 600), block(E, 600, 1200)])[-1]
        pole, equator = batch.station_index[0].tolist()
        assert batch.step_ns == S
        assert batch.notes[pole] == frozenset({"decimated"})
        assert batch.notes[equator] == frozenset()
        assert batch.values_nT[pole, 50:-50] == pytest.approx(truth(T0, LENGTH)[50:-50], abs=1e-6)
        assert batch.coverage[pole] == 1.0

    def test_pair_of_1_s_and_10_s_runs_at_10_s(self) -> None:
        windows = stage()
        windows.feed([block(P, 0, 600), block(P, 600, 1200)])
        batch = windows.feed([block(E, 0, 600, 10.0), block(E, 600, 1200, 10.0)])[-1]
        pole, equator = batch.station_index[0].tolist()
        assert batch.step_ns == 10 * S
        assert batch.values_nT.shape == (2, 120)
        assert batch.values_nT[equator].tolist() == truth(T0, 120, 10.0).tolist()
        assert batch.values_nT[pole, 15:-15] == pytest.approx(truth(T0, 120, 10.0)[15:-15], abs=1e-6)

    def test_one_station_at_two_steps_serves_each_pair_at_its_own(self) -> None:
        windows = stage(Pair(P, E), Pair(P, "NUR"))
        batches = windows.feed([block(P, 0, 600), block(E, 0, 600), block("NUR", 0, 600, 10.0)])
        assert {(batch.pairs[0].name, batch.step_ns // S) for batch in batches} == {
            ("MUO-PEL", 1),
            ("MUO-NUR", 10),
        }

    def test_steps_that_do_not_divide_are_said_and_not_mixed(self) -> None:
        windows = stage()
        windows.feed([block(P, 0, 600, 3.0)])
        (batch,) = windows.feed([block(E, 0, 600, 10.0)])
        pole = int(batch.station_index[0, 0])
        assert "step_mismatch" in batch.notes[pole]
        assert np.isnan(batch.values_nT[pole]).all()

    def test_off_grid_station_has_its_lag_in_the_batch(self) -> None:
        windows = stage()
        windows.feed([block(P, 0.3, 600.3)])
        (batch,) = windows.feed([block(E, 0, 600)])
        assert batch.offset_ns[batch.station_index[0]].tolist() == [3 * S // 10, 0]
        assert batch.coverage[batch.station_index[0]].tolist() == [0.5, 0.5]

    def test_geographic_components_are_turned_to_magnetic_north(self) -> None:
        geographic = Station(P, declination_deg=30.0, axes="geographic")
        windows = stage(stations=[geographic])
        values = np.stack([np.full(600, 100.0), np.full(600, 10.0)])
        windows.feed([SampleBlock(P, ("X", "Y"), T0 * S, S, values)])
        (batch,) = windows.feed([block(E, 0, 600)])
        wanted = 100.0 * np.cos(np.pi / 6) + 10.0 * 0.5
        assert batch.values_nT[batch.station_index[0, 0], -1] == pytest.approx(wanted)

    def test_unknown_axes_are_said(self) -> None:
        windows = stage()
        windows.feed([SampleBlock(P, ("X", "Y"), T0 * S, S, np.ones((2, 600)))])
        (batch,) = windows.feed([block(E, 0, 600)])
        assert "axes_unknown" in batch.notes[int(batch.station_index[0, 0])]

    def test_blocks_are_not_changed_and_not_kept(self) -> None:
        windows = stage()
        mine = block(P, 0, 600)
        before = mine.values.copy()
        windows.feed([mine])
        assert np.array_equal(mine.values, before)
        mine.values[:] = -1.0
        (batch,) = windows.feed([block(E, 0, 600)])
        assert np.nanmin(batch.values_nT) == 0.0


class TestJumps:
    def test_clock_jump_of_years_closes_a_bounded_number_of_windows(self) -> None:
        windows = stage()
        windows.feed(both(0, 100))
        years = 3 * 365 * 86_400
        batches = windows.feed(both(years, years + 10))
        # As many as silence closes after the last samples, and as many before the first new ones.
        most = 2 * ((LENGTH + CADENCE + LATENESS + REVISE) // CADENCE + 1)
        assert len(batches) <= most
        assert windows.feed(both(years + 10, years + 1300))[-1].coverage.tolist() == pytest.approx(
            [1.0, 1.0], abs=1e-9
        )

    def test_tick_of_years_closes_a_bounded_number_of_windows(self) -> None:
        windows = stage()
        windows.feed(both(0, 100))
        assert len(windows.feed(Tick(10 * 365 * 86_400 * S))) <= 10


class TestPause:
    """Both stations are silent for long: waited for, or jumped over while nobody was there."""

    @staticmethod
    def said(
        pause: int, *, waited: bool, away: bool = False, again: bool = False
    ) -> dict[int, tuple[bytes, list[float]]]:
        """The last content of each window end."""
        early = [*both(0, 900), block(P, 900, 1000), *both(1000, 2000)]
        batches = (windows := stage()).feed(early)
        if again:
            # It comes late, and its windows are not computed again yet when the pause begins.
            early = [*early, block(E, 900, 1000)]
            batches += windows.feed(early[-1:])
        for _ in range(pause // 300 if waited else 0):
            batches += windows.feed(Tick(300 * S))
        if away:
            state, windows = windows.snapshot(), stage()
            windows.restore(state)
            windows.load(early)
        begin = 2000 + pause
        for start in range(begin, begin + 2400, 300):
            batches += windows.feed(both(start, start + 300))
        batches += windows.flush()
        return {
            batch.end_ns // S - T0: (batch.values_nT.tobytes(), batch.coverage.tolist()) for batch in batches
        }

    @pytest.mark.parametrize("again", [False, True])
    @pytest.mark.parametrize("pause", [1500, 4200, 6000, 9000, 60_000])
    def test_pause_is_the_same_whether_it_was_waited_for_or_not(self, pause: int, again: bool) -> None:
        waited = self.said(pause, waited=True, again=again)
        jumped = self.said(pause, waited=False, again=again)
        assert sorted(jumped) == sorted(waited)
        assert jumped == waited
        assert self.said(pause, waited=True, away=True, again=again) == waited
        assert self.said(pause, waited=False, away=True, again=again) == waited
        # The last samples before the pause are told of, and so is the silence after them.
        assert waited[2400][1] == pytest.approx([(2000 - 1200) / LENGTH] * 2)
        assert [0.0, 0.0] in [coverage for _, coverage in waited.values()] or pause < 2 * LENGTH

    def test_silence_of_all_is_told_as_far_as_it_can_be_revised(self) -> None:
        windows = stage()
        windows.feed(both(0, 600))
        batches = [batch for _ in range(100) for batch in windows.feed(Tick(600 * S))]
        assert ends(batches) == list(range(1200, 600 + CADENCE + REVISE + 1, CADENCE))
        assert windows.pair_clocks["MUO-PEL"] == (T0 + 60_600) * S


class TestRestart:
    def test_snapshot_of_another_version_is_refused(self) -> None:
        with pytest.raises(ValueError, match="version 99"):
            stage().restore({"version": 99})

    def test_restore_and_load_go_on_where_the_stage_was(self) -> None:
        first = stage()
        early = [*both(0, 700)]
        first.feed(early)
        state = first.snapshot()
        second = stage()
        second.restore(state)
        second.load(early)
        assert second.snapshot() == state
        later = both(700, 1200)
        (wanted,), (found,) = first.feed(later), second.feed(later)
        assert np.array_equal(wanted.values_nT, found.values_nT, equal_nan=True)
        assert wanted.coverage.tolist() == found.coverage.tolist()

    def test_load_moves_no_clock_and_counts_nothing(self) -> None:
        windows = stage()
        windows.load(both(0, 5000))
        assert windows.clocks == {}
        assert windows.too_late_samples == 0
        assert windows.flush() == []

    def test_downtime_is_not_counted(self) -> None:
        first = stage()
        first.feed([*both(0, 500), block(P, 500, 650)])
        second = stage()
        second.restore(first.snapshot())
        assert second.feed(Tick(69 * S)) == []
        assert ends(second.feed(Tick(1 * S))) == [600]

    def test_re_opened_windows_survive_a_restart(self) -> None:
        early = [block(P, 0, 300), block(P, 310, 600), block(E, 0, 600), *both(600, 1200)]
        first = stage()
        first.feed(early[:3])
        first.feed(early[3:])
        first.feed([block(P, 300, 310)])
        second = stage()
        second.restore(first.snapshot())
        second.load([*early, block(P, 300, 310)])
        assert ends(second.feed(Tick(10 * S))) == [600, 1200]

    def test_stations_and_pairs_that_are_gone_are_passed_over(self) -> None:
        first = stage(Pair(P, E), Pair("TAR", "BRZ"))
        first.feed([*both(0, 100), block("TAR", 0, 100)])
        second = stage()
        second.restore(first.snapshot())
        assert set(second.clocks) == {P, E}
