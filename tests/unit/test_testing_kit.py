"""The kit for authors of plugins: what is good passes, and each fault is found and named."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.decoders.base import check_times
from monitor.errors import DecodeError
from monitor.plugins.base import Feed, StoredProduct
from monitor.stages.checking import checked_products, faulty_kinds
from monitor.testing import (
    RecordingFeed,
    check_decoder,
    check_sink,
    check_source,
    check_stage,
    stored_products,
)
from monitor.types import SECOND_NS, Json, Message, Product, SampleBlock, Tick, iso_time

T0_NS = 1_504_771_200 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS


# -- decoders ---------------------------------------------------------------------------------------------


class Lines:
    """A decoder of `TAR,1504771200,1.5,2.5`."""

    name = "lines"

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        try:
            code, start, *numbers = message.payload.decode("ascii").split(",")
            values = np.array([[float(one) for one in numbers]])
            t0_ns = int(start) * SECOND_NS
        except (ValueError, OverflowError) as error:
            raise DecodeError("not_lines", str(error)) from None
        if not code.isalpha() or np.isinf(values).any():
            raise DecodeError("out_of_range", f"found {code!r:.40}")
        check_times(t0_ns, SECOND_NS, values.shape[1], message.received_ns)
        return [SampleBlock(code, ("H",), t0_ns, SECOND_NS, values)]


def lines(*payloads: bytes) -> list[Message]:
    return [Message("lines/x", payload, T0_NS + HOUR_NS) for payload in payloads]


GOOD = lines(*(b"TAR,%d,1.5,2.5,nan" % (1_504_771_200 + 3 * place) for place in range(4)))


class Sums(Lines):
    """A decoder whose values go on from the last of those before: it remembers."""

    def __init__(self) -> None:
        self._last = 0.0
        self._changes = 0

    @property
    def changes(self) -> int:
        return self._changes

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        (block,) = super().decode(message)
        values = self._last + np.nancumsum(block.values, axis=1)
        self._last = float(values[0, -1])
        self._changes += 1
        return [replace(block, values=values)]

    def snapshot(self) -> Json:
        return {"version": 1, "last": self._last}

    def restore(self, state: Json) -> None:
        if not isinstance(state, dict) or state.get("version") != 1:
            raise ValueError(f"no state of this decoder: {state!r:.40}")
        self._last = float(state["last"])


class Raises(Lines):
    def decode(self, message: Message) -> Sequence[SampleBlock]:
        return super().decode(message) if len(message.payload) > 2 else [message.payload[5]]  # type: ignore[list-item]


class GivesText(Lines):
    def decode(self, message: Message) -> Sequence[SampleBlock]:
        return [replace(block, components="H") for block in super().decode(message)]  # type: ignore[arg-type]


class SpeaksFreely(Lines):
    def decode(self, message: Message) -> Sequence[SampleBlock]:
        try:
            return super().decode(message)
        except DecodeError as error:
            raise DecodeError(f"what was found is {message.payload!r}", error.detail) from None


class LooksAtTheClock(Lines):
    def decode(self, message: Message) -> Sequence[SampleBlock]:
        (block,) = super().decode(message)
        return [replace(block, values=block.values + time.monotonic_ns())]


class ReusesItsArray(Lines):
    def __init__(self) -> None:
        self._row = np.zeros((1, 3))

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        (block,) = super().decode(message)
        if block.count != 3:
            return [block]
        self._row[:] = block.values + block.t0_ns
        return [replace(block, values=self._row)]


class RemembersInSecret(Lines):
    def __init__(self) -> None:
        self._seen = 0

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        self._seen += 1
        return [replace(block, level=self._seen) for block in super().decode(message)]


class ForgetsAtRestart(Sums):
    def snapshot(self) -> Json:
        return {"version": 1, "last": 0.0}


class SaysNothingOfChanges(Sums):
    @property
    def changes(self) -> int:
        return 0


class RestoresAnything(Sums):
    def restore(self, state: Json) -> None:
        self._last = float(state["last"]) if isinstance(state, dict) and "last" in state else 0.0


class HasNaNInItsState(Sums):
    def snapshot(self) -> Json:
        return {"version": 1, "last": self._last, "odd": float("nan")}


class KnowsFiles(Lines):
    def recognises(self, head: bytes) -> bool:
        return head[0] == ord("T")


class TestDecoders:
    @pytest.mark.parametrize("make", [Lines, Sums])
    def test_good_decoder_passes(self, make: type[Lines]) -> None:
        check_decoder(make, GOOD)

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (Raises, "whatever the bytes"),
            (GivesText, "does not take"),
            (SpeaksFreely, "label of a counter"),
            (LooksAtTheClock, "no clock and no chance"),
            (ReusesItsArray, "make a new array"),
            (RemembersInSecret, "depends on those before"),
            (ForgetsAtRestart, "put all that is remembered into snapshot"),
            (SaysNothingOfChanges, "would not be stored"),
            (RestoresAnything, "raise ValueError"),
            (HasNaNInItsState, "JSON without NaN"),
            (KnowsFiles, "say False"),
        ],
    )
    def test_fault_is_named(self, make: type[Lines], sentence: str) -> None:
        with pytest.raises(AssertionError, match=sentence):
            check_decoder(make, GOOD)

    def test_messages_that_are_none_of_its_own_prove_nothing(self) -> None:
        with pytest.raises(AssertionError, match="none of the good messages"):
            check_decoder(Lines, lines(b"", b"1"))


# -- stages -----------------------------------------------------------------------------------------------


class Hours:
    """A stage that says the largest value of each hour once the next one has begun; late samples revise it."""

    kinds = frozenset({"largest"})
    lookback_ns = 0

    def __init__(self) -> None:
        self._largest: dict[str, dict[int, float]] = {}
        self._said: dict[str, dict[int, list[float]]] = {}

    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> Sequence[Product]:
        if isinstance(items, Tick):
            return []
        said: list[Product] = []
        for block in items:
            if isinstance(block, SampleBlock):
                self._see(block)
                said += self._spoken(block.source)
        return said

    def _see(self, block: SampleBlock) -> None:
        hours = self._largest.setdefault(block.source, {})
        for place, value in enumerate(block.values[0].tolist()):
            hour = (block.t0_ns + place * block.step_ns) // HOUR_NS
            hours[hour] = max(value, hours.get(hour, value))

    def _spoken(self, source: str) -> list[Product]:
        hours, said = self._largest[source], self._said.setdefault(source, {})
        products = []
        for hour in sorted(hours)[:-1]:
            revision, last = said.get(hour, [-1, None])
            if last == hours[hour]:
                continue
            said[hour] = [revision + 1, hours[hour]]
            time_ns = (hour + 1) * HOUR_NS
            body = {"time": iso_time(time_ns), "revision": revision + 1, "largest_nT": hours[hour]}
            products.append(Product("largest", source, time_ns, int(revision) + 1, True, body))
        return products

    def snapshot(self) -> Json:
        return {
            "version": 1,
            "largest": [[one, list(map(list, hours.items()))] for one, hours in self._largest.items()],
            "said": [[one, list(map(list, hours.items()))] for one, hours in self._said.items()],
        }

    def restore(self, state: Json) -> None:
        if state["version"] != 1:
            raise ValueError("another version")
        self._largest = {one: dict(hours) for one, hours in state["largest"]}
        self._said = {one: dict(hours) for one, hours in state["said"]}


def samples(hours: int = 5) -> list[Any]:
    """Ten-minute blocks with gaps in their order, and ticks between them."""
    random = np.random.default_rng(7)
    blocks: list[Any] = [
        SampleBlock("TAR", ("H",), T0_NS + at * 600 * SECOND_NS, 60 * SECOND_NS, random.normal(size=(1, 10)))
        for at in range(6 * hours)
    ]
    late = blocks.pop(8)
    late = replace(late, values=late.values + 100.0)
    return [*blocks[:12], late, Tick(SECOND_NS), *blocks[12:], Tick(5 * SECOND_NS)]


class SpeaksAtEveryCall(Hours):
    """Its products depend on how the input is cut."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> Sequence[Product]:
        if isinstance(items, Tick):
            return []
        self._calls += 1
        body = {"calls": self._calls}
        return [*super().feed(items), Product("largest", "calls", T0_NS, self._calls, False, body)]

    def snapshot(self) -> Json:
        return {**super().snapshot(), "calls": self._calls}

    def restore(self, state: Json) -> None:
        super().restore(state)
        self._calls = state["calls"]


class ChangesItsInput(Hours):
    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> Sequence[Product]:
        said = super().feed(items)
        if not isinstance(items, Tick):
            for block in items:
                if isinstance(block, SampleBlock):
                    block.values[:] = 0.0
        return said


class ForgetsWhatItSaid(Hours):
    def snapshot(self) -> Json:
        return {**super().snapshot(), "said": []}


class CountsBlocks(Hours):
    def _see(self, block: SampleBlock) -> None:
        hours = self._largest.setdefault(block.source, {})
        for hour in {block.t0_ns // HOUR_NS, (block.end_ns - 1) // HOUR_NS}:
            hours[hour] = hours.get(hour, 0.0) + 1.0


class HasNoVersion(Hours):
    def snapshot(self) -> Json:
        state = super().snapshot()
        del state["version"]
        return state

    def restore(self, state: Json) -> None:
        super().restore({**state, "version": 1})


class SaysTheSameRevision(Hours):
    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> Sequence[Product]:
        return [replace(product, revision=0) for product in super().feed(items)]


class TakesOurKind(Hours):
    kinds = frozenset({"flr"})


class SaysNaN(Hours):
    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> Sequence[Product]:
        return [replace(product, body={"x": float("nan")}) for product in super().feed(items)]


class TestStages:
    def test_good_stage_passes(self) -> None:
        check_stage(Hours, samples())

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (SpeaksAtEveryCall, "one at a time"),
            (ChangesItsInput, "changed its input"),
            (ForgetsWhatItSaid, "must rise|a restart after"),
            (CountsBlocks, "shorter blocks"),
            (HasNoVersion, '"version"'),
            (SaysTheSameRevision, "must rise"),
            (TakesOurKind, "the monitor's own"),
            (SaysNaN, "no JSON"),
        ],
    )
    def test_fault_is_named(self, make: type[Hours], sentence: str) -> None:
        with pytest.raises(AssertionError, match=sentence):
            check_stage(make, samples())

    def test_items_of_which_nothing_is_said_prove_nothing(self) -> None:
        with pytest.raises(AssertionError, match="it said nothing"):
            check_stage(Hours, samples()[:2])


class TestProducts:
    GOOD = Product("mine", "TAR/x", T0_NS, 0, True, {"a": 1})

    def test_good_product_is_taken(self) -> None:
        assert checked_products((self.GOOD,), {"mine"}) == [self.GOOD]

    @pytest.mark.parametrize(
        "change",
        [
            {"kind": "flr"},
            {"subject": ""},
            {"subject": "a//b"},
            {"subject": "a/#"},
            {"subject": "a b"},
            {"subject": "x" * 300},
            {"subject": 3},
            {"time_ns": 1.5},
            {"time_ns": -1},
            {"time_ns": True},
            {"revision": -1},
            {"retained": 1},
            {"body": [1]},
            {"body": {"a": float("inf")}},
            {"body": {"a": {1, 2}}},
            {"body": {"a": "x" * 2_000_000}},
            {"valid_until_ns": "soon"},
        ],
        ids=lambda change: f"{change}"[:60],
    )
    def test_each_wrong_part_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            checked_products([replace(self.GOOD, **change)], {"mine"})

    @pytest.mark.parametrize("found", [None, 7, "text", {"a": 1}, [None], [{"kind": "mine"}]], ids=repr)
    def test_what_is_no_sequence_of_products_is_refused(self, found: object) -> None:
        with pytest.raises(TypeError):
            checked_products(found, {"mine"})

    @pytest.mark.parametrize("kinds", [None, "mine", (), {"Mine"}, {"a/b"}, {"health"}, {7}], ids=repr)
    def test_kinds_that_cannot_be_a_topic_are_named(self, kinds: object) -> None:
        assert faulty_kinds(kinds) is not None
        assert faulty_kinds({"mine", "mine_2"}) is None


# -- sources ----------------------------------------------------------------------------------------------


def served(place: int) -> SampleBlock:
    values = np.array([[float(place), float("nan"), 2.0]])
    return SampleBlock("TAR", ("H",), T0_NS + 3 * place * SECOND_NS, SECOND_NS, values)


class Counting:
    """A source that brings six blocks, and then waits for more; its position is the number of the next one."""

    async def run(self, feed: Feed) -> None:
        place = int(feed.position or 0)
        while True:
            if place >= 6:
                await asyncio.sleep(3600)
            await asyncio.sleep(0)
            await feed.take([served(place)], place + 1)
            place += 1


class EndsByItself(Counting):
    async def run(self, feed: Feed) -> None:
        for place in range(6):
            await feed.take([served(place)], place + 1)


class SwallowsTheEnd(Counting):
    async def run(self, feed: Feed) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await super().run(feed)


class SaysItTooEarly(Counting):
    """Its position is of what it will bring next."""

    async def run(self, feed: Feed) -> None:
        place = int(feed.position or 0)
        await feed.take([], 1)
        while True:
            if place >= 6:
                await asyncio.sleep(3600)
            await feed.take([served(place)], place + 2)
            place += 1


class DoesNotWait(Counting):
    async def run(self, feed: Feed) -> None:
        async with asyncio.TaskGroup() as group:
            for place in range(6):
                group.create_task(feed.take([served(place)], place + 1))  # type: ignore[arg-type]
        await asyncio.sleep(3600)


class BringsRubbish(Counting):
    async def run(self, feed: Feed) -> None:
        await feed.take([{"no": "block"}], 1)  # type: ignore[list-item]


def enough(feed: RecordingFeed) -> bool:
    return len(feed.items) >= 6


class TestSources:
    async def test_good_source_passes(self) -> None:
        await check_source(Counting, enough=enough)

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (EndsByItself, "ended by itself"),
            (SwallowsTheEnd, "it was cancelled and returned"),
            (SaysItTooEarly, "not all was brought|were lost"),
            (BringsRubbish, "was given dict"),
        ],
    )
    async def test_fault_is_named(self, make: type[Counting], sentence: str) -> None:
        with pytest.raises(AssertionError, match=sentence):
            await check_source(make, enough=enough, timeout_s=1.0)

    async def test_deliveries_side_by_side_are_a_fault(self) -> None:
        with pytest.raises(ExceptionGroup) as raised:
            await check_source(DoesNotWait, enough=enough, timeout_s=1.0)
        assert "take was called before" in str(raised.value.exceptions[0])

    async def test_gaps_are_where_no_number_is(self) -> None:
        feed = RecordingFeed()
        await feed.take([served(0), served(1)], 1)
        second = [(T0_NS + at * SECOND_NS, T0_NS + (at + 1) * SECOND_NS) for at in range(10)]
        assert await feed.gaps("TAR", T0_NS, T0_NS + 6 * SECOND_NS) == [second[1], second[4]]
        assert await feed.gaps("BRZ", T0_NS, T0_NS + 6 * SECOND_NS) == [(T0_NS, T0_NS + 6 * SECOND_NS)]
        assert feed.newest_ns("TAR") == T0_NS + 6 * SECOND_NS
        assert feed.newest_ns("BRZ") is None


# -- sinks ------------------------------------------------------------------------------------------------


class Shelf:
    """Where the sinks of these tests put things."""

    def __init__(self) -> None:
        self.things: list[tuple[Any, ...]] = []
        self.reachable = True

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        self.reachable = False
        try:
            yield
        finally:
            self.reachable = True

    def effects(self) -> list[tuple[Any, ...]]:
        return self.things


class Shelving:
    """A sink that puts each product onto a shelf, under its topic, time and revision."""

    kinds: frozenset[str] | None = frozenset({"flr"})

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    async def open(self) -> None:
        await asyncio.sleep(0)

    async def write(self, products: Sequence[StoredProduct]) -> None:
        for product in products:
            await asyncio.sleep(0)
            if not self.shelf.reachable:
                raise ConnectionError("the shelf is gone")
            self.shelf.things.append(self.thing(product))

    def thing(self, product: StoredProduct) -> tuple[Any, ...]:
        return product.topic, product.time_ns, product.revision

    async def close(self) -> None:
        await asyncio.sleep(0)


class HidesTrouble(Shelving):
    async def write(self, products: Sequence[StoredProduct]) -> None:
        with contextlib.suppress(ConnectionError):
            await super().write(products)


class NumbersAnew(Shelving):
    def thing(self, product: StoredProduct) -> tuple[Any, ...]:
        return (*super().thing(product), len(self.shelf.things))


class ClosesOnce(Shelving):
    closed = False

    async def close(self) -> None:
        assert not self.closed
        self.closed = True


class GoesOnWhenCancelled(Shelving):
    async def write(self, products: Sequence[StoredProduct]) -> None:
        try:
            await super().write(products)
        except asyncio.CancelledError:
            raise ConnectionError("lost") from None


class ReadsRemovals(Shelving):
    def thing(self, product: StoredProduct) -> tuple[Any, ...]:
        return (json.loads(product.payload)["id"],)


class TestSinks:
    async def test_good_sink_passes(self) -> None:
        shelf = Shelf()
        await check_sink(lambda: Shelving(shelf), stored_products(6), shelf.effects, down=shelf.down)

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (HidesTrouble, "write returned"),
            (NumbersAnew, "had another effect"),
            (ClosesOnce, "close"),
            (GoesOnWhenCancelled, "let CancelledError through"),
        ],
    )
    async def test_fault_is_named(self, make: type[Shelving], sentence: str) -> None:
        shelf = Shelf()
        with pytest.raises(AssertionError, match=sentence):
            await check_sink(lambda: make(shelf), stored_products(6), shelf.effects, down=shelf.down)

    async def test_removal_of_a_subject_is_a_product_too(self) -> None:
        shelf = Shelf()
        with pytest.raises(json.JSONDecodeError):
            await check_sink(lambda: ReadsRemovals(shelf), stored_products(6), shelf.effects)
