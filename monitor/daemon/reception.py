"""What comes in, as blocks that are checked and admitted; what cannot be used is counted, and said in few lines."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from monitor.config import Config
from monitor.daemon.complaints import Complaints
from monitor.daemon.failures import Failures
from monitor.daemon.remembered import DecoderMemory
from monitor.daemon.routes import Routes
from monitor.decoders.base import checked
from monitor.errors import DecodeError
from monitor.io.metrics import Metrics
from monitor.pipeline.guard import Failure
from monitor.plugins import Registry
from monitor.types import Message, SampleBlock

logger = logging.getLogger(__name__)

_UNROUTED = "none"

Admit = Callable[[SampleBlock], None]


class Reception:
    """Decodes messages by their topics, and lets blocks in.

    Parameters
    ----------
    config : Config
    registry : Registry
        Makes the decoders.
    metrics : Metrics
    failures : Failures
        Hears of decoders that raise what they must not.
    """

    def __init__(self, config: Config, registry: Registry, metrics: Metrics, failures: Failures) -> None:
        self._metrics = metrics
        self._failures = failures
        self.routes = Routes(config, registry)
        self.memory = DecoderMemory(self.routes.inputs)
        self._root = f"{config.outputs.root}/"
        self._input_root = f"{config.outputs.root}/in/"
        self.rejected: Counter[str] = Counter()
        """What was refused, by `WHO: REASON`."""
        self._complaints = Complaints()

    def of_message(
        self, message: Message, admit: Admit, refused: Counter[str] | None = None
    ) -> list[SampleBlock]:
        """The admitted blocks of a message; none where it is refused, for a reason that `refused` counts."""
        who = _UNROUTED
        try:
            self._require_foreign(message.topic)
            route = self.routes.decoder(message.topic)
            if route is None:
                raise DecodeError("no_decoder", "no input is configured for this topic")
            who, decoder = route
            self._metrics.message_received(who)
            blocks = checked(decoder.decode(message), message)
            for block in blocks:
                admit(block)
        except DecodeError as error:
            self._reject(who, message.topic, error, refused)
        except Exception as error:  # noqa: BLE001  (unacknowledged it would come back at every start)
            self._failures.note(Failure(f"decoder_{who}", message.topic, error))
            self._reject(who, message.topic, DecodeError("decoder_failed", repr(error)), refused)
        else:
            return blocks
        return []

    def of_source(
        self, source: str, item: object, admit: Admit, received_ns: int, refused: Counter[str]
    ) -> list[SampleBlock]:
        """The admitted block that a source brought, as `of_message`; what is no block is refused too."""
        topic = f"{source} (source)"
        try:
            if not isinstance(item, SampleBlock):
                raise DecodeError(
                    "wrong_type", f"found {type(item).__name__}; a source brings blocks or messages"
                )
            blocks = checked([item], Message(topic, b"", received_ns))
            for block in blocks:
                admit(block)
        except DecodeError as error:
            self._reject(source, topic, error, refused)
        except Exception as error:  # noqa: BLE001  (whatever a block holds: those beside it are good)
            self._failures.note(Failure(f"source_{source}", topic, error))
            self._reject(source, topic, DecodeError("source_failed", repr(error)), refused)
        else:
            return blocks
        return []

    def _require_foreign(self, topic: str) -> None:
        """Raise DecodeError where the daemon itself publishes under this topic, or a later version of it may."""
        below = f"{topic}/"
        if below.startswith(self._root) and not below.startswith(self._input_root):
            why = f"it is below the output root {self._root[:-1]}; take it out of the inputs"
            raise DecodeError("own_output", why)

    def _reject(self, who: str, topic: str, error: DecodeError, refused: Counter[str] | None) -> None:
        self._metrics.message_rejected(who, error.reason)
        if error.reason == "decoder_failed":
            self._metrics.plugins.failed(who, "decoder")
        self.rejected[f"{who}: {error.reason}"] += 1
        if refused is not None:
            refused[error.reason] += 1
        line = self._complaints.line(topic, error.reason, error.detail, time.monotonic_ns())
        if line is not None:
            logger.warning("%s", line)
