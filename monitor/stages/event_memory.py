"""What is remembered for events: the windows that may still be revised, and the state before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.stages.crossing import Crossing, CrossingParameters, Look, Place, Watch
from monitor.stages.crossing_chain import ChainWatch, advance_chain
from monitor.types import Json

Happening = tuple[str | None, Crossing]
"""A crossing of a subject, or (None) of its group."""


@dataclass(frozen=True, slots=True)
class Group:
    """Subjects that a boundary passes one after the other (the pairs of a chain), or one subject under its own name.

    `merged` is whether the group has events of its own: a subject that is its own group has not.
    """

    name: str
    subjects: tuple[str, ...]

    @property
    def merged(self) -> bool:
        return self.subjects != (self.name,)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a window tells the machine of a group.

    `first` has the probability of the first side for each subject, `shown` whether the subject has a finding in this
    window, `fresh` whether what is said of the boundary rests on anything in it.
    """

    end_ns: int
    effective_ns: int
    first: tuple[float, ...]
    shown: tuple[bool, ...]
    fresh: bool
    place: Place | None

    def looks(self, subjects: Sequence[str]) -> list[Look]:
        """One for each subject."""
        return [
            Look(self.end_ns, self.effective_ns, first, self.fresh, self.place, name if shown else "")
            for name, first, shown in zip(subjects, self.first, self.shown, strict=True)
        ]

    def to_json(self) -> Json:
        """As a list; an unknown probability is null."""
        first = [one if math.isfinite(one) else None for one in self.first]
        shown = [int(one) for one in self.shown]
        return [
            self.end_ns,
            self.effective_ns,
            first,
            shown,
            int(self.fresh),
            self.place and list(self.place),
        ]

    @classmethod
    def from_json(cls, written: Json) -> Seen:
        """What `to_json` gave."""
        end_ns, effective_ns, first, shown, fresh, place = written
        return cls(
            end_ns,
            effective_ns,
            tuple(math.nan if one is None else one for one in first),
            tuple(map(bool, shown)),
            bool(fresh),
            None if place is None else (place[0], place[1], place[2]),
        )


@dataclass(slots=True, eq=False)
class Entry:
    """One remembered window: what it told, the state after it, and what it ended."""

    written: Json
    seen: Seen
    after: ChainWatch | None = None
    closed: tuple[Happening, ...] = ()


@dataclass(slots=True, eq=False)
class GroupMemory:
    """The remembered windows of a group in the order of time, and the state before the oldest."""

    group: Group
    base: ChainWatch
    base_ns: int | None = None
    entries: list[Entry] = field(default_factory=list)
    written: Json = None

    @classmethod
    def empty(cls, group: Group) -> GroupMemory:
        """Before the first window: no side is known."""
        return cls(group, ChainWatch(tuple(Watch() for _ in group.subjects)))

    @property
    def newest_ns(self) -> int | None:
        """End of the newest window, or None before the first."""
        return self.entries[-1].seen.end_ns if self.entries else self.base_ns

    def put(self, seen: Seen) -> bool:
        """Insert or replace a window; return whether it says something new."""
        place = len(self.entries)
        while place and self.entries[place - 1].seen.end_ns >= seen.end_ns:
            place -= 1
        written = seen.to_json()
        if place < len(self.entries) and self.entries[place].seen.end_ns == seen.end_ns:
            # As written: an unknown probability (NaN) is not equal to itself.
            if self.entries[place].written == written:
                return False
            self.entries[place] = Entry(written, seen)
        else:
            self.entries.insert(place, Entry(written, seen))
        for entry in self.entries[place:]:
            entry.after = None
        self.written = None
        return True

    def begin(self) -> int:
        """The place from which the machine must run."""
        place = len(self.entries)
        while place and self.entries[place - 1].after is None:
            place -= 1
        return place

    def advance(self, parameters: CrossingParameters, place: int) -> None:
        """Run the machine over the window at a place."""
        before = self.base if place == 0 else self.entries[place - 1].after
        assert before is not None
        entry, subjects = self.entries[place], self.group.subjects
        looks = entry.seen.looks(subjects)
        entry.after, entry.closed = advance_chain(
            parameters, before, subjects, looks, merged=self.group.merged
        )

    def happenings(self, place: int) -> list[Happening]:
        """What there is after the window at a place: what ended in the remembered ones, and what is open; groups first."""
        found = [one for entry in self.entries[: place + 1] for one in entry.closed]
        after = self.entries[place].after
        assert after is not None
        open_ones = [
            (name, watch.crossing) for name, watch in zip(self.group.subjects, after.watches, strict=True)
        ]
        found += [(name, crossing) for name, crossing in open_ones if crossing is not None]
        if after.crossing is not None:
            found.append((None, after.crossing))
        return sorted(found, key=lambda one: (one[0] is not None, one[1].start_ns, one[0] or ""))

    def forget(self, horizon_ns: int) -> None:
        """Fold windows that ended before the horizon into the state before the oldest."""
        count = sum(entry.seen.end_ns < horizon_ns for entry in self.entries[:-1])
        if count:
            last = self.entries[count - 1]
            assert last.after is not None
            self.base, self.base_ns = last.after, last.seen.end_ns
            del self.entries[:count]
            self.written = None

    def to_json(self) -> Json:
        """As nested lists; the same object again until something changes."""
        if self.written is None:
            windows = [entry.written for entry in self.entries]
            self.written = [list(self.group.subjects), self.base_ns, self.base.to_json(), windows]
        return self.written

    @classmethod
    def from_json(cls, group: Group, written: Json) -> GroupMemory:
        """What `to_json` gave of a group with these subjects."""
        _, base_ns, base, windows = written
        entries = [Entry(one, Seen.from_json(one)) for one in windows]
        return cls(group, ChainWatch.from_json(base), base_ns, entries, written)
