"""Which revision of an object is the next: it rises only when the content changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.types import Json

_VERSION = 1


@dataclass(slots=True)
class _Issued:
    """The last revision of one object and what it said."""

    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class Turn:
    """The next revision of an object, and whether its time is the newest of its subject."""

    revision: int
    newest: bool


def digest_of(content: Mapping[str, Json]) -> str:
    """What tells contents apart; the same for what comes back from JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


class RevisionLedger:
    """Remembers what was said of every subject and time.

    Parameters
    ----------
    remember_ns : int
        How far back revisions are told apart (as far as late samples can change a product).
    """

    def __init__(self, remember_ns: int) -> None:
        self._remember_ns = remember_ns
        self._issued: dict[str, dict[int, _Issued]] = {}

    def turn(self, subject: str, time_ns: int, content: Mapping[str, Json]) -> Turn | None:
        """The revision that this content is; None where the same was said last."""
        digest = digest_of(content)
        times = self._issued.setdefault(subject, {})
        before = times.get(time_ns)
        if before is not None and before.digest == digest:
            return None
        revision = 0 if before is None else before.revision + 1
        newest = max(times, default=time_ns)
        times[time_ns] = _Issued(revision, digest)
        for old in [time for time in times if time < max(newest, time_ns) - self._remember_ns]:
            del times[old]
        return Turn(revision, time_ns >= newest)

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return {
            "version": _VERSION,
            "issued": {
                subject: {str(time): [issued.revision, issued.digest] for time, issued in times.items()}
                for subject, times in self._issued.items()
            },
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"product state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        self._issued = {
            subject: {
                int(time): _Issued(int(revision), str(digest)) for time, (revision, digest) in times.items()
            }
            for subject, times in state["issued"].items()
        }
