"""What an exception of a plugin is called in a line."""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import Final

_CHARACTERS: Final = 500


def shown(error: BaseException) -> str:
    """An exception in a line, with where it was raised."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  (an exception whose own text raises)
        text = "with a text that cannot be read"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return said[: _CHARACTERS - len(where)] + where
