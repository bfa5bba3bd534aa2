"""What a new run takes over from the last one, out of the store.

Usually the states of the stages are as the last commit left them, and only the samples stored after it are fed
again. Where they cannot be used (another version wrote them, or the windows were configured otherwise) everything is
built again from the stored samples and products; then nothing is said twice, and no id is given to two contents.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from monitor.config import Config, shadow_sources
from monitor.daemon.checkpoint import CURSOR, Checkpoints, set_aside
from monitor.decoders.base import parse_time_ns
from monitor.io.store import Store
from monitor.io.store.salvage import LOST_CURSOR
from monitor.pipeline import Pipeline
from monitor.stages.indices import KP
from monitor.stages.ledger import ANYTHING, issued
from monitor.types import SECOND_NS, Domain, Json, Product, SampleBlock

logger = logging.getLogger(__name__)

_EVER_NS = 1 << 62
_DAY_NS = 86_400 * SECOND_NS
_RETAINED = ("flr", "health", "profile", "plasmapause", "region")
# No event that still matters began longer ago; those that are open are taken up whatever their age.
_EVENTS_NS = 7 * 86_400 * SECOND_NS
# The ledgers, by the stages that keep them.
_LEDGERS = {
    "product": "flr",
    "spectra": "spectrum",
    "profile": "profile",
    "plasmapause": "plasmapause",
    "region": "region",
}
# What does not count when what is built again is held against what was published. Trackers and debounced labels rest on
# windows from before the stored samples: where they are built again they know a little less, which is no news.
_REMEMBERED = {
    "flr": frozenset({"track_probability"}),
    "region": frozenset({"label", "confidence", "quality", "flags"}),
}


def subjects_of(config: Config, kind: str) -> frozenset[str]:
    """The subjects that a kind of product has in this configuration."""
    if kind == "health":
        return frozenset({*config.craft, *(code for pair in config.pair_list for code in pair.stations)})
    return frozenset(_sources_by_subject(config, kind))


def _sources_by_subject(config: Config, kind: str) -> dict[str, frozenset[str]]:
    """The sources whose samples an object of a kind rests on, by its subject."""
    if kind == "region":
        return {craft: frozenset({craft}) for craft in config.craft}
    if kind in ("profile", "plasmapause"):
        return {
            chain.name: frozenset(code for pair in chain.pairs for code in pair.stations)
            for chain in config.chain_list
            if chain.pairs
        }
    return {pair.name: frozenset(pair.stations) for pair in config.pair_list}


@dataclass(frozen=True, slots=True)
class Reach:
    """How much input before now a restart needs, of stations, of Kp and of spacecraft (ns)."""

    ground_ns: int
    kp_ns: int
    craft_ns: int


def stored_product(kind: str, subject: str, document: Mapping[str, Json]) -> Product:
    """The product that a stored document was."""
    if kind == "event":
        properties = document["properties"]
        began_ns = parse_time_ns(properties["start_datetime"])
        return Product(kind, subject, began_ns, properties["update"], False, document)
    valid_until = document.get("valid_until")
    return Product(
        kind=kind,
        subject=subject,
        time_ns=parse_time_ns(document["time"]),
        revision=document["revision"],
        retained=True,
        body=document,
        valid_until_ns=None if valid_until is None else parse_time_ns(valid_until),
    )


class Recovery:
    """Reads the last run out of the store.

    Parameters
    ----------
    config : Config
    store : Store
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def withdraw_removed(self) -> None:
        """Put an empty retained message into the outbox for every subject that is no longer configured.

        It goes the way of all products, so that it comes after what still waits there about the subject.
        """
        gone = []
        for kind in _RETAINED:
            present = subjects_of(self._config, kind)
            for subject, document in self._store.latest(kind).items():
                if subject not in present:
                    # A moment after the last product: no product ends then, so the place is free.
                    time_ns = parse_time_ns(document["time"]) + 1
                    gone.append((Product(kind, subject, time_ns, 0, True, {}), b""))
                    logger.info(
                        "%s %s is no longer configured: its retained message is cleared", kind, subject
                    )
        if gone:
            self._store.commit(gone, {})

    def states(self, pipeline: Pipeline, checkpoints: Checkpoints) -> tuple[bool, int]:
        """Restore `pipeline`; return whether it is whole, and the last row that it was fed.

        States that cannot be used are set aside, whatever is wrong with them: `pipeline` must be built again then.
        """
        stored = self._store.states()
        if CURSOR not in stored:
            return True, 0
        if stored[CURSOR] == LOST_CURSOR:
            logger.warning(
                "the states of the last run are lost; they are built again from the stored samples"
            )
            return False, 0
        try:
            states, row = checkpoints.read(stored)
            pipeline.restore(states)
        except Exception as error:  # noqa: BLE001  (whatever a state can make a stage raise)
            kept = set_aside(self._store.path, stored)
            logger.warning(
                "the stored state cannot be used (%s); it is built again from the stored samples, and kept %s",
                error if isinstance(error, ValueError) else repr(error),
                "nowhere" if kept is None else f"as {kept}",
            )
            return False, 0
        return True, row

    def samples(self, reach: Reach, fed_row: int | None) -> Iterator[tuple[int, SampleBlock, bool]]:
        """Yield stored blocks of the configured sources and of Kp, in the order of arrival, as (row, block, is it new).

        Blocks that are not new only fill the memory. With `fed_row` None all of the last time that is asked for are
        new; Kp, which no window waits for, comes before them then, from further back.
        """
        known = subjects_of(self._config, "health")
        clocks = {code: clock for code, clock in self._store.sources().items() if code in known}
        length_ns = self._config.windows.length_s * SECOND_NS
        craft = frozenset(self._config.craft)
        begins = {
            code: clock - (reach.craft_ns if code in craft else reach.ground_ns)
            for code, clock in clocks.items()
        }
        if fed_row is not None:
            # Each source counts back from its own clock: they may be eras apart. Those of one era are read together,
            # as a reading goes through the rows of all sources.
            for era in _eras(begins):
                for row, block in self._store.samples(None, min(era.values()), up_to_row=fed_row):
                    if block.end_ns > era.get(block.source, _EVER_NS):
                        yield row, block, False
            for row, block in self._store.samples(None, -_EVER_NS, after_row=fed_row):
                if block.source in clocks or block.domain is Domain.INDEX:
                    yield row, block, True
            return
        kp_clock = self._store.sources().get(KP, -_EVER_NS)
        for row, block in self._store.samples(KP, kp_clock - reach.kp_ns):
            if block.domain is Domain.INDEX:
                yield row, block, False
        oldest = min(begins.values(), default=0) - length_ns
        for row, block in self._store.samples(None, oldest):
            begin = begins.get(block.source, _EVER_NS)
            if block.end_ns > begin - length_ns:
                for part, is_new in _parted(block, begin):
                    yield row, part, is_new

    def batches(self, reach: Reach, fed_row: int | None) -> Iterator[tuple[int, list[SampleBlock], bool]]:
        """The same as (last row, blocks, are they new), with the sources side by side again.

        What was stored in one call was joined source by source. Fed like that, the first one's clock would close
        windows before the others have their turn; and so would the field of a spacecraft before its plasma.
        """
        together: dict[tuple[str, tuple[str, ...]], SampleBlock] = {}
        last = 0
        for row, block, is_new in self.samples(reach, fed_row):
            if not is_new:
                yield row, [block], False
                continue
            key = (block.source, block.components if block.domain is Domain.CRAFT else ())
            if key in together:
                yield last, list(together.values()), True
                together = {}
            together[key], last = block, row
        if together:
            yield last, list(together.values()), True

    def ledger(self, *, built: bool = False) -> dict[str, Json]:
        """What was published, for product stages that are built again; `built` is whether all of it has been.

        Until then, nothing is said again of an object that is found again from less than it rested on.
        """
        return {stage: self._issued(kind, built=built) for stage, kind in _LEDGERS.items()}

    def _issued(self, kind: str, *, built: bool) -> dict[str, Json]:
        found: dict[str, dict[str, list[Json]]] = {}
        clocks = self._store.sources()
        aside = frozenset[str]() if built else _REMEMBERED.get(kind, frozenset())
        span_ns = self._span_ns(kind)
        for subject, codes in _sources_by_subject(self._config, kind).items():
            ends = [clocks[code] for code in codes if code in clocks]
            if not ends:
                continue
            # A source that has long been silent is fed from further back than the others, which are not there then.
            whole_ns = max(ends) - span_ns
            stored = self._store.products(
                kind, subject, min(ends) - 2 * span_ns, _EVER_NS, latest_revision=False
            )
            for time, revisions in groupby(stored, key=lambda document: str(document["time"])):
                time_ns = parse_time_ns(time)
                said = issued(list(revisions), aside)
                if built:
                    said[2] = []
                elif time_ns < whole_ns or kind == "plasmapause":
                    # A plasmapause rests on windows from before the stored samples: the published one knew more.
                    said[1:] = [ANYTHING, []]
                found.setdefault(subject, {})[str(time_ns)] = said
        return {"version": 1, "issued": found, "aside": sorted(aside)}

    def health_ledger(self) -> dict[str, Json]:
        """What was last said of each station, for a health stage that is built again."""
        said = {
            code: [document["state"], parse_time_ns(document["time"]), document["revision"]]
            for code, document in self._store.latest("health").items()
        }
        clocks = self._store.sources()
        craft = [clock for name, clock in clocks.items() if name in self._config.craft]
        ground = [clock for name, clock in clocks.items() if name not in self._config.craft]
        begun = {
            "begun_ns": min(ground, default=None),
            "craft_begun_ns": min(craft, default=None),
        }
        return {"health": {"version": 1, "said": said, **begun}}

    def events(self) -> list[dict[str, Json]]:
        """The newest update of each event of the last days, and of those that are open still, oldest first."""
        # What is injected has the time of day, and the real sources may be of another one.
        known = subjects_of(self._config, "health") - shadow_sources(self._config.injection)
        clocks = [clock for code, clock in self._store.sources().items() if code in known]
        begin_ns = max(clocks, default=_EVENTS_NS) - _EVENTS_NS
        newest: dict[str, dict[str, Json]] = {}
        for document in [
            *(one for one in self._store.latest("event").values() if one["properties"]["state"] != "end"),
            *self._store.products("event", None, begin_ns, _EVER_NS, latest_revision=False),
        ]:
            held = newest.get(document["properties"]["data_id"])
            if held is None or held["properties"]["update"] <= document["properties"]["update"]:
                newest[document["properties"]["data_id"]] = document
        return sorted(newest.values(), key=lambda one: str(one["properties"]["start_datetime"]))

    @staticmethod
    def news(products: Sequence[Product]) -> list[Product]:
        """Of recomputed products, all but health, which is said in the end; the others know themselves what was said."""
        return [product for product in products if product.kind != "health"]

    def _span_ns(self, kind: str) -> int:
        """How far back products of a kind may be revised."""
        windows, craft = self._config.windows, self._config.craft_windows
        span_s = windows.length_s + windows.cadence_s + windows.lateness_s + windows.revise_s
        if kind == "region":
            # With what a revision changes of the windows around it: two neighbours, and the context.
            span_s = 4 * craft.length_s + craft.hop_s + craft.lateness_s + craft.revise_s
        return round(span_s * SECOND_NS)


def _eras(begins: Mapping[str, int]) -> list[dict[str, int]]:
    """Sources with their beginnings; one dictionary for those that follow on each other within a day."""
    eras: list[dict[str, int]] = []
    last = -_EVER_NS
    for code, begin in sorted(begins.items(), key=lambda one: one[1]):
        if not eras or begin - last > _DAY_NS:
            eras.append({})
        eras[-1][code] = last = begin
    return eras


def _parted(block: SampleBlock, begin_ns: int) -> Iterator[tuple[SampleBlock, bool]]:
    """What of a block comes before a time and what from then on, as (block, is it new); what is empty is left out."""
    count = min(block.count, max(0, -(-(begin_ns - block.t0_ns) // block.step_ns)))
    if count:
        yield replace(block, values=block.values[:, :count]), False
    if count < block.count:
        t0_ns = block.t0_ns + count * block.step_ns
        yield replace(block, t0_ns=t0_ns, values=block.values[:, count:]), True


def pieces(blocks: Sequence[SampleBlock], piece_ns: int) -> Iterator[list[SampleBlock]]:
    """Cut blocks at the multiples of `piece_ns`, and yield what belongs together in the order of time.

    Indices come first and whole: windows ask for the past of them alone.
    """
    indices = [block for block in blocks if block.domain is Domain.INDEX]
    if indices:
        yield indices
    slots: dict[int, list[SampleBlock]] = {}
    for block in blocks:
        if block.domain is Domain.INDEX:
            continue
        start = 0
        while start < block.count:
            slot = (block.t0_ns + start * block.step_ns) // piece_ns
            # Samples that start before the next boundary, rounded up.
            stop = min(block.count, -(-((slot + 1) * piece_ns - block.t0_ns) // block.step_ns))
            t0_ns = block.t0_ns + start * block.step_ns
            slots.setdefault(slot, []).append(replace(block, t0_ns=t0_ns, values=block.values[:, start:stop]))
            start = stop
    for slot in sorted(slots):
        yield slots[slot]
