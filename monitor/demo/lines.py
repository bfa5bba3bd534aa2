"""What the demonstration prints: a line a label, aligned with the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.types import Json, Product

HEAD: Final = (
    f"{'window end (UT)':<20} {'pair':<8} {'L':>5}  {'label':<7} {'mHz':>6} {'90 %':>13} {'phase':>6} {'coh':>5}"
    f" {'amu/cm³':>7}  flags"
)

CHANGES_ONLY: Final = "a line where its region or quality changes: region, confidence, quality"
"""What stands in the columns of a spacecraft, and when."""


class Lines:
    """Prints each label, plasmapause and event in one line; of a spacecraft only what changes.

    A spacecraft has a label every three minutes, three a second at the demo's pace: what says the same region at the
    same quality is counted and not printed.

    Parameters
    ----------
    write : callable
        Takes a line.
    gone : callable
        Called once nobody reads any more.
    """

    def __init__(self, write: Callable[[str], None], gone: Callable[[], None]) -> None:
        self._write = write
        self._gone = gone
        self._shown: dict[str, tuple[int, Json, Json]] = {}
        self.labels = 0
        self.regions = 0
        self.events = 0

    def show(self, product: Product) -> None:
        """Print an object where it says something new."""
        line = _LINES.get(product.kind)
        if line is None:
            return
        self.labels += product.kind == "flr"
        self.regions += product.kind == "region" and product.revision == 0
        self.events += product.kind == "event" and product.body["properties"]["state"] == "begin"
        if product.kind == "region" and not self._changes(product):
            return
        try:
            self._write(line(product.body))
        except BrokenPipeError:
            # Nobody reads any more: the demo is over, and its last line says so to the caller.
            self._gone()

    def summary(self) -> str:
        """How much there was."""
        return f"{self.labels} labels of pairs, {self.regions} of spacecraft, {self.events} events"

    def _changes(self, product: Product) -> bool:
        """Whether a spacecraft's region or quality is another than before; what is revised later is past."""
        time_ns, *before = self._shown.get(product.subject, (0, None, None))
        now = [product.body["label"], product.body["quality"]]
        if product.time_ns < time_ns:
            return False
        self._shown[product.subject] = (product.time_ns, *now)
        return now != before


def label_line(body: Json) -> str:
    """One `flr` object in one line."""
    physical, interval = body["physical"], body["frequency_interval_mHz"]
    return (
        f"{body['time']:<20} {body['pair']:<8} {_text(body['l_shell'], '.2f'):>5}  {body['label']:<7} "
        f"{_text(body['frequency_mHz'], '.1f'):>6} "
        f"{'-' if interval is None else f'{interval[0]:.1f} – {interval[1]:.1f}':>13} "
        f"{_text(physical['cross_phase_deg'], '+.0f', '°'):>6} {_text(physical['coherence'], '.2f'):>5} "
        f"{_text(body['density_amu_cm3'], '.0f'):>7}  "
        f"{' '.join(flag for flag in body['flags'] if flag != 'physical_only')}"
    )


def plasmapause_line(body: Json) -> str:
    """One `plasmapause` object in one line: L_pp with its interval, or why it is unknown."""
    interval = body["l_interval"]
    return (
        f"{body['time']:<20} {body['chain']:<8} {_text(body['l_shell'], '.2f'):>5}  {'L_pp':<7} {'-':>6} "
        f"{'-' if interval is None else f'{interval[0]:.2f} – {interval[1]:.2f}':>13} {'-':>6} {'-':>5} {'-':>7}  "
        f"{' '.join([body['reason'] or '', *body['flags']]).strip()}"
    )


def region_line(body: Json) -> str:
    """One `region` object in one line: where the spacecraft is, how surely, and how far that can be trusted."""
    return (
        f"{body['time']:<20} {body['craft']:<8} {'-':>5}  {body['label'] or '-':<7} "
        f"{_text(body['confidence'], '.0%'):>6} {body['quality']:>13} {'-':>6} {'-':>5} {'-':>7}  "
        f"{' '.join(body['flags'])}"
    ).rstrip()


def event_line(body: Json) -> str:
    """One update of an event in one line."""
    about = body["properties"]
    return (
        f"{about['time']:<20} {about['subject']:<8} {_text(about.get('l_shell'), '.2f'):>5}  {'event':<7} "
        f"{about['kind']} {about['direction']}: {about['state']}"
    )


_LINES: Final = {
    "flr": label_line,
    "plasmapause": plasmapause_line,
    "region": region_line,
    "event": event_line,
}


def _text(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"
