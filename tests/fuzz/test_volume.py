"""Broken payloads by the hundred thousand over all decoders: blocks or `DecodeError`, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from mutation import Mutator
from targets import Target, targets

from monitor.plugins import installed

TARGETS = targets()
DECODER_TARGETS = [target for name, target in TARGETS.items() if name.startswith("decoder-")]
OTHER_TARGETS = [target for name, target in TARGETS.items() if not name.startswith("decoder-")]
PAYLOADS = (40_000, 1_000_000)
"""Over all decoders together: in the tests, and at full scale."""
LEAST_OUTCOMES = {"decoder-column_text": 6, "decoder-martas": 8}
"""Text has fewer ways to be wrong than JSON."""
INPUTS = {
    "config": (250, 20_000),
    "archive-text": (1_000, 50_000),
    "archive-cdf": (500, 50_000),
    "pulled": (500, 50_000),
}


def broken(target: Target, count: int, chance: random.Random) -> Counter[str]:
    """Run a target over so many broken inputs; return how they were taken."""
    mutator = Mutator(target.seeds, chance)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        content = mutator.next()
        try:
            outcomes[target.run(content)] += 1
        except BaseException as error:
            raise AssertionError(
                f"{target.name}, input {number}: {error!r}\n{content[:2000]!r}\nhex {content[:4000].hex()}\n"
                f"to keep it: python tests/fuzz/guided.py {target.name} --keep HEX"
            ) from error
    return outcomes


def test_every_decoder_is_fuzzed() -> None:
    assert {target.name.removeprefix("decoder-") for target in DECODER_TARGETS} == set(
        installed().names("decoder")
    )


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_seed_is_valid(target: Target) -> None:
    if target.name != "topics":
        assert {target.run(seed) for seed in target.seeds} <= {"taken", "kept"}


@pytest.mark.parametrize("target", DECODER_TARGETS, ids=lambda target: target.name)
def test_decoder_takes_or_refuses_whatever_comes(
    target: Target,
    of_scale: Callable[[int, int], int],
    chance: random.Random,
    found: Callable[..., None],
) -> None:
    count = -(-of_scale(*PAYLOADS) // len(DECODER_TARGETS))
    outcomes = broken(target, count, chance)
    found(target=target.name, payloads=count, crashes=0, **dict(sorted(outcomes.items())))
    assert outcomes.total() == count
    # Else the breaking is too coarse or too fine to say anything.
    assert 0.05 < (outcomes["taken"] + outcomes["kept"]) / count < 0.8
    assert len(outcomes) >= LEAST_OUTCOMES.get(target.name, 10)


@pytest.mark.parametrize("target", OTHER_TARGETS, ids=lambda target: target.name)
def test_whatever_else_is_read_is_taken_or_refused(
    target: Target,
    of_scale: Callable[[int, int], int],
    chance: random.Random,
    found: Callable[..., None],
) -> None:
    count = of_scale(*INPUTS.get(target.name, (2_000, 100_000)))
    outcomes = broken(target, count, chance)
    found(target=target.name, inputs=count, crashes=0, **dict(sorted(outcomes.items())))
    assert outcomes.total() == count
    assert set(outcomes) == ({"True", "False"} if target.name == "topics" else {"taken", "refused"})
