"""From findings of spacecraft to events: a bow shock or a magnetopause that passes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.stages.crossing import Boundary, Crossing, CrossingParameters
from monitor.stages.event_book import EventBook
from monitor.stages.event_memory import Group, Seen
from monitor.types import REGIONS, Json, Product, Region, RegionFinding, Tick

BOW_SHOCK = Boundary("bow_shock_crossing", ("inbound", "outbound"))
MAGNETOPAUSE = Boundary("magnetopause_crossing", ("inbound", "outbound"))
"""The first side is the inner one: the boundary lies beyond the spacecraft."""

_VERSION = 1
_MOST_NEUTRAL = 0.5


@dataclass(frozen=True, slots=True)
class Sides:
    """The regions within and without a boundary; those of neither are the boundary itself."""

    boundary: Boundary
    inside: frozenset[Region]
    outside: frozenset[Region]

    def seen(self, finding: RegionFinding, length_ns: int) -> Seen:
        """What a finding tells of the boundary.

        It tells nothing where the spacecraft is most probably in the boundary itself, in a hole, and where the window
        is unlike all that the network has learnt from. Six digits, so that a stored one is the same.
        """
        inside = self._share(finding, self.inside)
        known = inside + self._share(finding, self.outside)
        fresh = finding.probability is not None and not finding.novel and 1.0 - known <= _MOST_NEUTRAL
        return Seen(
            end_ns=finding.end_ns,
            effective_ns=finding.end_ns - length_ns // 2,
            first=(float(f"{inside / known:.6g}") if fresh else 0.5,),
            shown=(finding.probability is not None,),
            fresh=fresh,
            place=None,
        )

    def _share(self, finding: RegionFinding, regions: frozenset[Region]) -> float:
        probability = finding.probability or (0.0,) * len(REGIONS)
        return sum(share for region, share in zip(REGIONS, probability, strict=True) if region in regions)


_UPSTREAM = frozenset({Region.SOLAR_WIND, Region.FORESHOCK})
_WITHIN = frozenset(
    {
        Region.BOUNDARY_LAYER,
        Region.MAGNETOSPHERE,
        Region.PLASMA_SHEET,
        Region.PLASMA_SHEET_BOUNDARY_LAYER,
        Region.LOBE,
    }
)
SIDES = (
    Sides(BOW_SHOCK, _WITHIN | {Region.MAGNETOSHEATH, Region.MAGNETOPAUSE}, _UPSTREAM),
    Sides(MAGNETOPAUSE, _WITHIN, _UPSTREAM | {Region.BOW_SHOCK, Region.MAGNETOSHEATH}),
)


class CraftEventStage:
    """Says when a spacecraft passes the bow shock or the magnetopause, as notifications (`EventBook`).

    Of windows that overlap, one each length speaks: the first that ends in each slot of that length since 1970. So
    the hop changes how often labels are said, but not the events.

    Parameters
    ----------
    craft : sequence of str
    parameters : CrossingParameters
        Counted in windows that do not overlap.
    length_ns, hop_ns : int
        Of windows, and from one to the next.
    base_url : str
        Of the server that shows events.
    remember_ns : int
        How far back findings are revised.
    """

    # What a restart needs is in the state.
    lookback_ns = 0

    def __init__(
        self,
        craft: Sequence[str],
        parameters: CrossingParameters,
        *,
        length_ns: int,
        hop_ns: int,
        base_url: str,
        remember_ns: int,
    ) -> None:
        self._craft = frozenset(craft)
        self._length_ns = length_ns
        self._hop_ns = hop_ns
        groups = [Group(name, (name,)) for name in craft]
        self._books = [
            (
                sides,
                EventBook(
                    sides.boundary,
                    groups,
                    parameters,
                    _OfCraft(),
                    linked=("region",),
                    base_url=base_url,
                    remember_ns=remember_ns,
                ),
            )
            for sides in SIDES
        ]
        self._snapshot: Json = None

    def feed(self, items: Sequence[RegionFinding | Product] | Tick) -> list[Product]:
        """The updates that the findings make; products of the same turn are linked.

        Raises
        ------
        ValueError
            For a finding of a spacecraft that is not configured; it names it.
        """
        if isinstance(items, Tick) or not items:
            return []
        products = [item for item in items if isinstance(item, Product)]
        speaking = [item for item in items if isinstance(item, RegionFinding) and self._speaks(item)]
        said: list[Product] = []
        for sides, book in self._books:
            windows: dict[str, list[Seen]] = {}
            for finding in speaking:
                windows.setdefault(finding.craft, []).append(sides.seen(finding, self._length_ns))
            said += book.feed(windows, products)
        return said

    def adopt(self, documents: Iterable[Mapping[str, Json]]) -> None:
        """Take over events from the newest stored notification of each, when every state is lost.

        ValueError for a document that is none.
        """
        known = list(documents)
        for _, book in self._books:
            book.adopt(known)

    def snapshot(self) -> Json:
        """The remembered windows and what was said, as JSON; the same object again until something changes."""
        states = {sides.boundary.kind: book.snapshot() for sides, book in self._books}
        if self._snapshot is None or any(self._snapshot[kind] is not one for kind, one in states.items()):
            self._snapshot = {"version": _VERSION, **states}
        return self._snapshot

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version or other settings."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"craft event state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        for sides, book in self._books:
            book.restore(state[sides.boundary.kind])

    def _speaks(self, finding: RegionFinding) -> bool:
        """Whether a finding is the first of its slot."""
        if finding.craft not in self._craft:
            raise ValueError(
                f"spacecraft {finding.craft} is not configured; there are {', '.join(sorted(self._craft))}"
            )
        slot = finding.end_ns // self._length_ns
        return slot != (finding.end_ns - self._hop_ns) // self._length_ns


class _OfCraft:
    """What is told of a spacecraft's crossing: it has no L, and no place on the ground."""

    def details(self, group: Group, subject: str, crossing: Crossing) -> dict[str, Json]:
        """Nothing beside what every event tells."""
        return {}

    def topics(self, group: Group, source: str) -> list[str]:
        """The region that the window was found in."""
        return [f"region/{source}"] if source else []

    def position_deg(
        self, group: Group | None, subject: str, crossing: Crossing | None
    ) -> tuple[float, float] | None:
        """Unknown: positions of spacecraft are no part of their feeds."""
        return None
