"""Where labelled windows of one's own come from; nothing named means simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from monitor.errors import MonitorError
from monitor.types import RegionExamples

Told: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of measurements, and what labels them.

    Attributes
    ----------
    files : tuple of str
        CDF or CSV, as `process` takes them: `FILE` or `ID=FILE`.
    sitl, intervals : tuple of Path
        SITL reports, and interval CSVs.
    """

    files: tuple[str, ...] = ()
    sitl: tuple[Path, ...] = ()
    intervals: tuple[Path, ...] = ()

    @property
    def synthetic(self) -> bool:
        """Whether there is nothing to read."""
        return not self.files

    @property
    def name(self) -> str:
        """For titles and cards."""
        labels = [path.name for path in (*self.sitl, *self.intervals)]
        return (
            f"windows of {', '.join(Path(name).name for name in self.files)}, labelled by {', '.join(labels)}"
        )
