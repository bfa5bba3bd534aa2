"""Health: what is said of a station, when, and how often."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitor.stages.health import Health, HealthStage, Patience, SourceClocks
from monitor.types import (
    CELL_NS,
    SECOND_NS,
    SUPPORT_CELLS,
    VARIABLES,
    WINDOW_CELLS,
    CraftHole,
    CraftStretch,
    Domain,
    Label,
    Pair,
    Product,
    ResonanceBatch,
    SpectrumBatch,
    StationQuality,
    Tick,
    WindowBatch,
)

S = SECOND_NS
T_NS = 1_504_785_600 * S
PAIRS = (Pair("MUO", "PEL"), Pair("PEL", "NUR"))
CODES = ("MUO", "NUR", "PEL")


def stage() -> HealthStage:
    pairs_of = {code: [pair.name for pair in PAIRS if code in pair.stations] for code in CODES}
    return HealthStage(pairs_of, 120 * S, 1800 * S)


def window(
    reasons: tuple[str | None, str | None] = (None, None),
    coverage: tuple[float, float, float] = (1.0, 1.0, 1.0),
    flat: int | None = None,
    spiky: int | None = None,
) -> ResonanceBatch:
    """A window of all three stations (MUO, NUR, PEL); `flat` and `spiky` name a row."""
    share = np.array(coverage)
    usable = share >= 0.9
    stuck, spikes = np.zeros(3, dtype=np.bool_), np.zeros(3, dtype=np.int64)
    if flat is not None:
        stuck[flat], usable[flat] = True, False
    if spiky is not None:
        spikes[spiky], usable[spiky] = 500, False
    batch = WindowBatch(
        pairs=PAIRS,
        stations=CODES,
        station_index=np.array([[0, 2], [2, 1]]),
        end_ns=T_NS,
        length_ns=7200 * S,
        step_ns=S,
        values_nT=np.zeros((3, 0)),
        coverage=share,
        offset_ns=np.zeros(3, dtype=np.int64),
        notes=(frozenset(),) * 3,
    )
    quality = StationQuality(share, np.where(share < 1.0, 900.0, 0.0), spikes, stuck, usable)
    empty = np.zeros((2, 0))
    spectrum = SpectrumBatch(
        batch, quality, np.zeros(0), empty, empty, empty, np.array([11, 11]), np.array([True, True])
    )
    unknown = np.full(2, np.nan)
    labels = (Label.NO_FREQ, Label.NO_FREQ)
    return ResonanceBatch(spectrum, labels, reasons, unknown, unknown, unknown, unknown, unknown, unknown)


def clocks(now_s: int = 0, **behind_s: int) -> SourceClocks:
    """All stations at `now`, but for those that are so many seconds behind."""
    now = T_NS + now_s * S
    return SourceClocks({code: now - behind_s.get(code, 0) * S for code in CODES}, now)


def said(products: list[Product]) -> dict[str, str]:
    return {product.subject: product.body["state"] for product in products}


def test_state_is_said_once_and_again_only_when_it_changes() -> None:
    health = stage()
    assert said(health.feed([clocks()])) == dict.fromkeys(CODES, "ok")
    assert health.feed([clocks(1)]) == []
    assert said(health.feed([clocks(2, MUO=121)])) == {"MUO": "late"}
    assert health.feed([clocks(3, MUO=122)]) == []
    assert said(health.feed([clocks(4)])) == {"MUO": "ok"}


@pytest.mark.parametrize(("behind", "state"), [(120, "ok"), (121, "late"), (1800, "late"), (1801, "offline")])
def test_state_follows_how_far_a_station_is_behind(behind: int, state: str) -> None:
    health = stage()
    health.feed([clocks(MUO=behind)])
    assert health.states()["MUO"] == state


def test_station_never_heard_is_offline_only_after_a_while() -> None:
    health = stage()
    first = SourceClocks({"MUO": T_NS}, T_NS)
    assert said(health.feed([first])) == {"MUO": "ok"}
    later = SourceClocks({"MUO": T_NS + 1801 * S}, T_NS + 1801 * S)
    products = health.feed([later])
    assert said(products) == {"NUR": "offline", "PEL": "offline"}
    assert products[0].body["last_sample"] is None
    assert products[0].body["lag_s"] is None


@pytest.mark.parametrize(
    ("looked_at", "state"),
    [
        (window(coverage=(0.5, 1.0, 1.0)), "gap"),
        (window(flat=0), "flat"),
        (window(spiky=0), "spikes"),
        (window(coverage=(0.0, 1.0, 1.0), flat=0), "gap"),
        (window(), "ok"),
    ],
)
def test_state_follows_the_last_window(looked_at: ResonanceBatch, state: str) -> None:
    health = stage()
    health.feed([looked_at, clocks()])
    assert health.states() == {"MUO": state, "NUR": "ok", "PEL": "ok"}


def test_clock_is_said_of_stations_whose_pairs_all_show_an_offset() -> None:
    health = stage()
    health.feed([window(reasons=("timing_offset", None)), clocks()])
    assert health.states() == {"MUO": "clock", "NUR": "ok", "PEL": "ok"}
    health.feed([window(reasons=("timing_offset", "timing_offset")), clocks(1)])
    assert health.states() == dict.fromkeys(CODES, "clock")
    health.feed([window(), clocks(2)])
    assert health.states() == dict.fromkeys(CODES, "ok")


def test_object_says_when_and_how_far() -> None:
    health = stage()
    health.feed([window(coverage=(0.95, 1.0, 1.0)), clocks()])
    (product,) = health.feed([clocks(10, MUO=300)])
    assert product.topic == "health/MUO"
    assert product.retained
    assert product.body["time"] == "2017-09-07T12:00:10Z"
    assert product.body["last_sample"] == "2017-09-07T11:55:10Z"
    assert product.body["lag_s"] == 300.0
    assert product.body["coverage"] == 0.95
    assert json.loads(product.encode(T_NS))["id"] == "health/MUO/2017-09-07T12:00:10Z/0"


def test_two_changes_at_one_instant_have_two_ids() -> None:
    health = stage()
    first = health.feed([clocks()])
    second = health.feed([window(flat=0), clocks()])
    assert [product.revision for product in second] == [1]
    assert {p.body["id"] for p in first}.isdisjoint({p.body["id"] for p in second})


def test_restart_says_nothing_twice() -> None:
    health, other = stage(), stage()
    health.feed([window(flat=0), clocks()])
    other.restore(json.loads(json.dumps(health.snapshot())))
    assert other.states() == health.states()
    assert other.feed([clocks(1)]) == []


def test_tick_says_nothing() -> None:
    assert stage().feed(Tick(S)) == []


def test_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        stage().restore({"version": 2})


def test_states_are_those_of_the_contract() -> None:
    assert {str(state) for state in Health} == {"ok", "late", "gap", "flat", "spikes", "clock", "offline"}


def craft_stage() -> HealthStage:
    return HealthStage(
        {"MUO": ["MUO-PEL"]},
        120 * S,
        1800 * S,
        craft=("MMS1", "C1"),
        craft_patience=Patience(60 * S, 900 * S),
    )


def craft_clocks(now_s: int = 0, behind_s: int = 0) -> SourceClocks:
    now = T_NS + now_s * S
    return SourceClocks({"MMS1": now - behind_s * S}, now, Domain.CRAFT)


def stretch(
    windows: int = 1, flat: tuple[str, ...] = (), missing: tuple[str, ...] = (), *, context: bool = True
) -> CraftStretch:
    """The last windows before T, with parts of the field that stand still."""
    size = SUPPORT_CELLS + windows - 1 if context else WINDOW_CELLS
    values = np.random.default_rng(2).normal(10.0, 1.0, (size, len(VARIABLES)))
    for names, value in ((flat, 3.0), (missing, np.nan)):
        values[:, [VARIABLES.index(name) for name in names]] = value
    ends = tuple(T_NS - (windows - 1 - n) * CELL_NS for n in range(windows))
    return CraftStretch("MMS1", T_NS - size * CELL_NS, values, ends, context, missing, (0.0,) * windows)


FIELD = ("Bx", "By", "Bz", "B")


@pytest.mark.parametrize(
    ("window", "state", "coverage"),
    [
        (stretch(), "ok", 1.0),
        (stretch(5), "ok", 1.0),
        (stretch(flat=FIELD), "flat", 1.0),
        (stretch(3, flat=FIELD), "flat", 1.0),
        (stretch(flat=FIELD, context=False), "flat", 1.0),
        (stretch(flat=("B",), missing=("Bx", "By", "Bz")), "flat", 1.0),
        (stretch(flat=("B",)), "ok", 1.0),
        (stretch(missing=FIELD), "ok", 1.0),
        (CraftHole("MMS1", T_NS, 0.4, "gap", ()), "gap", 0.4),
    ],
)
def test_spacecraft_is_what_its_last_window_was(
    window: CraftStretch | CraftHole, state: str, coverage: float
) -> None:
    (product,) = craft_stage().feed([window, craft_clocks()])
    assert product.topic == "health/MMS1"
    assert (product.body["kind"], product.body["state"]) == ("spacecraft", state)
    assert product.body["coverage"] == coverage


def test_field_that_stood_still_in_the_context_alone_is_not_flat() -> None:
    """The last of the three windows moves in its first cell."""
    window = stretch(3, flat=FIELD)
    window.values[8, :4] = 4.0
    health = craft_stage()
    health.feed([window, craft_clocks()])
    assert health.states() == {"MMS1": "ok"}
    still = stretch(3, flat=FIELD)
    still.values[7, :4] = 4.0
    health.feed([still, craft_clocks(1)])
    assert health.states() == {"MMS1": "flat"}


def test_spacecraft_is_late_and_offline_by_its_own_patience() -> None:
    health = craft_stage()
    health.feed([craft_clocks()])
    assert health.states() == {"MMS1": "ok"}
    for behind, state in ((61, "late"), (901, "offline"), (0, "ok")):
        health.feed([craft_clocks(1000, behind)])
        assert health.states()["MMS1"] == state


def test_spacecraft_never_heard_is_offline_and_stations_are_not_asked() -> None:
    health = craft_stage()
    health.feed([craft_clocks()])
    assert said(health.feed([craft_clocks(901)])) == {"C1": "offline"}
    assert "MUO" not in health.states()


def test_older_window_that_changed_says_nothing_of_now() -> None:
    health = craft_stage()
    health.feed([stretch(), craft_clocks()])
    assert health.feed([CraftHole("MMS1", T_NS - CELL_NS, 0.0, "gap", ()), craft_clocks(1)]) == []


def test_restart_says_nothing_twice_of_spacecraft() -> None:
    health, other = craft_stage(), craft_stage()
    health.feed([stretch(flat=FIELD), craft_clocks()])
    other.restore(json.loads(json.dumps(health.snapshot())))
    assert other.feed([craft_clocks(1)]) == []
    assert said(other.feed([craft_clocks(901)])) == {"C1": "offline"}


def test_state_of_before_spacecraft_is_taken_up() -> None:
    health = craft_stage()
    health.restore({"version": 1, "said": {"MUO": ["ok", T_NS, 0]}, "begun_ns": T_NS})
    assert health.states() == {"MUO": "ok"}


def test_spacecraft_without_patience_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="MMS1"):
        HealthStage({}, 1, 2, craft=("MMS1",))


def test_what_is_said_after_a_restart_is_not_earlier_than_what_was_said_before() -> None:
    """Idle time is forgotten with the process: its clock may stand before the last words, whose ids are given away."""
    first = stage()
    first.feed([clocks()])
    first.feed([clocks(300, MUO=0, NUR=300, PEL=0)])
    second = stage()
    second.restore(json.loads(json.dumps(first.snapshot())))
    (late,) = [one for one in second.feed([clocks(0)]) if one.subject == "NUR"]
    assert (late.time_ns, late.revision, late.body["state"]) == (T_NS + 300 * S, 1, "ok")
    assert late.body["id"] == "health/NUR/2017-09-07T12:05:00Z/1"
