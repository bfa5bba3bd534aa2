"""Random pairs of stations to learn from: samples with everything in them, and the clean parts that they are made of.

`draw_case` draws what is there, `simulate` makes the samples. At station s

    H = g (κ Σ_n a_n h_n(f; f_n,s(t), Q_s) ∘ driver + direct) ∘ delay + local noise,   then clock, digitiser, mishaps

with h_n = 1 / (1 + i Q (f/f_n − f_n/f)) for the fundamental and the third harmonic. The first term is the resonant
part, the second (with the train that a monochromatic wave forces) the coherent, the third the local part: labels
come from their powers (`synthetic.labels`). Where two lines ring with one Q, their phases differ most at exactly
√(f_P f_E), for their responses depend on ln f alone, and mirror each other about that middle: this is the frequency of
the pair, across a steep plasmapause too, where no single field line has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monitor.science.synthetic.cases import Case, draw_case
from monitor.science.synthetic.disturbance import Mishaps, clock_lag_s, clocked, local_noise, mishaps
from monitor.science.synthetic.excitation import Excitation, Grid, driver_psd_nT2_Hz, excite
from monitor.science.synthetic.oscillator import BlockFilter, coloured_noise, oscillator, ringing_s
from monitor.science.synthetic.plasma import EQUATORIAL_FIELD_T
from monitor.science.synthetic.ranges import TEST, TRAINING, TROUBLES, CaseRanges, Range
from monitor.types import SECOND_NS, BoolArray, ComplexArray, FloatArray, IntArray

__all__ = [
    "TEST",
    "TRAINING",
    "TROUBLES",
    "Case",
    "CaseRanges",
    "CaseSeries",
    "Range",
    "draw_case",
    "simulate",
]

HOP_NS = 900 * SECOND_NS
"""Half the length of the blocks through which frequencies change; they are told at every hop."""
_MARGIN_NS = 2 * HOP_NS


@dataclass(frozen=True, slots=True)
class CaseSeries:
    """The samples of a case and what is true about them. Rows are the record's: poleward, equatorward by name.

    Attributes
    ----------
    case : Case
    H_nT : ndarray, shape (2, n)
        What the data logger sends: NaN is a gap.
    resonant_nT, coherent_nT, local_nT, jumps_nT, spikes_nT : ndarray, shape (2, n)
        Their sum is `H_nT` but for gaps and dead channels: oscillations of the field lines; main field, waves that
        no field line rings in, and what is slow; noise of the station, with that of its digitiser; steps; spikes.
    missing, dead : ndarray of bool, shape (2, n)
    times_ns : ndarray, shape (k,)
        Times of the following, every quarter of an hour.
    rings_Hz : ndarray, shape (k, 3)
        Fundamental of the field lines of the rows and, last, of the one midway in magnetic latitude.
    thirds_Hz : ndarray, shape (k, 3)
        Their third harmonics.
    quality : ndarray, shape (k, 2)
    clock_lag_s : ndarray, shape (k, 2)
    """

    case: Case
    H_nT: FloatArray
    resonant_nT: FloatArray
    coherent_nT: FloatArray
    local_nT: FloatArray
    jumps_nT: FloatArray
    spikes_nT: FloatArray
    missing: BoolArray
    dead: BoolArray
    times_ns: IntArray
    rings_Hz: FloatArray
    thirds_Hz: FloatArray
    quality: FloatArray
    clock_lag_s: FloatArray

    def window(self, end_ns: int, length_ns: int) -> slice:
        """Where the samples of [end − length, end) stand.

        Raises
        ------
        ValueError
            When the window is not within the case, or not on its samples.
        """
        case = self.case
        if not case.start_ns <= end_ns - length_ns <= end_ns <= case.end_ns:
            raise ValueError(f"the window must lie in [{case.start_ns}, {case.end_ns}), got end {end_ns}")
        if (end_ns - case.start_ns) % case.step_ns or length_ns % case.step_ns:
            raise ValueError(
                f"end and length must be on steps of {case.step_ns} ns, got {end_ns}, {length_ns}"
            )
        last = (end_ns - case.start_ns) // case.step_ns
        return slice(last - length_ns // case.step_ns, last)


def simulate(case: Case) -> CaseSeries:
    """Make the samples of a case: a function of the case alone."""
    grid = Grid(case.start_ns - _MARGIN_NS, case.step_ns, (case.span_ns + 2 * _MARGIN_NS) // case.step_ns)
    times = np.arange(grid.start_ns, case.end_ns + _MARGIN_NS + 1, HOP_NS, dtype=np.int64)
    rings, thirds = (_rings_Hz(case, times, harmonic) for harmonic in (1, 3))
    quality = _quality(case, times)
    excitation = excite(case, grid)
    parts = _on_the_ground(case, grid, excitation, rings, thirds, quality)
    parts[2] = np.stack([local_noise(case, row, grid) for row in (0, 1)])
    for row, station in enumerate(case.stations):
        if station.swapped_component:
            parts[:, row] = _east(case, row, grid, parts[:, row])
        if station.clock_offset_s or station.clock_ramp_s_h:
            parts[:, row] = [clocked(part, case, row, grid) for part in parts[:, row]]
    margin = _MARGIN_NS // case.step_ns
    parts = parts[:, :, margin : grid.count - margin]
    main_field = [EQUATORIAL_FIELD_T * 1e9 / np.sqrt(station.l_shell) for station in case.stations]
    parts[1] += np.array(main_field)[:, None]
    lag = np.stack([clock_lag_s(case, row, times.astype(np.float64)) for row in (0, 1)], axis=1)
    series = _recorded(case, parts, [mishaps(case, row, parts.shape[2]) for row in (0, 1)])
    series = replace(
        series, times_ns=times, rings_Hz=rings, thirds_Hz=thirds, quality=quality, clock_lag_s=lag
    )
    return _turned(series) if case.swapped_stations else series


def _rings_Hz(case: Case, times_ns: IntArray, harmonic: int) -> FloatArray:
    """Frequencies of poleward, equatorward and middle field line, shape (k, 3)."""
    shells = np.array([*(station.l_shell for station in case.stations), case.l_shell])
    return np.stack(
        [
            case.plasma.resonance_frequency_Hz(shells, time_ns, case.longitude_deg, harmonic)
            for time_ns in times_ns.tolist()
        ]
    )


def _quality(case: Case, times_ns: IntArray) -> FloatArray:
    """Q of both lines, shape (k, 2): less in the dark, at each end by its half."""
    dark = 1.0 - case.sunlight(times_ns.astype(np.float64)).mean(axis=0)
    base = np.array([station.quality for station in case.stations])
    quality: FloatArray = base * case.night_quality ** dark[:, None]
    return quality


def _on_the_ground(
    case: Case,
    grid: Grid,
    excitation: Excitation,
    rings_Hz: FloatArray,
    thirds_Hz: FloatArray,
    quality: FloatArray,
) -> FloatArray:
    """Resonant, coherent and (still zero) local part at both stations, shape (3, 2, count)."""
    hop = HOP_NS // case.step_ns
    tail = round(min(ringing_s(rings_Hz[:, :2], quality), 7200.0) / grid.step_s)
    blocks = BlockFilter(grid.count, hop, tail, grid.step_s)
    driver, direct = blocks.spectra(excitation.driver), blocks.spectra(excitation.direct)
    train = None if excitation.train is None else blocks.spectra(excitation.train)
    parts = np.zeros((3, 2, grid.count))
    for row, station in enumerate(case.stations):
        delay_s = (0.5 - row) * case.waves.delay_s
        way = station.gain * station.l_shell / 3.0 * np.exp(-2j * np.pi * blocks.frequency_Hz * delay_s)
        coherent = direct
        if case.coupling > 0.0:
            rows = (rings_Hz[:, row], thirds_Hz[:, row], quality[:, row])
            response = case.coupling * _response(blocks.frequency_Hz, *rows, case.third_harmonic)
            parts[0, row] = blocks.series(driver * response * way)
            if train is not None:
                coherent = direct + train * response
        parts[1, row] = blocks.series(coherent * way)
    return parts


def _response(
    frequency_Hz: FloatArray, first_Hz: FloatArray, third_Hz: FloatArray, quality: FloatArray, share: float
) -> ComplexArray:
    """Fundamental and third harmonic, shape (k, f)."""
    response = oscillator(frequency_Hz, first_Hz, quality)
    if share:
        response += share * oscillator(frequency_Hz, third_Hz, quality)
    return response


def _east(case: Case, row: int, grid: Grid, parts: FloatArray) -> FloatArray:
    """The parts (3, count) that the other horizontal component shows: little resonance, waves of its own."""
    rng = case.generator(f"east {row}")
    leak, common, own = rng.uniform(0.05, 0.25), rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.0)
    psd = driver_psd_nT2_Hz(case, grid.frequency_Hz, case.waves.driver_slope, 1.0)
    waves = own * coloured_noise(rng, case.waves.night_share * psd, grid.count, grid.step_s)
    return np.stack([leak * parts[0], common * parts[1], parts[2] + waves])


def _recorded(case: Case, parts: FloatArray, wrong: list[Mishaps]) -> CaseSeries:
    """Digitise the sum of the parts, shape (3, 2, n), and let the mishaps happen."""
    resonant, coherent, local = parts
    field = resonant + coherent + local
    quantum = np.array([station.quantum_nT for station in case.stations])[:, None]
    digitised = np.round(field / quantum) * quantum
    # The digitiser's error is noise of the station: the parts go on adding up to the record.
    local = local + (digitised - field)
    jumps, spikes = (np.stack([getattr(one, name) for one in wrong]) for name in ("jumps_nT", "spikes_nT"))
    missing = np.stack([one.missing for one in wrong])
    dead = np.zeros(missing.shape, dtype=np.bool_)
    record = digitised + jumps + spikes
    for row, one in enumerate(wrong):
        if one.dead_from is not None:
            dead[row, one.dead_from :] = True
            record[row, one.dead_from :] = record[row, max(0, one.dead_from - 1)]
    record[missing] = np.nan
    none = np.empty((0, 0))
    return CaseSeries(
        case, record, resonant, coherent, local, jumps, spikes, missing, dead,
        np.empty(0, dtype=np.int64), none, none, none, none,
    )  # fmt: skip


def _turned(series: CaseSeries) -> CaseSeries:
    """The same with the rows under each other's name."""
    names = ("H_nT", "resonant_nT", "coherent_nT", "local_nT", "jumps_nT", "spikes_nT", "missing", "dead")
    rows = {name: getattr(series, name)[::-1] for name in names}
    lines = {name: getattr(series, name)[:, [1, 0, 2]] for name in ("rings_Hz", "thirds_Hz")}
    pair = {name: getattr(series, name)[:, ::-1] for name in ("quality", "clock_lag_s")}
    return replace(series, **rows, **lines, **pair)
