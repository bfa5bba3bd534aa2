"""Generators of synthetic signals of known truth, for demonstration, tests and training."""
