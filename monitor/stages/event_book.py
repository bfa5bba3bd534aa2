"""Events of one boundary: what was said of each crossing is held against what is known, and the difference is said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from monitor.stages.crossing import UNOBSERVED, Boundary, Crossing, CrossingParameters
from monitor.stages.event_memory import Group, GroupMemory, Happening, Seen
from monitor.stages.event_records import (
    BEGIN,
    END,
    UPDATE,
    WITHDRAWN,
    Record,
    adopted,
    matched,
    new_name,
    says_the_same,
    seeded,
)
from monitor.stages.notification import notification
from monitor.stages.product import number
from monitor.types import Json, Product, iso_time

_VERSION = 1


class Telling(Protocol):
    """What is told of a crossing beside its times: that differs from boundary to boundary."""

    def details(self, group: Group, subject: str, crossing: Crossing) -> dict[str, Json]:
        """Properties of its own; what is None is left out."""
        ...

    def topics(self, group: Group, source: str) -> list[str]:
        """Topics of the products of one window on which a crossing rests."""
        ...

    def position_deg(
        self, group: Group | None, subject: str, crossing: Crossing | None
    ) -> tuple[float, float] | None:
        """Longitude and latitude of a crossing, else of its subject, where they are known."""
        ...


class EventBook:
    """Says when one boundary passes a subject or a group of them, as notifications.

    What is said rests on the last window of each time alone, not on the order or the pieces in which they came: a
    revision runs the machine forward again. An event that it changes keeps its `data_id`; one that is no more ends
    `withdrawn`. A window for a time longer ago than is remembered is left out.

    A subject has events of its own once, in the first group that lists it. A group of one subject that bears the
    subject's name has no others.

    Parameters
    ----------
    boundary : Boundary
    groups : iterable of Group
    parameters : CrossingParameters
    telling : Telling
    linked : collection of str
        Kinds of products that events rest on.
    base_url : str
        Of the server that shows events.
    remember_ns : int
        How far back windows are revised.
    """

    def __init__(
        self,
        boundary: Boundary,
        groups: Iterable[Group],
        parameters: CrossingParameters,
        telling: Telling,
        *,
        linked: Collection[str],
        base_url: str,
        remember_ns: int,
    ) -> None:
        self._boundary = boundary
        self._groups = {group.name: group for group in groups}
        self._owner: dict[str, str] = {}
        for group in self._groups.values():
            for subject in group.subjects:
                self._owner.setdefault(subject, group.name)
        self._parameters = parameters
        self._telling = telling
        self._linked = frozenset(linked)
        self._base_url = base_url
        self._remember_ns = remember_ns
        self._memories: dict[str, GroupMemory] = {}
        self._records: dict[str, list[Record]] = {}
        self._revisions: dict[str, dict[int, int]] = {}
        self._snapshot: Json = None

    def feed(self, windows: Mapping[str, Sequence[Seen]], products: Iterable[Product]) -> list[Product]:
        """The updates that the windows of each group make; products of the same turn are linked."""
        for product in products:
            self._note(product)
        said = [product for name in list(self._records) for product in self._end_removed(name)]
        for name, own in windows.items():
            said += self._run(self._groups[name], own)
        return said

    def adopt(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from the newest stored notification of each, when every state is lost.

        ValueError for a document that is none.
        """
        for document in documents:
            record = adopted(self._boundary, document)
            if record is not None:
                self._records.setdefault(self._home(record.subject), []).append(record)
                self._snapshot = None

    def snapshot(self) -> Json:
        """The remembered windows and what was said, as JSON; the same object again until something changes."""
        if self._snapshot is None:
            self._snapshot = {
                "version": _VERSION,
                "settings": self._parameters.to_json(),
                "chains": {name: memory.to_json() for name, memory in self._memories.items()},
                "records": [record.to_json() for own in self._records.values() for record in own],
                "revisions": {
                    topic: [[time_ns, revision] for time_ns, revision in times.items()]
                    for topic, times in self._revisions.items()
                },
            }
        return self._snapshot

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version or other settings.

        A group whose subjects are others now begins anew, with what was said of it.
        """
        if state.get("version") != _VERSION:
            raise ValueError(
                f"event state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        if state["settings"] != self._parameters.to_json():
            raise ValueError("events were set otherwise when the state was stored")
        self._memories = {}
        for name, written in state["chains"].items():
            group = self._groups.get(name)
            if group is not None and list(group.subjects) == written[0]:
                memory = self._memories[name] = GroupMemory.from_json(group, written)
                for place in range(len(memory.entries)):
                    memory.advance(self._parameters, place)
        self._records = {}
        for record in map(Record.from_json, state["records"]):
            home = self._home(record.subject)
            record.adopted = record.adopted or home not in self._memories
            self._records.setdefault(home, []).append(record)
        self._revisions = {
            topic: {int(time_ns): int(revision) for time_ns, revision in times}
            for topic, times in state["revisions"].items()
        }
        self._snapshot = state

    def _home(self, subject: str) -> str:
        """The group in which a subject's events are found."""
        return subject if subject in self._groups else self._owner.get(subject, subject)

    def _note(self, product: Product) -> None:
        """Remember the revision of a product, for its id: the first is not worth it."""
        if product.kind in self._linked and product.revision:
            times = self._revisions.setdefault(product.topic, {})
            times[product.time_ns] = product.revision
            for old in [time_ns for time_ns in times if time_ns < product.time_ns - self._remember_ns]:
                del times[old]
            self._snapshot = None

    def _run(self, group: Group, windows: Sequence[Seen]) -> list[Product]:
        """Take in windows of one group, and say what is new after each that was not there before."""
        records = self._records.setdefault(group.name, [])
        memory = self._memories.get(group.name)
        if memory is None:
            first = min(windows, key=lambda seen: seen.end_ns)
            memory = self._memories[group.name] = seeded(group, records, first.effective_ns)
        heard_ns = memory.newest_ns
        changed = False
        for seen in windows:
            newest_ns = memory.newest_ns
            if newest_ns is None or seen.end_ns >= newest_ns - self._remember_ns:
                changed |= memory.put(seen)
        said: list[Product] = []
        if not changed:
            return said
        for place in range(memory.begin(), len(memory.entries)):
            memory.advance(self._parameters, place)
            if heard_ns is None or memory.entries[place].seen.end_ns >= heard_ns:
                said += self._tell(memory, place, records)
        newest_ns = memory.entries[-1].seen.end_ns
        memory.forget(newest_ns - self._remember_ns)
        records[:] = [
            one for one in records if one.is_open or one.said_ns >= newest_ns - 2 * self._remember_ns
        ]
        self._snapshot = None
        return said

    def _tell(self, memory: GroupMemory, place: int, records: list[Record]) -> list[Product]:
        """Hold what there is after a window against what was said, and say what differs."""
        happenings = [
            (subject, crossing)
            for subject, crossing in memory.happenings(place)
            if subject is None or self._owner[subject] == memory.group.name
        ]
        if not happenings and not records:
            return []
        base_ns, seen = memory.base_ns, memory.entries[place].seen
        live = [
            one
            for one in records
            if one.is_open
            or one.adopted
            or one.outcome == WITHDRAWN
            or base_ns is None
            or one.said_ns > base_ns
        ]
        known = matched(happenings, live, memory.group.name)
        # First what is no more: then a subject's last word is about what is.
        kept = {id(record) for record in known.values()}
        said = [
            self._end(record, WITHDRAWN, seen.end_ns)
            for record in live
            if id(record) not in kept and _is_missed(record, seen)
        ]
        joint: dict[tuple[int, int], str] = {}
        for order, (subject, crossing) in enumerate(happenings):
            record, products = self._say(memory, (subject, crossing), known.get(order), records, joint, seen)
            if subject is None:
                joint[crossing.to, crossing.begun_ns] = record.data_id
            said += products
        return said

    def _say(
        self,
        memory: GroupMemory,
        happening: Happening,
        record: Record | None,
        records: list[Record],
        joint: Mapping[tuple[int, int], str],
        seen: Seen,
    ) -> tuple[Record, list[Product]]:
        """Say of one crossing what was not said yet."""
        subject, crossing = happening
        name = memory.group.name if subject is None else subject
        part_of = None if crossing.part_of_ns is None else joint.get((crossing.to, crossing.part_of_ns))
        if part_of is None and record is not None:
            part_of = record.content.get("part_of")
        content = self._content(memory, name, crossing, part_of)
        if record is not None and record.adopted:
            # What is found just as it was said goes on from there; what looks otherwise has some time to come right.
            found = seen.end_ns >= record.said_ns and record.content == content
            if not record.is_open or (not found and seen.end_ns < _due_ns(record, seen)):
                return record, []
            record.adopted = False
            if says_the_same(self._parameters, record, content):
                record.content = content
                return record, []
        if record is not None and record.content == content:
            return record, []
        opened = record is None or record.outcome == WITHDRAWN
        if record is None:
            data_id, first = new_name(self._boundary, name, crossing, records)
            record = Record(name, crossing.to, data_id, crossing.start_ns, first - 1, BEGIN, 0, 0, 0, {})
            records.append(record)
        said = []
        if opened:
            begun = replace(crossing, end_ns=None, outcome=None)
            said.append(self._update(memory, record, BEGIN, begun, part_of))
        if crossing.end_ns is not None or not opened:
            state = UPDATE if crossing.end_ns is None else END
            said.append(self._update(memory, record, state, crossing, part_of))
        return record, said

    def _update(
        self, memory: GroupMemory, record: Record, state: str, crossing: Crossing, part_of: str | None
    ) -> Product:
        record.state, record.number = state, record.number + 1
        record.content = self._content(memory, record.subject, crossing, part_of)
        record.start_ns, record.said_ns = crossing.start_ns, crossing.said_ns
        record.stated_ns = crossing.stated_ns if crossing.end_ns is None else crossing.end_ns
        record.members = self._members(memory, record, crossing)
        return self._product(record, self._telling.position_deg(memory.group, record.subject, crossing))

    def _end(self, record: Record, outcome: str, said_ns: int) -> Product:
        """End an event that the machine does not know any more."""
        content = {key: value for key, value in record.content.items() if key != "datetime"}
        end_ns = max(record.start_ns, record.stated_ns)
        record.content = content | {
            "end_datetime": iso_time(end_ns),
            "time": iso_time(said_ns),
            "outcome": outcome,
        }
        record.state, record.number, record.adopted = END, record.number + 1, False
        record.stated_ns, record.said_ns = end_ns, said_ns
        last = (record.content.get("pairs") or [record.subject])[-1]
        return self._product(record, self._telling.position_deg(None, last, None))

    def _end_removed(self, home: str) -> list[Product]:
        """End what is open of a subject that is no longer configured."""
        if home in self._groups:
            return []
        self._snapshot = None
        return [
            self._end(record, UNOBSERVED, record.said_ns)
            for record in self._records.pop(home)
            if record.is_open
        ]

    def _content(
        self, memory: GroupMemory, subject: str, crossing: Crossing, part_of: str | None
    ) -> dict[str, Json]:
        """Everything of a notification that changes are judged by."""
        content: dict[str, Json] = {}
        if crossing.end_ns is None:
            content["datetime"] = iso_time(crossing.stated_ns)
        content["start_datetime"] = iso_time(crossing.start_ns)
        if crossing.end_ns is not None:
            content["end_datetime"] = iso_time(crossing.end_ns)
        content |= {
            "time": iso_time(crossing.said_ns),
            "kind": self._boundary.kind,
            "subject": subject,
            "direction": self._boundary.directions[crossing.to],
            **self._telling.details(memory.group, subject, crossing),
            "confidence": number(crossing.confidence),
            "outcome": crossing.outcome,
            "pairs": list(crossing.parts) or None,
            "part_of": part_of,
        }
        # What is not known is left out: the schema of notifications has no place for null.
        return {key: value for key, value in content.items() if value is not None}

    def _members(self, memory: GroupMemory, record: Record, crossing: Crossing) -> tuple[str, ...]:
        """Ids of the products on which an event rests, in the newest revision that is known, in the order of time."""
        revisions: dict[tuple[str, str], int] = {}
        for member in record.members:
            product, _, revision = member.rpartition("/")
            topic, _, time = product.rpartition("/")
            revisions[time, topic] = int(revision)
        for time_ns, source in crossing.evidence:
            for topic in self._telling.topics(memory.group, source):
                key = (iso_time(time_ns), topic)
                known = self._revisions.get(topic, {}).get(time_ns, 0)
                revisions[key] = max(revisions.get(key, 0), known)
        return tuple(f"{topic}/{time}/{revisions[time, topic]}" for time, topic in sorted(revisions))

    def _product(self, record: Record, position_deg: tuple[float, float] | None) -> Product:
        return Product(
            kind="event",
            subject=f"{self._boundary.kind}/{record.subject}",
            time_ns=record.named_ns,
            revision=record.number,
            retained=False,
            body=notification(
                record.data_id,
                record.number,
                record.state,
                record.content,
                members=record.members,
                position_deg=position_deg,
                base_url=self._base_url,
            ),
        )


def _is_missed(record: Record, seen: Seen) -> bool:
    """Whether the machine should know an event that it does not know."""
    if record.outcome == WITHDRAWN or (record.adopted and not record.is_open):
        return False
    return seen.end_ns >= _due_ns(record, seen)


def _due_ns(record: Record, seen: Seen) -> int:
    """The end of the window from which on the machine is expected to know an event.

    One that is known from its notification alone may be found somewhat later: the machine's past is not the same.
    """
    grace_ns = 2 * (seen.end_ns - seen.effective_ns) if record.adopted else 0
    return record.said_ns + grace_ns
