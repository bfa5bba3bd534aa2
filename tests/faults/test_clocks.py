"""Wall clocks that are hours wrong, or step while the daemon runs, change no window; what they do change says so."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clock import FakeClock
from daemon_kit import PAIRS, STATIONS, T0_NS, Feeder, Listener, chain_blocks, closing, write_config
from daemon_program import Daemon
from mqtt_kit import Mosquitto
from publisher import Publisher
from stream_kit import (
    Stream,
    compared,
    contradictions,
    differing,
    expected_products,
    last_times,
    samples_of,
    settled_products,
    stored_samples,
    stream_config,
)

from monitor.types import SECOND_NS, SampleBlock

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

HOUR_S = 3600
PER_SECOND = 1000.0
MINUTE_NS = 60 * SECOND_NS
FUTURE = {"decoder": "native", "reason": "time_out_of_range"}


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return FakeClock(tmp_path)


def test_steps_of_the_wall_clock_change_no_product(
    tmp_path: Path,
    mosquitto: Mosquitto,
    clock: FakeClock,
    chance: random.Random,
    of_scale: Callable[[int, int], int],
    found: Callable[..., None],
) -> None:
    steps = of_scale(3, 100)
    config = stream_config(tmp_path / "steps.yaml", mosquitto.url)
    stream = Stream(rounds=40 + steps)
    seen: list[float] = []
    with (
        Daemon(config, clock.environment) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        Publisher[SampleBlock](mosquitto.port) as publisher,
    ):
        publisher.flow(stream.messages(), PER_SECOND)
        for _ in range(steps):
            set_and_seen(clock, daemon, chance.randint(-6 * HOUR_S, 6 * HOUR_S))
            seen.append(offset_s(daemon))
            time.sleep(chance.uniform(0.0, 0.5))
        assert publisher.flows, "the stream has ended before the disturbances"
        stream.end_soon()
        publisher.finish_flow()
        publisher.flush()
        sent = [entry.about for entry in publisher.ledger]
        expected = expected_products(config, samples_of(sent))
        daemon.wait_until_stored(last_times(sent))
        said = settled_products(listener, expected)
        assert daemon.stop() == 0, daemon.log
    samples = compared(stored_samples(daemon.store_path), samples_of(sent))
    found(
        clock_steps=steps,
        furthest_behind_s=round(min(seen)),
        furthest_ahead_s=round(max(seen)),
        messages=len(sent),
        lost_samples=len(samples.missing),
        products=len(expected),
        differing_products=len(differing(said, expected)),
        contradicting_ids=len(contradictions(said)),
    )
    assert not samples.missing
    assert differing(said, expected) == []
    assert contradictions(said) == []
    assert "Traceback" not in daemon.log


@pytest.mark.at_length
def test_wrong_clock_refuses_the_future_keeps_what_is_valid_and_shows_nothing_old_after_a_start(
    tmp_path: Path, mosquitto: Mosquitto, clock: FakeClock, found: Callable[..., None]
) -> None:
    config = write_config(tmp_path / "wrong.yaml", mosquitto.url)
    minutes = live_minutes()
    with Daemon(config, clock.environment) as daemon, closing(Feeder(mosquitto.port)) as feeder:
        for _ in range(40):
            feeder.send(next(minutes))
        daemon.wait(lambda: shown(daemon) == len(PAIRS))
        before = daemon.metric("geospace_samples_stored_total")

        # Two hours slow: what is measured now seems to come from the future.
        set_and_seen(clock, daemon, -2 * HOUR_S)
        feeder.send(next(minutes))
        daemon.wait(lambda: daemon.metric("geospace_messages_rejected_total", **FUTURE) == len(STATIONS))
        told = re.findall(r"WARNING .*\b(\d+) s after it was received; allowed are 300", daemon.log)
        kept = [daemon.metric("geospace_samples_stored_total") - before, shown(daemon)]

        # Right again: nothing need be done.
        set_and_seen(clock, daemon, 0)
        feeder.send(next(minutes))
        daemon.wait(lambda: daemon.metric("geospace_samples_stored_total") == before + 60 * len(STATIONS))
        refused = daemon.metric("geospace_messages_rejected_total", **FUTURE)

        # Six hours fast: the lag is told by the wall clock; whether a value holds, by the samples.
        set_and_seen(clock, daemon, 6 * HOUR_S)
        daemon.wait(lambda: daemon.metric("geospace_source_lag_seconds", source="TAR") > 5 * HOUR_S)
        running = shown(daemon)
        daemon.kill()
        daemon.start()
        restarted = shown(daemon)
        found(
            refused_while_slow=int(refused),
            refusals_in_the_log=len(told),
            values_while_slow=kept[1],
            values_while_fast=running,
            values_after_a_start_while_fast=restarted,
        )
        assert kept == [0, len(PAIRS)]
        assert refused == len(told) == len(STATIONS)
        assert all(0 < int(ahead) <= 2 * HOUR_S for ahead in told)
        assert running == len(PAIRS)
        assert restarted == 0
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log


def set_and_seen(clock: FakeClock, daemon: Daemon, ahead_s: int) -> None:
    """Set the daemon's wall clock, and wait until it has looked at it."""
    clock.set(ahead_s)
    daemon.wait(lambda: abs(offset_s(daemon) - ahead_s) < 60)


def offset_s(daemon: Daemon) -> float:
    """How far the daemon's wall clock is ahead, by what it says of itself (its reading is up to some seconds old)."""
    as_of = daemon.status().get("as_of")
    if as_of is None:
        return float("nan")
    return datetime.fromisoformat(as_of).replace(tzinfo=UTC).timestamp() - time.time()


def shown(daemon: Daemon) -> int:
    """Pairs whose label is in the metrics."""
    return int(daemon.metric("geospace_flr_label"))


def live_minutes() -> Iterator[list[SampleBlock]]:
    """Minutes of the chain as if they were measured now: the fortieth ends a minute ago, later ones lie ahead."""
    blocks = chain_blocks(45)
    now_ns = time.time_ns()
    shift_ns = now_ns - now_ns % MINUTE_NS - 41 * MINUTE_NS - T0_NS
    for start in range(0, len(blocks), len(STATIONS)):
        yield [
            replace(block, t0_ns=block.t0_ns + shift_ns) for block in blocks[start : start + len(STATIONS)]
        ]
