"""An archive of products in Parquet."""

from __future__ import annotations

from .sink import Parquet

__all__ = ["Parquet"]
