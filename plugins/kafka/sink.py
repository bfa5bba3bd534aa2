"""The sink `kafka_sink`: a record for each product."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Annotated, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from pydantic import AfterValidator, Field

from monitor.config.reading import show
from monitor.config.schema import PositiveSeconds, Text
from monitor.plugins import StoredProduct, Surroundings

from .cluster import ClusterAway, ClusterOptions, connection, stopped, why

logger = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_KIND: Final = "{kind}"


def _topic(text: str) -> str:
    if not _NAME.fullmatch(text.replace(_KIND, "kind")):
        raise ValueError(
            f"found {show(text)}; write letters, digits, . _ - and, for the kind of product, {_KIND}"
        )
    return text


class KafkaSink:
    """Writes products to Kafka, for each a record whose key is its subject.

    The records of a subject keep their order (they share a partition), and the whole cluster has them before they are
    done (`acks=all`, idempotent). A subject that was removed is a record without a value, as compacted topics want it.
    """

    class Options(ClusterOptions):
        """See the reference of plugins."""

        topic: Annotated[str, AfterValidator(_topic)] = "geospace.{kind}"
        kinds: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] | None = None
        timeout_s: PositiveSeconds = 30.0
        maximum_record_bytes: Annotated[int, Field(ge=1024, le=268_435_455)] = 1_048_576

    def __init__(self, options: KafkaSink.Options, surroundings: Surroundings) -> None:
        self._options = options
        self._name = surroundings.name
        self._root = surroundings.root
        self._producer: AIOKafkaProducer | None = None
        self._is_torn = False
        self.left_behind = 0
        """How many products were too large for the cluster."""

    @property
    def kinds(self) -> frozenset[str] | None:
        """Those of the options; None where they name none."""
        return None if self._options.kinds is None else frozenset(self._options.kinds)

    async def open(self) -> None:
        """Connect. Raises ClusterAway, and ConfigurationError where a file of the options cannot be read."""
        # A new producer each time: one that has failed may have a hole in the numbers of its records, and stays stuck.
        await self.close()
        producer = AIOKafkaProducer(
            **connection(self._options, f"plugins.{self._name}"),
            acks="all",
            enable_idempotence=True,
            compression_type="gzip",
            max_request_size=self._options.maximum_record_bytes,
            request_timeout_ms=round(self._options.timeout_s * 1000),
        )
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await producer.start()
        except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
            await stopped(producer.stop(), producer.client)
            raise ClusterAway(
                f"{', '.join(self._options.servers)}: cannot be reached ({why(error)})"
            ) from None
        except BaseException:
            await stopped(producer.stop(), producer.client)
            raise
        self._producer, self._is_torn = producer, False

    async def close(self) -> None:
        """Let go of the connections."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if self._is_torn:
            # It would wait, perhaps for ever, until the records are taken that come again anyway.
            await stopped(producer._sender.close(), producer.client)
        await stopped(producer.stop(), producer.client)

    async def write(self, products: Sequence[StoredProduct]) -> None:
        """Write records, and return when the cluster has all of them. Raises ClusterAway."""
        try:
            await self._send(products)
        except MessageSizeTooLargeError:
            await self._send_singly(products)

    async def _send_singly(self, products: Sequence[StoredProduct]) -> None:
        """Send again one by one, since records travel together and are refused together; leave the large ones behind."""
        await self.open()
        for product in products:
            try:
                await self._send([product])
            except MessageSizeTooLargeError as error:
                self.left_behind += 1
                text = "%s: %s (%d bytes) is left behind: %s; raise maximum_record_bytes and the cluster's limits"
                logger.error(text, self._name, product.topic, len(product.payload), why(error))
                await self.open()

    async def _send(self, products: Sequence[StoredProduct]) -> None:
        producer = self._producer
        if producer is None:
            raise ClusterAway("is not open")
        self._is_torn = True
        try:
            async with asyncio.timeout(self._options.timeout_s):
                # Each is begun before the next: so they stay in order.
                sent = [await self._begin(producer, product) for product in products]
                await asyncio.gather(*sent)
            self._is_torn = False
        except MessageSizeTooLargeError:
            raise
        except (KafkaError, TimeoutError) as error:
            raise ClusterAway(f"the cluster does not take records ({why(error)})") from None

    async def _begin(self, producer: AIOKafkaProducer, product: StoredProduct) -> asyncio.Future[object]:
        headers = [("topic", f"{self._root}/{product.topic}".encode()), ("kind", product.kind.encode())]
        sent: asyncio.Future[object] = await producer.send(
            self._options.topic.replace(_KIND, product.kind),
            product.payload or None,
            key=product.subject.encode(),
            headers=headers,
        )
        return sent
