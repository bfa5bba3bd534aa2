"""A shadow: a pair or a spacecraft that is not there, and of which everything is known.

It keeps one state for a while (a *hold*) and then goes on to the next. A window in which the state changes has no
truth, and is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from monitor.types.samples import SECOND_NS, Pair, SampleBlock

SHADOW_PAIR: Final = Pair("INJP", "INJQ", 3.0)
SHADOW_L: Final = (3.2, 2.8)
"""L of the pair's poleward and equatorward station."""
SHADOW_HOLD_NS: Final = 6 * 3600 * SECOND_NS
"""How long the pair keeps a state: nine of twelve windows of two hours every half hour lie in one."""
SHADOW_CRAFT: Final = "INJECT"

_TOLERANCE: Final = 0.08
_TOLERANCE_HZ: Final = 0.3e-3


@dataclass(frozen=True, slots=True)
class ShadowTruth:
    """What a window of a shadow has to be labelled; `frequency_Hz` is that of `Freq` and `PBL`."""

    label: str
    frequency_Hz: float | None = None

    def is_recovered(self, label: str | None, frequency_Hz: float | None) -> bool:
        """Whether a product says so: the label, and the frequency within 8 % or 0.3 mHz."""
        if label != self.label:
            return False
        if self.frequency_Hz is None:
            return True
        if frequency_Hz is None:
            return False
        return abs(frequency_Hz - self.frequency_Hz) <= max(_TOLERANCE * self.frequency_Hz, _TOLERANCE_HZ)


class Shadow(Protocol):
    """Samples and truth as functions of time alone: whoever asks, and whenever, gets the same to the last bit."""

    @property
    def subject(self) -> str:
        """The pair or spacecraft that its products are about."""
        ...

    @property
    def kind(self) -> str:
        """Kind of its products: `flr` or `region`."""
        ...

    def blocks(self, begin_ns: int, end_ns: int) -> Sequence[SampleBlock]:
        """The samples that begin at `begin_ns` ≤ t < `end_ns`."""
        ...

    def truth(self, end_ns: int, length_ns: int) -> ShadowTruth | None:
        """What is true of the window that ends at `end_ns`; None where the state changes in it."""
        ...
