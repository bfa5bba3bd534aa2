"""Which decoder reads a message: by the topics of the inputs."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from monitor.config import Config, topic_matches
from monitor.decoders import Decoder
from monitor.errors import DecodeError, PluginError
from monitor.plugins import Registry, surroundings_of
from monitor.types import Message, SampleBlock, Standing

logger = logging.getLogger(__name__)


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
        self._begun_ns = time.time_ns()
        self._decoders: dict[str, Decoder] = {}
        self._routes: list[tuple[str, str, Decoder]] = []
        self.inputs: list[tuple[str, Decoder]] = []
        """The decoder of each input, by the topic that is configured."""
        for entry in config.inputs:
            surroundings = surroundings_of(config, entry.decoder)
            try:
                decoder: Decoder = registry.make("decoder", entry.decoder, entry.options, surroundings)
            except PluginError as error:
                decoder = _Off(entry.decoder, Standing("off", str(error), self._begun_ns))
                logger.error("%s: its messages are refused", error)
            self._decoders[entry.decoder] = decoder
            self.inputs.append((entry.topic, decoder))
            self._routes += [(topic, entry.decoder, decoder) for topic in entry.filters]

    def standing(self) -> dict[str, Standing]:
        """How the decoders stand, by name; those that keep no record of it are at work."""
        well = Standing("running", None, self._begun_ns)
        return {name: getattr(decoder, "standing", well) for name, decoder in self._decoders.items()}

    def decoder(self, topic: str) -> tuple[str, Decoder] | None:
        """Name and decoder of a topic; None where no input has it."""
        for topic_filter, name, decoder in self._routes:
            if topic_matches(topic_filter, topic):
                return name, decoder
        return None


class _Off:
    """Stands in for a decoder that could not be made."""

    def __init__(self, name: str, standing: Standing) -> None:
        self.name = name
        self.standing = standing

    def decode(self, _message: Message) -> Sequence[SampleBlock]:
        raise DecodeError("decoder_off", str(self.standing.reason))
