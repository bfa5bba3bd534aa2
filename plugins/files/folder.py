"""A folder as it is looked at from time to time: which of its files have come, have changed, and rest."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.types import SECOND_NS, Json

MOST_REMEMBERED: Final = 3000
"""Files that are remembered each by itself; all that changed before them counts as read."""

_UNFINISHED: Final = ("~", ".tmp", ".part", ".partial", ".swp", ".filepart")


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a file: size, and when it changed last (ns since 1970), its name and its rights included.

    The time of change cannot be set as that of modification can: a file that is copied with its old times is new.
    """

    size: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Read:
    """A file as it was read last.

    Attributes
    ----------
    version : Version
    digest : str
        Of its content.
    spans : mapping of str to (int, int)
        Begin and end (ns UTC) of what it has of each source; empty where it could not be read.
    """

    version: Version
    digest: str
    spans: Mapping[str, tuple[int, int]]


def look(folder: Path, pattern: str) -> dict[str, Version]:
    """The files of a folder and of those in it, by their relative names. Raises OSError where it cannot be read."""
    found: dict[str, Version] = {}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
                    continue
                try:
                    status = entry.stat()
                except OSError:  # it went away meanwhile, or is a link to nowhere
                    continue
                if stat.S_ISDIR(status.st_mode) and not entry.is_symlink():
                    waiting.append(Path(entry.path))
                elif stat.S_ISREG(status.st_mode) and fnmatch.fnmatch(entry.name, pattern):
                    name = str(Path(entry.path).relative_to(folder))
                    found[name] = Version(status.st_size, status.st_ctime_ns)
    return found


class Memory:
    """Which files were read, over restarts, and in bounded space."""

    def __init__(self) -> None:
        self._read: dict[str, Read] = {}
        self._settled_ns = 0

    @property
    def read(self) -> Mapping[str, Read]:
        """The files that are remembered each by itself."""
        return self._read

    def is_new(self, name: str, version: Version) -> bool:
        """Whether a file has not been read as it is now."""
        known = self._read.get(name)
        if known is None:
            return version.changed_ns > self._settled_ns
        return known.version != version

    def note(self, name: str, read: Read) -> None:
        """A file has been read."""
        self._read[name] = read
        while len(self._read) > MOST_REMEMBERED:
            oldest = min(self._read, key=lambda one: self._read[one].version.changed_ns)
            self._settled_ns = max(self._settled_ns, self._read.pop(oldest).version.changed_ns)

    def keep(self, present: Mapping[str, Version]) -> None:
        """Forget the files that are gone."""
        self._read = {name: read for name, read in self._read.items() if name in present}

    def snapshot(self) -> Json:
        """What is remembered, as JSON."""
        files = {
            name: [read.version.size, read.version.changed_ns, read.digest, read.spans]
            for name, read in self._read.items()
        }
        return {"settled_ns": self._settled_ns, "files": files}

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; where it cannot be read, all files are new."""
        try:
            self._settled_ns = int(state["settled_ns"])
            self._read = {
                str(name): Read(
                    Version(int(size), int(changed_ns)),
                    str(digest),
                    {str(source): (int(begin), int(end)) for source, (begin, end) in spans.items()},
                )
                for name, (size, changed_ns, digest, spans) in state["files"].items()
            }
        except (TypeError, ValueError, KeyError, AttributeError):
            self._read, self._settled_ns = {}, 0


def resting(
    now: Mapping[str, Version], before: Mapping[str, Version], time_ns: int, rest_s: float
) -> set[str]:
    """Files that were the same at the last look, and have not changed for a while: nobody writes to them."""
    rest_ns = round(rest_s * SECOND_NS)
    return {
        name
        for name, version in now.items()
        if before.get(name) == version
        and (time_ns - version.changed_ns >= rest_ns or version.changed_ns > time_ns)
    }
