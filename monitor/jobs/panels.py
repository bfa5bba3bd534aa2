"""The panel plot of a spacecraft: what it measured, and the regions that were found, in the manner of the paper.

After Fig. 3 of Breuillard et al. (2020), doi:10.3389/fspas.2020.00055. `Panels` gathers what a run of the pipeline
says and writes a picture a spacecraft and, where the span is longer than a day, a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.errors import MonitorError
from monitor.io.files.series import SourceSeries
from monitor.jobs.flr.canvas import panels, save
from monitor.jobs.panels_drawing import Span, panel_figure
from monitor.types import SECOND_NS, Domain, Json, Product, iso_time

_DAY_NS = 86_400 * SECOND_NS
_DRAWN = ("time", "window_s", "label", "probability", "quality")
_WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class _Picture:
    """What one file shows."""

    craft: str
    span: Span
    name: str


class Panels:
    """The newest revision of what was said of spacecraft, for pictures of it.

    Parameters
    ----------
    path : Path
        `OUT.png`; of several spacecraft `OUT_MMS1.png`, of several days `OUT_2019-11-09.png`.
    series : sequence of SourceSeries
        What was measured; series of the ground are passed over.
    hop_ns : int
        From one label to the next.

    Raises
    ------
    MonitorError
        Where matplotlib is not installed, no picture can be written there, or there is no spacecraft to draw: all
        that can be known before the work is done.
    """

    def __init__(self, path: Path, series: Sequence[SourceSeries], hop_ns: int) -> None:
        if path.suffix.lower() != ".png":
            raise MonitorError(f"{path}: the panels are a PNG file; name it OUT.png")
        if not path.absolute().parent.is_dir():
            raise MonitorError(f"{path}: there is no folder {path.parent}; name another file")
        panels(1, 1, (1.0, 1.0))  # imports the library
        self._path, self._hop_ns = path, hop_ns
        self._series = [one for one in series if one.domain is Domain.CRAFT and one.count]
        if not self._series:
            raise MonitorError(
                f"{path}: the files hold no sample of a configured spacecraft to draw; name one with --craft ID"
            )
        self._regions: dict[tuple[str, int], Mapping[str, Json]] = {}
        self._events: dict[str, Mapping[str, Json]] = {}

    def take(self, products: Iterable[Product]) -> None:
        """Note regions and events, in the order in which they are made; other kinds are passed over."""
        for product in products:
            if product.kind == "region":
                # Of every step of a day, only what is drawn is kept.
                self._regions[product.subject, product.time_ns] = {key: product.body[key] for key in _DRAWN}
            elif product.kind == "event":
                about = product.body["properties"]
                self._events[about["data_id"]] = about

    def write(self) -> list[Path]:
        """Draw all spacecraft; return the files, by spacecraft and day.

        Raises
        ------
        MonitorError
            Where a file cannot be written.
        """
        return [self._draw(picture) for picture in _pictures(self._series)]

    def _draw(self, picture: _Picture) -> Path:
        craft = picture.craft
        figure = panel_figure(
            craft,
            picture.span,
            [one for one in self._series if one.source == craft],
            [body for (name, _), body in sorted(self._regions.items()) if name == craft],
            [
                about
                for about in self._events.values()
                if about["subject"] == craft and about.get("outcome") != _WITHDRAWN
            ],
            hop_ns=self._hop_ns,
        )
        path = self._path.with_stem(f"{self._path.stem}{picture.name}")
        try:
            return save(figure, path)
        except OSError as error:
            raise MonitorError(
                f"{path}: cannot be written ({error.strerror}); name another file with --panels"
            ) from error


def _pictures(series: Sequence[SourceSeries]) -> list[_Picture]:
    """The pictures that the series make: by spacecraft, and by day where they are of more than one."""
    spans: dict[str, Span] = {}
    for one in series:
        own = spans.get(one.source, Span(one.t0_ns, one.end_ns))
        spans[one.source] = Span(min(own.begin_ns, one.t0_ns), max(own.end_ns, one.end_ns))
    pictures = []
    for craft, span in sorted(spans.items()):
        name = f"_{craft}" if len(spans) > 1 else ""
        if span.end_ns - span.begin_ns <= _DAY_NS:
            pictures.append(_Picture(craft, span, name))
            continue
        for day in range(span.begin_ns // _DAY_NS, -(-span.end_ns // _DAY_NS)):
            part = Span(max(span.begin_ns, day * _DAY_NS), min(span.end_ns, (day + 1) * _DAY_NS))
            if any(
                one.source == craft and one.t0_ns < part.end_ns and part.begin_ns < one.end_ns
                for one in series
            ):
                pictures.append(_Picture(craft, part, f"{name}_{iso_time(day * _DAY_NS)[:10]}"))
    return pictures
