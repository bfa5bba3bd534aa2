"""What is kept of earlier fuzzing: every input is taken or refused, as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from targets import Target, targets

TARGETS = targets()
CORPUS = Path(__file__).parent / "corpus"
LARGEST_KB = 64


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_kept_inputs_are_taken_or_refused(target: Target) -> None:
    assert all(target.run(content) for content in [*target.corpus, *target.seeds])


def test_corpus_is_of_known_targets_and_small() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= set(TARGETS)
    size = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    assert size < LARGEST_KB * 1024
