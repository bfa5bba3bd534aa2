"""Tables of counts and the skill scores of them, against hand counts and formulas written out here."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from monitor.science.skill import (
    McsReading,
    TssReading,
    at_class_share,
    confusion,
    mcs,
    tss,
    without_pbl,
)
from monitor.types import IntArray

TABLE: IntArray = np.array([[80, 15, 5], [10, 28, 2], [1, 3, 6]])


def against_the_rest(table: IntArray, i: int) -> tuple[int, int, int, int]:
    """TP, FN, FP and TN of one class, counted cell by cell."""
    tp = fn = fp = tn = 0
    for row, column in product(range(table.shape[0]), repeat=2):
        cell = int(table[row, column])
        if row == i:
            tp, fn = (tp + cell, fn) if column == i else (tp, fn + cell)
        else:
            fp, tn = (fp + cell, tn) if column == i else (fp, tn + cell)
    return tp, fn, fp, tn


def eq1(tp: int, fn: int, fp: int, tn: int) -> float:
    return tp / (tp + fn) - fp / (fp + tn)


def test_confusion_has_the_truth_in_its_rows() -> None:
    truth, said = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 0, 2])
    assert confusion(truth, said, 3).tolist() == [[1, 1, 0], [1, 2, 0], [1, 0, 1]]


def test_confusion_of_no_windows_is_zero() -> None:
    none = np.array([], dtype=np.int64)
    assert confusion(none, none, 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        ([0, 3], [0, 0], "truth of window 1 is 3; the classes are 0 to 2"),
        ([-1, 0], [0, 0], "truth of window 0 is -1"),
        ([0, 0], [0, 7], "predicted of window 1 is 7"),
        ([0, 0], [0], "truth has 2 windows, predicted 1"),
        ([0.0, 1.0], [0, 0], "truth has shape .* type float64"),
        ([[0, 1]], [0, 0], "truth has shape"),
    ],
)
def test_confusion_of_what_is_no_class_is_refused(truth: object, said: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion(np.array(truth), np.array(said), 3)


def test_pbl_counts_as_nofreq_with_two_classes() -> None:
    assert without_pbl(np.array([0, 1, 2, 1, 2])).tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("reading", TssReading)
def test_tss_of_two_classes_is_equation_one_in_every_reading(reading: TssReading) -> None:
    """Detection and false alarms of F23's Fig. 4: 77 % of Freq found, 86 % of NoFreq kept."""
    assert tss(np.array([[86, 14], [23, 77]]), reading) == pytest.approx(0.77 - 0.14, abs=1e-12)


def test_tss_of_three_classes_is_the_mean_against_the_rest() -> None:
    expected = np.mean([eq1(*against_the_rest(TABLE, i)) for i in range(3)])
    assert tss(TABLE) == pytest.approx(expected, abs=1e-12)


def test_tss_of_freq_counts_pbl_with_nofreq() -> None:
    assert tss(TABLE, TssReading.FREQ) == pytest.approx(28 / 40 - (15 + 3) / (100 + 10), abs=1e-12)


def test_tss_of_hanssen_and_kuipers_is_the_textbook_sum() -> None:
    share = TABLE / 150
    expected = sum(share[i, i] - share[i].sum() * share[:, i].sum() for i in range(3))
    expected /= 1.0 - sum(share[i].sum() ** 2 for i in range(3))
    assert tss(TABLE, TssReading.HANSSEN_KUIPERS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("reading", TssReading)
def test_tss_is_one_when_all_is_right_and_zero_without_knowledge(reading: TssReading) -> None:
    truth = np.array([60, 30, 10])
    assert tss(np.diag(truth), reading) == pytest.approx(1.0)
    assert tss(np.outer(truth, [0.2, 0.5, 0.3]), reading) == pytest.approx(0.0, abs=1e-12)
    assert tss(np.outer(truth, [1.0, 0.0, 0.0]), reading) == pytest.approx(0.0, abs=1e-12)


def test_scores_of_many_tables_are_those_of_each() -> None:
    many = np.stack([TABLE, TABLE.T, np.diag([5, 4, 3])])
    for reading in TssReading:
        assert tss(many, reading).tolist() == [float(tss(one, reading)) for one in many]
    for meaning in McsReading:
        assert mcs(many, meaning).tolist() == [float(mcs(one, meaning)) for one in many]


def test_mcs_as_printed_takes_nofreq_for_the_positive_class() -> None:
    _, _, fp, tn = against_the_rest(TABLE, 0)
    assert (fp, tn) == (11, 39)  # resonances called NoFreq, and resonances called something else
    assert mcs(TABLE) == pytest.approx(0.25 * fp / (fp + tn) + 0.75 * tss(TABLE), abs=1e-12)


def test_mcs_in_the_other_readings_looks_at_the_nofreq_windows() -> None:
    rest = 0.75 * tss(TABLE)
    assert mcs(TABLE, McsReading.KEPT) == pytest.approx(0.25 * 80 / 100 + rest, abs=1e-12)
    assert mcs(TABLE, McsReading.RESONANCE_POSITIVE) == pytest.approx(0.25 * 20 / 100 + rest, abs=1e-12)


def test_mcs_takes_the_reading_of_tss_it_is_given() -> None:
    for reading in TssReading:
        expected = 0.25 * 11 / 50 + 0.75 * tss(TABLE, reading)
        assert mcs(TABLE, tss_reading=reading) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("reading", "perfect", "lost", "passed"),
    [
        (McsReading.AS_PRINTED, 0.75, 0.50, 0.75),
        (McsReading.KEPT, 1.0, 0.75, 1.0),
        (McsReading.RESONANCE_POSITIVE, 0.75, 0.75, 0.50),
    ],
)
def test_mcs_of_two_classes_charges_what_its_table_says(
    reading: McsReading, perfect: float, lost: float, passed: float
) -> None:
    for m, p in product((0.0, 0.1, 0.4, 1.0), repeat=2):
        table = np.array([[1.0 - p, p], [m, 1.0 - m]])
        assert mcs(table, reading) == pytest.approx(perfect - lost * m - passed * p, abs=1e-12)


def test_mcs_as_printed_charges_a_lost_resonance_once_and_a_false_one_twice() -> None:
    """Its first term cancels what losing resonances costs NoFreq in the macro mean."""
    detection = TABLE[0, 0] / TABLE[0].sum()
    others = eq1(*against_the_rest(TABLE, 1)) + eq1(*against_the_rest(TABLE, 2))
    assert mcs(TABLE) == pytest.approx(0.25 * (detection + others), abs=1e-12)


def test_mcs_as_printed_of_calling_everything_nofreq_is_a_quarter() -> None:
    assert mcs(np.array([[50, 0, 0], [40, 0, 0], [10, 0, 0]])) == pytest.approx(0.25)
    assert mcs(np.array([[50, 0], [40, 0]])) == pytest.approx(0.25)


def test_class_share_keeps_the_rates_and_changes_the_weights() -> None:
    scaled = at_class_share(TABLE, [0.6, 0.39, 0.01])
    assert scaled.sum(axis=1) == pytest.approx([0.6, 0.39, 0.01])
    assert scaled / scaled.sum(axis=1, keepdims=True) == pytest.approx(
        TABLE / TABLE.sum(axis=1, keepdims=True)
    )
    false_rate = (0.6 * 5 / 100 + 0.39 * 2 / 40) / 0.99
    assert scaled[:2, 2].sum() / scaled[:2].sum() == pytest.approx(false_rate, abs=1e-12)


def test_class_share_in_any_unit_is_the_same() -> None:
    assert at_class_share(TABLE, [600, 390, 10]) == pytest.approx(at_class_share(TABLE, [0.6, 0.39, 0.01]))


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ([0.5, 0.5, 0.0], "class_share of PBL is 0"),
        ([0.5, 0.5], r"class_share has shape \(2,\)"),
        ([0.5, 0.6, -0.1], "class_share is .*-0.1"),
        ([0.5, 0.5, np.nan], "class_share is .*nan"),
    ],
)
def test_class_share_that_is_none_is_refused(share: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        at_class_share(TABLE, share)


@pytest.mark.parametrize(("row", "name"), [(0, "NoFreq"), (1, "Freq"), (2, "PBL")])
def test_scores_without_a_class_name_it(row: int, name: str) -> None:
    table = TABLE.copy()
    table[row] = 0
    for score in (tss, mcs):
        with pytest.raises(ValueError, match=f"no window is {name}:"):
            score(table)
    with pytest.raises(ValueError, match=f"no window is {name}:"):
        at_class_share(table, [0.5, 0.3, 0.2])


def test_tss_of_freq_asks_only_for_freq_and_a_rest() -> None:
    without = TABLE.copy()
    without[2] = 0
    assert tss(without, TssReading.FREQ) == pytest.approx(28 / 40 - 15 / 100)
    without[0] = 0
    with pytest.raises(ValueError, match="no window is any class but Freq"):
        tss(without, TssReading.FREQ)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 4)])
def test_scores_of_what_is_no_table_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(\d,|4 classes"):
        tss(np.ones(shape))
