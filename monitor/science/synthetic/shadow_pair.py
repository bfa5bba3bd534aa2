"""The shadow of a pair: a signal of known truth that goes through a running monitor beside the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from monitor.science.synthetic.ground import GroundSimulator
from monitor.science.synthetic.plasma import PlasmaModel
from monitor.science.synthetic.scenario import BLOCK_NS, Scenario
from monitor.types import SHADOW_HOLD_NS, SHADOW_L, SHADOW_PAIR, Label, SampleBlock, ShadowTruth

_KINDS: Final = (Label.FREQ, Label.PBL, Label.FREQ, Label.NO_FREQ)
_SATURATION: Final = (0.15, 0.6)
_PLASMAPAUSE_L: Final = (2.96, 3.04)
_REVERSED_SATURATION: Final = 0.3
_MIDDLE_LOCAL_H: Final = 10.0
_STREAM: Final = 1


@dataclass(frozen=True, slots=True)
class _State:
    label: Label
    simulator: GroundSimulator = field(repr=False)


class ShadowPair:
    """A pair that in turn resonates, resonates reversed, resonates elsewhere, and does not.

    Waves and noise are those of `GroundSimulator`, at ten in the morning all day long: a known answer is wanted at any
    hour. Where there is no resonance, the stations share nothing on even days, and on odd ones waves that no line
    rings in.

    Parameters
    ----------
    seed : int
        Draws the waves, the noise, and the state of each hold.
    """

    subject = SHADOW_PAIR.name
    kind = "flr"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        # Two, so that a request across the end of a hold costs no more.
        self._state = lru_cache(maxsize=2)(self._drawn)

    def blocks(self, begin_ns: int, end_ns: int) -> list[SampleBlock]:
        """H of both stations at `begin_ns` ≤ t < `end_ns` (whole seconds), a block for each and each hold."""
        found: list[SampleBlock] = []
        while begin_ns < end_ns:
            hold = begin_ns // SHADOW_HOLD_NS
            until_ns = min(end_ns, (hold + 1) * SHADOW_HOLD_NS)
            found += self._state(hold).simulator.blocks(begin_ns, until_ns)
            begin_ns = until_ns
        return found

    def truth(self, end_ns: int, length_ns: int) -> ShadowTruth | None:
        """Label and, where lines ring, √(f_P f_E) at the centre of the window (as in `synthetic.labels`)."""
        hold = (end_ns - 1) // SHADOW_HOLD_NS
        if end_ns - length_ns < hold * SHADOW_HOLD_NS:
            return None
        state = self._state(hold)
        if state.label is Label.NO_FREQ:
            return ShadowTruth(str(state.label))
        scenario = state.simulator.scenario
        lines_Hz = scenario.plasma.resonance_frequency_Hz(
            np.array(SHADOW_L), end_ns - length_ns // 2, scenario.longitude_deg
        )
        return ShadowTruth(str(state.label), float(np.sqrt(lines_Hz.prod())))

    def _drawn(self, hold: int) -> _State:
        rng = np.random.default_rng([self._seed, _STREAM, hold])
        saturation, plasmapause = float(rng.uniform(*_SATURATION)), float(rng.uniform(*_PLASMAPAUSE_L))
        label = _KINDS[hold % len(_KINDS)]
        is_reversed, is_resonant = label is Label.PBL, label is not Label.NO_FREQ
        shares_waves = is_resonant or (hold // len(_KINDS)) % 2 == 1
        middle_h = (hold + 0.5) * SHADOW_HOLD_NS / BLOCK_NS
        scenario = Scenario(
            stations=tuple(zip(SHADOW_PAIR.stations, SHADOW_L, strict=True)),
            start_ns=BLOCK_NS,
            seed=self._seed,
            # Where the middle of the hold is the middle of the morning.
            longitude_deg=15.0 * ((_MIDDLE_LOCAL_H - middle_h + 12.0) % 24.0 - 12.0),
            plasma=PlasmaModel(
                saturation=_REVERSED_SATURATION if is_reversed else saturation,
                plasmapause=((0, plasmapause),) if is_reversed else (),
            ),
            wave_power=1.0 if shares_waves else 0.0,
            resonant=is_resonant,
        )
        return _State(label, GroundSimulator(scenario))
