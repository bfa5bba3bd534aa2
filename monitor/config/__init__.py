"""Configuration: `config.yaml` → `Config`, or every fault at once as `file:line:column: message`.

`reading` turns YAML into data with places, `schema`, `mqtt` and `model` say what each value may be, `agreement` what
several must agree on, `shadows` what is injected, `catalogue` what is asked of plugins, `checking` brings them together and `messages` writes the lines for the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.config.catalogue import Catalogue, NothingInstalled
from monitor.config.checking import check
from monitor.config.messages import ValueFault
from monitor.config.model import Config, StationEntry
from monitor.config.mqtt import Mqtt
from monitor.config.reading import MAXIMUM_CHARACTERS, Document, Place, read_document, show
from monitor.config.schema import Input, Isolation, PluginEntry
from monitor.config.shadows import shadow_sources, shadow_subjects, with_shadows
from monitor.config.topics import filters_overlap, topic_matches
from monitor.errors import ConfigurationError, Fault

_NOTHING = NothingInstalled()

__all__ = [
    "Catalogue",
    "Config",
    "Input",
    "Isolation",
    "Mqtt",
    "PluginEntry",
    "StationEntry",
    "ValueFault",
    "filters_overlap",
    "load_config",
    "parse_config",
    "quick_config",
    "shadow_sources",
    "shadow_subjects",
    "topic_matches",
    "with_shadows",
]


def load_config(path: Path, catalogue: Catalogue = _NOTHING) -> Config:
    """Read and check a configuration file.

    Parameters
    ----------
    path : Path
    catalogue : Catalogue, optional
        Knows the plugins; without it no decoder and no plugin may be named.

    Raises
    ------
    ConfigurationError
        With every fault of the file, sorted by line; also where the file cannot be read.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            # UTF-8 takes at most four bytes a character; a larger file is refused in reading.
            content = stream.read(4 * MAXIMUM_CHARACTERS + 1)
        text = content.decode()
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); name an existing, readable file with -c"
        raise ConfigurationError([Fault(file, 1, 1, reason)]) from error
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(before.count(b"\n") + 1, len(before[before.rfind(b"\n") + 1 :].decode()) + 1)
        message = f"found the byte 0x{content[error.start]:02x}, which is not UTF-8; save the file as UTF-8"
        raise ConfigurationError([Fault(file, place.line, place.column, message)]) from None
    except ValueError as error:
        # A path with a null byte never reaches the system.
        raise ConfigurationError(
            [Fault(show(file), 1, 1, "is not a possible path; name a file with -c")]
        ) from error
    return parse_config(text, file, catalogue)


def parse_config(text: str, file: str, catalogue: Catalogue = _NOTHING) -> Config:
    """Check the text of a configuration; `file` is its name in messages. Raises as `load_config` does."""
    return check(read_document(text, file), catalogue)


def quick_config(pairs: Sequence[str], craft: Sequence[str]) -> Config:
    """Make a configuration from `--pair POLEWARD-EQUATORWARD[:L]` and `--craft ID`, the rest by default.

    A station that no table knows is allowed here: everything about it is unknown.

    Raises
    ------
    ConfigurationError
        With every fault; the "file" names the option, and the line is its number among those of its kind.
    """
    document = Document("command line", data={"pairs": list(pairs), "craft": list(craft)})
    for option, texts in (("pairs", pairs), ("craft", craft)):
        for index, text in enumerate(texts):
            document.values[(option, index)] = Place(index + 1, 1, show(text))
    return check(document, _NOTHING, allow_unknown_stations=True)
