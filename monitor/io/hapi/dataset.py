"""Datasets of a store: which there are, what they hold, and their records.

The id of a dataset is `SUBJECT/FORM`, or `events`. Signals that the monitor injects to watch itself are no data.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.io.hapi.columns import Cell, Column, Document
from monitor.io.hapi.forms import EVENTS, FORMS, Form
from monitor.io.hapi.status import OK, OUT_OF_ORDER, UNKNOWN_DATASET, UNKNOWN_PARAMETER, HapiError, head
from monitor.io.hapi.times import TIME_LENGTH, duration_text, same_length, time_text
from monitor.io.store.archive import EventPlace, ProductArchive, Span
from monitor.types import SECOND_NS, SHADOW_CRAFT, SHADOW_PAIR, Json

logger = logging.getLogger(__name__)

TIME: Final = "Time"
_UNREAL: Final = frozenset({SHADOW_PAIR.name, SHADOW_CRAFT})
_TIME_COLUMN: Final = Column(TIME, "isotime", lambda _: None, length=TIME_LENGTH, is_known=True)
_EVENT_CADENCE_S: Final = 1.0
# Of a sample that shows what there is: enough to see, little enough to be quick.
_SAMPLE_CADENCES: Final = 48
_SECTION_LENGTH: Final = 200

Record = list[Cell]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One subject in one form.

    Attributes
    ----------
    id : str
    form : Form
    subject : str
        Empty for all.
    columns : tuple of Column
        Behind the time.
    span : Span
    cadence_s : float or None
        None for what happens when it happens.
    modified : str or None
        When something was written last, as it is given out.
    """

    id: str
    form: Form
    subject: str
    columns: tuple[Column, ...]
    span: Span
    cadence_s: float | None
    modified: str | None

    @property
    def stop_ns(self) -> int:
        """A time behind the last record."""
        return self.span.last_ns + round((self.cadence_s or _EVENT_CADENCE_S) * SECOND_NS)

    def chosen(self, names: Sequence[str]) -> tuple[Column, ...]:
        """The columns of these names, the time first and always; all of them where no name is given.

        Raises
        ------
        HapiError
            A name is unknown, comes twice, or before one that stands before it.
        """
        every = (_TIME_COLUMN, *self.columns)
        if not names:
            return every
        places = {column.name: place for place, column in enumerate(every)}
        if any(name not in places for name in names):
            raise HapiError(UNKNOWN_PARAMETER, "info lists those that there are")
        wanted = [places[name] for name in names]
        if any(after <= before for before, after in itertools.pairwise(wanted)):
            raise HapiError(OUT_OF_ORDER, "name each once, in the order of info")
        return tuple(every[place] for place in sorted({0, *wanted}))

    def info(self, columns: Sequence[Column], code: int = OK) -> dict[str, Json]:
        """The header: what the dataset is, with these of its columns."""
        stop_ns = self.stop_ns
        sample_s = _SAMPLE_CADENCES * (self.cadence_s or 86_400.0)
        described: dict[str, Json] = {
            **head(code),
            "startDate": time_text(self.span.first_ns),
            "stopDate": time_text(stop_ns),
            "timeStampLocation": self.form.stamp,
            "sampleStartDate": time_text(max(self.span.first_ns, stop_ns - round(sample_s * SECOND_NS))),
            "sampleStopDate": time_text(stop_ns),
            "description": self.form.description,
            "parameters": [column.describe() for column in columns],
        }
        if self.cadence_s is not None:
            described["cadence"] = duration_text(self.cadence_s)
        if self.modified is not None:
            described["modificationDate"] = self.modified
        return described

    def records(
        self, archive: ProductArchive, columns: Sequence[Column], start_ns: int, stop_ns: int
    ) -> Iterator[list[Record]]:
        """Yield the records in [start, stop) that have these columns (the time is the first), some at a time."""
        rest = columns[1:]
        for page in self._pages(archive, start_ns, stop_ns):
            records: list[Record] = []
            for time_ns, payload in page:
                document = parsed(payload)
                if document is not None:
                    record: Record = [time_text(time_ns)]
                    for column in rest:
                        record += column.cells(document)
                    records.append(record)
            if records:
                yield records

    def _pages(
        self, archive: ProductArchive, start_ns: int, stop_ns: int
    ) -> Iterator[list[tuple[int, bytes]]]:
        if self.form.name != EVENTS:
            yield from archive.pages(self.form.kind, self.subject, start_ns, stop_ns)
            return
        for page in archive.event_pages(EventPlace(start_ns), stop_ns):
            yield [(place.time_ns, payload) for place, payload in page if not is_unreal(place.subject)]


def datasets(archive: ProductArchive) -> list[dict[str, Json]]:
    """The catalog: ids and titles, by form and subject."""
    kinds = set(archive.kinds())
    found: list[dict[str, Json]] = []
    for form in FORMS.values():
        if form.kind not in kinds:
            continue
        if form.name == EVENTS:
            found.append({"id": EVENTS, "title": form.title})
        else:
            found += [
                {"id": f"{subject}/{form.name}", "title": f"{subject} {form.title}"}
                for subject in archive.spans(form.kind)
                if not is_unreal(subject)
            ]
    return found


def dataset(archive: ProductArchive, name: str, cadences_s: Mapping[str, float]) -> Dataset:
    """The dataset of an id.

    Parameters
    ----------
    archive : ProductArchive
    name : str
        The id.
    cadences_s : mapping
        Time from one product to the next, by kind.

    Raises
    ------
    HapiError
        There is none.
    """
    subject, _, form_name = name.rpartition("/")
    form = FORMS.get(form_name)
    if (
        len(name) > _SECTION_LENGTH
        or form is None
        or (form.name == EVENTS) != (name == EVENTS)
        or is_unreal(subject)
    ):
        raise HapiError(UNKNOWN_DATASET, "catalog lists those that there are")
    span = _span_of_events(archive) if name == EVENTS else archive.span(form.kind, subject)
    if span is None:
        raise HapiError(UNKNOWN_DATASET, "catalog lists those that there are")
    newest, last = (None, None) if name == EVENTS else _newest(archive, form.kind, subject)
    return Dataset(
        id=name,
        form=form,
        subject=subject,
        columns=form.columns(newest or {}),
        span=span,
        cadence_s=cadences_s.get(form.kind),
        modified=same_length((last or {}).get("published")),
    )


def is_unreal(subject: str) -> bool:
    """Whether a subject (of an event, `KIND/SUBJECT`) is an injected signal."""
    return subject.rpartition("/")[2] in _UNREAL


def _span_of_events(archive: ProductArchive) -> Span | None:
    spans = archive.spans("event").values()
    if not spans:
        return None
    return Span(min(span.first_ns for span in spans), max(span.last_ns for span in spans))


def _newest(archive: ProductArchive, kind: str, subject: str) -> tuple[Document | None, Document | None]:
    newest, last = archive.newest(kind, subject), archive.last_committed(kind, subject)
    return parsed(newest or b""), parsed(last or b"")


_decode = msgspec.json.Decoder().decode


def parsed(payload: bytes) -> Document | None:
    """The product in a payload; None where it was removed, or is damaged (of which the log tells)."""
    if not payload:
        return None
    try:
        found = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        logger.error("store: a product is damaged and left out: %s", error)
        return None
    return found if isinstance(found, dict) else None
