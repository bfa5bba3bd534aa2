"""A label series without flicker: a change of the label needs evidence, window after window.

The rule is Page's cumulative sum [1]_ for the logarithm of odds between a new label and the standing one. It is causal:
a label is said once, with what is known by then.

References
----------
.. [1] Page, E. S. (1954), Continuous inspection schemes. Biometrika 41, 100-115,
   doi:10.1093/biomet/41.1-2.100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor.types import SECOND_NS, Json

INDEPENDENT_NS = 45 * SECOND_NS
"""Windows of three minutes that lie so far apart count in full; closer ones share most of what they say."""

FORGET_NS = 1800 * SECOND_NS
"""After a hole of this length the label is unknown again."""

_LEAST = 1e-6  # a probability that the network gives as 0 is not impossible


@dataclass(frozen=True, slots=True)
class DebounceParameters:
    """When a label changes.

    Attributes
    ----------
    evidence : float
        Logarithm of odds (0 or more) that a change needs; 0 takes every window at its word.
    hop_ns : int
        From window to window.

    Raises
    ------
    ValueError
        For a value out of its range; it names the value.
    """

    evidence: float
    hop_ns: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.evidence < math.inf:
            raise ValueError(f"evidence must be a number from 0, not {self.evidence}")
        if self.hop_ns <= 0:
            raise ValueError(f"hop_ns must be above 0, not {self.hop_ns}")

    @property
    def weight(self) -> float:
        """How much one window counts: in full where the next one hardly repeats it."""
        return min(1.0, self.hop_ns / INDEPENDENT_NS)


@dataclass(frozen=True, slots=True)
class Debounced:
    """The state after a window.

    Attributes
    ----------
    label : int or None
        The standing label; None where it is unknown.
    rival : int or None
        Another that has been the most probable in the last windows in a row.
    evidence : float
        What speaks for the rival against the label so far.
    end_ns : int or None
        End of the newest window that said anything.
    """

    label: int | None = None
    rival: int | None = None
    evidence: float = 0.0
    end_ns: int | None = None

    def to_json(self) -> Json:
        """As a list."""
        return [self.label, self.rival, self.evidence, self.end_ns]

    @classmethod
    def from_json(cls, written: Json) -> Debounced:
        """What `to_json` gave."""
        label, rival, evidence, end_ns = written
        return cls(label, rival, float(evidence), end_ns)


def advance(
    parameters: DebounceParameters, state: Debounced, end_ns: int, probability: Sequence[float] | None
) -> Debounced:
    """Take one window in.

    The label changes from `old` to `new` once the sum of w ln(p_new / p_old) reaches `evidence`, over the windows in
    which `new` has been the most probable in a row. The first window is taken at its word. After a hole the sum starts
    anew; after one longer than `FORGET_NS` so does the label.

    Parameters
    ----------
    parameters : DebounceParameters
    state : Debounced
        After the window before.
    end_ns : int
        Of this window; windows come in the order of time.
    probability : sequence of float, or None
        Of every label; None is a hole.

    Returns
    -------
    Debounced
        Its `label` is that of this window. A hole leaves the state as it is: it shows by its length alone.
    """
    if probability is None:
        return state
    since_ns = 0 if state.end_ns is None else end_ns - state.end_ns
    if since_ns > FORGET_NS:
        state = Debounced()
    elif since_ns > parameters.hop_ns:
        state = replace(state, rival=None, evidence=0.0)
    top = most_probable(probability)
    if state.label is None or top == state.label:
        return Debounced(top, None, 0.0, end_ns)
    before = state.evidence if state.rival == top else 0.0
    odds = math.log(max(probability[top], _LEAST) / max(probability[state.label], _LEAST))
    evidence = before + parameters.weight * odds
    # A hair less is enough: ten times a tenth is not quite one.
    if evidence >= parameters.evidence - 1e-9:
        return Debounced(top, None, 0.0, end_ns)
    return Debounced(state.label, top, evidence, end_ns)


def most_probable(probability: Sequence[float]) -> int:
    """The place of the largest probability, the first of equals."""
    return max(range(len(probability)), key=probability.__getitem__)
