"""Bad input through the real broker: each rejected with its reason, and the stream next to it undisturbed.

One daemon takes a good stream with all the rubbish in between; each test then looks at its own kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from daemon_kit import (
    ROOT,
    DaemonProcess,
    Feeder,
    Final,
    Listener,
    assert_agree,
    chain_blocks,
    closing,
    eventually,
    processed,
    wait_for_products,
    write_config,
    write_csv,
)
from mqtt_kit import Mosquitto

pytestmark = pytest.mark.broker

START = '"start":"2017-09-07T08:31:00Z","step_s":1'
TAR = f"{ROOT}/in/mag/TAR"
IMAG = "impf/tar/pt1s/1/xyzs"


@dataclass(frozen=True)
class Rubbish:
    """A message, why it is refused, and the value that the log line must show."""

    topic: str
    payload: bytes
    decoder: str
    reason: str
    value: str


RUBBISH = {
    "not JSON": Rubbish(TAR, b"hello, world", "native", "not_json", "hello, world"),
    "cut off": Rubbish(TAR, b'{"start":"2017-09-07T', "native", "not_json", "2017-09-07T"),
    "not UTF-8": Rubbish(f"{ROOT}/in/mag/NUR", b'{"start":"\xff\xfe"}', "native", "not_json", "UTF-8"),
    "a list": Rubbish(TAR, b"[1,2,3]", "native", "wrong_type", "array"),
    "text for numbers": Rubbish(TAR, f'{{{START},"H":["1"]}}'.encode(), "native", "wrong_type", "H"),
    "unequal lengths": Rubbish(TAR, f'{{{START},"H":[1,2],"E":[1]}}'.encode(), "native", "unequal_lengths", "E has 1"),
    "NaN": Rubbish(TAR, f'{{{START},"H":[NaN]}}'.encode(), "native", "not_finite", "byte 48"),
    "Infinity": Rubbish(f"{ROOT}/in/mag/BRZ", f'{{{START},"H":[Infinity]}}'.encode(), "native", "not_finite", "byte 48"),
    "1e308": Rubbish(TAR, f'{{{START},"H":[1e308]}}'.encode(), "native", "out_of_range", "1e+308"),
    "unknown station": Rubbish(
        f"{ROOT}/in/mag/QQQ", f'{{{START},"H":[1]}}'.encode(), "native", "unknown_station", "QQQ"
    ),
    "1970": Rubbish(
        TAR, b'{"start":"1970-01-01T00:00:00Z","step_s":1,"H":[1]}', "native", "time_out_of_range", "1970-01-01"
    ),
    "2100": Rubbish(
        f"{ROOT}/in/mag/NUR", b'{"start":"2100-01-01T00:00:00Z","step_s":1,"H":[1]}', "native", "time_out_of_range", "2100-01-01"
    ),
    "a step that changes": Rubbish(
        TAR, b'{"start":"2017-09-07T08:31:00Z","step_s":2,"H":[1,2]}', "native", "step_changed", "every 2 s after 1 s"
    ),
    "components that change": Rubbish(
        TAR, f'{{{START},"X":[1],"Y":[2]}}'.encode(), "native", "components_changed", "XY after H"
    ),
    "off the grid": Rubbish(
        TAR, b'{"start":"2017-09-07T08:31:00.4Z","step_s":1,"H":[1]}', "native", "off_grid", "0.4 s"
    ),
    "an empty batch": Rubbish(TAR, f'{{{START},"H":[]}}'.encode(), "native", "empty", "no sample"),
    "10 MB": Rubbish(TAR, os.urandom(10_000_000), "native", "too_large", "10000000"),
    "an odd topic": Rubbish(f"{ROOT}/in/mag/TAR/øre/деталь", b"{}", "native", "bad_topic", "деталь"),
    "an empty topic level": Rubbish(f"{ROOT}/in/mag/", b"{}", "native", "bad_topic", "name a source"),
    "not ImagMQTT": Rubbish(IMAG, b"17", "imagmqtt", "wrong_type", "int"),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What the daemon made of it all."""

    counters: dict[tuple[str, str], float]
    log: str
    found: Final
    expected: Final


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    directory = tmp_path_factory.mktemp("bad")
    blocks = chain_blocks(60)
    broker = Mosquitto(directory)
    try:
        broker.start()
        config = write_config(directory / "bad.yaml", broker.url)
        expected = processed(config, write_csv(directory / "chain.csv", blocks))
        with (
            DaemonProcess(config) as daemon,
            closing(Listener(broker.port)) as listener,
            closing(Feeder(broker.port)) as feeder,
        ):
            feeder.send(blocks[:90])
            for number, rubbish in enumerate(RUBBISH.values()):
                feeder.publish(rubbish.topic, rubbish.payload)
                feeder.send(blocks[90 + 4 * number : 94 + 4 * number])
            for _ in range(200):
                feeder.publish(f"{ROOT}/in/mag/SUW", b"rubbish again and again")
            for number in range(200):
                feeder.publish(f"{ROOT}/in/mag/invented/{number}", b"{}")
            feeder.send(blocks[90 + 4 * len(RUBBISH) :])
            wait_for_products(listener, expected, daemon)
            eventually(lambda: daemon.status()["queues"]["outbox"] == 0, 5)
            keys = {(one.decoder, one.reason) for one in RUBBISH.values()}
            counters = {
                (decoder, reason): daemon.metric(
                    "geospace_messages_rejected_total", decoder=decoder, reason=reason
                )
                or 0.0
                for decoder, reason in keys
            }
            assert daemon.get("/readyz")[0] == 200
            assert daemon.stop() == 0
            yield Outcome(counters, daemon.log, listener.final, expected)
    finally:
        broker.kill()


@pytest.mark.parametrize("name", RUBBISH)
def test_bad_message_is_counted_under_its_reason_and_told_in_one_line(name: str, outcome: Outcome) -> None:
    rubbish = RUBBISH[name]
    lines = [
        line
        for line in outcome.log.splitlines()
        if f"refused a message on {rubbish.topic!r}: {rubbish.reason}:" in line
    ]
    same = [one for one in RUBBISH.values() if (one.topic, one.reason) == (rubbish.topic, rubbish.reason)]
    assert len(lines) == 1, "one line a minute for a topic and reason"
    if rubbish is same[0]:
        assert rubbish.value in lines[0]
    alike = sum(
        1 for one in RUBBISH.values() if (one.decoder, one.reason) == (rubbish.decoder, rubbish.reason)
    )
    repeated = {"not_json": 200, "bad_topic": 200}.get(rubbish.reason, 0)
    assert outcome.counters[rubbish.decoder, rubbish.reason] == alike + repeated


def test_stream_next_to_the_rubbish_gives_the_products_that_it_gives_alone(outcome: Outcome) -> None:
    assert_agree(outcome.found, outcome.expected)
    assert len(outcome.expected) == 24


def test_flood_of_rubbish_writes_few_lines_and_no_traceback(outcome: Outcome) -> None:
    lines = outcome.log.splitlines()
    assert sum("rubbish again" in line for line in lines) == 1
    assert sum("refused a message" in line for line in lines) <= 60
    assert "Traceback" not in outcome.log
    assert max(map(len, lines)) < 700


def test_log_shows_no_control_characters_of_the_senders(outcome: Outcome) -> None:
    assert all(character.isprintable() or character == "\n" for character in outcome.log)
