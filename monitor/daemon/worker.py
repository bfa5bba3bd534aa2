"""The daemon's synchronous half: decode, admit, store; then compute and commit. One thread does all of it.

The order of commits is the promise to the sender: first one transaction stores the samples, then the messages are
acknowledged; later one transaction stores the products with their bytes and the states of the stages.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from monitor.config import Config, topic_matches
from monitor.decoders import DECODERS, Decoder
from monitor.errors import DecodeError
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.pipeline import Pipeline
from monitor.types import SECOND_NS, Domain, Json, Message, Product, SampleBlock, Tick

logger = logging.getLogger(__name__)

_UNROUTED = "none"
_CURSOR = "cursor"
_STATE_INTERVAL_NS = 60 * SECOND_NS
_LOG_INTERVAL_NS = 60 * SECOND_NS


class Worker:
    """Takes messages to products; every method runs in the daemon's one worker thread.

    Parameters
    ----------
    config : Config
    store : Store
    metrics : Metrics
    on_product : callable, optional
        Called with every product once it is committed.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        metrics: Metrics,
        on_product: Callable[[Product], None] | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._metrics = metrics
        self._on_product = on_product
        self._routes = [
            (entry.topic, entry.decoder, _decoder(entry.decoder, config, entry.options))
            for entry in config.inputs
        ]
        self.pipeline = Pipeline(config, self._timed)
        self.rejected: Counter[str] = Counter()
        self._last_row = 0
        self._state_ns = time.monotonic_ns()
        self._logged: dict[tuple[str, str], int] = {}
        self._silenced = 0

    def restore(self) -> None:
        """Take up where the last run ended: stage states, then the samples they rest on."""
        states = {stage: json.loads(text) for stage, text in self._store.states().items()}
        cursor = states.pop(_CURSOR, {"row": 0})
        try:
            self.pipeline.restore(states)
            self._last_row = int(cursor["row"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            logger.warning(
                "the stored state cannot be used (%s); it is built again from the stored samples", error
            )
            self.pipeline = Pipeline(self._config, self._timed)
            self.pipeline.restore({"product": self._ledger()})
            self._last_row = 0
        newest = max(self._store.sources().values(), default=0)
        start = newest - self.pipeline.lookback_ns
        self.pipeline.load(block for _, block in self._store.samples(None, start, up_to_row=self._last_row))
        replayed = [block for _, block in self._store.samples(None, start, after_row=self._last_row)]
        for block in replayed:
            self._compute([block])

    def take(self, messages: Sequence[Message]) -> list[SampleBlock]:
        """Decode and admit messages and store their samples; when this returns they may be acknowledged.

        Raises StoreError when the samples cannot be stored: then nothing may be acknowledged.
        """
        blocks: list[SampleBlock] = []
        for message in messages:
            blocks.extend(self._decode(message))
        if blocks:
            self._last_row = self._store.write_samples(blocks)
            stored: Counter[str] = Counter()
            for block in blocks:
                stored[block.source] += block.count
            for source, count in stored.items():
                self._metrics.samples_stored(source, count)
        return blocks

    def compute(self, items: Sequence[SampleBlock] | Tick) -> bool:
        """Feed the pipeline and commit what it gives; return whether there is something to publish."""
        if isinstance(items, Tick):
            return self._commit(self._fed(items))
        ground = [block for block in items if block.domain is Domain.GROUND]
        return self._compute(ground) if ground else False

    def save(self) -> None:
        """Commit the states of the stages (at the end of a run)."""
        self._store.commit([], self._states())

    def _compute(self, blocks: Sequence[SampleBlock]) -> bool:
        return self._commit(self._fed(blocks))

    def _fed(self, items: Sequence[SampleBlock] | Tick) -> list[Product]:
        try:
            return self.pipeline.feed(items)
        except Exception:
            # One bad batch must not end the watch over all the others.
            self._metrics.message_rejected("pipeline", "failed")
            self.rejected["pipeline: failed"] += 1
            logger.exception("the pipeline failed on a batch; the batch is left out, please report this")
            return []

    def _commit(self, products: Sequence[Product]) -> bool:
        now = time.monotonic_ns()
        if not products and now - self._state_ns < _STATE_INTERVAL_NS:
            return False
        published = time.time_ns()
        self._store.commit([(product, product.encode(published)) for product in products], self._states())
        self._state_ns = now
        for product in products:
            self._metrics.product(product)
            if product.kind == "flr" and product.revision == 0:
                self._metrics.product_latency(
                    product.kind, max(0.0, (published - product.time_ns) / SECOND_NS)
                )
            if self._on_product is not None:
                self._on_product(product)
        return bool(products)

    def _states(self) -> dict[str, str]:
        states: dict[str, Json] = {**self.pipeline.snapshot(), _CURSOR: {"row": self._last_row}}
        return {stage: json.dumps(state, separators=(",", ":")) for stage, state in states.items()}

    def _ledger(self) -> Json:
        """Revisions of the stored products, so that a state built again never repeats an id with other content."""
        issued: dict[str, dict[str, list[Json]]] = {}
        newest = max(self._store.sources().values(), default=0)
        for document in self._store.products("flr", None, newest - self.pipeline.lookback_ns, newest + 1):
            ends = issued.setdefault(document["pair"], {})
            ends[str(_time_ns(document["time"]))] = [document["revision"], ""]
        return {"version": 1, "issued": issued}

    def _decode(self, message: Message) -> Iterator[SampleBlock]:
        for topic, name, decoder in self._routes:
            if topic_matches(topic, message.topic):
                self._metrics.message_received(name)
                try:
                    for block in decoder.decode(message):
                        self.pipeline.admit(block)
                        yield block
                except DecodeError as error:
                    self._reject(name, message.topic, error)
                return
        self._reject(
            _UNROUTED, message.topic, DecodeError("no_decoder", "no input is configured for this topic")
        )

    def _reject(self, decoder: str, topic: str, error: DecodeError) -> None:
        self._metrics.message_rejected(decoder, error.reason)
        self.rejected[f"{decoder}: {error.reason}"] += 1
        now = time.monotonic_ns()
        if now - self._logged.get((topic, error.reason), -_LOG_INTERVAL_NS) < _LOG_INTERVAL_NS:
            self._silenced += 1
            return
        if len(self._logged) > 1000:
            self._logged.clear()
        self._logged[topic, error.reason] = now
        logger.warning(
            "refused a message on %s: %s (%d like it were not logged)", topic, error, self._silenced
        )
        self._silenced = 0

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._metrics.stage_duration(stage, time.perf_counter() - begin)


def _decoder(name: str, config: Config, options: Mapping[str, object]) -> Decoder:
    return DECODERS[name]({**options, "maximum_payload_bytes": config.intake.maximum_payload_bytes})


def _time_ns(text: str) -> int:
    """Time of one of our own stamps (window ends are whole seconds)."""
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS
