"""Kafka, for those who have outgrown one broker: messages from its topics, products to them."""

from __future__ import annotations

from .sink import KafkaSink
from .source import KafkaSource

__all__ = ["KafkaSink", "KafkaSource"]
