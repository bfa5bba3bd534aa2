"""A daemon that is killed, frozen or given a new configuration at any instant loses no sample, and says in the end what one that ran through says."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_kit import Listener, closing
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
    stored_products,
    stored_samples,
    stream_config,
)

from monitor.types import SampleBlock

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(1800)]

UP_S = 0.8
STARTING_S = 2.5
CATCH_UP_S = 600.0
TAKEN_UP = "geospace_config_last_reload_success_timestamp_seconds"
Disturbance = Callable[[Daemon, random.Random], str]


def kill(daemon: Daemon, chance: random.Random) -> str:
    """SIGKILL in mid-stream, or while it takes up what the last one left."""
    if chance.random() < 0.3:
        daemon.kill()
        daemon.start(wait=False)
        time.sleep(chance.uniform(0.0, STARTING_S))
        where = "while starting" if daemon.get("/readyz")[0] != 200 else "just started"
    else:
        time.sleep(chance.uniform(0.0, UP_S))
        where = "in mid-stream"
    daemon.kill()
    daemon.start()
    return where


def freeze(daemon: Daemon, chance: random.Random) -> str:
    """SIGSTOP for longer or shorter than the broker waits for a sign of life, then SIGCONT."""
    time.sleep(chance.uniform(0.0, UP_S))
    daemon.freeze()
    long = chance.random() < 0.3
    # Mosquitto gives a client up after one and a half times its keep-alive of 5 s.
    time.sleep(chance.uniform(8.0, 10.0) if long else chance.uniform(0.1, 2.0))
    daemon.thaw()
    daemon.wait_until_up()
    return "long" if long else "short"


def reload(daemon: Daemon, chance: random.Random) -> str:
    """SIGHUP: once or a few times, with a configuration that is broken and mended, or with a SIGKILL soon after."""
    time.sleep(chance.uniform(0.0, UP_S))
    config, drawn = Path(daemon.command[-1]), chance.random()
    if drawn < 0.2:
        os.kill(daemon.pid, signal.SIGHUP)
        time.sleep(chance.uniform(0.0, STARTING_S))
        daemon.kill()
        daemon.start()
        return "killed"
    since = daemon.metric(TAKEN_UP)
    if drawn < 0.5:
        good = config.read_text()
        config.write_text(good[: chance.randrange(1, len(good) - 2)])
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait(lambda: daemon.metric("geospace_degraded", concern="configuration") == 1.0)
        config.write_text(good)
    for _ in range(chance.choice((1, 1, 3))):
        os.kill(daemon.pid, signal.SIGHUP)
        time.sleep(chance.uniform(0.0, 0.1))
    daemon.wait(lambda: daemon.metric(TAKEN_UP) > since)
    daemon.wait_until_up()
    return "broken and mended" if drawn < 0.5 else "taken up"


def test_daemon_killed_at_random_instants_loses_nothing_and_says_the_same(
    tmp_path: Path,
    mosquitto: Mosquitto,
    chance: random.Random,
    of_scale: Callable[[int, int], int],
    found: Callable[..., None],
) -> None:
    kills = of_scale(3, 200)
    run_through(kill, kills, 500.0, "kills", tmp_path, mosquitto, chance, found)


@pytest.mark.at_length
def test_daemon_frozen_and_thawed_loses_nothing_and_says_the_same(
    tmp_path: Path,
    mosquitto: Mosquitto,
    chance: random.Random,
    of_scale: Callable[[int, int], int],
    found: Callable[..., None],
) -> None:
    freezes = of_scale(1, 20)
    run_through(freeze, freezes, 1000.0, "freezes", tmp_path, mosquitto, chance, found, keepalive_s=5)


@pytest.mark.at_length
def test_daemon_with_reloads_at_random_instants_loses_nothing_and_says_the_same(
    tmp_path: Path,
    mosquitto: Mosquitto,
    chance: random.Random,
    of_scale: Callable[[int, int], int],
    found: Callable[..., None],
) -> None:
    reloads = of_scale(1, 100)
    # Between two reloads it works for less time than they take.
    run_through(reload, reloads, 200.0, "reloads", tmp_path, mosquitto, chance, found)


def run_through(
    disturb: Disturbance,
    times: int,
    per_second: float,
    name: str,
    directory: Path,
    mosquitto: Mosquitto,
    chance: random.Random,
    found: Callable[..., None],
    keepalive_s: int = 30,
) -> None:
    """Disturb a daemon so many times under load, then hold samples and products against the undisturbed run."""
    config = stream_config(directory / f"{name}.yaml", mosquitto.url, mqtt={"keepalive_s": keepalive_s})
    stream = Stream(rounds=40 + 4 * times)
    begun = time.monotonic()
    how: dict[str, int] = {}
    with (
        Daemon(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        Publisher[SampleBlock](mosquitto.port) as publisher,
    ):
        publisher.flow(stream.messages(), per_second)
        for _ in range(times):
            assert publisher.flows, "the stream has ended before the disturbances"
            where = disturb(daemon, chance)
            how[where] = how.get(where, 0) + 1
        disturbed_s = time.monotonic() - begun
        stream.end_soon()
        publisher.finish_flow()
        publisher.flush()
        sent = [entry.about for entry in publisher.ledger]
        expected = expected_products(config, samples_of(sent))
        daemon.wait_until_stored(last_times(sent), CATCH_UP_S)
        said = settled_products(listener, expected)
        assert daemon.stop() == 0, daemon.log
    samples = compared(stored_samples(daemon.store_path), samples_of(sent))
    found(
        **{name: times},
        how=how,
        messages=len(sent),
        messages_per_second=per_second,
        disturbed_s=round(disturbed_s, 1),
        lost_samples=len(samples.missing),
        wrong_samples=len(samples.wrong),
        products=len(expected),
        differing_products=len(differing(said, expected)),
        contradicting_ids=len(contradictions(said)),
        seconds=round(time.monotonic() - begun, 1),
    )
    assert not samples.missing
    assert not samples.wrong
    assert differing(said, expected) == []
    assert differing(stored_products(daemon.store_path), expected) == []
    assert contradictions(said) == []
    assert "Traceback" not in daemon.log
