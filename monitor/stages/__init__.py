"""Stages: pure, stateful steps from samples to products; they know no clock and do no I/O."""
