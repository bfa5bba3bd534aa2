"""What was said of events: so that nothing is said twice, and a crossing that is revised keeps its name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from monitor.stages.crossing import RETURNED, Boundary, Crossing, CrossingParameters, Watch, joined
from monitor.stages.crossing_chain import ChainWatch
from monitor.stages.event_memory import Group, GroupMemory, Happening
from monitor.types import SECOND_NS, Json, iso_time

BEGIN, UPDATE, END = "begin", "update", "end"
WITHDRAWN = "withdrawn"
_ROOM = 1000


@dataclass(slots=True, eq=False)
class Record:
    """The newest update of an event.

    Attributes
    ----------
    subject : str
    to : int
        The side that is reached.
    data_id : str
    named_ns : int
        The start when the event was first said: it is part of `data_id`.
    number : int
        Of the update.
    state : str
        `begin`, `update` or `end`.
    start_ns, stated_ns : int
        Start, and end or else time of the newest evidence.
    said_ns : int
        End of the window that said so.
    content : dict
        The properties of the notification that changes are judged by.
    members : tuple of str
        Ids of products.
    adopted : bool
        Known from its notification alone: the machine has not seen it yet.
    """

    subject: str
    to: int
    data_id: str
    named_ns: int
    number: int
    state: str
    start_ns: int
    stated_ns: int
    said_ns: int
    content: dict[str, Json]
    members: tuple[str, ...] = ()
    adopted: bool = False

    @property
    def outcome(self) -> str | None:
        """How the event ended, where it did."""
        return self.content.get("outcome") if self.state == END else None

    @property
    def is_open(self) -> bool:
        return self.state != END

    def overlaps(self, crossing: Crossing) -> bool:
        """Whether both are true of some time; what is open has no end."""
        before = crossing.end_ns is not None and crossing.end_ns < self.start_ns
        after = not self.is_open and self.stated_ns < crossing.start_ns
        return not before and not after

    def to_json(self) -> Json:
        """As a mapping."""
        return asdict(self)

    @classmethod
    def from_json(cls, written: Json) -> Record:
        """What `to_json` gave."""
        return cls(**{**written, "members": tuple(written["members"])})


def matched(happenings: Sequence[Happening], records: Sequence[Record], group: str) -> dict[int, Record]:
    """Which record each crossing is (by its place in `happenings`): the same subject and direction, at the same time.

    Where several could be, those that were not withdrawn come first, and those that start nearest.
    """
    candidates = sorted(
        (record.outcome == WITHDRAWN, abs(record.start_ns - crossing.start_ns), place, number)
        for place, (subject, crossing) in enumerate(happenings)
        for number, record in enumerate(records)
        if (record.subject, record.to) == (group if subject is None else subject, crossing.to)
        and record.overlaps(crossing)
    )
    found: dict[int, int] = {}
    for _, _, place, number in candidates:
        if place not in found and number not in found.values():
            found[place] = number
    return {place: records[number] for place, number in found.items()}


def new_name(
    boundary: Boundary, subject: str, crossing: Crossing, records: Iterable[Record]
) -> tuple[str, int]:
    """The `data_id` of an event that was never said, and the number of its first update.

    An update is stored under subject, start and number. Events that share the first two count from thousands of their
    own, so that each goes on by one and a number is never given twice.
    """
    same = [one for one in records if (one.subject, one.named_ns) == (subject, crossing.start_ns)]
    data_id = f"{boundary.kind}/{subject}/{iso_time(crossing.start_ns)}/{boundary.directions[crossing.to]}"
    again = sum(one.to == crossing.to for one in same)
    number = max((one.number // _ROOM + 1 for one in same), default=0) * _ROOM
    return (f"{data_id}/{again + 1}" if again else data_id), number


def adopted(boundary: Boundary, document: Mapping[str, Json]) -> Record | None:
    """The record of a stored notification; None where it is of another kind.

    Raises
    ------
    ValueError
        For a document that is no notification of an event; it names its id.
    """
    try:
        properties = dict(document["properties"])
        if properties["kind"] != boundary.kind:
            return None
        data_id, state = properties.pop("data_id"), properties.pop("state")
        number, members = properties.pop("update"), properties.pop("members")
        properties.pop("pubtime", None)
        newest = properties["end_datetime" if state == END else "datetime"]
        return Record(
            subject=properties["subject"],
            to=boundary.directions.index(properties["direction"]),
            data_id=data_id,
            named_ns=_time_ns(data_id.split("/")[2]),
            number=int(number),
            state=state,
            start_ns=_time_ns(properties["start_datetime"]),
            stated_ns=_time_ns(newest),
            said_ns=_time_ns(properties["time"]),
            content=properties,
            members=tuple(members),
            adopted=True,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        name = document.get("id") if isinstance(document, Mapping) else document
        raise ValueError(f"the stored event {name!r} cannot be read: {error!r}") from error


def says_the_same(parameters: CrossingParameters, record: Record, content: Mapping[str, Json]) -> bool:
    """Whether a machine that was built anew says of an open event what its notification said, but for small change."""
    before = record.content
    if "outcome" in content or before.get("pairs") != content.get("pairs"):
        return False
    steps = {"l_shell": parameters.place_step, "confidence": parameters.confidence_step}
    return all(
        abs(before[key] - content[key]) < step
        for key, step in steps.items()
        if key in before and key in content
    )


def seeded(group: Group, records: Sequence[Record], effective_ns: int) -> GroupMemory:
    """A group's memory before its first window, from what was said of earlier ones.

    What began before the window stands as it was said. Before an event that began later, its subject stood on the
    other side: so the machine can find it again.
    """
    memory = GroupMemory.empty(group)
    watches = []
    for name in group.subjects:
        own = sorted((one for one in records if one.subject == name), key=lambda one: one.start_ns)
        earlier = [one for one in own if one.start_ns < effective_ns]
        if earlier:
            watches.append(_watch(earlier[-1]))
        else:
            watches.append(Watch(side=1 - own[0].to) if own else Watch())
    base = ChainWatch(tuple(watches))
    open_ones = [
        one
        for one in records
        if group.merged and one.subject == group.name and one.is_open and one.start_ns < effective_ns
    ]
    if open_ones:
        record = max(open_ones, key=lambda one: one.start_ns)
        crossing, parts = _crossing(record), tuple(record.content.get("pairs", ()))
        place = None if crossing.place is None else crossing.place[0]
        joint = replace(crossing, parts=parts)
        linked = tuple(_linked(watch, joint) for watch in base.watches)
        base = ChainWatch(linked, joint, record.stated_ns, place, parts)
    memory.base = base
    return memory


def _linked(watch: Watch, joint: Crossing) -> Watch:
    """An open crossing of the same direction belongs to the chain's open event."""
    crossing = watch.crossing
    if crossing is None or crossing.to != joint.to:
        return watch
    return replace(watch, crossing=replace(crossing, part_of_ns=joint.begun_ns))


def _watch(record: Record) -> Watch:
    """The state of a subject after its newest event."""
    if record.is_open:
        return Watch(side=record.to, crossing=_crossing(record), fresh_ns=record.said_ns)
    if record.outcome == WITHDRAWN:
        return Watch()
    over_ns = (record.said_ns, None) if record.to == 0 else (None, record.said_ns)
    return Watch(side=1 - record.to if record.outcome == RETURNED else record.to, over_ns=over_ns)


def _crossing(record: Record) -> Crossing:
    """The open crossing that a record tells of."""
    place, interval = record.content.get("l_shell", math.nan), record.content.get("l_interval")
    return Crossing(
        to=record.to,
        start_ns=record.start_ns,
        begun_ns=record.said_ns,
        said_ns=record.said_ns,
        stated_ns=record.stated_ns,
        place=None if interval is None else (place, interval[0], interval[1]),
        confidence=record.content["confidence"],
        evidence=joined((), []),
    )


def _time_ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} without zone")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * SECOND_NS + moment.microsecond * 1000
