"""A chain of pairs in one window: its findings side by side, and the plasmapause followed from window to window."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from monitor.science.plasmapause import UNLABELLED, Observation, advance, initial, observe, summarise
from monitor.science.plasmapause_parameters import PlasmapauseParameters
from monitor.science.profile import power_law
from monitor.stages.chain_memory import CHECKPOINT, KpMaxima, Memory, Window, written_pairs
from monitor.types import (
    CLASSES,
    Chain,
    ChainState,
    Finding,
    FloatArray,
    Illumination,
    Json,
    Label,
    Pair,
    Tick,
)

KpMaximum = Callable[[int, int], float | None]
"""The largest Kp of so many hours before a time (ns), or None where too little of it is known."""

_VERSION = 1
_HOUR_NS = 3_600_000_000_000
_SIGMAS = 1.6448536269514722  # the 90 % interval of a normal error


def no_kp(_hours: int, _end_ns: int) -> float | None:
    """Where nobody tells Kp."""
    return None


class ChainStage:
    """Puts the findings of a chain's pairs together, window by window, and follows its plasmapause.

    A window of a chain closes when all its pairs have come so far, or when the chain's clock (the largest product
    clock of its pairs) is the lateness past its end. A finding that comes later runs the filter forward again from
    there, and every window that changes goes out again. So what was said last of each window depends on the last
    finding of each pair and time alone, not on their order or pieces. A finding for a time longer ago than is
    remembered is left out and counted.

    A pair alone says too little: one that is in no chain has no plasmapause. A chain may have one pair only.

    Parameters
    ----------
    chains : sequence of Chain
        The outermost pair first. A pair without an L above 1 has no place in a chain.
    station_l : mapping of str to float
        L of the stations: how far apart those of a pair are.
    parameters : PlasmapauseParameters
    level, widest_l : float
        Of the interval of L_pp, and beyond which width none is stated.
    lateness_ns, remember_ns : int
        How long a window waits for its pairs, and how far back findings are revised.
    night : bool
        Whether pairs in penumbra and at night count too.
    alone : PlasmapauseParameters, optional
        For chains of one pair, which see no slope; else the same.

    Raises
    ------
    ValueError
        Two chains of one name; a pair of a chain that lies further out than the one before it.
    """

    # What a restart needs is in the state.
    lookback_ns = 0

    def __init__(
        self,
        chains: Sequence[Chain],
        station_l: Mapping[str, float],
        parameters: PlasmapauseParameters,
        *,
        level: float,
        widest_l: float,
        lateness_ns: int,
        remember_ns: int,
        night: bool = False,
        alone: PlasmapauseParameters | None = None,
    ) -> None:
        placed = _placed(chains)
        _check(placed)
        self._memories = {chain.name: Memory(chain) for chain in placed}
        self._station_l = station_l
        self._parameters, self._alone = parameters, alone or parameters
        self._level, self._widest_l = level, widest_l
        self._lateness_ns, self._remember_ns = lateness_ns, remember_ns
        self._night = night
        self._chains_of: dict[str, list[str]] = defaultdict(list)
        for chain in self.chains:
            for pair in chain.pairs:
                self._chains_of[pair.name].append(chain.name)
        self._snapshot: Json = None
        self.too_late_findings = 0

    @property
    def chains(self) -> tuple[Chain, ...]:
        """The chains as far as their pairs have an L above 1; those without any such pair are left out."""
        return tuple(memory.chain for memory in self._memories.values())

    def feed(
        self,
        items: Sequence[Finding] | Tick,
        clocks: Mapping[str, int] | None = None,
        kp_maximum: KpMaximum = no_kp,
        *,
        only: str | None = None,
    ) -> list[ChainState]:
        """The windows that close or change, in the order of time.

        Parameters
        ----------
        items : sequence of Finding, or Tick
        clocks : mapping of str to int, optional
            Product clock of each pair (ns) by its name.
        kp_maximum : callable, optional
            Asked of each window once, when it closes; later changes go through `kp_changed`.
        only : str, optional
            The one chain that is meant; else all of them.
        """
        changed: set[str] = set()
        meant = self._memories.keys() if only is None else {only}
        for finding in [] if isinstance(items, Tick) else sorted(items, key=lambda one: one.end_ns):
            for name in meant & set(self._chains_of.get(finding.pair.name, ())):
                memory = self._memories[name]
                newest_ns = memory.newest_ns
                if newest_ns is not None and finding.end_ns < newest_ns - self._remember_ns:
                    self.too_late_findings += 1
                    self._snapshot = None
                elif memory.put(finding):
                    changed.add(name)
        said = []
        for name in [name for name in self._memories if name in meant]:
            memory = self._memories[name]
            if memory.close(self._limit(memory, clocks or {})) or name in changed:
                said.extend(self._run(memory, kp_maximum))
        return sorted(said, key=lambda state: state.end_ns)

    def flush(self, kp_maximum: KpMaximum = no_kp) -> list[ChainState]:
        """End an offline run: close all windows, and return those that were open, in the order of time."""
        said = []
        for memory in self._memories.values():
            if memory.newest_ns is not None and memory.close(memory.newest_ns):
                said.extend(self._run(memory, kp_maximum))
        return sorted(said, key=lambda state: state.end_ns)

    def kp_changed(self, kp_maximum: KpMaximum) -> list[ChainState]:
        """Ask for Kp again, for every remembered window ; return those that change."""
        said = []
        for memory in self._memories.values():
            for window in memory.windows[: memory.closed]:
                kp = _kp(kp_maximum, window.end_ns)
                if kp != window.kp and window.said is not None:
                    window.kp = kp
                    window.said = replace(window.said, kp_maximum_12h=kp[0], kp_maximum_24h=kp[1])
                    said.append(window.said)
                    memory.written = self._snapshot = None
        return sorted(said, key=lambda state: state.end_ns)

    def forget(self, name: str) -> None:
        """Let a chain begin anew."""
        self._memories[name] = Memory(self._memories[name].chain)
        self._snapshot = None

    def snapshot(self) -> Json:
        """The remembered windows as JSON; the same object again until something changes, and so for each chain."""
        if self._snapshot is None:
            self._snapshot = {
                "version": _VERSION,
                "settings": self._settings(),
                "too_late": self.too_late_findings,
                "chains": {name: memory.write() for name, memory in self._memories.items()},
            }
        return self._snapshot

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; a chain whose pairs are others now begins anew.

        Raises
        ------
        ValueError
            Another version, or another model of the plasmapause.
        """
        if state.get("version") != _VERSION:
            raise ValueError(
                f"chain state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        if state["settings"] != self._settings():
            raise ValueError("the plasmapause was modelled otherwise when the state was stored")
        self.too_late_findings = state["too_late"]
        for name, written in state["chains"].items():
            memory = self._memories.get(name)
            if memory is not None and written_pairs(memory.chain) == written["pairs"]:
                self._memories[name] = Memory.read(memory.chain, written, self._is_used)
        self._snapshot = None

    def _settings(self) -> Json:
        return [self._parameters.to_json(), self._alone.to_json(), self._night]

    def _limit(self, memory: Memory, clocks: Mapping[str, int]) -> int:
        """Up to which end the windows of a chain are closed."""
        if memory.newest_ns is None or memory.closed == len(memory.windows):
            return 0
        names = [pair.name for pair in memory.chain.pairs]
        # Whoever has found something for a window has come as far as its end.
        clock_ns = max([memory.newest_ns, *(clocks[name] for name in names if name in clocks)])
        limit_ns = clock_ns - self._lateness_ns
        if len(memory.reached) == len(names):
            return max(limit_ns, min(memory.reached.values()))
        return limit_ns

    def _run(self, memory: Memory, kp_maximum: KpMaximum) -> list[ChainState]:
        """Run a chain forward to its newest closed window; return what changed."""
        self._snapshot = None
        said = []
        for place in range(memory.begin(), memory.closed):
            window = memory.windows[place]
            if window.kp is None:
                window.kp = _kp(kp_maximum, window.end_ns)
            state = self._turn(memory, place)
            if state != window.said:
                window.said = state
                said.append(state)
        self._forget(memory)
        return said

    def _turn(self, memory: Memory, place: int) -> ChainState:
        """Take the window at a place into the filter, and say what is known then."""
        chain, window = memory.chain, memory.windows[place]
        parameters = self._parameters if len(chain.pairs) > 1 else self._alone
        before_ns, state = memory.before(place)
        if before_ns is None or state is None:
            state = initial(parameters)
        else:
            state = advance(parameters, state, (window.end_ns - before_ns) / _HOUR_NS)
        seen = self._observation(chain, window)
        window.state = observe(parameters, state, seen)
        memory.passed(place)
        estimate = summarise(parameters, window.state, seen, self._level, self._widest_l)
        fit = power_law(seen.l_shell, np.exp(seen.ln_density), seen.sigma_ln)
        return window.state_of(chain, self._is_used, estimate, fit)

    def _forget(self, memory: Memory) -> None:
        """Fold what is longer ago than is remembered."""
        while memory.windows and memory.is_foldable(memory.windows[-1].end_ns - self._remember_ns):
            if memory.windows[CHECKPOINT - 1].state is None:
                # After a restart only the newest state is known.
                for place in range(CHECKPOINT):
                    self._turn(memory, place)
            memory.fold()

    def _observation(self, chain: Chain, window: Window) -> Observation:
        findings = [window.findings.get(pair.name) for pair in chain.pairs]
        used = [one if self._is_used(one) else None for one in findings]
        return observation(chain.pairs, used, self._station_l)

    def _is_used(self, finding: Finding | None) -> bool:
        return finding is not None and counts(finding, night=self._night)


def counts(finding: Finding, *, night: bool) -> bool:
    """Whether the plasmapause may rest on a finding: a resonance by day, or whenever it is where nights count."""
    return finding.label is not Label.NO_FREQ and (night or finding.illumination is Illumination.DAY)


def observation(
    pairs: Sequence[Pair],
    used: Sequence[Finding | None],
    station_l: Mapping[str, float],
) -> Observation:
    """What findings tell the plasmapause: one row for each pair, of which those without one say nothing.

    Parameters
    ----------
    pairs : sequence of Pair
        The outermost first, each with an L above 1.
    used : sequence of Finding or None
        For each of them.
    station_l : mapping of str to float
        L of the stations.
    """
    density = np.array([_density(one) for one in used], dtype=np.float64).reshape(-1, 3)
    density[~((density > 0.0) & np.isfinite(density)).all(axis=1)] = np.nan
    middle, low, high = np.log(density).T
    l_shell = np.array([pair.l_shell for pair in pairs], dtype=np.float64)
    label = [UNLABELLED if one is None else CLASSES.index(one.label) for one in used]
    return Observation(
        l_shell=l_shell,
        half_span_l=_half_spans(pairs, l_shell, station_l),
        ln_density=middle,
        sigma_ln=np.abs(high - low) / (2.0 * _SIGMAS),
        label=np.array(label, dtype=np.int64),
        ambiguous=np.array([one is not None and "harmonic_ambiguous" in one.flags for one in used]),
    )


def _half_spans(pairs: Iterable[Pair], l_shell: FloatArray, station_l: Mapping[str, float]) -> FloatArray:
    """Half the distance in L of each pair's stations; NaN where it is unknown or cannot be."""
    sides = np.array([[station_l.get(code, math.nan) for code in pair.stations] for pair in pairs])
    half = (sides[:, 0] - sides[:, 1]) / 2.0
    return np.where((half > 0.0) & (half < l_shell - 1.0), half, np.nan)


def _density(finding: Finding | None) -> tuple[float, float, float]:
    density = None if finding is None else finding.density
    if density is None:
        return (math.nan, math.nan, math.nan)
    return (density.density_amu_cm3, density.low_amu_cm3, density.high_amu_cm3)


def _kp(kp_maximum: KpMaximum, end_ns: int) -> KpMaxima:
    return kp_maximum(12, end_ns), kp_maximum(24, end_ns)


def _placed(chains: Sequence[Chain]) -> list[Chain]:
    """The chains as far as their pairs have an L above 1."""
    placed = [Chain(chain.name, tuple(filter(_is_placed, chain.pairs))) for chain in chains]
    return [chain for chain in placed if chain.pairs]


def _is_placed(pair: Pair) -> bool:
    """Whether a pair's L is that of a field line."""
    return pair.l_shell is not None and 1.0 < pair.l_shell < math.inf


def _check(chains: Sequence[Chain]) -> None:
    names = [chain.name for chain in chains]
    if len(set(names)) < len(names):
        raise ValueError(f"chains must have different names, not {names}")
    for chain in chains:
        for outer, inner in pairwise(chain.pairs):
            if (inner.l_shell or 0.0) > (outer.l_shell or 0.0):
                raise ValueError(f"chain {chain.name} must begin outside: {inner.name} follows {outer.name}")
