"""Measures of a chain: hand-counted tables, what is left out, intervals that know of sequences, bounds, and the rival."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.jobs.flr.bootstrap import resampler
from monitor.jobs.flr.criteria import Criterion, criteria
from monitor.jobs.flr.dataset import Outcomes
from monitor.jobs.flr.groups import f23_class_shares
from monitor.jobs.flr.measures import Measures, measure
from monitor.jobs.flr.rivals import compare

N, F, P = 0, 1, 2
CADENCE_NS = 1_800_000_000_000


def outcomes(label: list[int], final: list[int], **given: Any) -> Outcomes:
    """Each window its own sequence, by day at L = 2.5 and 20 mHz, read 1 % too high, unless `given` says otherwise."""
    n = len(label)
    truth = np.where(np.array(label) > 0, 0.02, np.nan)
    called = np.where(np.array(final) > 0, 0.0202, np.nan)
    columns: dict[str, Any] = {
        "sequence": np.arange(n),
        "end_ns": CADENCE_NS * np.arange(n),
        "truth_Hz": truth,
        "l_shell": np.full(n, 2.5),
        "step_s": np.ones(n),
        "illumination": np.full(n, "day"),
        "reason": np.full(n, "driven"),
        "pair": np.full(n, "TAR-BRZ"),
        "usable": np.ones(n, dtype=bool),
        "probability": np.full((n, 3), np.nan),
        "stage_one": np.array(final, dtype=np.int64),
        "frequency_Hz": called,
        "low_Hz": 0.95 * called,
        "high_Hz": 1.05 * called,
        "truth_read_Hz": 1.01 * truth,
        "truth_low_Hz": 0.96 * truth,
        "truth_high_Hz": 1.06 * truth,
        "physical": np.full(n, -1),
        "physical_Hz": np.full(n, np.nan),
        "novel": np.zeros(n, dtype=bool),
    }
    columns.update({name: np.asarray(value) for name, value in given.items()})
    return Outcomes(
        data="by hand",
        chain="test",
        label=np.array(label, dtype=np.int64),
        final=np.array(final, dtype=np.int64),
        **columns,
    )


MIXED = outcomes(
    label=[N] * 10 + [F] * 8 + [P] * 4,
    final=[N] * 7 + [F, F, P] + [F] * 6 + [N, P] + [P] * 3 + [N],
)
NOTHING = outcomes([], [], probability=np.empty((0, 3)))


def test_confusion_matrix_is_the_one_counted_by_hand() -> None:
    found = measure(MIXED).final
    assert found.confusion["all"] == found.confusion["day"] == [[7, 2, 1], [1, 6, 1], [1, 0, 3]]
    assert found.confusion["night"] == [[0, 0, 0]] * 3
    assert (found.freq_found["all"].hits, found.freq_found["all"].count) == (6, 8)
    assert (found.nofreq_passed["all"].hits, found.nofreq_passed["all"].count) == (3, 10)
    assert (found.pbl_found["L 2–3"].hits, found.pbl_found["L 2–3"].count) == (3, 4)
    assert (found.others_called_pbl.hits, found.others_called_pbl.count) == (2, 18)


def test_class_shares_of_f23_follow_from_its_two_ratios() -> None:
    none, freq, pbl = f23_class_shares()
    assert none + freq + pbl == pytest.approx(1.0)
    assert pbl / freq == pytest.approx(0.013)
    assert pbl / none == pytest.approx(0.020)
    assert (none, freq, pbl) == pytest.approx((0.3909, 0.6013, 0.00782), abs=1e-4)


def test_false_pbl_and_precision_at_f23_shares_are_the_hand_calculated_ones() -> None:
    """Rates 1/10 of NoFreq, 1/8 of Freq, 3/4 of PBL; 50 NoFreq and 1/0.013 Freq to one PBL."""
    found = measure(MIXED).final
    false, right = 50 * 0.1 + (1 / 0.013) / 8, 0.75
    assert found.others_called_pbl_at_f23.value == pytest.approx(false / (50 + 1 / 0.013))
    assert found.pbl_precision_at_f23.value == pytest.approx(right / (right + false))


def test_no_false_pbl_still_has_an_upper_bound() -> None:
    """None of 40 and 60 trials: at most the 5 % points of Clopper and Pearson, weighted with the shares."""
    label = [N] * 40 + [F] * 60 + [P] * 30
    found = measure(outcomes(label, label)).final
    others, precision = found.others_called_pbl_at_f23, found.pbl_precision_at_f23
    none, freq, _ = f23_class_shares()
    bound = (none * (1 - 0.05 ** (1 / 40)) + freq * (1 - 0.05 ** (1 / 60))) / (none + freq)
    assert (others.value, others.low) == (0.0, 0.0)
    assert others.high == pytest.approx(bound, rel=0.03)
    assert precision.value == precision.high == 1.0
    assert precision.low is not None
    assert precision.low < 0.3


def test_stage_one_and_final_are_judged_apart() -> None:
    found = measure(replace(MIXED, stage_one=np.zeros(22, dtype=np.int64)))
    assert found.stage_one.freq_found["all"].value == 0.0
    assert found.stage_one.nofreq_passed["all"].value == 0.0
    assert found.final.freq_found["all"].value == 0.75


def test_windows_are_grouped_by_light_and_band_and_unknown_ones_only_under_all() -> None:
    found = measure(
        outcomes(
            label=[F] * 6,
            final=[F, N, F, F, N, F],
            illumination=["day", "night", "penumbra", "night", "", "day"],
            l_shell=[1.45, 2.0, 6.7, 3.999, 4.0, np.nan],
        )
    ).final.freq_found
    assert {name: (share.hits, share.count) for name, share in found.items()} == {
        "all": (4, 6),
        "day": (2, 2),
        "penumbra": (1, 1),
        "night": (1, 2),
        "L 1.45–2": (1, 1),
        "L 2–3": (0, 1),
        "L 3–4": (1, 1),
        "L 4–5": (0, 1),
        "L 5–6.7": (1, 1),
    }


def test_ambiguous_and_unusable_windows_are_counted_apart_and_never_scored() -> None:
    found = measure(
        outcomes(
            label=[F, F, N, -1, -1, -1, -1],
            final=[F, N, F, F, N, P, N],
            usable=[True, False, False, True, False, True, True],
            reason=["driven", "driven", "gap", "between", "between", "spikes", ""],
        )
    )
    assert (found.windows, found.scored) == (7, 1)
    assert found.final.confusion["all"] == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert found.ambiguous.count == 4
    assert found.ambiguous.called == {"between": [1, 1, 0], "spikes": [0, 0, 1], "no reason given": [1, 0, 0]}
    assert found.unusable.count == 2
    assert found.unusable.called == {"Freq": [1, 0, 0], "NoFreq": [0, 1, 0]}


def test_errors_are_those_of_the_published_frequencies_of_rightly_called_windows() -> None:
    found = measure(
        outcomes(
            label=[F, F, F, P, F],
            final=[F, F, F, P, P],
            truth_Hz=[0.020, 0.020, 0.020, 0.010, 0.020],
            frequency_Hz=[0.021, 0.019, 0.0206, 0.0101, 0.090],
        )
    ).published
    every, pbl = found["all"]["all"], found["PBL"]["L 2–3"]
    assert every.count == 4
    assert every.median.value == pytest.approx(np.median([0.05, 0.05, 0.03, 0.01]))
    assert every.bias.value == pytest.approx(np.median([0.05, -0.05, 0.03, 0.01]))
    assert every.p90_mHz.value == pytest.approx(1.0)
    assert pbl.count == 1
    assert pbl.median.value == pytest.approx(0.01)
    assert found["Freq"]["all"].count == 3
    assert found["Freq"]["L 3–4"].median.value is None


def test_allowance_is_eight_per_cent_or_three_tenths_of_a_millihertz() -> None:
    """8 % of 3 mHz is 0.24 mHz, of 20 mHz 1.6 mHz: just inside and just outside each."""
    truth = np.array([0.003, 0.003, 0.020, 0.020])
    reading = truth + np.array([0.00030, 0.00031, -0.0016, -0.0017])
    found = measure(outcomes([F] * 4, [F] * 4, truth_Hz=truth, frequency_Hz=reading)).published["all"]["all"]
    assert (found.within.hits, found.within.count) == (2, 4)


def test_coverage_counts_truths_inside_the_interval_and_widths_are_relative() -> None:
    found = measure(
        outcomes(
            label=[F] * 4 + [P] * 2,
            final=[F] * 4 + [P] * 2,
            frequency_Hz=[0.02] * 6,
            low_Hz=[0.019, 0.0201, 0.015, np.nan, 0.02, 0.018],
            high_Hz=[0.021, 0.0210, 0.0199, np.nan, 0.03, 0.022],
        )
    ).published
    assert (found["Freq"]["all"].covered.hits, found["Freq"]["all"].covered.count) == (1, 3)
    assert found["PBL"]["all"].covered.value == 1.0
    assert found["Freq"]["all"].width == pytest.approx(0.1)
    assert measure(MIXED).asked["all"]["all"].covered.count == 12


def test_asked_readings_count_windows_that_the_chain_missed() -> None:
    found = measure(MIXED)
    assert found.published["all"]["all"].count == 9
    assert found.asked["all"]["all"].count == 12
    assert found.asked["all"]["all"].median.value == pytest.approx(0.01)


def test_calibration_error_is_that_of_windows_with_probabilities() -> None:
    """Four windows called with 0.75 of which three are right are perfect; two more that say 1 and are wrong are not."""
    sure, wrong = [0.25, 0.75, 0.0], [0.0, 1.0, 0.0]
    kind = {"label": [F, F, F, N], "final": [F] * 4}
    good = measure(outcomes(**kind, probability=[sure] * 4)).calibration
    assert good.count == 4
    assert good.top_label == pytest.approx(0.0)
    label = [*kind["label"], N, N, N]
    rows = [sure] * 4 + [wrong] * 2 + [[np.nan] * 3]
    bad = measure(outcomes(label, [F] * 7, probability=rows)).calibration
    assert bad.count == 6
    assert bad.top_label == pytest.approx(2 / 6)
    assert measure(MIXED).calibration.top_label is None


def test_agreement_with_the_physical_estimate_needs_label_and_frequency() -> None:
    found = measure(
        outcomes(
            label=[F, F, N, P, F],
            final=[F, F, N, F, F],
            frequency_Hz=[0.020, 0.020, np.nan, 0.020, 0.020],
            physical=[F, F, N, P, -1],
            physical_Hz=[0.021, 0.030, np.nan, 0.020, np.nan],
        )
    ).agreement
    assert (found.same_label.hits, found.same_label.count) == (3, 4)
    assert (found.same_frequency.hits, found.same_frequency.count) == (1, 2)
    assert (found.right_if_agreed.hits, found.right_if_agreed.count) == (2, 2)
    assert (found.right_if_not.hits, found.right_if_not.count) == (1, 2)


def test_novel_windows_are_shared_out_by_class() -> None:
    found = measure(outcomes([N, N, F, P], [N, N, F, P], novel=[True, False, False, True])).novel
    assert {name: share.value for name, share in found.items()} == {
        "all": 0.5,
        "NoFreq": 0.5,
        "Freq": 0.0,
        "PBL": 1.0,
    }


def test_empty_data_set_gives_none_everywhere_and_no_warning() -> None:
    found = measure(NOTHING)
    assert found.scored == 0
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["final"]["freq_found"]["all"]["value"] is None
    assert all(criterion.met is None for criterion in criteria(found))
    assert compare(NOTHING) == []


def test_json_of_all_measures_holds_the_numbers_and_no_nan() -> None:
    document = json.loads(json.dumps(measure(MIXED).to_json(), allow_nan=False))
    assert document["final"]["nofreq_passed"]["all"]["value"] == 0.3
    assert document["published"]["PBL"]["all"]["count"] == 3
    assert document["ambiguous"] == {"count": 0, "called": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final": np.zeros(21, dtype=np.int64)}, r"final has shape \(21,\); with 22 labels"),
        ({"label": np.full(22, 3)}, r"label holds 3; a class is -1 … 2"),
        ({"stage_one": np.full(22, -1)}, r"stage_one holds -1; a class is 0 … 2"),
        ({"illumination": np.full(22, "dusk")}, r"illumination holds 'dusk'"),
        ({"truth_Hz": np.zeros(22)}, r"truth_Hz holds 0"),
    ],
)
def test_outcomes_that_cannot_be_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(replace(MIXED, **change))


def test_interval_of_independent_windows_is_as_wide_as_the_binomial_one() -> None:
    n = 2000
    hit = np.arange(n) < 600
    found = resampler(np.arange(n), rounds=1000).share(hit, np.ones(n, dtype=bool))
    sigma = np.sqrt(0.3 * 0.7 / n)
    assert found.value == 0.3
    assert found.low == pytest.approx(0.3 - 1.645 * sigma, abs=0.2 * sigma)
    assert found.high == pytest.approx(0.3 + 1.645 * sigma, abs=0.2 * sigma)


def test_windows_that_only_repeat_their_sequence_make_no_interval_narrower() -> None:
    hit = np.random.default_rng(4).random(100) < 0.4
    ten = np.repeat(hit, 10)
    once = resampler(np.arange(100)).share(hit, np.ones(100, dtype=bool))
    often = resampler(np.repeat(np.arange(100), 10)).share(ten, np.ones(1000, dtype=bool))
    assert (often.count, often.sequences) == (1000, 100)
    assert (often.low, often.high) == (once.low, once.high)


def test_interval_covers_the_true_share_of_clustered_windows_nine_times_in_ten() -> None:
    """Sequences with a share of their own (Beta(2, 3), mean 0.4), 8 windows each: windows alone would cover far less."""
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(200):
        hit = (rng.random((60, 8)) < rng.beta(2, 3, (60, 1))).ravel()
        found = resampler(np.repeat(np.arange(60), 8)).share(hit, np.ones(480, dtype=bool))
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.4 <= found.high
    assert 0.82 < inside / 200 < 0.96


def test_thousands_of_sequences_are_drawn_in_blocks_with_the_same_width() -> None:
    n = 12_000
    hit = np.random.default_rng(5).random(n) < 0.2
    found = resampler(np.arange(n)).share(hit, np.ones(n, dtype=bool))
    assert found.sequences == n
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.645 * np.sqrt(0.16 / n), rel=0.2)


def test_one_sequence_alone_has_no_interval() -> None:
    found = measure(outcomes([F] * 4, [F, F, F, N], sequence=[7] * 4))
    share, error = found.final.freq_found["all"], found.published["all"]["all"].median
    assert (share.value, share.low, share.high, share.sequences) == (0.75, None, None, 1)
    assert error.value == pytest.approx(0.01)
    assert (error.low, error.high) == (None, None)


def test_quantile_interval_covers_the_true_median_nine_times_in_ten() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(150):
        values = rng.normal(size=150)
        (median,) = resampler(np.arange(150)).quantiles(values, np.ones(150, dtype=bool), (0.5,))
        assert median.low is not None
        assert median.high is not None
        inside += median.low <= 0.0 <= median.high
    assert 0.82 < inside / 150 < 0.97


def test_same_seed_gives_the_same_measures_and_another_seed_others() -> None:
    assert measure(MIXED) == measure(MIXED)
    other = measure(MIXED, seed=1)
    assert other != measure(MIXED)
    assert other.final.confusion == measure(MIXED).final.confusion


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="rounds is 0"):
        measure(MIXED, rounds=0)


def by_name(measures: Measures) -> dict[str, Criterion]:
    return {criterion.name: criterion for criterion in criteria(measures)}


def test_criteria_say_met_and_not_met_at_the_bound_itself() -> None:
    """23 of 25 Freq is 92 %; 1 of 25 NoFreq is 4 %; 21 of 25 PBL is 84 % and one sequence too few."""
    label = [F] * 25 + [N] * 25 + [P] * 25
    final = [F] * 23 + [N] * 2 + [N] * 24 + [F] + [P] * 21 + [N] * 4
    found = by_name(measure(outcomes(label, final)))
    assert found["Freq found, day"].value == pytest.approx(0.92)
    assert found["Freq found, day"].met is True
    assert found["Freq found, night"].met is None
    assert found["NoFreq passed on"].met is True
    assert found["PBL found"].met is False
    assert found["others called PBL, at F23's shares"].met is True
    assert found["|ε| median, L 2–3"].met is True
    assert found["within 8 % or 0.3 mHz, all L"].met is True
    assert found["90 % interval covers, Freq, L 2–3"].met is False  # all are covered: too wide is a fault too
    assert found["90 % interval covers, Freq, L 3–4"].met is None


def test_criterion_is_decided_only_where_its_interval_leaves_out_the_bound() -> None:
    label = [F] * 400 + [N] * 25
    found = by_name(measure(outcomes(label, [F] * 390 + [N] * 10 + [N] * 24 + [F])))
    assert found["Freq found, day"].decided
    assert not found["NoFreq passed on"].decided


def test_coverage_is_decided_only_where_its_interval_lies_on_one_side() -> None:
    """76 of 100 covered is too few beyond doubt, 86 is not; both are not met."""
    for covered, sure in ((76, True), (86, False)):
        inside = np.arange(100) < covered
        found = by_name(
            measure(
                outcomes([F] * 100, [F] * 100, low_Hz=np.where(inside, 0.0195, 0.0201), high_Hz=[0.021] * 100)
            )
        )["90 % interval covers, both classes, all L"]
        assert (found.met, found.decided) == (False, sure)
        assert found.asked == "87–93 %"
        assert found.sequences == 100


def test_where_the_physics_is_as_good_is_found_group_by_group() -> None:
    """By day both find all; by night the physics finds 8 of 10 and the chain 5, and reads twice as well."""
    label = [F] * 20 + [N] * 20
    found = outcomes(
        label,
        [F] * 15 + [N] * 5 + [N] * 20,
        illumination=["day"] * 10 + ["night"] * 10 + ["day"] * 20,
        physical=[F] * 18 + [N] * 2 + [N] * 18 + [F] * 2,
        physical_Hz=[0.0201] * 18 + [np.nan] * 22,
    )
    rows = {(row.figure, row.group): row for row in compare(found)}
    night = rows["Freq found", "night"]
    assert (night.chain, night.physics) == (0.5, 0.8)
    assert night.gain.value == pytest.approx(-0.3)
    assert night.as_good
    day = rows["Freq found", "day"]
    assert day.as_good
    assert not day.clear
    passed = rows["NoFreq passed on", "all"]
    assert (passed.chain, passed.physics, passed.as_good) == (0.0, 0.1, False)
    both = rows["Freq found less NoFreq passed on", "all"]
    assert both.gain.value == pytest.approx(0.75 - (0.9 - 0.1))
    error = rows["|ε| median", "all"]
    assert error.count == 15
    assert (error.chain, error.physics) == pytest.approx((0.01, 0.005))
    assert error.clear
    assert error.as_good
    assert ("PBL found", "all") not in rows


def test_data_without_a_physical_opinion_have_no_rival() -> None:
    assert compare(MIXED) == []
