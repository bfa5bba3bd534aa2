"""geospace-monitor: real-time monitoring of near-Earth plasma."""

__version__ = "0.1.0"
