"""The states of the stages as they are stored: which of them changed, and whether they are still what was stored.

One transaction stores products, the states that made them and the cursor: how far the pipeline has come in the stored
samples, the windows that the states are about, and a digest of each state. Read back, all of them have to fit
together. Otherwise none is used: they tell of one moment, and a stage of another one would say what no run says.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from monitor.config import Config
from monitor.types import Json

logger = logging.getLogger(__name__)

CURSOR = "cursor"
_VERSION = 2
_KEPT_FILES = 3


class Checkpoints:
    """Writes the states of one run, and reads those of the last one.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self._settings = _settings(config)
        # The states as they were last committed. A stage gives the same object while nothing changed.
        self._states: dict[str, Json] = {}
        self._digests: dict[str, str] = {}
        self._written: tuple[dict[str, Json], dict[str, str]] = ({}, {})

    def write(self, states: Mapping[str, Json], row: int) -> dict[str, str]:
        """The texts to store: the states that changed since `committed`, and the cursor at a row."""
        texts = {
            stage: _text(state) for stage, state in states.items() if state is not self._states.get(stage)
        }
        digests = self._digests | {stage: digest_of(text) for stage, text in texts.items()}
        self._written = (dict(states), digests)
        cursor = {"version": _VERSION, "row": row, **self._settings, "digests": digests}
        return {**texts, CURSOR: _text(sealed(cursor))}

    def committed(self) -> None:
        """Take note that what was written last is stored."""
        self._states, self._digests = self._written

    def read(self, stored: Mapping[str, str]) -> tuple[dict[str, Json], int]:
        """The states and the row of what `write` gave.

        Raises
        ------
        ValueError, TypeError, AttributeError, LookupError
            They are not what was stored, or of another version, or of windows that are configured otherwise.
        """
        cursor = json.loads(stored[CURSOR])
        if cursor.get("version") != _VERSION:
            raise ValueError(
                f"the checkpoint has version {cursor.get('version')!r}, this program writes {_VERSION}"
            )
        if sealed(cursor) != cursor:
            raise ValueError("the cursor is not what was stored")
        for name, setting in self._settings.items():
            if cursor.get(name) != setting:
                raise ValueError(f"the {name} were configured otherwise")
        for stage, digest in cursor["digests"].items():
            if digest_of(stored.get(stage, "")) != digest:
                raise ValueError(f"the state of {stage} is not what was stored")
        # A stage that is switched off keeps its last state.
        self._digests = dict(cursor["digests"])
        return {stage: json.loads(stored[stage]) for stage in self._digests}, int(cursor["row"])


def sealed(cursor: Mapping[str, Json]) -> dict[str, Json]:
    """A cursor with the digest of all else in it."""
    content = {name: value for name, value in cursor.items() if name != "seal"}
    return content | {"seal": digest_of(json.dumps(content, sort_keys=True))}


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def set_aside(store: Path, stored: Mapping[str, str]) -> Path | None:
    """Keep states that cannot be used beside the store, for whoever wants to know why; of several the newest few.

    Returns
    -------
    Path or None
        The file. None where it cannot be written: a full disk must not keep the daemon from its start.
    """
    content = json.dumps(stored, indent=1, sort_keys=True)
    path = store.with_name(f"{store.name}.states-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.json")
    try:
        kept = _kept(store)
        if kept and kept[-1].read_text() == content:
            # The start before this one did not come to its end.
            return kept[-1]
        path.write_text(content)
        for old in kept[: 1 - _KEPT_FILES]:
            old.unlink()
    except OSError as error:
        logger.warning("%s: cannot be written (%s)", path, error.strerror)
        path.unlink(missing_ok=True)
        return None
    return path


def _kept(store: Path) -> list[Path]:
    """The files of states beside a store, the newest last."""
    head = f"{store.name}.states-"
    return sorted(
        path for path in store.parent.iterdir() if path.name.startswith(head) and path.suffix == ".json"
    )


def _settings(config: Config) -> dict[str, Json]:
    """What the states are about: they are of no use to windows of another kind."""
    ground = {"windows": config.windows.model_dump(mode="json")}
    if not config.craft:
        return ground
    return ground | {"craft_windows": config.craft_windows.model_dump(mode="json")}


def _text(state: Json) -> str:
    return json.dumps(state, separators=(",", ":"))
