"""Simulated spacecraft: plasma of the ten regions, the boundaries between them, and runs that pass through them."""
