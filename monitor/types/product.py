"""One object for the outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.types.samples import Json, iso_time


@dataclass(frozen=True, slots=True)
class Product:
    """One object for the outside: what is published, stored and shown.

    `body` is complete but for the moment of publishing, which whoever sends it adds once (`encode`).
    """

    kind: str
    subject: str
    time_ns: int
    revision: int
    retained: bool
    body: Mapping[str, Json]
    valid_until_ns: int | None = None
    verbatim: bool = False
    """Whether the body goes out as it is: its form is another's, who knows no moment of publishing."""

    @property
    def topic(self) -> str:
        """Topic below the output root."""
        return f"{self.kind}/{self.subject}" if self.subject else self.kind

    def encode(self, published_ns: int) -> bytes:
        """The JSON bytes that go out: `body` with `published` and, where the product has one, `valid_until`.

        An event is a notification in the form of the WMO: there the moment is `properties.pubtime`. A `verbatim`
        body goes out as it is.
        """
        document = dict(self.body)
        if self.verbatim:
            return _dump(document)
        published = iso_time(published_ns // 1_000_000 * 1_000_000)
        if self.kind == "event" and document:
            document["properties"] = {"pubtime": published, **document["properties"]}
        else:
            document["published"] = published
        if self.valid_until_ns is not None:
            document["valid_until"] = iso_time(self.valid_until_ns)
        return _dump(document)


def _dump(document: Mapping[str, Json]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
