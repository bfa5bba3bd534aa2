"""Sequences of windows, and their parting by time and by sequence: no sample on both sides."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import MonitorError
from monitor.jobs.flr.dataset import LabelledSpectra
from monitor.jobs.flr.splits import SHARES, number_sequences, split_by_sequence, split_by_time
from monitor.types import SECOND_NS, IntArray

CADENCE_NS = 1800 * SECOND_NS
LENGTH_NS = 7200 * SECOND_NS
START_NS = 1_504_742_400 * SECOND_NS


def windows(
    slots: list[int],
    pairs: list[str] | None = None,
    *,
    synthetic: bool = False,
    sequence: list[int] | None = None,
) -> LabelledSpectra:
    """Windows that end so many half hours after the start; their spectra are empty."""
    count = len(slots)
    pair = np.array(pairs if pairs is not None else ["TAR-BRZ"] * count, dtype=np.str_)
    end_ns = START_NS + CADENCE_NS * np.array(slots, dtype=np.int64)
    empty = np.zeros((count, 2), dtype=np.float32)
    return LabelledSpectra(
        source="a test",
        synthetic=synthetic,
        frequency_Hz=np.array([0.01, 0.02]),
        cross_phase_rad=empty,
        amplitude_ratio=empty,
        coherence=empty,
        smoothing_bins=np.full(count, 11),
        step_s=np.ones(count),
        l_shell=np.full(count, 2.9),
        sequence=number_sequences(pair, end_ns) if sequence is None else np.array(sequence, dtype=np.int64),
        pair=pair,
        end_ns=end_ns,
        label=np.zeros(count, dtype=np.int64),
        truth_Hz=np.full(count, np.nan),
        illumination=np.full(count, ""),
        reason=np.full(count, ""),
        usable=np.ones(count, dtype=np.bool_),
    )


class TestSequences:
    def test_sequence_breaks_after_more_than_four_cadences(self) -> None:
        assert windows([0, 1, 2, 6, 7, 12, 13]).sequence.tolist() == [0, 0, 0, 0, 0, 1, 1]

    def test_cadence_is_each_pairs_own(self) -> None:
        slots = [0, 1, 2, 7, 0, 10, 20, 60, 101]
        pairs = ["A-B"] * 4 + ["C-D"] * 5
        # Ten half hours are five cadences too many for A-B and one cadence for C-D.
        assert windows(slots, pairs).sequence.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 3]

    def test_another_pair_is_another_sequence(self) -> None:
        assert windows([0, 1, 2, 3], ["A-B", "A-B", "C-D", "C-D"]).sequence.tolist() == [0, 0, 1, 1]

    @pytest.mark.parametrize("slots", [[], [5]])
    def test_none_and_one_window_have_a_sequence_each(self, slots: list[int]) -> None:
        assert windows(slots).sequence.tolist() == [0] * len(slots)


class TestByTime:
    def test_parts_keep_their_shares_and_leave_out_what_overlaps(self) -> None:
        data = windows(list(range(1000)))
        train, validation, test = split_by_time(data)
        assert (train.size, validation.size, test.size) == (700, 147, 147)
        # Three windows begin before a moment and end after it; the one that begins at it shares no sample.
        assert train.tolist() == list(range(700))
        assert validation.tolist() == list(range(703, 850))
        assert test.tolist() == list(range(853, 1000))

    def test_moments_are_the_same_for_all_pairs(self) -> None:
        slots = [*range(400), *range(200, 600)]
        data = windows(slots, ["A-B"] * 400 + ["C-D"] * 400)
        parts = split_by_time(data)
        ends = [data.end_ns[part] for part in parts]
        for earlier, later in pairwise(ends):
            assert (later - LENGTH_NS).min() >= earlier.max()
        assert {str(name) for name in data.pair[parts[0]]} == {"A-B", "C-D"}

    def test_order_of_the_rows_makes_no_difference(self) -> None:
        slots = list(range(300))
        mixed = np.random.default_rng(1).permutation(300)
        straight = split_by_time(windows(slots))
        shuffled = split_by_time(windows(mixed.tolist()))
        for one, other in zip(straight, shuffled, strict=True):
            assert sorted(mixed[other].tolist()) == one.tolist()

    @given(
        slots=st.lists(st.integers(0, 3000), min_size=60, max_size=200, unique=True),
        first=st.floats(0.2, 0.7),
    )
    def test_no_sample_is_on_both_sides(self, slots: list[int], first: float) -> None:
        data = windows(sorted(slots))
        try:
            parts = split_by_time(data, (first, 1.0 - first))
        except MonitorError:
            return
        before, after = (data.end_ns[part] for part in parts)
        assert before.max() <= (after - LENGTH_NS).min()
        left = np.setdiff1d(np.arange(len(data)), np.concatenate(parts))
        assert ((data.end_ns[left] > before.max()) & (data.end_ns[left] - LENGTH_NS < before.max())).all()

    def test_synthetic_windows_have_no_time_to_be_parted_at(self) -> None:
        with pytest.raises(MonitorError, match="a test is synthetic and is parted by sequence, not by time"):
            split_by_time(windows(list(range(100)), synthetic=True))

    @pytest.mark.parametrize("slots", [[1], list(range(5))])
    def test_too_few_windows_are_refused(self, slots: list[int]) -> None:
        with pytest.raises(
            MonitorError, match=rf"of 3 would be empty: {len(slots)} windows cannot be parted"
        ):
            split_by_time(windows(slots))

    def test_nothing_cannot_be_parted(self) -> None:
        for split in (split_by_time, split_by_sequence):
            with pytest.raises(MonitorError, match="a test: holds no windows to be parted"):
                split(windows([]))


class TestBySequence:
    def data(self, lengths: list[int]) -> LabelledSpectra:
        sequence = np.repeat(np.arange(len(lengths)) * 7, lengths).tolist()
        return windows(list(range(len(sequence))), synthetic=True, sequence=sequence)

    def test_whole_sequences_fall_into_one_part_each(self) -> None:
        data = self.data(np.random.default_rng(2).integers(5, 20, 400).tolist())
        parts = split_by_sequence(data)
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(data)))
        sets = [set(data.sequence[part].tolist()) for part in parts]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 400
        for part, share in zip(parts, SHARES, strict=True):
            assert part.size / len(data) == pytest.approx(share, abs=0.005)

    def test_seed_decides_and_repeats(self) -> None:
        data = self.data([10] * 50)
        once, again, other = (split_by_sequence(data, seed=seed) for seed in (3, 3, 4))
        assert [part.tolist() for part in once] == [part.tolist() for part in again]
        assert [part.tolist() for part in once] != [part.tolist() for part in other]

    def test_parts_are_drawn_and_not_cut_in_order(self) -> None:
        train = split_by_sequence(self.data([10] * 200))[0]
        middle: IntArray = np.median(train).astype(np.int64)
        # The first 70 % of 2000 would have their median at 700.
        assert 900 < middle < 1100

    def test_fewer_sequences_than_parts_are_refused(self) -> None:
        with pytest.raises(MonitorError, match="cannot be parted by sequence so"):
            split_by_sequence(self.data([50, 50]))


@pytest.mark.parametrize(
    "shares", [(1.0,), (0.5, 0.6), (0.7, 0.3, 0.0), (1.2, -0.2), (), (float("nan"), 0.5)]
)
def test_shares_that_are_none_are_refused(shares: tuple[float, ...]) -> None:
    for split in (split_by_time, split_by_sequence):
        with pytest.raises(
            MonitorError, match=r"found the shares .*; give two or more, positive, that sum to 1"
        ):
            split(windows(list(range(100))), shares)
