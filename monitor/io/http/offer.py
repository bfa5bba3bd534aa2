"""What a run of the daemon offers of its store over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Offer:
    """Where the products are, and how they are given out.

    Attributes
    ----------
    path : Path
        Of the store; whoever asks reads it over a connection of his own.
    cadences_s : mapping
        Time from one product of a subject to the next, by kind; kinds without one are left out.
    server_id : str
    contact : str
    cross_origin : bool
        Whether pages of other sites may read `/hapi`.
    models : mapping
        The folders of the models that are configured, by kind; one may be gone.
    """

    path: Path
    cadences_s: Mapping[str, float]
    server_id: str
    contact: str
    cross_origin: bool = False
    models: Mapping[str, Path] = field(default_factory=dict)
