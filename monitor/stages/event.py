"""From the states of chains to events: one for each crossing, and one for all that belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from monitor.stages.crossing import PLASMAPAUSE, UNOBSERVED, Crossing, CrossingParameters
from monitor.stages.event_memory import ChainMemory, Happening, Seen
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
from monitor.types import Chain, ChainState, Json, Product, Tick, iso_time

_VERSION = 1
_LINKED = frozenset({"flr", "plasmapause"})
"""Kinds of products that events rest on."""


class EventStage:
    """Says when the plasmapause passes a pair or a chain, as notifications.

    What is said rests on the last state of each time alone, not on the order or the pieces in which they came: a
    revision runs the machine forward again. An event that it changes keeps its `data_id`; one that is no more ends
    `withdrawn`. A state for a time longer ago than is remembered is left out.

    A pair has events of its own once, in the first chain that lists it. A chain of one pair that bears the pair's
    name has no others.

    Parameters
    ----------
    chains : sequence of Chain
        Every chain whose states will come, those of single pairs included.
    parameters : CrossingParameters
    base_url : str
        Of the server that shows events.
    remember_ns : int
        How far back states are revised.
    geometry : mapping of str to (float, float) or None
        Longitude and latitude (degrees) of each pair's middle.
    """

    # What a restart needs is in the state.
    lookback_ns = 0

    def __init__(
        self,
        chains: Sequence[Chain],
        parameters: CrossingParameters,
        *,
        base_url: str,
        remember_ns: int,
        geometry: Mapping[str, tuple[float, float] | None],
    ) -> None:
        self._chains = {chain.name: chain for chain in chains if chain.pairs}
        self._owner: dict[str, str] = {}
        for chain in self._chains.values():
            for pair in chain.pairs:
                self._owner.setdefault(pair.name, chain.name)
        self._parameters = parameters
        self._boundary = PLASMAPAUSE
        self._base_url = base_url
        self._remember_ns = remember_ns
        self._geometry = geometry
        self._memories: dict[str, ChainMemory] = {}
        self._records: dict[str, list[Record]] = {}
        self._revisions: dict[str, dict[int, int]] = {}
        self._snapshot: Json = None

    def feed(self, items: Sequence[ChainState | Product] | Tick) -> list[Product]:
        """The updates that the states make; products of the same turn come before them, and are linked.

        Raises
        ------
        ValueError
            For a state of a chain that is not configured; it names the chain.
        """
        if isinstance(items, Tick) or not items:
            return []
        states: dict[str, list[ChainState]] = {}
        for item in items:
            if isinstance(item, Product):
                self._note(item)
            elif item.chain.pairs:
                states.setdefault(item.chain.name, []).append(item)
        said = [product for name in list(self._records) for product in self._end_removed(name)]
        for name, own in states.items():
            if name not in self._chains:
                raise ValueError(f"chain {name} is not configured; there are {', '.join(self._chains)}")
            said += self._run(self._chains[name], own)
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

        A chain whose pairs are others now begins anew, with what was said of it.
        """
        if state.get("version") != _VERSION:
            raise ValueError(
                f"event state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        if state["settings"] != self._parameters.to_json():
            raise ValueError("events were set otherwise when the state was stored")
        self._memories = {}
        for name, written in state["chains"].items():
            chain = self._chains.get(name)
            if chain is not None and [pair.name for pair in chain.pairs] == written[0]:
                memory = self._memories[name] = ChainMemory.from_json(chain, written)
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
        """The chain in which a subject's events are found."""
        return subject if subject in self._chains else self._owner.get(subject, subject)

    def _note(self, product: Product) -> None:
        """Remember the revision of a product, for its id: the first is not worth it."""
        if product.kind in _LINKED and product.revision:
            times = self._revisions.setdefault(product.topic, {})
            times[product.time_ns] = product.revision
            for old in [time_ns for time_ns in times if time_ns < product.time_ns - self._remember_ns]:
                del times[old]
            self._snapshot = None

    def _run(self, chain: Chain, states: Sequence[ChainState]) -> list[Product]:
        """Take in states of one chain, and say what is new after each window that was not there before."""
        records = self._records.setdefault(chain.name, [])
        memory = self._memories.get(chain.name)
        if memory is None:
            first = min(states, key=lambda state: state.end_ns)
            effective_ns = first.end_ns - first.length_ns // 2
            memory = self._memories[chain.name] = seeded(chain, records, effective_ns)
        heard_ns = memory.newest_ns
        changed = False
        for state in states:
            newest_ns = memory.newest_ns
            if newest_ns is None or state.end_ns >= newest_ns - self._remember_ns:
                changed |= memory.put(Seen.of(state))
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

    def _tell(self, memory: ChainMemory, place: int, records: list[Record]) -> list[Product]:
        """Hold what there is after a window against what was said, and say what differs."""
        happenings = [
            (subject, crossing)
            for subject, crossing in memory.happenings(place)
            if subject is None or self._owner[subject] == memory.chain.name
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
        known = matched(happenings, live, memory.chain.name)
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
        memory: ChainMemory,
        happening: Happening,
        record: Record | None,
        records: list[Record],
        joint: Mapping[tuple[int, int], str],
        seen: Seen,
    ) -> tuple[Record, list[Product]]:
        """Say of one crossing what was not said yet."""
        subject, crossing = happening
        name = memory.chain.name if subject is None else subject
        part_of = None if crossing.part_of_ns is None else joint.get((crossing.to, crossing.part_of_ns))
        if part_of is None and record is not None:
            part_of = record.content.get("part_of")
        content = self._content(memory, name, crossing, part_of)
        if record is not None and record.adopted:
            if not record.is_open or seen.end_ns < _due_ns(record, seen):
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
        self, memory: ChainMemory, record: Record, state: str, crossing: Crossing, part_of: str | None
    ) -> Product:
        record.state, record.number = state, record.number + 1
        record.content = self._content(memory, record.subject, crossing, part_of)
        record.start_ns, record.said_ns = crossing.start_ns, crossing.said_ns
        record.stated_ns = crossing.stated_ns if crossing.end_ns is None else crossing.end_ns
        record.members = self._members(memory, record, crossing)
        return self._product(record, self._position_deg(memory, crossing, record.subject))

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
        return self._product(record, self._geometry.get(last))

    def _end_removed(self, home: str) -> list[Product]:
        """End what is open of a subject that is no longer configured."""
        if home in self._chains:
            return []
        self._snapshot = None
        return [
            self._end(record, UNOBSERVED, record.said_ns)
            for record in self._records.pop(home)
            if record.is_open
        ]

    def _content(
        self, memory: ChainMemory, subject: str, crossing: Crossing, part_of: str | None
    ) -> dict[str, Json]:
        """Everything of a notification that changes are judged by."""
        shells = {pair.name: pair.l_shell for pair in memory.chain.pairs}
        place = crossing.place
        l_shell = shells[crossing.parts[-1] if crossing.parts else subject]
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
            "l_shell": l_shell if place is None else number(place[0]),
            "l_interval": None if place is None else [number(place[1]), number(place[2])],
            "confidence": number(crossing.confidence),
            "outcome": crossing.outcome,
            "pairs": list(crossing.parts) or None,
            "part_of": part_of,
        }
        # What is not known is left out: the schema of notifications has no place for null.
        return {key: value for key, value in content.items() if value is not None}

    def _members(self, memory: ChainMemory, record: Record, crossing: Crossing) -> tuple[str, ...]:
        """Ids of the products on which an event rests, in the newest revision that is known, in the order of time."""
        revisions: dict[tuple[str, str], int] = {}
        for member in record.members:
            product, _, revision = member.rpartition("/")
            topic, _, time = product.rpartition("/")
            revisions[time, topic] = int(revision)
        for time_ns, source in crossing.evidence:
            topics = [f"plasmapause/{memory.chain.name}"] if memory.merged else []
            topics += [f"flr/{source}"] if source else []
            for topic in topics:
                key = (iso_time(time_ns), topic)
                known = self._revisions.get(topic, {}).get(time_ns, 0)
                revisions[key] = max(revisions.get(key, 0), known)
        return tuple(f"{topic}/{time}/{revisions[time, topic]}" for time, topic in sorted(revisions))

    def _position_deg(
        self, memory: ChainMemory, crossing: Crossing, subject: str
    ) -> tuple[float, float] | None:
        """Of a pair itself; of a chain, the pair nearest the plasmapause, else the one that crossed last."""
        if not crossing.parts:
            return self._geometry.get(subject)
        nearest = crossing.parts[-1]
        if crossing.place is not None:
            at = crossing.place[0]
            shells = [
                (abs(pair.l_shell - at), pair.name) for pair in memory.chain.pairs if pair.l_shell is not None
            ]
            nearest = min(shells, default=(0.0, nearest))[1]
        return self._geometry.get(nearest)

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
