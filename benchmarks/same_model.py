"""Hold the metrics of a model that was trained anew against those of another: within the tolerance that its card states?

Every share, median and percentile of the two cards is compared; the exit code is 1 where one differs by more than allowed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monitor.models.base import read_card

# What tells how good the model is: shares, errors and widths of the test windows. Their bootstrap intervals follow.
_TELLING = ("final", "stage_one", "published", "calibration")


def values(metrics: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, float]]:
    """All figures called `value`, and plain numbers of the calibration, with their places."""
    for name, found in metrics.items():
        where = f"{place}.{name}" if place else name
        if isinstance(found, Mapping):
            if isinstance(found.get("value"), float):
                yield where, found["value"]
            else:
                yield from values(found, where)
        elif isinstance(found, float) and place.startswith("calibration"):
            yield where, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kept", type=Path, help="folder of the model that is bundled")
    parser.add_argument("new", type=Path, help="folder of the one that was trained anew")
    options = parser.parse_args()
    kept, new = read_card(options.kept), read_card(options.new)
    tolerance = min(kept.tolerance.values(), default=0.0)
    before, after = (
        dict(values({name: card.metrics[name] for name in _TELLING if name in card.metrics}))
        for card in (kept, new)
    )
    worst = sorted(
        ((abs(after.get(place, float("nan")) - value), place) for place, value in before.items()),
        reverse=True,
    )
    same = [name for name, digest in kept.files.items() if new.files.get(name) == digest]
    print(f"{len(same)} of {len(kept.files)} files are the same to the last byte")
    print(f"{len(before)} figures compared, tolerance {tolerance:g}; the largest differences:")
    for difference, place in worst[:8]:
        print(f"  {difference:.5f}  {place}")
    far = [place for difference, place in worst if not difference <= tolerance]
    if far or set(before) != set(after):
        print(f"NOT the same: {', '.join(far[:5]) or 'other figures'}")
        return 1
    print("the same within the tolerance")
    return 0


if __name__ == "__main__":
    sys.exit(main())
