"""Live injection: synthetic signals go in as a station sends them, and what comes out is held against the truth.

It has a connection of its own, so that the way in and the way out are those of the outside: broker, decoder, store,
pipeline, outbox, broker. The daemon under test lends it its clock and its metrics and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from monitor.config import Config
from monitor.daemon.injection_score import Outcome, Score, Windows
from monitor.decoders.native import native_payload, native_topic
from monitor.errors import BrokerError, BrokerUnavailable
from monitor.io.metrics import Metrics
from monitor.io.mqtt import MqttLink, MqttSettings
from monitor.stages.product import GRACE_NS
from monitor.types import SECOND_NS, Json, Shadow

logger = logging.getLogger(__name__)

_MINUTE_NS: Final = 60 * SECOND_NS
_POLL_S: Final = 1.0
# What a broker that was away did not take is sent later, as a station with a buffer does.
_BACKLOG_NS: Final = 60 * _MINUTE_NS
# A clock that goes on by more from one turn to the next did so without us: stopped, asleep, or set.
_ABSENCE_NS: Final = 10 * _MINUTE_NS
_QUEUE: Final = 1000


def wall_ns() -> int:
    """The time of day (ns UTC), which is also the time of the samples."""
    return time.time_ns()


class Injection:
    """Feeds the shadows of a configuration, and judges what the daemon says of them.

    Parameters
    ----------
    config : Config
        Without a shadow that is switched on there is nothing to do.
    settings : MqttSettings
        Those of the daemon; the client id gets `-injection` behind it.
    metrics : Metrics
    """

    def __init__(self, config: Config, settings: MqttSettings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._root = config.outputs.root
        now_ns = wall_ns()
        # Samples up to here are out of the house, or will not go out any more.
        self._fed_ns = now_ns // _MINUTE_NS * _MINUTE_NS
        self._turned_ns = now_ns
        self._shadows = shadows_of(config)
        self._scores = [
            Score(shadow, judged_windows(config, shadow), self._fed_ns) for shadow in self._shadows
        ]
        self._refused: set[str] = set()
        for score in self._scores:
            metrics.expect_injection(score.subject, [str(outcome) for outcome in Outcome])
        # Products that do not come are what the verdicts tell of: no reason to connect anew.
        self._link = MqttLink(
            replace(settings, client_id=f"{settings.client_id}-injection", silence_s=0.0),
            subscriptions=[f"{self._root}/{score.topic}" for score in self._scores],
            will=None,
            queue_size=_QUEUE,
        )

    async def run(self) -> None:
        """Feed, listen and judge until cancelled.

        A fault in here ends the injection and never the daemon: that nothing is judged any more is an alert.
        """
        if not self._shadows:
            return
        parts = [
            asyncio.create_task(part, name=f"injection {name}")
            for name, part in (
                ("link", self._link.run()),
                ("feed", self._feed()),
                ("ear", self._listen()),
                ("judge", self._judge()),
            )
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            ended = await asyncio.gather(*parts, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                logger.error("the injection failed and has stopped, please report this", exc_info=error)

    def page(self) -> dict[str, dict[str, Json]]:
        """For `/api/status`, by subject."""
        return {score.subject: score.page() for score in self._scores}

    async def _feed(self) -> None:
        while True:
            self._mind_absence()
            until_ns = wall_ns() // _MINUTE_NS * _MINUTE_NS
            self._fed_ns = max(self._fed_ns, until_ns - _BACKLOG_NS)
            while (begin_ns := self._fed_ns) < until_ns and await self._send_minute(begin_ns):
                # Unless it began anew meanwhile.
                if self._fed_ns == begin_ns:
                    self._fed_ns += _MINUTE_NS
            await asyncio.sleep(_POLL_S)

    def _mind_absence(self) -> None:
        """Begin anew where the clock went on without us, or back: nobody sent these samples, nobody lost them."""
        now_ns = wall_ns()
        went_ns, self._turned_ns = now_ns - self._turned_ns, now_ns
        if -_MINUTE_NS <= went_ns <= _ABSENCE_NS:
            return
        logger.warning("the clock moved by %.0f s at once: the injection begins anew", went_ns / SECOND_NS)
        self._fed_ns = now_ns // _MINUTE_NS * _MINUTE_NS
        for score in self._scores:
            score.begin_anew(self._fed_ns)

    async def _send_minute(self, begin_ns: int) -> bool:
        """Send a minute of every shadow; return whether it is done with (a minute may go out twice)."""
        for shadow in self._shadows:
            for block in await asyncio.to_thread(shadow.blocks, begin_ns, begin_ns + _MINUTE_NS):
                topic = native_topic(block, self._root)
                try:
                    await self._link.publish(topic, native_payload(block), retain=False)
                except BrokerUnavailable:
                    return False
                except BrokerError as error:
                    # By its rules: it would say so again. The verdicts tell what comes of it.
                    if topic not in self._refused:
                        logger.error("%s; injected samples are lost until the broker takes them", error)
                    self._refused.add(topic)
                else:
                    self._refused.discard(topic)
        return True

    async def _listen(self) -> None:
        scores = {f"{self._root}/{score.topic}": score for score in self._scores}
        while True:
            deliveries = await self._link.receive(_QUEUE, _POLL_S)
            for delivery in deliveries:
                score = scores.get(delivery.message.topic)
                if score is not None:
                    score.hear(_document(delivery.message.payload))
            self._link.acknowledge(deliveries)

    async def _judge(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            self._mind_absence()
            for score in self._scores:
                for verdict in score.judge(wall_ns()):
                    self._metrics.injection_judged(
                        score.subject, str(verdict.outcome), verdict.end_ns / SECOND_NS
                    )
                    if verdict.outcome is not Outcome.RECOVERED:
                        logger.info("injected %s: %s", score.subject, verdict.outcome)
                self._metrics.injection_recovered(score.subject, score.recovered_ratio)


def shadows_of(config: Config) -> Sequence[Shadow]:
    """The shadows that are switched on."""
    shadows: list[Shadow] = []
    # The simulations are imported where they are wanted: most daemons start without them.
    if config.injection.pair:
        from monitor.science.synthetic.shadow_pair import ShadowPair

        shadows.append(ShadowPair())
    if config.injection.craft:
        from monitor.science.synthetic.craft.shadow import ShadowCraft

        shadows.append(ShadowCraft())
    return shadows


def judged_windows(config: Config, shadow: Shadow) -> Windows:
    """Which windows are judged: those of a spacecraft that do not overlap, and all of a pair.

    Samples go out a minute at a time, which the grace of three minutes holds.
    """
    if shadow.kind == "flr":
        ground = config.windows
        patience_ns = round(ground.lateness_s * SECOND_NS) + GRACE_NS
        return Windows(ground.length_s * SECOND_NS, ground.cadence_s * SECOND_NS, patience_ns)
    craft = config.craft_windows
    length_ns, hop_ns = round(craft.length_s * SECOND_NS), round(craft.hop_s * SECOND_NS)
    every_ns = -(-length_ns // hop_ns) * hop_ns
    return Windows(length_ns, every_ns, round(craft.lateness_s * SECOND_NS) + GRACE_NS)


def _document(payload: bytes) -> Json:
    """What a message says; None where it is no JSON, as the empty one that takes a retained one away."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
