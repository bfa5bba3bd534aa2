"""What a plugin was given since its state was last taken: so that a new process comes to where the last one was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from monitor.errors import PluginError
from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.keeper import Keeper, OffError
from monitor.plugins.cage.process import AskedError, Process
from monitor.types import Json

R = TypeVar("R")

_REQUESTS: Final = 64
_BYTES: Final = 4 << 20
LARGEST_STATE_BYTES: Final = 16 << 20


class Journal:
    """The last state of a plugin, and what it was given since; of bounded size where it is tidied."""

    def __init__(self) -> None:
        self.state: Json = None
        self._requests: list[wire.ToPlugin] = []
        self._bytes = 0

    def add(self, request: wire.ToPlugin, size: int) -> None:
        """Take note of what the plugin was given, and of its size in bytes."""
        self._requests.append(request)
        self._bytes += size

    def loaded(self, state: Json) -> None:
        """Begin anew from a state."""
        self.state = state
        self._requests, self._bytes = [], 0

    def save(self, keeper: Keeper, revive: Callable[[Process], None]) -> None:
        """Ask for the state, where anything was given since the last one; raises as `Keeper.ask`."""
        if self.state is not None and not self._requests:
            return
        answer = keeper.ask(wire.Save(), wire.State, revive)
        if len(answer.state) > LARGEST_STATE_BYTES:
            raise keeper.raised(
                f"a state of {len(answer.state)} bytes; allowed are {LARGEST_STATE_BYTES}: samples are no part of it"
            )
        try:
            state = parcels.unpacked(answer.state)
        except parcels.WireError as error:
            raise keeper.raised(f"a state that is none: {error}") from None
        if not isinstance(state, dict) or "version" not in state:
            raise keeper.raised("a state without a version")
        self.loaded(state)

    def tidy(self, keeper: Keeper, revive: Callable[[Process], None]) -> bool:
        """Begin anew where it is time, from a new state, or from the last one where there is none; whether it was."""
        if len(self._requests) < _REQUESTS and self._bytes < _BYTES:
            return False
        try:
            self.save(keeper, revive)
        except (OffError, PluginError):
            self.loaded(self.state)
        return True

    def replayed(self, process: Process, expected: type[R]) -> Iterator[R]:
        """Bring a new process to where the last one was; what it answers on the way was said before."""
        if self.state is not None:
            process.ask(wire.Load(parcels.packed(self.state)), wire.Done)
        for request in self._requests:
            try:
                yield process.ask(request, expected)
            except AskedError:
                # It raised the first time too.
                continue
