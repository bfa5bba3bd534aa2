"""What happens where a part of the pipeline raises: the others go on, and whoever listens is told.

A part that keeps no state is asked about all subjects (pairs, spacecraft) at once; where that raises, the batch is
halved and asked again, until only the subject that raises is left out. A part that keeps state is asked about one
subject at a time, or forgets the one that raised. Without a listener everything is raised as it is: an offline run
ends at the fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from monitor.types import WindowBatch

Watch = Callable[[str], AbstractContextManager[object]]
"""Called with a stage's name around each of its turns."""

B = TypeVar("B")
T = TypeVar("T")

ALL = ""
"""The subject of a part that has but one state for all."""
_NAMED = 3
_ERROR_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Failure:
    """One error that was caught.

    Attributes
    ----------
    part : str
        The stage that raised.
    subject : str
        What gets nothing now: a pair, a chain, a spacecraft; `ALL` where all that the part does is left out.
    error : Exception
    """

    part: str
    subject: str
    error: Exception


class Guard:
    """Lets parts fail alone, and knows which do.

    Parameters
    ----------
    watch : callable
        Called with a stage's name around each of its turns.
    on_failure : callable, optional
        Told of each subject that is left out. Without it nothing is caught.
    """

    def __init__(self, watch: Watch, on_failure: Callable[[Failure], None] | None = None) -> None:
        self._watch = watch
        self._on_failure = on_failure
        self._part = ""
        # By the place where it was caught and the subject: part and error of the last failure.
        self._failing: dict[tuple[str, str], tuple[str, str]] = {}

    @property
    def failing(self) -> dict[str, str]:
        """A line for each stage that raised and has not worked since for all of its subjects."""
        subjects: dict[str, list[str]] = defaultdict(list)
        errors: dict[str, str] = {}
        for (_, subject), (part, error) in self._failing.items():
            subjects[part].append(subject)
            errors[part] = error
        return {part: _line(part, subjects[part], errors[part]) for part in subjects}

    def watch(self, stage: str) -> AbstractContextManager[object]:
        """Say which stage has its turn: a failure is its failure."""
        self._part = stage
        return self._watch(stage)

    def alone(
        self,
        place: str,
        subject: str,
        call: Callable[[], Sequence[T]],
        give_up: Callable[[str], None] = lambda _subject: None,
        *,
        by_output: bool = False,
    ) -> list[T]:
        """What `call` gives; nothing where it raises, and `give_up` is called with the subject then.

        With `by_output` only a call that gives something shows that a part works again: others had nothing to do.
        """
        self._part = place
        try:
            found = list(call())
        except Exception as error:
            if self._on_failure is None:
                raise
            self._fail(place, subject, error)
            give_up(subject)
            return []
        if self._failing and (found or not by_output):
            self._failing.pop((place, subject), None)
        return found

    def together(
        self,
        place: str,
        batch: B,
        subjects: Callable[[B], Sequence[str]],
        cut: Callable[[B, int, int], B],
        call: Callable[[B], T],
        give_up: Callable[[str], None] = lambda _subject: None,
    ) -> list[T]:
        """What `call` gives for a batch; where it raises, for as much of it as it can be asked about.

        Parameters
        ----------
        place : str
            Where this is.
        subjects : callable
            Whom the rows of a batch are about.
        cut : callable
            Rows begin to end of a batch.
        call : callable
            May be asked about the same rows again.
        give_up : callable
            Called with a subject that is left out.
        """
        self._part = place
        try:
            found = call(batch)
        except Exception as error:
            if self._on_failure is None:
                raise
            names = subjects(batch)
            if len(names) < 2:
                self._fail(place, names[0] if names else ALL, error)
                for name in names:
                    give_up(name)
                return []
            middle = len(names) // 2
            return [
                one
                for begin, end in ((0, middle), (middle, len(names)))
                for one in self.together(place, cut(batch, begin, end), subjects, cut, call, give_up)
            ]
        if self._failing:
            for name in (*subjects(batch), ALL):
                self._failing.pop((place, name), None)
        return [found]

    def _fail(self, place: str, subject: str, error: Exception) -> None:
        self._failing[place, subject] = self._part, _shown(error)
        if self._on_failure is not None:
            self._on_failure(Failure(self._part, subject, error))


def rows_of(window: WindowBatch, begin: int, end: int) -> WindowBatch:
    """Some pairs of a batch, with the stations that they need."""
    index = window.station_index[begin:end]
    used, places = np.unique(index, return_inverse=True)
    return replace(
        window,
        pairs=window.pairs[begin:end],
        stations=tuple(window.stations[at] for at in used.tolist()),
        station_index=places.reshape(index.shape).astype(np.int64),
        values_nT=window.values_nT[used],
        coverage=window.coverage[used],
        offset_ns=window.offset_ns[used],
        notes=tuple(window.notes[at] for at in used.tolist()),
    )


def pairs_in(window: WindowBatch) -> list[str]:
    """Names of the pairs of a batch."""
    return [pair.name for pair in window.pairs]


def items_of(items: list[T], begin: int, end: int) -> list[T]:
    """Some of a list."""
    return items[begin:end]


def _line(part: str, subjects: Sequence[str], error: str) -> str:
    named = sorted(name for name in subjects if name != ALL)
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    of = f" for {', '.join(named[:_NAMED])}{more}" if named else ""
    return f"the stage {part} fails{of} ({error}): what it was asked is left out, please report this"


def _shown(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _ERROR_CHARACTERS else text[: _ERROR_CHARACTERS - 3] + "..."
