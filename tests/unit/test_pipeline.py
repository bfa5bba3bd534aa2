"""The pipeline: the stages in their order, watched, admitted and restarted as one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from monitor.config import Config
from monitor.config.schema import Models, Outputs, Windows
from monitor.errors import DecodeError, ModelError
from monitor.pipeline import Pipeline
from monitor.types import SECOND_NS, Product, SampleBlock, Tick

S = SECOND_NS
T0_NS = 1_504_785_600 * S
WINDOWS = Windows(length_s=1200, cadence_s=600, lateness_s=120.0)
PHYSICAL = Models(flr="physical")
CONFIG = Config(pairs=("MUO-PEL:5.37",), windows=WINDOWS, models=PHYSICAL)
LEARNED = Config(pairs=("MUO-PEL:5.37",))


def blocks(first: int, last: int, codes: tuple[str, ...] = ("MUO", "PEL")) -> list[SampleBlock]:
    """Red noise with a common part, the same for the same seconds."""
    found = []
    for code in codes:
        seed = {"MUO": 1, "PEL": 2}[code]
        common = np.cumsum(np.random.default_rng(0).normal(0.0, 0.1, 7200))
        own = np.cumsum(np.random.default_rng(seed).normal(0.0, 0.02, 7200))
        values = (12_000.0 + common + own)[None, first:last]
        found.append(SampleBlock(code, ("H",), T0_NS + first * S, S, values))
    return found


def run(pipeline: Pipeline) -> list[Product]:
    """Two hours in pieces of ten minutes."""
    return [product for at in range(0, 7200, 600) for product in pipeline.feed(blocks(at, at + 600))]


def kinds(products: list[Product]) -> list[str]:
    return [product.kind for product in products]


def test_samples_become_products_and_health() -> None:
    pipeline = Pipeline(CONFIG)
    assert kinds(pipeline.feed(blocks(0, 590))) == ["health", "health"]
    products = pipeline.feed(blocks(590, 1190))
    assert [(p.kind, p.subject) for p in products if p.kind == "flr"] == [("flr", "MUO-PEL")]
    assert pipeline.health_states == {"MUO": "gap", "PEL": "gap"}
    pipeline.feed(blocks(1190, 1200))
    assert pipeline.health_states == {"MUO": "ok", "PEL": "ok"}


def test_clocks_are_those_of_sources_and_pairs() -> None:
    pipeline = Pipeline(CONFIG)
    assert pipeline.source_clocks == {}
    assert pipeline.product_clocks == {}
    pipeline.feed([*blocks(0, 300, ("MUO",)), *blocks(0, 200, ("PEL",))])
    pipeline.feed(Tick(7 * S))
    assert pipeline.source_clocks == {"MUO": T0_NS + 300 * S, "PEL": T0_NS + 200 * S}
    assert pipeline.product_clocks == {"MUO-PEL": T0_NS + 307 * S}


def test_silent_station_is_said_late_while_nothing_comes() -> None:
    pipeline = Pipeline(CONFIG)
    pipeline.feed(blocks(0, 300))
    states = [product.body["state"] for product in pipeline.feed(Tick(121 * S))]
    assert states == ["late", "late"]


def test_every_stage_is_watched() -> None:
    seen: list[str] = []

    @contextmanager
    def watch(stage: str) -> Iterator[None]:
        seen.append(stage)
        yield

    Pipeline(CONFIG, watch).feed(blocks(0, 600))
    assert seen == ["window", "spectrum", "resonance", "density", "product"]
    seen.clear()
    chain = Config(pairs=("MUO-PEL:5.37",), chains={"one": ("MUO-PEL",)}, windows=WINDOWS, models=PHYSICAL)
    Pipeline(chain, watch).feed(blocks(0, 600))
    assert seen == ["window", "spectrum", "resonance", "density", "product", "chain", "event"]


def test_spectra_go_out_where_they_are_wanted() -> None:
    outputs = Outputs(spectra=True)
    pipeline = Pipeline(Config(pairs=("MUO-PEL:5.37",), windows=WINDOWS, outputs=outputs, models=PHYSICAL))
    products = [*pipeline.feed(blocks(0, 600)), *pipeline.feed(blocks(600, 1200))]
    assert [product.body["time"][11:16] for product in products if product.kind == "spectrum"] == ["12:20"]


def test_admission_refuses_what_does_not_belong() -> None:
    pipeline = Pipeline(CONFIG)
    with pytest.raises(DecodeError, match="unknown_station"):
        pipeline.admit(SampleBlock("XYZ", ("H",), T0_NS, S, np.ones((1, 1))))


def test_lookback_holds_window_lateness_and_revisions() -> None:
    assert Pipeline(CONFIG).lookback_ns == (1200 + 600 + 120 + 86_400) * S


def test_flush_ends_an_offline_run() -> None:
    pipeline = Pipeline(CONFIG)
    pipeline.feed([*blocks(0, 600, ("MUO",)), *blocks(0, 100, ("PEL",))])
    assert kinds(pipeline.flush())[0] == "flr"
    assert kinds(pipeline.flush()) == []


def test_too_late_samples_are_counted() -> None:
    pipeline = Pipeline(CONFIG)
    pipeline.feed(blocks(0, 600))
    jump = SampleBlock("MUO", ("H",), T0_NS + 40 * 86_400 * S, S, np.ones((1, 1)))
    pipeline.feed([jump])
    pipeline.feed(blocks(0, 60, ("MUO",)))
    assert pipeline.too_late_samples == 60


def test_restart_goes_on_with_json_states_and_stored_samples() -> None:
    first, second = Pipeline(CONFIG), Pipeline(CONFIG)
    early, later = blocks(0, 600), blocks(600, 1200)
    first.feed(early)
    second.restore(json.loads(json.dumps(first.snapshot())))
    second.load(early)
    assert second.snapshot() == first.snapshot()
    assert [p.body for p in second.feed(later)] == [p.body for p in first.feed(later)]
    assert second.snapshot() == first.snapshot()


def test_restore_takes_what_is_there() -> None:
    pipeline = Pipeline(CONFIG)
    pipeline.restore({})
    with pytest.raises(ValueError, match="version"):
        pipeline.restore({"window": {"version": 0}})


def test_pipeline_without_pairs_is_idle() -> None:
    pipeline = Pipeline(Config())
    assert pipeline.feed(blocks(0, 600)) == []
    assert pipeline.feed(Tick(S)) == []
    assert pipeline.flush() == []


class TestLearned:
    def test_bundled_model_takes_its_turn_and_is_named(self) -> None:
        seen: list[str] = []

        @contextmanager
        def watch(stage: str) -> Iterator[None]:
            seen.append(stage)
            yield

        pipeline = Pipeline(LEARNED, watch)
        found = [p.body for p in run(pipeline) if p.kind == "flr"]
        assert [body["time"][11:16] for body in found] == ["12:30", "13:00", "13:30", "14:00"]
        turn = ["spectrum", "resonance", "classify", "regress", "track", "density", "product"]
        assert [stage for stage in seen if stage != "window"] == turn * 4
        (model,) = pipeline.models
        assert model.kind == "flr"
        assert {body["model"]["classifier"] for body in found} == {model.label}
        assert [body["probability"] is None for body in found[:3]] == [True] * 3
        assert all(body["track_probability"] is not None for body in found)
        assert found[3]["probability"] is not None or "out_of_distribution" in found[3]["flags"]
        assert not any("physical_only" in body["flags"] for body in found)

    def test_pair_of_unknown_l_is_not_followed(self) -> None:
        pipeline = Pipeline(Config(pairs=("AAA-BBB", "MUO-PEL:5.37")))
        nameless = [
            SampleBlock(code, block.components, block.t0_ns, block.step_ns, block.values)
            for code, block in zip(("AAA", "BBB"), blocks(0, 7200), strict=True)
        ]
        found = [p.body for p in pipeline.feed([*nameless, *blocks(0, 7200)]) if p.kind == "flr"]
        alone = [body for body in found if body["pair"] == "AAA-BBB"]
        assert len(alone) == 4
        assert all("physical_only" in body["flags"] for body in alone)
        assert all(body["track_probability"] is None for body in alone)
        assert {body["model"]["classifier"] for body in alone} == {"physical/1"}
        assert list(pipeline.snapshot()["track"]["pairs"]) == ["MUO-PEL"]

    def test_other_windows_fall_back_to_the_physical_estimate_and_say_so(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        pipeline = Pipeline(Config(pairs=("MUO-PEL:5.37",), windows=WINDOWS))
        assert pipeline.models == ()
        assert "window_s 7200 (here 1200): the physical estimate is alone" in caplog.text
        assert "track" not in pipeline.snapshot()

    def test_folder_that_holds_no_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=str(tmp_path)):
            Pipeline(Config(pairs=("MUO-PEL:5.37",), models=Models(flr=str(tmp_path))))

    def test_tracker_looks_ahead_only_where_it_is_told_to(self) -> None:
        said, held = (
            [p.body for p in [*run(pipeline), *pipeline.flush()] if p.kind == "flr"]
            for pipeline in (Pipeline(LEARNED), Pipeline(LEARNED, smooth=True))
        )
        assert [body["time"] for body in held] == [body["time"] for body in said]
        assert all("smoothed" in body["flags"] for body in held)
        assert not any("smoothed" in body["flags"] for body in said)
        assert [body["probability"] for body in held] == [body["probability"] for body in said]
        assert not any(p.kind == "flr" for p in run(Pipeline(LEARNED, smooth=True)))
        # Of the last window nobody knows more than the filter does; of the first, the smoother knows the last.
        last, first = held[-1]["track_probability"], held[0]["track_probability"]
        assert last == pytest.approx(said[-1]["track_probability"], rel=1e-4)
        assert first != pytest.approx(said[0]["track_probability"], rel=1e-4)

    def test_restart_goes_on_with_the_tracker(self) -> None:
        first, second = Pipeline(LEARNED), Pipeline(LEARNED)
        early, later = blocks(0, 5400), blocks(5400, 7200)
        first.feed(early)
        second.restore(json.loads(json.dumps(first.snapshot())))
        second.load(early)
        assert second.snapshot() == first.snapshot()
        assert [p.body for p in second.feed(later)] == [p.body for p in first.feed(later)]
        assert second.snapshot() == first.snapshot()

    def test_state_of_another_tracker_is_refused(self) -> None:
        pipeline = Pipeline(LEARNED)
        state = pipeline.snapshot()
        with pytest.raises(ValueError, match="tracker was set otherwise"):
            Pipeline(LEARNED).restore({**state, "track": {**state["track"], "settings": []}})
