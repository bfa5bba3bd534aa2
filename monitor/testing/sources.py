"""What every source has to hold to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from monitor.errors import StoreError
from monitor.plugins.base import Source
from monitor.testing.feeds import RecordingFeed
from monitor.types import Message, SampleBlock

Make = Callable[[], Source]
Facts = dict[object, object]
_END_S = 10.0
_STEPS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55)


async def check_source(
    make: Make,
    *,
    enough: Callable[[RecordingFeed], bool],
    timeout_s: float = 30.0,
    steps: tuple[int, ...] = _STEPS,
) -> None:
    """Check that a source loses nothing, wherever it is cut off, and ends when it is cancelled and not before.

    Parameters
    ----------
    make : callable
        Makes the source, as new; each one asks the same server, which has the same for all.
    enough : callable
        Whether all that there is to bring has been brought (`RecordingFeed.items`).
    timeout_s : float
        How long bringing all of it may take.
    steps : tuple of int
        After how many turns of the loop it is cancelled, once each.

    Raises
    ------
    AssertionError
        With a sentence that says what to mend.
    """
    whole = RecordingFeed()
    await _brought(make, whole, enough, timeout_s)
    facts = _facts(whole)
    assert facts, "it brought nothing: `enough` must wait for something"
    await _check_same(make, RecordingFeed(turns=3), facts, enough, timeout_s, "a store that is slow")
    for count in sorted({0, 1, len(whole.deliveries) // 2, len(whole.deliveries) - 1}):
        resumed = RecordingFeed(whole, max(0, count))
        what = f"a restart after {count} of {len(whole.deliveries)} deliveries"
        await _check_same(make, resumed, facts, enough, timeout_s, what)
    for turns in steps:
        await _check_cancelled(make, facts, enough, timeout_s, turns)
    await _check_store_fails(make, facts, enough, timeout_s)


async def _brought(
    make: Make, feed: RecordingFeed, enough: Callable[[RecordingFeed], bool], timeout_s: float
) -> None:
    """Run a source until it has brought all, then cancel it."""
    task = asyncio.create_task(make().run(feed))
    try:
        async with asyncio.timeout(timeout_s):
            while not enough(feed) and not task.done():  # noqa: ASYNC110  (nobody tells when it is enough)
                await asyncio.sleep(0.005)
    except TimeoutError:
        await _ended(task)
        raise AssertionError(
            f"not all was brought within {timeout_s:g} s: {len(feed.items)} items so far"
        ) from None
    if task.done():
        await _told(task)
    await _ended(task)


async def _told(task: asyncio.Task[None]) -> None:
    """AssertionError for a run that ended by itself."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        raise error
    raise AssertionError("run ended by itself: wait for more until it is cancelled")


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a run: it must end soon, and as cancelled."""
    if task.done():
        return
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=_END_S)
    assert done, f"it was cancelled and went on for {_END_S:g} s: let CancelledError through"
    if task.cancelled():
        return
    error = task.exception()
    assert error is None, f"it was cancelled and raised {error!r}: let CancelledError through"
    raise AssertionError("it was cancelled and returned: let CancelledError through, after any `finally`")


async def _check_same(
    make: Make,
    feed: RecordingFeed,
    facts: Facts,
    enough: Callable[[RecordingFeed], bool],
    timeout_s: float,
    what: str,
) -> None:
    """Whatever came in between, all of it is there in the end."""
    await _brought(make, feed, lambda one: enough(one) and not _missing(one, facts), timeout_s)
    missing = _missing(feed, facts)
    assert not missing, (
        f"with {what}, {len(missing)} of {len(facts)} items were lost, one of them {missing[0]!r:.120}: "
        "give `take` the position after its items, and begin at `feed.position`"
    )


async def _check_cancelled(
    make: Make, facts: Facts, enough: Callable[[RecordingFeed], bool], timeout_s: float, turns: int
) -> None:
    first = RecordingFeed(turns=1)
    task = asyncio.create_task(make().run(first))
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.done():
        await _told(task)
    await _ended(task)
    what = f"a cancellation after {turns} turns of the loop"
    await _check_same(make, RecordingFeed(first), facts, enough, timeout_s, what)


async def _check_store_fails(
    make: Make, facts: Facts, enough: Callable[[RecordingFeed], bool], timeout_s: float
) -> None:
    """What could not be stored comes again: in the same run, or in the next."""
    first = RecordingFeed(fails_at=0)
    try:
        await _brought(make, first, lambda one: bool(one.deliveries), timeout_s)
    except StoreError:
        pass
    except AssertionError as error:
        raise AssertionError(f"after a delivery that could not be stored: {error}") from error
    what = "a delivery that could not be stored"
    await _check_same(make, RecordingFeed(first), facts, enough, timeout_s, what)


def _facts(feed: RecordingFeed) -> Facts:
    """What was brought, however it was portioned: values by source, component and time; messages by what they say."""
    facts: Facts = {}
    for item in feed.items:
        if isinstance(item, Message):
            facts[item.topic, item.payload] = True
        elif isinstance(item, SampleBlock):
            for component, row in zip(item.components, item.values.tolist(), strict=True):
                for place, value in enumerate(row):
                    if not math.isnan(value):
                        facts[item.source, component, item.t0_ns + place * item.step_ns] = value
    return facts


def _missing(feed: RecordingFeed, facts: Facts) -> list[object]:
    found = _facts(feed)
    return [key for key, value in facts.items() if key not in found or found[key] != value]
