"""A target with a fault behind three steps, which only a fuzzer that follows coverage finds: a test of the harness."""

from __future__ import annotations

from targets import Target


def fail_at_the_word(content: bytes) -> str:
    """Fails at `FLR`, and gives no hint but the branches it takes."""
    if content[:1] == b"F":
        if content[1:2] == b"L":
            if content[2:3] == b"R":
                raise AssertionError("the planted fault")
            return "two"
        return "one"
    return "none"


TOY = Target("toy", fail_at_the_word, (b"aaaa",))
