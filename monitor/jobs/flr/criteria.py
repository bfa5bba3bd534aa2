"""What the chain must reach, beside what it reaches: bounds as data, and one plain verdict each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from monitor.jobs.flr.bootstrap import UNKNOWN, Estimate, Share
from monitor.jobs.flr.groups import ALL, ERROR_SHARE
from monitor.jobs.flr.measures import Measures, Reading

Direction = Literal["at least", "at most", "between"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One figure, its bound, and whether it is met (None where no window can tell).

    Attributes
    ----------
    name : str
    value, low, high : float or None
        The figure, and its 90 % interval where there is one.
    bound : tuple of float
        One number, or two for `between`.
    direction : str
    met : bool or None
        Of the value itself, not of its interval.
    sequences : int or None
        How many independent ones the figure rests on, where it is one share or quantile.
    f23 : str
        What Foldes et al. (2023) state for L = 2.9, or empty.
    percent : bool
        Whether the figure is read in per cent.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    bound: tuple[float, ...]
    direction: Direction
    met: bool | None
    sequences: int | None
    f23: str = ""
    percent: bool = True

    @property
    def decided(self) -> bool:
        """Whether the whole interval lies on the value's side of the bound."""
        if self.value is None or self.low is None or self.high is None:
            return False
        return _side(self.low, self) == _side(self.high, self) == _side(self.value, self)

    @property
    def asked(self) -> str:
        """The bound as text."""
        return bound_text(self.bound, self.direction, self.percent)


@dataclass(frozen=True, slots=True)
class _Bound:
    name: str
    figure: Callable[[Measures], Estimate]
    bound: tuple[float, ...]
    direction: Direction
    f23: str = ""
    percent: bool = True
    sequences: Callable[[Measures], int | None] = lambda _: None


_COVERAGE: Final = (0.87, 0.93)
_OVERALL: Final = (
    _Bound("Freq found, day", lambda m: m.final.freq_found["day"], (0.92,), "at least", "83 %"),
    _Bound("Freq found, night", lambda m: m.final.freq_found["night"], (0.80,), "at least", "62 %"),
    _Bound("NoFreq passed on", lambda m: m.final.nofreq_passed[ALL], (0.04,), "at most", "11–14 %"),
    _Bound("PBL found", lambda m: m.final.pbl_found[ALL], (0.88,), "at least", "77 %"),
    _Bound(
        "others called PBL, at F23's shares",
        lambda m: m.final.others_called_pbl_at_f23,
        (0.002,),
        "at most",
    ),
    _Bound(
        "PBL precision, at F23's shares",
        lambda m: m.final.pbl_precision_at_f23,
        (0.75,),
        "at least",
        percent=False,
    ),
)
_CALIBRATION: Final = (
    _Bound("ECE, top label", lambda m: _plain(m.calibration.top_label), (0.03,), "at most", percent=False),
    _Bound("ECE, class-wise", lambda m: _plain(m.calibration.class_wise), (0.03,), "at most", percent=False),
)


def criteria(measures: Measures) -> list[Criterion]:
    """Hold the published figures of a chain against the bounds.

    Errors are asked for by band of L, coverage by class and by band. That the 90th percentile of the error is at
    most 8 %, or 0.3 mHz where that is more, is the same as that nine windows in ten are within it, and is asked so.
    """
    found = [_judged(measures, bound) for bound in _OVERALL]
    for band in measures.published[ALL]:
        found += [_judged(measures, bound) for bound in _errors(band)]
    for kind in measures.published:
        found += [_judged(measures, _coverage(kind, band)) for band in measures.published[kind]]
    return found + [_judged(measures, bound) for bound in _CALIBRATION]


def _errors(band: str) -> tuple[_Bound, _Bound]:
    def reading(measures: Measures) -> Reading:
        return measures.published[ALL][band]

    return (
        _Bound(
            f"|ε| median, {_band_name(band)}",
            lambda m: reading(m).median,
            (0.025,),
            "at most",
            "≲ 10 %",
            sequences=lambda m: reading(m).sequences,
        ),
        _Bound(
            f"within {100 * ERROR_SHARE:.0f} % or 0.3 mHz, {_band_name(band)}",
            lambda m: reading(m).within,
            (0.9,),
            "at least",
        ),
    )


def _coverage(kind: str, band: str) -> _Bound:
    name = f"90 % interval covers, {'both classes' if kind == ALL else kind}, {_band_name(band)}"
    return _Bound(name, lambda m: m.published[kind][band].covered, _COVERAGE, "between")


def _band_name(band: str) -> str:
    return "all L" if band == ALL else band


def _judged(measures: Measures, bound: _Bound) -> Criterion:
    figure = bound.figure(measures)
    return Criterion(
        name=bound.name,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        bound=bound.bound,
        direction=bound.direction,
        met=None if figure.value is None else _side(figure.value, bound) == 0,
        sequences=figure.sequences if isinstance(figure, Share) else bound.sequences(measures),
        f23=bound.f23,
        percent=bound.percent,
    )


def bound_text(bound: tuple[float, ...], direction: Direction, percent: bool = True) -> str:
    """A bound as people write it: ≥ 92 %, ≤ 0.03, 87–93 %."""
    ends = "–".join(f"{100.0 * end if percent else end:g}" for end in bound) + (" %" if percent else "")
    return ends if direction == "between" else f"{'≥' if direction == 'at least' else '≤'} {ends}"


def _side(value: float, bound: Criterion | _Bound) -> int:
    """0 where the bound is met, else on which side the value lies."""
    if bound.direction != "at most" and value < bound.bound[0]:
        return -1
    return int(bound.direction != "at least" and value > bound.bound[-1])


def _plain(value: float | None) -> Estimate:
    return UNKNOWN if value is None else Estimate(value, None, None)
