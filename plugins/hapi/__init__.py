"""A source that polls HAPI servers: CDAWeb, the Cluster Science Archive, INTERMAGNET."""

from .source import Hapi

__all__ = ["Hapi"]
