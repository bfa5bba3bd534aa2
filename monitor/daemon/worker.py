"""The daemon's synchronous half: decode, admit, store; then compute and commit. One thread does all of it.

The order of commits is the promise to the sender: first one transaction stores the samples, then the messages are
acknowledged; later one transaction stores the products with their bytes and the states of the stages. A commit that
fails leaves what it should have stored in memory, and the caller tries again before anything else comes in.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from monitor.config import Config
from monitor.daemon.added import AddedStages
from monitor.daemon.bursts import bounded
from monitor.daemon.checkpoint import Checkpoints
from monitor.daemon.failures import Failures
from monitor.daemon.reading import Reading
from monitor.daemon.reception import Reception
from monitor.daemon.recovery import Reach, Recovery, pieces, stored_product, subjects_of
from monitor.daemon.standing import model_standing
from monitor.daemon.watched import show_watched
from monitor.errors import DecodeError, StoreDamagedError, StoreError
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.io.store.rows import content
from monitor.io.store.spectra import SpectrumRow, spectrum_row
from monitor.pipeline import Pipeline
from monitor.pipeline.added import PREFIX
from monitor.plugins import Registry, Taken, installed, plugged_models
from monitor.types import SECOND_NS, Json, Message, Product, SampleBlock, Tick

logger = logging.getLogger(__name__)

SOURCE_STATE = "source:"
"""How the names of the states begin that say how far a source is."""
_STATE_INTERVAL_NS = 60 * SECOND_NS
# Those that belong to a window, whose end tells how late they come.
_WINDOWED = frozenset({"flr", "profile", "plasmapause", "region"})


class Worker:
    """Takes messages to products; every method runs in the daemon's one worker thread.

    Parameters
    ----------
    config : Config
    store : Store
    metrics : Metrics
    on_product : callable
        Called with every product and its bytes once it is committed.
    wall_ns : callable
        The time of day (ns UTC): for what is said about now, never for the windows.
    on_step : callable
        Called with every step of what may take long: it goes on.
    registry : Registry, optional
        Makes decoders and stages; by default from what is installed.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        metrics: Metrics,
        on_product: Callable[[Product, bytes], None] = lambda _product, _payload: None,
        wall_ns: Callable[[], int] = time.time_ns,
        on_step: Callable[[], None] = lambda: None,
        registry: Registry | None = None,
    ) -> None:
        self._config = config
        self._wall_ns = wall_ns
        self._begun_ns = wall_ns()
        self._on_step = on_step
        self._store = store
        self._metrics = metrics
        self._on_product = on_product
        self._failures = Failures(metrics)
        registry = installed(config.isolation) if registry is None else registry
        self._reception = Reception(config, registry, metrics, self._failures)
        self._added = AddedStages(config, registry, metrics.plugins)
        self._models = plugged_models(config, registry)
        self.pipeline = self._new_pipeline()
        # The newest objects of these kinds by subject, and the open events by `data_id`.
        self._latest: dict[str, dict[str, Json]] = {"flr": {}, "plasmapause": {}, "region": {}}
        self._open: dict[str, Json] = {}
        # What is stored together, and by the next call where it could not be; positions by their names in the store.
        self._unstored: list[SampleBlock] = []
        self._positions: dict[str, str] = {}
        self._newest: dict[str, int] = {}
        self._uncommitted: list[tuple[Product, bytes]] = []
        self._spectra: list[SpectrumRow] = []
        # Rows up to the first are stored; up to the second they have gone into the pipeline; the states that were
        # last committed have seen those up to the third.
        self._stored_row = 0
        self._fed_row = 0
        self._committed_row = 0
        self._state_ns = time.monotonic_ns()
        self._checkpoints = Checkpoints(config)

    def restore(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Take up where the last run ended: stage states, then the samples they rest on.

        Returns False when `stopping` said so before the end: then nothing may be taken in.

        Raises StoreError when the store can be neither read nor written.
        """
        self._newest = self._store.sources()
        self._reception.memory.restore(self._store.states())
        recovery = Recovery(self._config, self._store)
        recovery.withdraw_removed()
        for kind in ("flr", "health", "plasmapause", "region"):
            for subject, document in self._store.latest(kind).items():
                if subject in subjects_of(self._config, kind):
                    self._show(stored_product(kind, subject, document), document)
        events = recovery.events()
        for document in events:
            about = document["properties"]
            self._show(stored_product("event", f"{about['kind']}/{about['subject']}", document), document)
        # Not before the open events are there: a scrape in between would see them as over, and page for them again.
        show_watched(self._config, self._metrics)
        # The product clock did not run while we were away. A value that is over by the wall clock is not shown
        # again: after a night's outage a label of the evening must not look like one of now.
        now = self._wall_ns()
        self._metrics.expire(lambda _subject: now)
        whole, self._fed_row = recovery.states(self.pipeline, self._checkpoints)
        self._committed_row = self._fed_row
        if not whole:
            self.pipeline = self._new_pipeline()
            self.pipeline.restore(recovery.ledger())
            self.pipeline.adopt_events(events)
        piece_ns = round(self._config.windows.lateness_s * SECOND_NS / 2) or SECOND_NS
        fed_row = self._fed_row if whole else None
        reach = Reach(
            self.pipeline.lookback_ns, self.pipeline.kp_lookback_ns, self.pipeline.craft_lookback_ns
        )
        for row, blocks, are_new in recovery.batches(reach, fed_row):
            if stopping():
                return False
            self._on_step()
            if not are_new:
                self.pipeline.load(blocks)
                continue
            for block in blocks:
                self._readmit(block)
            for piece in pieces(blocks, piece_ns):
                products = self._fed(piece)
                self._keep(products if whole else recovery.news(products))
            self._fed_row = row
            if whole:
                self._commit_or_wait()
            elif self._uncommitted:
                # States that are built half-way would pass for whole ones.
                self._store_products({})
        self._stored_row = self._fed_row = self._store.write_samples([])
        if not whole:
            # What was last said counts, not what would have been said on the way.
            self.pipeline.restore({**recovery.ledger(built=True), **recovery.health_ledger()})
            self.commit(at_once=True)
        return True

    def _commit_or_wait(self) -> None:
        """Commit; what a full disk does not take waits for the next commit, and the start goes on."""
        try:
            self.commit()
        except StoreDamagedError:
            raise
        except StoreError as error:
            logger.debug("not committed yet: %s", error)

    def take(self, messages: Sequence[Message]) -> list[SampleBlock]:
        """Decode and admit messages and store their samples, with what decoders keep back of them for later.

        When this returns they may be acknowledged. Raises StoreError when the samples cannot be stored: then nothing
        may be. They are kept, and stored by the next call that succeeds (`take([])` tries again).
        """
        for message in messages:
            self._unstored.extend(self._reception.of_message(message, self.pipeline.admit))
            self._on_step()
        return self._store_samples()

    def take_from(self, source: str, items: Sequence[object], position: str | None = None) -> Taken:
        """Decode and admit what a source brings (messages or blocks); `take([])` stores it, with how far it is (JSON)."""
        refused: Counter[str] = Counter()
        brought: list[SampleBlock] = []
        for item in items:
            if isinstance(item, Message):
                brought += self._reception.of_message(item, self.pipeline.admit, refused)
            else:
                brought += self._reception.of_source(
                    source, item, self.pipeline.admit, self._wall_ns(), refused
                )
        self._unstored += brought
        if position is not None:
            self._positions[f"{SOURCE_STATE}{source}"] = position
        return Taken(sum(block.count for block in brought), dict(refused))

    def newest_ns(self, source: str) -> int | None:
        """End of the newest stored sample of a source (ns UTC); None where there is none. From any thread."""
        return self._newest.get(source)

    def _store_samples(self) -> list[SampleBlock]:
        states = {**self._positions, **self._reception.memory.changed()}
        if not self._unstored and not states:
            return []
        self._stored_row = self._store.write_samples(self._unstored, states)
        self._reception.memory.stored()
        blocks, self._unstored, self._positions = self._unstored, [], {}
        stored: Counter[str] = Counter()
        for block in blocks:
            stored[block.source] += block.count
            self._newest[block.source] = max(block.end_ns, self._newest.get(block.source, block.end_ns))
        for source, count in stored.items():
            self._metrics.samples_stored(source, count)
        return blocks

    def compute(self, items: Sequence[SampleBlock] | Tick) -> None:
        """Feed the pipeline (what it gives waits for `commit`)."""
        if isinstance(items, Tick):
            self._keep(self._fed(items))
            return
        for part in bounded(self._config, items):
            self._keep(self._fed(part))
        self._fed_row = self._stored_row

    def commit(self, *, at_once: bool = False) -> bool:
        """Commit the products that wait, and the states of the stages; return whether there is something to publish.

        Without products the states are committed once a minute, or `at_once`. Raises StoreError when they cannot
        be; the products wait on then.
        """
        now = time.monotonic_ns()
        if not self._uncommitted and not at_once and now - self._state_ns < _STATE_INTERVAL_NS:
            return False
        states = self._checkpoint()
        stored = self._store_products(states)
        if states:
            self._checkpoints.committed()
            self._committed_row = self._fed_row
        self._state_ns = now
        return stored

    def compact(self) -> int:
        """Lay a bite of what was stored many times over each other; call again while it returns more than 0.

        Raises StoreError.
        """
        return self._store.compact(self._committed_row)

    def read(self) -> Reading:
        """A copy of what is known now."""
        failing = self.pipeline.failing
        return Reading(
            self.pipeline.source_clocks,
            self.pipeline.health_states,
            dict(self._latest["flr"]),
            dict(self._latest["plasmapause"]),
            dict(self._latest["region"]),
            list(self._open.values()),
            dict(self._reception.rejected),
            self.pipeline.too_late_samples,
            self._failures.reasons(
                {part: line for part, line in failing.items() if not part.startswith(PREFIX)}
            ),
            self._wall_ns(),
            {
                **self._reception.routes.standing(),
                **self._added.standing(failing),
                **model_standing(self._config, self.pipeline.missing_models, self._begun_ns),
            },
        )

    def _new_pipeline(self) -> Pipeline:
        return Pipeline(
            self._config,
            self._timed,
            on_failure=self._failures.note,
            added=self._added.make(),
            spectra=self._config.store.spectra_retention_h > 0,
            models=self._models,
        )

    def _checkpoint(self) -> dict[str, str]:
        """The states to store; none where a stage cannot write its own."""
        try:
            states = self._checkpoints.write(self.pipeline.snapshot(), self._fed_row)
        except Exception as error:  # noqa: BLE001  (products must go out; the last checkpoint is as good, and all that was fed since it is fed again after a restart)
            self._failures.outside("checkpoint", error)
            return {}
        self._failures.worked("checkpoint")
        return states

    def _store_products(self, states: Mapping[str, str]) -> bool:
        """Store the products that wait, with states; return whether there were any."""
        try:
            self._store.commit(self._uncommitted, states, self._spectra)
        except StoreError:
            if not self._drop_contradictions():
                raise
            self._store.commit(self._uncommitted, states, self._spectra)
        self._spectra.clear()
        committed, self._uncommitted = self._uncommitted, []
        for product, payload in committed:
            self._tell(product, payload)
        return bool(committed)

    def _keep(self, products: Sequence[Product]) -> None:
        published = self._wall_ns()
        for product in products:
            try:
                if product.kind == "spectrum":
                    self._spectra.append(spectrum_row(product))
                    if not self._config.outputs.spectra:
                        continue
                self._uncommitted.append((product, product.encode(published)))
            except Exception as error:  # noqa: BLE001  (one object that cannot be written must not cost the others)
                self._failures.outside(f"encode_{product.kind}", error)
            else:
                self._failures.worked(f"encode_{product.kind}")

    def _fed(self, items: Sequence[SampleBlock] | Tick) -> list[Product]:
        try:
            products = self.pipeline.feed(items)
        except Exception as error:  # noqa: BLE001  (one bad batch must not end the watch over all the others)
            # Between the stages, where nothing guards.
            self._failures.outside("pipeline", error)
            return []
        self._failures.worked("pipeline")
        return products

    def _tell(self, product: Product, payload: bytes) -> None:
        """Show a committed product in metrics and status, and to whoever listens."""
        self._show(product, json.loads(payload))
        if product.kind == "event" and product.body["properties"]["state"] == "begin":
            self._metrics.event_began(*product.subject.split("/", 1))
        if product.kind in _WINDOWED and product.revision == 0:
            latency_s = (self._wall_ns() - product.time_ns) / SECOND_NS
            self._metrics.product_latency(product.kind, max(0.0, latency_s))
        self._on_product(product, payload)

    def _show(self, product: Product, document: Json) -> None:
        self._metrics.product(product)
        if product.kind == "event":
            about = document["properties"]
            if about["state"] == "end":
                self._open.pop(about["data_id"], None)
            else:
                self._open[about["data_id"]] = document
        elif product.kind in self._latest:
            latest = self._latest[product.kind]
            shown = latest.get(product.subject)
            # Times of windows have one form, so that their texts are in the order of time.
            if shown is None or shown["time"] <= document["time"]:
                latest[product.subject] = document

    def _drop_contradictions(self) -> bool:
        """Leave out products whose id was given away with other content; return whether there were any.

        One would fail every commit for ever, and with it all that comes after.
        """
        kept = []
        for product, payload in self._uncommitted:
            stored = self._store.counterpart(product)
            if stored is None or content(stored) == content(json.loads(payload)):
                kept.append((product, payload))
            else:
                logger.error(
                    "%s is stored with other content: the new one is left out, please report this",
                    product.body.get("id", product.topic),
                )
        dropped = len(kept) < len(self._uncommitted)
        self._uncommitted = kept
        return dropped

    def _readmit(self, block: SampleBlock) -> None:
        """Let admission see what it let in after its state was stored."""
        try:
            self.pipeline.admit(block)
        except DecodeError as error:
            logger.debug("a stored block would not be admitted again: %s", error)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._metrics.stage_duration(stage, time.perf_counter() - begin)
        self._on_step()
