"""What the bundled model is trained from and tested on: simulated cases, by their seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from monitor.jobs.flr.examples import joined_examples, joined_spectra
from monitor.jobs.flr.synthetic import CaseBlock, examples, seen_spectra
from monitor.jobs.flr.training import Material
from monitor.models.card import DataSource
from monitor.science.synthetic.ranges import CALIBRATION, FAINT_STORMS, STORMS, TEST, TRAINING, CaseRanges

_NAMES: Final = {
    TRAINING.stream: "TRAINING",
    STORMS.stream: "STORMS",
    FAINT_STORMS.stream: "FAINT_STORMS",
    CALIBRATION.stream: "CALIBRATION",
    TEST.stream: "TEST",
}
# Sequences are numbered by seeds: those of each stream stand apart.
_STREAM_OFFSET = 10_000_000
_VALIDATION_FROM = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How many simulated cases go where. No case is in two parts.

    Attributes
    ----------
    training, storms, faint_storms : int
        Cases of `TRAINING`, `STORMS` and `FAINT_STORMS` for the boosters.
    validation : int
        Further cases of `TRAINING`.
    calibration : int
        Cases of `CALIBRATION`.
    """

    training: int = 9000
    storms: int = 7000
    faint_storms: int = 4000
    validation: int = 1500
    calibration: int = 4000

    def blocks(self) -> dict[str, list[CaseBlock]]:
        """The cases of every part."""
        first = _VALIDATION_FROM
        return {
            "training": [
                _block(TRAINING, range(self.training)),
                _block(STORMS, range(self.storms)),
                _block(FAINT_STORMS, range(self.faint_storms)),
            ],
            "validation": [_block(TRAINING, range(first, first + self.validation))],
            "calibration": [_block(CALIBRATION, range(self.calibration))],
        }


def _block(ranges: CaseRanges, seeds: range) -> CaseBlock:
    return CaseBlock(ranges, seeds, ranges.stream * _STREAM_OFFSET)


BUNDLED: Final = Plan()
QUICK: Final = Plan(training=300, storms=150, faint_storms=80, validation=120, calibration=250)
"""A small plan for tests and first looks: its model is no good."""
TEST_CASES: Final = range(2400)


def material(plan: Plan, *, workers: int | None = None, progress: bool = False) -> Material:
    """Simulate everything that a model is trained from."""

    def bar(name: str) -> str:
        return name if progress else ""

    blocks = plan.blocks()
    training, validation = (
        joined_examples(list(examples(blocks[name], workers=workers, progress=bar(name))))
        for name in ("training", "validation")
    )
    calibration = seen_spectra(blocks["calibration"], workers=workers, progress=bar("calibration"))
    return Material(training, validation, joined_spectra(list(calibration)))


def sources(plan: Plan, made: Material) -> tuple[DataSource, ...]:
    """What the card says of the data."""
    counts = {
        "training": len(made.training),
        "validation": len(made.validation),
        "calibration": len(made.calibration),
    }
    return tuple(
        DataSource(
            what="windows of simulated station pairs (monitor.science.synthetic)",
            synthetic=True,
            count=counts[name],
            split=name,
            drawn={"cases": [_drawn(block) for block in blocks]},
        )
        for name, blocks in plan.blocks().items()
    )


def tested_source(count: int, cases: range) -> DataSource:
    """The same of the test set."""
    return DataSource(
        what="windows of simulated station pairs, ranges wider than those of training (monitor.science.synthetic)",
        synthetic=True,
        count=count,
        split="test",
        drawn={"cases": [_drawn(CaseBlock(TEST, cases))]},
    )


def _drawn(block: CaseBlock) -> dict[str, Any]:
    name = _NAMES[block.ranges.stream]
    return {"ranges": name, "first_seed": block.seeds.start, "last_seed": block.seeds.stop - 1}
