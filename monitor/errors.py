"""The errors of this package: one tree, drawn here.

::

    MonitorError
    ├── ConfigurationError   a configuration that cannot be used; carries every fault found     (exit 78)
    ├── DecodeError          bytes or samples that cannot be used; carries a reason for the counter
    ├── ArchiveError         a file that is missing, unreadable or not what it says
    ├── ModelError           a learned model that is incomplete, changed, or made for something else
    ├── PluginError          a plugin that cannot be found, imported, made, or relied upon
    │   └── PluginOffError       it is switched off: only a reload or a restart begins it again
    ├── StoreError           the durable store cannot take or give what was asked
    │   └── StoreDamagedError    its file is damaged: only a restart, which sets it aside, helps
    └── BrokerError          the broker cannot be reached, refuses, or went away
        └── BrokerUnavailable    for now: the caller may wait and try again

An error carries attributes for programs; its text is one line for the operator and says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MonitorError(Exception):
    """Base of every error that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a configuration file, at a place a text editor can jump to."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigurationError(MonitorError):
    """A configuration that cannot be used.

    Attributes
    ----------
    faults : tuple of Fault
        Every fault that was found, in the order of the file.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DecodeError(MonitorError):
    """Bytes or samples that cannot be used.

    Attributes
    ----------
    reason : str
        A short fixed word for the counter `geospace_messages_rejected_total` (`not_json`, `unknown_station`, …).
    detail : str
        What was found, with the offending value, cut to a readable length.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail if len(detail) <= 300 else detail[:297] + "..."
        super().__init__(f"{reason}: {self.detail}")


class ArchiveError(MonitorError):
    """A file that is missing, unreadable or not what it says; `path` names it."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(f"{path}: {message}")


class ModelError(MonitorError):
    """A learned model that is incomplete, changed, or made for something else.

    Its text names what was expected and what was found; `path` names the file (or the library) that is at fault.
    """

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(f"{path}: {message}")


class PluginError(MonitorError):
    """A plugin that cannot be found, imported, made, or relied upon.

    Attributes
    ----------
    plugin : str
        Its name.
    distribution : str
        Which distribution brought it, with its version; empty where none did.
    reason : str
        What is wrong, and what to do.
    """

    def __init__(self, plugin: str, distribution: str, reason: str) -> None:
        self.plugin, self.distribution = plugin, distribution
        self.reason = reason if len(reason) <= 600 else reason[:597] + "..."
        super().__init__(f"plugin {plugin}{f' ({distribution})' if distribution else ''}: {self.reason}")


class PluginOffError(PluginError):
    """A plugin that is switched off until the next reload or restart."""


class StoreError(MonitorError):
    """The durable store cannot take or give what was asked."""


class StoreDamagedError(StoreError):
    """The store's file is no sound database any more; the next start sets it aside and salvages what it can."""


class BrokerError(MonitorError):
    """The broker cannot be reached, refuses, or went away."""


class BrokerUnavailable(BrokerError):  # noqa: N818  (a state to wait out, not a fault)
    """There is no connection now; the caller may wait and try again."""
