"""Where a source has no sample, out of what is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.io.store import Store
from monitor.io.store.gaps import gaps_between
from monitor.types import SECOND_NS, Domain, SampleBlock

NAN = float("nan")


def block(
    t0_s: int,
    values: list[float],
    *,
    step_s: float = 1.0,
    components: tuple[str, ...] = ("H",),
    source: str = "NUR",
) -> SampleBlock:
    rows = np.tile(np.array(values), (len(components), 1))
    return SampleBlock(source, components, t0_s * SECOND_NS, round(step_s * SECOND_NS), rows)


def in_seconds(gaps: list[tuple[int, int]]) -> list[tuple[float, float]]:
    return [(begin / SECOND_NS, end / SECOND_NS) for begin, end in gaps]


def test_gaps_are_missing_blocks_and_nan_within_them() -> None:
    blocks = [block(20, [1.0, 1.0]), block(0, [1.0, NAN, NAN, 1.0])]
    assert in_seconds(gaps_between(blocks, 0, 30 * SECOND_NS)) == [(1, 3), (4, 20), (22, 30)]


def test_gaps_close_where_a_resend_has_the_number() -> None:
    blocks = [block(0, [1.0, NAN, 1.0]), block(1, [5.0])]
    assert gaps_between(blocks, 0, 3 * SECOND_NS) == []


def test_gaps_begin_and_end_where_was_asked() -> None:
    assert in_seconds(gaps_between([block(0, [1.0] * 10)], -5 * SECOND_NS, 5 * SECOND_NS)) == [(-5, 0)]
    assert in_seconds(gaps_between([], 1 * SECOND_NS, 2 * SECOND_NS)) == [(1, 2)]
    assert gaps_between([block(3, [1.0])], 2 * SECOND_NS, 2 * SECOND_NS) == []


def test_gaps_of_named_components_do_not_count_the_others() -> None:
    field = block(0, [1.0] * 4, components=("Bx", "By", "Bz"))
    plasma = block(2, [1.0], components=("N",))
    assert in_seconds(gaps_between([field, plasma], 0, 4 * SECOND_NS, ("N", "Tpar"))) == [(0, 2), (3, 4)]
    assert gaps_between([field, plasma], 0, 4 * SECOND_NS) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_gaps_of_a_store_are_those_of_its_blocks(tmp_path: Path, reverse: bool) -> None:
    # More rows than a page of the store, in either order of arrival, with those of another source in between.
    blocks = [block(2 * number, [1.0]) for number in range(300)]
    with Store.open(tmp_path / "s.sqlite", retention_ns=1 << 60, product_retention_ns=None) as store:
        for one in reversed(blocks) if reverse else blocks:
            other = SampleBlock("TAR", ("H",), one.t0_ns, SECOND_NS, np.ones((1, 2)), Domain.GROUND)
            store.write_samples([other, one])
        found = store.gaps("NUR", 100 * SECOND_NS, 500 * SECOND_NS)
        assert in_seconds(found) == [(float(at), at + 1.0) for at in range(101, 500, 2)]
        assert store.gaps("TAR", 0, 600 * SECOND_NS) == []
        assert in_seconds(store.gaps("NUR", 0, 10 * SECOND_NS, ["E"])) == [(0, 10)]
        assert in_seconds(store.gaps("XXX", 0, SECOND_NS)) == [(0, 1)]
