"""A broker that is killed loses no more than its settings say, and what it lost is said as gaps."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from daemon_program import Daemon
from programs import STOCK, Program, broker
from publisher import Entry, Publisher
from stream_kit import (
    ROUND_S,
    Samples,
    Stream,
    compared,
    differing,
    expected_products,
    last_times,
    last_words,
    samples_of,
    stored_products,
    stored_samples,
    stream_config,
)

from monitor.io.broker import find_mosquitto
from monitor.types import SampleBlock

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto.conf"
AUTOSAVE_S = 10.0
# Mosquitto looks at a clock of whole seconds once a second, and writing takes it a moment.
SLACK_S = 3.0
PER_SECOND = 1000.0
DROP_S = (2.0, 15.0)
"""A message that is dropped from a full queue comes this much before or after the line that says so (whole seconds)."""
_DROPS = re.compile(r"^(\d+): Outgoing messages are being dropped", re.MULTILINE)


@dataclass(frozen=True)
class Outage:
    """When a broker was killed, when it was started again, and when the daemon was back (monotonic seconds)."""

    killed_s: float
    restarted_s: float
    back_s: float


def started_broker(directory: Path, settings: str) -> tuple[Program, int]:
    program = find_mosquitto()
    if program is None:
        pytest.skip("the program mosquitto is not installed")
    return broker(program, directory, settings)


def lost_entries(
    entries: Sequence[Entry[SampleBlock]], stored: Samples
) -> list[tuple[Entry[SampleBlock], float]]:
    """Messages that the broker took and the store has not, with the moment when it had taken them."""
    lost = []
    for entry in entries:
        if compared(stored, samples_of([entry.about])).missing:
            assert entry.accepted_s is not None, "a message that the broker never took counts as sent"
            lost.append((entry, entry.accepted_s))
    return lost


def drop_times(log: str) -> list[float]:
    """When the broker began to drop messages, by its log (monotonic seconds)."""
    since_s = time.time() - time.monotonic()
    return [float(stamp) - since_s for stamp in _DROPS.findall(log)]


def test_shipped_settings_lose_no_more_than_the_seconds_between_two_saves(
    tmp_path: Path, chance: random.Random, of_scale: Callable[[int, int], int], found: Callable[..., None]
) -> None:
    kills = of_scale(2, 20)
    assert f"autosave_interval {AUTOSAVE_S:g}" in SHIPPED.read_text()
    mosquitto, port = started_broker(tmp_path, SHIPPED.read_text())
    config = stream_config(tmp_path / "shipped.yaml", f"mqtt://127.0.0.1:{port}")
    stream = Stream(rounds=40 + 20 * kills)
    outages: list[Outage] = []
    with mosquitto, Daemon(config) as daemon, Publisher[SampleBlock](port) as publisher:
        # The session must have been saved once: before that, everything goes.
        daemon.wait(lambda: (tmp_path / "mosquitto.db").exists())
        publisher.flow(stream.messages(), PER_SECOND)
        for number in range(kills):
            assert publisher.flows, "the stream has ended before the disturbances"
            # Every second time the daemon is away, so that messages wait at the broker.
            away = number % 2 == 0
            if away:
                daemon.kill()
            time.sleep(chance.uniform(0.5, 3.0 if kills < 10 else 12.0))
            killed_s = time.monotonic()
            mosquitto.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            restarted_s = time.monotonic()
            mosquitto.start()
            if away:
                daemon.start()
            else:
                daemon.wait_until_up()
            outages.append(Outage(killed_s, restarted_s, time.monotonic()))
        stream.end_soon()
        publisher.finish_flow()
        publisher.flush()
        daemon.wait_until_stored(last_times(entry.about for entry in publisher.ledger))
        assert daemon.stop() == 0, daemon.log
    stored = stored_samples(daemon.store_path)
    samples = compared(stored, samples_of(entry.about for entry in publisher.ledger))
    lost = lost_entries(publisher.ledger, stored)
    # What the dead broker had answered may have been read a moment after its death, but not after its return.
    ages = [
        min((one.killed_s - taken_s for one in outages if one.restarted_s >= taken_s), default=float("inf"))
        for _, taken_s in lost
    ]
    differences = differing(stored_products(daemon.store_path), expected_products(config, stored))
    found(
        broker_kills=kills,
        messages=len(publisher.ledger),
        messages_per_second=PER_SECOND,
        lost_messages=len(lost),
        oldest_lost_s=round(max(ages, default=0.0), 2),
        stated_window_s=AUTOSAVE_S,
        lost_beyond_the_window=sum(age > AUTOSAVE_S + SLACK_S for age in ages),
        wrong_samples=len(samples.wrong),
        differing_products=len(differences),
    )
    assert not samples.wrong
    assert all(age <= AUTOSAVE_S + SLACK_S for age in ages), sorted(ages)[-5:]
    assert differences == []
    assert "Traceback" not in daemon.log


@pytest.mark.at_length
def test_stock_settings_lose_messages_which_is_noticed_and_said_as_gaps(
    tmp_path: Path, chance: random.Random, of_scale: Callable[[int, int], int], found: Callable[..., None]
) -> None:
    kills = of_scale(1, 5)
    mosquitto, port = started_broker(tmp_path, STOCK)
    config = stream_config(tmp_path / "stock.yaml", f"mqtt://127.0.0.1:{port}")
    stream = Stream(rounds=40 + 20 * kills)
    outages: list[Outage] = []
    with mosquitto, Daemon(config) as daemon, Publisher[SampleBlock](port) as publisher:
        publisher.flow(stream.messages(), PER_SECOND)
        for _ in range(kills):
            # Some windows whole, and then minutes that only the broker has.
            taken = daemon.metric("geospace_samples_stored_total")
            daemon.wait(
                lambda taken=taken: daemon.metric("geospace_samples_stored_total") > taken + 3 * ROUND_S
            )  # type: ignore[misc]
            daemon.freeze()
            time.sleep(chance.uniform(2.0, 3.0))
            killed_s = time.monotonic()
            mosquitto.kill()
            daemon.thaw()
            daemon.wait(lambda: daemon.get("/readyz")[0] == 503)
            restarted_s = time.monotonic()
            mosquitto.start()
            daemon.wait_until_up()
            outages.append(Outage(killed_s, restarted_s, time.monotonic()))
        stream.end_soon()
        publisher.finish_flow()
        publisher.flush()
        daemon.wait_until_stored(last_times(entry.about for entry in publisher.ledger))
        assert daemon.stop() == 0, daemon.log
    stored = stored_samples(daemon.store_path)
    samples = compared(stored, samples_of(entry.about for entry in publisher.ledger))
    lost = lost_entries(publisher.ledger, stored)
    # Lost with the broker; lost because it came back before the daemon did; lost though the daemon was there.
    behind = [any(one.killed_s - 60 < taken_s <= one.restarted_s for one in outages) for _, taken_s in lost]
    between = [any(one.restarted_s < taken_s <= one.back_s for one in outages) for _, taken_s in lost]
    # Or dropped: with twenty in flight and a thousand in its queue it keeps up only with a daemon that is quick.
    drops_s = drop_times(mosquitto.log)
    dropped = [
        not (one or other) and any(-DROP_S[0] <= taken_s - at_s <= DROP_S[1] for at_s in drops_s)
        for one, other, (_, taken_s) in zip(behind, between, lost, strict=True)
    ]
    expected = expected_products(config, stored)
    products = stored_products(daemon.store_path)
    gaps = [one for one in last_words(products).values() if "gap" in one.get("flags", ())]
    noticed = daemon.log.count("has forgotten the session")
    differences = differing(products, expected)
    states = {one["state"] for one in stored_products(daemon.store_path, ["health"])}
    found(
        broker_kills=kills,
        messages=len(publisher.ledger),
        lost_with_the_broker=sum(behind),
        lost_before_the_daemon_was_back=sum(between),
        dropped_from_a_full_queue=sum(dropped),
        lost_otherwise=len(lost) - sum(behind) - sum(between) - sum(dropped),
        noticed_in_the_log=noticed,
        windows_with_gap=len(gaps),
        differing_products=len(differences),
    )
    assert not samples.wrong
    assert sum(behind) > 0
    assert len(lost) == sum(behind) + sum(between) + sum(dropped)
    assert noticed == kills
    assert {one["schema"] for one in gaps} >= {"geospace/flr/1", "geospace/region/1"}
    assert "gap" in states
    assert differences == []
    assert "Traceback" not in daemon.log
