"""Stages of plugins in the pipeline: guarded, kept with its states, and the same in every kind of run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.config import Config
from monitor.config.schema import Models, PluginEntry, Windows
from monitor.daemon.added import AddedStages
from monitor.daemon.worker import Worker
from monitor.decoders.native import native_payload, native_topic
from monitor.errors import PluginError
from monitor.io.metrics import Metrics
from monitor.io.store import Store
from monitor.pipeline import Pipeline
from monitor.pipeline.added import Added
from monitor.pipeline.guard import Failure, Guard
from monitor.plugins import Found, Registry, added_stages, unusable_stages
from monitor.plugins.found import find_all
from monitor.plugins.in_process import InProcess
from monitor.types import SECOND_NS, Json, Message, Product, SampleBlock, Tick, iso_time

T0_NS = 1_504_771_200 * SECOND_NS
MINUTE_NS = 60 * SECOND_NS


class Sums:
    """Says, each minute, the sum of a station's samples of the two minutes before; it looks back so far."""

    lookback_ns = 2 * MINUTE_NS

    def __init__(self, kind: str = "sum") -> None:
        self.kinds = frozenset({kind})
        self._kind = kind
        self._values: dict[str, dict[int, float]] = {}
        self._next: dict[str, int] = {}
        self.seen: list[Any] = []

    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> list[Product]:
        self.seen.append(items)
        said: list[Product] = []
        for block in [] if isinstance(items, Tick) else items:
            if isinstance(block, SampleBlock):
                values = self._values.setdefault(block.source, {})
                for place, value in enumerate(block.values[0].tolist()):
                    values[block.t0_ns + place * block.step_ns] = value
                said += self._due(block.source)
        return said

    def _due(self, source: str) -> list[Product]:
        values, said = self._values[source], []
        end = self._next.setdefault(source, min(values) // MINUTE_NS + 1)
        while max(values) >= end * MINUTE_NS:
            end_ns = end * MINUTE_NS
            total = sum(value for at, value in values.items() if end_ns - self.lookback_ns <= at < end_ns)
            body = {"time": iso_time(end_ns), "sum_nT": round(total, 6)}
            said.append(Product(self._kind, source, end_ns, 0, True, body))
            end += 1
        self._next[source] = end
        self._values[source] = {at: value for at, value in values.items() if at >= (end - 3) * MINUTE_NS}
        return said

    def snapshot(self) -> Json:
        return {"version": 1, "next": dict(self._next)}

    def restore(self, state: Json) -> None:
        if state["version"] != 1:
            raise ValueError("another version")
        self._next = dict(state["next"])


class Raising(Sums):
    def feed(self, items: Sequence[SampleBlock | Product] | Tick) -> list[Product]:
        raise RuntimeError("not today")

    def snapshot(self) -> Json:
        raise RuntimeError("nor tomorrow")


def block(code: str, minute: int, seconds: int = 60) -> SampleBlock:
    values = np.random.default_rng([ord(code[0]), minute]).normal(size=(1, 60))[:, :seconds]
    return SampleBlock(code, ("H",), T0_NS + minute * MINUTE_NS, SECOND_NS, values)


def said(products: Sequence[Product]) -> dict[tuple[str, int], Json]:
    return {(one.subject, one.time_ns): one.body for one in products if one.kind == "sum"}


def plain_guard(failures: list[Failure] | None = None) -> Guard:
    return Guard(lambda _stage: nullcontext(), None if failures is None else failures.append)


class TestAdded:
    def test_stage_sees_blocks_then_products_then_time(self) -> None:
        stage = Sums()
        added = Added({"sums": stage}, plain_guard(), ())
        product = Product("flr", "TAR-BRZ", T0_NS, 0, True, {})
        added.feed([block("TAR", 0)], [product])
        added.feed(Tick(5), [])
        added.feed([], [])
        assert [type(turn[0]) if isinstance(turn, list) else turn for turn in stage.seen] == [
            SampleBlock,
            Product,
            Tick(5),
        ]

    def test_synthetic_signals_are_nothing_to_it(self) -> None:
        stage = Sums()
        added = Added({"sums": stage}, plain_guard(), {"INJP", "INJP-INJQ"})
        added.feed([block("INJP", 0)], [Product("flr", "INJP-INJQ", T0_NS, 0, True, {})])
        assert stage.seen == []

    def test_one_that_raises_costs_the_others_nothing(self) -> None:
        failures: list[Failure] = []
        guard = plain_guard(failures)
        added = Added({"bad": Raising("bad"), "sums": Sums()}, guard, ())
        given = added.feed([block("TAR", 0), block("TAR", 1)], [])
        assert {product.kind for product in given} == {"sum"}
        assert "plugin.sums" in added.snapshot()
        assert "plugin.bad" not in added.snapshot()
        assert {failure.part for failure in failures} == {"plugin.bad"}
        assert "RuntimeError: nor tomorrow" in guard.failing["plugin.bad"]

    def test_products_of_kinds_that_it_does_not_have_are_left_out(self) -> None:
        class Liar(Sums):
            kinds = frozenset({"other"})

            def __init__(self) -> None:
                super().__init__()
                self.kinds = frozenset({"other"})

        guard = plain_guard([])
        added = Added({"liar": Liar()}, guard, ())
        assert added.feed([block("TAR", 0), block("TAR", 1)], []) == []
        assert "its kinds are other" in guard.failing["plugin.liar"]

    def test_offline_a_stage_that_raises_ends_the_run(self) -> None:
        with pytest.raises(RuntimeError):
            Added({"bad": Raising()}, plain_guard(), ()).feed([block("TAR", 0)], [])

    def test_state_is_taken_up_after_the_samples_before_it(self) -> None:
        first = Added({"sums": Sums()}, plain_guard(), ())
        whole = first.feed([block("TAR", minute) for minute in range(6)], [])
        before = Added({"sums": Sums()}, plain_guard(), ())
        given = before.feed([block("TAR", minute) for minute in range(3)], [])
        after = Added({"sums": Sums()}, plain_guard(), ())
        assert after.lookback_ns == 2 * MINUTE_NS
        after.restore(json.loads(json.dumps(before.snapshot())))
        after.load([block("TAR", 1), block("TAR", 2)])
        given += after.feed([block("TAR", minute) for minute in range(3, 6)], [])
        assert said(given) == said(whole)

    def test_state_that_cannot_be_read_begins_one_stage_anew(self) -> None:
        added = Added({"sums": Sums(), "more": Sums("more")}, plain_guard([]), ())
        known = {"TAR": T0_NS // MINUTE_NS + 9}
        added.restore({"plugin.sums": {"version": 9}, "plugin.more": {"version": 1, "next": known}})
        added.feed([block("TAR", 0)], [])
        assert added.snapshot()["plugin.more"]["next"] == known
        assert added.snapshot()["plugin.sums"]["next"] != known


class Home:
    """A home whose plugins are those of this file."""

    def check(self, _found: Found, _options: object) -> Sequence[Any]:
        return []

    def make(self, found: Found, options: Any, _surroundings: object) -> Any:
        if found.target == "raises":
            raise found.error("cannot be made")
        return Sums(options.get("kind", "sum"))

    def close(self) -> None:
        pass


def registry() -> Registry:
    found = [Found(name, "stage", name, "foreign 1.0", False) for name in ("sums", "raises")]
    ours = [one for one in find_all() if one.ours]
    return Registry([*ours, *found], ours=InProcess(), others=Home())


def config(**plugins: dict[str, Any]) -> Config:
    entries = {
        name: PluginEntry(plugin=options.pop("plugin", name), kind="stage", options=options)
        for name, options in plugins.items()
    }
    return Config(
        pairs=("TAR-BRZ",),
        windows=Windows(length_s=600, cadence_s=300, lateness_s=30.0),
        models=Models(flr="physical"),
        plugins=entries,
    )


class TestMaking:
    def test_two_with_a_kind_in_common_are_a_fault(self) -> None:
        twice = config(sums={}, again={"plugin": "sums"})
        with pytest.raises(PluginError, match="of the kind sum, and so are those of sums"):
            added_stages(twice, registry())
        assert list(added_stages(config(sums={}, again={"plugin": "sums", "kind": "b"}), registry())) == [
            "sums",
            "again",
        ]

    def test_check_names_the_place_of_each(self) -> None:
        found = unusable_stages(config(sums={}, again={"plugin": "sums"}, raises={}), registry())
        assert set(found) == {("plugins", "again"), ("plugins", "raises")}

    def test_kind_of_the_monitor_is_a_fault(self) -> None:
        with pytest.raises(PluginError, match="the monitor's own"):
            added_stages(config(sums={"kind": "flr"}), registry())

    def test_one_that_cannot_be_made_is_off_and_named(self) -> None:
        stages = AddedStages(config(sums={}, raises={}), registry(), Metrics().plugins)
        assert list(stages.make()) == ["sums"]
        standing = stages.standing({})
        assert (standing["sums"].state, standing["raises"].state) == ("running", "off")
        assert "cannot be made" in str(standing["raises"].reason)
        assert stages.standing({"plugin.sums": "it fails"})["sums"].state == "failed"


def test_run_says_what_an_offline_run_says_also_over_a_crash(tmp_path: Path) -> None:
    """Killed between a commit of samples and one of states, and once after both; each time begun again from the store."""
    settings = config(sums={})
    minutes = range(24)
    offline = Pipeline(settings, added=added_stages(settings, registry()))
    expected: list[Product] = []
    for minute in minutes:
        blocks = [block(code, minute) for code in ("TAR", "BRZ")]
        for one in blocks:
            offline.admit(one)
        expected += offline.feed(blocks)
    told: list[Product] = []

    def run(part: Sequence[int], *, commits: bool) -> None:
        with Store.open(tmp_path / "s.sqlite", retention_ns=1 << 60, product_retention_ns=None) as store:
            worker = Worker(
                settings, store, Metrics(), lambda product, _: told.append(product), registry=registry()
            )
            assert worker.restore()
            for minute in part:
                blocks = [block(code, minute) for code in ("TAR", "BRZ")]
                messages = [
                    Message(native_topic(one, "geospace/v1"), native_payload(one), one.end_ns)
                    for one in blocks
                ]
                worker.compute(worker.take(messages))
                worker.commit(at_once=True)
            if not commits:
                # Stored and acknowledged, and never fed.
                code = block("TAR", part[-1] + 1)
                worker.take([Message(native_topic(code, "geospace/v1"), native_payload(code), code.end_ns)])

    run(minutes[:9], commits=False)
    run(minutes[9:16], commits=True)
    run(minutes[16:], commits=True)
    assert len(said(expected)) == 2 * 23
    assert said(told) == said(expected)
    # Nothing was said twice with another content under one name.
    assert all(product.revision == 0 for product in told if product.kind == "sum")
