"""A debounced label: what changes it, what does not, and what a hole does."""

from __future__ import annotations

import json
import math

import pytest
from region_stage_kit import T0_NS, probability

from monitor.science.debounce import FORGET_NS, INDEPENDENT_NS, Debounced, DebounceParameters, advance
from monitor.types import REGIONS, SECOND_NS

HOP_NS = 180 * SECOND_NS
PLAIN = DebounceParameters(1.1, HOP_NS)


def run(
    shares: list[tuple[str, float, str] | None],
    parameters: DebounceParameters = PLAIN,
    state: Debounced | None = None,
) -> list[str | None]:
    """Labels after each window, of which is said: the top region, its share, and who has the rest."""
    state = Debounced() if state is None else state
    labels: list[str | None] = []
    for number, one in enumerate(shares):
        given = None if one is None else probability(one[0], one[1], one[2])
        state = advance(parameters, state, T0_NS + number * parameters.hop_ns, given)
        labels.append(None if one is None or state.label is None else REGIONS[state.label])
    return labels


SW, MSH = ("SW", 0.9, "MSH"), ("MSH", 0.9, "SW")
WEAK = ("MSH", 0.6, "SW")


def test_first_window_is_taken_at_its_word() -> None:
    assert run([("LOBE", 0.51, "PS")]) == ["LOBE"]


def test_strong_window_changes_the_label_at_once() -> None:
    assert run([SW, MSH, MSH]) == ["SW", "MSH", "MSH"]


def test_weak_windows_add_up_until_they_suffice() -> None:
    # ln(0.6 / 0.4) is 0.405: the third makes 1.2.
    assert run([SW, WEAK, WEAK, WEAK]) == ["SW", "SW", "SW", "MSH"]


def test_the_sum_begins_anew_when_the_label_is_most_probable_again() -> None:
    assert run([SW, WEAK, WEAK, SW, WEAK, WEAK, SW]) == ["SW"] * 7


def test_the_sum_begins_anew_for_another_rival() -> None:
    other = ("FS", 0.6, "SW")
    assert run([SW, WEAK, WEAK, other, WEAK, WEAK]) == ["SW"] * 6


def test_short_gap_takes_the_evidence_and_leaves_the_label() -> None:
    assert run([SW, WEAK, WEAK, None, WEAK, WEAK, WEAK]) == ["SW", "SW", "SW", None, "SW", "SW", "MSH"]


def test_long_gap_takes_the_label_too() -> None:
    holes: list[tuple[str, float, str] | None] = [None] * (FORGET_NS // HOP_NS)
    assert run([SW, *holes, WEAK])[-1] == "MSH"
    assert run([SW, *holes[1:], WEAK])[-1] == "SW"


@pytest.mark.parametrize("hop_s", [4.5, 9.0, 22.5, 45.0])
def test_overlapping_windows_count_by_how_far_they_lie_apart(hop_s: float) -> None:
    hop_ns = round(hop_s * SECOND_NS)
    labels = run([SW] + [WEAK] * 200, DebounceParameters(1.1, hop_ns))
    # Three windows of 45 s make the change whatever the hop.
    assert labels.index("MSH") == math.ceil(round(1.1 / math.log(0.6 / 0.4) * INDEPENDENT_NS / hop_ns, 9))


def test_no_evidence_asked_for_takes_every_window_at_its_word() -> None:
    assert run([SW, WEAK, SW, WEAK], DebounceParameters(0.0, HOP_NS)) == ["SW", "MSH", "SW", "MSH"]


def test_even_certainty_is_not_infinite_evidence() -> None:
    parameters = DebounceParameters(20.0, HOP_NS)
    certain = ("MSH", 1.0, "SW")
    assert run([("SW", 1.0, "MSH"), certain, certain], parameters) == ["SW", "SW", "MSH"]


def test_state_goes_through_json() -> None:
    before = advance(PLAIN, Debounced(), T0_NS, probability(*SW))
    state = advance(PLAIN, before, T0_NS + HOP_NS, probability(*WEAK))
    assert state.rival is not None
    assert Debounced.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize(("evidence", "hop_ns"), [(-0.1, 1), (math.nan, 1), (math.inf, 1), (1.0, 0)])
def test_parameters_out_of_range_are_named(evidence: float, hop_ns: int) -> None:
    with pytest.raises(ValueError, match="hop_ns" if hop_ns == 0 else "evidence"):
        DebounceParameters(evidence, hop_ns)
