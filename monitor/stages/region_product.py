"""From labels to the `region` objects of the contract, with their revisions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from monitor.stages.ledger import RevisionLedger
from monitor.stages.product import GRACE_NS, number
from monitor.stages.region_memory import RegionLabel
from monitor.types import REGIONS, SECOND_NS, Json, Product, Tick, iso_time


class RegionProductStage:
    """Builds `region` objects and numbers their revisions, as `ProductStage` does for `flr`.

    Parameters
    ----------
    length_ns : int
        Of a window.
    hop_ns, lateness_ns : int
        `valid_until` is time + hop + lateness + 180 s.
    remember_ns : int
        How far back revisions are told apart.
    model : str or None
        Name of the network.
    shadows : collection of str
        Spacecraft that are fed with synthetic signals: their objects say so.
    """

    lookback_ns = 0

    def __init__(
        self,
        length_ns: int,
        hop_ns: int,
        lateness_ns: int,
        remember_ns: int,
        *,
        model: str | None = None,
        shadows: Collection[str] = (),
    ) -> None:
        self._window_s = length_ns / SECOND_NS
        self._valid_ns = hop_ns + lateness_ns + GRACE_NS
        self._ledger = RevisionLedger(remember_ns)
        self._model = model
        self._shadows = frozenset(shadows)

    def feed(self, items: Sequence[RegionLabel] | Tick) -> list[Product]:
        """The objects that are new or say something new."""
        if isinstance(items, Tick):
            return []
        return [product for label in items if (product := self._issue(label)) is not None]

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return self._ledger.snapshot()

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        self._ledger.restore(state)

    def _issue(self, label: RegionLabel) -> Product | None:
        craft, time_ns = label.finding.craft, label.finding.end_ns
        content = _content(label, self._model, is_shadow=craft in self._shadows)
        turn = self._ledger.turn(craft, time_ns, content)
        if turn is None:
            return None
        head = {
            "schema": "geospace/region/1",
            "id": f"region/{craft}/{iso_time(time_ns)}/{turn.revision}",
            "craft": craft,
            "time": iso_time(time_ns),
            "window_s": self._window_s,
            "revision": turn.revision,
        }
        return Product(
            kind="region",
            subject=craft,
            time_ns=time_ns,
            revision=turn.revision,
            retained=turn.newest,
            body=head | content,
            valid_until_ns=time_ns + self._valid_ns,
        )


def _content(label: RegionLabel, model: str | None, *, is_shadow: bool) -> dict[str, Json]:
    """Everything of a `region` object that revisions are judged by."""
    finding = label.finding
    flags = finding.flags | {"alone"} if label.alone else finding.flags
    if is_shadow:
        flags |= {"injection"}
    by_region = confidence = None
    if finding.probability is not None:
        by_region = {
            str(region): number(share) for region, share in zip(REGIONS, finding.probability, strict=True)
        }
        confidence = None if label.label is None else by_region[str(label.label)]
    return {
        "label": None if label.label is None else str(label.label),
        "stage_one": None if label.stage_one is None else str(label.stage_one),
        "probability": by_region,
        "confidence": confidence,
        "quality": str(label.quality),
        "missing": list(finding.missing),
        "bridged": number(finding.bridged),
        "support_s": number(finding.support_s),
        "cam": None if finding.cam is None else list(finding.cam),
        "flags": sorted(flags),
        "model": {"classifier": model},
    }
