"""The values that travel between the monitor and the process of a plugin, and the forms that they travel in.

Arrays are their bytes (float64, little-endian), free-form values are JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from monitor.plugins.base import StoredProduct
from monitor.types import Domain, Json, Message, Product, SampleBlock

_VALUE_TYPE: Final = np.dtype("<f8")


class WireError(Exception):
    """What came is none of what may come."""


class Frame(msgspec.Struct, tag=True):
    """Base of all that is sent; the tag is the name of the class."""


class Block(Frame):
    """A `SampleBlock`."""

    source: str
    components: tuple[str, ...]
    t0_ns: int
    step_ns: int
    count: int
    values: bytes
    domain: str
    level: int
    sensor: str | None
    frame: str | None

    @classmethod
    def of(cls, block: SampleBlock) -> Block:
        return cls(
            block.source,
            block.components,
            block.t0_ns,
            block.step_ns,
            block.count,
            np.ascontiguousarray(block.values, dtype=_VALUE_TYPE).tobytes(),
            str(block.domain),
            block.level,
            block.sensor,
            block.frame,
        )

    def taken(self) -> SampleBlock:
        """The block; WireError where its parts do not fit together."""
        rows = len(self.components)
        if self.count < 0 or rows * self.count * _VALUE_TYPE.itemsize != len(self.values):
            raise WireError(f"{len(self.values)} bytes are no {rows} rows of {self.count} values")
        try:
            domain = Domain(self.domain)
        except ValueError:
            raise WireError(f"no domain is called {self.domain!r:.40}") from None
        values = np.frombuffer(self.values, _VALUE_TYPE).astype(np.float64).reshape(rows, self.count)
        return SampleBlock(
            self.source,
            self.components,
            self.t0_ns,
            self.step_ns,
            values,
            domain,
            self.level,
            self.sensor,
            self.frame,
        )


class Letter(Frame):
    """A `Message`."""

    topic: str
    payload: bytes
    received_ns: int

    @classmethod
    def of(cls, message: Message) -> Letter:
        return cls(message.topic, message.payload, message.received_ns)

    def taken(self) -> Message:
        return Message(self.topic, self.payload, self.received_ns)


class Thing(Frame):
    """A `Product`."""

    kind: str
    subject: str
    time_ns: int
    revision: int
    retained: bool
    body: bytes
    valid_until_ns: int | None
    verbatim: bool

    @classmethod
    def of(cls, product: Product) -> Thing:
        return cls(
            product.kind,
            product.subject,
            product.time_ns,
            product.revision,
            product.retained,
            packed(product.body),
            product.valid_until_ns,
            product.verbatim,
        )

    def taken(self) -> Product:
        """The product; WireError where its body is no JSON object."""
        body = unpacked(self.body)
        if not isinstance(body, dict):
            raise WireError(f"the body of a product is {type(body).__name__}")
        return Product(
            self.kind,
            self.subject,
            self.time_ns,
            self.revision,
            self.retained,
            body,
            self.valid_until_ns,
            self.verbatim,
        )


class Row(Frame):
    """A `StoredProduct`."""

    row: int
    kind: str
    subject: str
    topic: str
    time_ns: int
    revision: int
    retained: bool
    payload: bytes

    @classmethod
    def of(cls, product: StoredProduct) -> Row:
        return cls(*(getattr(product, name) for name in cls.__struct_fields__))

    def taken(self) -> StoredProduct:
        return StoredProduct(*(getattr(self, name) for name in self.__struct_fields__))


def packed(value: Json) -> bytes:
    """JSON text; ValueError or TypeError for what is none (NaN too)."""
    return json.dumps(value, allow_nan=False, default=_plain).encode()


def unpacked(text: bytes) -> Json:
    """What JSON text says; WireError for what is none."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{text[:40]!r} is no JSON: {error}") from None


def _no_number(text: str) -> Json:
    raise ValueError(f"{text} is no number of JSON")


def _plain(value: object) -> Json:
    # Bodies of products and options may be read-only mappings.
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
