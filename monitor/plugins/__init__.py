"""Plugins: what they are, how they are found, and how one that misbehaves is kept from the others."""

from __future__ import annotations

from monitor.plugins.base import GROUPS, Feed, Kind, Sink, Source, StoredProduct, Taken
from monitor.types import Options, Surroundings

__all__ = [
    "GROUPS",
    "Feed",
    "Kind",
    "Options",
    "Sink",
    "Source",
    "StoredProduct",
    "Surroundings",
    "Taken",
]
