"""Decoders: bytes in, sample blocks out, or a DecodeError; never anything else."""

from __future__ import annotations

from monitor.decoders.base import Decoder

__all__ = ["Decoder"]
