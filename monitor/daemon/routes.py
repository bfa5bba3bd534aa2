"""Which decoder reads a message: by the topics of the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.config import Config, topic_matches
from monitor.decoders import Decoder
from monitor.errors import DecodeError, PluginError
from monitor.plugins import Registry, surroundings_of
from monitor.types import Message, SampleBlock


class Routes:
    """The decoders of a configuration, with the topics that they read.

    A decoder that cannot be imported or made refuses its messages: the others go on.

    Parameters
    ----------
    config : Config
    registry : Registry
        Makes the decoders.
    """

    def __init__(self, config: Config, registry: Registry) -> None:
        self._off: dict[str, str] = {}
        self._routes: list[tuple[str, str, Decoder]] = []
        for entry in config.inputs:
            surroundings = surroundings_of(config, entry.decoder)
            try:
                decoder: Decoder = registry.make("decoder", entry.decoder, entry.options, surroundings)
            except PluginError as error:
                decoder = _Off(entry.decoder, str(error))
                self._off[entry.decoder] = str(error)
            self._routes += [(topic, entry.decoder, decoder) for topic in entry.filters]

    @property
    def off(self) -> Mapping[str, str]:
        """Why decoders could not be made, by name."""
        return self._off

    def decoder(self, topic: str) -> tuple[str, Decoder] | None:
        """Name and decoder of a topic; None where no input has it."""
        for topic_filter, name, decoder in self._routes:
            if topic_matches(topic_filter, topic):
                return name, decoder
        return None


class _Off:
    """Stands in for a decoder that could not be made."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._reason = reason

    def decode(self, _message: Message) -> Sequence[SampleBlock]:
        raise DecodeError("decoder_off", self._reason)
