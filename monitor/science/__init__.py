"""Stateless science: arrays in, arrays out; every function says shapes, units and source."""
