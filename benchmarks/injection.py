"""How much of the injected signals a healthy pipeline recovers: a shadow pair for days, and a shadow spacecraft.

    python benchmarks/injection.py [--quick] [--no-check]

Both are simulated. The pipeline is the daemon's own with the bundled models, and, for windows that these do not know, with
the physical estimate alone. Exits with 1 where the models recover less than the alert asks for (0.8).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tqdm import tqdm

from monitor.config import parse_config, with_shadows
from monitor.pipeline import Pipeline
from monitor.science.synthetic.craft.shadow import ShadowCraft
from monitor.science.synthetic.shadow_pair import ShadowPair
from monitor.types import SECOND_NS, Product, Shadow

HOUR_NS = 3600 * SECOND_NS
BEGIN_NS = 1_763_683_200 * SECOND_NS // (48 * HOUR_NS) * 48 * HOUR_NS
PIECE_NS = HOUR_NS // 6
ASKED = 0.8


def played(shadow: Shadow, settings: str, hours: int) -> list[Product]:
    """What the pipeline makes of some hours of a shadow."""
    pipeline = Pipeline(with_shadows(parse_config(settings, "benchmark")))
    products: list[Product] = []
    pieces = range(BEGIN_NS, BEGIN_NS + hours * HOUR_NS, PIECE_NS)
    for begin in tqdm(pieces, desc=shadow.subject, unit="10 min", disable=not sys.stderr.isatty()):
        for block in shadow.blocks(begin, begin + PIECE_NS):
            pipeline.admit(block)
            products += pipeline.feed([block])
    return products + pipeline.flush()


def judged(shadow: Shadow, products: Sequence[Product], length_ns: int) -> tuple[int, int]:
    """Windows that are recovered, and windows that are judged: by the newest product of each."""
    newest = {product.time_ns: product for product in products if product.kind == shadow.kind}
    verdicts = []
    for end_ns, product in newest.items():
        truth = shadow.truth(end_ns, length_ns) if end_ns - length_ns >= BEGIN_NS else None
        if truth is not None:
            frequency_mHz = product.body.get("frequency_mHz")
            frequency_Hz = None if frequency_mHz is None else 1e-3 * frequency_mHz
            verdicts.append(truth.is_recovered(product.body["label"], frequency_Hz))
    return sum(verdicts), len(verdicts)


def main() -> int:
    """Print a line a shadow and length of window."""
    parser = argparse.ArgumentParser(description="How much of the injected signals is recovered.")
    parser.add_argument(
        "--quick", action="store_true", help="a day of the pair, three hours of the spacecraft"
    )
    parser.add_argument("--no-check", action="store_true", help="only print")
    options = parser.parse_args()
    days = 1 if options.quick else 20
    craft_hours = 3 if options.quick else 240
    pair = "pairs: [TAR-BRZ]\ninjection: {pair: true}\n"
    runs: list[tuple[str, Shadow, str, int, int]] = [
        ("pair, windows of 2 h", ShadowPair(), pair, 24 * days, 7200),
        *(
            (
                f"pair, windows of {length_s // 60} min, physical estimate alone",
                ShadowPair(),
                f"{pair}windows: {{length_s: {length_s}, cadence_s: {length_s // 4}}}\n",
                24 * max(1, days // 4),
                length_s,
            )
            for length_s in (3600, 1800)
        ),
        ("spacecraft", ShadowCraft(), "craft: [MMS1]\ninjection: {craft: true}\n", craft_hours, 180),
    ]
    met = True
    for name, shadow, settings, hours, length_s in runs:
        right, count = judged(shadow, played(shadow, settings, hours), length_s * SECOND_NS)
        print(f"{name:52s} {right:5d} of {count:5d} in {hours / 24:5.1f} days   {right / count:.3f}")
        met &= right / count >= ASKED or "alone" in name
    print(f"{'met' if met else 'NOT MET'}: the models recover at least {ASKED:g} of each")
    return 0 if met or options.no_check else 1


if __name__ == "__main__":
    sys.exit(main())
