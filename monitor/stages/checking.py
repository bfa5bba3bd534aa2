"""What a stage gives, held against what a stage may give: it may come from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from monitor.types import Product

RESERVED_KINDS: Final = frozenset(
    {"flr", "spectrum", "profile", "plasmapause", "region", "event", "health", "status", "in"}
)
"""First levels below the output root that are the monitor's own."""

LARGEST_BODY_BYTES: Final = 1024 * 1024
_EARLIEST_NS: Final = 0
_LATEST_NS: Final = 1 << 62
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Levels of a topic: no wildcards, no control characters, none empty.
_SUBJECT = re.compile(r"[^\s+#/\x00-\x1f\x7f]+(?:/[^\s+#/\x00-\x1f\x7f]+)*")
_LONGEST_SUBJECT: Final = 200


def faulty_kinds(kinds: object) -> str | None:
    """What is wrong with the kinds that a stage says its products have; None where nothing is."""
    if not isinstance(kinds, Collection) or isinstance(kinds, str) or not kinds:
        return f"its kinds are {kinds!r:.80}: name at least one, in a frozenset"
    for kind in sorted(kinds, key=repr):
        if not isinstance(kind, str) or not _KIND.fullmatch(kind):
            return f"its kind {kind!r:.60} is no level of a topic: write small letters, digits and _"
        if kind in RESERVED_KINDS:
            return f"its kind {kind!r} is the monitor's own: choose another"
    return None


def checked_products(found: object, kinds: Collection[str]) -> list[Product]:
    """What a stage gave, where all of it is what a stage with these kinds may give.

    Raises TypeError or ValueError, which name the part that is wrong.
    """
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise TypeError(f"expected a sequence of products, found {type(found).__name__}")
    products = list(found)
    for product in products:
        if not isinstance(product, Product):
            raise TypeError(f"expected a Product, found {type(product).__name__}")
        _check_head(product, kinds)
        _check_body(product)
    return products


def _check_head(product: Product, kinds: Collection[str]) -> None:
    subject, valid = product.subject, product.valid_until_ns
    right = {
        "kind": isinstance(product.kind, str) and product.kind in kinds,
        "subject": isinstance(subject, str)
        and len(subject) <= _LONGEST_SUBJECT
        and _SUBJECT.fullmatch(subject) is not None,
        "time_ns": type(product.time_ns) is int and _EARLIEST_NS <= product.time_ns <= _LATEST_NS,
        "revision": type(product.revision) is int and 0 <= product.revision < _LATEST_NS,
        "retained": isinstance(product.retained, bool),
        "verbatim": isinstance(product.verbatim, bool),
        "body": isinstance(product.body, Mapping),
        "valid_until_ns": valid is None or (type(valid) is int and _EARLIEST_NS <= valid <= _LATEST_NS),
    }
    wrong = [name for name, holds in right.items() if not holds]
    if wrong:
        shown = ", ".join(f"{name} {getattr(product, name)!r:.60}" for name in wrong)
        raise ValueError(f"a product with {shown}; its kinds are {', '.join(sorted(kinds))}")


def _check_body(product: Product) -> None:
    try:
        text = json.dumps(product.body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the body of {product.topic} is no JSON: {error}") from None
    if len(text) > LARGEST_BODY_BYTES:
        raise ValueError(
            f"the body of {product.topic} has {len(text)} bytes; allowed are {LARGEST_BODY_BYTES}"
        )
