"""Directions at a boundary between two plasmas: its normal, and what is tangential to it."""

from __future__ import annotations

import math

import numpy as np

from monitor.types import FloatArray


def normal_direction(sheath_nT: FloatArray, sphere_nT: FloatArray, flow_kms: FloatArray) -> FloatArray:
    """The direction (3,) that both fields and the flow of the sheath are most nearly at right angles to.

    It points away from the Earth as far as that can be told: to the side that the flow comes from, else sunward.
    """
    spread = np.zeros((3, 3))
    for vector, weight in ((sphere_nT, 1.0), (sheath_nT, 0.6), (flow_kms, 0.4)):
        unit = vector / max(float(np.linalg.norm(vector)), 1e-9)
        spread += weight * np.outer(unit, unit)
    _, axes = np.linalg.eigh(spread)
    normal: FloatArray = axes[:, 0]
    against = float(normal @ flow_kms)
    outward = normal[0] >= 0.0 if abs(against) < 1.0 else against < 0.0
    return normal if outward else -normal


def common_normal(outside: FloatArray, inside: FloatArray, flow: FloatArray) -> FloatArray:
    """The normal along which two means agree, nearest to `normal_direction`'s: across the change of the field."""
    normal = normal_direction(outside, inside, flow)
    change = inside - outside
    along = change / max(float(np.linalg.norm(change)), 1e-9)
    normal = normal - float(normal @ along) * along
    unit: FloatArray = normal / np.linalg.norm(normal)
    return unit


def tangential(vector: FloatArray, normal: FloatArray, *, keep: bool = False) -> FloatArray:
    """What lies at right angles to the normal, at the vector's own length unless `keep` (then as it is)."""
    across: FloatArray = vector - float(vector @ normal) * normal
    if keep:
        return across
    scale: FloatArray = across * (np.linalg.norm(vector) / max(float(np.linalg.norm(across)), 1e-9))
    return scale


def with_normal(tangential: FloatArray, normal: FloatArray, common_nT: float) -> FloatArray:
    """A tangential vector given a normal component, at the same length."""
    length = float(np.linalg.norm(tangential))
    rest = math.sqrt(max(0.0, length**2 - common_nT**2)) / max(length, 1e-9)
    vector: FloatArray = rest * tangential + common_nT * normal
    return vector


def angle_about(normal: FloatArray, first: FloatArray, second: FloatArray) -> float:
    """Angle (rad, −π to π) that turns one tangential vector into another about the normal."""
    return math.atan2(float(normal @ np.cross(first, second)), float(first @ second))
