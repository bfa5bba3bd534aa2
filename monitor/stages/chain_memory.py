"""What the chain stage remembers of a chain, and how it is written down."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace

import numpy as np

from monitor.stages.track_memory import read_finding, write_finding
from monitor.types import (
    Chain,
    ChainState,
    Finding,
    Float32Array,
    Json,
    LineEnds,
    MassDensity,
    Pair,
    PlasmapauseEstimate,
    PowerLaw,
)

CHECKPOINT = 8
"""Every so many remembered windows the filter's state after one is kept: a revision re-runs from there."""

KpMaxima = tuple[float | None, float | None]
"""Largest Kp of the 12 and of the 24 hours before the end of a window."""


Used = Callable[[Finding | None], bool]
"""Whether the plasmapause may rest on a finding."""


@dataclass(slots=True, eq=False)
class Window:
    """One remembered window of a chain.

    Attributes
    ----------
    end_ns : int
    findings : dict of str to Finding
        What came in, by the name of the pair.
    written : dict of str to Json
        The same as JSON; made once.
    said : ChainState or None
        What went out last; None while the window is open.
    state : ndarray or None
        The filter's state after it, at checkpoints and in the newest closed window.
    kp : KpMaxima or None
        As they were when it was closed, or when Kp changed last.
    """

    end_ns: int
    findings: dict[str, Finding] = field(default_factory=dict)
    written: dict[str, Json] = field(default_factory=dict)
    said: ChainState | None = None
    state: Float32Array | None = None
    kp: KpMaxima | None = None

    def state_of(
        self, chain: Chain, used: Used, estimate: PlasmapauseEstimate, fit: PowerLaw | None
    ) -> ChainState:
        """The chain's state in this window, by what was made of its findings."""
        findings = tuple(self.findings.get(pair.name) for pair in chain.pairs)
        kp_12h, kp_24h = self.kp or (None, None)
        return ChainState(
            chain=chain,
            end_ns=self.end_ns,
            length_ns=next(one.length_ns for one in findings if one is not None),
            findings=findings,
            used=tuple(used(one) for one in findings),
            plasmapause=estimate,
            fit=fit,
            kp_maximum_12h=kp_12h,
            kp_maximum_24h=kp_24h,
        )

    def put(self, finding: Finding) -> bool:
        """Insert or replace a pair's finding; return whether it says something new."""
        name, written = finding.pair.name, write(finding)
        if self.written.get(name) == written:
            return False
        self.findings[name], self.written[name] = finding, written
        return True


@dataclass(slots=True, eq=False)
class Memory:
    """The remembered windows of one chain in the order of time, and the filter's state before the oldest.

    `closed` of them are closed: always the first ones. `reached` says up to which window end each pair has come.
    """

    chain: Chain
    windows: list[Window] = field(default_factory=list)
    closed: int = 0
    reached: dict[str, int] = field(default_factory=dict)
    base_ns: int | None = None
    base: Float32Array | None = None
    written: Json = None

    @property
    def newest_ns(self) -> int | None:
        """End of the newest window, or None before the first."""
        return self.windows[-1].end_ns if self.windows else None

    def put(self, finding: Finding) -> bool:
        """Insert or replace a finding; return whether it says something new."""
        end_ns, name = finding.end_ns, finding.pair.name
        place = bisect_left(self.windows, end_ns, key=lambda window: window.end_ns)
        if place == len(self.windows) or self.windows[place].end_ns != end_ns:
            self.windows.insert(place, Window(end_ns))
            # A window between or before closed ones is as closed as they are.
            self.closed += place < self.closed
        if not self.windows[place].put(finding):
            return False
        self.reached[name] = max(end_ns, self.reached.get(name, end_ns))
        self.written = None
        # No state rests on what was said before: not even where the run that should follow fails.
        for window in self.windows[place:]:
            window.state = None
        return True

    def close(self, limit_ns: int) -> bool:
        """Close the windows that end by a time; return whether there were any that were open."""
        before = self.closed
        while self.closed < len(self.windows) and self.windows[self.closed].end_ns <= limit_ns:
            self.closed += 1
        if self.closed > before:
            self.written = None
        return self.closed > before

    def begin(self) -> int:
        """The place from which the filter must run so that the state after the newest closed window is known."""
        place = self.closed
        while place and self.windows[place - 1].state is None:
            place -= 1
        return place

    def before(self, place: int) -> tuple[int | None, Float32Array | None]:
        """End of the window before a place and the state after it; None where nothing came before."""
        if place == 0:
            return self.base_ns, self.base
        window = self.windows[place - 1]
        return window.end_ns, window.state

    def passed(self, place: int) -> None:
        """Let go of the state before a place where a run goes on from it, unless it is a checkpoint."""
        if place and place % CHECKPOINT:
            self.windows[place - 1].state = None

    def is_foldable(self, horizon_ns: int) -> bool:
        """Whether all windows up to the first checkpoint are closed and ended before the horizon."""
        return self.closed > CHECKPOINT and self.windows[CHECKPOINT - 1].end_ns < horizon_ns

    def fold(self) -> None:
        """Let go of the windows up to the first checkpoint but for the state after them, which must be known."""
        last = self.windows[CHECKPOINT - 1]
        self.base_ns, self.base = last.end_ns, last.state
        del self.windows[:CHECKPOINT]
        self.closed -= CHECKPOINT
        self.written = None

    def write(self) -> Json:
        """As JSON; the same object again until something changes."""
        if self.written is None:
            newest = self.windows[self.closed - 1].state if self.closed else None
            self.written = {
                "pairs": written_pairs(self.chain),
                "base_ns": self.base_ns,
                "base": None if self.base is None else write_array(self.base),
                "closed": self.closed,
                "newest": None if newest is None else write_array(newest),
                "reached": self.reached.copy(),
                "windows": [
                    [one.end_ns, one.kp, one.written.copy(), None if one.said is None else _said(one.said)]
                    for one in self.windows
                ],
            }
        return self.written

    @classmethod
    def read(cls, chain: Chain, written: Json, used: Used) -> Memory:
        """What `write` gave for the same chain."""
        base, newest = written["base"], written["newest"]
        memory = cls(
            chain,
            [_read_window(chain, one, used) for one in written["windows"]],
            written["closed"],
            dict(written["reached"]),
            written["base_ns"],
            None if base is None else read_array(base),
            written,
        )
        if newest is not None:
            memory.windows[memory.closed - 1].state = read_array(newest)
        return memory


def written_pairs(chain: Chain) -> Json:
    """What makes a chain the same as it was when its memory was written."""
    return [[pair.poleward, pair.equatorward, pair.l_shell] for pair in chain.pairs]


def _said(state: ChainState) -> Json:
    """What was made of a window's findings; the rest of a state follows from them."""
    fit = state.fit
    return [list(astuple(state.plasmapause)), None if fit is None else list(astuple(fit))]


def _read_window(chain: Chain, written: Json, used: Used) -> Window:
    end_ns, kp, findings, said = written
    by_name = {pair.name: pair for pair in chain.pairs}
    window = Window(
        end_ns=end_ns,
        findings={name: read(by_name[name], one) for name, one in findings.items()},
        written=dict(findings),
        kp=None if kp is None else (kp[0], kp[1]),
    )
    if said is not None:
        (l_shell, low, high, confidence, inside, reason, by_label, by_gradient), fit = said
        estimate = PlasmapauseEstimate(
            l_shell, low, high, confidence, tuple(inside), reason, by_label, by_gradient
        )
        window.said = window.state_of(chain, used, estimate, None if fit is None else PowerLaw(*fit))
    return window


def write(finding: Finding) -> Json:
    """A finding as JSON: as the tracker writes it, and what came later (posterior, densities)."""
    track = finding.track_probability
    density = None if finding.density is None else _density(finding.density)
    return [
        write_finding(finding),
        None if track is None else list(track),
        density,
        [_density(one) for one in finding.alternatives],
    ]


def read(pair: Pair, written: Json) -> Finding:
    """What `write` gave."""
    core, track, density, alternatives = written
    return replace(
        read_finding(pair, core),
        track_probability=None if track is None else (track[0], track[1], track[2]),
        density=None if density is None else _read_density(density),
        alternatives=tuple(_read_density(one) for one in alternatives),
    )


def write_array(array: Float32Array) -> Json:
    """An array of float32 as its shape and its bytes in base64: every bit counts."""
    content = base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return [list(array.shape), content.decode("ascii")]


def read_array(written: Json) -> Float32Array:
    """What `write_array` gave."""
    shape, content = written
    return np.frombuffer(base64.b64decode(content), dtype="<f4").astype(np.float32).reshape(shape)


def _density(density: MassDensity) -> Json:
    return [
        density.density_amu_cm3,
        density.low_amu_cm3,
        density.high_amu_cm3,
        density.density_index,
        density.harmonic,
        str(density.ends),
    ]


def _read_density(written: Json) -> MassDensity:
    density, low, high, index, harmonic, ends = written
    return MassDensity(density, low, high, index, harmonic, LineEnds(ends))
