"""What every sink has to hold to."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from monitor.plugins.base import Sink, StoredProduct
from monitor.types import SECOND_NS, iso_time

Make = Callable[[], Sink]
Effects = Callable[[], Iterable[Hashable] | Awaitable[Iterable[Hashable]]]
_END_S = 20.0
_STEPS = (0, 1, 2, 4, 8, 16, 32)


def stored_products(count: int, *, kind: str = "flr", subject: str = "TAR-BRZ") -> list[StoredProduct]:
    """Products as the store gives them to sinks: half-hourly, each with the content of a small `flr` object."""
    begin_ns = 1_504_771_200 * SECOND_NS
    products = []
    for row in range(1, count + 1):
        time_ns = begin_ns + row * 1800 * SECOND_NS
        body = {
            "schema": f"geospace/{kind}/1",
            "id": f"{kind}/{subject}/{iso_time(time_ns)}/0",
            "pair": subject,
            "time": iso_time(time_ns),
            "revision": 0,
            "label": "Freq",
            "frequency_mHz": 10.0 + row,
            "density_amu_cm3": None,
            "flags": ["quiet"],
            "published": iso_time(time_ns + 3 * SECOND_NS),
        }
        payload = json.dumps(body).encode()
        products.append(StoredProduct(row, kind, subject, f"{kind}/{subject}", time_ns, 0, True, payload))
    return products


async def check_sink(
    make: Make,
    products: Sequence[StoredProduct],
    effects: Effects,
    *,
    down: Callable[[], AbstractAsyncContextManager[object]] | None = None,
    steps: tuple[int, ...] = _STEPS,
) -> None:
    """Check that a sink loses nothing, says when it cannot, and may be given the same again.

    Parameters
    ----------
    make : callable
        Makes the sink, as new; each one writes to the same place.
    products : sequence of StoredProduct
        In the order of their rows; at least three of the kinds that it takes (`stored_products` makes some).
    effects : callable
        What is there, by whatever tells one product from another; may be awaitable. It is asked after a `close`.
    down : callable, optional
        Gives a context in which that place is out of reach.
    steps : tuple of int
        After how many turns of the loop a `write` is cancelled, once each.

    Raises
    ------
    AssertionError
        With a sentence that says what to mend.
    """
    kinds = make().kinds
    assert kinds is None or isinstance(kinds, frozenset), (
        f"its kinds are {kinds!r:.80}: give a frozenset of words, or None for all"
    )
    wanted = [one for one in products if kinds is None or one.kind in kinds]
    assert len(wanted) >= 3, "give at least three products of the kinds that it takes"
    await _check_ends(make)
    begin, rest = wanted[:1], wanted[1:]
    if down is not None:
        await _check_down(make, begin, down)
    for turns in steps:
        await _cancelled(make, begin, turns)
    await _written(make, begin)
    first = await _there(effects)
    assert first, "nothing is there after a product was written, and the sink closed"
    await _written(make, rest)
    whole = await _there(effects)
    assert first < whole, "of the products that were written after the first, nothing is there"
    await _written(make, wanted)
    assert await _there(effects) == whole, (
        "the same products, written again, had another effect: give each the same name or key every time"
    )
    await _written(make, [replace(wanted[-1], row=wanted[-1].row + 1, payload=b"")])


async def _written(make: Make, products: Sequence[StoredProduct]) -> None:
    """Open, write in two portions, close."""
    sink = make()
    middle = (len(products) + 1) // 2
    async with asyncio.timeout(_END_S):
        await sink.open()
        try:
            for portion in (products[:middle], products[middle:], []):
                await sink.write(portion)
        finally:
            await sink.close()


async def _there(effects: Effects) -> frozenset[Hashable]:
    found = effects()
    if inspect.isawaitable(found):
        found = await found
    return frozenset(found)


async def _check_ends(make: Make) -> None:
    """It may be closed at any time, and opened again."""
    sink = make()
    for what, turn in (
        ("close before open", sink.close),
        ("open", sink.open),
        ("close", sink.close),
        ("close a second time", sink.close),
        ("open after close", sink.open),
        ("close", sink.close),
    ):
        try:
            async with asyncio.timeout(_END_S):
                await turn()
        except Exception as error:
            raise AssertionError(f"{what}: {error!r:.200}") from error


async def _check_down(
    make: Make, products: Sequence[StoredProduct], down: Callable[[], AbstractAsyncContextManager[object]]
) -> None:
    """A product that is not safe must not be taken for one that is."""
    sink = make()
    async with down():
        limit = asyncio.timeout(_END_S)
        raised = False
        try:
            async with limit:
                await sink.open()
                await sink.write(products)
        except Exception:  # noqa: BLE001  (whatever says that it did not work)
            raised = True
        finally:
            await sink.close()
        assert not limit.expired(), (
            f"with its place out of reach, open and write neither raised nor returned within {_END_S:g} s"
        )
        assert raised, "with its place out of reach, write returned: raise, and they come again"
    async with asyncio.timeout(_END_S):
        await sink.open()
        await sink.write(products)
        await sink.close()


async def _cancelled(make: Make, products: Sequence[StoredProduct], turns: int) -> None:
    sink = make()
    await sink.open()
    task = asyncio.ensure_future(sink.write(products))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=_END_S)
    assert done, f"write was cancelled and went on for {_END_S:g} s: let CancelledError through"
    error = None if task.cancelled() else task.exception()
    assert error is None, f"write was cancelled and raised {error!r}: let CancelledError through"
    async with asyncio.timeout(_END_S):
        await sink.close()
