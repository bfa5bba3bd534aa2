"""The sources that are switched on: each runs as a task of its own, and what it brings goes the way of all input."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from monitor.daemon.intake import IntakeLoop
from monitor.daemon.upkeep import Patience, Upkeep, end_within
from monitor.daemon.worker import SOURCE_STATE, Worker
from monitor.errors import StoreDamagedError
from monitor.io.metrics import PluginMetrics
from monitor.io.store import Store
from monitor.plugins import Source, Taken
from monitor.types import Json, Message, SampleBlock

logger = logging.getLogger(__name__)

_LARGEST_POSITION_CHARACTERS: Final = 1_000_000
_SHOWN_CHARACTERS: Final = 2000
# What is stored as one transaction and computed in one go; more is taken in parts.
_MOST_ITEMS: Final = 2000


class SourceFeed:
    """What one source is given to bring its samples to. Made by `SourceTask`."""

    def __init__(
        self, name: str, plugin: str, intake: IntakeLoop, worker: Worker, store: Store, upkeep: Upkeep
    ) -> None:
        self._name, self._plugin = name, plugin
        self._intake, self._worker, self._store, self._upkeep = intake, worker, store, upkeep
        self._position: Json = None

    def restore(self, states: Mapping[str, str]) -> None:
        """Take up the position of an earlier run; one of another plugin, or that cannot be read, is none."""
        try:
            stored = json.loads(states.get(f"{SOURCE_STATE}{self._name}", "null"))
            if stored is not None and stored["plugin"] == self._plugin:
                self._position = stored["position"]
        except (ValueError, LookupError, TypeError) as error:
            logger.warning(
                "source %s: its stored position cannot be read (%s); it begins anew", self._name, error
            )

    @property
    def position(self) -> Json:
        """What the source said last of how far it is, also in an earlier run; None at the first."""
        return self._position

    def newest_ns(self, source: str) -> int | None:
        """End of the newest stored sample of a station or spacecraft (ns UTC); None where there is none."""
        return self._worker.newest_ns(source)

    async def gaps(
        self, source: str, begin_ns: int, end_ns: int, components: Sequence[str] = ()
    ) -> list[tuple[int, int]]:
        """The stretches (ns UTC) between two times in which no number of a station or spacecraft is stored."""
        return await asyncio.to_thread(self._store.gaps, source, begin_ns, end_ns, components)

    async def take(self, items: Sequence[Message | SampleBlock], position: Json = None) -> Taken:
        """Hand over messages or blocks, and return when all is stored; `position` comes with the last of them.

        Raises
        ------
        ValueError, TypeError
            The position is no JSON, or is longer than a million characters.
        StoreError
            The run ends before all could be stored.
        """
        text = None if position is None else self._text(position)
        samples, refused = 0, dict[str, int]()
        for begin in range(0, max(1, len(items)), _MOST_ITEMS):
            part = items[begin : begin + _MOST_ITEMS]
            is_last = begin + _MOST_ITEMS >= len(items)
            taken = await self._intake.take(self._name, part, text if is_last else None)
            samples += taken.samples
            for reason, count in taken.refused.items():
                refused[reason] = refused.get(reason, 0) + count
        if position is not None:
            self._position = position
        self._upkeep.worked()
        return Taken(samples, refused)

    def _text(self, position: Json) -> str:
        text = json.dumps({"plugin": self._plugin, "position": position}, allow_nan=False)
        if len(text) > _LARGEST_POSITION_CHARACTERS:
            raise ValueError(
                f"a position of {len(text)} characters; keep it below {_LARGEST_POSITION_CHARACTERS}"
            )
        return text


class SourceTask:
    """One source that runs.

    Parameters
    ----------
    name, plugin : str
        What it is called in the configuration, and what it is.
    source : Source
    intake : IntakeLoop
    worker : Worker
    store : Store
    metrics : PluginMetrics
    patience : Patience
    """

    def __init__(
        self,
        name: str,
        plugin: str,
        source: Source,
        intake: IntakeLoop,
        worker: Worker,
        store: Store,
        metrics: PluginMetrics,
        *,
        patience: Patience,
    ) -> None:
        self._source = source
        self._store = store
        self._patience = patience
        self.upkeep = Upkeep(name, "source", metrics, self._patience)
        self.feed = SourceFeed(name, plugin, intake, worker, store, self.upkeep)
        self._restored = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"source {self.upkeep.name}")

    async def end(self) -> None:
        """Cancel it and wait for its end, but not for ever."""
        if self._task is not None:
            await end_within(self._task, f"source {self.upkeep.name}", self._patience.end_s)

    def page(self) -> Json:
        """What `/api/status` says of a source alone."""
        position = self.feed.position
        size = len(json.dumps(position))
        # Whoever asks for the status wants to see how far it is, and not a list of all files that it knows.
        return {"position": position if size <= _SHOWN_CHARACTERS else f"{size} characters"}

    async def _run(self) -> None:
        try:
            await self.upkeep.run(self._bring)
        except StoreDamagedError as error:
            # The intake has met it too, and ends the run.
            self.upkeep.switch_off(str(error))

    async def _bring(self) -> None:
        if not self._restored:
            self.feed.restore(await asyncio.to_thread(self._store.states))
            self._restored = True
        self.upkeep.begin()
        # A source may have nothing to bring for hours.
        steady = asyncio.get_running_loop().call_later(self._patience.steady_s, self.upkeep.worked)
        try:
            await self._source.run(self.feed)
        finally:
            steady.cancel()
