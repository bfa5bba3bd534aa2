"""The sink `parquet`: what was published, for years, in files that others can read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from monitor import plugins
from monitor.config.schema import FilePath, PositiveSeconds, Text
from monitor.errors import MonitorError
from monitor.plugins import StoredProduct, Surroundings

from .archive import Archive

logger = logging.getLogger(__name__)


class Parquet:
    """Archives products in Parquet files, `kind=…/date=…/part-….parquet`, every revision of each.

    What comes is written to a journal and flushed to the disk; from time to time, and at the end, the journal becomes
    Parquet. So there are few files, a crash loses nothing, and what comes twice is there once.
    """

    class Options(plugins.Options):
        """See the reference of plugins."""

        path: FilePath
        kinds: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] | None = None
        roll_s: PositiveSeconds = 3600.0
        roll_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000

    def __init__(self, options: Parquet.Options, surroundings: Surroundings) -> None:
        self._options = options
        self._name = surroundings.name
        self._archive = Archive(options.path)
        self._rolling: asyncio.Task[None] | None = None

    @property
    def kinds(self) -> frozenset[str] | None:
        """Those of the options; None where they name none."""
        return None if self._options.kinds is None else frozenset(self._options.kinds)

    async def open(self) -> None:
        """Take the folder, and what an earlier run left in its journals. Raises MonitorError."""
        await self.close()
        await asyncio.to_thread(self._archive.open)
        self._rolling = asyncio.create_task(self._roll_on())

    async def write(self, products: Sequence[StoredProduct]) -> None:
        """Return when the products are on the disk. Raises MonitorError."""
        rows = await asyncio.to_thread(self._archive.append, products)
        if rows >= self._options.roll_rows:
            await self._roll()

    async def close(self) -> None:
        """Make Parquet of what there is, and let go of the folder."""
        rolling, self._rolling = self._rolling, None
        if rolling is not None:
            rolling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await rolling
        await asyncio.to_thread(self._archive.close)

    async def _roll_on(self) -> None:
        while True:
            await asyncio.sleep(self._options.roll_s)
            await self._roll()

    async def _roll(self) -> None:
        """Make Parquet of the journal; where that fails nothing is lost, and nothing has to come again."""
        try:
            await asyncio.to_thread(self._archive.roll)
        except MonitorError as error:
            logger.warning("%s: %s; the journal keeps all until that is mended", self._name, error)
