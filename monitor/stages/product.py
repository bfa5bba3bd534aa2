"""From estimates to the objects of the contract, with their revisions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.types import SECOND_NS, Json, Label, Product, ResonanceBatch, Tick, iso_time

_VERSION = 1
_GRACE_NS = 180 * SECOND_NS
_LEVEL = 0.9
_SIGMAS = 1.6448536269514722  # the 90 % interval of a normal error
_ESTIMATOR = "physical/1"


@dataclass(slots=True)
class _Issued:
    """The last revision of one object and what it said."""

    revision: int
    digest: str


class ProductStage:
    """Builds `flr` objects (and spectra, where wanted) and numbers their revisions.

    A revision rises only when the content changes; what says the same again is not sent again. A retained topic
    keeps the newest time: a revision of an older one goes out unretained.

    Parameters
    ----------
    cadence_ns, lateness_ns : int
        `valid_until` is time + cadence + lateness + 180 s.
    remember_ns : int
        How far back revisions are told apart (as far as late samples can change a product).
    spectra : bool
        Whether spectra go out too.
    """

    lookback_ns = 0

    def __init__(self, cadence_ns: int, lateness_ns: int, remember_ns: int, *, spectra: bool = False) -> None:
        self._valid_ns = cadence_ns + lateness_ns + _GRACE_NS
        self._remember_ns = remember_ns
        self._spectra = spectra
        self._issued: dict[str, dict[int, _Issued]] = {}

    def feed(self, items: Sequence[ResonanceBatch] | Tick) -> list[Product]:
        """The objects that are new or say something new."""
        if isinstance(items, Tick):
            return []
        products = []
        for batch in items:
            for row in range(len(batch.label)):
                product = self._issue(batch, row)
                if product is not None:
                    products.append(product)
                    if self._spectra and batch.spectrum.usable[row]:
                        products.append(_spectrum_product(batch, row, product.revision))
        return products

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return {
            "version": _VERSION,
            "issued": {
                subject: {str(time): [issued.revision, issued.digest] for time, issued in times.items()}
                for subject, times in self._issued.items()
            },
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"product state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        self._issued = {
            subject: {
                int(time): _Issued(int(revision), str(digest)) for time, (revision, digest) in times.items()
            }
            for subject, times in state["issued"].items()
        }

    def _issue(self, batch: ResonanceBatch, row: int) -> Product | None:
        window = batch.spectrum.window
        pair, time_ns = window.pairs[row], window.end_ns
        content = _flr_content(batch, row)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
        times = self._issued.setdefault(pair.name, {})
        before = times.get(time_ns)
        if before is not None and before.digest == digest:
            return None
        revision = 0 if before is None else before.revision + 1
        newest = max(times, default=time_ns)
        times[time_ns] = _Issued(revision, digest)
        for old in [time for time in times if time < max(newest, time_ns) - self._remember_ns]:
            del times[old]
        head = {
            "schema": "geospace/flr/1",
            "id": f"flr/{pair.name}/{iso_time(time_ns)}/{revision}",
            "pair": pair.name,
            "time": iso_time(time_ns),
            "effective_time": iso_time(time_ns - window.length_ns // 2),
            "window_s": window.length_ns / SECOND_NS,
            "revision": revision,
        }
        return Product(
            kind="flr",
            subject=pair.name,
            time_ns=time_ns,
            revision=revision,
            retained=time_ns >= newest,
            body=head | content,
            valid_until_ns=time_ns + self._valid_ns,
        )


def _flr_content(batch: ResonanceBatch, row: int) -> dict[str, Json]:
    """Everything of an `flr` object that revisions are judged by."""
    window, label = batch.spectrum.window, batch.label[row]
    frequency, sigma = float(batch.frequency_Hz[row]) * 1e3, float(batch.sigma_Hz[row]) * 1e3
    interval = (
        None
        if label is Label.NO_FREQ
        else [_number(max(0.0, frequency - _SIGMAS * sigma)), _number(frequency + _SIGMAS * sigma)]
    )
    stations = window.station_index[row].tolist()
    return {
        "label": str(label),
        # Nothing learned yet, so no calibrated probability: unknown is null (flag `physical_only`).
        "probability": None,
        "stage_one": None,
        "frequency_mHz": _number(frequency),
        "frequency_interval_mHz": interval,
        "interval_level": _LEVEL,
        "physical": {
            "frequency_mHz": _number(frequency),
            "sigma_mHz": _number(sigma),
            "cross_phase_deg": _number(math.degrees(float(batch.cross_phase_rad[row]))),
            "coherence": _number(float(batch.coherence[row])),
            "agrees": None,
            "timing_offset_s": _number(float(batch.timing_offset_s[row])),
            "timing_sigma_s": _number(float(batch.timing_sigma_s[row])),
        },
        "harmonic": None,
        "density_amu_cm3": None,
        "density_interval_amu_cm3": None,
        "density_alternatives": [],
        "l_shell": window.pairs[row].l_shell,
        "mlt_h": None,
        "illumination": None,
        "coverage": {
            window.stations[station]: _number(float(window.coverage[station])) for station in stations
        },
        "flags": _flags(batch, row),
        "model": {"classifier": _ESTIMATOR, "regressor": _ESTIMATOR},
    }


def _flags(batch: ResonanceBatch, row: int) -> list[str]:
    """Why there is no resonance, and what was done to the samples, in alphabetical order."""
    quality, window = batch.spectrum.quality, batch.spectrum.window
    stations = window.station_index[row]
    flags = {"physical_only"}.union(*(window.notes[station] for station in stations.tolist()))
    reason = batch.reason[row]
    if reason is not None:
        flags.add(reason)
    if batch.spectrum.usable[row]:
        if (quality.longest_gap_s[stations] > 0.0).any():
            flags.add("bridged")
        if (quality.spikes[stations] > 0).any():
            flags.add("despiked")
    return sorted(flags)


def _spectrum_product(batch: ResonanceBatch, row: int, revision: int) -> Product:
    spectrum, window = batch.spectrum, batch.spectrum.window
    pair, time = window.pairs[row], iso_time(window.end_ns)
    known = np.isfinite(spectrum.coherence[row])
    arrays = {
        "frequency_mHz": spectrum.frequency_Hz[known] * 1e3,
        "cross_phase_deg": np.degrees(spectrum.cross_phase_rad[row, known]),
        "amplitude_ratio": spectrum.amplitude_ratio[row, known],
        "coherence": spectrum.coherence[row, known],
    }
    body: dict[str, Json] = {
        "schema": "geospace/spectrum/1",
        "id": f"spectrum/{pair.name}/{time}/{revision}",
        "pair": pair.name,
        "time": time,
        "window_s": window.length_ns / SECOND_NS,
        "revision": revision,
        "smoothing_bins": int(spectrum.smoothing_bins[row]),
    }
    for name, values in arrays.items():
        body[name] = [_number(value) for value in values.tolist()]
    return Product("spectrum", pair.name, window.end_ns, revision, False, body)


def _number(value: float) -> float | None:
    """Seven significant digits; null where unknown."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
