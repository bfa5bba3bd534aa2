"""Where labelled windows of one's own come from; nothing named means simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from monitor.jobs.region.own_data import read_own_data
from monitor.types import RegionExamples

Told: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of measurements, and what labels them.

    Attributes
    ----------
    files : tuple of str
        CDF or CSV, as `process` takes them: `FILE` or `ID=FILE`.
    labels : tuple of Path
        SITL reports and interval CSVs.
    """

    files: tuple[str, ...] = ()
    labels: tuple[Path, ...] = ()

    @property
    def synthetic(self) -> bool:
        """Whether there is nothing to read."""
        return not self.files

    @property
    def name(self) -> str:
        """For titles and cards."""
        files = ", ".join(Path(name).name for name in self.files)
        return f"windows of {files}, labelled by {', '.join(path.name for path in self.labels)}"

    def read(self, told: Told) -> RegionExamples:
        """The labelled windows; tells what was used and what was rejected.

        Raises
        ------
        MonitorError
            A file cannot be used, or nothing is left.
        """
        # A CSV does not say whether its sender flies; what is named here does.
        named = [spec.partition("=")[0].partition(".")[0] for spec in self.files if "=" in spec]
        own = read_own_data(self.files, self.labels, named)
        told(own.table())
        return own.examples
