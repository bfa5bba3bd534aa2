"""Somebody who may publish and means harm: all of it is counted, and the neighbours' products are what they would be."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_kit import (
    PAIRS,
    DaemonProcess,
    Feeder,
    Final,
    Listener,
    assert_agree,
    assert_one_content_per_id,
    chain_blocks,
    closing,
    eventually,
    processed,
    wait_for_products,
    write_config,
    write_csv,
)
from hostile import ATTACKED, MAXIMUM_BYTES, VICTIMS, shot
from mqtt_kit import Mosquitto
from vitals import Vitals, number, total

from monitor.types import SECOND_NS

MEMORY_MB = 64.0
"""What the attack may cost: the intake holds at most 2000 messages of at most 64 KiB for the decoders, and 64 MiB."""
SERIES = 300
"""By how many lines `/metrics` may grow: two decoders times the reasons, and what begins with the first product."""

pytestmark = [pytest.mark.broker, pytest.mark.timeout(1800)]


def honest(products: Final) -> Final:
    """Those of pairs that the attacker has no part in."""
    return {key: document for key, document in products.items() if key[0] in PAIRS}


def test_hostile_publisher_is_counted_and_harms_no_neighbour(
    mosquitto: Mosquitto,
    tmp_path: Path,
    of_scale: Callable[[int, int], int],
    chance: random.Random,
    found: Callable[..., None],
) -> None:
    shots = of_scale(2000, 100_000)
    blocks = chain_blocks(60)
    config = write_config(
        tmp_path / "hostile.json",
        mosquitto.url,
        pairs=[*PAIRS, f"{VICTIMS[2]}-{ATTACKED}"],
        intake={"maximum_payload_bytes": MAXIMUM_BYTES},
    )
    expected = honest(processed(config, write_csv(tmp_path / "chain.csv", blocks)))
    with (
        DaemonProcess(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        closing(Feeder(mosquitto.port)) as feeder,
        closing(Feeder(mosquitto.port)) as attacker,
    ):
        before, text = Vitals.of(daemon.pid), daemon.get("/metrics")[1]
        series, began = len(text.splitlines()), time.monotonic()
        every = shots // len(blocks)
        for count, block in enumerate(blocks):
            feeder.send([block])
            for _ in range(every):
                one = shot(chance, block.t0_ns // SECOND_NS)
                attacker.client.publish(one.topic, one.payload, qos=1, retain=one.retain)
            if count % 20 == 0:
                # So that neither runs away from the other, nor from the daemon.
                sent = (count + 1) * (every + 1)
                eventually(lambda: received(daemon) >= sent - 20 * (every + 1), 300.0, lambda: daemon.log)  # noqa: B023
        sent = len(blocks) * (every + 1)
        eventually(lambda: received(daemon) >= sent, 300.0, lambda: f"{received(daemon)} of {sent}")
        wait_for_products(listener, expected, daemon, 60.0)
        eventually(lambda: set(daemon.status()["queues"].values()) == {0}, 30.0, lambda: daemon.log)
        minutes = (time.monotonic() - began) / 60
        after, text = Vitals.of(daemon.pid), daemon.get("/metrics")[1]
        assert daemon.get("/readyz")[0] == 200
        assert daemon.stop() == 0, daemon.log
    log = daemon.log.splitlines()
    rejected = {
        f"{decoder}: {reason}": int(float(count))
        for decoder, reason, count in re.findall(
            r'geospace_messages_rejected_total{decoder="(\w+)",reason="(\w+)"} (\S+)', text
        )
        if float(count)
    }
    sources = set(re.findall(r'geospace_samples_stored_total{source="(\w+)"}', text))
    found(
        shots=every * len(blocks),
        received=total(text, "geospace_messages_received_total"),
        rejected=rejected,
        taken=every * len(blocks) - sum(rejected.values()),
        grown_MB=round(after.resident_MB - before.resident_MB, 1),
        new_series=len(text.splitlines()) - series,
        log_lines=len(log),
        minutes=round(minutes, 2),
    )
    assert total(text, "geospace_messages_received_total") == sent
    assert len(rejected) > 10, "this was no mixture"
    # What is neither refused nor of a victim was taken for a measurement of the station under attack.
    taken = every * len(blocks) - sum(rejected.values())
    assert taken >= 0
    assert (taken > 0) == (ATTACKED in sources)
    assert sources <= {*VICTIMS, ATTACKED}
    for station in VICTIMS:
        kept = number(text, f'geospace_samples_stored_total{{source="{station}"}}')
        assert kept == 60 * 60, "not one sample more than the honest ones"
    assert not [line for line in log if "Traceback" in line or "please report" in line]
    assert after.resident_MB - before.resident_MB < MEMORY_MB
    assert len(text.splitlines()) - series < SERIES
    assert len(log) < 20 + 70 * (minutes + 1)
    assert_one_content_per_id(listener.documents("flr"))
    assert_agree(honest(daemon.stored()), expected)


def received(daemon: DaemonProcess) -> float:
    """Messages that the decoders have seen."""
    return total(daemon.get("/metrics")[1], "geospace_messages_received_total")
