"""Plugins: what they are, how they are found, and how one that misbehaves is kept from the others."""

from __future__ import annotations

from monitor.plugins.base import GROUPS, Feed, Sink, Source, StoredProduct, Taken
from monitor.plugins.found import Found, Home
from monitor.plugins.models import PluggedModels, plugged_models
from monitor.plugins.registry import Registry, installed, unusable_plugins
from monitor.plugins.stages import added_stages, unusable_stages
from monitor.plugins.surroundings import surroundings_of
from monitor.types import Kind, Options, Standing, Surroundings

__all__ = [
    "GROUPS",
    "Feed",
    "Found",
    "Home",
    "Kind",
    "Options",
    "PluggedModels",
    "Registry",
    "Sink",
    "Source",
    "Standing",
    "StoredProduct",
    "Surroundings",
    "Taken",
    "added_stages",
    "installed",
    "plugged_models",
    "surroundings_of",
    "unusable_plugins",
    "unusable_stages",
]
