"""A decoder that lives in a process of its own: what stands for it here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from monitor.decoders.base import REASONS, checked
from monitor.errors import DecodeError, PluginError
from monitor.plugins.cage import parcels, wire
from monitor.plugins.cage.journal import Journal
from monitor.plugins.cage.keeper import Keeper, OffError
from monitor.plugins.cage.process import Process
from monitor.types import Json, Message, SampleBlock, Standing

_OTHER: Final = "refused"
_REASON = re.compile(r"[a-z][a-z0-9_]{1,39}")
_OWN_REASONS: Final = 30


class CagedDecoder:
    """Decodes over there. The message over which the process is lost is refused; the next one waits for a new process.

    Parameters
    ----------
    keeper : Keeper
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._reasons = set(REASONS)
        self.name = keeper.found.name

    @property
    def standing(self) -> Standing:
        """How it stands."""
        return self._keeper.standing

    def decode(self, message: Message) -> Sequence[SampleBlock]:
        """The blocks of a message, held to what blocks are; DecodeError where there are none."""
        try:
            answer = self._answered(wire.Decode(parcels.Letter.of(message)))
        except OffError as error:
            raise DecodeError("decoder_off", str(error)) from None
        except PluginError as error:
            raise DecodeError("decoder_failed", str(error)) from None
        if answer.refused is not None:
            reason, detail = answer.refused
            raise DecodeError(self._reason(reason), detail)
        try:
            return checked([block.taken() for block in answer.blocks], message)
        except (parcels.WireError, TypeError) as error:
            raise DecodeError(
                "decoder_failed", str(self._keeper.raised(f"what is no block: {error}"))
            ) from None

    def end(self) -> None:
        """End its process."""
        self._keeper.end()

    def _answered(self, request: wire.Decode) -> wire.Decoded:
        return self._keeper.ask(request, wire.Decoded)

    def _reason(self, reason: str) -> str:
        """The reason as the label of a counter: a plugin that writes what it found there must not fill the metrics."""
        if reason in self._reasons:
            return reason
        if len(self._reasons) >= len(REASONS) + _OWN_REASONS or not _REASON.fullmatch(reason):
            return _OTHER
        self._reasons.add(reason)
        return reason


class CagedFileDecoder(CagedDecoder):
    """One that reads files too."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so is of this format; not where it cannot say."""
        try:
            return self._keeper.ask(wire.Recognise(head), wire.Known).known
        except (OffError, PluginError):
            return False


class CagedRememberingDecoder(CagedDecoder):
    """One that remembers: a new process is brought to where the last one was."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(keeper)
        self._journal = Journal()
        self._changes = 0
        self._told = keeper.ready.changes

    @property
    def changes(self) -> int:
        """Another number after each message that changed what is remembered."""
        return self._changes

    def snapshot(self) -> Json:
        """What is remembered, or was when it last could say; PluginError where it never could."""
        try:
            self._journal.save(self._keeper, self._revive)
        except (OffError, PluginError) as error:
            if self._journal.state is None:
                raise self._keeper.found.error(f"there is no state of it to store ({error})") from None
        return self._journal.state

    def restore(self, state: Json) -> None:
        """Take up what `snapshot` gave; ValueError where it cannot be read."""
        try:
            self._keeper.ask(wire.Load(parcels.packed(state)), wire.Done, self._revive)
        except (OffError, PluginError) as error:
            raise ValueError(str(error)) from None
        self._journal.loaded(state)

    def _answered(self, request: wire.Decode) -> wire.Decoded:
        answer = self._keeper.ask(request, wire.Decoded, self._revive)
        if answer.changes != self._told:
            # A new process counts from its own start; here the number only rises.
            self._told = answer.changes
            self._changes += 1
            self._journal.add(request, len(request.letter.payload))
            self._journal.tidy(self._keeper, self._revive)
        return answer

    def _revive(self, process: Process) -> None:
        self._told = self._keeper.ready.changes
        for answer in self._journal.replayed(process, wire.Decoded):
            self._told = answer.changes


class CagedRememberingFileDecoder(CagedRememberingDecoder, CagedFileDecoder):
    """One that remembers, and reads files too."""


def caged_decoder(keeper: Keeper) -> CagedDecoder:
    """What stands for a decoder, with the methods that it has."""
    ready = keeper.ready
    if ready.remembers:
        return (CagedRememberingFileDecoder if ready.reads_files else CagedRememberingDecoder)(keeper)
    return (CagedFileDecoder if ready.reads_files else CagedDecoder)(keeper)
