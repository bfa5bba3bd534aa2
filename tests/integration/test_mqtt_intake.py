"""The intake against a model of a broker: whatever falls in between, nothing is lost and nothing piles up."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.io.mqtt.intake import Delivery, Intake
from monitor.types import Message

RECEIVE_MAXIMUM = 5

actions = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 4)),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("acknowledge"), st.integers(1, 4)),
        st.tuples(st.just("reconnect"), st.just(0)),
    ),
    max_size=60,
)


class ModelBroker:
    """Sends at most `RECEIVE_MAXIMUM` unacknowledged messages, and those again, marked, on a new connection."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.generation = 1
        self.queued: list[int] = []
        self.in_flight: dict[int, int] = {}
        self.published = 0

    def publish(self, count: int) -> None:
        self.queued += range(self.published, self.published + count)
        self.published += count
        self.fill()

    def fill(self) -> None:
        while self.queued and len(self.in_flight) < RECEIVE_MAXIMUM:
            mid = next(mid for mid in range(1, RECEIVE_MAXIMUM + 2) if mid not in self.in_flight)
            self.in_flight[mid] = self.queued.pop(0)
            self.send(mid, resent=False)

    def send(self, mid: int, *, resent: bool) -> None:
        message = Message("a", b"%d" % self.in_flight[mid], 0)
        self.intake.put(Delivery(message, mid, 1, self.generation), resent=resent)

    def reconnect(self) -> None:
        self.generation += 1
        for mid in list(self.in_flight):
            self.send(mid, resent=True)
        self.fill()

    def acknowledge(self, delivery: Delivery) -> None:
        if delivery.generation == self.generation:
            assert self.in_flight.pop(delivery.mid) == int(delivery.message.payload)
            self.fill()


@given(actions)
def test_everything_is_delivered_and_nothing_waits_twice(steps: list[tuple[str, int]]) -> None:
    intake = Intake(RECEIVE_MAXIMUM)
    broker = ModelBroker(intake)
    held: list[Delivery] = []
    seen: set[int] = set()
    for action, count in [*steps, ("reconnect", 0)]:
        if action == "publish":
            broker.publish(count)
        elif action == "take":
            taken = intake.take(count)
            held += taken
            seen.update(int(delivery.message.payload) for delivery in taken)
        elif action == "reconnect":
            broker.reconnect()
        else:
            for delivery in held[:count]:
                broker.acknowledge(delivery)
            del held[:count]
        # Each unacknowledged message has one place at most, so that reconnecting cannot fill the memory.
        assert len(intake) <= RECEIVE_MAXIMUM
    while deliveries := intake.take(3):
        for delivery in deliveries:
            seen.add(int(delivery.message.payload))
            broker.acknowledge(delivery)
    assert seen == set(range(broker.published))
    assert broker.in_flight == {}
    assert broker.queued == []


def number(value: int, mid: int, generation: int, qos: int = 1) -> Delivery:
    return Delivery(Message("a", b"%d" % value, 0), mid, qos, generation)


def test_new_message_that_reuses_a_packet_id_has_its_own_place() -> None:
    intake = Intake(10)
    intake.put(number(1, mid=1, generation=1), resent=False)
    intake.put(
        number(1, mid=1, generation=2), resent=False
    )  # the broker lost its session: not marked as resent
    intake.put(number(2, mid=1, generation=3), resent=True)  # marked, but another message
    assert [delivery.message.payload for delivery in intake.take(10)] == [b"1", b"1", b"2"]


def test_message_sent_again_keeps_its_place_and_gets_the_new_handle() -> None:
    intake = Intake(10)
    for value in (1, 2):
        intake.put(number(value, mid=value, generation=1), resent=False)
    for value in (1, 2):
        intake.put(number(value, mid=value, generation=2), resent=True)
    assert intake.take(10) == [number(1, 1, 2), number(2, 2, 2)]


def test_unacknowledgeable_messages_are_never_merged() -> None:
    intake = Intake(10)
    for _ in range(3):
        intake.put(number(1, mid=0, generation=1, qos=0), resent=True)
    assert len(intake.take(10)) == 3


def test_few_huge_messages_fill_it_as_many_small_ones_do() -> None:
    intake = Intake(1000, limit_bytes=100)
    for mid in (1, 2):
        intake.put(Delivery(Message("a", bytes(60), 0), mid, 1, 1), resent=False)
        assert intake.full == (mid == 2)
    intake.take(1)
    assert not intake.full


@pytest.mark.parametrize("delay_s", [0.0, 0.1])
async def test_wait_ends_with_the_first_message(delay_s: float) -> None:
    intake = Intake(10)
    asyncio.get_running_loop().call_later(delay_s, lambda: intake.put(number(1, 1, 1), resent=False))
    began = time.monotonic()
    await intake.wait(5.0)
    assert time.monotonic() - began < 2.0
    assert len(intake) == 1
