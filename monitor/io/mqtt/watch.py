"""What shows that a connection is up and does not work, and for how long the broker was held back.

The keep-alive notices a line that is dead. It does not notice a broker that has lost our subscriptions, nor a proxy
between us that answers pings and swallows the rest: then nothing arrives, or nothing that we publish is confirmed.
Nothing here reads a clock: whoever looks says how long it is since the last look.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_SILENCE_S = 3600.0
_SETTLED_S = 60.0


@dataclass(frozen=True, slots=True)
class LinkReading:
    """What the link knows of itself at one moment.

    `connections` counts those that came up, `held_s` the seconds for which the broker could send nothing more, and
    `unacknowledged` what it has sent and may not forget yet. `last_message_ns` is None before the first message.
    """

    connected: bool = False
    connections: int = 0
    unacknowledged: int = 0
    held_s: float = 0.0
    last_message_ns: int | None = None


class Stall:
    """Seconds for which a value has not changed, of those for which somebody looked."""

    def __init__(self) -> None:
        self._value: object = None
        self.lasted_s = 0.0

    def look(self, value: object, elapsed_s: float) -> float:
        """Take the value as it is now, `elapsed_s` after the last look; return how long it has been so."""
        self.lasted_s = self.lasted_s + elapsed_s if value == self._value else 0.0
        self._value = value
        return self.lasted_s


class Silence:
    """Decides when a connection that brings nothing is given up for a new one.

    The patience doubles, up to an hour, for as long as new connections bring nothing either: stations may be silent
    for reasons of their own. With the first message it is the configured one again.

    Parameters
    ----------
    patience_s : float
        Seconds without a message after which a connection is given up; 0 for never.
    """

    def __init__(self, patience_s: float) -> None:
        self._first_s = patience_s
        self._patience_s = patience_s
        self._arrived = 0
        self._quiet_s = 0.0
        self._given_up = False

    @property
    def patience_s(self) -> float:
        """Seconds that the present connection is given."""
        return self._patience_s

    @property
    def is_first(self) -> bool:
        """Whether no connection has been given up since the last message."""
        return not self._given_up

    @property
    def persists(self) -> bool:
        """Whether a connection that was made because of the silence has brought nothing either."""
        return self._given_up and self._quiet_s >= min(_SETTLED_S, self._first_s)

    def look(self, arrived: int, listening: bool, elapsed_s: float) -> bool:
        """Return whether the connection should be given up.

        Parameters
        ----------
        arrived : int
            Messages that have arrived over all connections.
        listening : bool
            Whether a message could have arrived since the last look: the broker was not held back, and the consumer
            was there to take it. Other time does not count.
        elapsed_s : float
            Seconds since the last look.
        """
        if arrived != self._arrived:
            self._arrived = arrived
            self._quiet_s = 0.0
            self._given_up, self._patience_s = False, self._first_s
        elif listening:
            self._quiet_s += elapsed_s
        return 0.0 < self._patience_s <= self._quiet_s

    def give_up(self) -> None:
        """Begin anew with the next connection, and have more patience with it."""
        self._quiet_s = 0.0
        self._given_up = True
        self._patience_s = max(self._patience_s, min(2 * self._patience_s, LONGEST_SILENCE_S))


class HeldTime:
    """Seconds for which something was so, by a clock that its owner reads."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._sum_s = 0.0

    def set(self, held: bool, now_s: float) -> None:
        """Say how it is from now on."""
        self._sum_s, self._since_s = self.seconds(now_s), now_s if held else None

    def seconds(self, now_s: float) -> float:
        """Seconds up to now."""
        return self._sum_s + (0.0 if self._since_s is None else now_s - self._since_s)
