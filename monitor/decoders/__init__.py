"""Decoders: bytes in, sample blocks out, or a DecodeError; never anything else."""
