"""Fuzz one target by coverage (atheris, libFuzzer): it keeps what reaches further into our code.

python tests/fuzz/guided.py decoder-native --seconds 60        the kept corpus, then broken inputs; exit 1 at a fault
python tests/fuzz/guided.py decoder-native --keep 7b7d         add an input (hex) to the corpus
python tests/fuzz/guided.py decoder-native --seconds 60 --learn   afterwards keep the few small inputs that reach more
python tests/fuzz/guided.py --list
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "unit")]

if TYPE_CHECKING:
    from targets import Target

INSTRUMENTED = [
    "monitor.decoders",
    "monitor.config",
    "monitor.io.files",
    "monitor.io.store.rows",
    "monitor_plugins.column_text",
    "toy_target",
]
LARGEST_BYTES = 4096
KEPT_BYTES = 600
"""The largest input that `--learn` keeps, and how many it keeps of those that are taken in the same way."""
KEPT_EACH = 2


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fuzz one target by coverage.")
    parser.add_argument("target", nargs="?", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="default 60")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default 1")
    parser.add_argument("--keep", metavar="HEX", help="add this input to the corpus, and end")
    parser.add_argument("--learn", action="store_true", help="add what reached further to the corpus")
    parser.add_argument("--list", action="store_true", help="name the targets")
    options = parser.parse_args()
    known = _targets()
    if options.list or options.target not in known:
        print("\n".join(known))
        return 0 if options.list else 1
    target = known[options.target]
    if options.keep is not None:
        print(_keep(target, bytes.fromhex(options.keep)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        grown = Path(folder)
        for content in (*target.seeds, *target.corpus):
            (grown / _name(content)).write_bytes(content)
        code = _fuzz(target, grown, options.seconds, options.seed)
        if options.learn and code == 0:
            _learn(target, grown)
    return code


def _targets() -> dict[str, Target]:
    import atheris

    # What is imported here counts its branches from now on.
    with atheris.instrument_imports(include=INSTRUMENTED):
        from targets import targets

        known = targets()
        try:
            import toy_target
        except ImportError:
            return known
        return {**known, toy_target.TOY.name: toy_target.TOY}


def _fuzz(target: Target, corpus: Path, seconds: int, seed: int) -> int:
    """Let libFuzzer run in a child of its own: it ends the process that it runs in."""
    import os

    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={LARGEST_BYTES}",
        f"-artifact_prefix={tempfile.gettempdir()}/{target.name}-",
        "-rss_limit_mb=2048",
        "-timeout=20",
    ]
    child = os.fork()
    if child == 0:
        import atheris

        atheris.Setup(arguments, _one(target), custom_mutator=_mutate(target, seed))
        atheris.Fuzz()
        os._exit(0)  # pragma: no cover  (Fuzz does not come back)
    _, status = os.waitpid(child, 0)
    return 0 if os.waitstatus_to_exitcode(status) == 0 else 1


def _one(target: Target) -> Callable[[bytes], None]:
    def run(content: bytes) -> None:
        target.run(content)

    return run


def _mutate(target: Target, seed: int) -> Callable[[bytes, int, int], bytes]:
    import atheris
    from mutation import Mutator

    seeds = list(target.seeds)

    def mutate(content: bytes, limit: int, number: int) -> bytes:
        chance = random.Random(seed * 2**32 + number)
        if chance.random() < 0.5:
            changed: bytes = atheris.Mutate(content, limit)
            return changed
        return Mutator([content, content, *seeds], chance).next()[:limit]

    return mutate


def _learn(target: Target, grown: Path) -> None:
    """Keep the smallest of each way in which inputs are taken or refused."""
    kept = Counter(target.run(content) for content in target.corpus)
    for content in sorted((path.read_bytes() for path in grown.iterdir()), key=len):
        outcome = target.run(content)
        if kept[outcome] < KEPT_EACH and len(content) <= KEPT_BYTES and content not in target.seeds:
            kept[outcome] += 1
            print(_keep(target, content))


def _keep(target: Target, content: bytes) -> Path:
    path = FOLDER / "corpus" / target.name / _name(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
