"""From spectra to the `spectrum` objects of the contract, for whoever switches them on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.stages.ledger import RevisionLedger
from monitor.stages.product import number
from monitor.types import SECOND_NS, Json, Product, SpectrumBatch, Tick, iso_time


class SpectrumProductStage:
    """Builds `spectrum` objects of all usable pairs and numbers their revisions.

    Parameters
    ----------
    remember_ns : int
        How far back revisions are told apart.
    """

    lookback_ns = 0

    def __init__(self, remember_ns: int) -> None:
        self._ledger = RevisionLedger(remember_ns)

    def feed(self, items: Sequence[SpectrumBatch] | Tick) -> list[Product]:
        """The objects that are new or say something new."""
        if isinstance(items, Tick):
            return []
        made = (
            self._issue(spectrum, row)
            for spectrum in items
            for row in np.flatnonzero(spectrum.usable).tolist()
        )
        return [product for product in made if product is not None]

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return self._ledger.snapshot()

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        self._ledger.restore(state)

    def _issue(self, spectrum: SpectrumBatch, row: int) -> Product | None:
        window = spectrum.window
        pair, time = window.pairs[row].name, iso_time(window.end_ns)
        content = _content(spectrum, row)
        turn = self._ledger.turn(pair, window.end_ns, content)
        if turn is None:
            return None
        head = {
            "schema": "geospace/spectrum/1",
            "id": f"spectrum/{pair}/{time}/{turn.revision}",
            "pair": pair,
            "time": time,
            "window_s": window.length_ns / SECOND_NS,
            "revision": turn.revision,
        }
        return Product("spectrum", pair, window.end_ns, turn.revision, False, head | content)


def _content(spectrum: SpectrumBatch, row: int) -> dict[str, Json]:
    known = np.isfinite(spectrum.coherence[row])
    arrays = {
        "frequency_mHz": spectrum.frequency_Hz[known] * 1e3,
        "cross_phase_deg": np.degrees(spectrum.cross_phase_rad[row, known]),
        "amplitude_ratio": spectrum.amplitude_ratio[row, known],
        "coherence": spectrum.coherence[row, known],
    }
    content: dict[str, Json] = {"smoothing_bins": int(spectrum.smoothing_bins[row])}
    for name, values in arrays.items():
        content[name] = [number(value) for value in values.tolist()]
    return content
