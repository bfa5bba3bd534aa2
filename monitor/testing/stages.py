"""What every stage has to hold to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from monitor.stages.base import Stage
from monitor.stages.checking import checked_products, faulty_kinds
from monitor.testing.comparing import assert_versioned, kept, same, through_json
from monitor.types import Product, SampleBlock, Tick

Gist = Callable[[list[Any]], object]
_ASIDE = frozenset({"id", "revision", "published", "valid_until"})
_RESTARTS = 12
_NO_STATES: tuple[Any, ...] = ({"version": -1}, {"version": "another"})


def agreed(given: list[Any]) -> object:
    """What a run has said in the end: of products the last revision of each, of all else everything in its order."""
    if not all(isinstance(one, Product) for one in given):
        return given
    last: dict[tuple[str, str, int], object] = {}
    for product in given:
        key = (product.kind, product.subject, product.time_ns)
        last[key] = {name: value for name, value in product.body.items() if name not in _ASIDE}
    return last


def check_stage(
    make: Callable[[], Stage[Any, Any]],
    items: Sequence[Any],
    *,
    gist: Gist = agreed,
    restarted: Callable[[Stage[Any, Any], Sequence[Any]], None] | None = None,
    cut_blocks: bool = True,
    seed: int = 1,
    restarts: int = _RESTARTS,
) -> None:
    """Check that a stage gives the same however its input is cut and wherever it is stopped and begun again.

    Parameters
    ----------
    make : callable
        Makes the stage, as new.
    items : sequence
        What it is fed, in order: blocks, products or what else it takes, and `Tick`s between them. They must make it
        say something.
    gist : callable
        What of all that was said has to be the same; by default `agreed`.
    restarted : callable, optional
        Fills the memory of a new stage with the samples of the items before a restart, where that is not done by
        feeding it the blocks within its `lookback_ns`.
    cut_blocks : bool
        Whether blocks may be cut into shorter ones, as senders do.
    seed : int
        Of the places where input is cut.
    restarts : int
        At how many places between the items it is stopped and begun again.

    Raises
    ------
    AssertionError
        With a sentence that says what to mend.
    """
    stage = make()
    lookback = stage.lookback_ns
    assert type(lookback) is int, f"lookback_ns is {lookback!r}: give whole nanoseconds"
    assert lookback >= 0, f"lookback_ns is {lookback}: input before an output's time is counted back"
    kinds: Collection[str] | None = getattr(stage, "kinds", None)
    if kinds is not None:
        fault = faulty_kinds(kinds)
        assert fault is None, fault
    _check_input_unchanged(make, items)
    whole = _said(stage, _joined(items), kinds)
    assert whole, "it said nothing of these items: give it some that it has something to say of"
    again = _said(make(), _joined(items), kinds)
    assert same(whole, again), "the same items gave something else: use no clock and no chance"
    _check_cuts(make, items, gist, kinds, seed, cut_blocks=cut_blocks)
    _check_restarts(make, items, gist, kinds, restarted, restarts)
    for state in _NO_STATES:
        try:
            make().restore(state)
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"restore({state!r}) raised {error!r}: raise ValueError") from error
        raise AssertionError(f"restore({state!r}) was taken: raise ValueError for another version")


def _joined(items: Sequence[Any]) -> Iterator[Sequence[Any] | Tick]:
    """As few turns as there can be: a Tick is a turn of its own."""
    together: list[Any] = []
    for item in items:
        if not isinstance(item, Tick):
            together.append(item)
            continue
        if together:
            yield together
        together = []
        yield item
    if together:
        yield together


def _said(
    stage: Stage[Any, Any], turns: Iterator[Sequence[Any] | Tick], kinds: Collection[str] | None
) -> list[Any]:
    """All that a stage gives; what it may not give is an AssertionError."""
    said: list[Any] = []
    for turn in turns:
        given = stage.feed(turn)
        assert isinstance(given, Sequence), f"feed gave {type(given).__name__}: give a list"
        said += given
    if kinds is not None:
        try:
            checked_products(said, kinds)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"it gave what the monitor does not take: {error}") from None
    _assert_revisions_rise([one for one in said if isinstance(one, Product)])
    return said


def _assert_revisions_rise(products: Sequence[Product]) -> None:
    last: dict[tuple[str, str, int], int] = {}
    for product in products:
        key = (product.kind, product.subject, product.time_ns)
        assert product.revision > last.get(key, -1), (
            f"{product.topic} of one time has revision {product.revision} after {last.get(key)}: "
            "it must rise, and an object that says the same again is not given again"
        )
        last[key] = product.revision


def _check_input_unchanged(make: Callable[[], Stage[Any, Any]], items: Sequence[Any]) -> None:
    given = kept(list(items))
    stage = make()
    for turn in _joined(given):
        stage.feed(turn)
    assert same(given, list(items)), "it changed its input: work on copies, others are given the same arrays"


def _check_cuts(
    make: Callable[[], Stage[Any, Any]],
    items: Sequence[Any],
    gist: Gist,
    kinds: Collection[str] | None,
    seed: int,
    *,
    cut_blocks: bool,
) -> None:
    expected = gist(_said(make(), _joined(items), kinds))
    random = np.random.default_rng(seed)
    singly = gist(_said(make(), (one if isinstance(one, Tick) else [one] for one in items), kinds))
    assert same(expected, singly), "items one at a time gave something else than all at once"
    for _ in range(3):
        assert same(expected, gist(_said(make(), _by_chance(items, random), kinds))), (
            "the same items in other portions gave something else"
        )
    if cut_blocks:
        pieces = [piece for item in items for piece in _pieces(item, random)]
        assert same(expected, gist(_said(make(), _joined(pieces), kinds))), (
            "shorter blocks gave something else than longer ones: a sender cuts its samples as it likes"
        )


def _by_chance(items: Sequence[Any], random: np.random.Generator) -> Iterator[Sequence[Any] | Tick]:
    for turn in _joined(items):
        if isinstance(turn, Tick):
            yield turn
            continue
        at = 0
        while at < len(turn):
            length = int(random.integers(1, 6))
            yield turn[at : at + length]
            at += length


def _pieces(item: Any, random: np.random.Generator) -> list[Any]:
    if not isinstance(item, SampleBlock) or item.count < 2:
        return [item]
    at = int(random.integers(1, item.count))
    return [
        replace(item, values=item.values[:, :at]),
        replace(item, t0_ns=item.t0_ns + at * item.step_ns, values=item.values[:, at:]),
    ]


def _check_restarts(
    make: Callable[[], Stage[Any, Any]],
    items: Sequence[Any],
    gist: Gist,
    kinds: Collection[str] | None,
    restarted: Callable[[Stage[Any, Any], Sequence[Any]], None] | None,
    count: int,
) -> None:
    expected = gist(_said(make(), _joined(items), kinds))
    places = sorted({round(at) for at in np.linspace(0, len(items), min(count, len(items) + 1))})
    for place in places:
        before = make()
        said = _said(before, _joined(items[:place]), kinds)
        state = before.snapshot()
        assert_versioned(state, "snapshot()")
        assert same(state, before.snapshot()), "snapshot() changed what it tells of"
        after = make()
        (restarted or _reminded)(after, items[:place])
        after.restore(through_json(state, "snapshot()"))
        said += _said(after, _joined(items[place:]), kinds)
        _assert_revisions_rise([one for one in said if isinstance(one, Product)])
        assert same(expected, gist(said)), (
            f"a restart after {place} of {len(items)} items gave something else than a run without it: "
            "put all that is remembered into snapshot(), and the time that samples are needed for into lookback_ns"
        )


def _reminded(stage: Stage[Any, Any], items: Sequence[Any]) -> None:
    """As the pipeline does it: the blocks within `lookback_ns` are fed first, and what is said of them is not used."""
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    if not stage.lookback_ns or not blocks:
        return
    clocks: dict[str, int] = {}
    for block in blocks:
        clocks[block.source] = max(block.end_ns, clocks.get(block.source, block.end_ns))
    recent = [one for one in blocks if one.end_ns > clocks[one.source] - stage.lookback_ns]
    if recent:
        stage.feed(recent)
