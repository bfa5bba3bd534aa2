"""Which revision of an object is the next: it rises only when the content changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from monitor.types import Json

ANYTHING: Final = "*"
"""Stands for the digest of a published object that cannot be judged: whatever is found of it says the same."""

_VERSION = 1
_FRAME: Final = frozenset(
    {
        *("schema", "id", "pair", "chain", "craft", "time", "effective_time", "window_s"),
        *("revision", "published", "valid_until"),
    }
)


@dataclass(slots=True)
class _Issued:
    """The last revision of one object and what it said; of a published one that is found again, also what it said before."""

    revision: int
    digest: str
    earlier: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Turn:
    """The next revision of an object, and whether its time is the newest of its subject."""

    revision: int
    newest: bool


def digest_of(content: Mapping[str, Json]) -> str:
    """What tells contents apart; the same for what comes back from JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def issued(documents: Sequence[Mapping[str, Json]], aside: Collection[str] = ()) -> list[Json]:
    """What a ledger has of the published revisions of one object, the oldest first, but for the names in `aside`."""
    digests = [
        digest_of({key: value for key, value in one.items() if key not in _FRAME and key not in aside})
        for one in documents
    ]
    return [documents[-1]["revision"], digests[-1], digests[:-1]]


class RevisionLedger:
    """Remembers what was said of every subject and time.

    A ledger can be made from published objects (`issued`), for a run that finds them again. Then each revision that
    is found in its turn says nothing new; nor does what differs from one only in the names that are left aside.

    Parameters
    ----------
    remember_ns : int
        How far back revisions are told apart (as far as late samples can change a product).
    """

    def __init__(self, remember_ns: int) -> None:
        self._remember_ns = remember_ns
        self._issued: dict[str, dict[int, _Issued]] = {}
        self._aside: frozenset[str] = frozenset()
        self._reached: dict[str, int] = {}

    def turn(self, subject: str, time_ns: int, content: Mapping[str, Json]) -> Turn | None:
        """The revision that this content is; None where the same was said last."""
        digest = digest_of(content)
        times = self._issued.setdefault(subject, {})
        before = times.get(time_ns)
        if before is not None and self._is_said(before, digest, content):
            return None
        revision = 0 if before is None else before.revision + 1
        newest = max(times, default=time_ns)
        times[time_ns] = _Issued(revision, digest)
        # Back from what this run has said, and not what was restored: what is built again begins before it.
        reached = self._reached[subject] = max(time_ns, self._reached.get(subject, time_ns))
        for old in [time for time in times if time < reached - self._remember_ns]:
            del times[old]
        return Turn(revision, time_ns >= newest)

    def _is_said(self, before: _Issued, digest: str, content: Mapping[str, Json]) -> bool:
        """Whether the last revision says the same, or a published one that was not passed yet."""
        known = {digest, ANYTHING}
        if self._aside:
            known.add(digest_of({key: value for key, value in content.items() if key not in self._aside}))
        said = [*before.earlier, before.digest]
        for place, one in enumerate(said):
            if one in known:
                before.earlier = said[place:-1]
                return True
        return False

    def snapshot(self) -> Json:
        """The revisions issued so far, as JSON."""
        return {
            "version": _VERSION,
            "issued": {
                subject: {str(time): [one.revision, one.digest] for time, one in times.items()}
                for subject, times in self._issued.items()
            },
        }

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError for another version."""
        if state.get("version") != _VERSION:
            raise ValueError(
                f"product state has version {state.get('version')!r}, this program writes {_VERSION}"
            )
        self._aside = frozenset(state.get("aside", ()))
        self._issued = {
            subject: {
                int(time): _Issued(int(revision), str(digest), [str(one) for one in earlier])
                for time, (revision, digest, *rest) in times.items()
                for earlier in [rest[0] if rest else []]
            }
            for subject, times in state["issued"].items()
        }
