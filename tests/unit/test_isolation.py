"""A stage that raises for one subject: the others say what they would have said, and it is known who said nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from region_stage_kit import StubModel, samples

from monitor.config import Config
from monitor.models.onnx import Session
from monitor.pipeline import Pipeline, loading
from monitor.pipeline.guard import ALL, Failure
from monitor.science.synthetic.ground import EMMA, GroundSimulator, quiet_day
from monitor.stages import region_memory
from monitor.types import SECOND_NS, Product, SampleBlock, Tick

T0_NS = 1_504_771_200 * SECOND_NS
POISON = "TAR-BRZ"
PAIRS = ["MUO-PEL", "NUR-TAR", POISON]
SHORT = Config.model_validate(
    {
        "pairs": PAIRS,
        "chains": {"north": ["MUO-PEL", "NUR-TAR"], "south": [POISON]},
        "windows": {"length_s": 1800, "cadence_s": 600, "lateness_s": 120, "revise_s": 3600},
        "models": {"flr": "physical"},
    }
)
LEARNED = Config.model_validate({"pairs": PAIRS, "windows": {"length_s": 7200, "cadence_s": 600}})
CRAFT = Config(craft=("MMS1", "C1"))

Said = dict[tuple[str, str, int], Any]


@cache
def blocks(minutes: int) -> tuple[tuple[SampleBlock, ...], ...]:
    """Five-minute pieces of all stations."""
    codes = {code for pair in PAIRS for code in pair.split("-")}
    simulator = GroundSimulator(quiet_day(T0_NS, seed=3, stations=[one for one in EMMA if one[0] in codes]))
    piece_ns = 300 * SECOND_NS
    return tuple(
        tuple(simulator.blocks(T0_NS + at * piece_ns, T0_NS + (at + 1) * piece_ns))
        for at in range(minutes // 5)
    )


def run(pipeline: Pipeline, minutes: int) -> list[Product]:
    products = [product for piece in blocks(minutes) for product in pipeline.feed(piece)]
    return products + pipeline.feed(Tick(180 * SECOND_NS))


def said(products: Sequence[Product], *kinds: str, but: str = "") -> Said:
    """Bodies by kind, subject and time, those about a subject left out."""
    return {
        (product.kind, product.subject, product.time_ns): product.body
        for product in products
        if product.kind in kinds and product.subject != but
    }


def tolerant(config: Config) -> tuple[Pipeline, list[Failure]]:
    failures: list[Failure] = []
    return Pipeline(config, on_failure=failures.append), failures


@cache
def whole(learned: bool) -> list[Product]:
    return run(Pipeline(LEARNED), 150) if learned else run(Pipeline(SHORT), 60)


def poisoned(feed: Callable[..., Any], is_poison: Callable[[Any], bool]) -> Callable[..., Any]:
    """The same but for input of which something is poison."""

    def call(items: Any, *more: Any, **named: Any) -> Any:
        if not isinstance(items, Tick) and any(map(is_poison, items)):
            raise ZeroDivisionError("poison")
        return feed(items, *more, **named)

    return call


def of_window(window: Any) -> bool:
    return POISON in [pair.name for pair in window.pairs]


POISONS: dict[str, Callable[[Any], bool]] = {
    "spectrum": of_window,
    "resonance": lambda spectrum: of_window(spectrum.window),
    "physical": lambda resonance: of_window(resonance.spectrum.window),
    "classify": lambda resonance: of_window(resonance.spectrum.window),
    "regress": lambda classified: of_window(classified.resonance.spectrum.window),
    "track": lambda finding: finding.pair.name == POISON,
    "density": lambda finding: finding.pair.name == POISON,
    "product": lambda finding: finding.pair.name == POISON,
}
# The stage of the physical estimate's findings has no turn of its own.
PART = {"physical": "resonance"}


def poison(monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, part: str) -> None:
    stage = getattr(pipeline._learned if part in ("classify", "regress", "track") else pipeline, part, None)
    stage = stage or getattr(pipeline, f"_{part}")
    monkeypatch.setattr(stage, "feed", poisoned(stage.feed, POISONS[part]))


@pytest.mark.parametrize("part", POISONS)
def test_pair_that_a_stage_raises_for_takes_no_other_with_it(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = part in ("classify", "regress", "track")
    minutes = 150 if learned else 60
    pipeline, failures = tolerant(LEARNED if learned else SHORT)
    poison(monkeypatch, pipeline, part)
    found = run(pipeline, minutes)
    assert said(found, "flr") == said(whole(learned), "flr", but=POISON)
    assert said(found, "flr").keys()
    assert {(one.part, one.subject) for one in failures} == {(PART.get(part, part), POISON)}
    (line,) = pipeline.failing.values()
    assert POISON in line
    assert "ZeroDivisionError: poison" in line
    if not learned:
        assert said(found, "profile", "plasmapause", but="south") == said(
            whole(False), "profile", "plasmapause", but="south"
        )


def test_stage_that_works_again_is_no_longer_said_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, failures = tolerant(SHORT)
    with monkeypatch.context() as patch:
        poison(patch, pipeline, "spectrum")
        early = [product for piece in blocks(60)[:7] for product in pipeline.feed(piece)]
        assert list(pipeline.failing) == ["spectrum"]
    assert said(early, "flr").keys() == {key for key in said(early, "flr") if key[1] != POISON}
    late = [product for piece in blocks(60)[7:] for product in pipeline.feed(piece)]
    assert pipeline.failing == {}
    assert len(failures) == 3
    wanted = {key: body for key, body in said(whole(False), "flr").items() if key in said(late, "flr")}
    assert said(late, "flr") == wanted
    assert {key[1] for key in wanted} == set(PAIRS)


def test_batch_that_only_fails_as_a_whole_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, failures = tolerant(SHORT)
    feed = pipeline._spectrum.feed
    monkeypatch.setattr(pipeline._spectrum, "feed", poisoned(feed, lambda window: len(window.pairs) > 1))
    found = run(pipeline, 60)
    kinds = ("flr", "profile", "plasmapause", "event")
    assert said(found, *kinds) == said(whole(False), *kinds)
    assert (failures, pipeline.failing) == ([], {})


def test_track_that_raises_half_way_is_asked_again_as_if_it_had_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline, failures = tolerant(LEARNED)
    learned = pipeline._learned
    assert learned is not None
    turn, calls = learned.track._turn, iter(range(1000))

    def sometimes(live: Any) -> Any:
        if next(calls) % 2 == 0:
            raise MemoryError
        return turn(live)

    monkeypatch.setattr(learned.track, "_turn", sometimes)
    found = run(pipeline, 150)
    # Of each window the batch fails and one of its pairs works, or the other way round: what was said, was right.
    right = said(whole(True), "flr")
    assert 0 < len(said(found, "flr")) < len(right)
    assert {key for key, body in said(found, "flr").items() if body["label"] != right[key]["label"]} == set()
    assert {one.part for one in failures} == {"track"}


@pytest.mark.parametrize("part", ["chain", "profile", "plasmapause"])
def test_chain_that_a_stage_raises_for_takes_no_other_with_it(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, failures = tolerant(SHORT)
    stage = getattr(pipeline._chains, part)
    is_south: Callable[[Any], bool] = (
        (lambda finding: finding.pair.name == POISON)
        if part == "chain"
        else (lambda state: state.chain.name == "south")
    )
    monkeypatch.setattr(stage, "feed", poisoned(stage.feed, is_south))
    found = run(pipeline, 60)
    assert said(found, "flr") == said(whole(False), "flr")
    assert {(one.part, one.subject) for one in failures} == {("chain" if part == "chain" else part, "south")}
    kinds = ("profile", "plasmapause") if part == "chain" else (part,)
    assert said(found, *kinds) == said(whole(False), *kinds, but="south")
    assert any(key[1] == "north" for key in said(found, *kinds))
    if part != "chain":
        other = {"profile": "plasmapause", "plasmapause": "profile"}[part]
        assert said(found, other) == said(whole(False), other)


def test_chain_that_raised_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window that it raises for is remembered: nothing would come after it, were it not let go."""
    pipeline, failures = tolerant(SHORT)
    stage = pipeline._chains.chain
    turn, poison_ns = stage._turn, T0_NS + 1800 * SECOND_NS

    def poisoned_turn(memory: Any, place: int) -> Any:
        if (memory.chain.name, memory.windows[place].end_ns) == ("south", poison_ns):
            raise ZeroDivisionError("poison")
        return turn(memory, place)

    monkeypatch.setattr(stage, "_turn", poisoned_turn)
    early = [product for piece in blocks(60)[:7] for product in pipeline.feed(piece)]
    assert list(pipeline.failing) == ["chain"]
    found = early + [product for piece in blocks(60)[7:] for product in pipeline.feed(piece)]
    found += pipeline.feed(Tick(180 * SECOND_NS))
    assert (len(failures), pipeline.failing) == (1, {})
    wanted = said(whole(False), "plasmapause").keys() - {("plasmapause", "south", poison_ns)}
    assert said(found, "plasmapause").keys() == wanted
    assert ("plasmapause", "south", poison_ns + 600 * SECOND_NS) in wanted


@pytest.mark.parametrize("part", ["event", "health"])
def test_part_that_always_raises_takes_no_other_with_it(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, failures = tolerant(SHORT)
    stage = pipeline._chains.event if part == "event" else pipeline._health
    monkeypatch.setattr(stage, "feed", lambda _items: 1 / 0)
    found = run(pipeline, 60)
    kinds = {"flr", "profile", "plasmapause", "event", "health"} - {part}
    assert said(found, *kinds) == said(whole(False), *kinds)
    assert said(found, part) == {}
    assert {one.subject for one in failures} == {ALL}


def test_block_that_the_windows_raise_for_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, failures = tolerant(SHORT)
    take = pipeline._window._take
    monkeypatch.setattr(
        pipeline._window,
        "_take",
        lambda block, *, silent: 1 / 0 if block.source == "BRZ" else take(block, silent=silent),
    )
    found = run(pipeline, 60)
    assert {(one.part, one.subject) for one in failures} == {("window", "BRZ")}
    for pair in ("MUO-PEL", "NUR-TAR"):
        mine = {key: body for key, body in said(found, "flr").items() if key[1] == pair}
        assert mine == {key: body for key, body in said(whole(False), "flr").items() if key[1] == pair}
        assert mine


def test_without_a_listener_a_failure_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(SHORT)
    poison(monkeypatch, pipeline, "density")
    with pytest.raises(ZeroDivisionError, match="poison"):
        run(pipeline, 60)


class _Network(StubModel):
    info = None


def flight(pipeline: Pipeline) -> list[Product]:
    """Two spacecraft, whose windows close together."""
    cells = ["SW"] * 240 + ["MSH"] * 400
    products = []
    for first in range(0, len(cells), 40):
        piece = [samples(cells[first : first + 40], first=first, craft=craft) for craft in CRAFT.craft]
        products += pipeline.feed(piece)
    return products + pipeline.feed(Tick(120 * SECOND_NS))


@pytest.mark.parametrize("part", ["region", "label", "product", "event"])
def test_spacecraft_that_a_stage_raises_for_takes_no_other_with_it(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_region", lambda _choice: _Network())
    right = flight(Pipeline(CRAFT))
    pipeline, failures = tolerant(CRAFT)
    stage = getattr(pipeline._space, part)

    def is_other(item: Any) -> bool:
        return getattr(getattr(item, "finding", item), "craft", None) == "C1"

    monkeypatch.setattr(stage, "feed", poisoned(stage.feed, is_other))
    found = flight(pipeline)
    kinds = ("region", "event")
    expected = said(right, *kinds)
    mine = {key for key in expected if "C1" not in key[1]}
    assert any(key[0] == "event" for key in mine)
    assert {key: body for key, body in said(found, *kinds).items() if key in mine} == {
        key: expected[key] for key in mine
    }
    assert {one.subject for one in failures} == {"C1"}
    lost = {key[0] for key in expected.keys() - said(found, *kinds).keys()}
    # Events rest on what the network finds, not on labels.
    assert lost == {"region": {"region", "event"}, "event": {"event"}}.get(part, {"region"})


def test_spacecraft_whose_label_raised_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a chain: the window that it raises for is remembered."""
    monkeypatch.setattr(loading, "load_region", lambda _choice: _Network())
    right = {key[2] for key in said(flight(Pipeline(CRAFT)), "region")}
    advance, poison_ns = region_memory.advance, sorted(right)[3]

    def poisoned_advance(parameters: Any, state: Any, end_ns: int, probability: Any) -> Any:
        if end_ns == poison_ns:
            raise ZeroDivisionError("poison")
        return advance(parameters, state, end_ns, probability)

    monkeypatch.setattr(region_memory, "advance", poisoned_advance)
    pipeline, failures = tolerant(CRAFT)
    found = {key[2] for key in said(flight(pipeline), "region")}
    assert found == right - {poison_ns}
    assert {(one.part, one.subject) for one in failures} == {
        ("region_label", "MMS1"),
        ("region_label", "C1"),
    }
    assert (len(failures), pipeline.failing) == (2, {})


def test_network_that_breaks_while_it_runs_costs_labels_until_it_works_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bundled one, whose runtime raises."""
    pipeline, failures = tolerant(Config(craft=("MMS1",)))

    def broken(_session: Session, **_inputs: Any) -> Any:
        raise RuntimeError("the runtime is out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", broken)
        found = pipeline.feed([samples(["SW"] * 120)])
    assert {product.kind for product in found} == {"health"}
    assert {(one.part, one.subject) for one in failures} == {("region", "MMS1")}
    assert "out of memory" in pipeline.failing["region"]
    assert "region" in {product.kind for product in pipeline.feed([samples(["SW"] * 120, first=120)])}
    assert pipeline.failing == {}


def test_ground_goes_on_where_all_of_space_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    both = SHORT.model_copy(update={"craft": ("MMS1",), "models": SHORT.models})
    monkeypatch.setattr(loading, "load_region", lambda _choice: _Network())
    pipeline, failures = tolerant(both)
    monkeypatch.setattr(pipeline._space.window, "feed", lambda _items: 1 / 0)
    found = [
        product
        for number, piece in enumerate(blocks(60))
        for product in pipeline.feed([*piece, samples(["SW"] * 40, first=40 * number)])
    ]
    found += pipeline.feed(Tick(180 * SECOND_NS))
    kinds = ("flr", "profile", "plasmapause")
    assert said(found, *kinds) == said(whole(False), *kinds)
    assert {one.part for one in failures} == {"craft_window"}
