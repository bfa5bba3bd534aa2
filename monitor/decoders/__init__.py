"""Decoders: bytes in, sample blocks out, or a DecodeError; never anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from monitor.decoders.base import Decoder
from monitor.decoders.imagmqtt import imagmqtt_decoder
from monitor.decoders.native import native_decoder

DECODERS: Final[Mapping[str, Callable[[Mapping[str, object]], Decoder]]] = MappingProxyType(
    {"imagmqtt": imagmqtt_decoder, "native": native_decoder}
)
"""By the name in the configuration: what makes the decoder from its (validated) options.

Each takes `maximum_payload_bytes` too, and raises ValueError for an option that it cannot use.
"""

__all__ = ["DECODERS", "Decoder"]
