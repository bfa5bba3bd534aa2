"""The source `kafka_source`: messages out of records."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from pydantic import AfterValidator, Field

from monitor.config.reading import show
from monitor.config.schema import Text
from monitor.plugins import Feed, Surroundings
from monitor.types import Json, Message

from .cluster import ClusterOptions, connection, stopped, why
from .merging import Merging

logger = logging.getLogger(__name__)

UNREADABLE: Final = "kafka/unreadable"
"""Topic of what has no topic: no decoder is for it, so the daemon refuses and counts it."""
_PART: Final = re.compile(r"\{(topic|key|header\.[A-Za-z0-9_.-]+)\}")
_FETCH_MS: Final = 200
_IDLE_S: Final = 15.0
"""After so long without a record the cluster is asked whether it is there."""
_STALLED_S: Final = 10.0
"""A partition that says nothing for so long holds up the others no longer."""
_WAITS_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_WAITING_MS: Final = 86_400_000
"""The store may take nothing for a day before the partitions go to somebody else."""


def _template(text: str) -> str:
    rest = _PART.sub("x", text)
    if not text or any(character in rest for character in "{}+#\0"):
        raise ValueError(
            f"found {show(text)}; write a topic with {{topic}}, {{key}} or {{header.NAME}} in it"
        )
    return text


class KafkaSource:
    """Brings messages from Kafka topics to the decoders that `inputs` names for the topics that they are given.

    A record is done once its samples are stored: its offset is kept with them, and committed to the group for those who
    watch its lag. So a restart brings some again, and loses none. What has no topic, or no decoder, is refused and gone.
    """

    class Options(ClusterOptions):
        """See the reference of plugins."""

        topics: Annotated[dict[Text, Annotated[str, AfterValidator(_template)]], Field(min_length=1)]
        group: Text = "geospace-monitor"
        begin: Literal["earliest", "latest"] = "earliest"
        session_timeout_s: Annotated[float, Field(ge=1, le=1800)] = 10.0
        batch_messages: Annotated[int, Field(ge=1, le=100_000)] = 500

    def __init__(self, options: KafkaSource.Options, surroundings: Surroundings) -> None:
        self._options = options
        self._name = surroundings.name
        # Batches no longer than half the lateness, as `replay` sends them.
        self._slack_ns = round(min(surroundings.lateness_s, surroundings.craft_lateness_s) / 2 * 1e9)

    async def run(self, feed: Feed) -> None:
        """Bring records until cancelled; while the cluster is away, wait. Raises what `feed.take` raises."""
        failures = 0
        while True:
            consumer = AIOKafkaConsumer(**self._settings())
            reading = _Reading(consumer, feed, self._options, self._slack_ns)
            try:
                consumer.subscribe(list(self._options.topics), listener=reading)
                await consumer.start()
                if failures:
                    logger.info("%s: the cluster is back", self._name)
                failures = 0
                await reading.go_on()
            except (KafkaError, OSError) as error:
                if not failures:
                    servers = ", ".join(self._options.servers)
                    logger.warning("%s: %s cannot be used (%s); trying on", self._name, servers, why(error))
            finally:
                await stopped(consumer.stop(), consumer._client)
            await asyncio.sleep(_WAITS_S[min(failures, len(_WAITS_S) - 1)])
            failures += 1

    def _settings(self) -> dict[str, Any]:
        session_ms = round(self._options.session_timeout_s * 1000)
        return {
            **connection(self._options, f"plugins.{self._name}"),
            "group_id": self._options.group,
            "enable_auto_commit": False,
            "auto_offset_reset": self._options.begin,
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": session_ms // 5,
            "max_poll_interval_ms": _WAITING_MS,
            "max_poll_records": self._options.batch_messages,
        }


class _Reading(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """One consumer at work."""

    def __init__(
        self, consumer: AIOKafkaConsumer, feed: Feed, options: KafkaSource.Options, slack_ns: int
    ) -> None:
        self._consumer = consumer
        self._feed = feed
        self._options = options
        self._held: Merging[TopicPartition, ConsumerRecord] = Merging(_time_ns, slack_ns)
        self._offsets: dict[str, dict[str, int]] = _offsets(feed.position, options.group)
        self._heard_at = self._released_at = time.monotonic()
        self._missed: set[str] = set()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._held.drop(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on where the store is; the group's own offset may be behind it, or ahead of one that was restored.

        An offset that is gone (0 of an old topic) is out of range, and then `auto_offset_reset` counts.
        """
        first = 0 if self._options.begin == "earliest" else None
        for one in assigned:
            offset = self._offsets.get(one.topic, {}).get(str(one.partition), first)
            if offset is not None:
                self._consumer.seek(one, offset)

    async def go_on(self) -> None:
        while True:
            wanted = self._held.wants(self._consumer.assignment())
            if wanted or not self._held.any:
                await self._fetch(wanted)
            if not await self._may_come():
                await self._hand_over(self._held.release(self._options.batch_messages))

    async def _fetch(self, wanted: Sequence[TopicPartition]) -> None:
        found = await self._consumer.getmany(*wanted, timeout_ms=_FETCH_MS)
        for partition, records in found.items():
            self._held.add(partition, records)
        now = time.monotonic()
        if found:
            self._heard_at = now
        elif now - self._heard_at > _IDLE_S:
            async with asyncio.timeout(_IDLE_S):
                self._miss(await self._consumer.topics())
            self._heard_at = time.monotonic()

    def _miss(self, there: set[str]) -> None:
        """Say once of each topic that it is not there."""
        missing = self._options.topics.keys() - there
        if missing - self._missed:
            logger.warning("the cluster has no topic %s; waiting for it", ", ".join(sorted(missing)))
        self._missed = missing

    async def _may_come(self) -> bool:
        """Whether records that are still on their way hold up those that are there; none does so for long."""
        if not self._held.any or time.monotonic() - self._released_at > _STALLED_S:
            self._released_at = time.monotonic()
            return False
        for partition in self._held.wants(self._consumer.assignment()):
            if await self._is_behind(partition):
                return True
        self._released_at = time.monotonic()
        return False

    async def _is_behind(self, partition: TopicPartition) -> bool:
        try:
            async with asyncio.timeout(_FETCH_MS / 1000):
                at = await self._consumer.position(partition)
            end = self._consumer.highwater(partition)
        except TimeoutError:
            return True
        except (IllegalStateError, AssertionError):  # it has just gone to somebody else
            return False
        return end is None or at < end

    async def _hand_over(self, records: Sequence[tuple[TopicPartition, ConsumerRecord]]) -> None:
        if not records:
            return
        received_ns = time.time_ns()
        messages = [
            Message(mqtt_topic(self._options.topics, record), record.value, received_ns)
            for _, record in records
            # A record without a value says that a key is gone; there is nothing to decode.
            if record.value is not None
        ]
        done = {partition: record.offset + 1 for partition, record in records}
        for partition, offset in done.items():
            self._offsets.setdefault(partition.topic, {})[str(partition.partition)] = offset
        await self._feed.take(messages, {"group": self._options.group, "offsets": self._offsets})
        try:
            await self._consumer.commit(done)
        except (CommitFailedError, IllegalStateError):
            # The partition is somebody else's by now, who brings the same again; samples that come twice are the same.
            logger.info("a partition was moved while its records were stored")


def mqtt_topic(templates: Mapping[str, str], record: ConsumerRecord) -> str:
    """The topic that a record is given; `UNREADABLE` where what it is made of is missing or cannot be in a topic."""
    parts = {"topic": record.topic}
    try:
        if record.key is not None:
            parts["key"] = record.key.decode()
        parts |= {f"header.{name}": value.decode() for name, value in record.headers if value is not None}
        topic = _PART.sub(lambda match: parts[match[1]], templates[record.topic])
    except (KeyError, UnicodeDecodeError):
        return UNREADABLE
    return topic if topic.isprintable() and not set(topic) & set("+#") else UNREADABLE


def _time_ns(record: ConsumerRecord) -> int:
    return int(record.timestamp) * 1_000_000


def _offsets(position: Json, group: str) -> dict[str, dict[str, int]]:
    """What the store has of an earlier run in the same group."""
    if not isinstance(position, dict) or position.get("group") != group:
        return {}
    return {topic: dict(offsets) for topic, offsets in position["offsets"].items()}
