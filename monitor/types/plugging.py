"""What is handed to a plugin when it is made (its options, and where it finds itself), and how it stands afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Kind: TypeAlias = Literal["source", "decoder", "stage", "model", "sink"]
"""What a plugin may be."""

State: TypeAlias = Literal["running", "waiting", "failed", "off"]
"""How a plugin stands: at work, not begun yet, to be begun again after a while, or not before the next reload."""

DEFAULT_PAYLOAD_BYTES = 4 * 1024 * 1024


class Options(BaseModel):
    """Base of the options of every plugin: frozen, no unknown keys, no conversions that hide a mistake, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a plugin may know of the monitor that it works in.

    Attributes
    ----------
    name : str
        What it is called in the configuration, in metrics and in the log.
    folder : Path or None
        A folder of its own that outlives it, made on demand by whoever writes there; None where nothing is kept.
    stations, craft : tuple of str
        What is monitored: codes of stations, ids of spacecraft.
    lateness_s, craft_lateness_s : float
        How long windows wait for the last samples.
    revise_s, craft_revise_s : float
        How far back, counted from a source's own clock, samples can still change a product.
    root : str
        Topic root of the output.
    maximum_payload_bytes : int
        Larger messages are refused.
    """

    name: str
    folder: Path | None = None
    stations: tuple[str, ...] = ()
    craft: tuple[str, ...] = ()
    lateness_s: float = 120.0
    craft_lateness_s: float = 60.0
    revise_s: float = 86_400.0
    craft_revise_s: float = 3600.0
    root: str = "geospace/v1"
    maximum_payload_bytes: int = DEFAULT_PAYLOAD_BYTES


@dataclass(frozen=True, slots=True)
class Standing:
    """How a plugin stands.

    Attributes
    ----------
    state : State
    reason : str or None
        Why it is not at work, in a line for the operator.
    since_ns : int
        Since when (time of day, ns UTC).
    restarts : int
        How often it was begun again in this run.
    """

    state: State
    reason: str | None
    since_ns: int
    restarts: int = 0
