"""Ranges stretched about their middles."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from monitor.science.synthetic.craft.widening import widened
from monitor.science.synthetic.ranges import Range


@dataclass(frozen=True)
class _Ranges:
    even: Range = Range(10.0, 20.0)
    logarithmic: Range = Range(1.0, 100.0, log=True)
    touching: Range = Range(0.0, 1.0)
    below: Range = Range(-1.0, 0.0)
    signed: Range = Range(-4.0, 6.0)
    some_probability: float = 0.3


def test_widening_of_even_range_keeps_its_middle() -> None:
    even = widened(_Ranges(), 0.2).even
    assert (even.low, even.high) == pytest.approx((9.0, 21.0))


def test_widening_of_logarithmic_range_stays_positive_and_about_its_middle() -> None:
    wide = widened(_Ranges(), 0.5).logarithmic
    assert wide.log
    assert (wide.low, wide.high) == pytest.approx((10.0**-0.5, 10.0**2.5))


def test_widening_of_range_that_touches_zero_keeps_its_sign() -> None:
    wide = widened(_Ranges(), 0.5)
    assert wide.touching.low == 0.0
    assert wide.touching.high == pytest.approx(1.25)
    assert wide.below.high == 0.0
    assert (wide.signed.low, wide.signed.high) == pytest.approx((-6.5, 8.5))


def test_widening_by_nothing_changes_nothing() -> None:
    same = widened(_Ranges(), 0.0)
    for name in ("even", "logarithmic", "touching", "below", "signed"):
        assert getattr(same, name).low == pytest.approx(getattr(_Ranges(), name).low)
        assert getattr(same, name).high == pytest.approx(getattr(_Ranges(), name).high)


def test_widening_leaves_what_is_no_range() -> None:
    assert widened(_Ranges(), 0.5).some_probability == _Ranges().some_probability


def test_widening_by_negative_share_shrinks() -> None:
    assert widened(_Ranges(), -0.5).even.low == pytest.approx(12.5)


@pytest.mark.parametrize("share", [-1.0, -2.0, float("nan"), float("inf")])
def test_widening_by_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        widened(_Ranges(), share)
