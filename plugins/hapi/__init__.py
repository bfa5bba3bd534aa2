"""A source that polls HAPI servers: CDAWeb, the Cluster Science Archive, INTERMAGNET, another monitor."""

from .source import Hapi

__all__ = ["Hapi"]
