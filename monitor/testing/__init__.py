"""Conformance checks for plugins, and for the monitor's own parts: each raises AssertionError with what to mend.

They need no broker, no daemon and no test framework: call them from any test of yours, the last two with `await`.
"""

from __future__ import annotations

from monitor.testing.decoders import check_decoder
from monitor.testing.feeds import RecordingFeed
from monitor.testing.models import check_model
from monitor.testing.sinks import check_sink, stored_products
from monitor.testing.sources import check_source
from monitor.testing.stages import check_stage

__all__ = [
    "RecordingFeed",
    "check_decoder",
    "check_model",
    "check_sink",
    "check_source",
    "check_stage",
    "stored_products",
]
