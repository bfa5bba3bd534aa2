"""Labels, densities and regions as points of InfluxDB."""

from __future__ import annotations

from .sink import Influx

__all__ = ["Influx"]
