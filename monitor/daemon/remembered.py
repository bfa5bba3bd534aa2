"""What decoders remember of earlier messages: stored with the samples, and taken up at the next start.

A message is acknowledged once it is stored, as samples or as part of such a memory. It goes into the table of the
states, under names that no stage has: no checkpoint counts them, and they are good without one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping

from monitor.decoders import Decoder
from monitor.decoders.base import Remembering
from monitor.io.store import DECODER_STATE

logger = logging.getLogger(__name__)


class DecoderMemory:
    """The memories of those decoders that have one.

    Parameters
    ----------
    decoders : iterable of (str, Decoder)
        By the topic of their input, which no two inputs share.
    """

    def __init__(self, decoders: Iterable[tuple[str, Decoder]]) -> None:
        self._remembering: dict[str, Remembering] = {
            f"{DECODER_STATE}{decoder.name}:{topic}": decoder
            for topic, decoder in decoders
            if isinstance(decoder, Remembering)
        }
        self._stored = {name: decoder.changes for name, decoder in self._remembering.items()}
        self._written: dict[str, int] = {}
        self._failing: set[str] = set()

    def restore(self, states: Mapping[str, str]) -> None:
        """Take up what an earlier run stored; what cannot be read is told, and that decoder begins anew."""
        for name, decoder in self._remembering.items():
            if name not in states:
                continue
            try:
                decoder.restore(json.loads(states[name]))
            except Exception as error:  # noqa: BLE001  (whatever a state can make a decoder raise)
                logger.warning(
                    "what %s remembered of an earlier run cannot be read (%s); it begins anew",
                    name.removeprefix(DECODER_STATE),
                    error if isinstance(error, ValueError) else repr(error),
                )
            self._stored[name] = decoder.changes

    def changed(self) -> dict[str, str]:
        """What is to be stored now, by name; empty where nothing changed since `stored`.

        A decoder that cannot say what it remembers keeps nobody from storing samples: that is told, and asked again.
        """
        self._written, texts = {}, {}
        for name, decoder in self._remembering.items():
            try:
                changes = decoder.changes
                if changes == self._stored[name]:
                    continue
                texts[name] = json.dumps(decoder.snapshot(), separators=(",", ":"), allow_nan=False)
            except Exception as error:  # noqa: BLE001  (whatever a decoder can raise)
                self._complain(name, error)
            else:
                self._written[name] = changes
                self._failing.discard(name)
        return texts

    def _complain(self, name: str, error: Exception) -> None:
        """Say once that a memory is not stored, until it is again."""
        if name not in self._failing:
            self._failing.add(name)
            shown = name.removeprefix(DECODER_STATE)
            logger.error("what %s remembers is not stored, and a restart would lose it: %r", shown, error)

    def stored(self) -> None:
        """Take note that what `changed` gave last is stored."""
        self._stored |= self._written
