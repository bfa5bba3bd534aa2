"""Killed anywhere and taken up again, a worker of both domains says in the end what one that ran through says."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from crash_kit import (
    Life,
    NamedStub,
    RememberedResonances,
    Turn,
    assert_sound,
    documents,
    final,
    happened,
    lived,
    rearranged,
    stream,
)

from monitor import pipeline
from monitor.daemon.checkpoint import CURSOR, digest_of, sealed
from monitor.pipeline import loading

# A seed is no smaller for being a small number: nothing to shrink.
LIMITS = settings(
    max_examples=max(2, settings().max_examples // 50),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module", autouse=True)
def _stages() -> Iterator[None]:
    """A made-up network for the regions, and resonances that are estimated once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_region", lambda _choice: NamedStub())
        patch.setattr(pipeline, "ResonanceStage", RememberedResonances)
        yield


def live(*arguments: Any, **options: Any) -> Life:
    """A run in a folder of its own, which is gone after it."""
    with tempfile.TemporaryDirectory() as folder:
        return lived(Path(folder), *arguments, **options)


@cache
def whole() -> Life:
    """A run without an end."""
    return live(stream())


def kills(rng: random.Random, most: int = 4) -> list[int]:
    """How many seams to pass before each."""
    return [rng.randrange(whole().reaper.passed // 2) for _ in range(rng.randint(1, most))]


def test_reference_says_something_of_every_kind() -> None:
    wire = whole().wire
    assert_sound(wire)
    kinds = Counter(topic.split("/")[0] for topic, _, _ in wire)
    assert kinds.keys() == {"flr", "spectrum", "profile", "plasmapause", "region", "event", "health"}
    of_kind = [one for one in documents(wire) if "label" in one and "pair" in one]
    assert {"Freq", "PBL", "NoFreq"} == {one["label"] for one in of_kind}
    assert any(one["revision"] > 1 for one in of_kind)
    assert any(one["label"] is None for one in documents(wire) if "craft" in one)
    events = [one["properties"] for one in documents(wire) if "properties" in one]
    assert {"plasmapause_crossing", "bow_shock_crossing"} == {one["kind"] for one in events}
    assert {"begin", "update", "end"} == {one["state"] for one in events}


@LIMITS
@given(seed=SEEDS)
def test_killed_anywhere_it_says_the_same_in_the_end(seed: int) -> None:
    rng = random.Random(seed)
    life = live(stream(), kills(rng), seed=seed)
    assert life.reaper.lives
    assert_sound(life.wire)
    assert final(life.wire) == final(whole().wire)


@LIMITS
@given(seed=SEEDS)
def test_killed_with_its_states_lost_it_says_the_same_in_the_end(seed: int) -> None:
    """All is built again from samples and products, also where that is interrupted.

    A plasmapause that was published is left as it is: late samples that were stored and not computed when the states
    were lost do not change it any more. What an event quotes of it is as old: all else of the event is the same.
    """
    rng = random.Random(seed)

    def lose(path: Path) -> None:
        if rng.random() < 0.7:
            write_states(path, {CURSOR: "{}"})

    life = live(stream(), kills(rng), seed=seed, spoil=lose)
    assert_sound(life.wire)
    found, expected = final(life.wire), final(whole().wire)
    assert found.keys() == expected.keys()
    for key, said in found.items():
        if key[0] != "plasmapause/emma":
            assert without_quotes(said) == without_quotes(expected[key]), key


def without_quotes(said: Any) -> Any:
    """What was said, without what an event of the plasmapause takes from the object of its chain."""
    if not (isinstance(said, dict) and said.get("kind") == "plasmapause_crossing"):
        return said
    quoted = ("l_shell", "l_interval", "confidence")
    assert said.keys() >= {"l_shell", "confidence"}
    return {key: value for key, value in said.items() if key not in quoted}


@LIMITS
@given(seed=SEEDS, vouched=st.booleans(), most=st.sampled_from([1, 5, 60]))
def test_states_changed_anywhere_never_keep_it_from_its_start(seed: int, vouched: bool, most: int) -> None:
    """Damaged ones are built again. Those that a cursor vouches for may mislead, as their program erred."""
    rng = random.Random(seed)
    before = kills(rng, 1)[0]

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            stored = dict(connection.execute("SELECT stage, json FROM state"))
        for _ in range(most):
            if CURSOR in stored:
                stage = rng.choice(sorted(stored))
                stored[stage] = json.dumps(changed(json.loads(stored[stage]), rng))
        if vouched and CURSOR in stored and isinstance(cursor := json.loads(stored[CURSOR]), dict):
            cursor["digests"] = {stage: digest_of(text) for stage, text in stored.items() if stage != CURSOR}
            stored[CURSOR] = json.dumps(sealed(cursor))
        write_states(path, stored)

    life = live(stream(), [before], seed=seed, spoil=damage)
    if not vouched:
        assert_sound(life.wire)
        found, expected = final(life.wire), final(whole().wire)
        assert found.keys() == expected.keys()
        assert all(key[0] == "plasmapause/emma" or said == expected[key] for key, said in found.items())


@settings(LIMITS, max_examples=3)
@given(seed=SEEDS)
def test_order_repetition_lateness_and_batches_do_not_change_what_is_said_in_the_end(seed: int) -> None:
    rng = random.Random(seed)
    turns: list[Turn] = rearranged(rng)
    life = live(turns, seed=seed, most=rng.choice([1, 9, 100]))
    assert_sound(life.wire)
    found, expected = happened(final(life.wire)), happened(final(whole().wire))
    assert found.keys() == expected.keys()
    assert found == expected


def write_states(path: Path, stored: dict[str, str]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT OR REPLACE INTO state (stage, json) VALUES (?, ?)", stored.items())


def changed(document: Any, rng: random.Random) -> Any:
    """The document with one value in it replaced, added or left out."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        key = rng.choice(sorted(document))
        if rng.random() < 0.1:
            return {name: value for name, value in document.items() if name != key}
        return document | {key: changed(document[key], rng)}
    if isinstance(document, list) and document and rng.random() < 0.9:
        at = rng.randrange(len(document))
        if rng.random() < 0.1:
            return document[:at] + document[at + 1 :]
        return [*document[:at], changed(document[at], rng), *document[at + 1 :]]
    return rng.choice([None, True, -1, 1 << 80, 0.5, 1e308, "", "x", "AAAA", [], [[1]], {}, {"version": 1}])
