"""A daemon behind a bad line loses nothing and says the same: slow, split, merged, cut, half-open and corrupt ones."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from certificates import new_certificates
from daemon_kit import Listener, closing
from daemon_program import Daemon
from mqtt_kit import Mosquitto
from programs import free_port
from proxy import ChaosProxy, Cut, Line
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

from monitor.types import SampleBlock

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

PER_SECOND = 1000.0
KEEPALIVE_S = 5
GOOD = Line()
BAD: dict[str, Line | Cut] = {
    "slow": Line(delay_s=0.3, jitter_s=0.4),
    "narrow": Line(bytes_per_s=60_000),
    "single bytes": Line(piece_bytes=1),
    "merged": Line(gather_s=0.5),
    "reset": "rst",
    "closed": "fin",
}
HALF_OPEN = ("up", "down", "both")


def test_bad_lines_lose_nothing_and_change_no_product(
    tmp_path: Path,
    mosquitto: Mosquitto,
    chance: random.Random,
    seed: int,
    of_scale: Callable[[int, int], int],
    found: Callable[..., None],
) -> None:
    rounds = of_scale(1, 6)
    with ChaosProxy(("127.0.0.1", mosquitto.port), seed=seed) as proxy:
        config = stream_config(
            tmp_path / "lines.yaml", f"mqtt://127.0.0.1:{proxy.port}", mqtt={"keepalive_s": KEEPALIVE_S}
        )
        troubles = [name for _ in range(rounds) for name in chance.sample(sorted(BAD), len(BAD))]
        silences = [way for _ in range(rounds) for way in chance.sample(HALF_OPEN, of_scale(1, 3))]

        def disturb(daemon: Daemon) -> None:
            for name in troubles:
                trouble(proxy, BAD[name], chance.uniform(0.5, 1.5))
            for way in silences:
                fall_silent(proxy, way, daemon)

        figures = run_behind(proxy, config, mosquitto, disturb)
    found(troubles=dict(Counter([*troubles, *silences])), **figures)
    assert_unharmed(figures)


@pytest.mark.at_length
def test_corrupt_line_under_tls_brings_no_wrong_sample(
    tmp_path: Path,
    mosquitto_at: Callable[..., Mosquitto],
    chance: random.Random,
    seed: int,
    of_scale: Callable[[int, int], int],
    found: Callable[..., None],
) -> None:
    spells = of_scale(2, 30)
    files = new_certificates(tmp_path)
    tls = free_port()
    mosquitto = mosquitto_at(
        extra=[f"listener {tls} 127.0.0.1", f"certfile {files.certificate}", f"keyfile {files.key}"]
    )
    mosquitto.start()
    with ChaosProxy(("127.0.0.1", tls), seed=seed) as proxy:
        config = stream_config(
            tmp_path / "corrupt.yaml", f"mqtts://localhost:{proxy.port}", mqtt={"ca_file": str(files.ca)}
        )

        def disturb(_daemon: Daemon) -> None:
            for _ in range(spells):
                before = proxy.counts.corrupted_bytes
                trouble(
                    proxy, Line(corrupt_share=chance.choice((1e-5, 1e-4, 1e-3))), chance.uniform(0.5, 1.5)
                )
                if proxy.counts.corrupted_bytes == before:
                    trouble(proxy, Line(corrupt_share=1e-2), 0.5)

        figures = run_behind(proxy, config, mosquitto, disturb)
    found(spells=spells, corrupted_bytes=proxy.counts.corrupted_bytes, **figures)
    assert proxy.counts.corrupted_bytes > 0
    assert figures["connections"] > 1
    assert_unharmed(figures)


def trouble(proxy: ChaosProxy, what: Line | Cut, hold_s: float) -> None:
    """Make the line bad for a while, or cut it; then it is good again."""
    if isinstance(what, Line):
        proxy.lines(up=what, down=what)
        time.sleep(hold_s)
        proxy.lines(up=GOOD, down=GOOD)
    else:
        proxy.cut(what)
        time.sleep(hold_s)


def fall_silent(proxy: ChaosProxy, way: str, daemon: Daemon) -> None:
    """Swallow what goes one way, or both, until the daemon notices by itself and has connected again."""
    before = proxy.counts.connections
    up = Line(swallow=way in ("up", "both"))
    proxy.lines(up=up, down=Line(swallow=way in ("down", "both")))
    daemon.wait(lambda: daemon.get("/readyz")[0] == 503)
    proxy.lines(up=GOOD, down=GOOD)
    daemon.wait_until_up()
    assert proxy.counts.connections > before


def run_behind(
    proxy: ChaosProxy, config: Path, mosquitto: Mosquitto, disturb: Callable[[Daemon], None]
) -> dict[str, int]:
    """Disturb the line of a daemon under load; return what was lost, wrong or different in the end."""
    stream = Stream(rounds=400)
    with (
        Daemon(config) as daemon,
        closing(Listener(mosquitto.port)) as listener,
        Publisher[SampleBlock](mosquitto.port) as publisher,
    ):
        publisher.flow(stream.messages(), PER_SECOND)
        disturb(daemon)
        assert publisher.flows, "the stream has ended before the disturbances"
        stream.end_soon()
        publisher.finish_flow()
        publisher.flush()
        sent = [entry.about for entry in publisher.ledger]
        expected = expected_products(config, samples_of(sent))
        daemon.wait_until_stored(last_times(sent))
        said = settled_products(listener, expected)
        assert daemon.stop() == 0, daemon.log
    assert "Traceback" not in daemon.log
    samples = compared(stored_samples(daemon.store_path), samples_of(sent))
    return {
        "connections": proxy.counts.connections,
        "messages": len(sent),
        "lost_samples": len(samples.missing),
        "wrong_samples": len(samples.wrong),
        "products": len(expected),
        "differing_products": len(differing(said, expected)),
        "contradicting_ids": len(contradictions(said)),
    }


def assert_unharmed(figures: dict[str, int]) -> None:
    harm: Sequence[str] = ("lost_samples", "wrong_samples", "differing_products", "contradicting_ids")
    assert {name: figures[name] for name in harm} == dict.fromkeys(harm, 0)
    assert figures["products"] > 0
