"""Windows of plasma data: padding, splitting, labels, activation maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from monitor.science.region import (
    Layer,
    class_activation,
    running_mean,
    standing_alone,
    tempered,
    window_label,
    window_part,
    windows_of,
    wrap_pad,
)
from monitor.types import REGIONS, SUPPORT_CELLS, WINDOW_CELLS, Region

SW, BS, MSH, MP = (
    REGIONS.index(one)
    for one in (Region.SOLAR_WIND, Region.BOW_SHOCK, Region.MAGNETOSHEATH, Region.MAGNETOPAUSE)
)


def ramp(cells: int) -> np.ndarray:
    return np.arange(cells, dtype=np.float32)[:, None] * np.ones(12, dtype=np.float32)


@pytest.mark.parametrize("cells", [1, 7, 13, 20, 21, 39, 40])
def test_wrap_pad_as_numpy_wraps(cells: int) -> None:
    before = (WINDOW_CELLS - cells) // 2
    expected = np.pad(ramp(cells), ((before, WINDOW_CELLS - cells - before), (0, 0)), mode="wrap")
    assert_array_equal(wrap_pad(ramp(cells)), expected)


def test_wrap_pad_ends_pad_the_beginning() -> None:
    found = wrap_pad(ramp(36))[:, 0]
    assert_array_equal(found[:4], [34, 35, 0, 1])
    assert_array_equal(found[-4:], [34, 35, 0, 1])


@pytest.mark.parametrize("cells", [0, 41])
def test_wrap_pad_of_a_wrong_length_refused(cells: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 40 cells, got {cells}"):
        wrap_pad(ramp(cells))


@pytest.mark.parametrize(("cells", "windows"), [(1, 1), (40, 1), (41, 2), (119, 3), (120, 3)])
def test_windows_of_a_long_block(cells: int, windows: int) -> None:
    found = windows_of(ramp(cells))
    assert found.shape == (windows, WINDOW_CELLS, 12)
    assert_array_equal(np.unique(found), np.arange(cells))
    assert_array_equal(found[-1], wrap_pad(ramp(cells)[(windows - 1) * WINDOW_CELLS :]))


def test_windows_of_nothing_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        windows_of(ramp(0))


def test_standing_alone_has_no_context() -> None:
    windows = np.stack([ramp(40), ramp(40) + 1.0])
    whole = standing_alone(windows)
    assert whole.shape == (2, SUPPORT_CELLS, 12)
    assert_array_equal(window_part(whole), windows)
    assert np.isnan(whole).sum() == 2 * 13 * 12


def test_label_of_one_region() -> None:
    assert window_label(np.full(40, MSH)) == (MSH, False)


@pytest.mark.parametrize(("share", "mixed"), [(28, False), (27, True)])
def test_label_by_the_majority(share: int, mixed: bool) -> None:
    cells = np.where(np.arange(40) < share, SW, MSH)
    assert window_label(cells) == (SW, mixed)


@pytest.mark.parametrize(
    ("layers", "label", "mixed"),
    [
        ([Layer(BS, 0.0, 40.0)], BS, False),
        ([Layer(BS, 18.2, 18.4)], BS, False),
        ([Layer(BS, -1.0, 3.0)], SW, True),
        ([Layer(BS, 38.0, 41.0)], SW, True),
        ([Layer(BS, -5.0, 45.0)], SW, True),
        ([Layer(BS, -5.0, 0.0), Layer(MP, 40.0, 50.0)], SW, False),
        ([Layer(BS, 5.0, 9.0), Layer(BS, 39.0, 42.0)], BS, False),
        ([Layer(BS, 5.0, 9.0), Layer(MP, 39.0, 42.0)], SW, True),
        ([Layer(BS, 5.0, 9.0), Layer(MP, 20.0, 22.0)], SW, True),
    ],
)
def test_label_by_the_layers(layers: list[Layer], label: int, mixed: bool) -> None:
    assert window_label(np.full(40, SW), layers) == (label, mixed)


def test_label_of_another_length_refused() -> None:
    with pytest.raises(ValueError, match="cells must have shape"):
        window_label(np.zeros(39, dtype=np.int64))


def test_activation_over_its_largest() -> None:
    assert_allclose(class_activation(np.array([-1.0, 0.0, 1.0, 4.0])), [0.0, 0.0, 0.25, 1.0])


def test_activation_where_nothing_is_positive() -> None:
    assert_allclose(
        class_activation(np.array([[-3.0, -2.0, -1.0], [-2.0, -2.0, -2.0]])), [[0, 0.5, 1], [1, 1, 1]]
    )


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_activation_between_nothing_and_one(scores: list[float]) -> None:
    found = class_activation(np.array(scores))
    assert found.min() >= 0.0
    assert found.max() == 1.0
    assert found[int(np.argmax(scores))] == 1.0


@pytest.mark.parametrize("cells", [1, 2, 5, 7, 40, 53, 64])
def test_running_mean_as_each_window_for_itself(cells: int) -> None:
    values = np.random.default_rng(1).normal(1e3, 1.0, (2, 200, 3)).astype(np.float32)
    starts = range(200 - cells + 1)
    expected = np.stack([values[:, at : at + cells].mean(axis=1, dtype=np.float64) for at in starts], axis=1)
    assert_allclose(running_mean(values, cells), expected, rtol=1e-13)


def test_running_mean_beside_what_is_not_finite() -> None:
    values = np.ones((100, 1))
    values[50] = np.nan
    found = running_mean(values)[:, 0]
    assert_array_equal(np.isnan(found), [11 <= begin <= 50 for begin in range(61)])
    assert_array_equal(found[:11], 1.0)


def test_running_mean_of_one_window() -> None:
    assert_allclose(running_mean(ramp(40)), np.full((1, 12), 19.5))


def test_running_mean_of_too_few_refused() -> None:
    with pytest.raises(ValueError, match="got 39"):
        running_mean(ramp(39))


def test_tempered_is_softer_above_one() -> None:
    logits = np.array([[2.0, 0.0, -1.0]])
    assert_allclose(tempered(logits, 1.0), np.exp(logits) / np.exp(logits).sum())
    assert tempered(logits, 2.0).max() < tempered(logits, 1.0).max() < tempered(logits, 0.5).max()
